"""Parses YAML text into trees with places, as the reference loader's YAML library does.

Rules: scalars are YAML 1.2's (only true and false are booleans, `80:80` is text, `0777` and `0o777` are
octal); a duplicate key, a key that is not text, an unknown alias and a tab used for indentation are errors;
aliases and merge keys are expanded under a budget, so a small file can never become a huge tree; `!reset` and
`!override` are recorded as paths to remove from the files merged earlier.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any

from .errors import ComposeError, Place
from .limits import MAX_DEPTH, MAX_FILE_BYTES, Budget
from .scalars import resolve
from .tree import List, Map

Path = tuple[str, ...]
SCALAR, SEQUENCE, MAPPING, ALIAS = range(4)
_KINDS = {
    "ScalarEvent": SCALAR,
    "SequenceStartEvent": SEQUENCE,
    "MappingStartEvent": MAPPING,
    "AliasEvent": ALIAS,
}
STR_TAG = "tag:yaml.org,2002:str"
MAX_READ_AGAIN = 4 << 20
_ANCHOR = re.compile(r"[&*]([!-+./-9;-Z^-z|~\\-]+)")  # printable ASCII but for : , [ ] { }
_FOREIGN = re.compile(r"[^0-9A-Za-z_-]")
_FILLINGS = "_-0123456789abcdefghijklmnopqrstuvwxyz"


@dataclass(slots=True)
class YamlNode:
    kind: int
    tag: str | None
    value: Any
    line: int
    column: int
    plain: bool = False


@dataclass(slots=True)
class YamlDocument:
    """One YAML document: its tree, and the paths that `!reset` and `!override` remove from earlier files."""

    root: Any
    removed: list[Path] = field(default_factory=list)


def parse_yaml(file: str, data: bytes, budget: Budget) -> list[YamlDocument]:
    """The documents of a file. Raises ComposeError."""
    if len(data) > MAX_FILE_BYTES:
        message = f"the file has {len(data)} bytes; at most {MAX_FILE_BYTES} are read"
        raise ComposeError(message, file, hint="split it with `include`")
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data[: error.start].count(b"\n") + 1
        raise ComposeError("the file is not UTF-8 text", file, line, hint="save it as UTF-8") from None
    return [_Builder(file, budget).build(node) for node in _compose(file, text)]


def _compose(file: str, text: str) -> list[YamlNode]:
    """The root nodes of all documents. The parser accepts fewer anchor names than YAML allows, so the others
    are renamed before parsing.
    """
    import yaml

    renamed: dict[str, str] = {}
    for _ in range(10 + MAX_READ_AGAIN // (len(text) + 1)):
        try:
            return _read(file, text, {short: name for name, short in renamed.items()})
        except yaml.MarkedYAMLError as error:
            changed = _rename_anchor(text, error, renamed)
            if changed is not None:
                text = changed
                continue
            mark = error.problem_mark or error.context_mark
            line, column = (mark.line + 1, mark.column + 1) if mark else (0, 0)
            raise ComposeError(
                _problem(error, text, line), file, line, column, _remedy(error, text, line)
            ) from None
    hint = "use only letters, digits, - and _ in anchor names"
    raise ComposeError(
        f"more than {len(renamed)} anchor names have characters other than letters, digits, - and _",
        file,
        1,
        hint=hint,
    )


def _read(file: str, text: str, names: dict[str, str]) -> list[YamlNode]:
    """Parses the text. `names`: the original names of renamed anchors. Raises MarkedYAMLError or
    ComposeError.
    """
    import yaml
    from yaml._yaml import CParser

    parser = CParser(text)
    try:
        return _nodes(parser, file, names)
    except yaml.reader.ReaderError as error:
        position = error.position if isinstance(error.position, int) else 0
        raise ComposeError(
            f"the character #x{ord(text[position]):04x} is not allowed in YAML"
            if position < len(text)
            else "unreadable",
            file,
            text[:position].count("\n") + 1,
            hint='write it as an escape in double quotes, "\\u...."',
        ) from None
    finally:
        parser.dispose()


def _rename_anchor(text: str, error: Any, renamed: dict[str, str]) -> str | None:
    """The text with the anchor or alias at the error renamed, to a name of the same length. None if the error
    has another cause.
    """
    mark = error.context_mark
    if mark is None or not str(error.context).startswith(
        ("while scanning an anchor", "while scanning an alias")
    ):
        return None
    found = _ANCHOR.match(text, mark.index)
    if found is None or not _FOREIGN.search(found[1]):
        return None
    name = found[1]
    if name not in renamed:
        tries = (_FOREIGN.sub(filling, name) for filling in _FILLINGS)
        free = (short for short in tries if f"&{short}" not in text and f"*{short}" not in text)
        renamed[name] = next(free, "")
    return f"{text[: found.start(1)]}{renamed[name]}{text[found.end(1) :]}" if renamed[name] else None


def _problem(error: Any, text: str, line: int) -> str:
    if _tab_at(text, line):
        return "a tab is used for indentation"
    return "not valid YAML: " + ": ".join(part for part in (error.context, error.problem) if part)


def _remedy(error: Any, text: str, line: int) -> str:
    if _tab_at(text, line):
        return "YAML is indented with spaces: replace the tab"
    if str(error.context).startswith(("while scanning an anchor", "while scanning an alias")):
        return "use only letters, digits, - and _ in anchor names"
    return "check the indentation, the colons and the quotes of this line and the one above it"


def _tab_at(text: str, line: int) -> bool:
    lines = text.splitlines()
    near = lines[max(0, line - 2) : line]
    return any("\t" in row[: len(row) - len(row.lstrip())] for row in near)


def _nodes(parser: Any, file: str, names: dict[str, str]) -> list[YamlNode]:
    """Builds the documents' nodes without recursion: depth is a limit, not a crash."""
    documents: list[YamlNode] = []
    anchors: dict[str, YamlNode] = {}
    stack: list[YamlNode] = []
    while True:
        event = parser.get_event()
        name = type(event).__name__
        if name in ("MappingEndEvent", "SequenceEndEvent"):
            stack.pop()
        elif name == "DocumentStartEvent":
            anchors = {}
        elif name == "StreamEndEvent":
            return documents
        elif node := _node(event, file, anchors, names):
            (stack[-1].value if stack else documents).append(node)
            if node.kind in (MAPPING, SEQUENCE):
                stack.append(node)
                _check_depth(stack, file)


