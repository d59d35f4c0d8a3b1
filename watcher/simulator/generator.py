"""An invented catalogue of any size: the same seed gives the same rows, newest first.

It consists of releases of product lines, each a block of variants. Names look like real ones;
releases, variants and prices are invented. Some rows get a quirk, as listings edited by hand have
them: odd units, numbers and spacing, wrong links. No quirk makes a price or an identity key
ambiguous: a careful reader still reads what was meant.
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
    identity_key,
    listed_rate,
    listed_usd,
    plain,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from random import Random


@dataclass(frozen=True, slots=True)
class ProductLine:
    """One family of products; `{}` in `name` is the release.

    A variant is a mode and a quality; a quality's factor times `base` is about its credits per
    `unit`, and its text may be empty. `has_reference`: another sells the same.
    """

    interface: str
    provider: str
    name: str
    unit: str
    base: str
    modes: tuple[str, ...]
    qualities: tuple[tuple[str, str], ...]
    has_reference: bool = True


_RESOLUTIONS = (("480p", "0.5"), ("720p", "1"), ("1080p", "2.2"))
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

PRODUCT_LINES: tuple[ProductLine, ...] = (
    ProductLine("video", "ByteDance", "Seedance {}", "per second", "9", _REFERENCE, _RESOLUTIONS),
    ProductLine(
        "video", "ByteDance", "bytedance/seedance-v{}-lite", "per video", "20", _MOTION, _TIMED
    ),
    ProductLine("video", "Kling", "kling {}", "per second", "14", _REFERENCE, _WITH_SOUND),
    ProductLine(
        "video", "Kling", "Kling AI Avatar {}", "per second", "8", ("speech-to-video",), _TIERS
    ),
    ProductLine("video", "Wan", "Wan {}", "per video", "16", (*_MOTION, "video-to-video"), _TIMED),
    ProductLine(
        "video", "Wan", "wan-{}-animate", "per second", "6", ("move", "replace"), _RESOLUTIONS
    ),
    ProductLine("video", "Hailuo", "hailuo {}", "per video", "30", _MOTION, _TIMED),
    ProductLine("video", "Pixverse", "Pixverse v{}", "per second", "5", _REFERENCE, _WITH_SOUND),
    ProductLine(
        "video",
        "Google",
        "Google Veo {}",
        "per video",
        "60",
        _MOTION,
        (("Lite", "0.5"), ("Fast", "1"), ("Quality", "4.2")),
    ),
    ProductLine(
        "video",
        "OpenAI",
        "Sora {}",
        "per video",
        "40",
        _MOTION,
        (("Standard-10s", "1"), ("Standard-15s", "1.4"), ("Pro-10s", "5"), ("Pro-15s", "8")),
    ),
    ProductLine("video", "Grok", "grok-imagine-video-{}", "per second", "7", _MOTION, _RESOLUTIONS),
    ProductLine(
        "video", "Runway", "Runway Gen-{}", "per video", "12", _MOTION, _TIMED, has_reference=False
    ),
    ProductLine("image", "Google", "nano-banana-{}", "per image", "6", ("",), _SIZES),
    ProductLine("image", "Google", "google imagen{}", "per image", "8", ("text-to-image",), _TIERS),
    ProductLine("image", "ByteDance", "seedream {}", "per image", "5", (*_PICTURE, "edit"), _SIZES),
    ProductLine("image", "OpenAI", "gpt image {}", "per image", "6", _PICTURE, _EFFORTS),
    ProductLine(
        "image", "Ideogram", "ideogram v{}", "per image", "7", (*_PICTURE, "remix"), _TIERS
    ),
    ProductLine(
        "image", "Black Forest Labs", "Flux-{} Pro", "per megapixel", "5", _PICTURE, _SIZES
    ),
    ProductLine("image", "Alibaba", "Qwen-Image-{}", "per image", "4", _PICTURE, _SIZES),
    ProductLine(
        "image", "Topaz", "Topaz Upscaler {}", "per upscale", "10", ("image-upscale",), _SIZES
    ),
    ProductLine("image", "Grok", "grok-imagine-{}", "per 6 images", "4", _PICTURE, (("", "1"),)),
    ProductLine(
        "chat", "Anthropic", "claude-sonnet-{}", "per million tokens", "160", ("chat",), _TOKENS
    ),
    ProductLine("chat", "OpenAI", "gpt-{}", "per million tokens", "120", ("chat",), _TOKENS),
    ProductLine(
        "chat", "Google", "Gemini {} Pro", "per million tokens", "140", ("Chat",), _TOKENS[:2]
    ),
    ProductLine(
        "chat", "DeepSeek", "DeepSeek V{}", "per million tokens", "24", ("Chat",), _TOKENS[:3]
    ),
    ProductLine(
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
        has_reference=False,
    ),
    ProductLine(
        "music", "Elevenlabs", "elevenlabs v{}", "per 1000 characters", "12", ("TTS",), _TIERS
    ),
    ProductLine(
        "music",
        "Google",
        "Gemini {} Flash TTS",
        "per million tokens",
        "70",
        ("Text to Speech",),
        (("Input", "1"), ("Audio Output", "16")),
    ),
)

# Right and wrong, as in the real listing or similar. One is sometimes corrected, which looks like a
# rename.
MISSPELLINGS = (("audio", "aiduo"), ("Upscaler", "Upscaller"), ("Avatar", "Avtar"))
# From this size on every quirk is in the catalogue at least once.
SIZE_WITH_EVERY_QUIRK = 400
# Rows of a thousand by category; the rest is video.
_SHARES = {"image": 215, "chat": 167, "music": 54}
_FIRST_RELEASES = range(12, 35)
_DUPLICATE_PRICE_FACTOR = Decimal("1.5")


@dataclass(frozen=True, slots=True)
class Quirk:
    """`per_mille` of a thousand rows get the fields of `change(row)`, where `fits(row)`."""

    name: str
    per_mille: int
    fits: Callable[[Row], bool]
    change: Callable[[Row], Row]


def quirks() -> tuple[Quirk, ...]:
    """All quirks; those that fit the fewest rows come first."""
    return (*_text_quirks(), *_unit_quirks(), *_number_quirks(), *_label_quirks())


def add_quirks(rows: list[Row], rng: Random) -> None:
    """Give rows quirks, at most one each; all identity keys stay different."""
    taken = {identity_key(row["modelDescription"]) for row in rows}
    left = list(range(len(rows)))
    rng.shuffle(left)
    least = 1 if len(rows) >= SIZE_WITH_EVERY_QUIRK else 0
    for quirk in quirks():
        wanted = max(least, len(rows) * quirk.per_mille // 1000)
        rest: list[int] = []
        for at in left:
            if wanted and _apply(quirk, rows, at, taken):
                wanted -= 1
            else:
                rest.append(at)
        left = rest


def _apply(quirk: Quirk, rows: list[Row], at: int, taken: set[str]) -> bool:
    row = rows[at]
    if not quirk.fits(row):
        return False
    odd = {**row, **quirk.change(row)}
    before, after = identity_key(row["modelDescription"]), identity_key(odd["modelDescription"])
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
        Quirk(
            "space around", 6, _any_row, lambda row: {"modelDescription": f" {_description(row)} "}
        ),
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
        Quirk(
            "comma", 2, _is_under_a_dollar, lambda row: {"usdPrice": _usd(row).replace(".", ",")}
        ),
        Quirk(
            "space before a price", 4, _is_under_a_dollar, lambda row: {"usdPrice": f" {_usd(row)}"}
        ),
        Quirk("idle zero", 12, _is_under_a_dollar, lambda row: {"usdPrice": f"{_usd(row)}0"}),
        Quirk(
            "space after a price",
            4,
            _has_price,
            lambda row: {"creditPrice": f"{row['creditPrice']} "},
        ),
        Quirk(
            "point zero",
            120,
            _has_whole_price,
            lambda row: {"creditPrice": f"{row['creditPrice']}.0"},
        ),
        Quirk(
            "USD mistyped",
            8,
            _is_under_a_dollar,
            lambda row: {"usdPrice": plain(Decimal(_usd(row)) / 10)},
        ),
        Quirk("rate by hand", 10, _has_reference, lambda row: {"discountRate": _rounded_rate(row)}),
        Quirk("rate without a reference", 10, _has_reference, lambda _: {"falPrice": ""}),
    )


def _label_quirks() -> tuple[Quirk, ...]:
    return (
        Quirk("no link", 30, _any_row, lambda _: {"anchor": ""}),
        Quirk("link that is none", 2, _any_row, lambda _: {"anchor": "see docs"}),
        Quirk("wrong link", 10, _any_row, lambda _: {"anchor": "https://kie.ai/market"}),
        Quirk("provider unknown", 18, _any_row, lambda _: {"provider": "Other"}),
    )


def _any_row(_: Row) -> bool:
    return True


def _description(row: Row) -> str:
    return str(row["modelDescription"])


def _usd(row: Row) -> str:
    return str(row["usdPrice"])


def _has_price(row: Row) -> bool:
    return bool(amount(row["creditPrice"]))


def _has_whole_price(row: Row) -> bool:
    return str(row["creditPrice"]).isdecimal()


def _is_under_a_dollar(row: Row) -> bool:
    # With a whole part, "1,200" could be read in two ways.
    return _usd(row).startswith("0.")


def _has_reference(row: Row) -> bool:
    return bool(row["falPrice"])


def _rounded_rate(row: Row) -> float:
    return float(round(row["discountRate"]))


def generate(seed: int = 1, size: int = 570, duplicates: int = 0) -> list[Row]:
    """Rows as the API sends them: `size` with different identity keys, and `duplicates` repeats.

    Of the repeated rows every second has another price.
    """
    rng = random.Random(seed)  # noqa: S311 - nothing secret depends on it
    blocks: list[list[Row]] = []
    for interface, count in _sizes(size).items():
        blocks += _blocks(rng, interface, count)
    rng.shuffle(blocks)
    rows = [row for block in blocks for row in block]
    add_quirks(rows, rng)
    for number in range(duplicates):
        _repeat_a_row(rows, rng, Decimal(1) if number % 2 == 0 else _DUPLICATE_PRICE_FACTOR)
    return rows


def _sizes(size: int) -> dict[str, int]:
    sizes = {interface: size * share // 1000 for interface, share in _SHARES.items()}
    return {"video": size - sum(sizes.values()), **sizes}


def _blocks(rng: Random, interface: str, count: int) -> Iterator[list[Row]]:
    """Releases of all product lines of a category in turn, until there are enough rows."""
    lines = [line for line in PRODUCT_LINES if line.interface == interface]
    releases = {line.name: rng.choice(_FIRST_RELEASES) for line in lines}
    for line in cycle(lines):
        if count <= 0:
            return
        releases[line.name] += 1
        block = _block(rng, line, releases[line.name])[:count]
        count -= len(block)
        yield block


def _block(rng: Random, line: ProductLine, release: int) -> list[Row]:
    family = line.name.format(f"{release // 10}.{release % 10}")
    level = Decimal(line.base) * Decimal(rng.randint(14, 32)) / 20
    discount = Decimal(rng.randint(8, 78)) / 100
    own_pages = rng.random() < 0.4  # noqa: PLR2004 - as many as in the real listing
    return [
        _row(line, family, mode, quality)
        | _anchor(family, mode if own_pages else "")
        | _prices(level * Decimal(factor), discount if line.has_reference else None)
        for mode in line.modes
        for quality, factor in line.qualities
    ]


def _row(line: ProductLine, family: str, mode: str, quality: str) -> Row:
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
    """Prices rounded as people round them; for a free row there is no reference price."""
    step = Decimal("0.1") if credit_price < 10 else Decimal("0.5")  # noqa: PLR2004
    step = step if credit_price < 100 else Decimal(1)  # noqa: PLR2004
    rounded = round(credit_price / step) * step
    usd = rounded * USD_PER_CREDIT
    reference = None if discount is None or not usd else round(usd / (1 - discount), 4)
    return {
        "creditPrice": plain(rounded),
        "usdPrice": listed_usd(rounded),
        "falPrice": "" if not reference else plain(reference),
        "discountRate": listed_rate(usd, reference),
    }


def _repeat_a_row(rows: list[Row], rng: Random, price_factor: Decimal) -> None:
    row = rng.choice([row for row in rows if row["creditPrice"].strip() != "0"])
    copy = dict(row)
    if price_factor != 1:
        price = Decimal(row["creditPrice"].strip()) * price_factor
        copy |= {"creditPrice": plain(price), "usdPrice": listed_usd(price)}
    rows.insert(rng.randrange(len(rows) + 1), copy)
