"""A letter in a real browser: on the narrowest phone nothing of it is wider than the screen.

Needs Chromium (Debian's package `chromium`), and is skipped on a machine without it.
"""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from html import escape
from pathlib import Path

import pytest

from payloads import letter_of
from samples import EACH_KIND, ENVELOPE, FLOODS, LETTER, busy_day, render_kind
from watcher.render.markup import with_chart
from watcher.render.message import render

BROWSER = shutil.which("chromium") or shutil.which("google-chrome")
WIDTHS = (320, 360, 800)
# No window is so narrow, but a frame is. What is hidden has no place on the screen.
MEASURE = """
<script>
onload = () => {
  const told = {};
  for (const frame of document.querySelectorAll("iframe")) {
    const page = frame.contentDocument, width = frame.clientWidth;
    const wide = [...page.body.querySelectorAll("*")].filter(
      it => it.getBoundingClientRect().right > width + 0.5);
    told[frame.name] = [page.documentElement.scrollWidth - width, wide.length];
  }
  document.body.textContent = "told: " + JSON.stringify(told) + " :told";
};
</script>
"""


@pytest.mark.skipif(BROWSER is None, reason="no Chromium here: letters were not measured")
def test_no_letter_is_wider_than_a_phone(tmp_path: Path) -> None:
    letters = {kind: render_kind(kind, LETTER) for kind in EACH_KIND}
    letters["a busy day"] = render(busy_day(), LETTER, ENVELOPE)
    letters |= {name: render(flood(60), LETTER, ENVELOPE) for name, flood in FLOODS.items()}
    frames = (
        f'<iframe name="{name} at {width}" style="width:{width}px;border:0"'
        f' srcdoc="{escape(with_chart(letter_of(letter)["html"]))}"></iframe>'
        for name, letter in letters.items()
        for width in WIDTHS
    )
    page = tmp_path / "letters.html"
    page.write_text(f"<!doctype html><meta charset=utf-8>{MEASURE}{''.join(frames)}", "utf-8")

    told = in_browser(page, tmp_path / "profile")

    assert len(told) == len(letters) * len(WIDTHS)
    assert {name: found for name, found in told.items() if found != [0, 0]} == {}


def in_browser(page: Path, profile: Path) -> dict[str, list[int]]:
    """What the page says of itself in the end: how much too wide it is, and how many elements."""
    command = [
        *(
            str(BROWSER),
            "--headless=new",
            "--no-sandbox",
            "--disable-gpu",
            "--no-first-run",
            "--hide-scrollbars",
        ),
        *("--disable-dev-shm-usage", "--disable-background-networking", "--disable-extensions"),
        *(f"--user-data-dir={profile}", "--timeout=20000", "--dump-dom", page.as_uri()),
    ]
    ended = subprocess.run(command, capture_output=True, timeout=120, check=True)
    found = re.search(r"told: (\{.*\}) :told", ended.stdout.decode("utf-8", "replace"))
    assert found is not None, ended.stderr[-2000:]
    told: dict[str, list[int]] = json.loads(found[1])
    return told
