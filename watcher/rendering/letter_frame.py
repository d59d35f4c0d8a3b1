"""The HTML that every letter is made of: its frame and its rows, with the styles in place.

Constants only. Refuses to know what a letter says.
"""

from __future__ import annotations

from watcher.rendering.line_words import Tone

__all__ = [
    "CONTEXT",
    "COST",
    "FAMILY",
    "FRAME",
    "GENERAL",
    "LINE",
    "LINK",
    "NAME",
    "PICTURES",
    "REST",
    "TONES",
]

# Mail programs that know the media query take the dark colours; those that turn colours around by
# themselves find enough contrast to turn. Every colour is in place too: some drop the style sheet.
FRAME = """<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<meta name="supported-color-schemes" content="light dark">
<title>{title}</title>
<style>
:root {{ color-scheme: light dark; supported-color-schemes: light dark; }}
@media (prefers-color-scheme: dark) {{
  .page {{ background: #0f1317 !important; }}
  .card {{ background: #1a2027 !important; border-color: #2f3842 !important; }}
  .edge {{ border-color: #2f3842 !important; }}
  .text {{ color: #e8ecf1 !important; }}
  .soft {{ color: #a9b4c0 !important; }}
  .link {{ color: #8ab8ff !important; }}
  .up {{ color: #ff9a8b !important; }}
  .down {{ color: #63d69c !important; }}
}}
</style>
</head>
<body class="page" style="margin:0;padding:0;background:#f2f4f7">
<div style="display:none;max-height:0;overflow:hidden">{preview}</div>
<table role="presentation" class="page" width="100%" cellpadding="0" cellspacing="0" border="0" \
style="background:#f2f4f7">
<tr><td align="center" style="padding:12px 8px">
<table role="presentation" class="card text" width="100%" cellpadding="0" cellspacing="0" \
border="0" style="max-width:600px;table-layout:fixed;background:#ffffff;border:1px solid #dfe3e8;\
border-radius:8px;color:#1c2430;text-align:left;overflow-wrap:anywhere;word-break:break-word;\
font:15px/1.5 -apple-system,'Segoe UI',Roboto,Helvetica,Arial,sans-serif">
<tr><td class="text" style="padding:16px;color:#1c2430">
<h1 style="margin:0;font-size:19px;line-height:1.35;font-weight:700">{gist}</h1></td></tr>
{rows}
<!-- pictures -->
<tr><td class="edge soft" style="padding:12px 16px 8px;border-top:1px solid #dfe3e8;\
color:#5b6675;font-size:13px">{closing}</td></tr>
</table>
</td></tr>
</table>
</body>
</html>
"""

# Where whoever sends the letter can put rows with pictures that go along with it.
PICTURES = "<!-- pictures -->"

GENERAL = (
    '<tr><td class="edge text" style="padding:12px 16px;border-top:1px solid #dfe3e8;'
    'color:#1c2430">{}</td></tr>'
)
FAMILY = (
    '<tr><td class="edge text" style="padding:14px 16px 0;border-top:1px solid #dfe3e8;'
    'color:#1c2430"><b style="font-size:16px">{}</b>{}</td></tr>'
)
CONTEXT = '<br><span class="soft" style="color:#5b6675;font-size:13px">{}</span>'
LINE = (
    '<tr><td class="text" style="padding:6px 16px 10px;color:#1c2430">'
    "{name}{news}{cost}{rest}</td></tr>"
)
NAME = "{}<br>"
COST = "<br><b>{}</b>"
REST = '<br><span class="soft" style="color:#5b6675;font-size:13px">{}</span>'
LINK = '<a class="link" href="{}" style="color:#175cd3">page</a>'

# A sign beside the colour: not everybody sees the one, not every program shows the other.
TONES = {
    Tone.DEARER: '<b class="up" style="color:#b42318">▲ {}</b>',
    Tone.CHEAPER: '<b class="down" style="color:#067647">▼ {}</b>',
    Tone.GONE: '<b class="up" style="color:#b42318">✕ {}</b>',
    Tone.NEW: '<b class="link" style="color:#175cd3">+ {}</b>',
    Tone.OTHER: "<b>{}</b>",
}
