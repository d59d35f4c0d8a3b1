"""Crowd: fifty receivers that misbehave in every way, and one good one of each service of our own.

The daemon is a process of its own, over real sockets, by the real clock, for as long as it is let.
Each message comes to every good receiver in time, and all processes together stay within what the
service may take.
"""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
import sys
from collections import defaultdict
from contextlib import asynccontextmanager
from email import message_from_bytes
from email.policy import default as modern
from math import ceil
from pathlib import Path
from time import monotonic
from typing import TYPE_CHECKING, Any

from aiohttp import web
from aiosmtpd.smtp import SMTP

from torture.bad_receivers import MAIL_OPTIONS, NEVER_LEAVES, bad_receivers, sort_of
from torture.internet import Internet, WebAnswer, WebRequest
from torture.loopback import serve_http
from torture.machine import ProcessTree, process_tree, temporary_directory
from torture.trial import BrokenPromise, Tally, Trial
from watcher.simulator.catalogue import Insert
from watcher.simulator.generator import generate
from watcher.simulator.server import Simulator
from watcher.store.queries import open_reader

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from torture.trial import Budget

__all__ = ["CROWD", "crowd"]

ROOT = Path(__file__).resolve().parent.parent
UNIT = ROOT / "systemd" / "kie-watcher.service"
BAD = 50
MODELS, PAGE = 40, 15
# Seconds. Mail and ntfy want five and a half between two messages.
EVERY = 6.0
LONGEST = 2.0
# What has not come by then will not.
PATIENCE = 60.0
STOPS_WITHIN = 10.0
SAMPLE_EVERY = 0.5
SHOWN_OF_LOG = 2000

_HOSTS = {
    "discord.com": "discord",
    "hooks.slack.com": "slack",
    "api.telegram.org": "telegram",
}
_URLS = {
    "discord": "discord://123456789012345678/Crowd-Discord-Token",
    "slack": "slack://T1JJ3T3L2/A1BRTD4JD/CrowdSlackToken000000000",
    "telegram": "tgram://123456789:CrowdTelegramTokenCrowdTelegramTok/4711",
}
_MARK = re.compile(r"Crowd (\d+)")


class GoodReceivers:
    """One receiver of each service, and when each message came to each of them."""

    def __init__(self) -> None:
        # By service: the time at which the news of each number came, of a monotonic clock.
        self.came: dict[str, dict[int, float]] = defaultdict(dict)
        self.urls: dict[str, str] = dict(_URLS)
        self._news = asyncio.Event()

    @asynccontextmanager
    async def open(self) -> AsyncIterator[None]:
        """Let those without a name of their own listen on loopback."""
        loop = asyncio.get_running_loop()
        mail = await loop.create_server(lambda: SMTP(self), "127.0.0.1", 0)
        self.urls["mail"] = f"mailto://127.0.0.1:{mail.sockets[0].getsockname()[1]}?{MAIL_OPTIONS}"
        try:
            async with serve_http(self._post) as host:
                self.urls["json"] = f"json://{host}/json"
                self.urls["ntfy"] = f"ntfy://{host}/topic"
                yield
        finally:
            mail.close()

    async def have(self, number: int) -> bool:
        """Wait until all have the news of a number; whether they do, in time."""
        try:
            async with asyncio.timeout(PATIENCE):
                while any(number not in self.came[name] for name in self.urls):
                    self._news.clear()
                    await self._news.wait()
        except TimeoutError:
            return False
        return True

    def answer(self, request: WebRequest) -> WebAnswer:
        """Answer for the services that have names of their own."""
        self._take(_HOSTS[request.host], request.body.decode())
        return WebAnswer()

    async def _post(self, request: web.Request) -> web.Response:
        name = "json" if request.path == "/json" else "ntfy"
        self._take(name, await request.text())
        return web.Response(text="ok")

    async def handle_DATA(self, _server: Any, _session: Any, envelope: Any) -> str:  # noqa: N802
        mail = message_from_bytes(envelope.content, policy=modern)
        text = mail.get_body(("plain",))  # type: ignore[attr-defined]
        self._take("mail", text.get_content())
        return "250 OK"

    def _take(self, name: str, text: str) -> None:
        # What says no number is the baseline.
        for number in map(int, _MARK.findall(text) or ["0"]):
            self.came[name].setdefault(number, monotonic())
        self._news.set()


class _Sampler:
    """The most that the processes of the daemon ever took together."""

    def __init__(self, pid: int) -> None:
        self.most = ProcessTree()
        self._pid = pid

    async def run(self) -> None:
        """Sample until cancelled."""
        while True:
            self.most = self.most.most(await asyncio.to_thread(process_tree, self._pid))
            await asyncio.sleep(SAMPLE_EVERY)