def _check_depth(stack: list[YamlNode], file: str) -> None:
    if len(stack) > MAX_DEPTH:
        message, hint = f"nested more than {MAX_DEPTH} levels deep", "flatten the structure"
        raise ComposeError(message, file, stack[-1].line, stack[-1].column, hint)


def _node(event: Any, file: str, anchors: dict[str, YamlNode], names: dict[str, str]) -> YamlNode | None:
    """The node that an event begins, also added to `anchors`; None for an event that does not begin
    a node.
    """
    kind = _KINDS.get(type(event).__name__)
    if kind is None:
        return None
    line, column = event.start_mark.line + 1, event.start_mark.column + 1
    if kind == ALIAS:
        target = anchors.get(event.anchor)
        if target is None:
            name = names.get(event.anchor, event.anchor)
            hint = f"define it first with &{name}, or put it in quotes if it is text"
            raise ComposeError(f"the alias *{name} has no anchor above it", file, line, column, hint)
        return YamlNode(ALIAS, None, target, line, column)
    if kind == SCALAR:
        plain = event.implicit[0] and event.style in (None, "")
        node = YamlNode(SCALAR, event.tag, event.value, line, column, plain)
    else:
        node = YamlNode(kind, event.tag, [], line, column)
    if event.anchor is not None:
        anchors[event.anchor] = node
    return node


