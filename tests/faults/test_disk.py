"""Full disks, for real: small file systems under the state, under a target path, and under the Engine's
images.
"""

from __future__ import annotations

import base64
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.harness import images
from tests.harness.disk import small_disk
from tests.harness.engine import private_engine
from tests.harness.gitrepo import GitRepo
from tests.harness.net import Server
from tests.harness.registry import registry
from tests.harness.site import Site, make_site
from tests.harness.wait import eventually

MIB = 2**20
COMPOSE = "name: {app}\nservices:\n  web: {{image: 'limpet-test/web:{version}', network_mode: none}}\n"


def fill(place: Path, leave: int) -> Path:
    """A file that leaves so many bytes."""
    found = os.statvfs(place)
    filler = place / "filler"
    with filler.open("wb") as file:
        os.posix_fallocate(file.fileno(), 0, found.f_bavail * found.f_frsize - leave)
    return filler


def files(prefix: str, version: str = "v1", **more: str) -> dict[str, Any]:
    return {"compose.yaml": COMPOSE.format(app=prefix, version=version), **more}


def stop(site: Site, prefix: str) -> None:
    site.engine.client.containers.get(f"{prefix}-web-1").stop(timeout=1)


def running(site: Site, prefix: str) -> tuple[bool, str]:
    """Whether the service runs, and which container it is."""
    doc = site.container(f"{prefix}-web-1")
    return bool(doc["State"]["Running"]), str(doc["Id"])


def pressed(site: Site) -> str:
    """What the heartbeat says about the disk."""
    found = [
        c["message"]
        for c in site.heartbeat()["conditions"]
        if (c["type"], c["status"]) == ("DiskPressure", "True")
    ]
    return str(found[0]) if found else ""


@pytest.mark.parametrize("leave", [MIB, 0])
def test_full_state(site: Site, prefix: str, leave: int) -> None:
    """With no room for the way back, or with none at all, a release must not begin, known good must be
    repaired, and the release come by itself when there is room.
    """
    with small_disk(site.root / "var/lib/limpet", 32) as state:
        site.commit(files(prefix))
        site.sync()
        before = running(site, prefix)
        filler = fill(state, leave)
        site.commit(files(prefix, "v2"))
        stop(site, prefix)
        done = site.sync(75)
        assert running(site, prefix) == before, done
        assert pressed(site), done
        filler.unlink()
        site.sync()
        assert running(site, prefix)[1] != before[1] and site.heartbeat()["state"] == "Synced"
        stop(site, prefix)


def test_full_target(site: Site, prefix: str) -> None:
    """A file that does not fit where it belongs must keep its release waiting, and the service with it."""
    with small_disk(site.root / "srv", 1) as place:
        site.commit(files(prefix, **{"files/srv/data": "a" * 100_000}))
        site.sync()
        before = running(site, prefix)
        site.commit(files(prefix, "v2", **{"files/srv/data": "b" * 900_000, "files/etc/new": "1"}))
        filler = fill(place, 500_000)
        done = site.sync(75)
        assert "file/srv/data needs 880.0 KiB on the file system of" in done.err and pressed(site) in done.err
        assert running(site, prefix) == before and not (site.root / "etc/new").exists()
        assert (place / "data").read_text() == "a" * 100_000 and sorted(os.listdir(place)) == [
            "data",
            "filler",
        ]
        filler.unlink()
        site.sync()
        assert (place / "data").read_text() == "b" * 900_000


def test_no_inodes(site: Site, prefix: str) -> None:
    """On a disk that has room but no inodes left, a release must wait, and the service with it."""
    with small_disk(site.root / "srv", 8, inodes=20) as place:
        site.commit(files(prefix, **{"files/srv/data": "a"}))
        site.sync()
        before = running(site, prefix)
        while os.statvfs(place).f_favail:
            (place / f"small-{os.statvfs(place).f_favail}").touch()
        site.commit(files(prefix, "v2", **{"files/srv/data": "b", "files/srv/more": "1"}))
        done = site.sync(75)
        assert (
            "more need 2 inodes on the file system of" in done.err
            and "df -i" in done.err
            and pressed(site) in done.err
        )
        assert running(site, prefix) == before and (place / "data").read_text() == "a"
        for small in place.glob("small-*"):
            small.unlink()
        site.sync()
        assert (place / "data").read_text() == "b" and (place / "more").exists()


CONNECT = "import socket, sys; socket.create_connection(('127.0.0.1', int(sys.argv[1])), 1)"


def test_full_image_store(repo: GitRepo, tmp_path: Path) -> None:
    """A pull that would fill the Engine's disk must be ended, leave nothing, and touch nothing; with room it
    must succeed.
    """
    text = base64.b64encode(os.urandom(24 * MIB)).decode()
    big = images.make("team/big:1", images.KINDS["web"], "big", {"big": text})
    with small_disk(tmp_path / "engine", 64) as place, registry(tmp_path / "registry") as served:
        reference = served.push(big, "team/big:1")
        served.stop()
        with private_engine(place, **{"storage-driver": "vfs"}) as private:
            images.load(private.client, images.image("idle"))
            here = ["nsenter", "-t", str(private.pid), "-n"]
            near = Server(
                [*here, "docker-registry", "serve", str(tmp_path / "registry/config.yml")],
                tmp_path / "near.log",
            )
            near.start()
            try:
                port = str(served.port)
                eventually(
                    lambda: (
                        not subprocess.run(
                            [*here, sys.executable, "-c", CONNECT, port], check=False
                        ).returncode
                    ),
                    30,
                )
                site = make_site(private.engine, repo, tmp_path / "site")
                compose = "name: lt-disk\nservices:\n  web: {image: IMAGE, network_mode: none}\n"
                site.commit({"compose.yaml": compose.replace("IMAGE", "limpet-test/idle:v1")})
                site.sync()
                before = site.container("lt-disk-web-1")["Id"]
                free = os.statvfs(place).f_bavail
                site.commit({"compose.yaml": compose.replace("IMAGE", reference)})
                done = site.sync(75)
                assert "there is no room for images" in done.err and pressed(site) in done.err, done
                assert site.container("lt-disk-web-1")["Id"] == before
                eventually(lambda: os.statvfs(place).f_bavail >= free - 64, 30, "what was pulled is gone")
                subprocess.run(["mount", "-o", "remount,size=256m", str(place)], check=True)
                site.sync()
                assert site.container("lt-disk-web-1")["Id"] != before
            finally:
                near.stop()
