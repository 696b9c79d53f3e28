"""One JSON value on disk, checksummed, in two generations.

Rules:
1. NAME.json is the newest value, NAME.json.1 the one before. When one generation is damaged, the other is
   used; when both are lost, the default is used. `damaged` says so.
2. The first line is an envelope (schema, checksum, version of the writer), the second the value. The checksum
   covers schema and value, so a schema is believed only when the file is whole.
3. A file of a newer schema is Stalled: an older Limpet never guesses and never overwrites it. A file of an
   older schema is brought forward by `steps` when it is read, and is written back under its own schema until
   `settle`, so that the version before can still read it.
4. A value that did not change is not written.
5. There is one writer at a time (by the pass lock, or by a lock of the document's owner); readers need no
   lock. The next writer removes the leftovers of a killed one.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from copy import deepcopy
from dataclasses import dataclass, field
from pathlib import Path

from agent import __version__
from agent.errors import Stalled
from agent.model import Json, canonical_json, sha256
from agent.store import durable


class DocumentDamaged(Exception):
    """The bytes are not those that were written."""


def pack(value: Json, schema: int) -> bytes:
    """The bytes of a document: envelope line, value line."""
    line = canonical_json(value).encode()
    envelope = {"schema": schema, "sha256": _checksum(schema, line), "by": __version__}
    return canonical_json(envelope).encode() + b"\n" + line + b"\n"


@dataclass(frozen=True, slots=True)
class Migration:
    """The step from a schema to the next: `up` brings a value forward, `down` brings it back to the form that
    the version before reads.
    """

    up: Callable[[Json], Json]
    down: Callable[[Json], Json]


def unpack(data: bytes, schema: int, name: str) -> Json:
    """The value in `data`. Errors: DocumentDamaged; Stalled when it was written under a newer schema than
    `schema`.
    """
    return json.loads(body(data, schema, name)[1])


def body(data: bytes, schema: int, name: str) -> tuple[int, bytes]:
    """The schema and the value's line in `data`, checked but not parsed. Errors: those of `unpack`."""
    head, _, rest = data.partition(b"\n")
    try:
        envelope = json.loads(head)
        found, checksum = int(envelope["schema"]), envelope["sha256"]
    except (ValueError, KeyError, TypeError) as error:
        raise DocumentDamaged("no readable envelope") from error
    if not rest.endswith(b"\n") or _checksum(found, rest[:-1]) != checksum:
        raise DocumentDamaged(f"checksum does not match its {len(data)} bytes")
    if found > schema:
        raise Stalled(
            f"{name} has schema {found}, this Limpet {__version__} reads up to {schema}",
            f"install Limpet {envelope.get('by', '')} or newer again, or move {name} and its generation .1 "
            "away to start anew",
            code="NewerSchema",
        )
    return found, rest[:-1]


def _checksum(schema: int, line: bytes) -> str:
    return sha256(b"%d\n" % schema + line)


@dataclass
class StoredDocument:
    """A value at `path`.

    path: NAME.json
    schema: the newest one, which this version writes
    default: the value when there is no file
    steps: `steps[n - 1]` leads from schema n to n + 1
    found: the schema of the file that `read` has found, when it is an older one
    damaged: says for people what `read` has found broken
    """

    path: Path
    schema: int
    default: Json
    steps: tuple[Migration, ...] = ()
    found: int | None = None
    damaged: list[str] = field(default_factory=list)
    lost: bool = False  # `read` found damage and no whole generation
    missing: bool = False  # `read` found neither generation

    @property
    def previous(self) -> Path:
        return self.path.with_name(self.path.name + ".1")

    def read(self) -> Json:
        """The newest whole value, else the default. Errors: Stalled (newer schema, not readable)."""
        problems = []
        for path in (self.path, self.previous):
            try:
                value = self._forward(*body(path.read_bytes(), self.schema, str(path)))
            except FileNotFoundError:
                problems.append("")
            except PermissionError as error:
                raise Stalled(
                    f"cannot read {path}: {error.strerror}", "run as root", code="StateNotReadable"
                ) from error
            except (OSError, DocumentDamaged) as error:
                problems.append(f"{path} is damaged: {error}")
            else:
                if problems:
                    self._say(
                        problems[0] or f"{self.path} is missing", f"{path.name}, one change older, is used"
                    )
                return value
        self.lost, self.missing = any(problems), not any(problems)
        if self.lost:
            self._say("; ".join(filter(None, problems)), "it starts anew")
        return deepcopy(self.default)

    def write(self, value: Json) -> bool:
        """Makes `value` the newest generation; false when it already is. Errors: Transient, Stalled."""
        self.tidy()
        data = self._packed(value)
        current = self._whole()
        if current == data:
            return False
        durable.make_directory(self.path.parent)
        if current is not None:
            self._keep_generation()
        durable.write_file(self.path, data)
        return True

    def tidy(self) -> None:
        """Removes the leftovers of a killed writer; only for the single writer."""
        for path in (self.path, self.previous):
            durable.remove_temporaries(path.parent, path.name)

    def settle(self) -> bool:
        """Writes the newest schema from now on; false when it was written already."""
        behind, self.found = self.found is not None, None
        return behind

    def _forward(self, found: int, line: bytes) -> Json:
        value = json.loads(line)
        for step in self.steps[found - 1 : self.schema - 1]:
            value = step.up(value)
        self.found = found if found < self.schema else None
        return value

    def _packed(self, value: Json) -> bytes:
        schema = self.found or self.schema
        for step in reversed(self.steps[schema - 1 : self.schema - 1]):
            value = step.down(value)
        return pack(value, schema)

    def _whole(self) -> bytes | None:
        """The bytes of the newest generation when they may be kept as the previous one."""
        try:
            data = self.path.read_bytes()
            body(data, self.schema, str(self.path))
        except (OSError, DocumentDamaged):
            return None
        return data

    def _keep_generation(self) -> None:
        """Makes NAME.json.1 a second name of NAME.json, which is replaced next: neither is ever missing."""
        with durable.file_errors(self.previous, "write"):
            link = self.previous.with_name(f".{self.previous.name}{durable.MARK}link")
            link.unlink(missing_ok=True)
            os.link(self.path, link)
            try:
                link.replace(self.previous)
            finally:
                # The link is left when both were names of one file: such a rename does nothing.
                link.unlink(missing_ok=True)

    def _say(self, what: str, consequence: str) -> None:
        note = f"{what}; {consequence}"
        if note not in self.damaged:
            self.damaged.append(note)
