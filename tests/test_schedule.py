"""How long to wait: between polls, after failures, and before a message is tried again."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from random import Random

import pytest

from watcher.schedule import backoff, next_attempt, time_waited

SECOND, MINUTE, HOUR, DAY = (
    timedelta(seconds=1),
    timedelta(minutes=1),
    timedelta(hours=1),
    timedelta(days=1),
)


class Extreme(Random):
    """Chance that always falls to one end."""

    def __init__(self, at: float) -> None:
        super().__init__(0)
        self._at = at

    def random(self) -> float:
        return self._at

    def uniform(self, a: float, b: float) -> float:
        return a + (b - a) * self._at


LOWEST, HIGHEST = Extreme(0.0), Extreme(1.0)


@pytest.mark.parametrize(
    ("interval", "failures", "wanted", "limit", "least", "most"),
    [
        pytest.param(5 * MINUTE, 0, None, HOUR, 270 * SECOND, 330 * SECOND, id="no failure: ±10 %"),
        pytest.param(5 * MINUTE, 1, None, HOUR, 5 * MINUTE, 10 * MINUTE, id="one failure"),
        pytest.param(5 * MINUTE, 2, None, HOUR, 5 * MINUTE, 20 * MINUTE, id="two"),
        pytest.param(5 * MINUTE, 3, None, HOUR, 5 * MINUTE, 40 * MINUTE, id="three"),
        pytest.param(5 * MINUTE, 4, None, HOUR, 5 * MINUTE, HOUR, id="four: at the limit"),
        pytest.param(5 * MINUTE, 10**6, None, HOUR, 5 * MINUTE, HOUR, id="a month of failures"),
        pytest.param(2 * HOUR, 3, None, HOUR, 2 * HOUR, 2 * HOUR, id="interval over the limit"),
        pytest.param(5 * MINUTE, 1, 30 * MINUTE, HOUR, 30 * MINUTE, 30 * MINUTE, id="retry-after"),
        pytest.param(5 * MINUTE, 2, 6 * MINUTE, HOUR, 6 * MINUTE, 20 * MINUTE, id="soon over"),
        pytest.param(5 * MINUTE, 1, 3 * HOUR, HOUR, 3 * HOUR, 3 * HOUR, id="beyond the limit"),
        pytest.param(5 * MINUTE, 1, 9 * DAY, HOUR, DAY, DAY, id="at most a day"),
        pytest.param(5 * MINUTE, 1, -HOUR, HOUR, 5 * MINUTE, 10 * MINUTE, id="in the past"),
        pytest.param(0.2 * SECOND, 60, None, HOUR, 0.2 * SECOND, HOUR, id="a demo's interval"),
    ],
)
def test_the_next_poll_is_never_sooner_nor_later_than_promised(
    *,
    interval: timedelta,
    failures: int,
    wanted: timedelta | None,
    limit: timedelta,
    least: timedelta,
    most: timedelta,
) -> None:
    assert backoff(interval, failures, wanted, limit=limit, rng=LOWEST) == least
    assert backoff(interval, failures, wanted, limit=limit, rng=HIGHEST) == most
    for seed in range(50):
        assert least <= backoff(interval, failures, wanted, limit=limit, rng=Random(seed)) <= most


def test_without_jitter_a_healthy_poll_comes_exactly_on_time() -> None:
    wait = backoff(5 * MINUTE, 0, limit=HOUR, rng=Random(1), jitter=Decimal(0))
    assert wait == 5 * MINUTE


def test_watchers_that_failed_together_do_not_come_back_together() -> None:
    waits = {backoff(5 * MINUTE, 3, limit=HOUR, rng=Random(seed)) for seed in range(100)}
    assert len(waits) == 100
    assert max(waits) - min(waits) > 25 * MINUTE


@pytest.mark.parametrize(
    ("attempts", "wanted", "least", "most"),
    [
        pytest.param(0, None, 5 * SECOND, 10 * SECOND, id="never tried"),
        pytest.param(1, None, 5 * SECOND, 10 * SECOND, id="first failure"),
        pytest.param(2, None, 10 * SECOND, 20 * SECOND, id="second"),
        pytest.param(3, None, 20 * SECOND, 40 * SECOND, id="third"),
        pytest.param(8, None, 450 * SECOND, 15 * MINUTE, id="eighth: at the limit"),
        pytest.param(10**6, None, 450 * SECOND, 15 * MINUTE, id="for a week"),
        pytest.param(1, 60 * SECOND, MINUTE, MINUTE, id="retry-after"),
        pytest.param(1, 2 * HOUR, 2 * HOUR, 2 * HOUR, id="retry-after beyond the limit"),
        pytest.param(1, 30 * DAY, DAY, DAY, id="at most a day"),
        pytest.param(2, timedelta(), 10 * SECOND, 20 * SECOND, id="retry-after now"),
    ],
)
def test_a_message_is_tried_again_no_sooner_and_no_later_than_promised(
    attempts: int, wanted: timedelta | None, least: timedelta, most: timedelta
) -> None:
    assert next_attempt(attempts, wanted, LOWEST) == least
    assert next_attempt(attempts, wanted, HIGHEST) == most
    for seed in range(50):
        assert least <= next_attempt(attempts, wanted, Random(seed)) <= most


@pytest.mark.parametrize(
    ("unanswered", "least", "most"),
    [
        pytest.param(0, 10 * SECOND, 20 * SECOND, id="an answer, whatever it was"),
        pytest.param(1, 10 * SECOND, 20 * SECOND, id="the first without an answer"),
        pytest.param(2, 10 * SECOND, 20 * SECOND, id="the second"),
        pytest.param(3, 6 * HOUR, 6 * HOUR, id="the third"),
        pytest.param(4, 12 * HOUR, 12 * HOUR, id="the fourth"),
        pytest.param(10**6, 12 * HOUR, 12 * HOUR, id="for ever"),
    ],
)
def test_what_may_have_arrived_is_tried_again_ever_more_rarely(
    unanswered: int, least: timedelta, most: timedelta
) -> None:
    assert next_attempt(2, None, LOWEST, unanswered=unanswered) == least
    assert next_attempt(2, None, HIGHEST, unanswered=unanswered) == most


@pytest.mark.parametrize(
    ("planned", "passed", "counted"),
    [
        pytest.param(15 * MINUTE, 15 * MINUTE, 15 * MINUTE, id="tried when it was due"),
        pytest.param(15 * MINUTE, 16 * MINUTE, 15 * MINUTE, id="a moment later"),
        pytest.param(15 * MINUTE, MINUTE, MINUTE, id="sooner, as a person asked"),
        pytest.param(timedelta(), DAY, timedelta(), id="the first try"),
        pytest.param(15 * MINUTE, 3650 * DAY, 15 * MINUTE, id="the clock jumped ahead by years"),
        pytest.param(15 * MINUTE, -3650 * DAY, timedelta(), id="the clock jumped back by years"),
        pytest.param(-DAY, HOUR, timedelta(), id="due before it was planned: set back meanwhile"),
    ],
)
def test_of_a_wait_counts_the_lesser_of_what_was_planned_and_what_passed(
    planned: timedelta, passed: timedelta, counted: timedelta
) -> None:
    at = datetime(2026, 11, 22, tzinfo=UTC)
    assert time_waited(at, at + planned, at + passed) == counted


def test_the_same_chance_gives_the_same_wait() -> None:
    assert next_attempt(4, None, Random(7)) == next_attempt(4, None, Random(7))
