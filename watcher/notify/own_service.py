"""What the services of our own have in common: a message in, one request out, an exact outcome.

They are subclasses of Apprise's plugins (`discord`, `slack`, `telegram`, `ntfy`, `json_hook`,
`mail`): Apprise reads their addresses, they make what is sent themselves. Everything here runs in a
fork of the sender, which bounds its time and memory.
"""

from __future__ import annotations

import json
import zlib
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import requests

from watcher.notify.formats import Preview, fitted_text, plain_text
from watcher.notify.outcome import Outcome, Verdict, outcome_of_http

if TYPE_CHECKING:
    from collections.abc import Mapping

    from watcher.render.markup import Markup

JSON_TYPE = "application/json; charset=utf-8"
# The most that is read of a reply, unpacked as well; most replies are not read at all.
LONGEST_REPLY = 65_536


@dataclass(frozen=True, slots=True)
class OutgoingMessage:
    """One message as it was stored. `picture` is a PNG that goes with it."""

    title: str
    body: str
    markup: Markup
    alert_id: str
    picture: bytes | None = None

    def plain(self, plugin: Any) -> str:
        """The body without its markup, as much of it as the plugin's service takes."""
        return fitted_text(plugin, self.title, plain_text(self.markup, self.body))


@dataclass(frozen=True, slots=True)
class HttpRequest:
    """One HTTP request, complete except for what every request has."""

    url: str
    content: bytes
    content_type: str = JSON_TYPE
    headers: Mapping[str, str] = field(default_factory=dict)
    params: Mapping[str, str] | None = None
    auth: tuple[str, str] | None = None
    method: str = "POST"


def json_content(payload: Mapping[str, Any]) -> bytes:
    return json.dumps(payload, ensure_ascii=False).encode("utf-8", "replace")


class OwnService:
    """A plugin with a `send` of our own in the place of Apprise's."""

    def send(self, message: OutgoingMessage) -> Outcome:
        """Send one message. Raises whatever its libraries do where there is no answer."""
        raise NotImplementedError

    def as_sent(self, message: OutgoingMessage) -> Preview:
        """What `send` would send."""
        raise NotImplementedError


class HttpService(OwnService):
    """A service whose message is one HTTP request; the status of the reply decides."""

    # Of Apprise's plugin.
    app_id: str
    request_timeout: tuple[float, float]
    verify_certificate: bool

    def request(self, message: OutgoingMessage) -> HttpRequest:
        """The request that carries a message."""
        raise NotImplementedError

    def outcome(self, response: requests.Response) -> Outcome:
        """What a reply says; of most services, its status says it all."""
        if response.status_code // 100 == 2:  # noqa: PLR2004 - success, RFC 9110 section 15.3
            return Outcome(Verdict.ACCEPTED, "")
        retry_after = response.headers.get("Retry-After")
        return outcome_of_http(response.status_code, retry_after, datetime.now(UTC))

    def send(self, message: OutgoingMessage) -> Outcome:
        request = self.request(message)
        wanted = {
            **request.headers,
            "Accept-Encoding": "identity",
            "Content-Type": request.content_type,
            "User-Agent": self.app_id,
        }
        # Otherwise neither may have a letter that Latin-1 has not.
        headers = {name: value.encode() for name, value in wanted.items()}
        login: Any = None if request.auth is None else tuple(part.encode() for part in request.auth)
        with requests.request(
            request.method,
            request.url,
            params=request.params,
            data=request.content,
            headers=headers,
            auth=login,
            timeout=self.request_timeout,
            allow_redirects=False,
            verify=self.verify_certificate,
            # The body is read by `outcome`, if at all.
            stream=True,
        ) as response:
            return self.outcome(response)

    def as_sent(self, message: OutgoingMessage) -> Preview:
        request = self.request(message)
        return Preview(request.content, request.content_type)

    def send_picture(self, picture: Any) -> bool:
        """Send an attachment of Apprise's, by itself and by Apprise's own `send`."""
        plugin: Any = super(OwnService, self)
        return bool(plugin.send(body="", title="", attach=[picture]))


def reply_object(response: requests.Response) -> dict[str, Any] | None:
    """The JSON object at the beginning of a reply; `None` where there is none."""
    packed = response.raw.read(LONGEST_REPLY, decode_content=False)
    try:
        # Nobody was asked to pack anything; whoever did may mean to fill the memory.
        unpacked = zlib.decompressobj(wbits=47).decompress(packed, LONGEST_REPLY)
    except zlib.error:
        unpacked = packed
    try:
        found = json.loads(unpacked)
    except ValueError:
        return None
    return found if isinstance(found, dict) else None
