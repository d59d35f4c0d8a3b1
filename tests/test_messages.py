"""What each service gets: its own form, within its limits, honest about what is left out."""

from __future__ import annotations

import json
import random
import re
from collections.abc import Callable
from html import unescape
from pathlib import Path

import pytest
from apprise.conversion import markdown_to_html
from apprise.plugins.slack import NotifySlack
from apprise.plugins.telegram import NotifyTelegram, TelegramHTMLReducer
from hypothesis import given, settings
from hypothesis import strategies as st

from hostile import ACTIVE, hostile_contents
from payloads import (
    Page,
    blocks_of,
    check_message,
    check_size,
    embed_of,
    events_of,
    letter_of,
    texts_of,
)
from samples import (
    ALERT,
    BASELINE,
    CARD,
    CHAT,
    COLLAPSE,
    COMMAND,
    DIGESTS,
    DISCORD,
    EACH_KIND,
    EVENTS,
    FLOODS,
    HUGE,
    LETTER,
    LONG_SMS,
    MAIL,
    MATRIX,
    RECOVERED,
    SAMPLE,
    SERVICES,
    SLACK,
    SMS,
    TELEGRAM,
    TERMINAL,
    Content,
    busy_day,
    contents_of,
    flood,
    flood_of_shared_lines,
    moved,
    new,
    numbered,
    render_kind,
    variants,
    with_facts,
)
from watcher.catalog.changes import Notice, public_fields
from watcher.notify.formats import Format
from watcher.render.email import FRAME
from watcher.render.markup import Markup, Service, width
from watcher.render.message import Message, render

DOCS = Path(__file__).parent.parent / "docs"

# Each kind as each service gets it


def as_slack(message: Message) -> str:
    return "\n".join(
        f"[{block['type']}] {text['text']}"
        for block in blocks_of(message)
        for text in block.get("elements", [block.get("text")])
    )


def as_discord(message: Message) -> str:
    embed = embed_of(message)
    return (
        f"[title] {embed['title']}\n[color] #{embed['color']:06x}\n"
        f"[description] {embed['description']}\n[footer] {embed['footer']['text']}"
    )


def as_page(message: Message) -> str:
    """The rows; the frame around them is the same for all, and in a golden file of its own."""
    page = letter_of(message)["html"]
    return page[page.index("<h1") : page.rindex("</table>\n</td>")].rstrip()


def as_events(message: Message) -> str:
    lines = []
    for event in events_of(message):
        data = event.pop("data")
        lines.append(" ".join(f"{name}={value}" for name, value in event.items()))
        lines += [f"  {name}: {json.dumps(value)}" for name, value in data.items()]
    return "\n".join(lines)


def as_it_is(message: Message) -> str:
    return f"{message.title}\n---\n{message.body}"


FORMS: dict[str, tuple[Service, Callable[[Message], str]]] = {
    "slack.txt": (SLACK, as_slack),
    "discord.txt": (DISCORD, as_discord),
    "telegram.txt": (TELEGRAM, lambda message: message.body),
    "email.html": (LETTER, as_page),
    "email.txt": (LETTER, lambda message: letter_of(message)["text"]),
    "text.txt": (MAIL, as_it_is),
    "events.txt": (EVENTS, as_events),
    "markdown.txt": (CHAT, as_it_is),
    "card.txt": (CARD, as_it_is),
    "html.txt": (MATRIX, as_it_is),
    "terminal.txt": (TERMINAL, as_it_is),
    "sms.txt": (SMS, as_it_is),
}


@pytest.mark.parametrize("name", FORMS)
def test_each_kind_reads_as_it_did_when_it_was_last_looked_at(
    name: str, golden: Callable[[str, str], None]
) -> None:
    service, form = FORMS[name]
    parts = [f"=== {kind}\n{form(render_kind(kind, service))}\n" for kind in EACH_KIND]
    parts.append(f"=== a busy day\n{form(render(busy_day(), service, ALERT))}\n")
    golden(name, "\n".join(parts))


