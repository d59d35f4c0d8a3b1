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
    ntfy_of,
    texts_of,
)
from samples import (
    ALERT,
    AT,
    BASELINE,
    CARD,
    CHAT,
    COLLAPSE,
    COMMAND,
    DIGESTS,
    DISCORD,
    EACH_KIND,
    ENVELOPE,
    EVENTS,
    FLOODS,
    HUGE,
    LETTER,
    LONG_SMS,
    MAIL,
    MATRIX,
    NTFY,
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
        if text["type"] != "button"
    )


def as_discord(message: Message) -> str:
    embed = embed_of(message)
    return (
        f"[title] {embed['title']}\n[url] {embed.get('url')}\n[color] #{embed['color']:06x}\n"
        f"[description] {embed['description']}\n[footer] {embed['footer']['text']}\n"
        f"[timestamp] {embed.get('timestamp')}"
    )


def as_ntfy(message: Message) -> str:
    payload = ntfy_of(message)
    said = payload.pop("message")
    return f"{message.title}\n{payload}\n---\n{said}"


def as_page(message: Message) -> str:
    """The rows; the frame around them is the same for all, and in a golden file of its own."""
    page = letter_of(message)["html"]
    start = page.index("<tr><td", page.index("sans-serif"))
    return page[start : page.rindex("</table>\n</td>")].rstrip()


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
    "ntfy.txt": (NTFY, as_ntfy),
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
    parts.append(f"=== a busy day\n{form(render(busy_day(), service, ENVELOPE))}\n")
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
        ("discount_crossed", 0xC11574),
        ("promotion_started", 0x7A5AF8),
        ("reference", 0x0E9384),
        ("new", 0x2E90FA),
        ("relabelled", 0x8792A2),
    ],
)
def test_an_embed_has_the_colour_of_its_direction(kind: str, colour: int) -> None:
    assert embed_of(render_kind(kind, DISCORD))["color"] == colour


def test_an_embed_says_the_gist_as_its_title_and_the_alert_as_its_footer() -> None:
    embed = embed_of(render_kind("price_up", DISCORD))
    assert embed["title"] == "▲ bytedance/seedance-2-5 1080p no video +39 %"
    assert embed["url"] == "https://kie.ai/seedance-2-5"
    assert embed["timestamp"] == "2026-11-22T07:30:00Z"
    assert embed["footer"]["text"].splitlines()[-1] == f"alert {ALERT}"
    name = "bytedance/seedance-2-5"
    assert f"**[{name}](https://kie.ai/seedance-2-5)**" in embed["description"]


# Slack


def test_slack_gets_blocks_in_which_nothing_is_looked_up_or_unfolded() -> None:
    message = render_kind("price_up", SLACK)
    payload = json.loads(message.body)
    assert payload["text"] == message.title
    assert payload["unfurl_links"] is payload["unfurl_media"] is False
    marked = [block["text"] for block in payload["blocks"] if block["type"] == "section"]
    assert all(text["verbatim"] is True and text["type"] == "mrkdwn" for text in marked)
    assert "*<https://kie.ai/seedance-2-5|bytedance/seedance-2-5>*" in marked[0]["text"]
    assert payload["blocks"][0]["text"]["emoji"] is False


def test_slack_tells_the_time_by_the_clock_of_the_reader() -> None:
    *_, context = blocks_of(render_kind("price_up", SLACK))
    told = context["elements"][-1]["text"]
    date = f"<!date^{int(AT.timestamp())}^{{date_short_pretty}} {{time}}|2026-11-22 07:30 UTC>"
    assert told == f"seen {date} · alert {ALERT}"


def test_a_button_leads_to_the_page_of_what_weighs_most() -> None:
    (actions,) = (it for it in blocks_of(render_kind("price_up", SLACK)) if it["type"] == "actions")
    (button,) = actions["elements"]
    assert (button["text"]["text"], button["url"]) == (
        "Open on Kie.ai",
        "https://kie.ai/seedance-2-5",
    )
    page = letter_of(render_kind("price_up", LETTER))["html"]
    assert re.search(r'<a href="https://kie.ai/seedance-2-5" [^>]*>Open on Kie.ai</a>', page)
    assert "Open on Kie.ai" not in render_kind("baseline", SLACK).body


