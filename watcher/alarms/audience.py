"""Who is told of a trouble: the operators, and never only the receiver that it is about.

Refuses to know what the trouble is.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["audience"]


def audience(
    about: str | None, operators: Sequence[str], receivers: Sequence[str]
) -> tuple[str, ...]:
    """The receivers of a message about `about` (`None`: about no receiver), in their order.

    A receiver in trouble would learn of it too late, so it is not told of itself. Where it is the
    only operator, all other receivers are told instead: whoever reads them can pass it on. With
    no other receiver nobody can be told, and with no operators nobody is to be.
    """
    if not operators:
        return ()
    others = tuple(name for name in operators if name != about)
    return others or tuple(name for name in receivers if name != about)