def test_a_whole_letter_reads_as_it_did_when_it_was_last_looked_at(
    golden: Callable[[str, str], None],
) -> None:
    golden("letter.html", letter_of(render_kind("rise_that_costs", LETTER))["html"])


@pytest.mark.parametrize("service", SERVICES, ids=lambda it: f"{it.name}-{it.markup}")
def test_each_kind_fits_each_service(service: Service) -> None:
    for kind, news in EACH_KIND.items():
        check_message(render_kind(kind, service), contents_of(news), service)


# Discord


@pytest.mark.parametrize(
    ("kind", "colour"),
    [
        ("price_up", 0xD92D20),
        ("removed", 0xD92D20),
        ("collapse", 0xD92D20),
        ("price_down", 0x17B26A),
        ("digest", 0xF79009),
        ("new", 0x2E90FA),
        ("relabelled", 0x8792A2),
    ],
)
def test_an_embed_has_the_colour_of_its_direction(kind: str, colour: int) -> None:
    assert embed_of(render_kind(kind, DISCORD))["color"] == colour


def test_an_embed_says_the_gist_as_its_title_and_the_alert_as_its_footer() -> None:
    embed = embed_of(render_kind("price_up", DISCORD))
    assert embed["title"] == "Kie.ai: bytedance/seedance-2-5, 1080p no video +38.7 %"
    assert embed["footer"]["text"] == f"seen 2026-11-22 07:30 UTC · alert {ALERT}"
    assert "[page](https://kie.ai/seedance-2-5)" in embed["description"]


# Slack


def test_slack_gets_blocks_in_which_nothing_is_looked_up_or_unfolded() -> None:
    message = render_kind("price_up", SLACK)
    payload = json.loads(message.body)
    assert payload["text"] == message.title
    assert payload["unfurl_links"] is payload["unfurl_media"] is False
    marked = [block["text"] for block in payload["blocks"] if block["type"] == "section"]
    assert all(text["verbatim"] is True and text["type"] == "mrkdwn" for text in marked)
    assert "<https://kie.ai/seedance-2-5|page>" in marked[0]["text"]
    assert payload["blocks"][0]["text"]["emoji"] is False


def test_an_ampersand_of_a_link_is_escaped_as_slack_wants_it() -> None:
    contents = numbered([new(anchor="https://kie.ai/x?a=1&b=2")])
    assert "<https://kie.ai/x?a=1&amp;b=2|page>" in render(contents, SLACK, ALERT).body


def test_each_family_has_a_section_of_its_own_while_there_are_sections() -> None:
    few = numbered([new(modelDescription=f"m{number}") for number in range(5)])
    many = numbered([new(modelDescription=f"m{number}", anchor="") for number in range(90)])
    assert len(blocks_of(render(few, SLACK, ALERT))) == 5 + 2
    message = render(many, SLACK, ALERT)
    assert len(blocks_of(message)) <= 50
    assert "".join(texts_of(message, SLACK)).count("• new") == message.shown > 60


# Telegram


@pytest.mark.parametrize("kind", EACH_KIND)
def test_telegram_gets_no_tag_but_those_it_knows(kind: str) -> None:
    body = render_kind(kind, TELEGRAM).body
    assert Page(body).seen <= {"b", "a", "code"}
    assert Page(body).attributes <= {"href"}
    # Apprise's own reading of what Telegram takes drops nothing of it.
    assert Page(TelegramHTMLReducer().reduce(body)).seen == Page(body).seen


# Mail


@pytest.mark.parametrize("kind", EACH_KIND)
def test_both_parts_of_a_letter_say_the_same(kind: str) -> None:
    letter = letter_of(render_kind(kind, LETTER))
    shown = letter["html"].partition("</style>")[2].partition("</div>")[2]
    page = unescape(re.sub(r"<[^>]*>", " ", shown))
    text = re.sub(r"https://\S+", "page", letter["text"])
    words = [re.sub(r"[▲▼✕•+·:\s]+", " ", part).split() for part in (page, text)]
    assert words[0] == words[1]


