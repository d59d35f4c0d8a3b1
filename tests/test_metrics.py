"""What is counted and how things stand, as Prometheus reads it; and the files that use it."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families

from watcher import __version__
from watcher.catalog.changes import CreditValueChange, RecordedChange
from watcher.catalog.confirm import Hold, HoldReason
from watcher.monitor.alarms import Alarm, AlarmKind
from watcher.monitor.metrics import Metrics
from watcher.notify.outcome import Outcome, Verdict
from watcher.observer import PollReport, SendAttempt
from watcher.store.values import OpenHold, PollOutcome, PollStatus, ReceiverStatus, Status

NOW = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)
DOCS = Path(__file__).parent.parent / "docs"
HOUR = timedelta(hours=1)

NOTHING_YET = Status(None, None, None, {}, (), ())
STANDING = Status(
    poll=PollStatus(NOW, "failed", "no reply", NOW - HOUR, 3),
    swept_at=NOW - HOUR,
    usd_per_credit=Decimal("0.005"),
    models={"video": 323, "image": 200},
    holds=(OpenHold(Hold(HoldReason.REMOVAL, 7, "", NOW, NOW), "Sora 2"),),
    receivers=(
        ReceiverStatus("team", 3, 1, 2, NOW - 2 * HOUR, NOW, "https://secret.example/t0k3n"),
        ReceiverStatus("me", 0, 0, 1, None, None, None),
    ),
)


def read(
    metrics: Metrics, status: Status | None = NOTHING_YET, raised: Sequence[Alarm] = ()
) -> dict[str, float]:
    """Every series of the page as `name{label=value,…}`."""
    page = metrics.page(status, raised).decode()
    series = {}
    for family in text_string_to_metric_families(page):
        for sample in family.samples:
            labels = ",".join(f"{name}={value}" for name, value in sorted(sample.labels.items()))
            series[f"{sample.name}{{{labels}}}" if labels else sample.name] = sample.value
    return series


def poll(outcome: PollOutcome, reason: str | None = None, **rest: Any) -> PollReport:
    return PollReport(outcome, "in words", reason, **rest)


def attempt(verdict: Verdict, died: bool = False, waited: timedelta | None = None) -> SendAttempt:
    outcome = Outcome(verdict, "https://secret.example/t0k3n")
    return SendAttempt("team", "k7m2q9xr", outcome, timedelta(seconds=0.3), 1, died, waited=waited)


def test_polls_are_counted_with_all_that_they_did() -> None:
    metrics = Metrics([], lambda: NOW)
    change = RecordedChange(1, NOW, CreditValueChange(Decimal("0.005"), Decimal("0.006")))
    took = timedelta(seconds=0.7)
    metrics.polled(poll(PollOutcome.QUIET, requests=2, bytes=900, took=took))
    metrics.polled(poll(PollOutcome.CHANGED, changes=(change,), requests=8, bytes=90_000))
    metrics.polled(poll(PollOutcome.FAILED, "transport", requests=1))
    metrics.polled(poll(PollOutcome.INCONCLUSIVE, "torn", requests=20))
    metrics.polled(poll(PollOutcome.FAILED, "state"))
    series = read(metrics)
    expected = {
        "kie_watcher_polls_total{outcome=quiet,reason=}": 1,
        "kie_watcher_polls_total{outcome=unchanged,reason=}": 0,
        "kie_watcher_polls_total{outcome=changed,reason=}": 1,
        "kie_watcher_polls_total{outcome=failed,reason=transport}": 1,
        "kie_watcher_polls_total{outcome=failed,reason=state}": 1,
        "kie_watcher_polls_total{outcome=inconclusive,reason=torn}": 1,
        "kie_watcher_sweeps_refused_total{reason=torn}": 1,
        "kie_watcher_sweeps_refused_total{reason=transport}": 1,
        "kie_watcher_sweeps_refused_total{reason=schema}": 0,
        "kie_watcher_requests_total": 31,
        "kie_watcher_received_bytes_total": 90_900,
        "kie_watcher_changes_total{kind=credit_value}": 1,
        "kie_watcher_changes_total{kind=price_up}": 0,
        "kie_watcher_poll_seconds_bucket{le=0.5,outcome=quiet}": 0,
        "kie_watcher_poll_seconds_bucket{le=1.0,outcome=quiet}": 1,
        "kie_watcher_poll_seconds_sum{outcome=quiet}": 0.7,
    }
    assert {name: series[name] for name in expected} == expected
    assert "kie_watcher_sweeps_refused_total{reason=state}" not in series


def test_deliveries_are_counted_by_what_came_of_them() -> None:
    metrics = Metrics(["team", "me"], lambda: NOW)
    metrics.attempted(attempt(Verdict.RETRY))
    metrics.attempted(attempt(Verdict.RETRY, died=True))
    metrics.attempted(attempt(Verdict.REFUSED, died=True))
    metrics.attempted(attempt(Verdict.ACCEPTED, waited=timedelta(seconds=4)))
    series = read(metrics)
    for outcome in ("accepted", "retry", "refused", "given_up"):
        assert series[f"kie_watcher_deliveries_total{{outcome={outcome},receiver=team}}"] == 1
        assert series[f"kie_watcher_deliveries_total{{outcome={outcome},receiver=me}}"] == 0
    assert series["kie_watcher_send_seconds_count{receiver=team}"] == 4
    metrics.attempted(attempt(Verdict.ACCEPTED, waited=timedelta(seconds=-4)))
    series = read(metrics)
    assert series["kie_watcher_change_to_accepted_seconds_count{receiver=team}"] == 2
    assert series["kie_watcher_change_to_accepted_seconds_sum{receiver=team}"] == 4


def test_what_is_put_off_or_never_told_is_counted_by_reason() -> None:
    metrics = Metrics([], lambda: NOW)
    metrics.deferred("team", {1: "quiet", 2: "digest", 3: "digest"})
    metrics.deferred("me", {1: "digest", 2: "digest"})
    # Each counts once, however often it is deferred again.
    metrics.deferred("team", {2: "digest", 3: "digest", 4: "digest"})
    metrics.suppressed("silence", 1)
    metrics.pinged("accepted")
    series = read(metrics)
    assert series["kie_watcher_deferred_total{reason=quiet}"] == 1
    assert series["kie_watcher_deferred_total{reason=digest}"] == 5
    assert series["kie_watcher_suppressed_total{reason=silence}"] == 1
    assert series["kie_watcher_heartbeats_total{outcome=accepted}"] == 1


def test_a_refused_configuration_leaves_the_time_of_the_one_in_use() -> None:
    metrics = Metrics([], lambda: NOW)
    metrics.configured(None)
    metrics._now = lambda: NOW + HOUR
    metrics.configured("is zero")
    series = read(metrics)
    assert series["kie_watcher_configuration_loaded"] == 0
    assert series["kie_watcher_configuration_loaded_timestamp_seconds"] == NOW.timestamp()
    metrics.configured(None)
    assert read(metrics)["kie_watcher_configuration_loaded"] == 1


def test_open_alarms_are_shown_until_they_are_over() -> None:
    metrics = Metrics([], lambda: NOW)
    kinds = (AlarmKind.BLIND, AlarmKind.RECEIVER, AlarmKind.RECEIVER)
    series = read(metrics, raised=[Alarm(kind, NOW, NOW) for kind in kinds])
    assert series["kie_watcher_alarms{alarm=blind}"] == 1
    assert series["kie_watcher_alarms{alarm=receiver}"] == 2
    assert series["kie_watcher_alarms{alarm=clock}"] == 0
    assert read(metrics)["kie_watcher_alarms{alarm=blind}"] == 0


def test_how_things_stand_is_read_anew_each_time() -> None:
    metrics = Metrics([], lambda: NOW)
    series = read(metrics, STANDING)
    expected = {
        "kie_watcher_state_readable": 1,
        "kie_watcher_models{category=video}": 323,
        "kie_watcher_models{category=image}": 200,
        "kie_watcher_holds{reason=removal}": 1,
        "kie_watcher_holds{reason=collapse}": 0,
        "kie_watcher_last_sweep_age_seconds": 3600,
        "kie_watcher_last_sweep_timestamp_seconds": (NOW - HOUR).timestamp(),
        "kie_watcher_poll_failures": 3,
        "kie_watcher_outbox_depth{receiver=team,state=waiting}": 3,
        "kie_watcher_outbox_depth{receiver=team,state=open}": 1,
        "kie_watcher_outbox_depth{receiver=team,state=dead}": 2,
        "kie_watcher_outbox_oldest_age_seconds{receiver=team}": 7200,
    }
    assert {name: series[name] for name in expected} == expected
    assert "kie_watcher_outbox_oldest_age_seconds{receiver=me}" not in series
    later = read(metrics, replace(STANDING, models={"image": 1}, receivers=()))
    assert later["kie_watcher_models{category=image}"] == 1
    assert not [name for name in later if "category=video" in name or "outbox" in name]


@pytest.mark.parametrize("status", [None, NOTHING_YET], ids=["unreadable", "nothing yet"])
def test_what_is_not_known_has_no_value(status: Status | None) -> None:
    series = read(Metrics([], lambda: NOW), status)
    assert series["kie_watcher_state_readable"] == (status is not None)
    assert not [name for name in series if "last_sweep" in name or "models" in name]


def test_the_build_and_the_process_say_what_they_are() -> None:
    series = read(Metrics([], lambda: NOW))
    build = [name for name in series if name.startswith("kie_watcher_build_info")]
    assert f"version={__version__}" in build[0]
    assert series["process_resident_memory_bytes"] > 0
    assert not [name for name in series if name.endswith("_created")]


def test_two_metrics_in_one_process_share_nothing() -> None:
    one, other = Metrics([], lambda: NOW), Metrics([], lambda: NOW)
    one.polled(poll(PollOutcome.QUIET))
    assert read(other)["kie_watcher_polls_total{outcome=quiet,reason=}"] == 0


def test_a_hostile_listing_makes_neither_many_series_nor_broken_lines() -> None:
    nasty = 'x"\n# HELP evil \\ \x1b[31m' + "y" * 500
    models = {nasty: 1000, **{f"category {number}": number for number in range(500)}, "": 999}
    metrics = Metrics([], lambda: NOW)
    series = read(metrics, replace(STANDING, models=models))
    categories = [name for name in series if name.startswith("kie_watcher_models")]
    assert len(categories) == 31
    assert sum(series[name] for name in categories) == sum(models.values())
    assert series["kie_watcher_models{category=(none)}"] == 999
    page = metrics.page(replace(STANDING, models=models), ()).decode()
    assert "\x1b" not in page
    assert "y" * 50 not in page
    assert "\n# HELP evil" not in page


def test_no_reason_in_words_and_no_address_reaches_the_page() -> None:
    metrics = Metrics(["team"], lambda: NOW)
    metrics.polled(poll(PollOutcome.FAILED, "transport"))
    metrics.attempted(attempt(Verdict.REFUSED, died=True))
    page = metrics.page(STANDING, ()).decode()
    for secret in ("t0k3n", "secret.example", "in words", "no reply", "Sora"):
        assert secret not in page


def test_a_watcher_without_web_loads_no_metrics_library() -> None:
    program = "import sys, watcher.daemon\nprint('prometheus_client' in sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False
    )
    assert (done.stdout, done.stderr) == ("False\n", "")


def test_one_poll_loads_nothing_that_watches_the_daemon() -> None:
    program = "import sys, watcher.app; print([n for n in sys.modules if n.startswith('watcher.monitor.')])"
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False
    )
    assert (done.stdout, done.stderr) == ("[]\n", "")


# The files for Prometheus and Grafana

_NAME = re.compile(r"\b(?:kie_watcher|process)_[a-z_]+")
_LABELS = re.compile(r"(kie_watcher_[a-z_]+)\{([^}]*)\}")


def everything() -> dict[str, set[str]]:
    """Every series name there is, with the names of its labels."""
    metrics = Metrics(["team"], lambda: NOW)
    metrics.polled(poll(PollOutcome.QUIET))
    metrics.attempted(attempt(Verdict.ACCEPTED, waited=HOUR))
    metrics.deferred("team", {1: "quiet"})
    metrics.suppressed("silence", 1)
    metrics.pinged("failed")
    metrics.configured(None)
    page = metrics.page(STANDING, ()).decode()
    return {
        sample.name: set(sample.labels)
        for family in text_string_to_metric_families(page)
        for sample in family.samples
    }


def rules() -> list[dict[str, Any]]:
    groups = yaml.safe_load((DOCS / "alerts.rules.yaml").read_text())["groups"]
    return [rule for group in groups for rule in group["rules"]]


def panels() -> list[dict[str, Any]]:
    return json.loads((DOCS / "grafana-dashboard.json").read_text())["panels"]


def expressions() -> list[str]:
    of_panels = [t["expr"] for panel in panels() for t in panel.get("targets", ())]
    return [rule["expr"] for rule in rules()] + of_panels


@pytest.mark.parametrize("expression", expressions())
def test_every_metric_asked_for_is_there_with_its_labels(expression: str) -> None:
    there = everything()
    names = _NAME.findall(expression)
    assert names
    assert set(names) <= set(there)
    for name, labels in _LABELS.findall(expression):
        asked = {part.split("=")[0].rstrip("!~") for part in labels.split(",") if part.strip()}
        assert asked - {"job", "instance"} <= there[name]
    assert expression.count("(") == expression.count(")")


def test_each_alert_says_what_it_means_and_what_to_do() -> None:
    names = [rule["alert"] for rule in rules()]
    assert len(set(names)) == len(names)
    for rule in rules():
        assert rule["alert"].startswith("KieWatcher")
        assert rule["labels"]["severity"] in {"warning", "critical"}
        assert set(rule["annotations"]) == {"summary", "description"}
        assert re.fullmatch(r"\d+[mhd]", rule["for"])


def test_the_dashboard_shows_everything_that_is_counted() -> None:
    shown = set(_NAME.findall(" ".join(expressions())))
    for name in everything():
        family = re.sub(r"_(total|bucket|sum|count)$", "", name)
        if name.startswith("kie_watcher_"):
            assert any(each.startswith(family) for each in shown), name


def test_the_panels_stand_side_by_side() -> None:
    places = set()
    for panel in panels():
        place = panel["gridPos"]
        assert place["x"] + place["w"] <= 24
        cells = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert not places & cells, panel["title"]
        places |= cells
    assert len({panel["id"] for panel in panels()}) == len(panels())
