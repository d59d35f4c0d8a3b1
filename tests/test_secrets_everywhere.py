"""Secrets stay where they are put: every way out of the real program, on every path that fails.

Each secret begins with the same letters, so that one look finds any of them, whole or in part.
"""

from __future__ import annotations

import asyncio
import base64
import re
import resource
import signal
import ssl
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractContextManager, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import trustme
from aiohttp import web
from aiosmtpd.smtp import SMTP, AuthResult

from command_line import PATIENCE, Place, ended
from mail_server import free_port, login_with, mail_server
from torture.loopback import serve_http
from watcher.simulator.faults import Status
from watcher.simulator.generator import generate
from watcher.simulator.server import Simulator
from watcher.worker import forbid_core_dumps

CANARY = "C4n4ry"

CONFIGURATION = """
source: {{url: "{source}"}}
poll: {{interval: 0.2s, full_sweep_every: 0.2s, settle_delay: 0.05s, max_backoff: 0.3s}}
state: {{path: state.db}}
receivers:
  fine: {{url: "${{FINE_URL}}"}}
  refusing: {{url: "json://C4n4ry-user-2:C4n4ry-pass-2@{host}/deny/C4n4ry-path-2?+X-Key=C4n4ry-key-2"}}
  moved: {{url_file: moved-url}}
  torn: {{url: "json://C4n4ry-user-4:C4n4ry%2Fp%40ss-4@{host}/torn/C4n4ry-path-4"}}
  closed: {{url: "json://C4n4ry-user-5:C4n4ry-pass-5@127.0.0.1:{closed}/C4n4ry-path-5"}}
  tls: {{url: "jsons://C4n4ry-user-6:C4n4ry-pass-6@127.0.0.1:{tls}/C4n4ry-path-6"}}
  mail: {{url: "mailto://C4n4ry-user-7:C4n4ry-pass-7@127.0.0.1:{mail}?{options}&to=C4n4ry-7@example.net"}}
  login: {{url: "mailto://C4n4ry-user-8:C4n4ry-pass-8@127.0.0.1:{login}?{options}&to=C4n4ry-8@example.net"}}
  later: {{url: "json://{host}/later/${{TOKEN}}"}}
operator: [fine]
operator_after: 0.2s
heartbeat: {{url: "${{HEARTBEAT_URL}}"}}
web: {{listen: "127.0.0.1:{web}"}}
log: {{level: debug, format: {format}}}
"""

# Wrong in every place that holds a secret, and in one that holds none.
WRONG = """
poll: {interval: 1s}
receivers:
  unknown: {url: "nosuchservice://C4n4ry-user-a:C4n4ry-pass-a@example.org/C4n4ry-path-a"}
  empty: {url: "discord://C4n4ry-only-half-b"}
  clear: {url: "mailto://C4n4ry-user-c:C4n4ry-pass-c@gmail.com"}
  missing: {url: "json://${NOT_SET_HERE}/C4n4ry-path-d"}
  nested: {url: {C4n4ry-key-e: C4n4ry-value-e}}
  torn: {url: "json://[C4n4ry-host-f/C4n4ry-path-f"}
  filed: {url_file: wrong-url}
heartbeat: {url: "ftp://C4n4ry-user-g:C4n4ry-pass-g@example.org/C4n4ry-path-g"}
"""
OPTIONS = "smtp=127.0.0.1&mode=insecure&from=watcher@example.org"
NAMES = {"fine", "refusing", "moved", "torn", "closed", "tls", "mail", "login", "later"}


def in_base64() -> Iterator[str]:
    """As a header says who one is."""
    for number in range(1, 9):
        for password in (f"C4n4ry-pass-{number}", f"C4n4ry/p@ss-{number}"):
            yield base64.b64encode(f"C4n4ry-user-{number}:{password}".encode()).decode()


def must_not_tell(where: str, text: str) -> None:
    found = re.search(CANARY, text, re.IGNORECASE)
    if found is not None:
        start = max(0, found.start() - 200)
        pytest.fail(f"{where}: …{text[start : found.end() + 60]}…")
    for token in in_base64():
        assert token not in text, where