@pytest.mark.parametrize("kind", EACH_KIND)
def test_a_letter_is_one_column_of_tables_and_fetches_nothing(kind: str) -> None:
    page = Page(letter_of(render_kind(kind, LETTER))["html"])
    assert not page.seen & {"img", "script", "link", "iframe", "form", "object", "svg"}
    assert all(link and link.startswith("https://kie.ai/") for link in page.links)
    assert "url(" not in letter_of(render_kind(kind, LETTER))["html"]


def test_a_letter_can_be_read_in_the_dark() -> None:
    frame = FRAME.partition("</style>")[0]
    assert 'name="color-scheme" content="light dark"' in frame
    assert "prefers-color-scheme: dark" in frame


# Programs


def test_programs_get_a_batch_of_cloud_events() -> None:
    contents = busy_day()
    events = events_of(render(contents, EVENTS, ALERT))
    assert len(events) == len(contents)
    for event in events:
        assert set(event) == {"specversion", "type", "source", "id", "time", "datacontenttype", "data"}  # fmt: skip
        assert event["specversion"] == "1.0"
        assert event["type"] == "ai.kie-watcher.change.v1"
        assert event["time"] == "2026-11-22T07:30:00Z"
    assert len({(event["source"], event["id"]) for event in events}) == len(events)


def test_the_data_of_an_event_is_the_change_as_the_command_prints_it() -> None:
    contents = busy_day()
    events = events_of(render(contents, EVENTS, ALERT))
    data = {event["id"]: event["data"] for event in events}
    assert data == {f"{ALERT}.{it.id}": public_fields(it) for it in contents}  # type: ignore[union-attr]


def test_a_notice_and_a_digest_are_events_of_their_own() -> None:
    (notice,) = events_of(render([COLLAPSE], EVENTS, ALERT))
    assert notice["type"] == "ai.kie-watcher.notice.v1"
    assert notice["data"]["detail"] == dict(COLLAPSE.detail)
    digest = events_of(render_kind("digest", EVENTS))[0]
    assert digest["type"] == "ai.kie-watcher.digest.v1"
    assert digest["data"]["counts"] == {"price_up": 4, "price_down": 1, "removed": 1}
    assert digest["data"]["since"] == "2026-11-15T07:30:00Z"


def test_nothing_in_a_batch_is_a_tag_a_call_or_more_than_ascii() -> None:
    body = render(flood(20), EVENTS, ALERT).body
    assert body.isascii()
    assert not set("<>&@") & set(body)
    assert "@everyone" in json.dumps(json.loads(body))


def test_a_batch_that_is_cut_ends_with_how_many_are_missing() -> None:
    contents = busy_day()
    service = Service("json", Markup.CLOUDEVENTS, 3000, 150, None)
    message = render(contents, service, ALERT)
    last = events_of(message)[-1]
    assert last["type"] == "ai.kie-watcher.more.v1"
    assert last["data"]["hidden"] == message.hidden == len(contents) - message.shown
    assert last["data"]["command"] == f"kie-watcher changes --json --alert {ALERT}"
    assert len(message.body) <= 3000


# Limits, honesty, order


@given(hostile_contents(), st.sampled_from(SERVICES), st.randoms(use_true_random=False))
@settings(max_examples=200)
def test_whatever_the_listing_holds_a_message_is_honest_harmless_and_fits(
    contents: list[Content], service: Service, rng: random.Random
) -> None:
    message = render(contents, service, ALERT)
    check_message(message, contents, service)
    if service.markup is Markup.TERMINAL:
        assert "\u200b" not in message.title + message.body
    elif service.markup is not Markup.CLOUDEVENTS:
        for text in texts_of(message, service):
            assert not ACTIVE.search(stripped_of_ours(text, service).replace("\n", " "))
    shuffled = list(contents)
    rng.shuffle(shuffled)
    assert render(shuffled, service, ALERT) == message


