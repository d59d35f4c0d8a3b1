"""What the static checks are told to let pass: each exception says why."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PYPROJECT = (ROOT / "pyproject.toml").read_text("utf-8")
SECURITY = re.compile(r"#\s*noqa:\s*((?:[A-Z]+[0-9]+(?:,\s*)?)+)(.*)$")
CODE = re.compile(r"\bS[0-9]{3}\b")


def exceptions() -> list[tuple[str, str, str, str]]:
    """Every line of the program that a security rule is turned off for: where, line, rules, why."""
    found = []
    for path in sorted((ROOT / "watcher").rglob("*.py")):
        for number, line in enumerate(path.read_text("utf-8").splitlines(), start=1):
            match = SECURITY.search(line)
            if match and CODE.search(match[1]):
                where = f"{path.relative_to(ROOT)}:{number}"
                found.append((where, line, match[1], match[2].strip(" -")))
    return found


def test_the_security_rules_are_on() -> None:
    settings = tomllib.loads(PYPROJECT)["tool"]["ruff"]["lint"]
    assert "ALL" in settings["select"]
    assert not [code for code in settings["ignore"] if re.fullmatch(r"S[0-9]*", code)]
    lenient = [place for place, codes in settings["per-file-ignores"].items() if "S" in codes]
    assert not [place for place in lenient if place.startswith("watcher")]


@pytest.mark.parametrize(("where", "line", "rules", "why"), exceptions(), ids=lambda it: it[:60])
def test_where_a_security_rule_is_turned_off_the_line_says_why(
    where: str, line: str, rules: str, why: str
) -> None:
    # An assertion says what must be so; what comes from outside is never checked by one.
    says_what_is_so = "S101" in rules and re.search(r'assert .+, f?"', line)
    assert why or says_what_is_so, where


def test_no_security_rule_is_turned_off_for_a_whole_file() -> None:
    for path in (ROOT / "watcher").rglob("*.py"):
        assert not re.search(r"#\s*(ruff|flake8):\s*noqa", path.read_text("utf-8")), path


def test_what_is_ignored_everywhere_or_for_some_files_says_why() -> None:
    part = PYPROJECT.partition("[tool.ruff.lint]")[2].partition("[tool.ruff.lint.flake8")[0]
    listed = [line for line in part.splitlines() if re.match(r'\s+"[A-Z]|".+= \[.+\]', line)]
    assert len(listed) > 10
    # Rules that stand together share the reason of the first.
    unsaid = [line for line in listed if "#" not in line]
    assert unsaid == ['  "RUF002",', '  "RUF003",']
    assert '"ALL"' not in part.partition("ignore = [")[2]


def test_dependencies_are_checked_with_everything_else() -> None:
    makefile = (ROOT / "Makefile").read_text("utf-8")
    check = makefile.partition("\ncheck: ")[2].partition("\n\n")[0]
    assert "deptry ." in check
    exceptions = tomllib.loads(PYPROJECT)["tool"]["deptry"]["per_rule_ignores"]
    assert exceptions == {"DEP002": ["tzdata"]}
