"""Discord: an embed, or plain content, that mentions only those whom the receiver's URL names."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from apprise.plugins.discord import NotifyDiscord

from watcher.notify.formats import parse_json_object
from watcher.notify.own_service import HttpRequest, HttpService, json_content
from watcher.render.markup import Markup

if TYPE_CHECKING:
    from watcher.notify.own_service import OutgoingMessage


class Discord(HttpService, NotifyDiscord):
    """Apprise's plugin without its waiting, resending and splitting."""

    def request(self, message: OutgoingMessage) -> HttpRequest:
        mentions = self.ping_payload(" ".join(self.ping)) if self.ping else {}
        payload: dict[str, Any] = {
            # Apprise's own name for it, `allow_mentions`, is none that Discord knows.
            "allowed_mentions": mentions.get("allow_mentions", {"parse": []}),
            "tts": bool(self.tts),
        }
        if self.flags:
            payload["flags"] = self.flags
        if self.avatar and self.avatar_url:
            payload["avatar_url"] = self.avatar_url
        if self.user:
            payload["username"] = self.user
        content = [self._text(message), mentions.get("content", "")]
        if embeds := _embeds(message):
            payload["embeds"], content[0] = embeds, ""
        if text := "\n".join(filter(None, content)):
            payload["content"] = text
        return HttpRequest(
            f"{self.notify_url}/{self.webhook_id}/{self.webhook_token}",
            json_content(payload),
            params={"thread_id": self.thread_id} if self.thread_id else None,
        )

    def _text(self, message: OutgoingMessage) -> str:
        return "\n".join(filter(None, (message.title, message.plain(self))))


def _embeds(message: OutgoingMessage) -> list[Any]:
    if message.markup is not Markup.DISCORD_EMBED:
        return []
    embeds = parse_json_object(message.body).get("embeds")
    return embeds if isinstance(embeds, list) else []
