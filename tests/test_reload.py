"""What a new configuration changes, by names of keys; and what only a restart changes."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from watcher.catalog.changes import Kind
from watcher.config.reload import compare
from watcher.config.secrets import SecretUrl
from watcher.config.settings import Settings

CANARY = "json://c4n4ry.example/t0k3n"


def settings(**sections: Any) -> Settings:
    return Settings.model_validate(sections)


def receivers(**urls: str) -> Settings:
    return settings(receivers={name: {"url": url} for name, url in urls.items()})


def routes(*names: str, **of_them: Any) -> Settings:
    return settings(routes=[{"name": name, "receivers": ["me"], **of_them} for name in names])


def changed(old: Settings, new: Settings) -> list[str]:
    """Every difference, whether it applies now or waits for a restart."""
    reload = compare(old, new)
    return [*reload.changed, *reload.waiting]


def test_the_same_configuration_changes_nothing() -> None:
    assert changed(Settings(), Settings()) == []
    assert changed(receivers(team=CANARY), receivers(team=CANARY)) == []


@pytest.mark.parametrize(
    ("before", "after", "keys"),
    [
        ({}, {"poll": {"interval": "10m"}}, ["poll.interval"]),
        ({}, {"log": {"level": "debug"}}, ["log.level"]),
        ({}, {"state": {"keep": {"polls": "1d"}}}, ["state.keep.polls"]),
        ({"announce": ["new", "removed"]}, {"announce": ["new", "unit"]}, ["announce"]),
        (
            {},
            {"poll": {"interval": "1m", "full_sweep_every": "1h"}, "source": {"timeout": "30s"}},
            ["source.timeout", "poll.interval", "poll.full_sweep_every"],
        ),
        ({}, {"web": {"listen": "127.0.0.1:1"}}, ["web.listen"]),
        ({"web": {"listen": "127.0.0.1:1"}}, {"web": {"listen": "[::1]:1"}}, ["web.listen"]),
        ({}, {"heartbeat": {"url": "https://beat.example/"}}, ["heartbeat"]),
    ],
    ids=str,
)
def test_each_change_is_named_by_its_key(
    before: dict[str, Any], after: dict[str, Any], keys: list[str]
) -> None:
    assert changed(settings(**before), settings(**after)) == keys


def test_receivers_come_go_and_change_by_name() -> None:
    old = receivers(gone="json://a.example", same="json://b.example", team=CANARY)
    new = receivers(fresh=CANARY, team="json://c.example", same="json://b.example")
    assert changed(old, new) == ["receivers.gone", "receivers.team.url", "receivers.fresh"]


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (receivers(team=CANARY), receivers(team=CANARY + "/2")),
        (receivers(team=CANARY), receivers()),
        (receivers(), receivers(team=CANARY)),
        (settings(heartbeat={"url": "https://c4n4ry/"}), settings(heartbeat={"url": "https://t0k3n/"})),
        (Settings(), settings(heartbeat={"url": "https://c4n4ry/"})),
    ],
)  # fmt: skip
def test_no_value_that_could_be_secret_is_ever_shown(old: Settings, new: Settings) -> None:
    said = " ".join(changed(old, new))
    assert said
    assert "c4n4ry" not in said
    assert "t0k3n" not in said


def test_an_address_that_now_comes_from_a_variable_is_the_same_address() -> None:
    told = settings(receivers={"team": {"url": SecretUrl(CANARY, frozenset({CANARY}))}})
    assert changed(receivers(team=CANARY), told) == []


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (routes("a", "b"), routes("a", "b", "c")),
        (routes("a", "b"), routes("b", "a")),
        (routes("a"), routes("a", **{"continue": "yes"})),
        (routes("a"), routes("a", match={"model": ["x"]})),
    ],
)
def test_routes_change_as_a_whole_since_their_order_counts(old: Settings, new: Settings) -> None:
    assert changed(old, new) == ["routes"]


def test_what_was_read_along_with_a_value_is_told_as_that_value(tmp_path: Path) -> None:
    def told(text: str) -> Settings:
        (tmp_path / "t").write_text(text)
        return settings(receivers={"team": {"url": CANARY, "template": str(tmp_path / "t")}})

    assert changed(told("a"), told("b")) == ["receivers.team.template"]


def test_the_state_and_the_address_stay_as_they_are_until_a_restart() -> None:
    old = settings(state={"path": "/old.db"}, web={"listen": "127.0.0.1:1"})
    new = settings(
        state={"path": "/new.db", "keep": {"polls": "1d"}},
        web={"listen": "0.0.0.0:2", "allow_remote": True},
        poll={"interval": "10m"},
        announce=["new"],
    )
    reload = compare(old, new)
    assert reload.settings.state.path == Path("/old.db")
    assert reload.settings.web == old.web
    assert reload.settings.poll.interval == timedelta(minutes=10)
    assert reload.settings.announce == {Kind.NEW}
    assert reload.changed == ("poll.interval", "state.keep.polls", "announce")
    assert reload.waiting == ("state.path", "web.listen", "web.allow_remote")


def test_what_waits_still_waits_at_the_next_reload() -> None:
    new = settings(state={"path": "/new.db"})
    first = compare(Settings(), new)
    assert compare(first.settings, new).waiting == first.waiting
    assert compare(first.settings, Settings()).waiting == ()
