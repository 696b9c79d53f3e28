"""Disk space is looked at before anything is touched: what does not fit waits, and everything else goes
on.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from agent.decide.plan import plan
from agent.decide.space import IMAGE_RESERVE, RESERVE, lacking, places
from agent.disk import IMAGES, STATE, Disk
from agent.drivers.disks import disk_at
from agent.kinds import files
from agent.model import Action, Resource
from tests.fakes.passes import Passes, service
from tests.plan.cases import view

MIB = 2**20
LARGE = 2**40
ETC, SRV = "/etc/app.conf", "/srv/data"


def of(device: int, free: int, total: int = LARGE) -> Disk:
    return Disk(device, free, total, f"/disk{device}")


@pytest.fixture
def passes(tmp_path: Path) -> Passes:
    """A service and two files, known good; the state, each of the files and the images have a disk of their
    own.
    """
    found = Passes(tmp_path)
    found.host.add_image("shop/web:1", "web")
    found.host.space = {STATE: of(1, LARGE), ETC: of(2, LARGE), SRV: of(3, LARGE), IMAGES: of(4, LARGE)}
    push(found)
    assert found.run().exit_code == 0
    return found


def push(
    passes: Passes, *more: Resource, etc: bytes = b"etc", srv: bytes = b"srv", image: str = "shop/web:1"
) -> None:
    put = passes.host.content.put
    contents = [
        files.file(path, content=put(data), size=len(data)) for path, data in ((ETC, etc), (SRV, srv))
    ]
    passes.branch.push(service(image), *contents, *more)


def free(passes: Passes, place: str, bytes: int) -> None:
    passes.host.space[place] = replace(passes.host.space[place], free=bytes)


def pressed(passes: Passes) -> dict[str, Any]:
    """The error of the last pass, which the heartbeat calls by its name."""
    told = passes.heartbeat()
    condition = next(c for c in told["conditions"] if c["type"] == "DiskPressure")
    assert (condition["status"], condition["reason"], condition["message"]) == (
        "True",
        "DiskFull",
        told["last_pass"]["error"]["message"],
    )
    error: dict[str, Any] = told["last_pass"]["error"]
    return error


def test_a_release_that_does_not_fit_touches_nothing(passes: Passes) -> None:
    """A file that does not fit must keep the whole release waiting, condemned by nobody, with numbers; once
    there is space the next pass must bring it in by itself.
    """
    push(passes, etc=b"x" * 100_000, srv=b"new")
    free(passes, ETC, 50_000)
    done, before = len(passes.host.done), passes.state.known_good
    assert passes.run().exit_code == 75
    assert len(passes.host.done) == done and passes.state.known_good == before and not passes.state.rejected
    error = pressed(passes)
    assert (
        error["message"]
        == "file/etc/app.conf needs 100.0 KiB on the file system of /disk2, and 48.8 KiB are free"
    )
    assert (
        error["hint"].startswith("free space there (df -h /disk2); nothing was changed")
        and error["retryable"]
    )
    free(passes, ETC, LARGE)
    assert passes.run().exit_code == 0 and passes.host.files.read(ETC) == b"x" * 100_000
    assert not any(c["type"] == "DiskPressure" for c in passes.heartbeat()["conditions"])


def test_drift_is_repaired_while_a_release_waits_for_space(passes: Passes) -> None:
    """While a release waits for space, drift of known good must be repaired."""
    push(passes, etc=b"x" * 100_000)
    free(passes, ETC, 50_000)
    passes.host.stop_by_hand("shop-web-1")
    assert passes.run().exit_code == 75
    assert passes.host._find("shop-web-1").seen.state == "running"
    pressed(passes)


def test_of_a_repair_only_what_does_not_fit_waits(passes: Passes) -> None:
    """Drift that does not fit must wait and be shown; all other drift must be repaired in the same pass."""
    del passes.host.files.there[ETC], passes.host.files.there[SRV]
    passes.host.stop_by_hand("shop-web-1")
    free(passes, ETC, 4095)
    assert passes.run().exit_code == 75
    assert passes.host.files.read(SRV) == b"srv" and passes.host.files.read(ETC) is None
    assert passes.host._find("shop-web-1").seen.state == "running"
    assert pressed(passes)["resource"] == "file/etc/app.conf" and passes.heartbeat()["drift"]["now"] == [
        "file/etc/app.conf"
    ]
    assert passes.heartbeat()["refused"] == []
    free(passes, ETC, 4096)
    assert passes.run().exit_code == 0 and passes.host.files.read(ETC) == b"etc"


def test_the_way_back_must_fit(passes: Passes) -> None:
    """A release must not begin where the state, the journal and the rollback could not be written; a repair
    still must.
    """
    free(passes, STATE, RESERVE - 1)
    push(passes, etc=b"new")
    assert passes.run().exit_code == 75 and passes.host.files.read(ETC) == b"etc"
    assert "the state and the way back needs 16.0 MiB" in pressed(passes)["message"]
    passes.host.files.put(ETC, b"edited")
    assert passes.run().exit_code == 75 and passes.host.files.read(ETC) == b"etc"


def test_saved_originals_must_fit(passes: Passes) -> None:
    """What a release takes over is saved with the state: it must fit there too."""
    passes.host.files.put("/etc/motd", b"x" * 100_000)
    passes.host.space |= {"/etc/motd": of(2, LARGE)}
    free(passes, STATE, RESERVE + 99_999)
    push(passes, files.file("/etc/motd", content=passes.host.content.put(b"ours"), size=4))
    assert passes.run().exit_code == 75 and passes.host.files.read("/etc/motd") == b"x" * 100_000
    assert "file/etc/motd needs 16.1 MiB on the file system of /disk1" in pressed(passes)["message"]


def test_inodes_must_be_there_too(passes: Passes) -> None:
    """A disk with room but without inodes must keep a release waiting, where its files go and where the state
    is.
    """
    passes.host.space |= {"/srv/more": of(3, LARGE)}
    more = files.file("/srv/more", content=passes.host.content.put(b"more"), size=4)
    for place, wants in (
        (SRV, "file/srv/more needs 1 inode"),
        (STATE, "the state and the way back needs 64 inodes"),
    ):
        short = passes.host.space[place]
        passes.host.space |= {
            name: replace(disk_at, inodes=0 if disk_at.device == short.device else None)
            for name, disk_at in passes.host.space.items()
        }
        push(passes, more, etc=place.encode())
        assert passes.run().exit_code == 75 and passes.host.files.read("/srv/more") is None
        error = pressed(passes)
        assert error["message"] == f"{wants} on the file system of {short.at}, and 0 are free"
        assert f"df -i {short.at}" in error["hint"]
    passes.host.space = {name: replace(disk, inodes=None) for name, disk in passes.host.space.items()}
    assert passes.run().exit_code == 0 and passes.host.files.read("/srv/more") == b"more"


def test_images_are_not_pulled_below_the_reserve(passes: Passes) -> None:
    """Below the reserve no pull must begin."""
    passes.host.add_image("shop/web:2", "web", version="v2", local=False)
    push(passes, image="shop/web:2")
    free(passes, IMAGES, IMAGE_RESERVE - 1)
    assert passes.run().exit_code == 75 and passes.host.pulls == []
    assert (
        "there is no room for images: 512.0 MiB are free on the file system of /disk4, and 512.0 MiB "
        "must be left" in (pressed(passes)["message"])
    )


def test_a_pull_that_eats_the_reserve_is_ended(passes: Passes) -> None:
    """A pull that is about to fill the disk must be ended as soon as that is seen, what was pulled with it
    must be removed, the running set stay, and the pass succeed once there is space.
    """
    for name in ("shop/web:2", "shop/small:1"):
        passes.host.add_image(name, "web", version=name, local=False)
    passes.host.sizes["shop/web:2"] = 600 * MIB
    push(passes, service("shop/small:1", "shop-small-1"), image="shop/web:2")
    free(passes, IMAGES, 1000 * MIB)
    before = passes.running()
    assert passes.run().exit_code == 75 and passes.running() == before
    assert "are still to come" in pressed(passes)["message"]
    assert passes.host.space[IMAGES].free >= 900 * MIB
    assert set(passes.host.images) == {"shop/web:1"} and not passes.state.rejected
    free(passes, IMAGES, LARGE)
    assert passes.run().exit_code == 0 and passes.running() != before


def test_known_good_whose_image_does_not_fit_is_repaired_else(passes: Passes) -> None:
    """When known good's image is gone and there is no room to pull it, the other drift must be repaired all
    the same.
    """
    passes.host.vanish("shop-web-1")
    del passes.host.images["shop/web:1"]
    passes.host.files.put(ETC, b"edited")
    free(passes, IMAGES, 0)
    assert passes.run().exit_code == 75 and passes.host.files.read(ETC) == b"etc"
    pressed(passes)
    free(passes, IMAGES, LARGE)
    assert passes.run().exit_code == 0 and passes.host._find("shop-web-1").seen.state == "running"


def test_known_good_whose_registry_is_silent_is_repaired_else(passes: Passes) -> None:
    """When known good's image is gone and its registry does not answer, the other drift must be repaired all
    the same.
    """
    passes.host.vanish("shop-web-1")
    del passes.host.images["shop/web:1"]
    passes.host.files.put(ETC, b"edited")
    passes.host.registry_down = True
    assert passes.run().exit_code == 75 and passes.host.files.read(ETC) == b"etc"
    assert passes.heartbeat()["drift"]["now"] == ["container/shop-web-1"]


def test_a_rollback_asks_for_no_space(passes: Passes) -> None:
    """The way back must be gone however full the disks have become meanwhile."""
    passes.host.add_image("shop/web:2", "sick")
    push(passes, etc=b"new", image="shop/web:2")
    before, execute = passes.running(), passes.host.execute

    def filling(action: Action, resource: Resource | None) -> None:
        execute(action, resource)
        for place in (STATE, ETC, SRV, IMAGES):
            free(passes, place, 0)

    passes.host.execute = filling  # type: ignore[method-assign]
    assert passes.run().exit_code == 4
    assert passes.running() == before and passes.host.files.read(ETC) == b"etc"


def test_a_pass_with_nothing_to_do_asks_for_nothing(passes: Passes) -> None:
    """Where nothing is written no disk must be asked."""
    passes.host.disks = _fails  # type: ignore[method-assign]
    assert passes.run().exit_code == 0


def _fails(places: object) -> Any:
    raise AssertionError("asked for free space")


# --- the sums -----------------------------------------------------------------------------------------------


def sums(disks: dict[str, Disk], **more: Any) -> list[int]:
    """How much is said to be needed where it does not fit, for a change of /etc/a (from 5 to 3 blocks) and a
    new /etc/b (2).
    """
    case: dict[str, Any] = {
        "known_good": "applied",
        "applied": {"file": {"/etc/a": {"content": "old"}}},
        "desired": {"file": {"/etc/a": {"content": "n" * 9000}, "/etc/b": {"content": "n" * 8000}}},
        **more,
    }
    at = view(case)
    there = {path: replace(file, size=20_000) for path, file in at.observed.files.items()}
    at = replace(at, observed=replace(at.observed, files=there))
    found = plan(at)
    assert places(found) == ["/etc/a", "/etc/b"]
    return [need.bytes for need in lacking(found, at, disks)]


@pytest.mark.parametrize("names", [lambda path: 7, lambda path: {"/etc/a": 7, "/etc/b": 8}[path]])
def test_what_is_needed_is_what_grows_and_what_lies_beside(names: Callable[[str], int]) -> None:
    """Needed must be what a disk has more afterwards, and what new contents take while the old ones are still
    there.
    """
    one = names("/etc/a") == names("/etc/b")
    disks = {path: of(names(path), 0) for path in ("/etc/a", "/etc/b")}
    assert sums(disks) == ([(2 + 3) * 4096] if one else [3 * 4096, 2 * 4096])
    assert sums({path: replace(there, free=5 * 4096) for path, there in disks.items()}) == []


def test_small_disks_keep_a_small_reserve() -> None:
    """A reserve must be at most a twentieth of its disk: on a small one Limpet must work too."""
    assert sums({STATE: of(1, 2 * MIB, 20 * MIB)}) == []
    assert sums({STATE: of(1, MIB - 1, 20 * MIB)}) == [MIB]
    assert sums({STATE: of(1, RESERVE - 1)}) == [RESERVE]


def test_the_disk_of_what_is_not_there_yet(tmp_path: Path) -> None:
    """The disk of a path must be that of the nearest directory that is there."""
    here = disk_at(tmp_path)
    found = disk_at(tmp_path / "not" / "yet" / "there")
    assert here is not None and found is not None
    assert (found.device, found.at) == (tmp_path.stat().st_dev, str(tmp_path))
    (tmp_path / "file").write_text("x")
    beside = disk_at(tmp_path / "file" / "below")
    assert beside is not None and beside.at == str(tmp_path)
