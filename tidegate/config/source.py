"""YAML text into plain values, and where in the text each of them stands.

YAML 1.2's core types only, as editors' schemas have it: `on` and `yes` are text, so are dates.
Bounded in size, depth and, because one anchor may be used many times, in values altogether.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any, cast

import yaml
from yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

from tidegate.config.mistakes import Mistake, YamlPath, show_path

SIZE_LIMIT_BYTES = 4 * 1024 * 1024
_DEPTH_LIMIT = 40
_VALUES_LIMIT = 50_000
_TAGGED = "has a tag (`!…`), which has no meaning here; quote text that begins with `!`"
_PLAIN_TAGS = ("tag:yaml.org,2002:map", "tag:yaml.org,2002:seq")
_TOO_DEEP = "too deep"

Place = tuple[int, int]
"""Line and column, from 1."""


@dataclass(slots=True)
class Source:
    """A document: its value, the places of its keys and values, and what is wrong as YAML."""

    file: str
    value: Any = None
    places: dict[YamlPath, Place] = field(default_factory=lambda: {(): (1, 1)})
    key_places: dict[YamlPath, Place] = field(default_factory=dict[YamlPath, Place])
    mistakes: list[Mistake] = field(default_factory=list[Mistake])

    def place(self, path: YamlPath, *, at_key: bool = False) -> Place:
        """Where `path` stands, or the nearest thing around it that does stand somewhere."""
        if at_key and path in self.key_places:
            return self.key_places[path]
        while path not in self.places:
            path = path[:-1]
        return self.places[path]

    def mistake(
        self,
        path: YamlPath,
        message: str,
        *,
        allowed: tuple[str, ...] = (),
        nearest: str | None = None,
        at_key: bool = False,
    ) -> Mistake:
        """A mistake at `path`."""
        line, column = self.place(path, at_key=at_key)
        return Mistake(self.file, line, column, show_path(path), message, allowed, nearest)


class _TooMuch(Exception):
    """A bound was passed."""

    def __init__(self, path: YamlPath, message: str) -> None:
        self.path = path
        self.message = message


class _Loader(yaml.SafeLoader):
    """Composes nodes, with YAML 1.2's idea of what a plain word is, and not too deep."""

    yaml_implicit_resolvers = {}  # noqa: RUF012  filled below, as PyYAML has it
    depth = 0

    def compose_node(self, parent: Node | None, index: Any) -> Node | None:
        self.depth += 1
        if self.depth > _DEPTH_LIMIT:
            mark = cast("yaml.Mark", self.peek_event().start_mark)
            raise yaml.MarkedYAMLError(problem=_TOO_DEEP, problem_mark=mark)
        node = super().compose_node(parent, index)
        self.depth -= 1
        return node


_NULL, _BOOL, _INT, _FLOAT, _TEXT = (
    f"tag:yaml.org,2002:{kind}" for kind in ("null", "bool", "int", "float", "str")
)
_FLOATS = (
    r"[-+]?(?:\.[0-9]{1,18}|[0-9]{1,18}\.[0-9]{0,18})(?:[eE][-+]?[0-9]{1,3})?"
    r"|[-+]?[0-9]{1,18}[eE][-+]?[0-9]{1,3}|[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)"
)
for _tag, _pattern, _first in (
    (_NULL, r"~|null|Null|NULL|", "~nN\0"),
    (_BOOL, r"true|True|TRUE|false|False|FALSE", "tTfF"),
    (_INT, r"[-+]?[0-9]{1,18}", "-+0123456789"),
    (_FLOAT, _FLOATS, "-+.0123456789"),
):
    _firsts = [char if char != "\0" else "" for char in _first]
    _Loader.add_implicit_resolver(_tag, re.compile(f"^(?:{_pattern})$"), _firsts)


def read(text: str, file: str) -> Source:
    """The document in `text`; what is wrong with it as YAML is in the source's mistakes."""
    source = Source(file)
    try:
        node = yaml.compose(text, Loader=_Loader)
        if node is not None:
            source.value = _Builder(source).build(node, ())
    except _TooMuch as error:
        source.value = None
        source.mistakes.append(source.mistake(error.path, error.message))
    except yaml.YAMLError as error:
        source.value = None
        source.mistakes.append(_syntax_mistake(error, text, file))
    return source


