"""The values that pass between the steps. No I/O, no clock, no foreign import.

Rules:
1. Everything here is a value that can be printed, compared and written as JSON.
2. `Resource.spec` holds only JSON values, and only values that a person set. Its digest follows a numbered
   scheme.
3. Names are the words of the contract: resource, manifest, release, observed, inventory, claim, plan, action,
   refusal.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from agent.check import Check
from agent.revision import NOWHERE, Revision

Json = Any
Spec = Mapping[str, Json]

SCHEME = 1  # of digests; a new scheme is added beside the old ones, never changed
INSTANCE_LABEL = "io.limpet.instance"
DIGEST_LABEL = "io.limpet.digest"
APP_LABEL = "io.limpet.app"
NAME_LABEL = "io.limpet.name"  # the final name of a container, whatever it is called at the moment

PATH_KINDS = ("file", "directory", "symlink")  # their names are absolute host paths

# Why a pass runs, the weightiest first: when several are due, the pass gets the first.
TRIGGERS = ("sync", "settings", "start", "poll", "retry", "resync", "event")

Condition = Literal["present", "started", "healthy", "completed"]
Stage = Literal["apply", "prune"]


def canonical_json(value: Json) -> str:
    """One text per value: sorted keys, no spaces. Errors: TypeError for what JSON cannot hold."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def sha256(data: bytes | str) -> str:
    """Hex SHA-256 of bytes, or of text as UTF-8."""
    return hashlib.sha256(data.encode() if isinstance(data, str) else data).hexdigest()


@dataclass(frozen=True, slots=True, order=True)
class Key:
    """The name of a resource: `kind/name`, for a path `file/etc/motd`. Everything is sorted by it."""

    kind: str
    name: str

    def __str__(self) -> str:
        return f"{self.kind}/{self.name.removeprefix('/')}"

    @classmethod
    def parse(cls, text: str) -> Key:
        kind, _, name = text.partition("/")
        return cls(kind, f"/{name}" if kind in PATH_KINDS else name)


@dataclass(frozen=True, slots=True)
class Need:
    """This resource cannot be started (or created) before `key` is `condition`. Unless `required`, it can
    when `key` is absent.
    """

    key: Key
    condition: Condition = "present"
    required: bool = True


@dataclass(frozen=True, slots=True)
class Resource:
    """One desired thing. `origin` is `file:line` in the repository, for messages only; it is in no digest."""

    key: Key
    spec: Spec
    digest: str
    needs: tuple[Need, ...] = ()
    claims: tuple[str, ...] = ()
    origin: str = ""

    def images(self) -> list[str]:
        """The image references of a container: its own first, then those that it mounts."""
        mounted = (
            volume["source"]
            for volume in self.spec["config"].get("volumes") or ()
            if volume["type"] == "image"
        )
        return [self.spec["image"], *mounted]

    def to_json(self) -> dict[str, Json]:
        return {
            "key": str(self.key),
            "spec": dict(self.spec),
            "digest": self.digest,
            "claims": list(self.claims),
            "needs": [[str(n.key), n.condition, n.required] for n in self.needs],
            "origin": self.origin,
        }

    @classmethod
    def from_json(cls, doc: Mapping[str, Json]) -> Resource:
        return cls(
            Key.parse(doc["key"]),
            doc["spec"],
            doc["digest"],
            tuple(Need(Key.parse(key), condition, required) for key, condition, required in doc["needs"]),
            tuple(doc["claims"]),
            doc.get("origin", ""),
        )


