"""What a pattern finds: globs, regular expressions, and what they exclude."""

from __future__ import annotations

import time

import pytest

from watcher.catalog.record import fold
from watcher.routing.match import Pattern, PatternError, accepts

NAME = "ByteDance/Seedance-2-5 , 1080p NO video"


@pytest.mark.parametrize(
    ("written", "text", "found"),
    [
        ("ByteDance", "ByteDance", True),
        ("bytedance", "BYTEDANCE", True),
        ("ByteDance", "ByteDance Ltd", False),
        ("Kling*", "Kling 3.0", True),
        ("Kling*", "the Kling", False),
        ("*kling", "The Kling", True),
        ("*kling", "Kling 3", False),
        ("*seedance*", NAME, True),
        ("*", "", True),
        ("*", NAME, True),
        ("bytedance/seedance-2-5, 1080p no video", NAME, True),
        ("bytedance/seedance-2-5 , 1080p  no video", NAME, True),
        ("bytedance*1080p*video", NAME, True),
        ("*720p*video", NAME, False),
        ("seedance-?-5*", "Seedance-2-5, 720p", True),
        ("seedance-?-5*", "Seedance-20-5, 720p", False),
        ("*[27]20p", "Reel, 720p", True),
        ("*[37]90p", "Reel, 720p", False),
        ("straße*", "STRASSE 1", True),
        ("ｋｌｉｎｇ*", "kling 3", True),
        ("kling* ", "kling 3", True),
        ("re:seedance-[0-9]", NAME, True),
        ("re:^seedance", NAME, False),
        ("re:^ByteDance/", NAME, True),
        ("re: 1080p$", "Reel, 1080p", True),
        ("re:(?<!no )video", NAME, False),
    ],
)
def test_a_pattern_is_tried_on_the_folded_text(written: str, text: str, found: bool) -> None:
    assert Pattern(written).finds(fold(text)) is found


@pytest.mark.parametrize(
    ("written", "accepted"),
    [
        ([], True),
        (["*seedance*"], True),
        (["*kling*"], False),
        (["*kling*", "*seedance*"], True),
        (["*seedance*", "!*480p*"], True),
        (["*seedance*", "!*1080p*"], False),
        (["!*1080p*", "*seedance*"], False),
        (["!*480p*"], True),
        (["!*480p*", "!*1080p*"], False),
        (["!re:10[0-9]+p"], False),
        (["! *480p*", "re:seed"], True),
    ],
)
def test_what_excludes_wins_and_alone_asks_for_all_the_rest(
    written: list[str], accepted: bool
) -> None:
    assert accepts([Pattern(text) for text in written], fold(NAME)) is accepted


@pytest.mark.parametrize(
    ("written", "why"),
    [
        ("", "empty"),
        ("   ", "empty"),
        ("!", "empty"),
        ("re:", "empty regular expression"),
        ("!re:", "empty regular expression"),
        ("re:(", "no regular expression"),
        ("re:[z-a]", "no regular expression"),
        ("re:(?P<a>x)(?P<a>y", "no regular expression"),
        ("x" * 501, "longer than 500"),
    ],
)
def test_a_pattern_that_cannot_be_used_says_why(written: str, why: str) -> None:
    with pytest.raises(PatternError, match=why):
        Pattern(written)


def test_patterns_are_equal_where_they_are_written_alike() -> None:
    assert Pattern("Kling*") == Pattern("Kling*")
    assert hash(Pattern("!re:a+")) == hash(Pattern("!re:a+"))
    assert Pattern("Kling*") != Pattern("kling*")


ENDLESS = "(a|aa)+$"
HURTS = "a" * 100 + "!"


@pytest.mark.parametrize(
    ("written", "accepted"), [(f"re:{ENDLESS}", True), (f"!re:{ENDLESS}", True)]
)
def test_an_expression_without_end_is_stopped_and_rather_lets_an_alert_through(
    written: str, accepted: bool
) -> None:
    assert accepts([Pattern(written)], HURTS) is accepted


def test_a_text_that_hurts_an_expression_hurts_once() -> None:
    pattern = Pattern(f"re:{ENDLESS}")
    pattern.finds(HURTS)
    started = time.process_time()
    for _ in range(100):
        pattern.finds(HURTS)
    assert time.process_time() - started < 1


def test_a_glob_of_many_stars_does_not_backtrack_for_ever() -> None:
    assert not Pattern("*a" * 30 + "*b?").finds("a" * 1000)
