"""Hostile texts of a listing, and changes and notices made of them."""

from __future__ import annotations

import re

from hypothesis import strategies as st

from samples import AT, BASELINE, COLLAPSE, RECOVERED, SAMPLE, model, recorded, removed
from watcher.catalog.changes import Kind, ModelChange, Notice, NoticeKind, RecordedChange
from watcher.catalog.diff import diff_model

Content = RecordedChange | Notice

ACTIVE = re.compile(r"@(?!\u200b)|[<>&`\[\]*~|#\\]|://|[\x00-\x1f\x7f-\x9f]")
SPECIALS = "@<>&`[]()*_~|#\\/:.!+-\x1b\x07\n\r\t\u202e\u2066\u200b\u200d\ufeff\u0336éa1Aw，。中\U0001f600\ud800"
hostile_text = st.one_of(
    st.text(max_size=300),
    st.text(SPECIALS, max_size=300),
    st.lists(
        st.sampled_from([
            "@everyone", "@here", "<!channel>", "<@U1>", "<#C1>", "<@&1>", "[a](http://b.example)", "https://e.example",
            "www.e.example", "**b**", "__u__", "_i_", "~~s~~", "||s||", "`c`", "```", "# h", "> q", "- l", "1. n",
            "<b>", "</p>", "<script>alert(1)</script>", "&lt;", "&#64;everyone", "\x1b]8;;http://e.example\x07", "\x1b[2J",
            ":fire:", "\n\n", "|---|", "===", "![i](http://e.example/i.png)", "<https://e.example|x>", " ", ",", "x", "W" * 200,
        ]),
        max_size=20,
    ).map("".join),
)  # fmt: skip

hostile_fields = st.fixed_dictionaries(
    {
        "modelDescription": hostile_text.map(lambda text: f"x{text}"[:1000]),
        "provider": hostile_text.map(lambda text: text[:1000]),
        "interfaceType": hostile_text.map(lambda text: text[:1000]),
        "creditUnit": st.sampled_from(["per second", "", "per <!here> things"]) | hostile_text,
        "creditPrice": st.sampled_from(["", "0", "1", "0.000000000001", "999999999999", "68.5"]),
        "falPrice": st.sampled_from(["", "0", "0.1", "1000000"]),
        "anchor": st.sampled_from(["", "https://kie.ai/_a_", "https://evil.example/", "https://kie.ai/@everyone"]),
        "discountPrice": st.booleans(),
    }
)  # fmt: skip


@st.composite
def hostile_contents(draw: st.DrawFn) -> list[Content]:
    contents: list[Content] = []
    for number in range(draw(st.integers(1, 8))):
        before, after = model(**draw(hostile_fields)), model(**draw(hostile_fields))
        change = diff_model(before, after, number) or removed()
        if draw(st.booleans()):
            change = ModelChange(
                (Kind.RENAMED, *change.kinds), change.before, change.after, change.causes
            )
        contents.append(
            recorded(
                draw(
                    st.sampled_from(
                        [
                            change,
                            ModelChange((Kind.NEW,), None, after),
                            ModelChange((Kind.REMOVED,), before, None),
                        ]
                    )
                ),
                number,
            )
        )
    contents.extend(
        draw(st.lists(st.sampled_from([BASELINE, COLLAPSE, RECOVERED, SAMPLE]), max_size=2))
    )
    if draw(st.booleans()):
        contents.append(
            Notice(NoticeKind.BASELINE, AT, {"models": 1, "categories": {draw(hostile_text): 1}})
        )
    return contents
