"""Tries what is promised for bad days: `python -m torture [NAME…] [--seconds N] [--seed N]`.

Each trial runs in a process of its own, so that its memory can be measured. Exit 1 on any finding.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import logging
import os
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from torture.crowd import CROWD
from torture.flapping import FLAPPING
from torture.garbage import GARBAGE
from torture.kill import KILL
from torture.lies import LIES
from torture.outage import OUTAGE
from torture.report import fields, from_fields, report, table
from torture.soak import SOAK, YEAR
from torture.state import STATE
from torture.torn import TORN
from torture.trial import Finding, Result, Trial, run_trial

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

ROOT = Path(__file__).resolve().parent.parent
# The longest first, so that the others run beside them.
TRIALS: Mapping[str, Trial] = {
    it.name: it for it in (SOAK, YEAR, KILL, TORN, LIES, CROWD, OUTAGE, STATE, GARBAGE, FLAPPING)
}
SECONDS = 900.0
SHOWN_OF_A_CRASH = 2000


def main() -> int:
    """Exit 0 without findings, 1 with any, 2 for a wrong command line."""
    chosen = _arguments()
    if chosen.child:
        return _child(chosen)
    started_at = datetime.now(UTC)
    results = asyncio.run(_all(chosen))
    print(table(results))
    for result in results:
        for finding in result.findings:
            print(f"\nFOUND by {result.trial.name}: {finding.what}")
            print(f"Again: python -m torture {result.trial.name} --seed {finding.seed}")
    if chosen.report is not None:
        text = report(results, started_at, chosen.seconds, chosen.jobs)
        chosen.report.write_text(text, "utf-8")
    return int(any(result.findings for result in results))


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m torture", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(TRIALS)}")
    parser.add_argument(
        "--seconds", type=float, default=SECONDS, help="for all together (%(default)s)"
    )
    parser.add_argument("--seed", type=int, default=1, help="the first seed (%(default)s)")
    parser.add_argument(
        "--jobs", type=int, default=min(os.cpu_count() or 1, 2), help="at once (%(default)s)"
    )
    parser.add_argument("--report", type=Path, metavar="FILE", help="write a report, in Markdown")
    parser.add_argument("--child", action="store_true", help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    if unknown := set(chosen.names) - set(TRIALS):
        parser.error(f"no such trial: {', '.join(sorted(unknown))}")
    if chosen.seconds <= 0 or chosen.jobs < 1:
        parser.error("--seconds and --jobs must be more than 0")
    return chosen


async def _all(chosen: argparse.Namespace) -> list[Result]:
    """Every trial in its part of the time, as many at once as there are jobs."""
    trials = [TRIALS[name] for name in chosen.names] or list(TRIALS.values())
    shares = sum(trial.share for trial in trials)
    jobs = min(chosen.jobs, len(trials))
    waiting, results = list(trials), dict[str, Result]()

    async def work() -> None:
        while waiting:
            trial = waiting.pop(0)
            seconds = min(chosen.seconds * jobs * trial.share / shares, chosen.seconds)
            results[trial.name] = await _in_a_process(trial, seconds, chosen.seed)

    await asyncio.gather(*(work() for _ in range(jobs)))
    return [results[trial.name] for trial in trials]


async def _in_a_process(trial: Trial, seconds: float, seed: int) -> Result:
    """One trial in a process of its own; a process that dies is a finding."""
    say(f"{trial.name}: {trial.count:,} {trial.unit}, or {seconds:.0f} s")
    options: Sequence[str] = ("--seconds", str(seconds), "--seed", str(seed))
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "torture", trial.name, *options, "--child"),
        cwd=ROOT,
        stdout=asyncio.subprocess.PIPE,
    )
    try:
        output, _ = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
    text = output.decode(errors="replace")
    if process.returncode:
        died = Finding(seed, f"died with {process.returncode}: {text[-SHOWN_OF_A_CRASH:]}")
        return Result(trial, trial.count, 0, range(seed, seed), 0, (died,), {})
    result = from_fields(trial, json.loads(text))
    say(f"{trial.name}: done, {result.runs:,} {trial.unit}, {len(result.findings)} findings")
    return result


def _child(chosen: argparse.Namespace) -> int:
    """Run one trial in this process, and print its result for the parent."""
    # Servers that fail in the middle of a reply are meant here, and would be logged.
    logging.disable(logging.CRITICAL)
    trial = TRIALS[chosen.names[0]]
    result = asyncio.run(
        run_trial(trial, seed=chosen.seed, count=trial.count, seconds=chosen.seconds, say=say)
    )
    print(json.dumps(fields(result)))
    return 0


def say(text: str) -> None:
    """Print progress to stderr: the table goes to stdout."""
    print(text, file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
