"""The short form of `make torture`: each trial with fixed seeds."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import timedelta
from functools import partial
from pathlib import Path
from time import monotonic

import pytest

from logs import capture_logs
from torture.crowd import crowd
from torture.flapping import FLAPPING, name_of
from torture.garbage import GARBAGE, is_sound
from torture.kill import KILL
from torture.lies import LIES
from torture.lies import SCENARIOS as LYING
from torture.outage import OUTAGE, SCENARIOS
from torture.report import fields, from_fields, table
from torture.soak import Scale, soak
from torture.state import STATE
from torture.torn import TORN, TornWorld
from torture.trial import BrokenPromise, Budget, Result, Tally, Trial, run_trial
from watcher.config.settings import PollSettings
from watcher.simulator.generator import generate
from watcher.store.store import open_store
from watcher.store.values import PollOutcome

LONG_ENOUGH = 3600.0
# Values that flap of one model or of a few; many of them take longer.
FLAPPING_SEEDS = (3, 4, 5, 6)
# A fast seed of each scenario.
OUTAGES = (9, 1, 20, 3, 31, 23, 6, 16, 17)
# So many that each rule about complete sweeps and holds, taken out, is missed in one of them.
TORN_WORLDS = range(17)


@pytest.fixture(autouse=True)
def _quiet() -> Iterator[None]:
    with capture_logs():
        yield


def few(runs: int) -> Budget:
    return Budget(runs, monotonic() + LONG_ENOUGH)


async def test_killed_at_random_moments_it_tells_everything_in_the_end() -> None:
    tally = await KILL.run_seed(4, few(6))

    assert tally.runs == 6
    assert tally.figures["changes announced"] > 0


@pytest.mark.parametrize("seed", TORN_WORLDS)
async def test_what_is_edited_while_it_is_read_is_announced_as_it_was(seed: int) -> None:
    tally = await TORN.run_seed(seed, few(1))

    assert tally.figures["changes announced"] > 0


@pytest.mark.parametrize("seed", range(20))
async def test_a_first_snapshot_of_a_moving_catalogue_misses_nothing(
    tmp_path: Path, seed: int
) -> None:
    async with open_store(tmp_path / "state.db") as store:
        world = TornWorld(seed, store)
        world.client.before_reply = partial(world.market.replace_far_away_at_random, 0.08)
        while (await world.poll()).outcome is not PollOutcome.BASELINE:
            pass
        world.client.before_reply = lambda: None

        # What was missed would now be announced as new.
        world.minutes += 45
        assert (await world.poll()).outcome.is_good


@pytest.mark.parametrize("seed", range(len(LYING)), ids=lambda it: LYING[it].__name__.strip("_"))
async def test_what_only_a_lying_listing_says_is_not_announced(seed: int) -> None:
    tally = await LIES.run_seed(seed, few(1))

    assert tally.figures["changes announced"] > 0


async def test_garbage_is_refused_and_announces_nothing() -> None:
    tally = await GARBAGE.run_seed(2, few(1))

    assert tally.figures["polls refused"] > tally.runs / 3


@pytest.mark.parametrize("seed", OUTAGES, ids=lambda it: SCENARIOS[it % len(SCENARIOS)].__name__)
async def test_after_an_outage_everything_is_told(seed: int) -> None:
    tally = await OUTAGE.run_seed(seed, few(1))

    assert tally.figures["changes announced"] > 0


@pytest.mark.parametrize("seed", range(4))
async def test_a_flipped_byte_or_a_file_taken_away_is_refused_in_words(seed: int) -> None:
    tally = await STATE.run_seed(seed, few(10))

    assert tally.runs == 10


async def test_fifty_bad_receivers_keep_nobody_waiting() -> None:
    # Shorter than any of them hangs, and long enough for a machine with other work.
    tally = await crowd(1, few(7), every=1, longest=14)

    assert tally.runs == 12
    assert not tally.wrong


@pytest.mark.parametrize("seed", FLAPPING_SEEDS, ids=name_of)
async def test_two_backends_for_a_day_make_few_messages_and_everybody_knows_the_truth(
    seed: int,
) -> None:
    assert not (await FLAPPING.run_seed(seed, few(1))).wrong


async def test_a_month_at_ten_times_the_real_rate_leaves_memory_flat_and_the_state_small() -> None:
    hourly = PollSettings(interval=timedelta(hours=1), full_sweep_every=timedelta(hours=6))
    month = Scale(models=40, change_interval=timedelta(hours=3), poll=hourly)

    tally = await soak(5, few(30 * 24), month)

    assert tally.figures["changes"] > 100
    assert not [what for what in tally.wrong if "took" not in what]


def test_all_outages_are_in_the_short_form() -> None:
    assert {seed % len(SCENARIOS) for seed in OUTAGES} == set(range(len(SCENARIOS)))


def test_a_row_is_sound_only_as_the_api_documents_it() -> None:
    row = generate(1, size=20)[0]

    assert is_sound(row)
    assert not any(is_sound({**row, field: []}) for field in row)


async def ten_runs(seed: int, budget: Budget) -> Tally:
    if seed == 12:
        raise BrokenPromise("said twelve")
    if seed == 13:
        raise ZeroDivisionError
    return Tally(10, {"seeds": seed, "most of one": seed})


TENS = Trial("tens", "runs", 100, 1, ten_runs)


async def run_tens(count: int, seconds: float = LONG_ENOUGH) -> Result:
    return await run_trial(TENS, seed=10, count=count, seconds=seconds, say=lambda _: None)


async def test_a_trial_goes_on_to_its_count_and_says_which_seeds_found_what() -> None:
    result = await run_tens(count=40)

    assert (result.runs, result.seeds) == (40, range(10, 16))
    assert [(it.seed, it.what.partition(":")[0]) for it in result.findings] == [
        (12, "said twelve"),
        (13, "crashed"),
    ]
    assert result.figures == {"seeds": 10 + 11 + 14 + 15, "most of one": 15}


async def test_a_trial_without_time_does_nothing() -> None:
    assert (await run_tens(count=40, seconds=0)).runs == 0


async def test_a_result_is_the_same_from_one_process_to_another() -> None:
    result = await run_tens(count=40)

    assert from_fields(TENS, fields(result)) == result
    assert "| 40 runs | 40 | 10–15 |" in table([result])
