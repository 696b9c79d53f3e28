"""Files, directories and symbolic links of the host. Pure.

Rules:
1. The original content of a path is saved when it is taken over, and comes back when our resource is removed.
   It belongs to the path, whatever we put there.
2. A path of another type is never overwritten when that could lose data. A directory that is not empty is
   never removed: what is in it, all of it ours and to be removed, goes before.
3. A directory that was made only for something below it (`implied`) stays as long as that needs it, and is
   removed then.
4. A path that becomes another kind is changed by the new resource alone; the old one is only forgotten.
"""

from __future__ import annotations

from dataclasses import replace

from agent.kinds import claims
from agent.kinds.base import Fate, Step, View, digest, ok, refuse
from agent.model import PATH_KINDS, Inventory, Key, Owned, Resource, Spec
from agent.observed import ObservedFile

KINDS = ("directory", "file", "symlink")
RANK = 10
RANK_DIRECTORY = 5
DROPPED = "no longer in the repository"


def _resource(kind: str, path: str, spec: dict[str, object], origin: str) -> Resource:
    return Resource(Key(kind, path), spec, digest(kind, spec), claims=(claims.path(path),), origin=origin)


def file(
    path: str,
    *,
    content: str,
    size: int,
    mode: str = "0644",
    owner: str = "root",
    group: str = "root",
    check: tuple[str, ...] = (),
    app: str = "",
    reader: dict[str, object] | None = None,
    origin: str = "",
) -> Resource:
    """A regular file.

    path: on the host
    content: its SHA-256 in the content store
    size: in bytes
    mode: permission bits as octal text
    owner: a name or a number
    group: a name or a number
    check: a command that must succeed before the file is put in place
    app: the app that it belongs to, empty for a file of the host
    reader: the {"image"} that decides these {"fields"}, and {"what"} the file is for people; in no digest
    origin: `file:line` in the repository, for messages
    """
    made = _resource(
        "file",
        path,
        {
            "path": path,
            "content": content,
            "size": size,
            "mode": mode,
            "owner": owner,
            "group": group,
            "check": list(check),
            "app": app,
        },
        origin,
    )
    return replace(made, spec={**made.spec, "reader": reader}) if reader else made


def absent(path: str, *, origin: str = "") -> Resource:
    """A path at which nothing may be; a file that is there is saved and removed."""
    return _resource("file", path, {"path": path, "state": "absent"}, origin)


def directory(
    path: str, *, mode: str = "0755", owner: str = "root", group: str = "root", origin: str = ""
) -> Resource:
    """A directory.

    path: on the host
    mode: permission bits as octal text
    owner: a name or a number
    group: a name or a number
    origin: `file:line` in the repository, for messages
    """
    return _resource("directory", path, {"path": path, "mode": mode, "owner": owner, "group": group}, origin)


def symlink(path: str, *, target: str, origin: str = "") -> Resource:
    return _resource("symlink", path, {"path": path, "target": target}, origin)


def fate(key: Key, desired: Resource | None, view: View) -> Fate:
    """What becomes of one path."""
    there = view.observed.files.get(key.name)
    if desired is None:
        return _removal(key, there, view)
    if desired.spec.get("state") == "absent":
        return _absence(key, there, view)
    if in_the_way := _in_the_way(key, there, view):
        return refuse(
            key, f"a {in_the_way} is in its place", f"look at {key.name}, then move it away or remove it"
        )
    if there is None:
        return Fate(key, "create", "is missing" if view.corrective(key) else "new", _making(key, there))
    if there.type != key.kind:
        saved = "" if holders(key.name, view.inventory) or there.type == "directory" else ", which is saved"
        return Fate(key, "replace", f"is a {there.type}{saved}", _making(key, there))
    found = _differences(desired.spec, there)
    if not found:
        return ok(key)
    cause = _cause(desired, there, found, view)
    if {"content", "target"} & {*found}:
        return Fate(key, "replace", cause, _making(key, there))
    return Fate(key, "update", cause, (Step("start", "attributes"),))


