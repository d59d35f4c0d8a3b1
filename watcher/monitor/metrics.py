"""Prometheus metrics: what was counted since the start, and how things stand in the state.

The only module that imports Prometheus' client. What has not happened yet has no value, rather
than 0. A label holds words of ours, a receiver's name or a category of the listing, cut and
limited in number: never a URL, a reason in words or a model.
"""

from __future__ import annotations

import collections
import platform
from dataclasses import dataclass
from itertools import chain
from typing import TYPE_CHECKING

from prometheus_client import (
    CollectorRegistry,
    Counter,
    Gauge,
    Histogram,
    ProcessCollector,
    generate_latest,
)
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4
from prometheus_client.registry import Collector

from watcher import __version__
from watcher.catalog.changes import Kind
from watcher.catalog.confirm import HoldReason
from watcher.kie.responses import SourceReason
from watcher.monitor.alarms import AlarmKind
from watcher.notify.outcome import Verdict
from watcher.observer import Observer
from watcher.safe_text import one_line
from watcher.store.values import PollOutcome

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
    from datetime import datetime

    from prometheus_client import Metric

    from watcher.monitor.alarms import Alarm
    from watcher.observer import PollReport, SendAttempt
    from watcher.store.values import ReceiverStatus, Status

CONTENT_TYPE = CONTENT_TYPE_PLAIN_0_0_4
GIVEN_UP = "given_up"

# Categories come from the listing, and each is a series that is kept for years.
MOST_CATEGORIES = 30
LONGEST_CATEGORY = 40
OTHERS = "(others)"
NO_CATEGORY = "(none)"

_POLL_BUCKETS = (0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 180)
_SEND_BUCKETS = (0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)
_ACCEPTED_BUCKETS = (1, 2.5, 5, 10, 30, 60, 300, 900, 3600, 6 * 3600, 24 * 3600, 7 * 24 * 3600)


class Metrics(Observer):
    """Everything counted since the start; `page` adds how things stand."""

    def __init__(self, receivers: Iterable[str], now: Callable[[], datetime]) -> None:
        """Series of `receivers` exist from the start: Prometheus sees no rise in a new series."""
        self._now = now
        self._deferred_ids: dict[str, Collection[int]] = {}
        self.registry = CollectorRegistry()
        self._register_polls()
        self._register_messages()
        self._register_process()
        ProcessCollector(registry=self.registry)
        for receiver in receivers:
            for outcome in (*Verdict, GIVEN_UP):
                self._deliveries.labels(receiver, str(outcome))

    def polled(self, report: PollReport) -> None:
        outcome, reason = report.outcome.value, report.reason or ""
        self._polls.labels(outcome, reason).inc()
        if reason in set(SourceReason):
            self._refused.labels(reason).inc()
        self._requests.inc(report.requests)
        self._bytes.inc(report.bytes)
        self._poll_seconds.labels(outcome).observe(report.took.total_seconds())
        kinds = chain.from_iterable(recorded.change.kinds for recorded in report.changes)
        for kind, count in collections.Counter(kinds).items():
            self._changes.labels(kind.value).inc(count)

    def attempted(self, attempt: SendAttempt) -> None:
        given_up = attempt.died and attempt.outcome.verdict is Verdict.RETRY
        outcome = GIVEN_UP if given_up else attempt.outcome.verdict.value
        self._deliveries.labels(attempt.receiver, outcome).inc()
        self._send_seconds.labels(attempt.receiver).observe(attempt.took.total_seconds())
        if attempt.waited is not None:
            # Less than nothing by a clock that was set back.
            waited = max(0.0, attempt.waited.total_seconds())
            self._accepted_seconds.labels(attempt.receiver).observe(waited)

    def deferred(self, receiver: str, reasons: Mapping[int, str]) -> None:
        # Each delivery counts once, when it is first deferred.
        before = self._deferred_ids.get(receiver, ())
        new = (reason for number, reason in reasons.items() if number not in before)
        for reason, count in collections.Counter(new).items():
            self._deferred.labels(reason).inc(count)
        self._deferred_ids[receiver] = reasons.keys()

    def suppressed(self, reason: str, count: int) -> None:
        self._suppressed.labels(reason).inc(count)

    def configured(self, problem: str | None) -> None:
        self._configured.set(problem is None)
        if problem is None:
            self._configured_at.set(self._now().timestamp())

    def pinged(self, outcome: str) -> None:
        self._heartbeats.labels(outcome).inc()

    def page(self, status: Status | None, raised: Iterable[Alarm]) -> bytes:
        """All of it in Prometheus' text format; how things stand is taken from `status`."""
        gauges = (_alarm_gauge(raised), *_status_gauges(status, self._now()))
        return generate_latest(_Page(self.registry, gauges))

    def _register_polls(self) -> None:
        self._polls = self._counter(
            "polls",
            "Polls by how they ended; the reason is the sort of a failure.",
            "outcome",
            "reason",
        )
        for outcome in PollOutcome:
            if outcome.is_good:
                self._polls.labels(outcome.value, "")
        self._refused = self._counter(
            "sweeps_refused",
            "Polls in which nothing that the API gave was used, by reason.",
            "reason",
        )
        for source_reason in SourceReason:
            self._refused.labels(source_reason.value)
        self._requests = self._counter("requests", "Requests to the API.")
        self._bytes = self._counter("received_bytes", "Bytes of the API's replies, as they came.")
        self._changes = self._counter("changes", "Changes recorded, by kind.", "kind")
        for kind in Kind:
            self._changes.labels(kind.value)
        self._poll_seconds = self._histogram(
            "poll_seconds", "How long polls took.", _POLL_BUCKETS, "outcome"
        )

    def _register_messages(self) -> None:
        self._deliveries = self._counter(
            "deliveries",
            "Tries to deliver a message, by what came of them.",
            "receiver",
            "outcome",
        )
        self._send_seconds = self._histogram(
            "send_seconds", "How long tries to deliver took.", _SEND_BUCKETS, "receiver"
        )
        self._accepted_seconds = self._histogram(
            "change_to_accepted_seconds",
            "Time from the sweep that proved a change until a receiver accepted it.",
            _ACCEPTED_BUCKETS,
            "receiver",
        )
        self._deferred = self._counter("deferred", "Deliveries put off, by reason.", "reason")
        self._suppressed = self._counter(
            "suppressed", "Deliveries that are never made, by reason.", "reason"
        )
        self._heartbeats = self._counter(
            "heartbeats", "Heartbeats by what came of them.", "outcome"
        )

    def _register_process(self) -> None:
        self._configured = self._gauge(
            "configuration_loaded", "Whether the last reading of the configuration was taken."
        )
        self._configured_at = self._gauge(
            "configuration_loaded_timestamp_seconds",
            "When the configuration in use was read.",
        )
        build = self._gauge("build_info", "Always 1; what runs.", "version", "python")
        build.labels(__version__, platform.python_version()).set(1)

    def _counter(self, name: str, what: str, *labels: str) -> Counter:
        return Counter(name, what, labels, namespace="kie_watcher", registry=self.registry)

    def _gauge(self, name: str, what: str, *labels: str) -> Gauge:
        return Gauge(name, what, labels, namespace="kie_watcher", registry=self.registry)

    def _histogram(
        self, name: str, what: str, buckets: tuple[float, ...], *labels: str
    ) -> Histogram:
        return Histogram(
            name, what, labels, namespace="kie_watcher", buckets=buckets, registry=self.registry
        )


