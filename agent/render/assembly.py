"""Collects the resources, file contents and problems of one rendering, and checks resources against each
other.
"""

from __future__ import annotations

import posixpath
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from agent.kinds import claims
from agent.kinds.container import container_resource
from agent.model import PATH_KINDS, Key, Need, Resource, sha256
from agent.render.layerfile import LayerFiles
from agent.render.layers import Overlay, OverlayFile
from agent.render.problems import Problems
from agent.render.tree import MAX_FILE

HINTS = {
    "port": "in one of them, publish another port, or on another address of the host",
    "name": "give one of them another container_name, or let Compose name it",
    "address": "give one of them another address, or none",
    "path": "keep one of the two",
    "subnet": "give one of them another subnet under `ipam`",
    "bridge": "give one of them another com.docker.network.bridge.name",
}


Position = tuple[str, int]  # a file and a line
ChangeEffect = tuple[str, Position]  # `signal:HUP`, `restart` or `recreate`, and where that is written


@dataclass(frozen=True, slots=True)
class RenderContext:
    """The inputs of a rendering besides the tree. `path` is `source.path`; `root` is only informational.
    `max_file`: the bytes that one file of the tree may have.
    """

    host: str
    labels: Mapping[str, str] = field(default_factory=dict)
    facts: Mapping[str, Any] = field(default_factory=dict)
    root: str = "/"
    repo_name: str = ""
    strict: bool = False
    path: str = ""
    max_file: int = MAX_FILE


@dataclass(frozen=True, slots=True)
class Draft:
    """A container whose digest is not known yet. `arguments` are those of its constructor. It is re-created
    whenever a resource in `folded` is.

    Keys in `folded` that this host does not have are ignored, because a namespace may belong to a foreign
    container. `stated` has further digests whose change re-creates the container.
    """

    arguments: Mapping[str, Any]
    folded: frozenset[Key]
    needs: Mapping[Key, Need]
    origin: str
    stated: Mapping[str, str] = field(default_factory=dict)


@dataclass(slots=True)
class Reaction:
    """The reaction of one service to changed host files. Those in `folded` re-create it; those in `changes`,
    by path, signal or restart it.
    """

    folded: set[Key] = field(default_factory=set)
    changes: dict[str, ChangeEffect] = field(default_factory=dict)
    places: list[Position] = field(default_factory=list)


