"""urlwatch at the same task: jobs for the same catalogue, and a cache of its own.

Used by the benchmark only; it is no dependency of anything.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

from benchmarks.environments import of_urlwatch
from benchmarks.processes import cpu_of, to_the_end

if TYPE_CHECKING:
    from pathlib import Path

    from benchmarks.world import World

__all__ = ["PAGE_SIZE", "Urlwatch", "ready"]

PAGE_SIZE = 100


@dataclass(frozen=True, slots=True)
class Urlwatch:
    """An urlwatch that has seen the catalogue of a world once, and checks it again."""

    command: list[str]
    place: Path
    version: str

    async def check_cpu(self, times: int) -> float:
        """The median CPU seconds of one check as a process."""
        return await cpu_of(self.command, self.place, times, _environment(self.place))


async def ready(world: World) -> Urlwatch | None:
    """An urlwatch that has its jobs and has seen everything once; `None` where there is none."""
    programs = of_urlwatch()
    if programs is None:
        return None
    command = str(programs / "urlwatch")
    place = world.place / "urlwatch"
    place.mkdir()
    pages = -(-len(world.upstream.catalogue) // PAGE_SIZE)
    jobs = [_job(world.upstream.url, page) for page in range(1, pages + 1)]
    # JSON is YAML.
    (place / "urls.yaml").write_text("\n---\n".join(map(json.dumps, jobs)))
    (place / "urlwatch.yaml").write_text(json.dumps({"report": {"stdout": {"enabled": True}}}))
    version = (await to_the_end([command, "--version"], place, _environment(place))).output
    files = ["--urls", "urls.yaml", "--config", "urlwatch.yaml", "--cache", "cache.db"]
    whole = [command, *files, "--hooks", "hooks.py"]
    await to_the_end(whole, place, _environment(place))
    return Urlwatch(whole, place, " ".join(version.split()))


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
