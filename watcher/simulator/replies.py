"""The bodies of good replies, as bytes: what the documented API says about a catalogue.

Also says it wrongly, in so far as a fault alters what is said and not how. Bodies are kept for as
long as the catalogue stays as it is. Refuses to know HTTP.
"""

from __future__ import annotations

import gzip
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

from watcher.simulator.faults import CountsOff, Empty, PageCap, Shift, TotalOff

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Iterable

    from watcher.simulator.catalogue import Catalogue, Row
    from watcher.simulator.faults import Altering

__all__ = ["MOST_PER_PAGE", "PageQuery", "Replies", "envelope"]

MOST_PER_PAGE = 100
DEFAULT_PER_PAGE = 10
OK = 200

_Made = TypeVar("_Made")


@dataclass(frozen=True, slots=True)
class PageQuery:
    """What a client asks of the page call. `ValueError` where it cannot be understood."""

    number: int = 1
    size: int = DEFAULT_PER_PAGE
    interface: str = ""
    search: str = ""

    @classmethod
    def of(cls, body: object) -> PageQuery:
        """Read the decoded JSON body."""
        if not isinstance(body, dict):
            raise ValueError("the body is not an object")  # noqa: TRY004  one error for one caller
        return cls(
            number=_positive(body, "pageNum", 1),
            size=_positive(body, "pageSize", DEFAULT_PER_PAGE),
            interface=str(body.get("interfaceType") or ""),
            search=str(body.get("modelDescription") or "").casefold(),
        )


@dataclass(frozen=True, slots=True)
class _Alteration:
    """All altering faults of one request taken together."""

    cap: int = MOST_PER_PAGE
    shift: int = 0
    total_off: int = 0
    counts_off: tuple[tuple[str, int], ...] = ()
    empty: bool = False

    @classmethod
    def of(cls, faults: Iterable[Altering]) -> _Alteration:
        known = tuple(faults)
        return cls(
            cap=min([fault.size for fault in known if isinstance(fault, PageCap)] + [cls().cap]),
            shift=sum(fault.by for fault in known if isinstance(fault, Shift)),
            total_off=sum(fault.by for fault in known if isinstance(fault, TotalOff)),
            counts_off=tuple(
                (fault.category, fault.by) for fault in known if isinstance(fault, CountsOff)
            ),
            empty=any(isinstance(fault, Empty) for fault in known),
        )


class Replies:
    """Reply bodies for one catalogue; each is made once a revision, benchmarks being many polls."""

    def __init__(self, catalogue: Catalogue) -> None:
        self._catalogue = catalogue
        self._kept: dict[Hashable, Any] = {}
        self._kept_at = catalogue.revision

    def count(self, faults: Iterable[Altering]) -> bytes:
        """The body of the count call."""
        alteration = _Alteration.of(faults)
        return self._once(("count", alteration), lambda: self._count_body(alteration))

    def page(self, query: PageQuery, faults: Iterable[Altering]) -> bytes:
        """The body of the page call."""
        alteration = _Alteration.of(faults)
        return self._once((query, alteration), lambda: self._page_body(query, alteration))

    def packed(self, body: bytes) -> bytes:
        """A body of this revision, compressed."""
        return self._once(("packed", body), lambda: gzip.compress(body, compresslevel=6, mtime=0))

    def _count_body(self, alteration: _Alteration) -> bytes:
        if alteration.empty:
            return envelope({"all": 0})
        counts = self._catalogue.counts()
        for category, by in alteration.counts_off:
            counts[category] = counts.get(category, 0) + by
        return envelope(counts)

    def _page_body(self, query: PageQuery, alteration: _Alteration) -> bytes:
        rows = () if alteration.empty else self._listed(query.interface, query.search)
        size = min(query.size, alteration.cap)
        start = (query.number - 1) * size - alteration.shift
        return envelope(
            {
                "records": rows[max(start, 0) : max(start + size, 0)],
                "total": len(rows) + alteration.total_off,
                "size": size,
                "current": query.number,
                "pages": -(-len(rows) // size),
            }
        )

    def _listed(self, interface: str, search: str) -> tuple[Row, ...]:
        def chosen() -> tuple[Row, ...]:
            return tuple(
                row
                for row in self._catalogue.rows
                if interface in ("", row.get("interfaceType"))
                and search in str(row.get("modelDescription")).casefold()
            )

        return self._once(("listed", interface, search), chosen)

    def _once(self, key: Hashable, make: Callable[[], _Made]) -> _Made:
        if self._kept_at != self._catalogue.revision:
            self._kept.clear()
            self._kept_at = self._catalogue.revision
        if key not in self._kept:
            self._kept[key] = make()
        made: _Made = self._kept[key]
        return made


def envelope(data: object, code: int = OK, msg: str = "success") -> bytes:
    """What every reply of this API comes in; `data` is left out of errors."""
    whole: dict[str, object] = {"code": code, "msg": msg}
    if code == OK:
        whole["data"] = data
    try:
        return json.dumps(whole, ensure_ascii=False, separators=(",", ":")).encode()
    except UnicodeEncodeError:
        # A lone surrogate is legal JSON only where it is escaped.
        return json.dumps(whole, separators=(",", ":")).encode()


def _positive(body: dict[str, Any], field: str, default: int) -> int:
    value = body.get(field, default)
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise ValueError(f"{field} is {value!r}, not a number from 1")
    return value
