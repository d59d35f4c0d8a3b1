"""What a new configuration changes, in words without secrets; and what only a restart changes."""

from __future__ import annotations

from datetime import time, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel, ConfigDict, SecretStr

from watcher.catalog.changes import Kind
from watcher.config.reload import NEEDS_RESTART, compare
from watcher.config.settings import ReceiverSettings, Settings

CANARY = "json://c4n4ry.example/t0k3n"


class Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Threshold(Section):
    min_change: Decimal | None = None
    interface: tuple[str, ...] = ()


class Rule(Section):
    name: str
    match: Threshold = Threshold()
    continue_: bool = False
    receivers: tuple[str, ...] = ()


class Door(Section):
    listen: str | None = None
    allow_remote: bool = False


class Pulse(Section):
    url: str
    every: str = "sweep"


class Grown(Settings):
    """Settings with sections of every shape."""

    rules: tuple[Rule, ...] = ()
    web: Door | None = None
    heartbeat: Pulse | None = None


def receiver(url: str) -> ReceiverSettings:
    return ReceiverSettings(url=SecretStr(url))


def settings(**sections: Any) -> Grown:
    return Grown.model_validate(sections)


def receivers(**urls: str) -> Grown:
    return Grown(receivers={name: receiver(url) for name, url in urls.items()})


def rules(*names: str) -> Grown:
    return Grown(rules=tuple(Rule(name=name) for name in names))


def changed(old: Settings, new: Settings) -> list[str]:
    """Every difference, whether it applies now or waits for a restart."""
    reload = compare(old, new)
    return [*reload.changed, *reload.waiting]


def test_the_same_configuration_changes_nothing() -> None:
    assert changed(Settings(), Settings()) == []
    assert changed(receivers(team=CANARY), receivers(team=CANARY)) == []


@pytest.mark.parametrize(
    ("before", "after", "said"),
    [
        ({}, {"poll": {"interval": "10m"}}, ["poll.interval: 5m, now 10m"]),
        ({}, {"poll": {"jitter": "20%"}}, ["poll.jitter: 0.1, now 0.2"]),
        ({}, {"confirm": {"removals": "0"}}, ["confirm.removals: 10m, now 0"]),
        ({}, {"log": {"level": "debug"}}, ["log.level: info, now debug"]),
        (
            {"announce": ["new", "removed"]},
            {"announce": ["new", "unit", "price_up"]},
            ["announce: without removed, with price_up, with unit"],
        ),
        (
            {},
            {"source": {"timeout": "30s"}, "poll": {"interval": "1m", "full_sweep_every": "1h"}},
            ["source.timeout: 20s, now 30s", "poll.interval: 5m, now 1m", "poll.full_sweep_every: 30m, now 1h"],
        ),
        ({}, {"web": {"listen": "127.0.0.1:1"}}, ["web: added"]),
        ({"web": {}}, {"web": {"listen": "[::1]:1"}}, ["web.listen: nothing, now [::1]:1"]),
        ({"web": {"allow_remote": True}}, {"web": {}}, ["web.allow_remote: yes, now no"]),
        ({"web": {}}, {}, ["web: removed"]),
    ],
    ids=str,
)  # fmt: skip
def test_each_change_is_named_by_its_key_with_both_values(
    before: dict[str, Any], after: dict[str, Any], said: list[str]
) -> None:
    assert changed(settings(**before), settings(**after)) == said


def test_receivers_come_go_and_change_by_name() -> None:
    old = receivers(gone="json://a.example", same="json://b.example", team=CANARY)
    new = receivers(fresh=CANARY, team="json://c.example", same="json://b.example")
    assert changed(old, new) == [
        "receivers.gone: removed",
        "receivers.team.url: changed",
        "receivers.fresh: added",
    ]


