"""ntfy: a message to one topic, published as JSON."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from apprise.plugins.ntfy import NotifyNtfy, NtfyAuth, NtfyMode, NtfyPriority

from watcher.notify.formats import parse_json_object
from watcher.notify.own_service import HttpRequest, HttpService, json_content
from watcher.render.markup import Markup

if TYPE_CHECKING:
    from collections.abc import Mapping

    from watcher.notify.own_service import OutgoingMessage


class Ntfy(HttpService, NotifyNtfy):
    """Apprise's plugin, which keeps tags and actions to itself: here they are kept as well."""

    def __init__(
        self, *, xtags: list[str] | None = None, actions: str | None = None, **others: Any
    ) -> None:
        super().__init__(xtags=xtags, actions=actions, **others)
        self.shown_tags = ",".join(xtags or ())
        self.shown_actions = actions

    def request(self, message: OutgoingMessage) -> HttpRequest:
        (topic,) = self.topics
        url, auth = self._server()
        given = parse_json_object(message.body) if message.markup is Markup.NTFY else {}
        is_marked = bool(given) or message.markup is Markup.MARKDOWN
        text = message.body if is_marked else message.plain(self)
        text = str(given.get("message", text))
        headers = self._headers(is_marked, given)
        fields = {"topic": topic, "title": message.title, "message": text}
        content = json_content({name: value for name, value in fields.items() if value})
        if len(content) <= self.ntfy_json_upstream_size_limit:
            return HttpRequest(url, content, headers=headers, auth=auth)
        # What does not fit into JSON is published as it is, and becomes an attachment there.
        kind = "text/markdown" if is_marked else "text/plain"
        return HttpRequest(
            f"{url}/{topic}",
            text.encode("utf-8", "replace"),
            content_type=f"{kind}; charset=utf-8",
            headers=headers,
            params={"title": message.title} if message.title else None,
            auth=auth,
        )

    def _server(self) -> tuple[str, tuple[str, str] | None]:
        """Where to post, and as whom."""
        if self.mode == NtfyMode.CLOUD:
            return self.cloud_notify_url, None
        port = f":{self.port}" if self.port else ""
        url = f"{'https' if self.secure else 'http'}://{self.host}{port}"
        with_password = self.auth == NtfyAuth.BASIC and self.user
        return url, (self.user, self.password or "") if with_password else None

    def _headers(self, is_marked: bool, given: Mapping[str, Any]) -> dict[str, str]:
        """What the receiver's URL asks for; where it says nothing, what the message is given."""
        click = self.click or given.get("click")
        own_priority = self.priority if self.priority != NtfyPriority.NORMAL else None
        with_token = self.mode == NtfyMode.PRIVATE and self.auth == NtfyAuth.TOKEN and self.token
        wanted = {
            "Authorization": f"Bearer {self.token}" if with_token else None,
            "X-Actions": self.shown_actions,
            "X-Click": quote(click, safe=":/?@&=#%") if click else None,
            "X-Delay": self.delay,
            "X-Email": self.email,
            "X-Icon": self.avatar_url if self.include_image else None,
            "X-Markdown": "yes" if is_marked else None,
            "X-Priority": own_priority or given.get("priority"),
            "X-Tags": self.shown_tags or ",".join(given.get("tags", ())),
        }
        return {name: str(value) for name, value in wanted.items() if value}
