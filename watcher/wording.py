"""How a batch becomes a message: the facts beside its changes, the receiver's words, its chart.

One place for the outbox and for the commands that show what it would send. Templates and charts are
the work of worker processes; where that fails, the message has the built-in words, or no chart.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from importlib.util import find_spec
from typing import TYPE_CHECKING

from watcher.catalog.changes import Notice, NoticeKind
from watcher.heavy import run_heavy
from watcher.log import log
from watcher.render.charts.layout import request_text
from watcher.render.charts.series import chart_series, sample_series
from watcher.render.enrichment import enrich
from watcher.render.figures import PLAIN_NOTATION, Notation
from watcher.render.message import render
from watcher.render.outline import Envelope, arrange
from watcher.render.templates.template import (
    TemplateFailedError,
    check_request,
    fill_request,
    message_from,
)
from watcher.worker import CHART, TEMPLATE, JobFailedError, run_job, run_job_blocking

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    from watcher.catalog.record import Model, PriceHistory
    from watcher.render.charts.layout import Series
    from watcher.render.markup import Service
    from watcher.render.message import Message
    from watcher.render.outline import Outline
    from watcher.routing.release import Batch
    from watcher.routing.rules import Usage
    from watcher.worker import Job

_DRAWING = ("matplotlib", "PIL")
_PNG = b"\x89PNG\r\n\x1a\n"


@dataclass(frozen=True, slots=True)
class MessageForm:
    """How a receiver gets its messages: its service, its own template, and whether with charts.

    `notation` is how it reads times and prices.
    """

    service: Service
    template: str | None = None
    charts: bool = False
    receiver: str = ""
    notation: Notation = PLAIN_NOTATION


@dataclass(frozen=True, slots=True)
class Known:
    """What is known when a message is made, beside the batch itself.

    `histories` of its models, by their numbers, up to that moment; `on_sale` is needed where a
    model was removed or the value of a credit moved, and may be empty otherwise.
    """

    histories: Mapping[int, PriceHistory]
    on_sale: Sequence[Model] = ()
    usage: Sequence[Usage] = ()


async def word(
    batch: Batch, form: MessageForm, known: Known, *, alert_id: str, now: datetime
) -> Message:
    """The text of a message: by the receiver's own template where it has one.

    Where the template fails, which is logged with its reason as `template.failed`, the built-in
    words.
    """
    count, digest = len(batch.contents), batch.digest
    items = await run_heavy(count, enrich, batch, known.histories, known.on_sale, known.usage)
    envelope = Envelope(alert_id, form.receiver, batch.routes, form.notation)
    if form.template is not None:
        outline = await run_heavy(count, arrange, items, envelope, digest)
        try:
            return await fill_template(form.template, outline, form.service, now)
        except (JobFailedError, TemplateFailedError) as error:
            why = str(error)
            log.warning("template.failed", service=form.service.name, alert=alert_id, why=why)
    return await run_heavy(count, render, items, form.service, envelope, digest)


async def fill_template(
    source: str, outline: Outline, service: Service, now: datetime, *, job: Job = TEMPLATE
) -> Message:
    """What a template makes of an outline, with as much as the service takes.

    Takes less than a tenth of a second, and at most five. Cancelled, it ends its worker. Raises
    `JobFailedError` or `TemplateFailedError`.
    """
    count = len(outline.items)
    request = await run_heavy(count, fill_request, source, outline, service, now)
    return await run_heavy(count, message_from, await run_job(job, request), outline, service)


def check_template(source: str) -> list[str]:
    """All that is wrong with a template; nothing where it works for every kind of message.

    Fills it from samples in a worker, and waits for that: a tenth of a second.
    """
    try:
        found: list[str] = json.loads(run_job_blocking(TEMPLATE, check_request(source)))
    except (JobFailedError, TemplateFailedError) as error:
        found = [str(error)]
    return [f"does not work: {problem}; fix the template" for problem in found]


async def draw(batch: Batch, form: MessageForm, known: Known, now: datetime) -> bytes | None:
    """The chart of the prices that moved, for a receiver that gets charts."""
    series = await run_heavy(len(batch.contents), charted, batch, form, known)
    return await draw_chart(series, now) if series else None


def charted(batch: Batch, form: MessageForm, known: Known) -> Sequence[Series]:
    """What the chart of a message shows; nothing where it has none."""
    if not form.charts:
        return ()
    for content in batch.contents:
        if isinstance(content, Notice) and content.kind is NoticeKind.SAMPLE:
            return sample_series(content.at)
    return chart_series(batch.contents, known.histories, known.usage)


async def draw_chart(series: Sequence[Series], now: datetime, job: Job = CHART) -> bytes | None:
    """A PNG of the biggest moves among `series`, in about half a second.

    `None` where nothing could be drawn, which is logged with its reason as `chart.failed`; never
    raises.
    """
    try:
        return await _picture(series, now, job)
    except JobFailedError as error:
        log.warning("chart.failed", why=str(error), models=len(series))
        return None


async def _picture(series: Sequence[Series], now: datetime, job: Job) -> bytes:
    if not can_draw():
        raise JobFailedError("matplotlib is not installed; install kie-watcher[charts]")
    request = await run_heavy(len(series), request_text, series, now)
    picture = await run_job(job, request)
    if not picture.startswith(_PNG):
        raise JobFailedError("the reply is not a picture")
    return picture


def can_draw() -> bool:
    """Whether the extra `charts` is installed."""
    return all(find_spec(name) is not None for name in _DRAWING)
