"""What is taken from a plugin: habits that make one message several, or louder than it should be.

And where its payload is replaced by ours, whole. Refuses to know what a message says.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from watcher.notify import wire
from watcher.rendering import Markup

if TYPE_CHECKING:
    from watcher.notify.formats import Plugin

__all__ = ["tamed"]

# Where a message goes and who it is from is the receiver's owner's business.
_SLACK_OWN = ("channel", "thread_ts", "username", "icon_url")


def tamed(plugin: Plugin, markup: Markup) -> None:
    # Rendering makes it fit; this is the net. HTML is longer than what it shows: no net there.
    html = plugin.resolve_format("text") == "html" or markup in {Markup.EMAIL, Markup.HTML}
    plugin.overflow_mode = _overflow("upstream" if html else "truncate")
    if plugin.schema == "discord":
        _tame_discord(plugin)
    if plugin.schema == "slack":
        _tame_slack(plugin)


def _overflow(name: str) -> Any:
    from apprise import OverflowMode  # noqa: PLC0415 - see the package's docstring

    return OverflowMode(name)


def _tame_discord(plugin: Plugin) -> None:
    """Call nobody but those the receiver's owner named, and leave waiting to the outbox.

    Apprise writes `allow_mentions`, which Discord does not know; after a 429 it sleeps and sends
    again by itself, long after this send has been given up.
    """
    send = plugin._send  # noqa: SLF001 - the one place every payload passes; a test watches the wire

    def send_quietly(payload: dict[str, Any], **options: Any) -> bool:
        plugin.ratelimit_remaining = 1.0
        allowed = payload.pop("allow_mentions", {"parse": []})
        ours = None if options.get("attach") else wire.payload()
        if ours is not None:
            payload = _in_place_of(payload, ours, _pings(plugin))
        return bool(send({**payload, "allowed_mentions": allowed}, **options | {"rate_limit": 0}))

    plugin._send = send_quietly  # noqa: SLF001


def _pings(plugin: Plugin) -> dict[str, Any]:
    """The call for those the owner named, which an embed cannot hold."""
    if not plugin.ping:
        return {}
    return {"content": plugin.ping_payload(" ".join(plugin.ping)).get("content", "")}


def _in_place_of(payload: dict[str, Any], ours: Any, beside: dict[str, Any]) -> dict[str, Any]:
    kept = {key: value for key, value in payload.items() if key not in {"content", "embeds"}}
    return kept | {"embeds": ours.get("embeds", [])} | beside


def _tame_slack(plugin: Plugin) -> None:
    """Send our blocks as they are; Apprise would put all of it into an attachment."""
    send = plugin._send  # noqa: SLF001 - as above

    def send_ours(url: str, payload: dict[str, Any], **options: Any) -> Any:
        ours = wire.payload()
        if ours is not None and "attachments" in payload:
            kept = {key: payload[key] for key in _SLACK_OWN if key in payload}
            payload = kept | dict(ours)
        return send(url, payload, **options)

    plugin._send = send_ours  # noqa: SLF001
