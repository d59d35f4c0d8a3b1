"""Message bodies parsed as their services do: what they show, and whether it is within limits."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from html import unescape
from html.parser import HTMLParser
from typing import Any

from samples import Content
from watcher.render.enrichment import MessageItem
from watcher.render.markup import Markup, Service, width
from watcher.render.message import Message

MARKS = re.compile(r"\+(\d+) more(?=[:,]|$)")


class Page(HTMLParser):
    """The tags of a page, where its links lead, and its text."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.seen: set[str] = set()
        self.links: set[str | None] = set()
        self.attributes: set[str] = set()
        self.parts: list[str] = []
        self.feed(page)
        self.text = "".join(self.parts)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.add(tag)
        self.attributes |= {name for name, _ in attrs}
        self.links |= {value for name, value in attrs if name in {"href", "src"}}

    def handle_data(self, data: str) -> None:
        self.parts.append(data)


def embed_of(message: Message) -> dict[str, Any]:
    payload = json.loads(message.body)
    assert set(payload) == {"embeds", "allowed_mentions"}
    assert payload["allowed_mentions"] == {"parse": []}
    (embed,) = payload["embeds"]
    return embed


def blocks_of(message: Message) -> list[dict[str, Any]]:
    return json.loads(message.body)["blocks"]


def slack_texts(message: Message) -> list[dict[str, Any]]:
    """Every text of its blocks, the label of a button too."""
    return [
        text.get("text") if text["type"] == "button" else text
        for block in blocks_of(message)
        for text in block.get("elements", [block.get("text")])
    ]


def ntfy_of(message: Message) -> dict[str, Any]:
    payload = json.loads(message.body)
    assert set(payload) - {"click"} == {"message", "priority", "tags"}
    return payload


def letter_of(message: Message) -> dict[str, str]:
    letter = json.loads(message.body)
    assert set(letter) == {"html", "text"}
    return letter


def events_of(message: Message) -> list[dict[str, Any]]:
    return json.loads(message.body)


def texts_of(message: Message, service: Service) -> list[str]:
    """Every text of the payload that a service may act upon."""
    match service.markup:
        case Markup.DISCORD_EMBED:
            embed = embed_of(message)
            return [embed["title"], embed["description"], embed["footer"]["text"]]
        case Markup.SLACK_BLOCKS:
            texts = [json.loads(message.body)["text"]]
            return texts + [text["text"] for text in slack_texts(message)]
        case Markup.NTFY:
            return [message.title, ntfy_of(message)["message"]]
        case Markup.EMAIL:
            return list(letter_of(message).values())
        case _:
            return [message.title, message.body]


def last_line(message: Message, service: Service) -> str:
    text = texts_of(message, service)[-1]
    return text.strip().splitlines()[-1] if text else ""


def stated_hidden(message: Message, service: Service) -> list[int]:
    """The numbers of changes that are not shown, as the message states them."""
    if service.markup is Markup.CLOUDEVENTS:
        last = events_of(message)[-1:]
        return [it["data"]["hidden"] for it in last if it["type"] == "ai.kie-watcher.more.v1"]
    if service.markup is Markup.EMAIL:
        texts = [Page(letter_of(message)["html"]).text, letter_of(message)["text"]]
        first, second = ([int(it) for it in MARKS.findall(text)] for text in texts)
        assert first == second, "both parts say the same"
        return first
    return [int(it) for it in MARKS.findall(last_line(message, service))]


def check_message(
    message: Message, contents: Sequence[Content | MessageItem], service: Service
) -> None:
    check_size(message, service)
    assert message.shown + message.hidden == len(contents)
    assert stated_hidden(message, service) == ([message.hidden] if message.hidden else [])


def check_size(message: Message, service: Service) -> None:
    assert width(message.title) <= min(service.title_limit, 60)
    match service.markup:
        case Markup.DISCORD_EMBED:
            _embed_must_fit(embed_of(message))
        case Markup.SLACK_BLOCKS:
            _blocks_must_fit(message, service)
        case Markup.TELEGRAM_HTML:
            visible = unescape(re.sub(r"<[^>]*>", "", message.body))
            assert units(visible) <= service.body_limit
        case Markup.EMAIL:
            assert len(letter_of(message)["html"].encode()) <= service.body_limit
        case Markup.NTFY:
            assert width(ntfy_of(message)["message"]) <= service.body_limit
        case Markup.CLOUDEVENTS:
            assert len(message.body.encode()) <= service.body_limit
        case _:
            assert width(message.body) <= service.body_limit
    if service.section_limit is not None and service.markup is not Markup.SLACK_BLOCKS:
        parts = message.body.split("\n\n")
        assert all(width(part) <= service.section_limit for part in parts)


def _embed_must_fit(embed: dict[str, Any]) -> None:
    assert units(embed["title"]) <= 256
    assert 1 <= units(embed["description"]) <= 4096
    assert units(embed["footer"]["text"]) <= 2048
    assert sum(map(units, (embed["title"], embed["description"], embed["footer"]["text"]))) <= 6000
    assert 0 <= embed["color"] <= 0xFFFFFF


def _blocks_must_fit(message: Message, service: Service) -> None:
    blocks = blocks_of(message)
    assert 2 <= len(blocks) <= 50
    types = " ".join(block["type"] for block in blocks)
    assert re.fullmatch(r"header( header)?( section)*( actions)? context", types)
    limits = {"header": 150, "section": 3000}
    for block in blocks:
        if block["type"] in limits:
            assert 1 <= units(block["text"]["text"]) <= limits[block["type"]]
    assert all(1 <= units(text["text"]) <= 3000 for text in blocks[-1]["elements"])
    headers_and_button = 2 * 150 + 20
    assert (
        sum(map(units, texts_of(message, service)[1:])) <= service.body_limit + headers_and_button
    )


def units(text: str) -> int:
    return len(text.encode("utf-16-le")) // 2
