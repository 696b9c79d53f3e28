"""What ends a backoff: real sockets, files and file systems, and no time that passes."""

from __future__ import annotations

import math
import os
import socket
from pathlib import Path

import pytest

from agent.daemon import waits
from agent.daemon.waits import PROBE, Waits

NOW = 100.0
LATER = NOW + PROBE


@pytest.fixture
def there(tmp_path: Path) -> Waits:
    """Waits of a host whose Docker, kernel and resolver are below `tmp_path`."""
    (tmp_path / "proc/net").mkdir(parents=True)
    return Waits(tmp_path / "docker.sock", (str(tmp_path),), tmp_path / "proc", tmp_path / "resolv.conf")


def listening(path: Path) -> socket.socket:
    path.unlink(missing_ok=True)
    server = socket.socket(socket.AF_UNIX)
    with_directory = os.open(path.parent, os.O_RDONLY)
    server.bind(f"/proc/self/fd/{with_directory}/{path.name}")
    os.close(with_directory)
    server.listen(16)
    return server


def test_docker_that_is_back_ends_the_wait(there: Waits) -> None:
    """A pass that waits for Docker must be due when Docker listens again, and not before."""
    there.ended("pass", {"code": "RuntimeUnavailable"}, NOW)
    assert there.text("pass") == "Docker to answer"
    assert there.probe(NOW) == set() and there.probe(LATER) == set()
    with listening(there.docker):
        assert there.probe(LATER + PROBE) == {"pass"}
        assert there.due == math.inf and there.text("pass") == ""


def test_docker_that_listens_and_cannot_work_costs_one_pass(there: Waits) -> None:
    """While Docker takes connections and answers nothing, the backoff must go on growing; once it was away,
    its return counts again.
    """
    with listening(there.docker):
        there.ended("pass", {"code": "RuntimeUnavailable"}, NOW)
        assert there.probe(LATER) == {"pass"}
        there.ended("pass", {"code": "RuntimeUnavailable"}, LATER)
        assert there.probe(LATER + PROBE) == set()
    assert there.probe(LATER + 2 * PROBE) == set()
    with listening(there.docker):
        assert there.probe(LATER + 3 * PROBE) == {"pass"}


@pytest.mark.parametrize(
    ("before", "after", "over"),
    [
        ((0, 2**30, 100), (16 * 2**20, 2**30, 100), True),
        ((0, 2**30, 100), (2**20, 2**30, 100), False),
        ((0, 24 * 2**20, 100), (2 * 2**20, 24 * 2**20, 100), True),
        ((5, 2**30, 0), (5, 2**30, 64), True),
        ((2**30, 2**40, 100), (0, 2**40, 100), False),
        (None, (2**30, 2**40, 100), False),
    ],
    ids=["freed", "a-little", "small-disk", "inodes", "fuller", "not-asked"],
)
def test_space_that_was_freed_ends_the_wait(
    there: Waits, monkeypatch: pytest.MonkeyPatch, before: object, after: object, over: bool
) -> None:
    """Freed bytes or inodes must end the wait; a little, on a large disk, must not."""
    seen = {"/data": before}
    monkeypatch.setattr(waits, "_free", seen.get)
    there.ended("pass", {"code": "DiskFull", "place": "/data"}, NOW)
    assert there.text("pass") == "free space where /data is"
    assert there.probe(LATER) == set()
    seen["/data"] = after
    assert there.probe(LATER + PROBE) == ({"pass"} if over else set())


def test_a_real_file_system_is_asked(there: Waits, tmp_path: Path) -> None:
    """A file system of this machine must be measured, and what cannot be asked must end nothing."""
    measured = waits._free(str(tmp_path))
    assert measured and 0 <= measured[0] <= measured[1]
    assert waits._free(str(tmp_path / "gone")) is None
    there.ended("pass", {"code": "DiskFull", "place": str(tmp_path / "gone")}, NOW)
    assert there.probe(LATER) == set()


def test_a_file_system_of_another_machine_is_not_asked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A network file system may hang for ever: the daemon must not touch it."""
    monkeypatch.setattr(waits, "_kind_of", lambda place: "nfs4")
    assert waits._free(str(tmp_path)) is None


ROUTES = "Iface\tDestination\tGateway\tFlags\tRefCnt\neth0\t0001A8C0\t00000000\t0001\t{count}\n"


def test_a_network_that_is_back_ends_the_wait(there: Waits) -> None:
    """A new route, address or resolver must end the wait of poll and pass; counters and losses must not."""
    routes = there.proc / "net/route"
    routes.write_text(ROUTES.format(count=0))
    there.ended("pass", {"code": "RegistryUnavailable"}, NOW)
    there.ended("poll", {"code": "Dns"}, NOW)
    routes.write_text(ROUTES.format(count=7))
    assert there.probe(LATER) == set()
    routes.write_text(ROUTES.format(count=7).splitlines()[0])
    assert there.probe(LATER + PROBE) == set()
    routes.write_text(ROUTES.format(count=0) + "eth0\t00000000\t0101A8C0\t0003\t0\n")
    assert there.probe(LATER + 2 * PROBE) == {"pass", "poll"}
    there.ended("poll", {"code": "Dns"}, NOW)
    there.resolver.write_text("nameserver 192.0.2.1\n")
    assert there.probe(LATER) == {"poll"}


@pytest.mark.parametrize("error", [None, {"code": "Locked"}, {"code": "PassCrashed"}])
def test_other_errors_wait_for_their_time(there: Waits, error: dict[str, str] | None) -> None:
    """What has no probe must wake nobody."""
    with listening(there.docker):
        there.ended("pass", error, NOW)
        assert there.due == math.inf and there.probe(LATER) == set() and there.text("pass") == ""


def test_a_source_that_answers_ends_the_wait_for_the_network_only(there: Waits) -> None:
    """When polls succeed again, a pass that waits for the network must be due, and one that waits for Docker
    must not.
    """
    there.ended("pass", {"code": "RuntimeUnavailable"}, NOW)
    assert not there.source_answered(NOW)
    there.ended("pass", {"code": "Network"}, NOW)
    assert there.source_answered(NOW) == {"pass"} and not there.source_answered(NOW)


def test_jobs_that_end_put_no_probe_off(there: Waits) -> None:
    """Polls that end more often than probes are due must not keep the pass waiting."""
    there.ended("pass", {"code": "RuntimeUnavailable"}, NOW)
    with listening(there.docker):
        for tenth in range(10 * int(PROBE) + 1):
            there.ended("poll", None, NOW + tenth / 10)
        assert there.probe(LATER) == {"pass"}
