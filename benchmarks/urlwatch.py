"""urlwatch with jobs for the same catalogue, for comparison. Only the benchmark uses it."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

from benchmarks.environments import urlwatch_environment
from benchmarks.processes import cpu_of, run_to_end

if TYPE_CHECKING:
    from pathlib import Path

    from benchmarks.world import World

__all__ = ["PAGE_SIZE", "Urlwatch", "prepare"]

PAGE_SIZE = 100


@dataclass(frozen=True, slots=True)
class Urlwatch:
    """An urlwatch that has checked the catalogue of a world once."""

    command: list[str]
    place: Path
    version: str

    async def check_cpu(self, times: int) -> float:
        """The median CPU seconds of one check as a process."""
        return await cpu_of(self.command, self.place, times, _environment(self.place))


async def prepare(world: World) -> Urlwatch | None:
    """Give urlwatch its jobs and check everything once; `None` where it cannot be installed."""
    programs = urlwatch_environment()
    if programs is None:
        return None
    command = str(programs / "urlwatch")
    place = world.place / "urlwatch"
    place.mkdir()
    pages = -(-len(world.api.catalogue) // PAGE_SIZE)
    jobs = [_job(world.api.url, page) for page in range(1, pages + 1)]
    # JSON is YAML.
    (place / "urls.yaml").write_text("\n---\n".join(map(json.dumps, jobs)))
    (place / "urlwatch.yaml").write_text(json.dumps({"report": {"stdout": {"enabled": True}}}))
    version = (await run_to_end([command, "--version"], place, _environment(place))).output
    files = ["--urls", "urls.yaml", "--config", "urlwatch.yaml", "--cache", "cache.db"]
    check = [command, *files, "--hooks", "hooks.py"]
    await run_to_end(check, place, _environment(place))
    return Urlwatch(check, place, " ".join(version.split()))


def _job(url: str, page: int) -> dict[str, object]:
    return {
        "name": f"page {page}",
        "url": f"{url}model-pricing/page?{page}",
        "method": "POST",
        "headers": {"Content-Type": "application/json"},
        "data": json.dumps({"pageNum": page, "pageSize": PAGE_SIZE}),
    }


def _environment(place: Path) -> dict[str, str]:
    return {"HOME": str(place), "PATH": "/usr/bin:/bin", "LANG": "C.UTF-8"}