def test_the_monthly_bill_is_one_large_number() -> None:
    headers = [it["text"]["text"] for it in blocks_of(render_kind("rise_that_costs", SLACK))[:2]]
    assert headers == [
        "▲ seedance-2-5 1080p no video +39 % · +$1,590/month",
        "+$1,590.00 a month for you",
    ]
    embed = embed_of(render_kind("rise_that_costs", DISCORD))
    assert embed["description"].startswith("## +$1,590.00 a month for you\n")
    page = letter_of(render_kind("rise_that_costs", LETTER))["html"]
    assert re.search(r"font-size:30px[^>]*>\+\$1,590.00</b> a month for you", page)
    assert page.count("1,590.00") == 1


# ntfy


@pytest.mark.parametrize(
    ("kind", "priority", "tags"),
    [
        ("price_up", 4, ["chart_with_upwards_trend"]),
        ("removed", 4, ["x"]),
        ("price_down", 3, ["chart_with_downwards_trend"]),
        ("promotion_started", 2, ["star"]),
        ("relabelled", 2, []),
        ("collapse", 4, ["warning"]),
        ("baseline", 3, []),
        ("digest", 4, ["chart_with_upwards_trend"]),
    ],
)
def test_ntfy_is_told_how_much_it_matters(kind: str, priority: int, tags: list[str]) -> None:
    payload = ntfy_of(render_kind(kind, NTFY))
    assert (payload["priority"], payload["tags"]) == (priority, tags)


def test_a_tap_on_a_notification_opens_the_page() -> None:
    assert ntfy_of(render_kind("price_up", NTFY))["click"] == "https://kie.ai/seedance-2-5"
    assert "click" not in ntfy_of(render_kind("baseline", NTFY))


def test_an_ampersand_of_a_link_is_escaped_as_slack_wants_it() -> None:
    contents = numbered([new(anchor="https://kie.ai/x?a=1&b=2")])
    assert "<https://kie.ai/x?a=1&amp;b=2|" in render(contents, SLACK, ENVELOPE).body


def test_each_family_has_a_section_of_its_own_while_there_are_sections() -> None:
    few = numbered([new(modelDescription=f"m{number}") for number in range(5)])
    many = numbered([new(modelDescription=f"m{number}", anchor="") for number in range(90)])
    sections = [it for it in blocks_of(render(few, SLACK, ENVELOPE)) if it["type"] == "section"]
    assert len(sections) == 1 + 5
    message = render(many, SLACK, ENVELOPE)
    assert len(blocks_of(message)) <= 50
    assert "".join(texts_of(message, SLACK)).count("＋ *new*") == message.shown > 60


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
    page = unescape(re.sub(r"<[^>]*>", " ", shown)).replace("Open on Kie.ai", "")
    text = re.sub(r"https://\S+", "", letter["text"])
    words = [re.sub(r"[·\s]+", " ", part).split() for part in (page, text)]
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
    events = events_of(render(contents, EVENTS, ENVELOPE))
    assert len(events) == len(contents)
    for event in events:
        assert set(event) == {"specversion", "type", "source", "id", "time", "datacontenttype", "data"}  # fmt: skip
        assert event["specversion"] == "1.0"
        assert event["type"] == "ai.kie-watcher.change.v1"
        assert event["time"] == "2026-11-22T07:30:00Z"
    assert len({(event["source"], event["id"]) for event in events}) == len(events)


def test_the_data_of_an_event_is_the_change_as_the_command_prints_it() -> None:
    contents = busy_day()
    events = events_of(render(contents, EVENTS, ENVELOPE))
    data = {event["id"]: event["data"] for event in events}
    assert data == {f"{ALERT}.{it.id}": public_fields(it) for it in contents}  # type: ignore[union-attr]


