"""Who is who, where nothing carries an id."""

from __future__ import annotations

from decimal import Decimal
from itertools import permutations
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from build import priced, record
from watcher.catalog.matching import contradicts, match, pair_renames
from watcher.catalog.record import Record


def names(records: list[Record], positions: tuple[int, ...]) -> list[str]:
    return sorted(records[position].description for position in positions)


def test_a_model_is_its_description_and_nothing_else() -> None:
    old = [record("Reel 2, 1080p")]
    new = [
        record(
            " reel 2 , 1080P",
            anchor="",
            provider="Other",
            creditUnit="per image",
            creditPrice="900",
            interfaceType="image",
        )
    ]

    assert match(old, new).same == ((0, 0),)


def test_a_missing_description_is_gone_and_a_strange_one_appeared() -> None:
    matching = match([record("Reel 2"), record("Aria")], [record("Reel 2"), record("Sonnet")])

    assert (matching.same, matching.gone, matching.appeared) == (((0, 0),), (1,), (1,))


@given(st.randoms(use_true_random=False))
def test_no_order_of_the_listing_matters(rng: Random) -> None:
    old = [priced(f"Reel {n % 7}, {n % 3}s", str(n % 5 + 1)) for n in range(20)]
    new = [priced(f"Reel {n % 8}, {n % 3}s", str(n % 6 + 1)) for n in range(22)]

    def pairs(mine: list[Record], theirs: list[Record]) -> set[tuple[Record, Record]]:
        return {(mine[i], theirs[j]) for i, j in match(mine, theirs).same}

    expected = pairs(sorted(old, key=repr), sorted(new, key=repr))
    rng.shuffle(old)
    rng.shuffle(new)

    assert {(a.identity_key, b.identity_key) for a, b in pairs(old, new)} == {
        (a.identity_key, b.identity_key) for a, b in expected
    }


@pytest.mark.parametrize(
    ("old", "new", "pairs", "gone", "appeared"),
    [
        pytest.param(["1", "2"], ["1"], {("1", "1")}, ["2"], [], id="one of two leaves"),
        pytest.param(["1"], ["1", "2"], {("1", "1")}, [], ["2"], id="a second one comes"),
        pytest.param(
            ["1", "2"], ["1", "3"], {("1", "1"), ("2", "3")}, [], [], id="one of two moves"
        ),
        pytest.param(["1", "5"], ["4.8"], {("5", "4.8")}, ["1"], [], id="the nearest price stays"),
        pytest.param(
            ["1", "2"], ["2", "1"], {("1", "1"), ("2", "2")}, [], [], id="they change places"
        ),
    ],
)
def test_duplicates_of_one_description_are_told_apart_by_price_at_last(
    old: list[str],
    new: list[str],
    pairs: set[tuple[str, str]],
    gone: list[str],
    appeared: list[str],
) -> None:
    for mine, theirs in zip(permutations(old), permutations(new), strict=False):
        matching = match([priced("Reel", it) for it in mine], [priced("Reel", it) for it in theirs])

        assert {(mine[i], theirs[j]) for i, j in matching.same} == pairs
        assert [mine[i] for i in matching.gone] == gone
        assert [theirs[j] for j in matching.appeared] == appeared


def test_duplicates_are_told_apart_by_interface_provider_and_unit_before_price() -> None:
    old = [
        priced("Reel", "1", interfaceType="image"),
        priced("Reel", "2", provider="Zed"),
        priced("Reel", "3", creditUnit="per image"),
        priced("Reel", "4"),
    ]
    new = [
        priced("Reel", "4.5"),
        priced("Reel", "1.5", creditUnit="per image"),
        priced("Reel", "4", provider="Zed"),
        priced("Reel", "3", interfaceType="image"),
    ]

    assert set(match(old, new).same) == {(0, 3), (1, 2), (2, 1), (3, 0)}


def test_thousands_of_duplicates_take_no_forever() -> None:
    old = [priced("Reel", str(n)) for n in range(1, 3001)]
    new = [priced("Reel", str(n + 1)) for n in range(1, 3001)]

    assert len(match(old, new).same) == 3000


def test_a_model_removed_earlier_that_comes_back_is_returned() -> None:
    matching = match([], [record("Reel 2"), record("Aria")], departed=[record("reel  2")])

    assert (matching.returned, matching.appeared) == (((0, 0),), (1,))


def test_a_model_whose_row_cannot_be_read_is_neither_gone_nor_there() -> None:
    matching = match([record("Reel 2"), record("Aria")], [], unreadable={"reel 2"})

    assert (matching.unseen, matching.gone) == ((0,), (1,))


