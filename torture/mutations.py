"""Replies made wrong by chance: each takes the bytes of a good one and spoils them.

Knows JSON, encodings and compression, and every way in which they break. Refuses to know who reads
the result; whether it still says something is judged elsewhere.
"""

from __future__ import annotations

import gzip
import json
import zlib
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from random import Random

__all__ = ["MUTATIONS", "Spoiled", "spoil"]

MEBIBYTE = 2**20
# More than is read of any reply.
TOO_MUCH = 17 * MEBIBYTE
_MARK = "\x00here\x00"
_SWAPS: tuple[Any, ...] = (
    None,
    True,
    False,
    0,
    -1,
    7,
    1.5,
    "",
    "x",
    "84.0",
    [],
    {},
    [[]],
    {"a": 1},
)
_HUGE = (
    "1e400",
    "-1e400",
    "1e-400",
    "9" * 5000,
    f"0.{'3' * 5000}",
    "NaN",
    "Infinity",
    "-Infinity",
    "18446744073709551616",
    "-9223372036854775809",
    "1e99999999999999999999",
    f'"{"9" * 200}"',
    '"1e12"',
    '"-5"',
    '"1e999999"',
)


@dataclass(frozen=True, slots=True)
class Spoiled:
    """A body as it goes over the wire, and what its Content-Encoding says of it."""

    body: bytes
    encoding: str = ""


Mutation: TypeAlias = "Callable[[Random, bytes], Spoiled]"


def spoil(rng: Random, good: bytes) -> tuple[str, Spoiled]:
    """A good body spoiled in one way, and the name of that way."""
    (name,) = rng.choices(list(MUTATIONS), [often for often, _ in MUTATIONS.values()])
    return name, MUTATIONS[name][1](rng, good)


def _flipped(rng: Random, good: bytes) -> Spoiled:
    return Spoiled(_with_flips(rng, good))


def _flipped_packed(rng: Random, good: bytes) -> Spoiled:
    packed = _packed(rng, good)
    return Spoiled(_with_flips(rng, packed.body), packed.encoding)


def _cut(rng: Random, good: bytes) -> Spoiled:
    whole = rng.choice([Spoiled(good), _packed(rng, good)])
    return Spoiled(whole.body[: rng.randrange(len(whole.body))], whole.encoding)


def _swapped(rng: Random, good: bytes) -> Spoiled:
    """One value of another type, or one that is not there, or one too many."""
    whole = json.loads(good)
    holder, key = rng.choice(list(_places(whole)))
    match rng.randrange(6):
        case 0:
            del holder[key]
        case 1:
            holder[key] = [holder[key]]
        case 2:
            holder[key] = {"value": holder[key]}
        case 3 if isinstance(holder, list):
            holder.insert(key, holder[key])
        case _:
            holder[key] = rng.choice(_SWAPS)
    return Spoiled(json.dumps(whole).encode())


def _huge(rng: Random, good: bytes) -> Spoiled:
    return Spoiled(_with(rng, good, rng.choice(_HUGE)))


def _deep(rng: Random, good: bytes) -> Spoiled:
    depth = rng.choice([100, 900, 1100, 50_000, 500_000])
    opening, closing = rng.choice([("[", "]"), ('{"a":', "}")])
    inside = "1" if opening == '{"a":' else ""
    end = closing * depth if rng.random() < 0.7 else ""
    return Spoiled(_with(rng, good, f"{opening * depth}{inside}{end}"))


def _recoded(rng: Random, good: bytes) -> Spoiled:
    """Another character set, or bytes that are none."""
    text = good.decode()
    return Spoiled(
        rng.choice(
            [
                text.encode("utf-16"),
                text.encode("utf-32-le"),
                text.replace("e", "é").encode("latin-1", "replace"),
                b"\xef\xbb\xbf\xef\xbb\xbf" + good,
                good.replace(b'"modelDescription":"', b'"modelDescription":"\xff\xfe', 1),
                good.replace(b'"modelDescription":"', b'"modelDescription":"\xed\xa0\x80', 1),
                good.replace(b'"modelDescription":"', b'"modelDescription":"\\ud800', 1),
                good.replace(b'"modelDescription":"', b'"modelDescription":"\\u0000', 1),
                good.replace(b"{", b"{\x00", 1),
                bytes(rng.randbytes(rng.randrange(2000))),
            ]
        )
    )