@pytest.mark.parametrize(
    ("old", "new"),
    [
        (receivers(team=CANARY), receivers(team=CANARY + "/2")),
        (receivers(team=CANARY), receivers()),
        (receivers(), receivers(team=CANARY)),
        (
            receivers(),
            Grown(receivers={"team": ReceiverSettings(url=SecretStr(CANARY), variables=frozenset({SecretStr(CANARY)}))}),
        ),
        (
            receivers(team=CANARY),
            Grown(receivers={"team": ReceiverSettings(url=SecretStr(CANARY + "/2"), variables=frozenset({SecretStr(CANARY)}))}),
        ),
        (Grown(heartbeat=Pulse(url=CANARY)), Grown(heartbeat=Pulse(url=CANARY + "/2"))),
        (Grown(), Grown(heartbeat=Pulse(url=CANARY))),
    ],
)  # fmt: skip
def test_no_value_that_could_be_secret_is_ever_shown(old: Settings, new: Settings) -> None:
    said = " ".join(changed(old, new))
    assert said
    assert "c4n4ry" not in said
    assert "t0k3n" not in said
    assert "***" not in said


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        (rules("a", "b"), rules("a", "b", "c"), ["rules.c: added"]),
        (rules("a", "b"), rules("b"), ["rules.a: removed"]),
        (rules("a", "b", "c"), rules("c", "a", "b"), ["rules: in another order"]),
        (rules("a", "b"), rules("b", "new", "a"), ["rules.new: added", "rules: in another order"]),
        (rules("a"), Grown(rules=(Rule(name="a", continue_=True),)), ["rules.a.continue: no, now yes"]),
        (
            rules("a"),
            Grown(rules=(Rule(name="a", match=Threshold(min_change=Decimal("0.05"), interface=("Veo*",))),)),
            ["rules.a.match.min_change: nothing, now 0.05", "rules.a.match.interface: nothing, now Veo*"],
        ),
        (
            Grown(rules=(Rule(name="a", receivers=("me", "team")),)),
            Grown(rules=(Rule(name="a", receivers=("team",)),)),
            ["rules.a.receivers: me, team, now team"],
        ),
        (rules("a", "a"), rules("a"), ["rules: changed"]),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)  # fmt: skip
def test_what_has_names_is_compared_by_name_and_order(
    old: Settings, new: Settings, said: list[str]
) -> None:
    assert changed(old, new) == said


def test_what_was_read_along_with_a_value_is_told_as_that_value() -> None:
    class Worded(ReceiverSettings):
        template: Path | None = None
        template_text: str | None = None

    def told(**of_it: Any) -> Grown:
        return Grown(receivers={"team": Worded(url=SecretStr(CANARY), **of_it)})

    assert changed(
        told(template=Path("a.txt"), template_text="a"),
        told(template=Path("b.txt"), template_text="b"),
    ) == ["receivers.team.template: changed"]
    assert changed(told(template_text="a"), told(template_text="b")) == [
        "receivers.team.template: changed"
    ]
    assert changed(told(), told(variables=frozenset({SecretStr(CANARY)}))) == []


def test_windows_and_usage_are_told_in_the_words_of_the_file() -> None:
    class Window(Section):
        name: str
        from_: time

    class Usage(Section):
        model: str
        per_month: Decimal

    class More(Grown):
        windows: tuple[Window, ...] = ()
        used: tuple[Usage, ...] = ()

    def more(start: time, amount: int) -> More:
        return More(
            windows=(Window(name="night", from_=start),),
            used=(Usage(model="Veo*", per_month=Decimal(amount)),),
        )

    assert changed(more(time(22), 5), more(time(23, 30), 6)) == [
        "windows.night.from: 22:00, now 23:30",
        "used.Veo*.per_month: 5, now 6",
    ]


def test_the_state_and_the_address_stay_as_they_are_until_a_restart() -> None:
    old = settings(state={"path": "/old.db"}, web={"listen": "127.0.0.1:1"})
    new = settings(
        state={"path": "/new.db"},
        web={"listen": "0.0.0.0:2", "allow_remote": True},
        poll={"interval": "10m"},
        announce=["new"],
    )
    reload = compare(old, new)
    assert reload.settings.state.path == Path("/old.db")
    assert reload.settings.web == old.web  # type: ignore[attr-defined]
    assert reload.settings.poll.interval == timedelta(minutes=10)
    assert reload.settings.announce == {Kind.NEW}
    assert [text.split(":")[0] for text in reload.changed] == ["poll.interval", "announce"]
    assert reload.waiting == (
        "state.path: /old.db, now /new.db",
        "web.listen: 127.0.0.1:1, now 0.0.0.0:2",
        "web.allow_remote: no, now yes",
    )


def test_an_address_that_is_new_waits_too() -> None:
    reload = compare(Grown(), Grown(web=Door(listen="127.0.0.1:1")))
    assert (reload.changed, reload.waiting) == ((), ("web: added",))
    assert reload.settings == Grown()


def test_what_waits_still_waits_at_the_next_reload() -> None:
    new = settings(state={"path": "/new.db"})
    first = compare(Grown(), new)
    assert compare(first.settings, new).waiting == first.waiting
    assert compare(first.settings, Grown()).waiting == ()


def test_every_key_that_needs_a_restart_is_a_key() -> None:
    for key in NEEDS_RESTART:
        section, _, name = key.partition(".")
        assert section in Grown.model_fields
        if name:
            assert name in type(getattr(Settings(), section)).model_fields
