"""A receiver's own template: what it is told, what it cannot do, and that no message fails by it."""

from __future__ import annotations

import dataclasses
import json
import re
from datetime import UTC, datetime, timedelta
from html import unescape
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from build import row
from logs import capture_logs
from samples import flood
from watcher.catalog.changes import Kind, ModelChange, RecordedChange
from watcher.catalog.record import DOCUMENTED_USD_PER_CREDIT, Model, parse_record
from watcher.render.email import html_to_text
from watcher.render.enrichment import MessageItem
from watcher.render.markup import Markup, Service, style_for, width
from watcher.render.message import Message, render
from watcher.render.outline import Envelope, arrange
from watcher.render.templates.context import context_of, sample_contents, samples
from watcher.render.templates.sandbox import MARKUP_NAMES, MEASURES, FillRequest, fill, problems
from watcher.render.templates.template import TemplateFailedError, default_template
from watcher.routing.release import Batch
from watcher.wording import Known, MessageForm, check_template, fill_template, word
from watcher.worker import TEMPLATE, Job, JobFailedError

if TYPE_CHECKING:
    from watcher.render.enrichment import Content

AT = datetime(2026, 11, 22, 7, 30, tzinfo=UTC)
ALERT = "k7m2qd4x"
ENVELOPE = Envelope(ALERT, "team", ("my videos",))
PAGE = (Path(__file__).parent.parent / "docs" / "templates.md").read_text("utf-8")

SERVICES = {
    "markdown": Service("mmost", Markup.MARKDOWN, 4000, 0, None),
    "text": Service("json", Markup.TEXT, 32_000, 250, None),
    "html": Service("matrix", Markup.HTML, 60_000, 0, None),
    "telegram": Service("telegram", Markup.TELEGRAM_HTML, 4000, 0, None),
    "slack": Service("slack", Markup.SLACK_BLOCKS, 9000, 150, 3000),
    "email": Service("mailto", Markup.EMAIL, 95_000, 250, None),
}
DISCORD = Service("discord", Markup.DISCORD_EMBED, 4096, 256, None)
WIDE = Service("any", Markup.TEXT, 200_000, 0, None)


def context(contents: list[Content] | None = None, service: Service = WIDE) -> dict[str, Any]:
    outline = arrange(sample_contents() if contents is None else contents, ENVELOPE)
    return context_of(outline, service, AT)


def fill_request(source: str, **given_: Any) -> FillRequest:
    style = style_for(SERVICES["html"] if given_.get("html") else WIDE)
    fields = {"context": context(), "html": False, "measure": "characters", "longest": 200_000}
    return FillRequest(source=source, style=style, **(fields | given_))


def text(source: str, **given_: Any) -> str:
    """What comes of a template, in this very process: only for those that end."""
    return str(fill(fill_request(source, **given_))["text"])


async def made(
    contents: list[Content] | list[Content | MessageItem],
    service: Service,
    source: str,
    job: Job = TEMPLATE,
) -> Message:
    """A message by a template, in a worker."""
    return await fill_template(source, arrange(contents, ENVELOPE), service, AT, job=job)


def moved(name: str, price: str = "95", **wire: Any) -> ModelChange:
    before, after = (
        Model(parse_record(row(name, **wire) | {"creditPrice": p}), DOCUMENTED_USD_PER_CREDIT)
        for p in ("68.5", price)
    )
    return ModelChange((Kind.PRICE_UP,), before, after)


# What a template cannot do