def _mislabelled(rng: Random, good: bytes) -> Spoiled:
    """Something else than Content-Encoding says."""
    packed = gzip.compress(good, mtime=0)
    return rng.choice(
        [
            Spoiled(good, "gzip"),
            Spoiled(good, "deflate"),
            Spoiled(packed),
            Spoiled(packed, "deflate"),
            Spoiled(packed, "br"),
            Spoiled(gzip.compress(packed, mtime=0), "gzip"),
            Spoiled(packed + packed, "gzip"),
            Spoiled(packed + b"rest", "gzip"),
            Spoiled(packed, "gzip, gzip"),
            Spoiled(b"", "gzip"),
            Spoiled(b"", "deflate"),
        ]
    )


def _bomb(rng: Random, _: bytes) -> Spoiled:
    size = rng.choice([TOO_MUCH, 64 * MEBIBYTE])
    return Spoiled(_bombs(size, rng.choice([b" ", b"[", b"[],", b'"a'])), "gzip")


def _endless(rng: Random, good: bytes) -> Spoiled:
    more = rng.choice([b" ", b"[", b"0,", b'{"a":'])
    return Spoiled(good[:-1] + more * (TOO_MUCH // len(more)))


def _odd_envelope(rng: Random, good: bytes) -> Spoiled:
    data = json.loads(good)["data"]
    return Spoiled(
        json.dumps(
            rng.choice(
                [
                    {"code": "200", "data": data},
                    {"code": 200.5, "data": data},
                    {"code": True, "data": data},
                    {"code": [200], "data": data},
                    {"code": 500, "msg": ["x"] * 100, "data": data},
                    {"code": 4030, "msg": "x" * 100_000},
                    {"CODE": 200, "data": data},
                    [{"code": 200, "data": data}],
                    data,
                    {},
                    None,
                    "",
                ]
            )
        ).encode()
    )


# How often each, and how.
MUTATIONS: dict[str, tuple[int, Mutation]] = {
    "bits flipped": (15, _flipped),
    "bits flipped, compressed": (15, _flipped_packed),
    "cut": (12, _cut),
    "type swapped": (28, _swapped),
    "huge number": (10, _huge),
    "deep nesting": (5, _deep),
    "wrong encoding": (7, _recoded),
    "mislabelled": (6, _mislabelled),
    "odd envelope": (4, _odd_envelope),
    "bomb": (1, _bomb),
    "endless": (1, _endless),
}


def _with_flips(rng: Random, body: bytes) -> bytes:
    flipped = bytearray(body)
    for _ in range(rng.randint(1, 8)):
        flipped[rng.randrange(len(flipped))] ^= 1 << rng.randrange(8)
    return bytes(flipped)


def _packed(rng: Random, good: bytes) -> Spoiled:
    if rng.random() < 0.7:
        return Spoiled(gzip.compress(good, mtime=0), "gzip")
    return Spoiled(zlib.compress(good), "deflate")


def _with(rng: Random, good: bytes, text: str) -> bytes:
    """A good body with one value replaced by raw text, JSON or not."""
    whole = json.loads(good)
    holder, key = rng.choice(list(_places(whole)))
    holder[key] = _MARK
    return json.dumps(whole).replace(json.dumps(_MARK), text).encode()


def _places(value: Any) -> Iterator[tuple[Any, Any]]:
    """Every place in a document that holds a value."""
    keys = list(value) if isinstance(value, dict) else range(len(value))
    for key in keys:
        yield value, key
        if isinstance(value[key], dict | list):
            yield from _places(value[key])


@lru_cache(maxsize=16)
def _bombs(size: int, of: bytes) -> bytes:
    packer = zlib.compressobj(9, wbits=16 + zlib.MAX_WBITS)
    block = of * (MEBIBYTE // len(of))
    return b"".join([*(packer.compress(block) for _ in range(size // MEBIBYTE)), packer.flush()])