@dataclass(frozen=True, slots=True)
class Manifest:
    """The desired state of one host at one revision. Equal content, equal digest, whatever the commit."""

    resources: Mapping[Key, Resource]
    checks: tuple[Check, ...] = ()
    warnings: tuple[str, ...] = ()

    @property
    def digest(self) -> str:
        """Covers the keys and digests of the resources, which of them adopt, and checks without origins."""
        checks = [check.identity() for check in self.checks]
        adopting = sorted(str(key) for key, resource in self.resources.items() if resource.spec.get("adopt"))
        return sha256(
            canonical_json(
                {
                    "scheme": SCHEME,
                    "resources": {str(k): r.digest for k, r in self.resources.items()},
                    "checks": checks,
                    **({"adopt": adopting} if adopting else {}),
                }
            )
        )

    def of_kind(self, kind: str) -> list[Resource]:
        return [self.resources[key] for key in sorted(self.resources) if key.kind == kind]

    def content(self) -> set[str]:
        """Digests of all file contents that this manifest needs from the content store."""
        return {r.spec["content"] for r in self.resources.values() if r.spec.get("content")}

    def images(self) -> list[str]:
        """The image references of its containers, sorted, each once."""
        return sorted({image for r in self.of_kind("container") for image in r.images()})

    def to_json(self) -> dict[str, Json]:
        return {
            "scheme": SCHEME,
            "resources": [self.resources[key].to_json() for key in sorted(self.resources)],
            "checks": [check.to_json() for check in self.checks],
            "warnings": list(self.warnings),
        }

    @classmethod
    def from_json(cls, doc: Mapping[str, Json]) -> Manifest:
        resources = (Resource.from_json(r) for r in doc["resources"])
        checks = tuple(Check(**{**check, "exec": tuple(check["exec"])}) for check in doc["checks"])
        return cls({r.key: r for r in resources}, checks, tuple(doc.get("warnings", ())))


EMPTY = Manifest({})


@dataclass(frozen=True, slots=True)
class Release:
    """The unit that is applied, proved, rejected and returned to: a manifest digest and its image lock.

    lock: image reference -> the image id (`sha256:...`) it was resolved to
    revision, at: where and when (wall time, seconds) it was first seen; not part of its identity
    part_of: the branch's release, when this is only the part of it that could be brought in; not part of its
        identity
    """

    manifest_digest: str
    lock: Mapping[str, str]
    revision: Revision = NOWHERE
    at: float = 0.0
    part_of: Release | None = None

    @property
    def id(self) -> str:
        return sha256(canonical_json([self.manifest_digest, dict(self.lock)]))[:16]

    @property
    def whole(self) -> Release:
        """The branch's release: itself, or that of which it is a part."""
        return self.part_of or self

    def to_json(self) -> dict[str, Json]:
        return {
            "manifest_digest": self.manifest_digest,
            "lock": dict(self.lock),
            "revision": str(self.revision),
            "at": self.at,
            **({"part_of": self.part_of.to_json()} if self.part_of else {}),
        }

    @classmethod
    def from_json(cls, doc: Mapping[str, Json]) -> Release:
        return cls(
            doc["manifest_digest"],
            doc["lock"],
            Revision.parse(doc.get("revision", "")),
            doc.get("at", 0.0),
            cls.from_json(doc["part_of"]) if doc.get("part_of") else None,
        )


# --- owned --------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Owned:
    """One inventory entry: a thing that we own and must be able to delete, in order, when the manifest no
    longer mentions it.

    original: paths only: what was there before us, as {"content": sha256, "mode", "uid", "gid", "type",
        "target"}
    notified: containers only: path -> content digest of the files whose change the container was told of,
        under its container id
    completed: one-shots only: the digest that ran to success
    hooked: the ids of the containers in which all `post_start` commands have run since Limpet started them
    adopted: only for a thing in Docker without a label of ours: its {"id"}, the {"digest"} that it counts as,
        and {"original"}, how it was found, until a release that adopts it is proved
    outlived: containers only: lender -> [start of a run that was too old for it, start of the lender's run]
    attempted: it came with a release, and no release that has it was proved
    """

    digest: str
    needs: tuple[str, ...] = ()
    claims: tuple[str, ...] = ()
    app: str = ""
    original: Spec | None = None
    notified: Mapping[str, Json] = field(default_factory=dict)
    completed: str = ""
    hooked: tuple[str, ...] = ()
    adopted: Spec = field(default_factory=dict)
    outlived: Mapping[str, list[str]] = field(default_factory=dict)
    attempted: bool = False


