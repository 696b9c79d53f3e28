"""Renders host files: the files below `files/` in the layers, and the paths in `files:` of `layer.yaml`.

Rules:
1. `files/etc/x` is `/etc/x` on the host; `.j2` files are rendered, without the suffix. A later layer
   overrides an earlier one.
2. The mode is the one in `layer.yaml`, else 0755 for files that are executable in Git, else 0644.
3. `state: absent` and a file for the same path cannot both be in one layer; otherwise the later layer counts.
"""

from __future__ import annotations

from agent.kinds import files as kind
from agent.model import Resource
from agent.render.assembly import Assembly, Reaction
from agent.render.layerfile import OWN_PATHS, Attributes, Pattern
from agent.render.layers import SUFFIX, OverlayFile
from agent.render.problems import Wrong
from agent.render.schema import host_path

FILES = "files"
STRENGTH = ("signal", "restart", "recreate")


def host_files(work: Assembly) -> None:
    """Adds the host's files, directories, links and absent paths, and records the services that react to
    them.
    """
    sources = _sources(work)
    for path in sorted(sources):
        with work.problems.collect():
            _file(work, path, sources[path])
    exact: dict[str, Pattern] = {}
    for pattern in sorted(work.settings.exact(), key=lambda p: p.layer):
        exact[pattern.text] = pattern
    for path, pattern in sorted(exact.items()):
        if path not in sources:
            _without_source(work, path, pattern)


def _sources(work: Assembly) -> dict[str, OverlayFile]:
    """Host path -> the file in the repository that it is rendered from."""
    found: dict[str, OverlayFile] = {}
    for path in work.overlay.files(FILES):
        stem = path.removesuffix(SUFFIX)
        with work.problems.collect():
            source = work.overlay.named(stem)
            target = host_path(stem.removeprefix(FILES))
            if source is not None and target is not None and target != "/":
                found[target] = source
    return found


def _file(work: Assembly, path: str, source: OverlayFile) -> None:
    if OWN_PATHS.match(path):
        raise Wrong(source.path, 0, f"{path} is Limpet's own directory", "move the file to another path")
    attributes = work.settings.attributes(path)
    if attributes.state == "absent" or attributes.type != "file":
        word = "state" if attributes.state == "absent" else "type"
        if attributes.layer > source.layer:
            _path(work, path, attributes, word)
            return
        if attributes.layer == source.layer:
            at = attributes.places[word]
            value = attributes.state if word == "state" else attributes.type
            work.problems.add(
                at.file,
                at.line,
                f"{path} has {word}: {value} here, but {source.path} makes it a file",
                "remove one of the two",
            )
            return
    data = work.overlay.content(source)
    resource = work.add(
        kind.file(
            path,
            content=work.keep(data),
            size=len(data),
            mode=attributes.mode or work.mode(source),
            owner=attributes.owner or "root",
            group=attributes.group or "root",
            check=attributes.check,
            origin=f"{source.path}:1",
        )
    )
    _react(work, resource, attributes)


def _without_source(work: Assembly, path: str, pattern: Pattern) -> None:
    """Adds a path that only `layer.yaml` names: a directory, a link or an absent path. Anything else is a
    warning.
    """
    attributes = work.settings.attributes(path)
    if attributes.state == "absent":
        _path(work, path, attributes, "state")
    elif attributes.type != "file":
        _path(work, path, attributes, "type")
    else:
        work.problems.warn(
            pattern.place.file,
            pattern.place.line,
            f"files: no layer has a file for {path}",
            f"add files{path}, or set type: directory, type: symlink or state: absent",
        )


def _path(work: Assembly, path: str, attributes: Attributes, word: str) -> None:
    at = attributes.places[word]
    origin = f"{at.file}:{at.line}"
    if attributes.state == "absent":
        resource = kind.absent(path, origin=origin)
    elif attributes.type == "symlink":
        resource = kind.symlink(path, target=attributes.target, origin=origin)
    else:
        resource = kind.directory(
            path,
            mode=attributes.mode or "0755",
            owner=attributes.owner or "root",
            group=attributes.group or "root",
            origin=origin,
        )
    _react(work, work.add(resource), attributes)


def _react(work: Assembly, resource: Resource, attributes: Attributes) -> None:
    """Records the services that are re-created, restarted or signalled when this path changes. The strongest
    reaction counts.
    """
    for change in sorted(
        attributes.on_change, key=lambda change: STRENGTH.index(change.reaction.partition(":")[0])
    ):
        reaction = work.reactions.setdefault((change.app, change.service), Reaction())
        at = (change.place.file, change.place.line)
        reaction.places.append(at)
        if change.reaction == "recreate":
            reaction.folded.add(resource.key)
            reaction.changes.pop(resource.key.name, None)
        else:
            reaction.changes[resource.key.name] = (change.reaction, at)
