"""YAML as texts, lists and mappings, with the place of every key and value; variables filled in.

Every scalar is the text that is written, so that no `no` is a boolean and no `1:30` a number. What
could do harm is refused: duplicate keys, tags, endless nesting, aliases that multiply. `${NAME}` in
a value comes from the environment, `$${` is a plain `${`; keys, and what a variable holds, are not
searched for more.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import yaml
from yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from watcher.config.errors import ConfigError, KeyPath, Place, Problem, key_text

if TYPE_CHECKING:
    from collections.abc import Mapping


class Filled(str):
    """A text with variables filled in, and their values."""

    __slots__ = ("variables",)
    variables: frozenset[str]


class Unfilled:
    """In place of a text with a variable that could not be filled in, which is a problem already.

    Nothing can be read from it.
    """


YamlContent = None | str | Unfilled | list["YamlContent"] | dict[str, "YamlContent"]

MAX_DEPTH = 20
MAX_NODES = 10_000

_REFERENCE = re.compile(r"\$\$\{|\$\{([^{}]*)\}|\$\{")
_VARIABLE_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,63}")

_CORE_TAG = re.compile(
    r"tag:yaml\.org,2002:(null|bool|int|float|str|timestamp|value|merge|seq|map)"
)
_NULL_TAG = "tag:yaml.org,2002:null"

_OPEN_QUOTE = "while scanning a quoted scalar"

# What the parser says (the start of it, or of its context) and what a person can do about it.
# Its own words are never shown: some of them quote the file.
_EXPLANATIONS = (
    ("found character '\\t'", "has a tab; indent with spaces"),
    ("found character '%'", "has a % where no value can start; put quotes around the value"),
    (
        "found character",
        "has a character that no value starts with; put quotes around the value",
    ),
    (
        "mapping values are not allowed",
        "has a colon where none is allowed; check the indentation or put quotes around the value",
    ),
    ("sequence entries are not", "has a - where no list is allowed; start the list on a new line"),
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
    ("nested too deep", f"is nested too deeply; use at most {MAX_DEPTH} levels"),
    ("too many values", f"has too many values; use at most {MAX_NODES}"),
)
_NOT_YAML = "is not YAML; check indentation, colons, brackets and quotes around this place"


@dataclass(frozen=True, slots=True)
class Document:
    """What a file says, where in it, and what is wrong with how it is written."""

    file: str
    content: YamlContent = None
    values: dict[KeyPath, Place] = field(default_factory=dict)
    keys: dict[KeyPath, Place] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)

    def place_of(self, path: KeyPath) -> Place:
        """Where the value is, or the nearest thing around it that is in the file."""
        while path and path not in self.values:
            path = path[:-1]
        return self.values.get(path, Place())

    def problem(self, path: KeyPath, what: str) -> Problem:
        """Something wrong with a value."""
        return self.problem_at(self.place_of(path), path, what)

    def problem_at_key(self, path: KeyPath, what: str) -> Problem:
        """Something wrong with a key, or with a section as a whole."""
        return self.problem_at(self.keys.get(path) or self.place_of(path), path, what)

    def problem_at(self, place: Place, path: KeyPath, what: str) -> Problem:
        """Something wrong at a place."""
        return Problem(self.file, place, key_text(path) or "file", what)


def read_document(text: str, file: str, environment: Mapping[str, str] | None = None) -> Document:
    """Read a whole file; never raises: what cannot be read is among the problems.

    `file` is its name. Without an environment no variable is filled in.
    """

    def unreadable(place: Place, what: str) -> Document:
        return Document(file, problems=[Problem(file, place, "syntax", what)])

    try:
        loader = _Loader(text)
    except yaml.reader.ReaderError as error:
        return unreadable(place_after(text[: error.position]), "has a control character; remove it")
    try:
        root = loader.get_single_node()
    except yaml.MarkedYAMLError as error:
        return unreadable(_place_of(error), _explain(error))
    except (ValueError, OverflowError):
        # PyYAML raises these for an escape or a version number that is out of range.
        return unreadable(_place(loader.get_mark()), _NOT_YAML)
    finally:
        loader.dispose()
    document = Document(file)
    if root is None:
        return document
    try:
        content = _NodeReader(document, environment).content(root, ())
    except ConfigError as error:
        return Document(file, problems=list(error.problems))
    return replace(document, content=content)


class _Loader(yaml.SafeLoader):
    """Composes nodes, within limits; nothing is ever constructed from them."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self._depth = 0
        self._nodes = 0

    def compose_node(self, parent: Node | None, index: Any) -> Node | None:
        self._depth += 1
        self._nodes += 1
        if self._depth > MAX_DEPTH:
            raise self._limit("nested too deep")
        if self._nodes > MAX_NODES:
            raise self._limit("too many values")
        node: Node | None = super().compose_node(parent, index)
        self._depth -= 1
        return node

    def _limit(self, problem: str) -> yaml.MarkedYAMLError:
        event = self.peek_event()  # type: ignore[no-untyped-call]
        return yaml.MarkedYAMLError(problem=problem, problem_mark=event.start_mark)


