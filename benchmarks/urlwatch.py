"""urlwatch with jobs for the same catalogue, for comparison. Only the benchmarks use it."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

from benchmarks.processes import run_to_end, urlwatch

if TYPE_CHECKING:
    from pathlib import Path

    from benchmarks.processes import Usage
    from benchmarks.world import World

__all__ = ["Urlwatch", "prepare"]

PAGE_SIZE = 100
CHECK = "--urls urls.yaml --config urlwatch.yaml --cache cache.db --hooks hooks.py".split()


@dataclass(frozen=True, slots=True)
class Urlwatch:
    """An urlwatch that has checked the catalogue of a world once."""

    command: Path
    place: Path
    version: str

    async def check(self) -> float:
        """The CPU seconds of one check as a process."""
        return (await _run(self.command, *CHECK, place=self.place)).cpu


async def prepare(world: World) -> Urlwatch:
    """Give urlwatch its jobs and check everything once."""
    command, place = urlwatch() / "urlwatch", world.place / "urlwatch"
    place.mkdir()
    pages = -(-len(world.api.catalogue) // PAGE_SIZE)
    jobs = [_job(world.api.url, page) for page in range(1, pages + 1)]
    # JSON is YAML.
    (place / "urls.yaml").write_text("\n---\n".join(map(json.dumps, jobs)))
    (place / "urlwatch.yaml").write_text(json.dumps({"report": {"stdout": {"enabled": True}}}))
    version = (await _run(command, "--version", place=place)).output
    ready = Urlwatch(command, place, " ".join(version.split()))
    await ready.check()
    return ready


def _job(url: str, page: int) -> dict[str, object]:
    return {
        "name": f"page {page}",
        "url": f"{url}model-pricing/page?{page}",
        "method": "POST",
        "headers": {"Content-Type": "application/json"},
        "data": json.dumps({"pageNum": page, "pageSize": PAGE_SIZE}),
    }


async def _run(command: Path, *arguments: str, place: Path) -> Usage:
    environment = {"HOME": str(place), "PATH": "/usr/bin:/bin", "LANG": "C.UTF-8"}
    return await run_to_end(command, *arguments, cwd=place, environment=environment)
