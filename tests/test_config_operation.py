"""What keeps a service running, and how receivers like their messages: meaning and mistakes."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path, PurePosixPath

import pytest
import yaml
from pydantic import BaseModel

from config_checks import check_url, problems_in, read
from watcher.config.addresses import TcpAddress, UnixAddress
from watcher.config.loading import load
from watcher.config.routes import MatchSettings
from watcher.config.settings import RetentionSettings, Settings, TemplateFile, missing_packages

CANARY = "canary-7f3a91"
HAVE = "receivers: {team: {url: 'json://a'}, mail: {url: 'json://b'}}\n"
EMPTY = "is empty; give it a value or remove the line"
NO_ADDRESS = "is not an address; write 127.0.0.1:9178 or unix:/run/kie-watcher/web"
OPEN = "can be reached from other machines; write 127.0.0.1 for the host, or allow_remote: true beside it"
NO_BEAT = "is not an http(s) URL; copy it again from the monitor"


def test_every_word_about_operation_is_read_as_people_write_it(file: Path) -> None:
    known = read(
        file,
        HAVE
        + """\
state: {keep: {history: 3650d, polls: forever, messages: 12h}}
operator: [mail, team, mail]
operator_after: 2h
heartbeat: {url: 'https://beat.example/x', every: 5m}
web: {listen: '0.0.0.0:80', allow_remote: yes}
""",
    )

    assert known.state.keep == RetentionSettings(
        history=timedelta(days=3650), polls=None, messages=timedelta(hours=12)
    )
    assert (known.operator, known.operator_after) == (("mail", "team"), timedelta(hours=2))
    assert known.heartbeat is not None
    assert known.heartbeat.url.get_secret_value() == "https://beat.example/x"
    assert known.heartbeat.every == timedelta(minutes=5)
    assert known.web.listen == TcpAddress("0.0.0.0", 80)
    assert known.web.allow_remote


def test_without_a_word_history_stays_nobody_listens_and_nothing_beats() -> None:
    known = Settings()

    assert known.state.keep == RetentionSettings(
        history=None, polls=timedelta(days=30), messages=timedelta(days=90)
    )
    assert (known.web.listen, known.heartbeat, known.operator) == (None, None, ())
    assert MatchSettings(kinds=None, usd_below=None, min_change=None) == MatchSettings()


@pytest.mark.parametrize(
    "text", ["web:\n", "web: {}", "heartbeat:\n", "flap:\n", "state: {keep: }", "state:\n  keep:\n"]
)
def test_a_section_with_all_its_keys_commented_out_is_its_defaults(file: Path, text: str) -> None:
    assert read(file, text) == Settings()


@pytest.mark.parametrize(
    ("written", "address"),
    [
        ("127.0.0.1:9178", TcpAddress("127.0.0.1", 9178)),
        ("127.8.8.8:1", TcpAddress("127.8.8.8", 1)),
        ("localhost:65535", TcpAddress("localhost", 65535)),
        ("[::1]:9178", TcpAddress("::1", 9178)),
        ("unix:/run/x/web", UnixAddress(PurePosixPath("/run/x/web"))),
    ],
)
def test_this_machine_alone_may_be_listened_to_without_a_word(
    file: Path, written: str, address: TcpAddress | UnixAddress
) -> None:
    assert read(file, f"web: {{listen: '{written}'}}").web.listen == address
    assert address.is_loopback


@pytest.mark.parametrize("host", ["0.0.0.0", "[::]", "192.168.1.5", "prices.example", "10.0.0.1"])
def test_listening_beyond_this_machine_must_be_allowed(file: Path, host: str) -> None:
    file.write_text(f"web: {{listen: '{host}:80'}}")

    assert problems_in(file) == [f"1:15: web.listen: {OPEN}"]


def test_the_url_of_a_heartbeat_is_as_secret_as_those_of_receivers(file: Path) -> None:
    (file.parent / "beat").write_text(f"https://beat.example/ping/{CANARY}?status=up\n")
    text = "heartbeat: {url_file: '${CREDENTIALS_DIRECTORY}/beat'}"

    known = read(file, text, {"CREDENTIALS_DIRECTORY": str(file.parent)})

    assert {CANARY, f"https://beat.example/ping/{CANARY}?status=up"} <= known.secrets()
    assert CANARY not in f"{known!r} {known} {known.model_dump()} {known.model_dump_json()}"
    assert known.heartbeat is not None
    assert known.heartbeat.every == "sweep"


def test_what_went_into_the_url_of_a_heartbeat_is_a_secret_too(file: Path) -> None:
    known = read(file, "heartbeat: {url: 'https://beat.example/${KEY}'}", {"KEY": "k3y!"})

    assert "k3y!" in known.secrets()


class TestReceivers:
    def test_a_receiver_says_how_it_likes_its_messages(self, file: Path) -> None:
        template = file.parent / "mail.j2"
        template.write_text("\ufeff{{ title }}\n")

        known = read(
            file,
            f"receivers: {{a: {{url: 'json://a', format: html, charts: no, template: {template}}}, b: {{url: 'json://b'}}}}",
        ).receivers

        a, b = known["a"], known["b"]
        assert (a.format, a.charts) == ("html", False)
        assert a.template == TemplateFile(template, "{{ title }}\n")
        assert (b.format, b.charts, b.template) == ("auto", False, None)

    def test_what_is_wrong_with_a_template_is_said_where_it_is_named(self, file: Path) -> None:
        (file.parent / "t").write_text("{{ oops")
        file.write_text(
            f"receivers:\n  a:\n    url: json://a\n    template: {file.parent}/t\n    format: htm"
        )

        lines = problems_in(
            file, check_template=lambda text: [f"has {len(text)} mistakes; fix them"]
        )

        assert lines == [
            "4:15: receivers.a.template: has 7 mistakes; fix them",
            "5:13: receivers.a.format: is not a message format; did you mean html? (one of auto, markdown, html, text, json)",
        ]

    @pytest.mark.parametrize(
        ("content", "why"),
        [
            (
                None,
                "the file cannot be read (No such file or directory); fix the path or its permissions",
            ),
            (b"", "the file is empty, and so would be every message; write a template"),
            (b"\xff", "the file is not UTF-8; save it as UTF-8"),
            (b"x" * 65_537, "the file is larger than 64 KiB; no template needs that"),
        ],
        ids=["missing", "empty", "not UTF-8", "too large"],
    )
    def test_a_template_that_cannot_be_read_is_named(
        self, file: Path, content: bytes | None, why: str
    ) -> None:
        template = file.parent / "t"
        if content is not None:
            template.write_bytes(content)
        file.write_text(f"receivers: {{a: {{url: 'json://a', template: '{template}'}}}}")

        assert problems_in(file) == [f"1:44: receivers.a.template: {why}"]

    def test_charts_need_the_extra_they_are_drawn_with(
        self, file: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        site = file.parent / "site"
        installed(site, "chalk")
        installed(
            site,
            "kie-watcher",
            "chalk>=1; extra == 'charts'",
            'brush-2 (>=1) ; extra == "charts"',
            "broom; extra == 'dev'",
        )
        monkeypatch.syspath_prepend(str(site))
        file.write_text("receivers: {a: {url: 'json://a', charts: true}}")

        assert problems_in(file) == [
            "1:42: receivers.a.charts: needs brush-2; install kie-watcher[charts], or remove the line"
        ]

        installed(site, "brush-2")
        assert load(file, {}, check_url).receivers["a"].charts

    def test_an_extra_that_is_not_known_needs_nothing(self) -> None:
        assert missing_packages("no-such-extra") == ()


def installed(site: Path, name: str, *needs: str) -> None:
    """Put down what a package leaves when it is installed."""
    about = site / f"{name.replace('-', '_')}-9.dist-info"
    about.mkdir(parents=True)
    lines = ["Metadata-Version: 2.1", f"Name: {name}", "Version: 9"]
    (about / "METADATA").write_text("\n".join([*lines, *(f"Requires-Dist: {n}" for n in needs)]))


# fmt: off
ERRORS = [
    # receivers
    ("receivers: {team: {url: 'json://x', format: json5}}", ["1:45: receivers.team.format: is not a message format; did you mean json? (one of auto, markdown, html, text, json)"]),
    ("receivers: {team: {url: 'json://x', format: }}", [f"1:44: receivers.team.format: {EMPTY}"]),
    ("receivers: {team: {url: 'json://x', format: [html]}}", ["1:45: receivers.team.format: is not a single value; write the value after the key"]),
    ("receivers: {team: {url: 'json://x', charts: 2}}", ["1:45: receivers.team.charts: is neither true nor false; write one of the two"]),
    ("receivers: {team: {url: 'json://x', template: }}", [f"1:46: receivers.team.template: {EMPTY}"]),
    ("receivers: {team: {url: 'json://x', template: /}}", ["1:47: receivers.team.template: the file cannot be read (Is a directory); fix the path or its permissions"]),
    ("receivers: {team: {url: 'json://x', template: '${T}'}}", ["1:47: receivers.team.template: the variable T is not set; set it, or write $${ for ${"]),
    ("receivers: {team: {url: 'json://x', tenplate: y}}", ["1:37: receivers.team.tenplate: unknown key; did you mean template?"]),
    ("receivers: {team: {url: 'json://x', variables: [y], template_text: z}}", ["1:37: receivers.team.variables: unknown key; known here: url, url_file, format, charts, prices, template", "1:53: receivers.team.template_text: unknown key; did you mean template?"]),
    ("receivers: {team: {format: html}}", ["1:13: receivers.team: has neither url nor url_file; give it exactly one of the two"]),
    # state.keep
    ("state: {keep: {polls: never}}", ["1:23: state.keep.polls: is not a duration; write one number and one unit, as in 30s, 5m, 6h, 7d"]),
    ("state: {keep: {polls: 0}}", ["1:23: state.keep.polls: is zero; write a longer duration, such as 30s"]),
    ("state: {keep: {history: }}", [f"1:24: state.keep.history: {EMPTY}"]),
    ("state: {keep: {mesages: 5d}}", ["1:16: state.keep.mesages: unknown key; did you mean messages?"]),
    ("state: {keep: 5d}", ["1:15: state.keep: is not a mapping; write its keys beneath it, each with its value"]),
    ("state: {history: 5d}", ["1:9: state.history: unknown key; did you mean state.keep.history?"]),
    # operator
    (HAVE + "operator: [tema, '${WHO}']", ["2:12: operator: is not a receiver; did you mean team?", "2:18: operator: the variable WHO is not set; set it, or write $${ for ${"]),
    (HAVE + "operator: team", ["2:11: operator: is not a list; write [team, mail] or one name a line after - "]),
    (HAVE + "operator: []", ["2:11: operator: is empty, so nobody would get a message; name at least one receiver"]),
    (HAVE + "operator: [terminal]", ["2:12: operator: is a receiver only while there is no other; name one of those"]),
    ("operator: [me]", ["1:12: operator: is not a receiver; write one of terminal"]),
    ("operator_after: 0", ["1:17: operator_after: is zero; write a longer duration, such as 30s"]),
    # heartbeat
    (f"heartbeat: 'https://beat.example/{CANARY}'", ['1:12: heartbeat: is not a mapping; write url: "${NAME}" or url_file: beneath it']),
    ("heartbeat: {every: 5m}", ["1:1: heartbeat: has neither url nor url_file; give it exactly one of the two"]),
    (f"heartbeat: {{url: 'https://x/{CANARY}', url_file: {CANARY}}}", ["1:1: heartbeat: has both url and url_file; give it exactly one of the two"]),
    (f"heartbeat: {{url: 'https://x/', {CANARY}: x}}", ["1:32: heartbeat.?: unknown key; known here: url, url_file, every"]),
    ("heartbeat: {url: 'https://x/', evry: 5m}", ["1:32: heartbeat.evry: unknown key; did you mean every?"]),
    (f"heartbeat: {{url: 'ftp://x/{CANARY}'}}", [f"1:18: heartbeat.url: {NO_BEAT}"]),
    (f"heartbeat: {{url: 'https://x/ {CANARY}'}}", [f"1:18: heartbeat.url: {NO_BEAT}"]),
    (f"heartbeat: {{url: 'https://[x/{CANARY}'}}", ["1:18: heartbeat.url: is not a URL; copy it again from the monitor"]),
    (f"heartbeat: {{url: 'https://x/#{CANARY}'}}", ["1:18: heartbeat.url: has a # part; copy it again from the monitor"]),
    (f"heartbeat: {{url: ['https://x/{CANARY}']}}", ["1:18: heartbeat.url: is not a single value; write one URL"]),
    (f"heartbeat: {{url_file: /no/{CANARY}}}", ["1:23: heartbeat.url_file: the file cannot be read (No such file or directory); fix the path or its permissions"]),
    ("heartbeat: {url: '${BEAT}', every: '${BEAT}'}", ["1:18: heartbeat.url: the variable BEAT is not set; set it, or write $${ for ${", "1:36: heartbeat.every: the variable BEAT is not set; set it, or write $${ for ${"]),
    ("heartbeat: {url: 'https://x/', every: often}", ["1:39: heartbeat.every: is not a duration; write sweep, or one such as 5m"]),
    ("heartbeat: {url: 'https://x/', every: 0}", ["1:39: heartbeat.every: is zero; write sweep, or one such as 5m"]),
    # web
    ("web: {listen: 9178}", [f"1:15: web.listen: {NO_ADDRESS}"]),
    ("web: {listen: ':9178'}", [f"1:15: web.listen: {NO_ADDRESS}"]),
    ("web: {listen: '::1:9178'}", [f"1:15: web.listen: {NO_ADDRESS}"]),
    ("web: {listen: 'http://127.0.0.1:9178'}", [f"1:15: web.listen: {NO_ADDRESS}"]),
    ("web: {listen: '[12]:9178'}", ["1:15: web.listen: has no address in its brackets; write [::1]:9178 or 127.0.0.1:9178"]),
    ("web: {listen: '127.0.0.1:0'}", ["1:15: web.listen: has a port out of range; write one from 1 to 65535"]),
    ("web: {listen: '127.0.0.1:65536'}", ["1:15: web.listen: has a port out of range; write one from 1 to 65535"]),
    ("web: {listen: 'unix:web'}", ["1:15: web.listen: has no absolute path after unix:; write unix:/run/kie-watcher/web"]),
    (f"web: {{listen: 'unix:/{'x' * 107}'}}", ["1:15: web.listen: is too long for a socket; use at most 107 bytes"]),
    ("web: {listen: }", [f"1:14: web.listen: {EMPTY}"]),
    ("web: {listen: '0.0.0.0:80', allow_remote: sure}", ["1:43: web.allow_remote: is neither true nor false; write one of the two"]),
    ("web: {port: 80}", ["1:7: web.port: unknown key; known here: listen, allow_remote"]),
]
# fmt: on


@pytest.mark.parametrize(
    ("text", "lines"), ERRORS, ids=[f"{at} {lines[0][:60]}" for at, (_, lines) in enumerate(ERRORS)]
)
def test_each_mistake_is_named_with_its_place_and_its_mending(
    file: Path, text: str, lines: list[str]
) -> None:
    file.write_text(text)

    assert problems_in(file) == lines
    assert CANARY not in "".join(lines)


def test_what_a_variable_holds_is_in_no_error_of_any_key(file: Path) -> None:
    secret = "${SECRET}"
    match = {
        "kinds": [secret],
        "model": [f"re:({secret}"],
        "min_change": secret,
        "usd_below": secret,
    }
    content: dict[str, object] = {
        "routes": [{"name": secret * 9, "receivers": [secret], "match": match, "digest": secret}],
        "quiet_hours": [{"name": "n", "from": secret, "to": secret, "days": [secret]}],
        "timezone": secret,
        "usage": [{"model": f"!{secret}", "per_month": secret}],
        "operator": [secret],
        "operator_after": secret,
        "heartbeat": {"url": secret, "every": secret},
        "state": {"keep": dict.fromkeys(RetentionSettings.model_fields, secret)},
        "receivers": {
            "a": {"url": "json://x", "format": secret, "charts": secret, "template": secret}
        },
    }
    content |= {
        name: dict.fromkeys(type(section).model_fields, secret)
        for name, section in Settings()
        if name in {"flap", "web"} and isinstance(section, BaseModel)
    }
    file.write_text(yaml.safe_dump(content))

    lines = problems_in(file, {"SECRET": CANARY})

    assert len(lines) == 27
    assert CANARY not in "".join(lines)