def stripped_of_ours(text: str, service: Service) -> str:
    """A text without the markup that is ours; what is left was put into it."""
    if service.markup is Markup.EMAIL:
        # A mail calls nobody, and needs no invisible characters.
        return Page(text.partition("</style>")[2] or text).text.replace("@", "").replace("://", "")
    ours = re.sub(r'<a href="https://kie\.ai/[\w%-]*">page</a>', "", text)
    ours = re.sub(
        r"\[page\]\(<?https://kie\.ai/[\w%-]*>?\)|<https://kie\.ai/[\w%-]*\|page>", "", ours
    )
    ours = re.sub(r"https://kie\.ai/[\w%-]*|</?(b|code)>|<br>|\*\*|`", "", ours)
    return re.sub(r"^\*|\*(?= ·|$)", "", ours, flags=re.MULTILINE)


@given(hostile_contents())
@settings(max_examples=80)
def test_markdown_read_as_a_service_reads_it_has_no_markup_but_ours(
    contents: list[Content],
) -> None:
    body = render(contents, CHAT, ALERT).body
    page = Page(markdown_to_html(body))
    assert page.seen <= {"p", "br", "strong", "code", "a", "ul", "ol", "li"}
    assert all(link is not None and link.startswith("https://kie.ai/") for link in page.links)
    slack = NotifySlack._commonmark_to_slack(body)
    assert not re.search(r"<(?!https://kie\.ai/)", slack)
    telegram = NotifyTelegram._commonmark_to_telegram(body)
    assert telegram.count("*") % 2 == 0
    assert not re.search(r"(?<![\\A-Za-z0-9])_", telegram)


@given(hostile_contents())
@settings(max_examples=80)
def test_html_read_as_a_browser_reads_it_has_no_tags_but_ours(contents: list[Content]) -> None:
    for service, tags in ((TELEGRAM, {"b", "a", "code"}), (MATRIX, {"b", "a", "code", "br"})):
        page = Page(render(contents, service, ALERT).body)
        assert page.seen <= tags
        assert all(link is not None and link.startswith("https://kie.ai/") for link in page.links)


@pytest.mark.parametrize("flood", FLOODS)
@pytest.mark.parametrize("count", [1, 10, 574, 2000])
def test_the_longest_and_ugliest_names_fit_every_service(count: int, flood: str) -> None:
    contents = FLOODS[flood](count)
    for service in SERVICES:
        check_message(render(contents, service, ALERT), contents, service)


@pytest.mark.parametrize("count", [10, 574])
@pytest.mark.parametrize("service", SERVICES, ids=lambda it: f"{it.name}-{it.markup}")
def test_a_digest_of_any_size_fits_and_closes_with_its_sums(count: int, service: Service) -> None:
    contents = flood_of_shared_lines(count)
    message = render(contents, service, ALERT, DIGESTS["digest"])
    check_message(message, contents, service)
    if service.body_limit > 1000 and service.markup is not Markup.CLOUDEVENTS:
        assert "In all: 4 up, 1 down, 1 gone" in message.body
        assert "Biggest falls: Sora 2, 5s −50 %" in message.body


@pytest.mark.parametrize("limit", [400, 800, 1500, 3000, 9000, 40_000])
def test_what_stands_in_a_shared_line_is_counted_as_shown(limit: int) -> None:
    contents = flood_of_shared_lines(574)
    plain = [
        with_facts(it.content.change, it.content.id)  # type: ignore[union-attr]
        for it in contents
    ]
    message = render(plain, Service("any", Markup.TEXT, limit, 100, None), ALERT)
    told = 0
    for names in re.findall(r"^• (.*?): ", message.body, re.MULTILINE):
        others = re.search(r" and (\d+) others?$", names)
        told += len(re.findall(r"v\d+", names)) + (int(others[1]) if others else 0)
        if alone := re.fullmatch(r"(\d+) variants", names):
            told += int(alone[1])
    assert told == message.shown


