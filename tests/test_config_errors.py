"""Each mistake a configuration can have: its place, its words, and no secret in any of them."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from pydantic import BaseModel

from config_checks import check_url, problems_in
from watcher.config.errors import ConfigError, Problem
from watcher.config.loading import example_text, load
from watcher.config.settings import Settings

CANARY = "canary-7f3a91"
KINDS = "new, removed, returned, renamed, price_up, price_down, unit, discount_up, discount_down, promotion_started, promotion_ended, reference_up, reference_down, corrected, relabelled, credit_value"

NOT_A_DURATION = "is not a duration; write one number and one unit, as in 30s, 5m, 6h, 7d"
NO_UNIT = "has no unit; write 30s, 5m, 6h or 7d"
EMPTY = "is empty; give it a value or remove the line"
NOTHING_ANNOUNCED = "is empty, so nothing would ever be announced; name at least one kind, or remove the key for the usual ones"
NOT_SET = "is not set; set it, or write $${ for ${"
NOT_A_MAPPING = "is not a mapping; write its keys beneath it, each with its value"
NO_HTTP = "is not an http(s) URL; write https://host/path/"
BAD_NAME = "is not a name for a receiver; use at most 40 letters, digits, - and _"
UNCLOSED = (
    'has a bracket never closed or a value to quote; close it, and quote "${NAME}" in brackets'
)


# One row for each mistake: the file, and the error without the file's name.
# fmt: off
ERRORS = [
    # YAML
    ("poll:\n\tinterval: 5m", "2:1: syntax: has a tab; indent with spaces"),
    ("poll: {jitter: %10}", "1:16: syntax: has a % where no value can start; put quotes around the value"),
    ("poll: @x", "1:7: syntax: has a character that no value starts with; put quotes around the value"),
    ("poll: interval: 5m", "1:15: syntax: has a colon where none is allowed; check the indentation or put quotes around the value"),
    ("poll:\n  interval 5m\n  jitter: 10%", "3:9: syntax: has a colon where none is allowed; check the indentation or put quotes around the value"),
    ("poll:\n  interval: 5m\n  jitter\nlog: {}", "4:1: syntax: has a key without its colon; write key: value"),
    ('state: {}\nsource:\n  url: "https://x/\n', "3:8: syntax: has a quote that is never closed; close it"),
    ('state: {path: "\\q"}', "1:17: syntax: has an unknown escape; use single quotes"),
    ('state: {path: "\\UFFFFFFFF"}', "1:18: syntax: is not YAML; check indentation, colons, brackets and quotes around this place"),
    ("receivers: {a: {url: *b}}", "1:22: syntax: has an alias without its anchor; put quotes around a leading *"),
    ("receivers: {a: {url: * b}}", "1:23: syntax: has a * or & that names nothing; put quotes around the value"),
    ("announce: - new", "1:11: syntax: has a - where no list is allowed; start the list on a new line"),
    ("poll:\n  interval: 5m\n jitter: 10%", "3:2: syntax: is indented unlike the lines above it; line it up with them"),
    ("log: {level: info", f"1:18: syntax: {UNCLOSED}"),
    ("receivers: {a: {url: ${B}}}", f"1:23: syntax: {UNCLOSED}"),
    ("log: {}\n---\nlog: {}", "2:1: syntax: has a second document; remove the line ---"),
    ("log: {level: \x07}", "1:14: syntax: has a control character; remove it"),
    ("poll: " + "[" * 30, "1:26: syntax: is nested too deeply; use at most 20 levels"),
    ("announce:\n" + "- new\n" * 10_000, "9999:3: syntax: has too many values; use at most 10000"),
    ("announce: &a [*a]", "1:11: announce: grows without end by its aliases (*name); write the values out"),
    ("- poll", "1:1: file: is not a mapping; write sections such as poll: with their keys beneath"),
    ("poll", "1:1: file: is not a mapping; write sections such as poll: with their keys beneath"),
    ("poll: {}\npoll: {}", "2:1: poll: appears twice, first in line 1; remove one"),
    ("poll:\n  interval: 5m\n  interval: 6m", "3:3: poll.interval: appears twice, first in line 2; remove one"),
    ("poll: {interval: !secret 5m}", "1:18: poll.interval: has a tag that means nothing here; remove the !tag"),
    ("? [poll]\n: {}", "1:3: file: has a key that is not a name; write name: value"),
    ("poll: {~: 5m}", "1:8: poll: has a key that is not a name; write name: value"),
    ('state: {path: "\\uD800"}', "1:15: state.path: has half a character (an escape \\ud800 to \\udfff); fix it"),
    # variables
    ("state: {path: '${HOUSE}/x'}", f"1:15: state.path: the variable HOUSE {NOT_SET}"),
    ("log: {level: '${HOUSE:-info}'}", "1:14: log.level: has a ${ that names no variable; write ${NAME}, or $${ for ${"),
    ("log: {level: '${HOUSE'}", "1:14: log.level: has a ${ that names no variable; write ${NAME}, or $${ for ${"),
    # unknown keys and sections
    ("intervall: 5m", "1:1: intervall: unknown key; did you mean poll.interval?"),
    ("interval: 5m", "1:1: interval: unknown key; did you mean poll.interval?"),
    ("recievers: {}", "1:1: recievers: unknown key; did you mean receivers?"),
    ("xyzzy: 1", "1:1: xyzzy: unknown key; known here: source, poll, confirm, state, delivery, receivers, announce, routes, quiet_hours, timezone, usage, flap, operator, operator_after, heartbeat, web, log"),
    ("poll: {full_sweep: 5m}", "1:8: poll.full_sweep: unknown key; did you mean full_sweep_every?"),
    ("poll: {page_size: 5}", "1:8: poll.page_size: unknown key; did you mean source.page_size?"),
    ("log: {xyzzy: 5}", "1:7: log.xyzzy: unknown key; known here: level, format"),
    ("log: {'\\x1b[31m': 5}", "1:7: log.?: unknown key; known here: level, format"),
    ("poll: 5m", f"1:7: poll: {NOT_A_MAPPING}"),
    ("poll: [5m]", f"1:7: poll: {NOT_A_MAPPING}"),
    # source
    ("source: {url: }", f"1:14: source.url: {EMPTY}"),
    ("source: {url: [a]}", "1:15: source.url: is not a single value; write the value after the key"),
    ("source: {url: kie.ai}", f"1:15: source.url: {NO_HTTP}"),
    ("source: {url: 'ftp://kie.ai/'}", f"1:15: source.url: {NO_HTTP}"),
    ("source: {url: 'https:///x'}", f"1:15: source.url: {NO_HTTP}"),
    ("source: {url: 'https://kie.ai/a b'}", f"1:15: source.url: {NO_HTTP}"),
    ("source: {url: 'https://[kie'}", "1:15: source.url: is not a URL; write https://host/path/"),
    ("source: {url: 'https://kie.ai:99999/'}", "1:15: source.url: is not a URL; write https://host/path/"),
    ("source: {url: 'https://me:canary-7f3a91@kie.ai/'}", "1:15: source.url: has a user name or password; the API needs none, remove it"),
    ("source: {url: 'https://kie.ai/?a=b'}", "1:15: source.url: has a ? or # part; end it after the path"),
    ("source: {url: 'http://kie.ai/'}", "1:15: source.url: is not encrypted; write https (http is for this machine only)"),
    ("source: {url: 'http://127.0.0.1.kie.ai/'}", "1:15: source.url: is not encrypted; write https (http is for this machine only)"),
    ("source: {page_size: 0}", "1:21: source.page_size: is out of range; write a number from 1 to 100"),
    ("source: {page_size: 101}", "1:21: source.page_size: is out of range; write a number from 1 to 100"),
    ("source: {page_size: many}", "1:21: source.page_size: is not a whole number; write digits only, as in 3"),
    ("source: {page_size: 10.5}", "1:21: source.page_size: is not a whole number; write digits only, as in 3"),
    ("source: {probe_size: 0}", "1:22: source.probe_size: is out of range; write a number from 1 to 100"),
    ("source: {probe_size: 101}", "1:22: source.probe_size: is out of range; write a number from 1 to 100"),
    ("source: {concurrency: 9}", "1:23: source.concurrency: is out of range; write a number from 1 to 8"),
    ("source: {concurrency: 0}", "1:23: source.concurrency: is out of range; write a number from 1 to 8"),
    ("source: {timeout: 0}", "1:19: source.timeout: is zero; write a longer duration, such as 30s"),
    ("source: {timeout: 20}", f"1:19: source.timeout: {NO_UNIT}"),
    # poll
    ("poll: {interval: 30}", f"1:18: poll.interval: {NO_UNIT}"),
    ("poll: {interval: soon}", f"1:18: poll.interval: {NOT_A_DURATION}"),
    ("poll: {interval: -5m}", "1:18: poll.interval: is negative; write a duration such as 30s"),
    ("poll: {interval: 0}", "1:18: poll.interval: is zero; write a longer duration, such as 30s"),
    ("poll: {interval: 29s}", "1:18: poll.interval: is under 30s, too often for a host that is not this machine; write 30s or more"),
    ("poll: {interval: 9999d}", "1:18: poll.interval: is too long; write at most 3650d"),
    ("poll: {interval: 31m}", "1:18: poll.interval: is longer than poll.full_sweep_every, which is 30m unless set; set that to at least as much"),
    ("poll: {interval: 2h, full_sweep_every: 2h}", "1:18: poll.interval: is longer than poll.max_backoff, which is 1h unless set; set that to at least as much"),
    ("poll: {full_sweep_every: 4m}", "1:26: poll.full_sweep_every: is shorter than poll.interval; write at least as much"),
    ("poll: {max_backoff: 4m}", "1:21: poll.max_backoff: is shorter than poll.interval; write at least as much"),
    ("poll: {jitter: 51%}", "1:16: poll.jitter: is out of range; write a share from 0% to 50%"),
    ("poll: {jitter: 0.1}", "1:16: poll.jitter: has no percent sign; write 10%"),
    ("poll: {jitter: -1%}", "1:16: poll.jitter: is negative; write a share such as 10%"),
    ("poll: {jitter: much}", "1:16: poll.jitter: is not a share; write a number and a percent sign, as in 10%"),
    ("poll: {sweep_attempts: 0}", "1:24: poll.sweep_attempts: is out of range; write a number from 1 to 10"),
    ("poll: {sweep_attempts: 11}", "1:24: poll.sweep_attempts: is out of range; write a number from 1 to 10"),
    ("poll: {settle_delay: 0}", "1:22: poll.settle_delay: is zero; write a longer duration, such as 30s"),
    # confirm
    ("confirm: {removals: -1s}", "1:21: confirm.removals: is negative; write a duration such as 30s"),
    ("confirm: {implausible: 5}", f"1:24: confirm.implausible: {NO_UNIT}"),
    ("confirm: {implausible_factor: 1}", "1:31: confirm.implausible_factor: is out of range; write a number greater than 1, such as 5"),
    ("confirm: {implausible_factor: five}", "1:31: confirm.implausible_factor: is not a number; write one such as 5 or 2.5"),
    ("confirm: {implausible_factor: .nan}", "1:31: confirm.implausible_factor: is not a number; write one such as 5 or 2.5"),
    ("confirm: {collapse: }", f"1:20: confirm.collapse: {EMPTY}"),
    ("confirm: {collapse_share: 0.5%}", "1:27: confirm.collapse_share: is out of range; write a share from 1% to 100%"),
    ("confirm: {collapse_share: 101%}", "1:27: confirm.collapse_share: is out of range; write a share from 1% to 100%"),
    # state, delivery, log
    ("state: {path: ~}", f"1:15: state.path: {EMPTY}"),
    ("state: {path: ''}", f"1:15: state.path: {EMPTY}"),
    ('state: {path: "a\\0b"}', "1:15: state.path: has a character that no path should have; write a plain path"),
    ("state: {path: '~no-such-user-here/x'}", "1:15: state.path: names an unknown home directory; write the full path"),
    ("delivery: {give_up_after: 0}", "1:27: delivery.give_up_after: is zero; write a longer duration, such as 30s"),
    ("log: {level: INFO}", "1:14: log.level: is not a log level; did you mean info? (one of debug, info, warning, error)"),
    ("log: {format: xml}", "1:15: log.format: is not a log format; write one of auto, readable, json"),
    # announce
    ("announce: []", f"1:11: announce: {NOTHING_ANNOUNCED}"),
    ("announce:", f"1:10: announce: {NOTHING_ANNOUNCED}"),
    ("announce: new", "1:11: announce: is not a list; write [new, removed] or one kind a line after - "),
    ("announce: {new: removed}", "1:11: announce: is not a list; write [new, removed] or one kind a line after - "),
    ("announce:\n  - new\n  - prise_up", f"3:5: announce: is not a kind of change; did you mean price_up? (one of {KINDS})"),
    ("announce: [no]", f"1:12: announce: is not a kind of change; write one of {KINDS}"),
    ("announce: [zzz]", f"1:12: announce: is not a kind of change; write one of {KINDS}"),
    ("announce: [[new]]", "1:12: announce: is not a single value; write the value after the key"),
    # receivers
    ("receivers: ['discord://canary-7f3a91/x']", "1:12: receivers: is not a mapping; write each receiver as a name with a url"),
    ("receivers: {team: 'discord://canary-7f3a91/x'}", '1:19: receivers.team: is not a mapping; write url: "${NAME}" or url_file: beneath it'),
    ("receivers: {team: }", '1:18: receivers.team: is not a mapping; write url: "${NAME}" or url_file: beneath it'),
    ("receivers: {team: {}}", "1:13: receivers.team: has neither url nor url_file; give it exactly one of the two"),
    ("receivers: {team: {url: 'json://canary-7f3a91', url_file: canary-7f3a91}}", "1:13: receivers.team: has both url and url_file; give it exactly one of the two"),
    ("receivers: {team: {url: 'json://x', urls: canary-7f3a91}}", "1:37: receivers.team.urls: unknown key; did you mean url?"),
    ("receivers: {team: {url: 'json://x', canary-7f3a91: x}}", "1:37: receivers.team.?: unknown key; known here: url, url_file, format, charts, prices, template"),
    ("receivers: {'discord://canary-7f3a91/x': {url: 'json://x'}}", f"1:13: receivers.?: {BAD_NAME}"),
    ("receivers: {the team: {url: 'json://x'}}", f"1:13: receivers.?: {BAD_NAME}"),
    (f"receivers: {{{'a' * 41}: {{url: 'json://x'}}}}", f"1:13: receivers.?: {BAD_NAME}"),
    ("receivers: {terminal: {url: 'json://x'}}", "1:13: receivers.terminal: is the name of the built-in receiver; choose another"),
    ("receivers: {team: {url: }}", "1:24: receivers.team.url: is empty; give it a value"),
    ("receivers: {team: {url: ' '}}", "1:25: receivers.team.url: is empty; give it a value"),
    ("receivers: {team: {url: ['json://canary-7f3a91']}}", "1:25: receivers.team.url: is not a single value; write one URL"),
    ("receivers: {team: {url: 'discord://canary-7f3a91/x'}}", "1:25: receivers.team.url: is no Apprise URL: ***; copy it again"),
    ("receivers: {team: {url: '${HOUSE}'}}", f"1:25: receivers.team.url: the variable HOUSE {NOT_SET}"),
    ("receivers: {team: {url: 'json://${canary-7f3a91}'}}", "1:25: receivers.team.url: has a ${ that names no variable; write ${NAME}, or $${ for ${"),
    ("receivers: {team: {url_file: /no/canary-7f3a91}}", "1:30: receivers.team.url_file: the file cannot be read (No such file or directory); fix the path or its permissions"),
    ("receivers: {team: {url_file: /}}", "1:30: receivers.team.url_file: the file cannot be read (Is a directory); fix the path or its permissions"),
    ('receivers: {team: {url_file: "a\\0canary-7f3a91"}}', "1:30: receivers.team.url_file: is not a path; write the path of a file"),
    ("receivers: {team: {url_file: ~}}", "1:30: receivers.team.url_file: is empty; give it a value"),
    ("receivers: {team: {url_file: '${HOUSE}/x'}}", f"1:30: receivers.team.url_file: the variable HOUSE {NOT_SET}"),
]
# fmt: on


@pytest.mark.parametrize(("text", "line"), ERRORS, ids=[line[:60] for _, line in ERRORS])
def test_each_mistake_is_named_with_its_place_and_its_mending(
    file: Path, text: str, line: str
) -> None:
    file.write_text(text)

    assert problems_in(file) == [line]
    assert CANARY not in line


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"", "the file is empty; put the URL into it"),
        (b" \n\n", "the file is empty; put the URL into it"),
        (
            b"json://canary-7f3a91\njson://canary-7f3a91\n",
            "the file has several lines; put the URL alone into it",
        ),
        (b"json://canary-7f3a91\xff", "the file is not text; put the URL alone into it"),
        (b"slack://canary-7f3a91/b\n", "is no Apprise URL: ***; copy it again"),
    ],
)
def test_a_mistake_in_a_url_file_is_named_without_what_it_holds(
    file: Path, content: bytes, why: str
) -> None:
    (file.parent / "secret").write_bytes(content)
    file.write_text(f"receivers:\n  team:\n    url_file: {file.parent}/secret")

    assert problems_in(file) == [f"3:15: receivers.team.url_file: {why}"]


@pytest.mark.parametrize(
    ("content", "line"),
    [
        (b"log: {}\nstate: {path: b\xe4r}", "2:16: file: is not UTF-8; save it as UTF-8"),
        (b"#" * 1_048_577, "1:1: file: is larger than 1 MiB; no configuration needs that"),
    ],
    ids=["not UTF-8", "too large"],
)
def test_a_file_that_is_no_text_or_too_much_of_it_is_refused(
    file: Path, content: bytes, line: str
) -> None:
    file.write_bytes(content)

    assert problems_in(file) == [line]


def test_a_file_that_is_not_there_or_is_a_directory_is_refused(tmp_path: Path) -> None:
    missing = tmp_path / "missing.yaml"

    assert problems_in(missing) == [
        "1:1: file: cannot be read (No such file or directory); name another or fix it"
    ]
    assert problems_in(tmp_path) == [
        "1:1: file: cannot be read (Is a directory); name another or fix it"
    ]
    assert problems_in(Path("a\0b")) == ["1:1: file: is not a path; name a file"]


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_file_that_may_not_be_read_is_refused(file: Path) -> None:
    file.touch(mode=0)

    assert problems_in(file) == [
        "1:1: file: cannot be read (Permission denied); name another or fix it"
    ]


def test_all_mistakes_are_named_at_once_and_in_the_order_of_the_file(file: Path) -> None:
    file.write_text("""\
