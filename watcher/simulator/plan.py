"""Which request a fault befalls: the next one that fits, or all of them until further notice.

Refuses to know what a fault does.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from watcher.simulator.faults import Fault

__all__ = ["FaultPlan"]


class FaultPlan:
    """Which faults are still to come. One-shot faults wait for the first request they befall."""

    def __init__(self) -> None:
        self._once: list[Fault] = []
        self._lasting: list[Fault] = []

    def next(self, *faults: Fault) -> None:
        """Add one-shot faults; at most one of them befalls a request, in this order."""
        self._once.extend(faults)

    def always(self, *faults: Fault) -> None:
        """Add faults that last until `clear`; all that fit befall a request."""
        self._lasting.extend(faults)

    def clear(self) -> None:
        """Nothing is wrong any more, nor about to be."""
        self._once.clear()
        self._lasting.clear()

    @property
    def waiting(self) -> tuple[Fault, ...]:
        """The one-shot faults that have befallen nobody yet."""
        return tuple(self._once)

    def take(self, call: str, page: int | None) -> tuple[Fault, ...]:
        """What befalls this request: the one-shot fault first, then the lasting ones."""
        lasting = tuple(fault for fault in self._lasting if fault.befalls(call, page))
        for at, fault in enumerate(self._once):
            if fault.befalls(call, page):
                return (self._once.pop(at), *lasting)
        return lasting
