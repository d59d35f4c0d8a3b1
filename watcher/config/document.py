"""YAML as plain texts, lists and mappings, with the place of every key and value.

Reads every scalar as the text that stands there, so that no `no` is a boolean and no `1:30` a
number. Refuses to know any setting, and refuses what could hurt: duplicate keys, tags, endless
nesting, aliases that multiply.

`${NAME}` in the values of a document, from the environment.

Knows the escape `$${` for a plain `${`. Refuses to look into keys, and to read twice what a
variable holds.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import yaml
from yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from watcher.config.errors import Finding, KeyPath, Place, key_text

if TYPE_CHECKING:
    from collections.abc import Mapping

Plain = None | str | list["Plain"] | dict[str, "Plain"]

DEEPEST = 20
MOST_NODES = 10_000

_CORE_TAG = re.compile(
    r"tag:yaml\.org,2002:(null|bool|int|float|str|timestamp|value|merge|seq|map)"
)
_NULL_TAG = "tag:yaml.org,2002:null"

_OPEN_QUOTE = "while scanning a quoted scalar"

# What the parser says (the start of it, or of its context) and what a person can do about it.
# Its own words are never shown: some of them quote the file.
_IN_OUR_WORDS = (
    ("found character '\\t'", "has a tab; indent with spaces"),
    ("found character '%'", "has a % where no value can start; put quotes around the value"),
    ("found character", "has a sign that no value can start with; put quotes around the value"),
    (
        "mapping values are not allowed",
        "has a colon where none can stand; check the indentation or put quotes around the value",
    ),
    ("sequence entries are not", "has a - where no list can stand; start the list on a new line"),
    ("while scanning an", "has a * or & that names nothing; put quotes around the value"),
    ("while scanning a tag", "has a ! that names no tag; put quotes around the value"),
    ("found undefined tag", "has a ! that names no tag; put quotes around the value"),
    ("could not find expected ':'", "has a key without its colon; write key: value"),
    (_OPEN_QUOTE, "has a quote that is never closed; close it"),
    ("while scanning a double-quoted scalar", "has an unknown escape; use single quotes"),
    ("found undefined alias", "has an alias without its anchor; put quotes around a leading *"),
    ("found duplicate anchor", "has the same anchor twice; rename one"),
    ("while parsing a block", "is indented unlike the lines above it; line it up with them"),
    (
        "while parsing a flow",
        'has a bracket never closed or a value to quote; close it, and quote "${NAME}" in brackets',
    ),
    ("but found another document", "has a second document; remove the line ---"),
    ("nested too deep", f"is nested too deep; use at most {DEEPEST} levels"),
    ("too many values", f"has too many values; use at most {MOST_NODES}"),
)
_OTHERWISE = "is not YAML; check indentation, colons, brackets and quotes around this place"


@dataclass(frozen=True, slots=True)
class Document:
    """What a file says, where, and what is wrong with the way it says it."""

    content: Plain = None
    values: dict[KeyPath, Place] = field(default_factory=dict)
    keys: dict[KeyPath, Place] = field(default_factory=dict)
    findings: list[Finding] = field(default_factory=list)

    def place_of(self, path: KeyPath) -> Place:
        """Where the value stands, or the nearest thing around it that stands in the file."""
        while path and path not in self.values:
            path = path[:-1]
        return self.values.get(path, Place())

    def key_place(self, path: KeyPath) -> Place:
        return self.keys.get(path) or self.place_of(path)


def read_document(text: str) -> Document:
    """Read a whole file; never raises: what cannot be read is among the findings."""
    try:
        loader = _Loader(text)
    except yaml.reader.ReaderError as error:
        what = "has a control character; remove it"
        return Document(findings=[Finding(_place_in(text, error.position), "syntax", what)])
    try:
        root = loader.get_single_node()
    except yaml.MarkedYAMLError as error:
        return Document(findings=[Finding(_place_of(error), "syntax", _in_our_words(error))])
    except (ValueError, OverflowError):
        # PyYAML lets these through for an escape or a version number out of range.
        finding = Finding(_place(loader.get_mark()), "syntax", _OTHERWISE)
        return Document(findings=[finding])
    finally:
        loader.dispose()
    try:
        return Document() if root is None else _Walk().document(root)
    except _TooMuchError as error:
        return Document(findings=[error.finding])


class _Loader(yaml.SafeLoader):
    """Composes nodes, within limits; nothing is ever constructed from them."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self._depth = 0
        self._nodes = 0

    def compose_node(self, parent: Node | None, index: Any) -> Node | None:
        self._depth += 1
        self._nodes += 1
        if self._depth > DEEPEST:
            raise self._limit("nested too deep")
        if self._nodes > MOST_NODES:
            raise self._limit("too many values")
        node: Node | None = super().compose_node(parent, index)
        self._depth -= 1
        return node

    def _limit(self, problem: str) -> yaml.MarkedYAMLError:
        event = self.peek_event()  # type: ignore[no-untyped-call]
        return yaml.MarkedYAMLError(problem=problem, problem_mark=event.start_mark)


