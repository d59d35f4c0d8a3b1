"""Why a change goes where it goes, route by route, in words.

The long way round to what `plan` finds quickly; for people who try out their routes.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from watcher.routing.planning import NOTHING_KNOWN
from watcher.routing.rules import EVERYBODY

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from watcher.changes import Change
    from watcher.routing.planning import Past
    from watcher.routing.rules import Route, RoutingRules

__all__ = ["RouteVerdict", "explain", "verdicts"]


@dataclass(frozen=True, slots=True)
class RouteVerdict:
    """What one route says to a change: taken where `refusal` is `None`.

    `taken_before` names the earlier route that took the change and let it go no further.
    """

    route: Route
    refusal: str | None
    taken_before: str | None = None

    @property
    def takes(self) -> bool:
        return self.refusal is None and self.taken_before is None


def verdicts(
    change: Change, rules: RoutingRules, *, past: Past = NOTHING_KNOWN
) -> tuple[RouteVerdict, ...]:
    """What every route says, in their order."""
    found: list[RouteVerdict] = []
    taken_by: str | None = None
    for route in rules.ways:
        if taken_by is not None:
            found.append(RouteVerdict(route, None, taken_by))
            continue
        verdict = RouteVerdict(route, _refusal(change, route, rules, past))
        found.append(verdict)
        if verdict.takes and not route.go_on:
            taken_by = route.name
    return tuple(found)


def explain(found: Sequence[RouteVerdict]) -> tuple[str, ...]:
    """One line for each route, and one that sums them up."""
    receivers = [name for each in found if each.takes for name in each.route.receivers]
    told = ", ".join(dict.fromkeys(receivers))
    end = f"Told to: {told}" if told else "Nobody is told."
    return (*map(_line, found), end)


def _refusal(change: Change, route: Route, rules: RoutingRules, past: Past) -> str | None:
    """Why a route does not take it for any of its receivers."""
    matcher, why = route.matcher, None
    anchors = {past.anchors.get((route.name, receiver)): None for receiver in route.receivers}
    for since in anchors or {None: None}:
        why = matcher.refusal(change, announce=rules.announce, since=since)
        if why is None:
            return None
    return why


def _line(verdict: RouteVerdict) -> str:
    name = _name(verdict.route.name)
    if verdict.taken_before is not None:
        return f"{name}: not asked, {_name(verdict.taken_before)} took it"
    if verdict.refusal is not None:
        return f"{name}: no, {verdict.refusal}"
    return f"{name}: yes, to {'; '.join(_what_follows(verdict.route))}"


def _what_follows(route: Route) -> Iterable[str]:
    yield ", ".join(route.receivers) or "nobody"
    if route.digest is not None:
        yield f"in its digest ({route.digest})"
    if route.go_on:
        yield "later routes are asked too"


def _name(name: str) -> str:
    return "without routes" if name == EVERYBODY else f"“{name}”"