def test_a_notice_and_a_digest_are_events_of_their_own() -> None:
    (notice,) = events_of(render([COLLAPSE], EVENTS, ENVELOPE))
    assert notice["type"] == "ai.kie-watcher.notice.v1"
    assert notice["data"]["detail"] == dict(COLLAPSE.detail)
    digest = events_of(render_kind("digest", EVENTS))[0]
    assert digest["type"] == "ai.kie-watcher.digest.v1"
    assert digest["data"]["counts"] == {"price_up": 4, "price_down": 1, "removed": 1}
    assert digest["data"]["since"] == "2026-11-15T07:30:00Z"


def test_nothing_in_a_batch_is_a_tag_a_call_or_more_than_ascii() -> None:
    body = render(flood(20), EVENTS, ENVELOPE).body
    assert body.isascii()
    assert not set("<>&@") & set(body)
    assert "@everyone" in json.dumps(json.loads(body))


def test_a_batch_that_is_cut_ends_with_how_many_are_missing() -> None:
    contents = busy_day()
    service = Service("json", Markup.CLOUDEVENTS, 3000, 150, None)
    message = render(contents, service, ENVELOPE)
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
    message = render(contents, service, ENVELOPE)
    check_message(message, contents, service)
    if service.markup is Markup.TERMINAL:
        assert "\u200b" not in message.title + message.body
    elif service.markup is not Markup.CLOUDEVENTS:
        for text in texts_of(message, service):
            assert not ACTIVE.search(stripped_of_ours(text, service).replace("\n", " "))
    shuffled = list(contents)
    rng.shuffle(shuffled)
    assert render(shuffled, service, ENVELOPE) == message


def stripped_of_ours(text: str, service: Service) -> str:
    """A text without the markup that is ours; what is left was put into it."""
    if service.markup is Markup.EMAIL:
        # A mail calls nobody, and needs no invisible characters.
        return Page(text.partition("</style>")[2] or text).text.replace("@", "").replace("://", "")
    ours = re.sub(r'<a href="https://kie\.ai/[\w%-]*">(.*?)</a>', r"\1", text)
    ours = re.sub(r"\[([^\]]*)\]\(<?https://kie\.ai/[\w%-]*>?\)", r"\1", ours)
    ours = re.sub(r"<https://kie\.ai/[\w%-]*\|([^>]*)>", r"\1", ours)
    ours = re.sub(r"<!date\^\d+\^[^|]*\|[\d: UTC-]*>", "", ours)
    ours = re.sub(
        r"https://kie\.ai/[\w%-]*|</?(b|code)>|<br>|\*\*|`|^#+ ", "", ours, flags=re.MULTILINE
    )
    return re.sub(r"(?<![^ \n])\*(?=\S)|(?<=\S)\*(?= ·|$|\n)", "", ours)


@given(hostile_contents())
@settings(max_examples=80)
def test_markdown_read_as_a_service_reads_it_has_no_markup_but_ours(
    contents: list[Content],
) -> None:
    body = render(contents, CHAT, ENVELOPE).body
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
        page = Page(render(contents, service, ENVELOPE).body)
        assert page.seen <= tags
        assert all(link is not None and link.startswith("https://kie.ai/") for link in page.links)


@pytest.mark.parametrize("flood", FLOODS)
@pytest.mark.parametrize("count", [1, 10, 574, 2000])
def test_the_longest_and_ugliest_names_fit_every_service(count: int, flood: str) -> None:
    contents = FLOODS[flood](count)
    for service in SERVICES:
        check_message(render(contents, service, ENVELOPE), contents, service)


@pytest.mark.parametrize("count", [10, 574])
@pytest.mark.parametrize("service", SERVICES, ids=lambda it: f"{it.name}-{it.markup}")
def test_a_digest_of_any_size_fits_and_closes_with_its_sums(count: int, service: Service) -> None:
    contents = flood_of_shared_lines(count)
    message = render(contents, service, ENVELOPE, DIGESTS["digest"])
    check_message(message, contents, service)
    if service.body_limit > 1000 and service.markup is not Markup.CLOUDEVENTS:
        assert "Biggest falls: Sora 2, 5s −50 %" in message.body


