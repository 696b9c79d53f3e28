"""The values that pass between the steps. No I/O, no clock, no foreign import.

Rules:
1. Everything here is a value that can be printed, compared and written as JSON.
2. `Resource.spec` holds only JSON values, only what a person set; a digest covers it under a numbered scheme.
3. Names are the words of the contract: resource, manifest, release, observed, inventory, claim, plan, action,
   refusal.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from agent.revision import NOWHERE, Revision

Json = Any
Spec = Mapping[str, Json]

SCHEME = 1  # of digests; a new scheme is added beside the old ones, never changed
INSTANCE_LABEL = "io.limpet.instance"
DIGEST_LABEL = "io.limpet.digest"
APP_LABEL = "io.limpet.app"
NAME_LABEL = "io.limpet.name"  # the final name of a container, whatever it is called at the moment

PATH_KINDS = ("file", "directory", "symlink")  # their names are absolute host paths

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
    """`kind/name`, of paths `file/etc/motd`; the sort order of everything."""

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
    """This resource cannot be started (or created) before `key` is `condition`. `required=False` bends to its
    absence.
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
class Check:
    """A probe that is part of the gate. Exactly one of `http`, `tcp`, `exec` is set. Times in seconds."""

    name: str
    http: str = ""
    status: int = 200
    tcp: str = ""
    exec: tuple[str, ...] = ()
    timeout: float = 10.0
    within: float = 0.0  # 0: the gate's deadline
    origin: str = ""


@dataclass(frozen=True, slots=True)
class Manifest:
    """The desired state of one host at one revision. Equal content, equal digest, whatever the commit."""

    resources: Mapping[Key, Resource]
    checks: tuple[Check, ...] = ()
    warnings: tuple[str, ...] = ()

    @property
    def digest(self) -> str:
        """Over keys, digests, what may be adopted, and checks without their origins."""
        checks = [{k: v for k, v in asdict(check).items() if k != "origin"} for check in self.checks]
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
            "checks": [asdict(check) | {"exec": list(check.exec)} for check in self.checks],
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
    """What is applied, proved, rejected and returned to: a manifest digest and its image lock.

    `lock` maps each image reference to the image id (`sha256:...`) it was resolved to. `revision` and `at`
    (wall time, seconds) say where and when it was first seen; they are no part of its identity.
    """

    manifest_digest: str
    lock: Mapping[str, str]
    revision: Revision = NOWHERE
    at: float = 0.0

    @property
    def id(self) -> str:
        return sha256(canonical_json([self.manifest_digest, dict(self.lock)]))[:16]

    def to_json(self) -> dict[str, Json]:
        return {
            "manifest_digest": self.manifest_digest,
            "lock": dict(self.lock),
            "revision": str(self.revision),
            "at": self.at,
        }

    @classmethod
    def from_json(cls, doc: Mapping[str, Json]) -> Release:
        return cls(
            doc["manifest_digest"], doc["lock"], Revision.parse(doc.get("revision", "")), doc.get("at", 0.0)
        )


# --- observed -----------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class ObservedFile:
    """What lies at one path, links not followed. `type`: file, directory, symlink, other. Of files only:
    `content`, a SHA-256, and `size` in bytes. `owner` and `group` are names as the host knows them, or the
    number as text.
    """

    type: str
    mode: int  # permission bits only
    uid: int
    gid: int
    owner: str = ""
    group: str = ""
    content: str = ""
    target: str = ""
    empty: bool = False  # directories: nothing inside
    size: int = 0


@dataclass(frozen=True, slots=True)
class ObservedContainer:
    """One container, ours or not. `key_name` is the final name from our label, empty when it is not ours.

    `state`: created, running, paused, restarting, removing, exited, dead. `health`: "", starting, healthy,
    unhealthy. `networks`: network name -> network id. `ports`: claims of published ports that are held now.
    `patience`: seconds that its health check gives it for its start. From `restart_policy` to it, all is None
    or empty unless the container was inspected.

    `adopted`: ours by its id in the inventory, not by a label; then `original` says how it was found, as long
    as no release that has it was proved. `found` (for `kinds.engine.compare`) is only there when it may be
    adopted; `differs` is what that says.
    """

    id: str
    name: str
    owned: bool
    state: str
    image_id: str
    key_name: str = ""
    app: str = ""
    digest: str = ""
    health: str = ""
    exit_code: int | None = None
    networks: Mapping[str, str] = field(default_factory=dict)
    ports: tuple[str, ...] = ()
    volumes: tuple[str, ...] = ()
    restart_policy: str | None = None
    restart_count: int | None = None
    started_at: str = ""
    error: str = ""
    patience: float = 0.0
    adopted: bool = False
    original: Spec | None = None
    found: Spec | None = None
    differs: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class ObservedNetwork:
    """One network, ours or not. `claims`: the subnets and the interface that it holds now; the rest as for
    containers.
    """

    id: str
    name: str
    owned: bool
    digest: str = ""
    claims: tuple[str, ...] = ()
    adopted: bool = False
    found: Spec | None = None


