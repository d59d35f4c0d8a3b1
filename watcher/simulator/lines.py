"""The product lines of an invented catalogue: who makes what, in which variants, sold by what.

Names are of the sort one knows, so that a listing looks like one; releases, variants and prices are
invented. Refuses to know how rows are made of it.
"""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["LINES", "Line"]


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
