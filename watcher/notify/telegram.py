"""Telegram: a message in Telegram's own HTML, as it was rendered."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING, Any

from apprise import NotifyFormat
from apprise.plugins.telegram import NotifyTelegram

from watcher.notify.own_service import HttpRequest, HttpService, json_content
from watcher.render.markup import Markup

if TYPE_CHECKING:
    from watcher.notify.own_service import OutgoingMessage


class Telegram(HttpService, NotifyTelegram):
    """Apprise's plugin, which would take away indents and empty lines."""

    def request(self, message: OutgoingMessage) -> HttpRequest:
        ((chat, topic),) = self.targets
        payload: dict[str, Any] = {
            "chat_id": chat,
            "disable_notification": self.silent,
            "disable_web_page_preview": not self.preview,
            **self._text(message),
        }
        if topic:
            payload["message_thread_id"] = topic
        url = f"{self.notify_url}{self.bot_token}/sendMessage"
        return HttpRequest(url, json_content(payload))

    def _text(self, message: OutgoingMessage) -> dict[str, str]:
        title = escape(message.title, quote=False)
        heading = f"<b>{title}</b>" if title else ""
        if message.markup is Markup.MARKDOWN:
            marked = "\n\n".join(
                filter(None, (f"**{message.title}**" if title else "", message.plain(self)))
            )
            text = self.dialect_convert(marked, NotifyFormat.MARKDOWN)
            return {"text": text, "parse_mode": self.markdown_ver}
        if message.markup is Markup.TELEGRAM_HTML:
            body = message.body
        else:
            body = escape(message.plain(self), quote=False)
        return {"text": "\n".join(filter(None, (heading, body))), "parse_mode": "HTML"}