log: {level: wran}
announce: [nwe, '${ABSENT}', romoved]
receivers:
  b: {url: 'slack://canary-7f3a91'}
  a: {}
poll:
  max_backoff: 1m
  interval: 3m
  jitter: 60%
  full_sweep: 1h
  settle_delay: '${ABSENT}'
  interval: 4m
source: {page_size: 0, concurrency: 0}
""")

    assert [line.split(";")[0] for line in problems_in(file)] == [
        "1:14: log.level: is not a log level",
        "2:12: announce: is not a kind of change",
        "2:17: announce: the variable ABSENT is not set",
        "2:30: announce: is not a kind of change",
        "4:12: receivers.b.url: is no Apprise URL: ***",
        "5:3: receivers.a: has neither url nor url_file",
        "7:16: poll.max_backoff: is shorter than poll.interval",
        "9:11: poll.jitter: is out of range",
        "10:3: poll.full_sweep: unknown key",
        "11:17: poll.settle_delay: the variable ABSENT is not set",
        "12:3: poll.interval: appears twice, first in line 8",
        "13:21: source.page_size: is out of range",
        "13:37: source.concurrency: is out of range",
    ]


def test_a_value_that_is_itself_wrong_contradicts_no_other(file: Path) -> None:
    file.write_text("poll: {interval: 10s, max_backoff: 0}\nsource: {url: nonsense}")

    assert [line.split(": ")[1] for line in problems_in(file)] == ["poll.max_backoff", "source.url"]


def test_an_alias_bomb_is_refused_at_once(file: Path) -> None:
    levels = "\n".join(f"  l{n}: &l{n} [{', '.join([f'*l{n - 1}'] * 9)}]" for n in range(1, 10))
    file.write_text(f"poll:\n  l0: &l0 [x, x, x]\n{levels}\n")

    assert problems_in(file) == [
        "2:12: poll: grows without end by its aliases (*name); write the values out"
    ]


def test_a_pipe_in_the_place_of_a_file_is_read_once(file: Path) -> None:
    reader, writer = os.pipe()
    os.write(writer, b"discord://canary-7f3a91/x")
    os.close(writer)
    file.write_text(f"receivers: {{a: {{url_file: /dev/fd/{reader}}}}}\nlog: 5")

    lines = problems_in(file)
    os.close(reader)

    assert lines == [
        "1:27: receivers.a.url_file: is no Apprise URL: ***; copy it again",
        f"2:6: log: {NOT_A_MAPPING}",
    ]


def test_what_a_variable_holds_is_in_no_error(file: Path) -> None:
    content: dict[str, object] = {
        name: dict.fromkeys(type(section).model_fields, "${SECRET}")
        for name, section in Settings()
        if isinstance(section, BaseModel) and name != "state"
    }
    leaves = sum(len(keys) for keys in content.values() if isinstance(keys, dict))
    content |= {"announce": ["${SECRET}"], "receivers": {"a": {"url": "${SECRET}"}}}
    file.write_text(yaml.safe_dump(content))

    lines = problems_in(file, {"SECRET": CANARY})

    assert len(lines) == leaves + 2
    assert CANARY not in "".join(lines)


def test_variables_are_not_looked_for_in_keys(file: Path) -> None:
    file.write_text("log: {'${ROOM}': info}")

    assert problems_in(file, {"ROOM": "level"}) == [
        "1:7: log.?: unknown key; known here: level, format"
    ]


@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    content=st.one_of(
        st.text(), st.text(st.sampled_from("{}[]:,-*&!|>'\"%@`#?~\n \tab$\\xU0")), st.binary()
    )
)
@example(content="%YAML 9999999999999999999999.1\n---\n")
@example(content="!!python/object:os.system x")
@example(content='"\\xZZ"')
@example(content="? ? ? ?")
def test_whatever_a_file_holds_it_is_settings_or_a_config_error(
    file: Path, content: str | bytes
) -> None:
    file.write_bytes(
        content if isinstance(content, bytes) else content.encode("utf-8", "surrogatepass")
    )

    problems: tuple[Problem, ...] | None = None
    try:
        load(file, {"A": "b"}, check_url)
    except ConfigError as error:
        problems = error.problems

    assert problems != ()
    for problem in problems or ():
        assert re.fullmatch(rf"{re.escape(str(file))}:\d+:\d+: [\w.?-]+: [^\n]+", str(problem))


@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_an_example_with_any_stretch_replaced_is_settings_or_a_config_error(
    file: Path, data: st.DataObject
) -> None:
    text = example_text().replace("#receivers:", f"receivers: {{a: {{url: 'x://{CANARY}'}}}}")
    start = data.draw(st.integers(0, len(text)))
    end = start + data.draw(st.integers(0, 40))
    file.write_text(
        text[:start] + data.draw(st.text("{}[]:,-*&!'\"%#\n ab$0", max_size=8)) + text[end:]
    )

    said = ""
    try:
        # The stretch may have taken the receiver with its bad URL, or made it a comment.
        load(file, {}, check_url)
    except ConfigError as refused:
        said = str(refused)

    assert CANARY not in said


def test_naming_a_problem_needs_none_of_the_heavy_imports() -> None:
    code = "import sys, watcher.config.errors, watcher.config.durations; print({'pydantic', 'yaml', 'rapidfuzz'} & set(sys.modules))"

    assert subprocess.check_output([sys.executable, "-c", code], text=True).strip() == "set()"