def is_as(resource: Resource, there: ObservedFile | None) -> bool:
    """Whether a path is as a release wants it: type, content or target, mode, owner and group."""
    return (
        there is not None
        and there.type == resource.key.kind
        and "state" not in resource.spec
        and not _differences(resource.spec, there)
    )


def holders(path: str, inventory: Inventory) -> list[Owned]:
    """The entries of a path, whatever its kind was when it was owned."""
    return [inventory[key] for kind in KINDS if (key := Key(kind, path)) in inventory]


IMPLIED = Owned("")  # the entry of a directory that no manifest names


def parents(path: str) -> list[str]:
    """The directories above a host path, the nearest first, without the root."""
    parts = path.split("/")[1:-1]
    return ["/" + "/".join(parts[:end]) for end in range(len(parts), 0, -1)]


def implied(key: Key, inventory: Inventory) -> bool:
    """Whether a directory was made only for something below it."""
    return key.kind == "directory" and key in inventory and not inventory[key].digest


def needed(view: View) -> set[Key]:
    """The implied directories that are needed by something of the target, or by something of ours that is
    still there.
    """
    resources = view.target.manifest.resources
    ours = {key for key in view.inventory if key not in resources and implied(key, view.inventory)}
    if not ours:
        return set()
    cleared = making_way(view)
    stay = {path for path in _still_there(view) if not cleared.intersection(parents(path))}
    paths = {key.name for key in resources if key.kind in PATH_KINDS} | stay
    sources = _bind_sources(view)
    # Each directory once: a host may have thousands of files.
    above = {path.rpartition("/")[0] for path in paths | sources}
    used = sources.union(above, *map(parents, above))
    return {key for key in ours if key.name in used}


def _still_there(view: View) -> set[str]:
    """The paths of our files and links that are on the host."""
    there = view.observed.files
    return {key.name for key in view.inventory if key.kind in ("file", "symlink") and key.name in there}


def making_way(view: View) -> set[str]:
    """The directories of ours in whose place the target wants something else, or nothing, and in which there
    is only what this release removes.
    """
    wanted = {key.name for key in view.target.manifest.resources if key.kind in ("file", "symlink")}
    files = view.observed.files
    ours = {
        path
        for path in wanted
        if (there := files.get(path)) and there.type == "directory" and _goes(path, view)
    }
    return {
        path for path in ours if all(_goes(other, view) for other in files if other.startswith(f"{path}/"))
    }


def _goes(path: str, view: View) -> bool:
    """Whether what lies at a path is ours, not wanted any more, with nothing to put back in its place and
    nothing foreign in it.
    """
    there = view.observed.files[path]
    owned = view.owned(key := Key(there.type, path))
    stays = key in view.target.manifest.resources or (there.type == "directory" and not there.known)
    return owned is not None and not owned.original and not stays


def _bind_sources(view: View) -> set[str]:
    return {
        mount["source"]
        for resource in view.target.manifest.of_kind("container")
        for mount in resource.spec["config"].get("volumes") or ()
        if mount["type"] == "bind"
    }


def _in_the_way(key: Key, there: ObservedFile | None, view: View) -> str:
    """The type of an object at the path that could be lost or missed; empty when there is none."""
    if key.kind == "directory" and (found := _under_a_directory(key, there, view)):
        return found
    if there is None or there.type not in ("directory", "other") or there.type == key.kind or there.empty:
        return ""
    return "" if key.name in making_way(view) else there.type


def _under_a_directory(key: Key, there: ObservedFile | None, view: View) -> str:
    """A directory replaces only a file or link that we made, and that had no original."""
    owned = holders(key.name, view.inventory)
    originals = [str(entry.original["type"]) for entry in owned if entry.original]
    if originals and originals[0] != "directory":
        return originals[0]
    foreign = there is not None and there.type in ("file", "symlink") and not owned
    return there.type if there is not None and foreign else ""


def _making(key: Key, there: ObservedFile | None) -> tuple[Step, ...]:
    clear: tuple[Step, ...] = ()
    if there is not None and there.type == "directory" and key.kind != "directory":
        clear = (Step("start", "rmdir"),)
    if there is not None and there.type in ("file", "symlink") and key.kind == "directory":
        clear = (Step("start", "remove"),)
    verb = {"file": "write", "directory": "mkdir", "symlink": "link"}[key.kind]
    return (*clear, Step("start", verb))


