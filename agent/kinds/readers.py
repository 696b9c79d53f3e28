"""Configs and secrets that belong to the user of a container, where only its image says who that is. Pure.

Rules:
1. When neither the use of a file nor the service says an owner, the file belongs to the USER of the image, as
   far as that is a number: the user and the group each. Names are known only inside the image: there the
   file is root's, and a caution says so if its mode keeps others from reading it.
2. The image is the one to which the release has resolved the reference. So a release gives a file one owner,
   a new image may give it another, and the way back gives the old one. No digest covers it: the image is part
   of the release already.
3. While the image is not on the host, nobody knows: an owner that is there is neither right nor wrong.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace

from agent.kinds.base import Target, View
from agent.model import Caution, Manifest, Resource, Spec
from agent.observed import Observed

HINT = (
    'add uid: "NUMBER" of the user that reads it (docker run --rm --entrypoint id IMAGE shows it), or '
    'uid: "0" if that is root'
)
ROOT = ("", "0", "root")


def numbers(user: str) -> dict[str, str]:
    """The `uid` and `gid` of `USER[:GROUP]`, where they are numbers other than root's."""
    uid, _, gid = user.partition(":")
    found = {"uid": uid, "gid": gid}
    return {key: value.lstrip("0") for key, value in found.items() if is_number(value) and value.strip("0")}


def is_number(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) <= 10


def may_not_read(user: str, mode: int, *, group: bool) -> bool:
    """Whether a file of root's may be one that the user cannot read, because it has a name. `group`: whether
    the file has a group of its own.
    """
    name = user.partition(":")[0]
    return not (mode & 0o004 or (group and mode & 0o040) or name in ROOT or is_number(name))


def asked(target: Target) -> set[str]:
    """The references and ids of the images whose USER must be known for a release."""
    references = {resource.spec["reader"]["image"] for resource in _read(target.manifest)}
    return references | {target.lock[reference] for reference in references if reference in target.lock}


def unseen(target: Target, observed: Observed) -> bool:
    """Whether an image is there that has not been asked for its USER."""
    ids = asked(target).intersection(observed.image_ids)
    return not ids <= observed.users.keys()


def with_owners(target: Target, observed: Observed) -> Target:
    """The release with the owners that its images say. Its digests are as before."""
    found = {resource.key: _owned(resource, target, observed) for resource in _read(target.manifest)}
    if not found:
        return target
    manifest = target.manifest
    return replace(target, manifest=replace(manifest, resources={**manifest.resources, **found}))


def locked_out(view: View) -> Iterable[Caution]:
    """The files that the user of their container may not be able to read."""
    for resource in _read(view.target.manifest):
        spec, reader = resource.spec, resource.spec["reader"]
        user = view.observed.users.get(view.target.lock.get(reader["image"], ""), "")
        own_group, mode = spec["group"] != "root", int(spec["mode"], 8)
        if "owner" in reader["fields"] and may_not_read(user, mode, group=own_group):
            cause = f"{reader['what']} is readable only for root, and image {reader['image']} runs as {user}"
            yield Caution(resource.key, f"{cause} ({resource.origin})", HINT)


def _read(manifest: Manifest) -> list[Resource]:
    return [resource for resource in manifest.resources.values() if resource.spec.get("reader")]


def _owned(resource: Resource, target: Target, observed: Observed) -> Resource:
    reader, there = resource.spec["reader"], observed.files.get(resource.spec["path"])
    user = observed.users.get(target.lock.get(reader["image"], ""))
    says: Mapping[str, str] = {}
    if user is not None:
        says = {"owner": numbers(user).get("uid", "root"), "group": numbers(user).get("gid", "root")}
    elif there is not None:
        says = {"owner": str(there.uid), "group": str(there.gid)}
    owner: Spec = {field: says[field] for field in reader["fields"] if field in says}
    return replace(resource, spec={**resource.spec, **owner})