class _Builder:
    """Turns nodes into trees: expands aliases and merge keys, applies tags, and charges every node to the
    budget.
    """

    def __init__(self, file: str, budget: Budget) -> None:
        self.file = file
        self.budget = budget
        self.removed: list[Path] = []
        self.active: set[int] = set()

    def build(self, node: YamlNode) -> YamlDocument:
        self.removed = []
        return YamlDocument(self.value(node, ()), self.removed)

    def fail(self, node: YamlNode, message: str, hint: str = "") -> ComposeError:
        return ComposeError(message, self.file, node.line, node.column, hint)

    def pay(self, node: YamlNode) -> None:
        self.budget.nodes -= 1
        if self.budget.nodes < 0:
            self.budget.spend_nodes(0, Place(self.file, node.line, node.column))

    def value(self, node: YamlNode, path: Path) -> Any:
        self.pay(node)
        if node.kind == SCALAR:
            return self.scalar(node)
        target = node.value if node.kind == ALIAS else node
        if target.kind == SCALAR:
            return self.scalar(target)
        if id(target) in self.active or len(self.active) > MAX_DEPTH:
            raise self.fail(
                node,
                "an alias is inside its own anchor, or aliases are nested too deeply",
                "remove the cycle",
            )
        self.active.add(id(target))
        try:
            place = Place(self.file, node.line, node.column)
            return (
                self.mapping(target, path, place)
                if target.kind == MAPPING
                else self.sequence(target, path, place)
            )
        finally:
            self.active.discard(id(target))

    def scalar(self, node: YamlNode) -> Any:
        try:
            return resolve(node.value, node.tag, node.plain)
        except ValueError as error:
            raise self.fail(node, str(error), "remove the tag or correct the value") from None

    def sequence(self, node: YamlNode, path: Path, at: Place) -> List:
        result = List(at=at)
        for index, item in enumerate(node.value):
            below = (*path, f"[{index}]")
            if not self.tagged(item, below):
                result.add(self.value(item, below), Place(self.file, item.line, item.column))
        return result

    def mapping(self, node: YamlNode, path: Path, at: Place) -> Map:
        result = Map(at=at)
        merges: list[YamlNode] = []
        seen: dict[str, int] = {}
        for key_node, item in zip(node.value[::2], node.value[1::2], strict=True):
            key = self.key(key_node)
            if key in seen:
                raise self.fail(
                    key_node, f"the key {key!r} is already on line {seen[key]}", "keep one of the two"
                )
            seen[key] = key_node.line
            if key == "<<" and key_node.plain:
                merges.append(item)
                continue
            below = (*path, key)
            if not self.tagged(item, below):
                result.put(key, self.value(item, below), Place(self.file, key_node.line, key_node.column))
        for item in merges:
            self.merge(result, item, path)
        return result

    def key(self, node: YamlNode) -> str:
        self.pay(node)
        target = node.value if node.kind == ALIAS else node
        key = self.scalar(target) if target.kind == SCALAR else None
        if type(key) is not str:  # a date is not text either
            shown = target.value if target.kind == SCALAR else "a list or mapping"
            raise self.fail(node, f"the key {shown} is not text", "put it in quotes")
        return key

    def tagged(self, item: YamlNode, path: Path) -> bool:
        """Records `!reset` and `!override`. True if the entry must be left out."""
        tag = (item.value if item.kind == ALIAS else item).tag
        if tag not in ("!reset", "!override"):
            return False
        self.removed.append(path)
        return tag == "!reset"

    def merge(self, into: Map, item: YamlNode, path: Path) -> None:
        """Applies a merge key (`<<`): adds the entries of a mapping, or of a list of mappings, that are not
        present yet.
        """
        target = item.value if item.kind == ALIAS else item
        sources = target.value if target.kind == SEQUENCE else [item]
        for source in sources:
            if (source.value if source.kind == ALIAS else source).kind != MAPPING:
                raise self.fail(source, "`<<` needs a mapping or a list of mappings", "point it at a mapping")
            merged = self.value(source, path)
            for key, value in merged.items():
                if key not in into:
                    into.put(key, value, merged.place(key))
