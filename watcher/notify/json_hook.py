"""`json://`: a program's web hook, with the fields that Apprise documents, or the batch itself."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from apprise.plugins.custom_json import NotifyJSON

from watcher.notify.own_service import HttpRequest, HttpService, json_content
from watcher.render.markup import Markup

if TYPE_CHECKING:
    from watcher.notify.own_service import OutgoingMessage

BATCH_TYPE = "application/cloudevents-batch+json; charset=utf-8"


class JsonHook(HttpService, NotifyJSON):
    """Apprise's plugin, whose body can also be the whole of a request."""

    def request(self, message: OutgoingMessage) -> HttpRequest:
        headers = {
            **self.headers,
            "X-Alert-Id": message.alert_id,
            "Auto-Submitted": "auto-generated",
        }
        is_batch = message.markup is Markup.CLOUDEVENTS
        own_type = next((name for name in self.headers if name.lower() == "content-type"), None)
        content_type = headers.pop(own_type) if own_type else "application/json"
        return HttpRequest(
            self.request_url,
            message.body.encode("utf-8", "replace")
            if is_batch
            else json_content(self._fields(message)),
            content_type=BATCH_TYPE if is_batch else content_type,
            headers=headers,
            params=self.params,
            auth=(self.user, self.password or "") if self.user else None,
            method=self.method,
        )

    def _fields(self, message: OutgoingMessage) -> dict[str, Any]:
        """The fields, as the URL renames (`?:message=text`), removes and adds them."""
        shown = {Markup.TEXT, Markup.HTML, Markup.MARKDOWN}
        body = message.body if message.markup in shown else message.plain(self)
        fields: dict[str, Any] = {
            "version": "1.0",
            "title": message.title,
            "message": body,
            "attachments": [],
            "type": "info",
        }
        for name, value in self.payload_extras.items():
            if name not in fields:
                fields[name] = value
            elif value:
                fields[value] = fields.pop(name)
            else:
                del fields[name]
        return fields