class _TooMuchError(Exception):
    """Aliases make more of the file than there is in it, or contain themselves."""

    def __init__(self, place: Place, path: KeyPath) -> None:
        super().__init__()
        what = "grows without end by its aliases (*name); write the values out"
        self.finding = Finding(place, key_text(path) or "file", what)


class _Walk:
    """One pass over the nodes; aliases are followed, and counted each time."""

    def __init__(self) -> None:
        self._found = Document()
        self._left = MOST_NODES

    def document(self, root: Node) -> Document:
        content = self._plain(root, ())
        found = self._found
        return Document(content, found.values, found.keys, found.findings)

    def _plain(self, node: Node, path: KeyPath) -> Plain:
        self._left -= 1
        self._found.values[path] = _place(node.start_mark)
        if self._left < 0 or len(path) >= DEEPEST:
            raise _TooMuchError(_place(node.start_mark), path[:1])
        if not _CORE_TAG.fullmatch(node.tag):
            self._complain(node, path, "has a tag that means nothing here; remove the !tag")
        if isinstance(node, MappingNode):
            return self._mapping(node, path)
        if isinstance(node, SequenceNode):
            return [self._plain(item, (*path, at)) for at, item in enumerate(node.value)]
        return self._text(node, path)

    def _mapping(self, node: MappingNode, path: KeyPath) -> dict[str, Plain]:
        content: dict[str, Plain] = {}
        for key, value in node.value:
            name = self._text(key, path) if isinstance(key, ScalarNode) else None
            if name is None:
                self._complain(key, path, "has a key that is not a name; write name: value")
                continue
            below = (*path, name)
            if name in content:
                line = self._found.keys[below].line
                self._complain(key, below, f"stands twice, first in line {line}; remove one")
                continue
            self._found.keys[below] = _place(key.start_mark)
            content[name] = self._plain(value, below)
        return content

    def _text(self, node: Node, path: KeyPath) -> str | None:
        if node.tag == _NULL_TAG:
            return None
        text = str(node.value)
        if any("\ud800" <= char <= "\udfff" for char in text):
            self._complain(
                node, path, "has half a character (an escape \\ud800 to \\udfff); mend it"
            )
            return text.encode("utf-8", "replace").decode("utf-8")
        return text

    def _complain(self, node: Node, path: KeyPath, what: str) -> None:
        key = key_text(path) or "file"
        self._found.findings.append(Finding(_place(node.start_mark), key, what))


def _in_our_words(error: yaml.MarkedYAMLError) -> str:
    for start, words in _IN_OUR_WORDS:
        if (error.problem or "").startswith(start) or (error.context or "").startswith(start):
            return words
    return _OTHERWISE


def _place_of(error: yaml.MarkedYAMLError) -> Place:
    # An open quote is found at the end of the file, and mended where it starts.
    if error.context == _OPEN_QUOTE:
        return _place(error.context_mark)
    return _place(error.problem_mark or error.context_mark)


def _place(mark: yaml.Mark | None) -> Place:
    return Place() if mark is None else Place(mark.line + 1, mark.column + 1)


def _place_in(text: str, position: int) -> Place:
    before = text[:position]
    return Place(before.count("\n") + 1, len(before) - (before.rfind("\n") + 1) + 1)


_REFERENCE = re.compile(r"\$\$\{|\$\{([^{}]*)\}|\$\{")
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,63}")


@dataclass(frozen=True, slots=True)
class Substituted:
    """The content with its variables filled in; `used` has the values that went into each text."""

    content: Plain
    used: dict[KeyPath, frozenset[str]] = field(default_factory=dict)
    broken: set[KeyPath] = field(default_factory=set)
    findings: list[Finding] = field(default_factory=list)


def substitute(document: Document, environment: Mapping[str, str]) -> Substituted:
    """Fill in every value; what cannot be filled in stays as it is and is among the findings."""
    filling = _Filling(document, environment, Substituted(None))
    content = filling.fill(document.content, ())
    found = filling.found
    return Substituted(content, found.used, found.broken, found.findings)


@dataclass(frozen=True, slots=True)
class _Filling:
    document: Document
    environment: Mapping[str, str]
    found: Substituted

    def fill(self, content: Plain, path: KeyPath) -> Plain:
        if isinstance(content, dict):
            return {key: self.fill(value, (*path, key)) for key, value in content.items()}
        if isinstance(content, list):
            return [self.fill(value, (*path, at)) for at, value in enumerate(content)]
        if content is None or "${" not in content:
            return content
        return _REFERENCE.sub(lambda match: self._value(match, path), content)

    def _value(self, match: re.Match[str], path: KeyPath) -> str:
        if match[0] == "$${":
            return "${"
        name = match[1]
        if name is None or not _NAME.fullmatch(name):
            self._complain(path, "has a ${ that names no variable; write ${NAME}, or $${ for ${")
            return match[0]
        if (value := self.environment.get(name)) is None:
            self._complain(path, f"the variable {name} is not set; set it, or write $${{ for ${{")
            return match[0]
        self.found.used[path] = self.found.used.get(path, frozenset()) | {value}
        return value

    def _complain(self, path: KeyPath, what: str) -> None:
        self.found.broken.add(path)
        place, key = self.document.place_of(path), key_text(path) or "file"
        self.found.findings.append(Finding(place, key, what))
