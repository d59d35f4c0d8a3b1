"""The page about security is true: what it names is there, and what it promises is so."""

from __future__ import annotations

import ast
import asyncio
import re
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path

import pytest
import trustme
from aiohttp import web

from build import row
from torture.loopback import serve_http
from watcher.catalog.record import MAX_TEXT_LENGTH, parse_row
from watcher.config.settings import PollSettings, SourceSettings
from watcher.kie.client import MAX_PAGES, open_client
from watcher.kie.responses import MAX_BODY_BYTES, MAX_RECORDS, MAX_SWEEP_BYTES, SourceError
from watcher.monitor.heartbeat import open_heartbeat
from watcher.observer import Observer

ROOT = Path(__file__).parent.parent
PAGE = (ROOT / "docs" / "security.md").read_text("utf-8")


def proofs() -> list[tuple[str, str]]:
    return sorted(set(re.findall(r"`(test_\w+\.py)::(test_\w+)`", PAGE)))


@pytest.mark.parametrize(("file", "name"), proofs())
def test_every_proof_that_is_named_is_there(file: str, name: str) -> None:
    tree = ast.parse((ROOT / "tests" / file).read_text("utf-8"))
    functions = (ast.FunctionDef, ast.AsyncFunctionDef)
    assert name in {node.name for node in ast.walk(tree) if isinstance(node, functions)}


def test_every_module_that_is_named_is_there_and_every_promise_has_a_proof() -> None:
    modules = set(re.findall(r"`((?:watcher|systemd)/[\w./-]+)`", PAGE))
    assert len(modules) > 15
    assert not [name for name in modules if not (ROOT / name).is_file()]
    promises = PAGE.partition("## What is not stopped")[0].split("\n- ")[1:]
    assert len(promises) > 15
    assert not [promise[:60] for promise in promises if "::test_" not in promise]


def test_the_page_is_a_page() -> None:
    assert len(PAGE.splitlines()) < 130


def test_the_caps_are_those_that_the_page_names() -> None:
    assert f"{MAX_BODY_BYTES >> 20} MiB a reply" in PAGE
    assert f"{MAX_SWEEP_BYTES >> 20} MiB a sweep" in PAGE
    assert f"{MAX_RECORDS:,} records" in PAGE
    assert f"{MAX_PAGES:,} pages" in PAGE
    assert f"{MAX_TEXT_LENGTH:,} characters a field" in " ".join(PAGE.split())


@pytest.mark.parametrize(
    "field",
    ["modelDescription", "interfaceType", "provider", "creditPrice", "creditUnit", "usdPrice",
     "falPrice", "anchor"],
)  # fmt: skip
def test_a_field_has_at_most_a_thousand_characters(field: str) -> None:
    long = "9" * (MAX_TEXT_LENGTH + 1)
    kept = repr(parse_row(row(**{field: long})))
    assert long not in kept
    assert "9" * 500 not in kept, "not even a part of it"


@asynccontextmanager
async def an_impostor() -> AsyncIterator[tuple[str, list[str]]]:
    """A server with a certificate that nobody vouches for: its address, and who asked it."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    trustme.CA().issue_cert("127.0.0.1").configure_cert(context)
    asked: list[str] = []

    async def answer(request: web.Request) -> web.Response:
        asked.append(request.path)
        return web.json_response({"code": 200, "data": {"all": 1}})

    async with serve_http(answer, context) as host:
        yield f"https://{host}/client/v1/", asked


async def at_once(_: timedelta) -> None:
    return


async def test_prices_are_not_taken_from_a_server_with_somebody_elses_certificate() -> None:
    async with an_impostor() as (url, asked):
        source = SourceSettings.model_validate({"url": url})
        async with open_client(source, PollSettings(), at_once) as client:
            with pytest.raises(SourceError, match="certificate or encryption was refused"):
                await client.sweep(None)
    assert asked == []


class Ends(Observer):
    """How pings ended."""

    def __init__(self) -> None:
        self.ends: list[str] = []

    def pinged(self, outcome: str) -> None:
        self.ends.append(outcome)


async def test_a_heartbeat_is_not_sent_to_a_server_with_somebody_elses_certificate() -> None:
    observer = Ends()
    async with (
        an_impostor() as (url, asked),
        open_heartbeat(url, retry_pauses=(), observer=observer) as heartbeat,
    ):
        heartbeat.report_up()
        stop = asyncio.Event()
        beating = asyncio.create_task(heartbeat.run(stop))
        async with asyncio.timeout(10):
            while not observer.ends:  # noqa: ASYNC110 - another task, no event
                await asyncio.sleep(0.01)
        stop.set()
        await beating
    assert observer.ends == ["failed"]
    assert asked == []