@dataclass
class Stranger:
    """A server that repeats to everybody all that it was told, and refuses in many ways."""

    host: str = ""
    bodies: list[str] = field(default_factory=list)

    async def answer(self, request: web.Request) -> web.Response:
        body = await request.text()
        told = f"{request.method} {request.url} {dict(request.headers)} {body}"
        match request.path.split("/")[1]:
            case "fine":
                self.bodies.append(body)
                return web.Response(text=told)
            case "deny":
                return web.Response(status=403, text=told, reason="Sorry C4n4ry")
            case "moved":
                elsewhere = {"Location": f"http://127.0.0.1:9{request.path}?C4n4ry-query"}
                return web.Response(status=302, headers=elsewhere)
            case "later":
                return web.Response(status=429, text=told, headers={"Retry-After": "C4n4ry"})
            case "torn" if request.transport is not None:
                request.transport.close()
        return web.Response(status=500, text=told)


@asynccontextmanager
async def a_stranger(context: ssl.SSLContext | None = None) -> AsyncIterator[Stranger]:
    stranger = Stranger()
    async with serve_http(stranger.answer, context) as stranger.host:
        yield stranger


class PostOffice:
    """Repeats names and addresses in its refusals."""

    def __init__(self, login_works: bool) -> None:
        self._login_works = login_works

    async def handle_RCPT(  # noqa: N802
        self, _server: SMTP, _session: Any, _envelope: Any, address: str, _options: list[str]
    ) -> str:
        return f"550 5.1.1 <{address}>: C4n4ry-user-7 may not write to C4n4ry-7@example.net"

    def authenticate(self, *_: Any) -> AuthResult:
        said = None if self._login_works else "535 5.7.8 C4n4ry-user-8 C4n4ry-pass-8 is wrong"
        return AuthResult(success=self._login_works, handled=False, message=said)


def a_post_office(login_works: bool) -> AbstractContextManager[int]:
    office = PostOffice(login_works)
    return mail_server(office, **login_with(office.authenticate))


class World:
    """The program in a directory of its own, among strangers."""

    def __init__(self, place: Place, stranger: Stranger, text: str) -> None:
        self.place = place
        self._text = text
        moved = f"json://C4n4ry-user-3:C4n4ry-pass-3@{stranger.host}/moved/C4n4ry-path-3\n"
        place.configure(moved, "moved-url")
        place.configure("json:/C4n4ry-user-h:C4n4ry-pass-h@example.org\n", "wrong-url")
        self.configure()

    @property
    def log(self) -> str:
        return (self.place.path / "log").read_text("utf-8")

    def configure(self, text: str | None = None) -> None:
        self.place.configure(self._text if text is None else text)

    async def says(self, *arguments: str) -> str:
        """All that a command prints; how it ends does not matter here."""
        said = (await self.place.run_aside(*arguments)).output
        assert said, arguments
        return said

    async def says_with_its_log(self, *arguments: str) -> str:
        """All that a process prints, to whichever stream."""
        process = await self.place.start(*arguments, stderr=asyncio.subprocess.STDOUT)
        said = (await ended(process)).stdout
        assert said, arguments
        return said

    async def until(self, truth: Callable[[str], object]) -> None:
        try:
            async with asyncio.timeout(PATIENCE):
                while not truth(self.log):  # noqa: ASYNC110 - another process, no event
                    await asyncio.sleep(0.05)
        except TimeoutError:
            pytest.fail(self.log[-4000:])


@asynccontextmanager
async def a_world(
    place: Place, monkeypatch: pytest.MonkeyPatch, log_format: str
) -> AsyncIterator[tuple[World, Simulator, Stranger]]:
    certificate = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    trustme.CA().issue_cert("127.0.0.1").configure_cert(certificate)
    with a_post_office(login_works=True) as mail, a_post_office(login_works=False) as login:
        async with (
            Simulator(generate(seed=5, size=30)) as simulator,
            a_stranger() as stranger,
            a_stranger(certificate) as untrusted,
        ):
            text = CONFIGURATION.format(
                source=simulator.url,
                host=stranger.host,
                closed=free_port(),
                tls=untrusted.host.partition(":")[2],
                mail=mail,
                login=login,
                options=OPTIONS,
                web=free_port(),
                format=log_format,
            )
            fine = f"json://C4n4ry-user-1:C4n4ry-pass-1@{stranger.host}/fine/C4n4ry-path-1"
            beat = f"http://{stranger.host}/ping/C4n4ry-heartbeat?key=C4n4ry-beat-key"
            monkeypatch.setenv("FINE_URL", fine)
            monkeypatch.setenv("HEARTBEAT_URL", beat)
            monkeypatch.setenv("TOKEN", "C4n4ry-token-9")
            monkeypatch.setenv("SOMETHING_ELSE", "C4n4ry-of-another-program")
            yield World(place, stranger, text), simulator, stranger


