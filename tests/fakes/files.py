"""The file system of the fake host: paths in a dictionary. Parents appear with what is written below them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import Any

from agent.errors import Failed, Stalled, Transient
from agent.model import Action, Resource, Spec, sha256
from agent.observed import ObservedFile

HINT = "do as the message says"
USERS = {"root": 0, "daemon": 1}


@dataclass
class MemoryContent:
    """A content store in memory."""

    blobs: dict[str, bytes] = field(default_factory=dict)

    def put(self, data: bytes) -> str:
        self.blobs[sha256(data)] = data
        return sha256(data)

    def get(self, digest: str) -> bytes:
        try:
            return self.blobs[digest]
        except KeyError:
            raise Stalled(f"content {digest[:12]} is not in the store", HINT, code="ContentMissing") from None

    def has(self, digest: str) -> bool:
        return digest in self.blobs


class FakeFiles:
    """Path -> what lies there. `content` holds the bytes of what lies there, `store` (default: the same) is
    the agent's. `full`: no space is left.
    """

    def __init__(self, content: MemoryContent, store: Any = None) -> None:
        self.content, self.store = content, store or content
        self.there: dict[str, ObservedFile] = {}
        self.full = False

    def put(self, path: str, data: bytes, mode: int = 0o644) -> None:
        """Somebody writes a file by hand."""
        self._put(
            path,
            ObservedFile("file", mode, 0, 0, "root", "root", content=self.content.put(data), size=len(data)),
        )

    def put_link(self, path: str, target: str) -> None:
        self._put(path, ObservedFile("symlink", 0o777, 0, 0, "root", "root", target=target))

    def make_directory(self, path: str, mode: int = 0o755) -> None:
        self._put(path, ObservedFile("directory", mode, 0, 0, "root", "root"))

    def read(self, path: str) -> bytes | None:
        there = self.there.get(path)
        return self.content.get(there.content) if there and there.type == "file" else None

    def observe(self, paths: Iterable[str]) -> dict[str, ObservedFile]:
        looked_at = set(paths)
        found = {path: self.there[path] for path in looked_at if path in self.there}
        inside = {path: set[str]() for path, there in found.items() if there.type == "directory"}
        for path in self.there:
            if (parent := path.rpartition("/")[0]) in inside:
                inside[parent].add(path)
        return {
            path: replace(there, empty=not inside[path], known=inside[path] <= looked_at)
            if path in inside
            else there
            for path, there in found.items()
        }

    def execute(self, action: Action, resource: Resource | None) -> None:
        path = action.key.name
        match action.verb:
            case "write":
                spec = _spec(resource)
                data = self.store.get(spec["content"])
                self.content.put(data)
                self._check_place(path)
                self._put(path, replace(_owned(spec, "file"), content=spec["content"], size=len(data)))
            case "mkdir":
                self._check_place(path, directory=True)
                self._put(path, _owned(_spec(resource), "directory"))
            case "attributes":
                there = self.there.get(path)
                if there is None:
                    raise Transient(f"{path} is not there", HINT, code="Missing")
                wanted = _owned(_spec(resource), there.type)
                self.there[path] = replace(
                    wanted, content=there.content, target=there.target, size=there.size
                )
            case "link":
                self._check_place(path)
                self.put_link(path, _spec(resource)["target"])
            case "remove":
                self._remove(path)
            case "rmdir":
                self._rmdir(path)
            case "restore":
                self._restore(path, action.args["original"])
            case _:
                raise AssertionError(f"no such verb: {action.verb}")

    def save_original(self, path: str) -> Spec:
        there = self.there.get(path)
        if there is None:
            return {"type": "absent"}
        saved = {"type": there.type, "mode": there.mode, "uid": there.uid, "gid": there.gid}
        if there.type == "symlink":
            return saved | {"target": there.target}
        return saved | (
            {"content": self.store.put(self.content.get(there.content))} if there.type == "file" else {}
        )

    def _restore(self, path: str, original: Spec) -> None:
        names = {number: name for name, number in USERS.items()}
        owner, group = names.get(original.get("uid", 0), ""), names.get(original.get("gid", 0), "")
        if original["type"] == "absent":
            self._remove(path)
        elif original["type"] == "symlink":
            self.put_link(path, original["target"])
        else:
            if original.get("content"):
                self.content.put(self.store.get(original["content"]))
            self._put(
                path,
                ObservedFile(
                    original["type"],
                    original["mode"],
                    original["uid"],
                    original["gid"],
                    owner,
                    group,
                    content=original.get("content", ""),
                    size=len(self.content.get(original["content"])) if original.get("content") else 0,
                ),
            )

    def _remove(self, path: str) -> None:
        there = self.there.get(path)
        if there is not None and there.type == "directory":
            raise Stalled(f"{path}: a directory is in its place", HINT, code="Blocked")
        self.there.pop(path, None)

    def _rmdir(self, path: str) -> None:
        there = self.there.get(path)
        if there is not None and there.type != "directory":
            raise Stalled(f"{path}: something above it is not a directory", HINT, code="Blocked")
        if self._below(path):
            raise Transient(f"{path}: the directory is not empty", HINT, code="NotEmpty")
        self.there.pop(path, None)

    def _check_place(self, path: str, *, directory: bool = False) -> None:
        there = self.there.get(path)
        if there is not None and (there.type == "directory") != directory:
            raise Stalled(f"{path}: a {there.type} is in its place", HINT, code="Blocked")

    def _put(self, path: str, file: ObservedFile) -> None:
        if self.full:
            raise Transient(f"{path}: no space left on device", "free space", code="DiskFull")
        parent = path.rpartition("/")[0]
        if parent:
            above = self.there.get(parent)
            if above is None:
                self.make_directory(parent)
            elif above.type not in ("directory", "symlink"):
                raise Stalled(f"{path}: something above it is not a directory", HINT, code="Blocked")
        self.there[path] = file

    def _below(self, path: str) -> bool:
        return any(other.startswith(f"{path}/") for other in self.there)


def _spec(resource: Resource | None) -> Spec:
    assert resource is not None
    return resource.spec


def _owned(spec: Spec, kind: str) -> ObservedFile:
    ids = []
    for name in (spec["owner"], spec["group"]):
        if not str(name).isdigit() and name not in USERS:
            raise Failed(
                f"{spec['path']}: the user {name} does not exist on this host",
                "create it",
                code="UnknownOwner",
            )
        ids.append(USERS.get(name, 0) if not str(name).isdigit() else int(name))
    return ObservedFile(kind, int(spec["mode"], 8), ids[0], ids[1], str(spec["owner"]), str(spec["group"]))