# Renames seen in a real month, in invented names.
@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("reel-v6, Extend, 1080p(with aiduo)", "reel-v6, Extend, 1080p(with audio)"),
        ("reel-v6, Extend, 360p(no aiduo)", "reel-v6, Extend, 360p(no audio)"),
        ("Quill2 - Image edit, text-to-image", "Quill2, text-to-image"),
        ("Quill2 - Image edit, image-to-image", "Quill2, image-to-image"),
        (
            "Reel AI Avtar , lip sync, Standard-up to 15 secondss-720p",
            "Reel AI Avtar , lip sync, Standard-720p",
        ),
        (
            "Reel AI Avtar , lip sync, Pro-up to 15 secondss-1080p",
            "Reel AI Avtar , lip sync, Pro-1080p",
        ),
        ("imagine-video-1-5-preview, image-to-video, 720p", "imagine-video-1-5-preview, 720p"),
        ("Sono, Boost Music Style Boost", "Sono, Boost Music Style"),
        ("Reel AI Avtar, lip sync", "Reel AI Avatar, lip sync"),
        ("Reel AI, lip sync", "Reel AI, lipsync"),
        ("Reel AI, 10 sec", "Reel AI, 10 seconds"),
        ("Reel AI, 2 images", "Reel AI, 2 image"),
    ],
)
def test_a_name_mended_or_shortened_is_a_rename(old: str, new: str) -> None:
    assert pair_renames([record(old)], [record(new)]) == ((0, 0),)
    assert pair_renames([record(new)], [record(old)]) == ((0, 0),)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("reel 2, 720p", "reel 2, 1080p"),
        ("quill-4-3, Chat, Input", "quill-4-7, Chat, Input"),
        ("reel 2, 8s", "reel 2, 10s"),
        ("imagine, upscale, 360p→720p", "imagine, upscale, 480p→720p"),
        ("reel 2, 720p with audio", "reel 2, 720p no audio"),
        ("reel 2, 720p with audio", "reel 2, 720p without audio"),
        ("quill, Chat, Input", "quill, Chat, Output"),
        ("quill, Chat, Input", "quill, Chat, Cache writes"),
        ("reel, text-to-video", "reel, image-to-video"),
        ("reel, image-to-video", "reel, video-to-image"),
        ("reel, reference-to-video", "reel, image-to-video"),
        ("reel, Standard", "reel, Pro"),
        ("reel, Turbo", "reel, Quality"),
        ("reel, high", "reel, medium"),
        ("quill-5, Chat", "quill-5-4, Chat"),
        ("quill-5.4, Chat, Input", "quill-5.4-codex, Chat, Input"),
        ("quill flash, Chat, Input", "quill flash-lite, Chat, Input"),
        ("quill-6-sol, chat, Input", "quill-6-luna, chat, Input"),
        ("reel h3, image to video, 2k", "reel h3, video input, 2k"),
        ("reel 2, 720p fast", "1080p reel 2, fast"),
    ],
)
def test_what_replaces_a_number_a_qualifier_or_a_word_is_another_model(old: str, new: str) -> None:
    assert contradicts(record(old).identity_key, record(new).identity_key)
    assert pair_renames([record(old)], [record(new)]) == ()


@pytest.mark.parametrize(
    "wire",
    [{"interfaceType": "image"}, {"creditUnit": "per image"}],
    ids=["another interface", "another base unit"],
)
def test_another_interface_or_unit_contradicts_a_rename(wire: dict[str, str]) -> None:
    assert pair_renames([record("reel 2, aiduo")], [record("reel 2, audio", **wire)]) == ()


def test_an_unknown_unit_contradicts_nothing() -> None:
    pairs = pair_renames([record("reel 2, aiduo", creditUnit="")], [record("reel 2, audio")])

    assert pairs == ((0, 0),)


def test_with_another_price_only_a_mended_spelling_is_a_rename() -> None:
    dearer = {"creditPrice": "50"}

    assert pair_renames(
        [record("reel 2, lip sync, avtar")], [record("reel 2, lip sync, avatar", **dearer)]
    ) == ((0, 0),)
    assert (
        pair_renames([record("quill2 - edit, poster")], [record("quill2, poster", **dearer)]) == ()
    )


def test_a_text_that_is_alike_without_any_other_support_is_no_rename() -> None:
    strangers = {"provider": "Zed", "anchor": "https://kie.ai/other"}

    assert pair_renames([record("reel studio")], [record("reel studios", **strangers)]) == ()


def test_where_two_fit_equally_well_there_is_no_rename() -> None:
    old = [record("reel 2, clip")]
    new = [record("reel 2, clipa"), record("reel 2, clipb")]

    assert pair_renames(old, new) == ()
    assert pair_renames(new, old) == ()


def test_the_best_pairs_come_first_and_each_model_has_one_partner() -> None:
    old = [record("reel 2, studio clip"), record("reel 2, studio clips wide")]
    new = [record("reel 2, studio clips"), record("reel 2, studio clips wides")]

    assert pair_renames(old, new) == ((0, 0), (1, 1))


@given(st.randoms(use_true_random=False))
def test_renames_do_not_depend_on_order(rng: Random) -> None:
    old = [record(f"reel {n}, lip sync aiduo", creditPrice=str(n % 3 + 1)) for n in range(12)]
    new = [record(f"reel {n}, lip sync audio", creditPrice=str(n % 3 + 1)) for n in range(12)]
    rng.shuffle(old)
    rng.shuffle(new)

    pairs = pair_renames(old, new)

    assert len(pairs) == 12
    assert all(
        old[i].identity_key.split(",")[0] == new[j].identity_key.split(",")[0] for i, j in pairs
    )


def test_a_thousand_models_renamed_at_once_are_found() -> None:
    old = [priced(f"reel {n}, lip sync aiduo", str(Decimal(n % 40 + 1))) for n in range(1000)]
    new = [priced(f"reel {n}, lip sync audio", str(Decimal(n % 40 + 1))) for n in range(1000)]

    assert match(old, new).renamed == tuple((n, n) for n in range(1000))