def tried(log: str) -> set[str]:
    """The receivers that a log says were tried."""
    return {name for name in NAMES if re.search(rf'receiver"?[=:] ?"?{name}\b', log)}


async def pages(config: str) -> str:
    """What the watcher's own pages say."""
    base = "http://" + re.findall(r'listen: "(.+)"', config)[0]
    texts = []
    async with aiohttp.ClientSession() as session:
        for page in ("livez", "readyz", "metrics", "C4n4ry-not-a-page"):
            async with session.get(f"{base}/{page}") as answer:
                texts.append(await answer.text())
    assert "kie_watcher" in texts[2]
    return "\n".join(texts)


def processes(pid: int) -> Iterator[Path]:
    """A process and what it started, in `/proc`."""
    yield Path(f"/proc/{pid}")
    for children in Path(f"/proc/{pid}/task").glob("*/children"):
        for child in children.read_text().split():
            yield from processes(int(child))


# The secrets of a configuration never leave the program but to whom they are for.


@pytest.mark.skipif(not Path("/proc/self/limits").exists(), reason="needs Linux's /proc")
async def test_no_secret_leaves_the_daemon_whatever_fails(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = place.path / "config.yaml"
    async with a_world(place, monkeypatch, "json") as (world, simulator, stranger):
        with (place.path / "log").open("wb") as log:
            process = await place.start("run", stdout=log, stderr=log)
        try:
            await world.until(lambda log: tried(log) == NAMES and "heartbeat.failed" in log)
            world.configure(WRONG)
            process.send_signal(signal.SIGHUP)
            await world.until(lambda log: "config.refused" in log)
            world.configure()
            world.configure(config.read_text().replace("path-5", "path-55"))
            process.send_signal(signal.SIGHUP)
            await world.until(lambda log: "config.reloaded" in log)
            simulator.faults.always(Status(500))
            # The operator hears of all that, and with it everybody who is read.
            await world.until(lambda _: len(stranger.bodies) >= 3)

            must_not_tell("pages", await pages(config.read_text()))
            for one in processes(process.pid):
                must_not_tell("cmdline", (one / "cmdline").read_text())
                limits = (one / "limits").read_text()
                assert re.search(r"Max core file size +0 +0 ", limits), limits
            for command in ("status", "status --json", "outbox list", "outbox list --json"):
                must_not_tell(command, await world.says(*command.split()))
            must_not_tell("backup", await world.says("backup", "copy.db"))
        finally:
            process.terminate()
            await process.wait()
    must_not_tell("log", world.log)
    for body in stranger.bodies:
        must_not_tell("message", body)
    for path in place.path.rglob("*"):
        if path.is_file() and path.name not in {"config.yaml", "moved-url", "wrong-url"}:
            must_not_tell(path.name, path.read_bytes().decode("latin-1"))
            assert path.name == "log" or path.stat().st_mode & 0o077 == 0, path


async def test_no_secret_leaves_a_command_whatever_fails(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with a_world(place, monkeypatch, "readable") as (world, _, _stranger):
        for command in ("test-notify", "check"):
            said = await world.says_with_its_log(command)
            must_not_tell(command, said)
            assert "Traceback" not in said
        for command in ("validate", "status", "outbox list"):
            said = await world.says(*command.split())
            must_not_tell(command, said)
            assert "Traceback" not in said
        world.configure(WRONG)
        for command in ("validate", "run"):
            said = await world.says(*command.split())
            must_not_tell(command, said)
            assert "Traceback" not in said


# What stands beside the program


def test_whoever_forbids_core_dumps_does_so_for_good() -> None:
    forbid_core_dumps()
    assert resource.getrlimit(resource.RLIMIT_CORE) == (0, 0)