@dataclass(frozen=True, slots=True)
class _Page(Collector):
    """What was counted and how things stand, without the `_created` series of each counter."""

    counted: CollectorRegistry
    gauges: tuple[Metric, ...]

    def collect(self) -> Iterator[Metric]:
        for metric in chain(self.counted.collect(), self.gauges):
            metric.samples = [s for s in metric.samples if not s.name.endswith("_created")]
            yield metric


def _alarm_gauge(raised: Iterable[Alarm]) -> Metric:
    counts = collections.Counter(alarm.kind for alarm in raised)
    series = [((kind.value,), counts[kind]) for kind in AlarmKind]
    return _gauge("alarms", "Alarms that are raised, by kind.", ("alarm",), series)


def _status_gauges(status: Status | None, now: datetime) -> Iterator[Metric]:
    """How things stand; `None` is a state that cannot be read: no old values are given."""
    readable = status is not None
    yield _gauge("state_readable", "Whether the state can be read.", (), [((), readable)])
    if status is None:
        return
    models = [((category,), count) for category, count in _limited(status.models).items()]
    yield _gauge("models", "Models on sale, by category.", ("category",), models)
    held = collections.Counter(waiting.hold.reason for waiting in status.holds)
    yield _gauge(
        "holds",
        "Changes that wait to be seen again.",
        ("reason",),
        [((reason.value,), held[reason]) for reason in HoldReason],
    )
    yield from _sweep_gauges(status, now)
    yield from _outbox_gauges(status.receivers, now)


def _sweep_gauges(status: Status, now: datetime) -> Iterator[Metric]:
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


def _outbox_gauges(receivers: Iterable[ReceiverStatus], now: datetime) -> Iterator[Metric]:
    depths: list[tuple[tuple[str, ...], float]] = []
    ages: list[tuple[tuple[str, ...], float]] = []
    for each in receivers:
        for state, count in (("waiting", each.waiting), ("open", each.open), ("dead", each.dead)):
            depths.append(((each.receiver, state), count))
        if each.oldest_at is not None:
            ages.append(((each.receiver,), (now - each.oldest_at).total_seconds()))
    yield _gauge(
        "outbox_depth",
        "What is not sent to a receiver yet: things waiting, messages open, messages dead.",
        ("receiver", "state"),
        depths,
    )
    yield _gauge(
        "outbox_oldest_age_seconds", "Age of the oldest thing not sent yet.", ("receiver",), ages
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


def _limited(models: Mapping[str, int]) -> dict[str, int]:
    """Models by category: the largest categories by name, the others in one."""
    ordered = sorted(models.items(), key=lambda category: (-category[1], category[0]))
    counts: collections.Counter[str] = collections.Counter()
    for place, (category, count) in enumerate(ordered):
        shown = one_line(category)[:LONGEST_CATEGORY] or NO_CATEGORY
        counts[shown if place < MOST_CATEGORIES else OTHERS] += count
    return dict(counts)
