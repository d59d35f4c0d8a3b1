"""The product lines of an invented catalogue: who makes what, in which variants, sold by what.

Names are of the sort one knows, so that a listing looks like one; releases, variants and prices are
invented. Refuses to know how rows are made of it.

What people do to a listing by hand: odd units, odd numbers, odd spacing, links that are wrong.

Each quirk knows which rows it can befall and how often it does. None of them makes a price or an
identity ambiguous: a careful reader still reads what was meant. Refuses to know the order of rows.

An invented catalogue of any size: the same seed gives the same rows, newest first.

Knows how a listing is laid out: releases of product lines, each a block of variants. Its quirks
are another module's. Refuses to know any real listing.
"""

from __future__ import annotations

import random
import re
from dataclasses import dataclass
from decimal import Decimal
from itertools import cycle
from typing import TYPE_CHECKING

from watcher.simulator.catalogue import (
    USD_PER_CREDIT,
    Row,
    amount,
    identity,
    listed_rate,
    listed_usd,
    plain,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from random import Random


@dataclass(frozen=True, slots=True)
class Line:
    """One family of products; `{}` in `name` is the release.

    A variant is a mode and a quality; a quality's factor times `base` is about its credits per
    `unit`, and its text may be empty. `rivalled`: Fal sells the like.
    """

    interface: str
    provider: str
    name: str
    unit: str
    base: str
    modes: tuple[str, ...]
    qualities: tuple[tuple[str, str], ...]
    rivalled: bool = True


_RESOLUTIONS = (("480p", "0.5"), ("720p", "1"), ("1080p", "2.2"))
_LARGE_RESOLUTIONS = (("720p", "1"), ("1080p", "1.6"), ("4k", "4"))
_WITH_SOUND = (
    ("720p with audio", "1.4"),
    ("720p without audio", "1"),
    ("1080p with audio", "2.4"),
    ("1080p without audio", "1.8"),
    ("4k with audio", "5"),
    ("4k without audio", "4"),
)
_TIMED = (
    ("5s-720p", "1"),
    ("10s-720p", "2"),
    ("5s-1080p", "1.8"),
    ("10s-1080p", "3.6"),
)
_TOKENS = (
    ("Input", "1"),
    ("Output", "5"),
    ("Cached Input", "0.1"),
    ("Cache Writes", "1.25"),
)
_SIZES = (("1K", "1"), ("2K", "1.5"), ("4K", "2.5"))
_EFFORTS = (("low", "0.4"), ("medium", "1"), ("high", "4"))
_TIERS = (("TURBO", "0.5"), ("BALANCED", "1"), ("QUALITY", "1.5"))
_MOTION = ("text-to-video", "image-to-video")
_REFERENCE = (*_MOTION, "reference-to-video")
_PICTURE = ("text-to-image", "image-to-image")

LINES: tuple[Line, ...] = (
    Line("video", "ByteDance", "Seedance {}", "per second", "9", _REFERENCE, _RESOLUTIONS),
    Line("video", "ByteDance", "bytedance/seedance-v{}-lite", "per video", "20", _MOTION, _TIMED),
    Line("video", "Kling", "kling {}", "per second", "14", _REFERENCE, _WITH_SOUND),
    Line("video", "Kling", "Kling AI Avatar {}", "per second", "8", ("speech-to-video",), _TIERS),
    Line("video", "Wan", "Wan {}", "per video", "16", (*_MOTION, "video-to-video"), _TIMED),
    Line("video", "Wan", "wan-{}-animate", "per second", "6", ("move", "replace"), _RESOLUTIONS),
    Line("video", "Hailuo", "hailuo {}", "per video", "30", _MOTION, _TIMED),
    Line("video", "Pixverse", "Pixverse v{}", "per second", "5", _REFERENCE, _WITH_SOUND),
    Line(
        "video",
        "Google",
        "Google Veo {}",
        "per video",
        "60",
        _MOTION,
        (("Lite", "0.5"), ("Fast", "1"), ("Quality", "4.2")),
    ),
    Line(
        "video",
        "OpenAI",
        "Sora {}",
        "per video",
        "40",
        _MOTION,
        (("Standard-10s", "1"), ("Standard-15s", "1.4"), ("Pro-10s", "5"), ("Pro-15s", "8")),
    ),
    Line("video", "Grok", "grok-imagine-video-{}", "per second", "7", _MOTION, _RESOLUTIONS),
    Line("video", "Runway", "Runway Gen-{}", "per video", "12", _MOTION, _TIMED, rivalled=False),
    Line("image", "Google", "nano-banana-{}", "per image", "6", ("",), _SIZES),
    Line("image", "Google", "google imagen{}", "per image", "8", ("text-to-image",), _TIERS),
    Line("image", "ByteDance", "seedream {}", "per image", "5", (*_PICTURE, "edit"), _SIZES),
    Line("image", "OpenAI", "gpt image {}", "per image", "6", _PICTURE, _EFFORTS),
    Line("image", "Ideogram", "ideogram v{}", "per image", "7", (*_PICTURE, "remix"), _TIERS),
    Line("image", "Black Forest Labs", "Flux-{} Pro", "per megapixel", "5", _PICTURE, _SIZES),
    Line("image", "Alibaba", "Qwen-Image-{}", "per image", "4", _PICTURE, _SIZES),
    Line("image", "Topaz", "Topaz Upscaler {}", "per upscale", "10", ("image-upscale",), _SIZES),
    Line("image", "Grok", "grok-imagine-{}", "per 6 images", "4", _PICTURE, (("", "1"),)),
    Line("chat", "Anthropic", "claude-sonnet-{}", "per million tokens", "160", ("chat",), _TOKENS),
    Line("chat", "OpenAI", "gpt-{}", "per million tokens", "120", ("chat",), _TOKENS),
    Line("chat", "Google", "Gemini {} Pro", "per million tokens", "140", ("Chat",), _TOKENS[:2]),
    Line("chat", "DeepSeek", "DeepSeek V{}", "per million tokens", "24", ("Chat",), _TOKENS[:3]),
    Line(
        "music",
        "Suno",
        "Suno V{}",
        "per request",
        "12",
        ("",),
        (
            ("Generate Music", "1"),
            ("Extend Music", "1"),
            ("add-vocals", "1"),
            ("Generate Lyrics", "0.04"),
            ("Generate Persona", "0"),
            ("Mashup", "1"),
        ),
        rivalled=False,
    ),
    Line("music", "Elevenlabs", "elevenlabs v{}", "per 1000 characters", "12", ("TTS",), _TIERS),
    Line(
        "music",
        "Google",
        "Gemini {} Flash TTS",
        "per million tokens",
        "70",
        ("Text to Speech",),
        (("Input", "1"), ("Audio Output", "16")),
    ),
)


# Right and wrong, as seen in the wild or like it; mended now and then, which looks like a rename.
MISSPELLINGS = (("audio", "aiduo"), ("Upscaler", "Upscaller"), ("Avatar", "Avtar"))
# From this size on every quirk stands in the catalogue at least once.
SIZE_OF_A_FULL_LISTING = 400


@dataclass(frozen=True, slots=True)
class Quirk:
    """So many of a thousand rows get `change(row)`, where `fits(row)`."""

    name: str
    per_mille: int
    fits: Callable[[Row], bool]
    change: Callable[[Row], Row]


def quirks() -> tuple[Quirk, ...]:
    """All quirks, the choosiest first."""
    return (*_text_quirks(), *_unit_quirks(), *_number_quirks(), *_label_quirks())


def sprinkle(rows: list[Row], rng: Random) -> None:
    """Put quirks into rows, one at most in each, keeping all descriptions apart."""
    taken = {identity(row["modelDescription"]) for row in rows}
    left = list(range(len(rows)))
    rng.shuffle(left)
    least = 1 if len(rows) >= SIZE_OF_A_FULL_LISTING else 0
    for quirk in quirks():
        wanted = max(least, len(rows) * quirk.per_mille // 1000)
        rest: list[int] = []
        for at in left:
            if wanted and _befall(quirk, rows, at, taken):
                wanted -= 1
            else:
                rest.append(at)
        left = rest


def _befall(quirk: Quirk, rows: list[Row], at: int, taken: set[str]) -> bool:
    row = rows[at]
    if not quirk.fits(row):
        return False
    odd = {**row, **quirk.change(row)}
    before, after = identity(row["modelDescription"]), identity(odd["modelDescription"])
    if before != after and after in taken:
        return False
    taken.add(after)
    rows[at] = odd
    return True


def _text_quirks() -> tuple[Quirk, ...]:
    def text(name: str, old: str, new: str, per_mille: int = 4) -> Quirk:
        return Quirk(
            name,
            per_mille,
            lambda row: old in row["modelDescription"],
            lambda row: {"modelDescription": row["modelDescription"].replace(old, new, 1)},
        )

    return (
        *(text(f"misspelt {right}", right, wrong, 3) for right, wrong in MISSPELLINGS),
        text("arrow", "image-to-image", "image → image"),
        text("full-width brackets", "without audio", "（no sound）"),
        text("shouted resolution", "1080p", "1080P"),
        text("space before a comma", ", ", " , "),
        text("double space", ", ", ",  "),
        Quirk("space around", 6, _always, lambda row: {"modelDescription": f" {_named(row)} "}),
    )


def _unit_quirks() -> tuple[Quirk, ...]:
    def unit(name: str, usual: str, odd: str, per_mille: int = 4) -> Quirk:
        return Quirk(
            name,
            per_mille,
            lambda row: row["creditUnit"] == usual,
            lambda _: {"creditUnit": odd},
        )

    return (
        unit("per vedio", "per video", "per vedio", 9),
        unit("no unit", "per video", "", 9),
        unit("stray space in a unit", "per request", "per request "),
        unit("space before a unit", "per video", " per video"),
        unit("milion", "per million tokens", "per milion tokens"),
        unit("tokens left out", "per million tokens", "per million", 8),
        unit("unit cut off", "per million tokens", "per million toke", 2),
        unit("1M", "per million tokens", "per 1M tokens"),
        unit("two at a time", "per image", "per 2 images", 3),
        unit("four at a time", "per image", "per 4 images", 2),
        unit("generation", "per image", "per generation", 3),
    )


def _number_quirks() -> tuple[Quirk, ...]:
    return (
        Quirk("comma", 2, _under_a_dollar, lambda row: {"usdPrice": _usd(row).replace(".", ",")}),
        Quirk(
            "space before a price", 4, _under_a_dollar, lambda row: {"usdPrice": f" {_usd(row)}"}
        ),
        Quirk("idle zero", 12, _under_a_dollar, lambda row: {"usdPrice": f"{_usd(row)}0"}),
        Quirk(
            "space after a price", 4, _priced, lambda row: {"creditPrice": f"{row['creditPrice']} "}
        ),
        Quirk("point zero", 120, _whole, lambda row: {"creditPrice": f"{row['creditPrice']}.0"}),
        Quirk(
            "USD mistyped",
            8,
            _under_a_dollar,
            lambda row: {"usdPrice": plain(Decimal(_usd(row)) / 10)},
        ),
        Quirk("rate by hand", 10, _rated, lambda row: {"discountRate": _by_hand(row)}),
        Quirk("rate without a rival", 10, _rated, lambda _: {"falPrice": ""}),
    )


def _label_quirks() -> tuple[Quirk, ...]:
    return (
        Quirk("no link", 30, _always, lambda _: {"anchor": ""}),
        Quirk("link that is none", 2, _always, lambda _: {"anchor": "see docs"}),
        Quirk("wrong link", 10, _always, lambda _: {"anchor": "https://kie.ai/market"}),
        Quirk("provider unknown", 18, _always, lambda _: {"provider": "Other"}),
    )


def _always(_: Row) -> bool:
    return True


def _named(row: Row) -> str:
    return str(row["modelDescription"])


def _usd(row: Row) -> str:
    return str(row["usdPrice"])


def _priced(row: Row) -> bool:
    return bool(amount(row["creditPrice"]))


def _whole(row: Row) -> bool:
    return str(row["creditPrice"]).isdecimal()


def _under_a_dollar(row: Row) -> bool:
    # With a whole part, "1,200" could be read in two ways.
    return _usd(row).startswith("0.")


def _rated(row: Row) -> bool:
    return bool(row["falPrice"])


def _by_hand(row: Row) -> float:
    return float(round(row["discountRate"]))


# Of a thousand rows; what they leave is video.
_SHARES = {"image": 215, "chat": 167, "music": 54}
_FIRST_RELEASES = range(12, 35)
_COPIES_WITH_ANOTHER_PRICE = Decimal("1.5")


def generate(seed: int = 1, size: int = 570, duplicates: int = 0) -> list[Row]:
    """Rows of the wire schema, `size` with a description of their own, and so many repeated ones.

    Of the repeated rows every other is exact and every other has another price.
    """
    rng = random.Random(seed)  # noqa: S311  a catalogue is no secret
    blocks: list[list[Row]] = []
    for interface, count in _sizes(size).items():
        blocks += _blocks(rng, interface, count)
    rng.shuffle(blocks)
    rows = [row for block in blocks for row in block]
    sprinkle(rows, rng)
    for number in range(duplicates):
        _repeat(rows, rng, exact=number % 2 == 0)
    return rows


def _sizes(size: int) -> dict[str, int]:
    sizes = {interface: size * share // 1000 for interface, share in _SHARES.items()}
    return {"video": size - sum(sizes.values()), **sizes}


def _blocks(rng: Random, interface: str, count: int) -> Iterator[list[Row]]:
    """Releases of all lines of a category in turn, until there are enough rows."""
    lines = [line for line in LINES if line.interface == interface]
    releases = {line.name: rng.choice(_FIRST_RELEASES) for line in lines}
    for line in cycle(lines):
        if count <= 0:
            return
        releases[line.name] += 1
        block = _block(rng, line, releases[line.name])[:count]
        count -= len(block)
        yield block


def _block(rng: Random, line: Line, release: int) -> list[Row]:
    family = line.name.format(f"{release // 10}.{release % 10}")
    level = Decimal(line.base) * Decimal(rng.randint(14, 32)) / 20
    discount = Decimal(rng.randint(8, 78)) / 100
    own_pages = rng.random() < 0.4  # noqa: PLR2004  as many as have one
    return [
        _row(line, family, mode, quality)
        | _anchor(family, mode if own_pages else "")
        | _prices(level * Decimal(factor), discount if line.rivalled else None)
        for mode in line.modes
        for quality, factor in line.qualities
    ]


def _row(line: Line, family: str, mode: str, quality: str) -> Row:
    return {
        "modelDescription": ", ".join(part for part in (family, mode, quality) if part),
        "interfaceType": line.interface,
        "provider": line.provider,
        "creditUnit": line.unit,
        "discountPrice": False,
    }


def _anchor(family: str, mode: str) -> Row:
    slug = re.sub(r"[^a-z0-9]+", "-", family.lower())
    query = f"?model={slug}%2F{re.sub(r'[^a-z0-9]+', '-', mode.lower())}" if mode else ""
    return {"anchor": f"https://kie.ai/{slug}{query}"}


def _prices(credit_price: Decimal, discount: Decimal | None) -> Row:
    """Prices rounded as people round them; a free row has no rival."""
    step = Decimal("0.1") if credit_price < 10 else Decimal("0.5")  # noqa: PLR2004
    step = step if credit_price < 100 else Decimal(1)  # noqa: PLR2004
    rounded = round(credit_price / step) * step
    usd = rounded * USD_PER_CREDIT
    fal = None if discount is None or not usd else round(usd / (1 - discount), 4)
    return {
        "creditPrice": plain(rounded),
        "usdPrice": listed_usd(rounded),
        "falPrice": "" if not fal else plain(fal),
        "discountRate": listed_rate(usd, fal),
    }


def _repeat(rows: list[Row], rng: Random, *, exact: bool) -> None:
    row = rng.choice([row for row in rows if row["creditPrice"].strip() != "0"])
    copy = dict(row)
    if not exact:
        dearer = Decimal(row["creditPrice"].strip()) * _COPIES_WITH_ANOTHER_PRICE
        copy |= {"creditPrice": plain(dearer), "usdPrice": listed_usd(dearer)}
    rows.insert(rng.randrange(len(rows) + 1), copy)
