"""How things stand at one moment, as Prometheus' gauges, from one look at the state.

What has not happened yet has no value, rather than 0. Refuses to know what is counted over time.
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from prometheus_client.core import GaugeMetricFamily

from watcher.confirm import HoldReason
from watcher.printable import one_line

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from datetime import datetime

    from prometheus_client import Metric

    from watcher.store import ReceiverStatus, Status

__all__ = ["standing"]

# Categories come from the listing, and each is a series that is kept for years.
MOST_CATEGORIES = 30
LONGEST_CATEGORY = 40
OTHERS = "(others)"
NO_CATEGORY = "(none)"


def standing(status: Status | None, now: datetime) -> Iterator[Metric]:
    """The gauges; `None` is a state that cannot be read, of which nothing old is said."""
    readable = status is not None
    yield _gauge("state_readable", "Whether the state can be read.", (), [((), readable)])
    if status is None:
        return
    models = [((category,), count) for category, count in _bounded(status.models).items()]
    yield _gauge("models", "Models on sale, by category.", ("category",), models)
    held = Counter(waiting.hold.reason for waiting in status.holds)
    yield _gauge(
        "holds",
        "Changes that wait to be seen again.",
        ("reason",),
        [((reason.value,), held[reason]) for reason in HoldReason],
    )
    yield from _times(status, now)
    yield from _outbox(status.receivers, now)


def _times(status: Status, now: datetime) -> Iterator[Metric]:
    swept = [] if status.swept_at is None else [status.swept_at]
    yield _gauge(
        "last_sweep_timestamp_seconds",
        "When the last complete sweep was made.",
        (),
        [((), at.timestamp()) for at in swept],
    )
    yield _gauge(
        "last_sweep_age_seconds",
        "Age of the last complete sweep.",
        (),
        [((), (now - at).total_seconds()) for at in swept],
    )
    polls = [] if status.poll is None else [status.poll]
    yield _gauge(
        "poll_failures", "Failed polls in a row.", (), [((), poll.failures) for poll in polls]
    )


def _outbox(receivers: Iterable[ReceiverStatus], now: datetime) -> Iterator[Metric]:
    depths: list[tuple[tuple[str, ...], float]] = []
    ages: list[tuple[tuple[str, ...], float]] = []
    for each in receivers:
        for state, count in (("waiting", each.waiting), ("open", each.open), ("dead", each.dead)):
            depths.append(((each.receiver, state), count))
        if each.oldest_at is not None:
            ages.append(((each.receiver,), (now - each.oldest_at).total_seconds()))
    yield _gauge(
        "outbox_depth",
        "What a receiver is still to be told: things waiting, messages open, messages dead.",
        ("receiver", "state"),
        depths,
    )
    yield _gauge(
        "outbox_oldest_age_seconds", "Age of the oldest thing not yet told.", ("receiver",), ages
    )


def _gauge(
    name: str,
    what: str,
    labels: tuple[str, ...],
    values: Iterable[tuple[tuple[str, ...], float]],
) -> Metric:
    family = GaugeMetricFamily(f"kie_watcher_{name}", what, labels=labels)
    for label_values, value in values:
        family.add_metric(label_values, float(value))
    return family


def _bounded(models: Mapping[str, int]) -> dict[str, int]:
    """Models by category, the largest by name and the rest together."""
    ordered = sorted(models.items(), key=lambda category: (-category[1], category[0]))
    counts: Counter[str] = Counter()
    for place, (category, count) in enumerate(ordered):
        shown = one_line(category)[:LONGEST_CATEGORY] or NO_CATEGORY
        counts[shown if place < MOST_CATEGORIES else OTHERS] += count
    return dict(counts)
