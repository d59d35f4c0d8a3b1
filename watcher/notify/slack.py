"""Slack: Block Kit as it was rendered, by web hook or by a bot, or one text for a workflow."""

from __future__ import annotations

import re
from html import escape
from typing import TYPE_CHECKING, Any

from apprise import NotifyFormat
from apprise.plugins.slack import NotifySlack, SlackMode

from watcher.notify.formats import parse_json_object
from watcher.notify.outcome import Outcome, Verdict
from watcher.notify.own_service import HttpRequest, HttpService, json_content, reply_object
from watcher.render.markup import Markup

if TYPE_CHECKING:
    import requests

    from watcher.notify.own_service import OutgoingMessage

_THREAD = re.compile(r"(?P<channel>.+?)(?::(?P<thread>[0-9.]+))?")
# https://docs.slack.dev/reference/methods/chat.postMessage: these will not get better by waiting.
_REFUSED = {
    "account_inactive": "the token is of an account that is gone",
    "channel_not_found": "there is no such channel, or the bot may not see it",
    "invalid_auth": "the token is wrong",
    "invalid_blocks": "the service does not take this message",
    "is_archived": "the channel is archived",
    "missing_scope": "the token does not allow this",
    "msg_too_long": "the message is too large",
    "no_permission": "the token does not allow this",
    "not_authed": "the token is wrong",
    "not_in_channel": "the bot is not in the channel",
    "restricted_action": "the workspace does not allow this",
    "token_expired": "the token has expired",
    "token_revoked": "the token was revoked",
}


class Slack(HttpService, NotifySlack):
    """Apprise's plugin, with our blocks in the place of its attachments."""

    # Of Apprise's plugin: the one that its URL names, or `None` for that of the hook itself.
    channels: list[str | None]

    def request(self, message: OutgoingMessage) -> HttpRequest:
        if self.mode in {SlackMode.WORKFLOW, SlackMode.WORKFLOW_TRIGGER}:
            trigger = self.mode == SlackMode.WORKFLOW_TRIGGER
            base = self.workflow_trigger_url if trigger else self.workflow_url
            text = ": ".join(filter(None, (message.title, message.plain(self))))
            return HttpRequest("/".join((base, *self.workflow_path)), json_content({"text": text}))
        payload = self._text_or_blocks(message) | self._destination()
        if self.user:
            payload["username"] = self.user
        if self.mode == SlackMode.BOT:
            bearer = {"Authorization": f"Bearer {self.access_token}"}
            url = self.api_url.format("chat.postMessage")
            return HttpRequest(url, json_content(payload), headers=bearer)
        base = self.webhook_gov_url if self.mode == SlackMode.WEBHOOK_GOV else self.webhook_url
        url = f"{base}/{self.token_a}/{self.token_b}/{self.token_c}"
        return HttpRequest(url, json_content(payload))

    def outcome(self, response: requests.Response) -> Outcome:
        """A bot is answered with 200 whatever came of it, and told in the body."""
        by_status = super().outcome(response)
        if by_status.verdict is not Verdict.ACCEPTED or self.mode != SlackMode.BOT:
            return by_status
        said = reply_object(response)
        if said is None:
            why = "answered 200 and nothing that can be read; it may have arrived"
            return Outcome(Verdict.RETRY, why, ambiguous=True)
        if said.get("ok") is True:
            return by_status
        error = str(said.get("error"))
        if error in _REFUSED:
            return Outcome(Verdict.REFUSED, f"refused: {_REFUSED[error]}")
        return Outcome(Verdict.RETRY, "answered 200, but did not accept the message")

    def _text_or_blocks(self, message: OutgoingMessage) -> dict[str, Any]:
        blocks = parse_json_object(message.body) if message.markup is Markup.SLACK_BLOCKS else {}
        if blocks:
            return dict(blocks)
        title = escape(message.title, quote=False)
        if message.markup is not Markup.MARKDOWN:
            text = "\n".join(filter(None, (title, escape(message.plain(self), quote=False))))
            return {"text": text, "mrkdwn": False}
        body = self.dialect_convert(message.plain(self), NotifyFormat.MARKDOWN)
        text = "\n".join(filter(None, (f"*{title}*" if title else "", body)))
        return {"text": text, "mrkdwn": True}

    def _destination(self) -> dict[str, str]:
        """The channel that the URL names, if any, and the thread in it."""
        (target,) = self.channels
        found = _THREAD.fullmatch(target) if target else None
        if found is None:
            return {}
        channel = found["channel"]
        if channel[0] == "+":
            channel = channel[1:]
        elif channel[0] not in "#@":
            channel = f"#{channel}"
        return {"channel": channel} | ({"thread_ts": found["thread"]} if found["thread"] else {})
