"""Data that a release leaves behind because an app got another name: what comes begins empty. Pure.

Rules:
1. Data is a volume, known by its key in the Compose file; a directory below the app's own that Git does not
   track, by its relative path; and the unnamed volumes of a container, by its service and number.
2. It begins empty when it comes with an app, and no release that was applied or proved has it. It is left
   behind when this release does not have it any more, and it is on the host. When both are known by the same
   word, the new one may be meant to go on with the old one: that is a caution, which stops nothing.
3. Nothing begins empty that has a name of its own (`name:`, `external`, an absolute path, a device): it is
   the same thing before and after.
4. When all of one app goes and one new app comes, the old name goes on with everything. Else each volume
   needs the old one's name.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from agent.kinds.base import Target, View
from agent.kinds.engine.labels import key_of
from agent.kinds.files import parents
from agent.model import PATH_KINDS, Caution, Manifest, Resource

OWN = "/.limpet/"  # in an app's directory: what Limpet places there


@dataclass(frozen=True, slots=True)
class Data:
    """What an app keeps. `word` is the same before and after a change of the app's name; `shown` says which
    it is on the host; `at` is the resource that has it.
    """

    word: str
    app: str
    shown: str
    at: Resource


@dataclass(frozen=True, slots=True)
class _Pair:
    """Something that begins empty, and what of the same word is left behind."""

    new: Data
    old: Data


def begun_empty(view: View) -> tuple[Caution, ...]:
    """What a person should know before the release is brought in."""
    gone = _left(view)
    if not gone:
        return ()
    pairs = [
        _Pair(new, old)
        for new in _begun(view)
        for old in gone
        if new.word == old.word and new.app != old.app and _place(new) != _place(old)
    ]
    apps = sorted({(pair.new.app, pair.old.app) for pair in pairs})
    found = [_caution([p for p in pairs if (p.new.app, p.old.app) == each], apps, view) for each in apps]
    return tuple(sorted(found, key=lambda caution: caution.key))


def _caution(pairs: list[_Pair], apps: list[tuple[str, str]], view: View) -> Caution:
    """One for two apps. `apps`: all pairs of apps that have something of the same word."""
    new, old = pairs[0].new, pairs[0].old
    left = ", ".join(f"{pair.old.shown} (now {pair.new.shown})" for pair in pairs)
    cause = f"{new.app} begins empty, and the data of {old.app} is left behind: {left}"
    renamed = _is_new(new.app, view) and old.app not in _apps(view.target.manifest)
    if renamed and sum(new.app == one or old.app == other for one, other in apps) == 1:
        return Caution(new.at.key, cause, _same_name(new, old))
    return Caution(new.at.key, cause, "; ".join(_same_data(pair) for pair in pairs))


def _same_name(new: Data, old: Data) -> str:
    file = str((new.at.spec.get("compose") or {}).get("named_in") or new.at.origin.rpartition(":")[0])
    if file.endswith(".env"):
        return f"to go on with it, write COMPOSE_PROJECT_NAME={old.app} in {file}"
    return f"to go on with it, write `name: {old.app}` at the top of {file}"


def _same_data(pair: _Pair) -> str:
    new, old = pair.new, pair.old
    if new.at.key.kind == "volume":
        key, file = new.word.partition("/")[2], new.at.origin.rpartition(":")[0]
        return f"to go on with it, write `name: {old.at.key.name}` under volumes.{key} in {file}"
    return f"to go on with it, copy it from {old.shown} to {new.shown} while {new.app} is stopped"


# --- what begins, and what is left --------------------------------------------------------------------------


def _begun(view: View) -> list[Data]:
    """The data that begins empty with this release."""
    known = [data.shown for held in (view.known_good, view.applied) for data in _of(held.manifest)]
    return [
        data
        for data in (*_of(view.target.manifest), *_unnamed_to_be(view))
        if data.shown not in known and not _is_there(data, view)
    ]


def _is_there(data: Data, view: View) -> bool:
    """Whether it was on the host before any release brought it."""
    if data.word.startswith("path/"):
        return data.shown not in view.observed.bare
    owned = view.owned(data.at.key)
    attempted = owned is not None and owned.attempted
    return data.at.key.kind == "volume" and data.at.key.name in view.observed.volumes and not attempted


def _left(view: View) -> list[Data]:
    """The data on the host that goes with this release."""
    if not _changes(view):
        return []
    wanted = {data.shown for data in _of(view.target.manifest)}
    found: dict[str, Data] = {}
    for held in (view.known_good, view.applied):
        for data in (*_of(held.manifest), *_unnamed(held, view)):
            volume = data.at.key.kind == "volume"
            if data.shown not in wanted and (not volume or data.at.key.name in view.observed.volumes):
                found.setdefault(data.shown, data)
    return list(found.values())


def _changes(view: View) -> bool:
    """Whether this release drops or changes a container or volume at all."""
    wanted = view.target.manifest.resources
    return any(
        key not in wanted or wanted[key].digest != resource.digest
        for held in (view.known_good, view.applied)
        for key, resource in held.manifest.resources.items()
        if key.kind in ("container", "volume")
    )


def _of(manifest: Manifest) -> Iterator[Data]:
    """Volumes and directories of data of all apps."""
    for resource in manifest.of_kind("volume"):
        if not resource.spec["external"]:
            app, name = str(resource.spec["app"]), resource.key.name
            yield Data(f"volume/{key_of(resource)}", app, f"volume {name}", resource)
    yield from _paths(manifest)


def data_paths(manifest: Manifest) -> set[str]:
    """The host paths below the directories of apps at which their data lies."""
    return {data.shown for data in _paths(manifest)}


def _paths(manifest: Manifest) -> list[Data]:
    mounted = [data for resource in manifest.of_kind("container") for data in _below_home(resource)]
    tracked = _tracked(manifest) if mounted else set()
    return [data for data in mounted if data.shown not in tracked]


def _below_home(resource: Resource) -> Iterator[Data]:
    """What a container mounts from below the directory of its app."""
    home = str((resource.spec.get("compose") or {}).get("working_dir") or "/dev/null")
    for mount in resource.spec["config"].get("volumes") or ():
        path = str(mount.get("source") or "")
        if mount["type"] == "bind" and path.startswith(f"{home}/") and OWN not in path:
            yield Data(f"path/{path.removeprefix(home)}", str(resource.spec["app"]), path, resource)


def _tracked(manifest: Manifest) -> set[str]:
    """The paths that Git tracks, and all directories above them."""
    paths = {key.name for key in manifest.resources if key.kind in PATH_KINDS}
    directories = {path.rpartition("/")[0] for path in paths}
    return paths.union(directories, *map(parents, directories))


def _unnamed(held: Target, view: View) -> Iterator[Data]:
    """The unnamed volumes of the containers of a release that this one does not have any more."""
    for resource in _services(held.manifest):
        if resource.key in view.target.manifest.resources:
            continue
        mounts = resource.spec["config"].get("volumes") or ()
        named = {str(mount.get("source")) for mount in mounts}
        there = {name for instance in view.containers(resource.key.name) for name in instance.volumes}
        if there - named:
            yield _unnamed_of(resource)


def _unnamed_to_be(view: View) -> Iterator[Data]:
    """The containers that come anew, as the ones that may have unnamed volumes."""
    for resource in _services(view.target.manifest):
        if _is_new(str(resource.spec["app"]), view) and not view.containers(resource.key.name):
            yield _unnamed_of(resource)


def _services(manifest: Manifest) -> list[Resource]:
    return [resource for resource in manifest.of_kind("container") if not resource.spec.get("oneoff")]


def _unnamed_of(resource: Resource) -> Data:
    spec = resource.spec
    word = f"unnamed/{spec['service']}/{spec['number']}"
    return Data(word, str(spec["app"]), f"the unnamed volumes of {resource.key.name}", resource)


# --- apps ---------------------------------------------------------------------------------------------------


def _apps(manifest: Manifest) -> set[str]:
    return {str(resource.spec["app"]) for resource in manifest.of_kind("container")}


def _is_new(app: str, view: View) -> bool:
    return app not in _apps(view.known_good.manifest)


def _place(data: Data) -> str:
    """Where the data of a volume really is."""
    options = data.at.spec["config"].get("driver_opts") or {} if data.at.key.kind == "volume" else {}
    return str(options.get("device") or data.shown)