class _NodeReader:
    """Reads nodes in one pass; aliases are followed, and counted each time."""

    def __init__(self, document: Document, environment: Mapping[str, str] | None) -> None:
        self._document = document
        self._environment = environment
        self._nodes_left = MAX_NODES

    def content(self, node: Node, path: KeyPath) -> YamlContent:
        self._nodes_left -= 1
        self._document.values[path] = _place(node.start_mark)
        if self._nodes_left < 0 or len(path) >= MAX_DEPTH:
            what = "grows without end by its aliases (*name); write the values out"
            raise ConfigError([self._problem(node, path[:1], what)])
        if not _CORE_TAG.fullmatch(node.tag):
            self._report(node, path, "has a tag that means nothing here; remove the !tag")
        if isinstance(node, MappingNode):
            return self._mapping(node, path)
        if isinstance(node, SequenceNode):
            return [self.content(item, (*path, at)) for at, item in enumerate(node.value)]
        text = self._text(node, path)
        if text is None or self._environment is None or "${" not in text:
            return text
        return self._filled(text, self._environment, path)

    def _mapping(self, node: MappingNode, path: KeyPath) -> dict[str, YamlContent]:
        content: dict[str, YamlContent] = {}
        for key, value in node.value:
            name = self._text(key, path) if isinstance(key, ScalarNode) else None
            if name is None:
                self._report(key, path, "has a key that is not a name; write name: value")
                continue
            below = (*path, name)
            if name in content:
                line = self._document.keys[below].line
                self._report(key, below, f"appears twice, first in line {line}; remove one")
                continue
            self._document.keys[below] = _place(key.start_mark)
            content[name] = self.content(value, below)
        return content

    def _text(self, node: Node, path: KeyPath) -> str | None:
        if node.tag == _NULL_TAG:
            return None
        text = str(node.value)
        if any("\ud800" <= char <= "\udfff" for char in text):
            what = "has half a character (an escape \\ud800 to \\udfff); fix it"
            self._report(node, path, what)
            return text.encode("utf-8", "replace").decode("utf-8")
        return text

    def _filled(self, text: str, environment: Mapping[str, str], path: KeyPath) -> YamlContent:
        used: set[str] = set()
        wrong: list[str] = []

        def fill(match: re.Match[str]) -> str:
            if match[0] == "$${":
                return "${"
            if not match[1] or not _VARIABLE_NAME.fullmatch(match[1]):
                wrong.append("has a ${ that names no variable; write ${NAME}, or $${ for ${")
            elif (value := environment.get(match[1])) is None:
                wrong.append(f"the variable {match[1]} is not set; set it, or write $${{ for ${{")
            else:
                used.add(value)
                return value
            return ""

        filled = Filled(_REFERENCE.sub(fill, text))
        filled.variables = frozenset(used)
        self._document.problems.extend(self._document.problem(path, what) for what in wrong)
        return Unfilled() if wrong else filled

    def _problem(self, node: Node, path: KeyPath, what: str) -> Problem:
        return self._document.problem_at(_place(node.start_mark), path, what)

    def _report(self, node: Node, path: KeyPath, what: str) -> None:
        self._document.problems.append(self._problem(node, path, what))


def _explain(error: yaml.MarkedYAMLError) -> str:
    for start, words in _EXPLANATIONS:
        if (error.problem or "").startswith(start) or (error.context or "").startswith(start):
            return words
    return _NOT_YAML


def _place_of(error: yaml.MarkedYAMLError) -> Place:
    # An open quote is found at the end of the file, and fixed where it starts.
    if error.context == _OPEN_QUOTE:
        return _place(error.context_mark)
    return _place(error.problem_mark or error.context_mark)


def _place(mark: yaml.Mark | None) -> Place:
    return Place() if mark is None else Place(mark.line + 1, mark.column + 1)


def place_after(text: str) -> Place:
    """Where the text goes on that starts so."""
    return Place(text.count("\n") + 1, len(text) - text.rfind("\n"))