@pytest.mark.parametrize(
    "source",
    [
        "{{ ''.__class__.__mro__[1].__subclasses__() }}",
        "{{ title.__class__ }}",
        "{{ title['__class__'] }}",
        "{{ title | attr('__class__') }}",
        "{{ [title] | map(attribute='__class__') | join }}",
        "{{ '{0.__class__}'.format(title) }}",
        "{{ '{x.__class__}'.format_map({'x': title}) }}",
        "{{ self.__init__.__globals__ }}",
        "{{ cycler.__init__.__globals__['os'] }}",
        "{{ joiner.__init__.__globals__ }}",
        "{{ namespace.__init__.__globals__ }}",
        "{{ range.__self__ }}",
        "{{ groups.append(1) }}",
        "{{ service.update(name='x') }}",
        "{{ groups.clear() }}",
        "{% set service.name = 'x' %}x",
        "{% macro m() %}x{% endmacro %}{{ m.__globals__ }}",
        "{{ lipsum(5) }}",
        "{{ open('/etc/passwd').read() }}",
        "{% include '/etc/passwd' %}",
        "{% import 'os' as os %}{{ os.environ }}",
        "{% from 'x' import y %}",
        "{% extends 'x' %}",
        "{% for i in range(10**9) %}x{% endfor %}",
        "{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}",
        "{% for g in groups recursive %}{{ loop(groups) }}{% endfor %}",
    ],
)
def test_a_template_reaches_nothing_but_what_it_is_given(source: str) -> None:
    with pytest.raises(ValueError) as failure:  # noqa: PT011 - for each another reason
        fill(fill_request(source))
    assert "root:" not in str(failure.value)


@pytest.mark.parametrize(
    ("source", "why"),
    [
        ("{{ 'a' * 10**9 }}", "needs more than 160 MiB of memory"),
        ("{% set x = ['a' * 99999999] %}{{ x * 99 | length }}", "needs more than 160 MiB of memory"),
        ("{{ 9**(9**9) }}", "takes longer than 0.5 seconds"),
        ("{% for i in range(99999) %}{% for j in range(99999) %}{% endfor %}{% endfor %}", "takes longer than 0.5 seconds"),
        ("{% for i in range(99999) %}{{ title }}{% endfor %}", "comes out longer than the 256 characters there is room for"),
        ("{{ '%1000000000d' % 1 }}", "needs more than 160 MiB of memory"),
        ("x" * 65_537, "is larger than 64 KiB"),
    ],
    ids=["memory", "lists", "numbers", "loops", "output", "padding", "size"],
)  # fmt: skip
async def test_a_template_takes_no_more_than_it_may(source: str, why: str) -> None:
    seconds = 0.5 if "0.5" in why else 5
    job = dataclasses.replace(TEMPLATE, time=timedelta(seconds=seconds))
    small = Service("sms", Markup.TEXT, 256, 0, None)
    with pytest.raises((JobFailedError, TemplateFailedError)) as failure:
        await made(sample_contents(), small, source, job)
    assert why in str(failure.value)


def test_a_template_is_never_read_in_the_process_of_the_watcher() -> None:
    package = Path(__file__).parent.parent / "watcher"
    for file in package.rglob("*.py"):
        code = file.read_text("utf-8")
        if re.search(r"^\s*(from|import) jinja2", code, re.MULTILINE):
            assert file.name == "sandbox.py"
        if re.search(r"^\s*from watcher.render.templates.sandbox", code, re.MULTILINE):
            assert file.name == "worker.py"


# What goes wrong, in words


@pytest.mark.parametrize(
    ("source", "why"),
    [
        ("a\nb\n{{ title", "line 3: unexpected end of template"),
        ("{% if %}{% endif %}", "line 1: Expected an expression"),
        ("{{ title | shout }}", "line 1: No filter named 'shout'"),
        ("a\n{{ groups[0].titel }}", "line 2: 'dict object' has no attribute 'titel'"),
        ("{{ titel }}", "there is no titel; a template knows alert_id, bill, bold, br, bullet, changes, code, command"),
        ("{{ 1 / 0 }}", "line 1: ZeroDivisionError, division by zero"),
        ("a\n{{ title.__class__ }}", "line 2: is not allowed, access to attribute '__class__' of 'str' object is unsafe"),
        ("{% include 'x' %}", "names another template; there is only this one"),
        ("{% for change in changes %}{{ change.before.usd }}{% endfor %}", "line 1: 'None' has no attribute 'usd'"),
        ("{# nothing #}", "comes out empty"),
        ("{{ notices[0].text }}", "has no element 0"),
        ("{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}", "calls itself without end"),
    ],
    ids=lambda value: value[:30],
)  # fmt: skip
def test_what_is_wrong_is_found_before_a_message_depends_on_it(source: str, why: str) -> None:
    found = problems(fill_request(source), samples())
    assert any(why in problem for problem in found), found
    assert len(found) < 4