@pytest.mark.parametrize("limit", [*range(60, 700, 7), 1900])
def test_every_limit_is_kept_and_the_rest_is_counted(limit: int) -> None:
    service = Service("any", Markup.TEXT, limit, limit % 90, None)
    contents = busy_day()
    message = render(contents, service, ALERT)
    check_message(message, contents, service)
    if message.hidden and limit >= 140:
        assert message.body.endswith(f"+{message.hidden} more: {COMMAND}")


@pytest.mark.parametrize("markup", Markup)
@pytest.mark.parametrize("limit", [1000, 2000, 5000, 12_000])
def test_every_markup_keeps_every_limit(markup: Markup, limit: int) -> None:
    if markup is Markup.EMAIL:
        limit += 3000
    section = 3000 if markup is Markup.SLACK_BLOCKS else None
    title = 0 if markup is Markup.TELEGRAM_HTML else 100
    service = Service("any", markup, limit, title, section)
    for contents in (busy_day(), flood(40), flood_of_shared_lines(200)):
        if markup is Markup.DISCORD_EMBED and limit > 4096:
            continue
        for digest in (None, DIGESTS["digest"]):
            check_message(render(contents, service, ALERT, digest), contents, service)


def test_a_text_message_still_says_the_biggest_move() -> None:
    message = render(numbered([moved({}, {"creditPrice": "95"})]), LONG_SMS, ALERT)
    assert "68.5 → 95 credits per second, +38.7 %" in message.body
    assert message.shown == 1


@pytest.mark.parametrize("notice", [BASELINE, COLLAPSE, RECOVERED, SAMPLE], ids=lambda n: n.kind)
@pytest.mark.parametrize("service", SERVICES, ids=lambda it: f"{it.name}-{it.markup}")
def test_a_notice_is_told_on_every_service(notice: Notice, service: Service) -> None:
    message = render([notice], service, ALERT)
    check_size(message, service)
    assert message.hidden == 0


def test_what_does_not_fit_is_left_out_by_whole_lines_smallest_first() -> None:
    contents = flood(574)
    everything = render(contents, HUGE, ALERT).body.splitlines()
    cut = render(contents, Service("cut", Markup.MARKDOWN, 12_000, 250, None), ALERT)
    lines = [line for line in cut.body.splitlines()[:-1] if line]
    assert lines == [line for line in everything if line][: len(lines)]
    assert 0 < cut.hidden < 574


def test_one_more_that_takes_the_footers_place_is_shown() -> None:
    contents = numbered([new(modelDescription=f"a{number}") for number in range(12)])
    whole = render(contents, MAIL, ALERT).body
    service = Service("just", Markup.TEXT, width(whole), 100, None)
    assert render(contents, service, ALERT).hidden == 0
    assert render(contents, Service("less", Markup.TEXT, width(whole) - 1, 100, None), ALERT).hidden


def test_a_section_is_broken_at_line_ends() -> None:
    contents = numbered(
        [
            moved(fields, fields | {"creditPrice": str(1000 + number)})
            for number, fields in enumerate(variants(60))
        ]
    )
    message = render(contents, SLACK, ALERT)
    sections = [block["text"]["text"] for block in blocks_of(message)[1:-1]]
    assert len(sections) > 2
    assert "\n".join(sections).count("• ") == message.shown > 40


def test_the_pictures_that_the_documentation_shows_are_there_and_small() -> None:
    page = DOCS / "messages.md"
    pictures = re.findall(r"!\[[^\]]+\]\(([^)]+)\)", page.read_text("utf-8"))
    assert len(pictures) == 4
    assert all(0 < (DOCS / name).stat().st_size < 150_000 for name in pictures)


def test_the_documentation_names_the_limits_that_are_kept() -> None:
    text = (DOCS / "messages.md").read_text("utf-8")
    for number in ("3,000", "9,000", "4,096", "95 kB", "1 MB", *Format):
        assert number in text
