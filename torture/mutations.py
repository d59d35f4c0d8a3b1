"""Random mutations of good replies: of their bytes, JSON, encoding and compression.

Whether a spoiled reply still says something is decided in `torture.garbage`.
"""

from __future__ import annotations

import gzip
import json
import zlib
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from random import Random

__all__ = ["MUTATIONS", "SpoiledReply", "spoil"]

MEBIBYTE = 2**20
# More than the client reads of a reply.
TOO_MUCH = 17 * MEBIBYTE
_MARK = "\x00here\x00"
_SWAPS: tuple[Any, ...] = (
    None,
    True,
    False,
    0,
    -1,
    7,
    1.5,
    "",
    "x",
    "84.0",
    [],
    {},
    [[]],
    {"a": 1},
)
_HUGE = (
    "1e400",
    "-1e400",
    "1e-400",
    "9" * 5000,
    f"0.{'3' * 5000}",
    "NaN",
    "Infinity",
    "-Infinity",
    "18446744073709551616",
    "-9223372036854775809",
    "1e99999999999999999999",
    f'"{"9" * 200}"',
    '"1e12"',
    '"-5"',
    '"1e999999"',
)


@dataclass(frozen=True, slots=True)
class SpoiledReply:
    """A body as it is sent, and its Content-Encoding."""

    body: bytes
    encoding: str = ""


Mutation: TypeAlias = "Callable[[Random, bytes], SpoiledReply]"


def spoil(rng: Random, good: bytes) -> tuple[str, SpoiledReply]:
    """The name of a mutation, and a good body with it."""
    (name,) = rng.choices(list(MUTATIONS), [weight for weight, _ in MUTATIONS.values()])
    return name, MUTATIONS[name][1](rng, good)


def _flipped(rng: Random, good: bytes) -> SpoiledReply:
    return SpoiledReply(_with_flips(rng, good))


def _flipped_compressed(rng: Random, good: bytes) -> SpoiledReply:
    compressed = _compressed(rng, good)
    return SpoiledReply(_with_flips(rng, compressed.body), compressed.encoding)


def _cut(rng: Random, good: bytes) -> SpoiledReply:
    whole = rng.choice([SpoiledReply(good), _compressed(rng, good)])
    return SpoiledReply(whole.body[: rng.randrange(len(whole.body))], whole.encoding)


def _swapped(rng: Random, good: bytes) -> SpoiledReply:
    """One value of another type, missing, or repeated."""
    whole = json.loads(good)
    holder, key = rng.choice(list(_places(whole)))
    match rng.randrange(6):
        case 0:
            del holder[key]
        case 1:
            holder[key] = [holder[key]]
        case 2:
            holder[key] = {"value": holder[key]}
        case 3 if isinstance(holder, list):
            holder.insert(key, holder[key])
        case _:
            holder[key] = rng.choice(_SWAPS)
    return SpoiledReply(json.dumps(whole).encode())


def _huge(rng: Random, good: bytes) -> SpoiledReply:
    return SpoiledReply(_with(rng, good, rng.choice(_HUGE)))


def _deep(rng: Random, good: bytes) -> SpoiledReply:
    depth = rng.choice([100, 900, 1100, 50_000, 500_000])
    opening, closing = rng.choice([("[", "]"), ('{"a":', "}")])
    inside = "1" if opening == '{"a":' else ""
    end = closing * depth if rng.random() < 0.7 else ""
    return SpoiledReply(_with(rng, good, f"{opening * depth}{inside}{end}"))


def _recoded(rng: Random, good: bytes) -> SpoiledReply:
    """Another character set, or bytes of none."""
    text = good.decode()
    return SpoiledReply(
        rng.choice(
            [
                text.encode("utf-16"),
                text.encode("utf-32-le"),
                text.replace("e", "é").encode("latin-1", "replace"),
                b"\xef\xbb\xbf\xef\xbb\xbf" + good,
                good.replace(b'"modelDescription":"', b'"modelDescription":"\xff\xfe', 1),
                good.replace(b'"modelDescription":"', b'"modelDescription":"\xed\xa0\x80', 1),
                good.replace(b'"modelDescription":"', b'"modelDescription":"\\ud800', 1),
                good.replace(b'"modelDescription":"', b'"modelDescription":"\\u0000', 1),
                good.replace(b"{", b"{\x00", 1),
                bytes(rng.randbytes(rng.randrange(2000))),
            ]
        )
    )