@dataclass(slots=True)
class Assembly:
    """The state of one rendering. `loaded`: whether the Compose files of all apps could be read."""

    context: RenderContext
    overlay: Overlay
    settings: LayerFiles
    problems: Problems
    resources: dict[Key, Resource] = field(default_factory=dict)
    content: dict[str, bytes] = field(default_factory=dict)
    reactions: dict[tuple[str, str], Reaction] = field(default_factory=dict)
    drafts: dict[Key, Draft] = field(default_factory=dict)
    loaded: bool = False

    def keep(self, data: bytes) -> str:
        """Stores the content of a file, and returns its digest."""
        digest = sha256(data)
        self.content[digest] = data
        return digest

    def mode(self, source: OverlayFile) -> str:
        """The mode recorded in Git: 0755 for an executable file, else 0644."""
        return f"{self.overlay.tree.mode(source.path):04o}"

    def add(self, resource: Resource) -> Resource:
        """Adds a resource. A second one with the same key is a problem, unless both are the same network or
        volume.
        """
        known = self.resources.get(resource.key)
        if known is None:
            self.resources[resource.key] = resource
        elif resource.key.kind in ("network", "volume"):
            return self._shared(known, resource)
        else:
            claim = claims.path(resource.key.name)
            self._clash((known.key, known.origin), (resource.key, resource.origin), claim)
        return self.resources[resource.key]

    def draft(self, key: Key, draft: Draft) -> None:
        """Adds a container. A second one with the same name is a problem."""
        known = self.drafts.setdefault(key, draft)
        if known is not draft:
            self._clash((key, known.origin), (key, draft.origin), claims.name(key.name))

    def finish_containers(self) -> None:
        """Creates the resources of all containers. Those that others are re-created with come first, across
        apps.
        """
        for key in sorted(self.drafts):
            self._finish(key, ())

    def _finish(self, key: Key, above: tuple[Key, ...]) -> str:
        """Creates the resource of a container, and returns its digest. `above`: the containers that
        need it.
        """
        if key in self.resources:
            return self.resources[key].digest
        draft = self.drafts[key]
        folded, needs = dict(draft.stated), dict(draft.needs)
        for other in sorted(draft.folded):
            if other in (*above, key):
                file, line = place(draft.origin)
                self.problems.add(
                    file, line, f"{key} and {other} are each re-created when the other is", "break the circle"
                )
            elif other in self.drafts:
                folded[str(other)] = self._finish(other, (*above, key))
                needs.setdefault(other, Need(other, "started"))
            elif other in self.resources:
                folded[str(other)] = self.resources[other].digest
        made = container_resource(
            key.name,
            **draft.arguments,
            folded=folded,
            needs=tuple(needs[other] for other in sorted(needs)),
            origin=draft.origin,
        )
        self.resources[key] = made
        return made.digest

    def _shared(self, known: Resource, resource: Resource) -> Resource:
        """Handles a network or volume that two apps name. One may define it; the others must refer to it as
        external.
        """
        if known.spec["external"] and not resource.spec["external"]:
            self.resources[resource.key] = resource
        elif known.digest != resource.digest and not resource.spec["external"]:
            file, line = place(resource.origin)
            self.problems.add(
                file,
                line,
                f"{resource.key} is also defined, differently, at {known.origin}",
                "define it once, and refer to it with `external: true` elsewhere",
            )
        return self.resources[resource.key]

    def _clash(self, one: tuple[Key, str], other: tuple[Key, str], claim: str) -> None:
        """Reports two resources, each with its origin, that claim the same thing."""
        file, line = place(other[1])
        self.problems.add(
            file,
            line,
            f"{describe_claim(claim)} is claimed by {other[0]} here and by {one[0]} at {one[1]}",
            HINTS.get(claim.partition("/")[0], "keep one of the two"),
        )

    def check_claims(self) -> None:
        """Reports claims that more than one resource holds."""
        held: dict[tuple[str, ...], list[tuple[str, Resource]]] = {}
        for key in sorted(self.resources):
            resource = self.resources[key]
            for claim in resource.claims:
                group = _group(claim)
                for other_claim, other in held.setdefault(group, []):
                    if other is not resource and claims.clash(claim, other_claim):
                        one, two = sorted((other, resource), key=lambda r: (place(r.origin), r.key))
                        self._clash((one.key, one.origin), (two.key, two.origin), claim)
                held[group].append((claim, resource))
        self._check_parents()

    def _check_parents(self) -> None:
        """Reports paths that are a file and also the directory of another file."""
        solid = {
            key.name: resource for key, resource in self.resources.items() if key.kind in ("file", "symlink")
        }
        for key, resource in sorted(self.resources.items()):
            if key.kind not in PATH_KINDS or resource.spec.get("state") == "absent":
                continue
            above = posixpath.dirname(key.name)
            while above not in ("/", ""):
                if above in solid:
                    file, line = place(resource.origin)
                    self.problems.add(
                        file,
                        line,
                        f"{key.name} is below {above}, which is not a directory at {solid[above].origin}",
                        "remove or rename one of the two",
                    )
                above = posixpath.dirname(above)


def origin(file: str, line: int) -> str:
    """The file and line of a resource as one text."""
    return f"{file}:{line}" if line else file


def place(origin: str) -> tuple[str, int]:
    """The file and line of an origin."""
    file, _, line = origin.rpartition(":")
    return (file, int(line)) if line.isdigit() else (origin, 0)


def _group(claim: str) -> tuple[str, ...]:
    """The group of a claim. Only claims of the same group can clash."""
    kind, *parts = claim.split("/")
    if kind == "port":
        return (kind, parts[0], parts[-1])
    return (kind,) if kind == "subnet" else (claim,)


def describe_claim(claim: str) -> str:
    """A claim in words."""
    kind, _, rest = claim.partition("/")
    if kind == "port":
        protocol, address, number = rest.split("/")
        return f"host port {number}/{protocol}" + ("" if address in claims.WILDCARDS else f" on {address}")
    words = {
        "name": f"the container name {rest}",
        "path": f"the path /{rest}",
        "subnet": f"the subnet {rest}",
        "bridge": f"the interface {rest}",
    }
    if kind == "address":
        network, _, ip = rest.rpartition("/")
        return f"the address {ip} in the network {network}"
    return words.get(kind, claim)