Inventory = Mapping[Key, Owned]


# --- the plan -----------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Action:
    """One host operation.

    cause: why it is needed
    args: what the driver needs besides the resource, as a container id or a name
    after: ids of the actions that must be done before it
    corrective: it repairs drift
    required: its failure fails the pass
    secret: arguments that nobody may read in a plan, a log or a journal
    """

    id: int
    verb: str
    key: Key
    cause: str
    args: Spec = field(default_factory=dict)
    after: tuple[int, ...] = ()
    stage: Stage = "apply"
    corrective: bool = False
    required: bool = True
    secret: Spec = field(default_factory=dict, repr=False)


@dataclass(frozen=True, slots=True)
class Refusal:
    """A change that the plan wants, and that policy or a brake forbids."""

    key: Key
    cause: str
    hint: str = ""


@dataclass(frozen=True, slots=True)
class Caution:
    """What a person should know of a change that the plan makes all the same."""

    key: Key
    cause: str
    hint: str = ""

    def __str__(self) -> str:
        return f"{self.key}: {self.cause}" + (f" (hint: {self.hint})" if self.hint else "")


@dataclass(frozen=True, slots=True)
class Change:
    """What happens to one resource, for people: `verb` is create, replace, update, start, return, delete,
    forget, keep.
    """

    key: Key
    verb: str
    cause: str
    stage: Stage = "apply"
    corrective: bool = False


@dataclass(frozen=True, slots=True)
class Plan:
    """The difference as data. `str(plan)` is stable text: the golden file, the dry run and the log are the
    same.

    refusals: changes to the target that are forbidden
    put_off: changes that the target leaves out, because they were refused of the branch's release
    """

    changes: tuple[Change, ...] = ()
    actions: tuple[Action, ...] = ()
    refusals: tuple[Refusal, ...] = ()
    put_off: tuple[Refusal, ...] = ()
    cautions: tuple[Caution, ...] = ()

    @property
    def refused(self) -> tuple[Refusal, ...]:
        """All that is refused, each resource once."""
        found = {refusal.key: refusal for refusal in (*self.refusals, *self.put_off)}
        return tuple(found[key] for key in sorted(found))

    def staged(self, stage: Stage) -> list[Action]:
        return [action for action in self.actions if action.stage == stage]

    def __str__(self) -> str:
        actions: dict[Key, list[Action]] = {}
        for action in self.actions:
            actions.setdefault(action.key, []).append(action)
        lines: list[str] = []
        for change in self.changes:
            lines.append(f"{change.verb} {change.key}: {change.cause}{_late(change.stage == 'prune')}")
            lines += [_action_line(action, change) for action in actions.get(change.key, ())]
        for refusal in self.refused:
            lines.append(f"refused {refusal.key}: {refusal.cause}")
            lines += [f"    hint: {refusal.hint}"] if refusal.hint else []
        for caution in self.cautions:
            lines.append(f"warning {caution.key}: {caution.cause}")
            lines += [f"    hint: {caution.hint}"] if caution.hint else []
        return "\n".join(lines)


def _action_line(action: Action, change: Change) -> str:
    words = [action.verb, *(f"{name}={_short(value)}" for name, value in sorted(action.args.items()))]
    after = f" after {','.join(map(str, action.after))}" if action.after else ""
    may = "" if action.required else " (may fail)"
    return f"    [{action.id}] {' '.join(words)}{after}{may}{_late(action.stage != change.stage)}"


def _late(late: bool) -> str:
    return " (after the gate)" if late else ""


def _short(value: Json) -> str:
    text = value if isinstance(value, str) else canonical_json(value)
    return text if len(text) <= 40 else text[:37] + "..."


@dataclass(frozen=True, slots=True)
class Outcome:
    """The result of one action: done, failed, excused (it failed and was not required) or skipped. `error`
    comes with failed and excused.
    """

    action: Action
    result: Literal["done", "failed", "excused", "skipped"]
    error: Exception | None = None
    duration_s: float = 0.0