def test_every_problem_says_how_to_mend_it() -> None:
    assert check_template("a\n{{ title") == [
        "does not work: line 2: unexpected end of template, expected 'end of print statement'; fix the template"
    ]
    assert check_template("x" * 65_537) == [
        "does not work: is larger than 64 KiB; fix the template"
    ]
    assert check_template("{{ title }}") == []


# What it is told


def test_all_that_a_template_knows_is_documented() -> None:
    known = context()
    (group, *_), change = known["groups"], known["changes"][0]
    named = set(re.findall(r"`(\w+)`", PAGE))
    listed = set(re.findall(r"^\| `(\w+)(?:\([\w, ]+\))?` \|", PAGE, re.MULTILINE))
    assert listed == {*known, *MARKUP_NAMES}
    line = group["lines"][0]
    for fields in (
        known["notices"][0],
        group,
        line,
        change,
        known["service"],
        line["changes"][0]["after"],
    ):
        assert set(fields) <= named


def test_the_templates_of_the_documentation_work() -> None:
    shown = re.findall(r"^```jinja\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
    assert shown
    for source in shown:
        assert problems(fill_request(source), [context()]) == []


def test_every_change_has_every_field() -> None:
    everything = [c for sample in samples() for c in sample["changes"]]
    assert len({frozenset(change) for change in everything}) == 1
    assert {kind for change in everything for kind in change["kinds"]} >= {
        "new",
        "removed",
        "credit_value",
    }


def test_a_context_is_plain_values_and_harmless() -> None:
    ugly = "<b>@everyone</b> [x](y) `z` *w* &amp; www.example.com"
    known = context(
        [
            RecordedChange(
                1,
                AT,
                moved(
                    f"{ugly}, {ugly}",
                    interfaceType=ugly,
                    provider=ugly,
                    creditUnit=f"per {ugly}",
                    anchor="https://evil.example/",
                ),
            )
        ]
    )
    told = json.dumps(known, ensure_ascii=False)
    assert json.loads(told) == known
    assert not re.search(r"[<>`*\[&]b|@e|\*w|&amp|www\.ex|evil", told)


def test_a_name_that_looks_like_a_template_is_text() -> None:
    known = context([RecordedChange(1, AT, moved("{{ 7 * 7 }}{% raw %}"))])
    assert text("{{ changes[0].model }}", context=known) == "{{ 7 ∗ 7 }}{% raw %}"


def test_html_is_escaped_and_text_is_not() -> None:
    assert text("{{ '<b>' }}", html=True) == "&lt;b&gt;"
    assert text("{{ '<b>' }}") == "<b>"


def test_nothing_is_said_of_what_is_not_known() -> None:
    assert text("[{{ changes[-1].usd_per_credit_before }}]") == "[]"


# How much fits


@pytest.mark.parametrize(
    ("kind", "count"),
    [
        *((kind, 574) for kind in SERVICES),
        ("telegram", 1),
        ("slack", 10),
        ("email", 2000),
        ("text", 2000),
    ],
)
async def test_as_much_is_told_as_fits_and_the_rest_is_counted(kind: str, count: int) -> None:
    service, contents = SERVICES[kind], flood(count)
    message = await made(contents, service, default_template())
    told = json.loads(message.body)["html"] if kind == "email" else message.body
    assert message.shown + message.hidden == count
    assert (f"+{message.hidden} more" in told) == bool(message.hidden)
    if kind == "slack":
        sections = [
            b["text"]["text"] for b in json.loads(message.body)["blocks"] if b["type"] == "section"
        ]
        assert max(map(width, sections)) <= 3000
        assert sum(map(width, sections)) <= 9000
    else:
        measure = {"telegram": "visible", "email": "bytes"}.get(kind, "characters")
        assert MEASURES[measure](told) <= service.body_limit
    built = render(contents, service, ENVELOPE)
    # A letter of its own has no table, and so has room for more.
    assert message.shown >= built.shown - max(2, built.shown // 5)
    assert kind == "email" or message.shown <= built.shown + max(2, built.shown // 5)


async def test_a_line_that_thousands_share_is_no_burden() -> None:
    contents: list[Content] = [
        RecordedChange(n, AT, ModelChange((Kind.NEW,), None, moved(f"Reel 2, variant {n}").after))
        for n in range(5000)
    ]
    message = await made(contents, SERVICES["text"], default_template())
    assert (message.shown, message.hidden) == (5000, 0)
    assert "and 4,9" in message.body


def test_a_template_made_for_news_is_not_asked_what_it_says_without() -> None:
    source = "{{ changes[0].model }}{% for change in changes %}{{ 'x' * 50 }}{% endfor %}"
    assert fill(fill_request(source, context=context(flood(40)), longest=400))["shown"] > 2


@given(st.text(max_size=80))
def test_a_text_is_measured_as_messages_are(some: str) -> None:
    assert MEASURES["characters"](some) == width(some)
    assert MEASURES["bytes"](some) == len(some.encode("utf-8", "replace"))
    assert MEASURES["visible"](f"<b>{some.replace('<', '')}</b>") == width(
        unescape(some.replace("<", "")).replace("&", "+")
    )


@pytest.mark.parametrize("longest", [*range(40, 200, 9), 1000])
def test_the_most_lines_that_fit_are_told(longest: int) -> None:
    source = "{% for g in groups %}{% for l in g.lines %}{{ l.name[:9] }}\n{% endfor %}{% endfor %}+{{ hidden }}"
    known = context(flood(40))
    filled = fill(fill_request(source, context=known, longest=longest))
    assert MEASURES["characters"](filled["text"]) <= longest
    assert filled["text"].endswith(f"+{40 - filled['shown']}")
    if filled["shown"] < 40:
        assert MEASURES["characters"](filled["text"]) > longest - 16


# The one to start from


@pytest.mark.parametrize("kind", SERVICES)
async def test_a_built_in_template_tells_every_change(kind: str) -> None:
    service = dataclasses.replace(SERVICES[kind], body_limit=90_000, section_limit=None)
    known = context(service=service)
    message = await made(sample_contents(), service, default_template())
    said = message.body if service.markup is not Markup.EMAIL else json.loads(message.body)["html"]
    said = unescape(said)
    if kind == "slack":
        said = "\n".join(
            b["text"]["text"] for b in json.loads(message.body)["blocks"] if b["type"] == "section"
        )
    assert message.hidden == 0
    for notice in known["notices"]:
        assert notice["text"] in said
    for group in known["groups"]:
        assert group["name"] in said
        for line in group["lines"]:
            assert line["name"] in said
            assert all(part in said for part in (line["sign"], line["news"], line["cost"]))
            assert all(phrase in said for phrase in line["rest"])
    assert f"alert {ALERT}" in said


@pytest.mark.parametrize("kind", ["markdown", "text", "html", "telegram", "discord"])
async def test_a_built_in_template_says_what_the_built_in_message_says(kind: str) -> None:
    service = (SERVICES | {"discord": DISCORD})[kind]
    contents: list[Content] = [
        RecordedChange(n, AT, moved(f"Reel {n % 3}, variant {n}", f"{80 + n}")) for n in range(1, 9)
    ]
    message = await made(contents, service, default_template())
    built = render(contents, service, ENVELOPE)
    assert message.title == built.title
    if kind == "discord":
        # What is a footer there is a part of the text here.
        told, expected = (json.loads(it.body)["embeds"][0] for it in (message, built))
        assert told["description"].startswith(f"{expected['description']}\n\nYou get this as")
    else:
        assert unescape(message.body) == unescape(built.body)


@pytest.mark.parametrize("kind", SERVICES)
def test_a_built_in_template_works_for_every_sort_of_news(kind: str) -> None:
    html = kind in {"html", "telegram", "email"}
    request = fill_request(default_template(), html=html)
    style = style_for(SERVICES[kind])
    assert problems(dataclasses.replace(request, style=style), samples()) == []


@pytest.mark.parametrize(
    ("kind", "said"),
    [
        ("markdown", "**‹A＆B** [page](https://kie.ai/?a=1&b=2) **9** `x` - "),
        ("text", "‹A＆B https://kie.ai/?a=1&b=2 9 x "),
        ("html", '<b>‹A＆B</b> <a href="https://kie.ai/?a=1&amp;b=2">page</a> <b>9</b> <code>x</code> <br>'),
        ("telegram", '<b>‹A＆B</b> <a href="https://kie.ai/?a=1&amp;b=2">page</a> <b>9</b> <code>x</code> '),
        ("slack", "*‹A＆B* <https://kie.ai/?a=1&amp;b=2|page>  `x` "),
    ],
)  # fmt: skip
def test_a_template_can_write_in_the_markup_of_whichever_service_gets_it(
    kind: str, said: str
) -> None:
    source = "{{ bold(name) }} {{ link('page', 'https://kie.ai/?a=1&b=2') }} {{ large(9) }} {{ code('x') }} {{ bullet }}{{ br }}"
    request = fill_request(source, html=kind in {"html", "telegram"})
    known = request.context | {"name": "‹A＆B"}
    filled = fill(dataclasses.replace(request, style=style_for(SERVICES[kind]), context=known))
    assert filled["text"] == said


# A name is harmless before it comes here; what a template adds by itself is its own.
def test_what_a_template_marks_up_is_escaped_where_the_text_is_html() -> None:
    assert text("{{ bold('<i>' ~ title) }}", html=True).startswith("<b>&lt;i&gt;")
    assert "&lt;" not in text("{{ bold('<i>') }}")


# A whole message


async def worded(contents: list[Content], service: Service, source: str) -> Message:
    batch = Batch((), tuple(contents), routes=ENVELOPE.routes)
    form = MessageForm(service, source, receiver="team")
    return await word(batch, form, Known({}), alert_id=ALERT, now=AT)


async def test_a_template_that_fails_leaves_the_built_in_message_and_a_line_in_the_log() -> None:
    contents = flood(3)
    with capture_logs() as log:
        message = await worded(contents, DISCORD, "a\n{{ 1 / 0 }}")
    assert message == render(contents, DISCORD, ENVELOPE)
    (entry,) = log
    assert (entry["event"], entry["log_level"]) == ("template.failed", "warning")
    assert entry["why"] == "line 2: ZeroDivisionError, division by zero"
    assert entry["alert"] == ALERT


async def test_programs_are_told_in_no_template() -> None:
    service = Service("json", Markup.CLOUDEVENTS, 100_000, 0, None)
    with capture_logs() as log:
        message = await worded(flood(3), service, "x")
    assert message == render(flood(3), service, ENVELOPE)
    assert "programs" in log[0]["why"]


async def test_discord_gets_an_embed_and_calls_nobody() -> None:
    message = await made(flood(1), DISCORD, "**{{ changes | length }}**")
    payload = json.loads(message.body)
    assert payload["embeds"][0]["description"] == "**1**"
    assert payload["embeds"][0]["title"] == message.title
    assert payload["allowed_mentions"] == {"parse": []}


async def test_a_letter_has_a_text_that_says_the_same() -> None:
    message = await made(sample_contents(), SERVICES["email"], default_template())
    parts = json.loads(message.body)
    assert "<b>Example 1.0</b>" in parts["html"]
    for line in context(service=SERVICES["email"])["groups"][0]["lines"]:
        assert line["news"] in parts["text"]
    assert "<" not in parts["text"]


async def test_a_line_that_no_section_takes_is_a_failure() -> None:
    with pytest.raises(TemplateFailedError, match="a line of more than 3,000 characters"):
        await made(flood(1), SERVICES["slack"], "{{ 'x' * 4000 }}")


async def test_a_long_paragraph_becomes_several_sections() -> None:
    source = "{% for i in range(200) %}\nline {{ i }} of a very long paragraph\n{% endfor %}"
    message = await made(flood(1), SERVICES["slack"], source)
    sections = [
        b["text"]["text"] for b in json.loads(message.body)["blocks"] if b["type"] == "section"
    ]
    assert len(sections) == 3
    assert sum(section.count("line ") for section in sections) == 200


@pytest.mark.parametrize(
    ("page", "said"),
    [
        ("<p>one</p><p>two</p>", "one\n\ntwo"),
        ("a<br>b", "a\nb"),
        ('<a href="https://kie.ai/x">page</a>, more', "page https://kie.ai/x, more"),
        ("<head><title>no</title><style>b{}</style></head><body>  a \n\n b</body>", "a b"),
        ("<table><tr><td>1</td></tr><tr><td>&lt;2&gt; &amp;</td></tr></table>", "1\n\n<2> &"),
        ("no tags", "no tags"),
    ],
    ids=["paragraphs", "breaks", "links", "unseen", "tables", "none"],
)
def test_a_letter_read_as_text(page: str, said: str) -> None:
    assert html_to_text(page) == said