@dataclass(frozen=True, slots=True)
class ObservedVolume:
    """`adopted` and `found` as for containers."""

    name: str
    owned: bool
    digest: str = ""
    adopted: bool = False
    found: Spec | None = None


@dataclass(frozen=True, slots=True)
class Observed:
    """What is really there, read once per pass. `images`: reference -> image id, for references that exist
    locally.

    `image_ids` are all local image ids, `tagged` those with a name. Missing paths are absent from `files`.
    `engine_version` (`20.10.24`) and `engine_api` (the API version spoken to it) are empty when the Engine
    was not asked.
    """

    files: Mapping[str, ObservedFile] = field(default_factory=dict)
    containers: tuple[ObservedContainer, ...] = ()
    networks: Mapping[str, ObservedNetwork] = field(default_factory=dict)
    volumes: Mapping[str, ObservedVolume] = field(default_factory=dict)
    images: Mapping[str, str] = field(default_factory=dict)
    image_ids: frozenset[str] = frozenset()
    tagged: frozenset[str] = frozenset()
    engine_version: str = ""
    engine_api: tuple[int, ...] = ()


# --- owned --------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Owned:
    """One inventory entry: what we own and must be able to delete, in order, when the manifest no longer
    mentions it.

    `original` (files only): what was there before us, as {"content": sha256, "mode", "uid", "gid", "type",
    "target"}. `notified`: for containers, path -> content digest of files whose change it was told of, under
    its container id. `hooked`: the ids of the containers in which all `post_start` commands have run since
    Limpet started them. `attempted`: it came with a release, and none that has it was proved. `adopted`: for
    what Docker holds and has no label of ours, {"id", "digest" that it counts as}, and {"original"}, how it
    was found, until a release that adopts it is proved.
    """

    digest: str
    needs: tuple[str, ...] = ()
    claims: tuple[str, ...] = ()
    app: str = ""
    original: Spec | None = None
    notified: Mapping[str, Json] = field(default_factory=dict)
    completed: str = ""  # one-shots: the digest that ran to success
    hooked: tuple[str, ...] = ()
    adopted: Spec = field(default_factory=dict)
    attempted: bool = False


Inventory = Mapping[Key, Owned]


# --- the plan -----------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Action:
    """One host operation. `cause` says why it is needed; `after` are ids of actions that must be done before
    it.

    `args` hold what the driver needs besides the resource (a container id, a name), `secret` what of it
    nobody may read in a plan, a log or a journal. `corrective`: repairs drift. What is not `required` stops
    nothing when it fails.
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
    """Wanted by the plan, forbidden by policy or by a brake."""

    key: Key
    cause: str
    hint: str = ""


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
    """

    changes: tuple[Change, ...] = ()
    actions: tuple[Action, ...] = ()
    refusals: tuple[Refusal, ...] = ()

    def staged(self, stage: Stage) -> list[Action]:
        return [action for action in self.actions if action.stage == stage]

    def __str__(self) -> str:
        lines: list[str] = []
        actions: dict[Key, list[Action]] = {}
        for action in self.actions:
            actions.setdefault(action.key, []).append(action)
        for change in self.changes:
            late = " (after the gate)" if change.stage == "prune" else ""
            lines.append(f"{change.verb} {change.key}: {change.cause}{late}")
            for action in actions.get(change.key, ()):
                args = " ".join(f"{k}={_short(v)}" for k, v in sorted(action.args.items()))
                after = f" after {','.join(map(str, action.after))}" if action.after else ""
                late = " (after the gate)" if action.stage != change.stage else ""
                may = "" if action.required else " (may fail)"
                lines.append(f"    [{action.id}] {action.verb}{' ' + args if args else ''}{after}{may}{late}")
        for refusal in self.refusals:
            lines.append(f"refused {refusal.key}: {refusal.cause}")
            if refusal.hint:
                lines.append(f"    hint: {refusal.hint}")
        return "\n".join(lines)


def _short(value: Json) -> str:
    text = value if isinstance(value, str) else canonical_json(value)
    return text if len(text) <= 40 else text[:37] + "..."


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one action: done, failed, excused (it failed, and was not required; both with `error`),
    or skipped.
    """

    action: Action
    result: Literal["done", "failed", "excused", "skipped"]
    error: Exception | None = None
    duration_s: float = 0.0