async def crowd(seed: int, budget: Budget, *, every: float, longest: float) -> Tally:
    """A new model every so many seconds, told to each good receiver within the longest time.

    A run is a message that came to one of them.
    """
    good = GoodReceivers()
    simulator = Simulator(generate(seed=seed, size=MODELS))
    with temporary_directory() as place:
        async with (
            bad_receivers(BAD, place) as bad,
            good.open(),
            Internet(place, good.answer) as internet,
            simulator,
        ):
            reads: list[float] = []
            simulator.between_pages(lambda *_: reads.append(monotonic()))
            config = _configure(place, simulator.url, {**bad.urls, **good.urls})
            command = (*bad.command, sys.executable, "-m", "watcher", "--config", str(config))
            async with _daemon((*command, "run"), internet, place) as process:
                sampler = _Sampler(process.pid)
                sampling = asyncio.create_task(sampler.run())
                shown = await _watch(simulator, good, budget, every, reads)
                sampling.cancel()
                await _stop(process, place)
            wrong = [*_late(good, shown, longest), *await _wrongly_ambiguous(place)]
    wrong += _beyond(sampler.most)
    times = {
        number: max(good.came[name][number] - at for name in good.urls)
        for number, at in shown.items()
    }
    figures = {
        "most seconds until the first message came, of all at once": times.pop(0),
        "most seconds until any later one came": max(times.values(), default=0),
        **sampler.most.figures(),
    }
    return Tally(len(shown) * len(good.urls), figures, tuple(wrong))


async def _watch(
    simulator: Simulator,
    good: GoodReceivers,
    budget: Budget,
    every: float,
    reads: list[float],
) -> dict[int, float]:
    """Edit and wait, until the budget is spent; when each number could be told."""
    if not await good.have(0):
        raise BrokenPromise(f"the baseline never came: {dict(good.came)}")
    # The baseline when the last page of the first sweep was read.
    shown, number = {0: reads[ceil(MODELS / PAGE) - 1]}, 0
    while (number + 1) * len(good.urls) < budget.runs and not budget.over:
        await asyncio.sleep(every)
        number += 1
        row = {**generate(seed=1, size=1)[0], "modelDescription": f"Crowd {number}, text-to-video"}
        Insert(row).apply(simulator.catalogue)
        shown[number] = monotonic()
        budget.progress(number * len(good.urls))
        if not await good.have(number):
            missing = [name for name in good.urls if number not in good.came[name]]
            raise BrokenPromise(f"news {number} never came to {missing}")
    return shown


def _late(good: GoodReceivers, shown: dict[int, float], longest: float) -> list[str]:
    return [
        f"{name}: news {number} came after {good.came[name][number] - at:.1f} s"
        for number, at in shown.items()
        for name in good.urls
        if good.came[name][number] - at > longest
    ]


async def _wrongly_ambiguous(place: Path) -> list[str]:
    """What was never sent and is said to have arrived perhaps; and what a good one did not get."""
    wrong = []
    async with open_reader(place / "state.db") as views:
        status = await views.status()
    for each in status.receivers:
        if not each.receiver.startswith("bad"):
            if each.waiting or each.open or each.dead:
                wrong.append(f"{each.receiver} has not got everything: {each}")
        elif sort_of(each.receiver) in NEVER_LEAVES and "arrived" in (each.last_error or ""):
            wrong.append(f"{sort_of(each.receiver)}: {each.last_error}")
    return wrong


def _beyond(most: ProcessTree) -> list[str]:
    """What was more than the service's unit allows."""
    unit = UNIT.read_text("utf-8")
    allowed = {
        key: int(re.findall(rf"^{key}=(\d+)M?$", unit, re.MULTILINE)[0])
        for key in ("TasksMax", "MemoryMax")
    }
    wrong = []
    if most.threads > allowed["TasksMax"]:
        wrong.append(f"{most.threads} tasks, more than TasksMax={allowed['TasksMax']}")
    if most.memory > allowed["MemoryMax"]:
        wrong.append(f"{most.memory:.0f} MiB, more than MemoryMax={allowed['MemoryMax']}M")
    return wrong


def _configure(place: Path, source: str, urls: dict[str, str]) -> Path:
    content = {
        "source": {"url": source, "page_size": PAGE, "probe_size": 5},
        "poll": {"interval": "0.2s", "full_sweep_every": "1s", "settle_delay": "0.01s"},
        "state": {"path": str(place / "state.db")},
        "receivers": {name: {"url": url} for name, url in urls.items()},
        "operator_after": "1d",
    }
    config = place / "config.yaml"
    config.write_text(json.dumps(content))  # JSON is YAML
    return config


@asynccontextmanager
async def _daemon(
    command: tuple[str, ...], internet: Internet, place: Path
) -> AsyncIterator[asyncio.subprocess.Process]:
    with (place / "log").open("wb") as log:
        process = await asyncio.create_subprocess_exec(
            *command, cwd=ROOT, stdout=log, stderr=log, env={**os.environ, **internet.environment}
        )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


async def _stop(process: asyncio.subprocess.Process, place: Path) -> None:
    """Stop the daemon, which waits for nobody that hangs."""
    process.send_signal(signal.SIGTERM)
    try:
        async with asyncio.timeout(STOPS_WITHIN):
            code = await process.wait()
    except TimeoutError:
        raise BrokenPromise(f"it did not stop within {STOPS_WITHIN:.0f} s") from None
    if code:
        log = (place / "log").read_text("utf-8", errors="replace")
        raise BrokenPromise(f"stopped with {code}: {log[-SHOWN_OF_LOG:]}")


async def _run_seed(seed: int, budget: Budget) -> Tally:
    return await crowd(seed, budget, every=EVERY, longest=LONGEST)


# A hundred numbers, six seconds apart, to six receivers: ten minutes.
CROWD = Trial("crowd", "messages", 600, 3, _run_seed)