def _mislabelled(rng: Random, good: bytes) -> SpoiledReply:
    """Another compression than Content-Encoding names."""
    packed = gzip.compress(good, mtime=0)
    return rng.choice(
        [
            SpoiledReply(good, "gzip"),
            SpoiledReply(good, "deflate"),
            SpoiledReply(packed),
            SpoiledReply(packed, "deflate"),
            SpoiledReply(packed, "br"),
            SpoiledReply(gzip.compress(packed, mtime=0), "gzip"),
            SpoiledReply(packed + packed, "gzip"),
            SpoiledReply(packed + b"rest", "gzip"),
            SpoiledReply(packed, "gzip, gzip"),
            SpoiledReply(b"", "gzip"),
            SpoiledReply(b"", "deflate"),
        ]
    )


def _bomb(rng: Random, _: bytes) -> SpoiledReply:
    size = rng.choice([TOO_MUCH, 64 * MEBIBYTE])
    return SpoiledReply(_bombs(size, rng.choice([b" ", b"[", b"[],", b'"a'])), "gzip")


def _endless(rng: Random, good: bytes) -> SpoiledReply:
    more = rng.choice([b" ", b"[", b"0,", b'{"a":'])
    return SpoiledReply(good[:-1] + more * (TOO_MUCH // len(more)))


def _odd_envelope(rng: Random, good: bytes) -> SpoiledReply:
    data = json.loads(good)["data"]
    return SpoiledReply(
        json.dumps(
            rng.choice(
                [
                    {"code": "200", "data": data},
                    {"code": 200.5, "data": data},
                    {"code": True, "data": data},
                    {"code": [200], "data": data},
                    {"code": 500, "msg": ["x"] * 100, "data": data},
                    {"code": 4030, "msg": "x" * 100_000},
                    {"CODE": 200, "data": data},
                    [{"code": 200, "data": data}],
                    data,
                    {},
                    None,
                    "",
                ]
            )
        ).encode()
    )


# Each with its weight.
MUTATIONS: dict[str, tuple[int, Mutation]] = {
    "bits flipped": (15, _flipped),
    "bits flipped, compressed": (15, _flipped_compressed),
    "cut": (12, _cut),
    "type swapped": (28, _swapped),
    "huge number": (10, _huge),
    "deep nesting": (5, _deep),
    "wrong encoding": (7, _recoded),
    "mislabelled": (6, _mislabelled),
    "odd envelope": (4, _odd_envelope),
    "bomb": (1, _bomb),
    "endless": (1, _endless),
}


def _with_flips(rng: Random, body: bytes) -> bytes:
    flipped = bytearray(body)
    for _ in range(rng.randint(1, 8)):
        flipped[rng.randrange(len(flipped))] ^= 1 << rng.randrange(8)
    return bytes(flipped)


def _compressed(rng: Random, good: bytes) -> SpoiledReply:
    if rng.random() < 0.7:
        return SpoiledReply(gzip.compress(good, mtime=0), "gzip")
    return SpoiledReply(zlib.compress(good), "deflate")


def _with(rng: Random, good: bytes, text: str) -> bytes:
    """A good body with one value replaced by raw text, JSON or not."""
    whole = json.loads(good)
    holder, key = rng.choice(list(_places(whole)))
    holder[key] = _MARK
    return json.dumps(whole).replace(json.dumps(_MARK), text).encode()


def _places(value: Any) -> Iterator[tuple[Any, Any]]:
    """Every place in a document with a value: its container and its key."""
    keys = list(value) if isinstance(value, dict) else range(len(value))
    for key in keys:
        yield value, key
        if isinstance(value[key], dict | list):
            yield from _places(value[key])


@lru_cache(maxsize=16)
def _bombs(size: int, of: bytes) -> bytes:
    packer = zlib.compressobj(9, wbits=16 + zlib.MAX_WBITS)
    block = of * (MEBIBYTE // len(of))
    return b"".join([*(packer.compress(block) for _ in range(size // MEBIBYTE)), packer.flush()])