def _differences(spec: Spec, there: ObservedFile) -> list[str]:
    found = []
    if spec.get("content") and there.content != spec["content"]:
        found.append("content")
    if spec.get("target") and there.target != spec["target"]:
        found.append("target")
    if "mode" in spec and there.mode != int(spec["mode"], 8):
        found.append("mode")
    if "owner" in spec and spec["owner"] not in (there.owner, str(there.uid)):
        found.append("owner")
    if "group" in spec and spec["group"] not in (there.group, str(there.gid)):
        found.append("group")
    return found


def _cause(desired: Resource, there: ObservedFile, found: list[str], view: View) -> str:
    """`found`: the names of the properties that differ."""
    spec, edited = desired.spec, view.corrective(desired.key)
    present = {"mode": f"{there.mode:04o}", "owner": there.owner, "group": there.group}
    words = []
    for name in found:
        if name in present:
            words.append(f"{name} is {present[name]}, want {spec[name]}")
        else:
            words.append(f"{name} was edited on the host" if edited else f"{name} changed")
    if not holders(desired.key.name, view.inventory):
        words.append("the file that was there is saved")
    return ", ".join(words)


def _absence(key: Key, there: ObservedFile | None, view: View) -> Fate:
    if there is None:
        return ok(key)
    if key.name in making_way(view):
        return Fate(key, "delete", "must be absent", (Step("start", "rmdir"),))
    if there.type not in ("file", "symlink"):
        return refuse(key, f"must be absent, but is a {there.type}", f"remove it by hand: {key.name}")
    saved = "" if holders(key.name, view.inventory) else "; the file that is there is saved"
    cause = "is back" if view.corrective(key) else f"must be absent{saved}"
    return Fate(key, "delete", cause, (Step("start", "remove"),))


def _removal(key: Key, there: ObservedFile | None, view: View) -> Fate:
    owned = view.owned(key)
    if owned is None:
        return ok(key)
    if successor := _successor(key, view):
        if there is not None and there.type == key.kind:
            return Fate(key, "keep", f"makes way for a {successor.key.kind}")
        return Fate(key, "forget", f"is a {successor.key.kind} now")
    if owned.original:
        return _restoration(key, there, owned.original)
    if there is None:
        return Fate(key, "forget", "is gone")
    if there.type != key.kind:
        return Fate(key, "forget", f"is a {there.type} now, which is not ours")
    if key.kind == "directory" and not there.empty and not making_way(view).intersection(parents(key.name)):
        return Fate(key, "forget", f"{DROPPED}; it is not empty and stays")
    return Fate(key, "delete", DROPPED, (Step("prune", "rmdir" if key.kind == "directory" else "remove"),))


def _successor(key: Key, view: View) -> Resource | None:
    """The resource of another kind that takes the path over."""
    resources = view.target.manifest.resources
    wanted = (resources.get(Key(kind, key.name)) for kind in KINDS)
    return next(
        (resource for resource in wanted if resource and fate(resource.key, resource, view).verb != "refuse"),
        None,
    )


def _restoration(key: Key, there: ObservedFile | None, original: Spec) -> Fate:
    """The fate of a path whose original comes back, unless it is there already or something that is not ours
    took its place.
    """
    if original["type"] == "directory":
        return Fate(key, "forget", f"{DROPPED}; the directory was there before and stays")
    if there is not None and _is_original(there, original):
        return Fate(key, "forget", "is as it was before")
    if there is not None and there.type not in ("file", "symlink"):
        return Fate(key, "forget", f"is a {there.type} now, which is not ours")
    return Fate(
        key,
        "delete",
        f"{DROPPED}; the original comes back",
        (Step("prune", "restore", {"original": original}),),
    )


def _is_original(there: ObservedFile, original: Spec) -> bool:
    if there.type == "symlink":
        return (there.type, there.target) == (original["type"], original.get("target"))
    now = (there.type, there.content, there.mode, there.uid, there.gid)
    return now == (
        original["type"],
        original.get("content"),
        original.get("mode"),
        original.get("uid"),
        original.get("gid"),
    )
