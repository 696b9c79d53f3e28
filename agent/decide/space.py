"""Whether a plan fits on the disks that it writes to: its bytes, and its inodes where a disk has a number of
them. Pure; sizes in bytes.

Rules:
1. The old content of a path stays until the new content beside it is complete, so both must fit; AT_ONCE
   files are written at a time. Originals are saved with the state; there RESERVE is left besides, for the
   state, the journal, and the way back.
2. The size of an image on the disk is not known before it is there: a pull leaves IMAGE_RESERVE, and is ended
   when it would use that up.
3. A reserve of bytes is never more than a share of its disk, so that small disks can be used too.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from agent.disk import STATE, Disk
from agent.errors import Transient
from agent.kinds import files
from agent.kinds.base import View
from agent.model import Key, Plan
from agent.units import shown_bytes

RESERVE = 16 * 2**20
INODE_RESERVE = 64
IMAGE_RESERVE = 512 * 2**20
SHARE = 20  # a reserve is at most a twentieth of its disk
BLOCK = 4096
AT_ONCE = 4
WRITING = ("write", "restore", "link", "mkdir")


@dataclass(slots=True)
class Shortage:
    """The needs of a plan on one disk.

    grows: bytes by which the disk is fuller afterwards
    inodes: inodes by which the disk is fuller afterwards
    beside: the bytes that each content needs besides while the old one is still there
    keys: the resources that are written
    """

    disk: Disk
    grows: int = 0
    inodes: int = 0
    beside: list[int] = field(default_factory=list)
    keys: list[Key] = field(default_factory=list)

    @property
    def bytes(self) -> int:
        return self.grows + sum(sorted(self.beside)[-AT_ONCE:])

    @property
    def names(self) -> int:
        """How many inodes it takes while it is written."""
        return self.inodes + sum(1 for old in sorted(self.beside)[-AT_ONCE:] if old)

    @property
    def fits(self) -> bool:
        return self.bytes <= self.disk.free and (self.disk.inodes is None or self.names <= self.disk.inodes)

    @property
    def error(self) -> Transient:
        first = self.keys[0] if self.keys else "the state and the way back"
        what = f"{first} and {len(self.keys) - 1} more need" if len(self.keys) > 1 else f"{first} needs"
        wants, has = shown_bytes(self.bytes), shown_bytes(self.disk.free)
        look = f"free space there (df -h {self.disk.at})"
        if self.bytes <= self.disk.free:
            wants, has = f"{self.names} inode{'' if self.names == 1 else 's'}", f"{self.disk.inodes}"
            look = f"remove small files there (df -i {self.disk.at})"
        return Transient(
            f"{what} {wants} on the file system of {self.disk.at}, and {has} are free",
            f"{look}; nothing was changed, and the next pass tries again",
            code="DiskFull",
            resource=str(self.keys[0]) if self.keys else "",
            place=self.disk.at,
        )


def places(plan: Plan) -> list[str]:
    """The paths that are written before the gate."""
    return sorted({action.key.name for action in plan.staged("apply") if action.verb in WRITING})


def lacking(plan: Plan, view: View, disks: Mapping[str, Disk], reserve: int = RESERVE) -> list[Shortage]:
    """The disks on which the plan does not fit. A place whose disk is not known is not judged. `reserve`:
    bytes that must be left with the state.
    """
    state = disks.get(STATE)
    needs = {} if state is None else {state.device: _reserved(state, reserve)}
    for action in plan.staged("apply"):
        disk = disks.get(action.key.name) if action.verb in WRITING else None
        if disk is None:
            continue
        old = _written(action.key, view, needs.setdefault(disk.device, Shortage(disk)))
        if old and state is not None and not files.holders(action.key.name, view.inventory):
            _saved(action.key, old, needs[state.device], disk)
    return [need for need in needs.values() if not need.fits]


def _written(key: Key, view: View, need: Shortage) -> int:
    """Adds a path that is written; returns the bytes of the old content."""
    resource, there = view.target.manifest.resources.get(key), view.observed.files.get(key.name)
    new = blocks(int(resource.spec.get("size", 0)) if resource else 0)
    old = blocks(there.size) if there is not None and there.type == "file" else 0
    need.grows += max(0, new - old)
    need.inodes += there is None
    need.beside.append(min(new, old))
    need.keys.append(key)
    return old


def _saved(key: Key, size: int, state: Shortage, disk: Disk) -> None:
    """Adds an original that is saved with the state. `disk`: the one that it is on."""
    state.grows += size
    state.inodes += 1
    state.keys += [key] if state.disk.device != disk.device else []


def _reserved(state: Disk, reserve: int) -> Shortage:
    return Shortage(state, _reserve(state, reserve), INODE_RESERVE if reserve else 0)


def _reserve(disk: Disk, most: int) -> int:
    return min(most, disk.total // SHARE)


def images_lack(disk: Disk, coming: int = 0) -> Transient | None:
    """The reason why no more images may be pulled when `coming` bytes are on their way; None when there is
    none.
    """
    reserve = _reserve(disk, IMAGE_RESERVE)
    if disk.free - coming >= reserve:
        return None
    more = f", {shown_bytes(coming)} are still to come" if coming else ""
    return Transient(
        f"there is no room for images: {shown_bytes(disk.free)} are free on the file system of "
        f"{disk.at}{more}, and {shown_bytes(reserve)} must be left",
        "free space there: docker system df; df -h; nothing was changed, and the next pass tries again",
        code="DiskFull",
        place=disk.at,
    )


def blocks(size: int) -> int:
    """The bytes that a file of this size takes on a disk: at least one block."""
    return max(BLOCK, -(-size // BLOCK) * BLOCK)