class _Builder:
    """Turns nodes into values, writing down the place of each."""

    def __init__(self, source: Source) -> None:
        self.source = source
        self.values = 0

    def build(self, node: Node, path: YamlPath) -> Any:
        self.values += 1
        if self.values > _VALUES_LIMIT:
            raise _TooMuch((), f"has more than {_VALUES_LIMIT} values, anchors counted out")
        if len(path) > _DEPTH_LIMIT:
            raise _TooMuch(path[:3], "contains itself through an anchor, or is far too deep")
        self.source.places[path] = _place(node)
        if isinstance(node, MappingNode | SequenceNode) and node.tag not in _PLAIN_TAGS:
            self._refuse(path, _place(node), _TAGGED)
        if isinstance(node, MappingNode):
            return self._mapping(node, path)
        if isinstance(node, SequenceNode):
            items = cast("list[Node]", node.value)
            return [self.build(item, (*path, index)) for index, item in enumerate(items)]
        return self._scalar(cast("ScalarNode", node), path)

    def _mapping(self, node: MappingNode, path: YamlPath) -> dict[str, Any]:
        built: dict[str, Any] = {}
        for key_node, value_node in cast("list[tuple[Node, Node]]", node.value):
            place = _place(key_node)
            if not isinstance(key_node, ScalarNode):
                self._refuse(path, place, "has a key that is not plain text")
                continue
            key = self._text(key_node, path)
            inner = (*path, key)
            if key == "<<":
                self._refuse(inner, place, "merging keys (`<<`) is not supported; write them out")
            elif key in built:
                line, _ = self.source.key_places[inner]
                self._refuse(inner, place, f"is given twice; the first is in line {line}")
            else:
                self.source.key_places[inner] = place
                built[key] = self.build(value_node, inner)
        return built

    def _text(self, node: ScalarNode, path: YamlPath) -> str:
        text = cast("str", node.value)
        if any("\ud800" <= char <= "\udfff" for char in text):
            self._refuse(path, _place(node), "has half of a character in it (`\\ud800`…`\\udfff`)")
            return "".join("?" if "\ud800" <= char <= "\udfff" else char for char in text)
        return text

    def _scalar(self, node: ScalarNode, path: YamlPath) -> Any:
        text = self._text(node, path)
        if node.tag == _NULL:
            return None
        if node.tag == _BOOL:
            return text.casefold() == "true"
        if node.tag == _INT and re.fullmatch(r"[-+]?[0-9]{1,18}", text):
            return int(text)
        if node.tag == _FLOAT:
            try:
                return float(text.replace(".inf", "inf").replace(".nan", "nan"))
            except ValueError:
                return text
        if node.tag not in {_TEXT, _INT}:
            self._refuse(path, _place(node), _TAGGED)
        return text

    def _refuse(self, path: YamlPath, place: Place, message: str) -> None:
        self.source.mistakes.append(Mistake(self.source.file, *place, show_path(path), message))


def _place(node: Node) -> Place:
    return node.start_mark.line + 1, node.start_mark.column + 1


_PLAINER = {
    _TOO_DEEP: f"is more than {_DEPTH_LIMIT} levels deep here",
    "found character '\\t' that cannot start any token": (
        "a tab stands where YAML wants spaces; indent with spaces"
    ),
    "mapping values are not allowed here": (
        "a `:` stands where none can; quote the text around it, or check the indentation"
    ),
    "expected <block end>, but found '<block mapping start>'": (
        "the indentation does not fit the lines above"
    ),
    "could not find expected ':'": "a key has no `:` after it",
    "but found another document": "holds more than one document; `---` may stand only at the top",
}


def _syntax_mistake(error: yaml.YAMLError, text: str, file: str) -> Mistake:
    """PyYAML's complaint as ours. Its own text is not used where it may quote the document."""
    if isinstance(error, yaml.MarkedYAMLError):
        mark = error.problem_mark or error.context_mark
        problem = error.problem or ""
        place = (mark.line + 1, mark.column + 1) if mark else (1, 1)
        if problem.startswith("found undefined alias"):
            message = "`*` refers to an anchor that is not there; quote text that begins with `*`"
        else:
            # Names between quotes could be a secret's text; one sign, or YAML's own words, not.
            safe = re.sub(r"'[^'<]{2,}'", "that", problem)
            message = _PLAINER.get(problem, f"is not correct YAML: {safe or 'cannot be read'}")
        return Mistake(file, *place, "", message)
    position = getattr(error, "position", 0)
    line = text.count("\n", 0, position) + 1
    return Mistake(file, line, 1, "", "has a character in it that YAML does not allow; remove it")