@pytest.mark.parametrize("limit", [400, 800, 1500, 3000, 9000, 40_000])
def test_what_stands_in_a_shared_line_is_counted_as_shown(limit: int) -> None:
    contents = flood_of_shared_lines(574)
    plain = [
        with_facts(it.content.change, it.content.id)  # type: ignore[union-attr]
        for it in contents
    ]
    message = render(plain, Service("any", Markup.TEXT, limit, 100, None), ENVELOPE)
    told = 0
    for names in re.findall(r"^[▲▼✕＋] \S+(?: %)? · (.*?) · ", message.body, re.MULTILINE):
        others = re.search(r" and (\d+) others?$", names)
        told += len(re.findall(r"v\d+", names)) + (int(others[1]) if others else 0)
        if alone := re.fullmatch(r"(\d+) variants", names):
            told += int(alone[1])
    assert told == message.shown


@pytest.mark.parametrize("limit", [*range(60, 700, 7), 1900])
def test_every_limit_is_kept_and_the_rest_is_counted(limit: int) -> None:
    service = Service("any", Markup.TEXT, limit, limit % 90, None)
    contents = busy_day()
    message = render(contents, service, ENVELOPE)
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
            check_message(render(contents, service, ENVELOPE, digest), contents, service)


def test_a_text_message_still_says_the_biggest_move() -> None:
    message = render(numbered([moved({}, {"creditPrice": "95"})]), LONG_SMS, ENVELOPE)
    assert "▲ +38.7 % · 1080p no video · $0.3425 → $0.475 per second" in message.body
    assert message.shown == 1


@pytest.mark.parametrize("notice", [BASELINE, COLLAPSE, RECOVERED, SAMPLE], ids=lambda n: n.kind)
@pytest.mark.parametrize("service", SERVICES, ids=lambda it: f"{it.name}-{it.markup}")
def test_a_notice_is_told_on_every_service(notice: Notice, service: Service) -> None:
    message = render([notice], service, ENVELOPE)
    check_size(message, service)
    assert message.hidden == 0


def test_what_does_not_fit_is_left_out_by_whole_lines_smallest_first() -> None:
    contents = flood(574)
    everything = render(contents, HUGE, ENVELOPE).body.splitlines()
    cut = render(contents, Service("cut", Markup.MARKDOWN, 12_000, 250, None), ENVELOPE)
    lines = [line for line in cut.body.splitlines()[:-1] if line]
    assert lines[:-1] == [line for line in everything if line][: len(lines) - 1]
    assert 0 < cut.hidden < 574


def test_one_more_that_takes_the_footers_place_is_shown() -> None:
    contents = numbered([new(modelDescription=f"a{number}") for number in range(12)])
    whole = render(contents, MAIL, ENVELOPE).body
    service = Service("just", Markup.TEXT, width(whole), 100, None)
    assert render(contents, service, ENVELOPE).hidden == 0
    assert render(
        contents, Service("less", Markup.TEXT, width(whole) - 1, 100, None), ENVELOPE
    ).hidden


def test_a_section_is_broken_at_line_ends() -> None:
    contents = numbered(
        [
            moved(fields, fields | {"creditPrice": str(1000 + number)})
            for number, fields in enumerate(variants(60))
        ]
    )
    message = render(contents, SLACK, ENVELOPE)
    sections = [it["text"]["text"] for it in blocks_of(message) if it["type"] == "section"]
    assert len(sections) > 2
    assert "\n".join(sections[1:]).count("▲ ") == message.shown > 40


def test_the_pictures_that_the_documentation_shows_are_there_and_small() -> None:
    page = DOCS / "messages.md"
    pictures = re.findall(r"!\[[^\]]+\]\(([^)]+)\)", page.read_text("utf-8"))
    assert len(pictures) == 6
    assert all(0 < (DOCS / name).stat().st_size < 150_000 for name in pictures)


def test_the_documentation_names_the_limits_that_are_kept() -> None:
    text = (DOCS / "messages.md").read_text("utf-8")
    for number in ("3,000", "9,000", "4,096", "95 kB", "1 MB", *Format):
        assert number in text
