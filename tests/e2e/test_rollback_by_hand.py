"""A person takes one host back to a known good release, and it stays there until the branch changes."""

from __future__ import annotations

import pytest

from tests.harness.site import Site

COMPOSE = "name: {app}\nservices:\n  web: {{image: 'limpet-test/web:{version}'}}\n"


@pytest.fixture
def two(site: Site, prefix: str) -> Site:
    """A site that has proved two releases: v1, then v2."""
    for version in ("v1", "v2"):
        site.commit(
            {"compose.yaml": COMPOSE.format(app=prefix, version=version), "files/etc/version": version}
        )
        site.sync()
    return site


def running(site: Site, prefix: str) -> tuple[str, str]:
    """The version of the container and of the host's file."""
    container = site.container(f"{prefix}-web-1")
    assert container["State"]["Running"]
    return container["Config"]["Image"].rpartition(":")[2], (site.root / "etc/version").read_text()


def test_it_goes_back_and_holds(two: Site, prefix: str) -> None:
    """`limpet rollback` must bring the release before back, exit 4, say so in the heartbeat, and stay there
    in later passes.
    """
    first, tip = two.repo.head("main~1"), two.repo.head()
    done = two.limpet("rollback", "--reason", "checkout is slow", real=True)
    assert done.code == 4 and "checkout is slow" in done.err and f"main@{first[:7]}" in done.err, done
    assert running(two, prefix) == ("v1", "v1")
    id = two.container(f"{prefix}-web-1")["Id"]
    again = two.sync(expect=4)
    assert "limpet retry" in again.err and two.container(f"{prefix}-web-1")["Id"] == id
    assert (
        f"rolled back by hand: checkout is slow\nholding main@sha1:{first}\nnothing to do"
        in two.limpet("plan").out
    )
    heartbeat = two.heartbeat()
    assert heartbeat["state"] == "RolledBack" and heartbeat["held"]["reason"] == "checkout is slow"
    assert heartbeat["revision"]["applied"] == f"main@sha1:{first}" and heartbeat["revision"]["pin"].endswith(
        tip
    )
    assert {c["type"]: c["reason"] for c in heartbeat["conditions"]}["RolledBack"] == "HeldByHand"


def test_the_next_commit_ends_it(two: Site, prefix: str) -> None:
    """A new commit must be applied, whatever was held."""
    assert two.limpet("rollback").code == 4
    two.commit({"files/etc/version": "v3"})
    two.sync()
    assert running(two, prefix) == ("v2", "v3")
    assert two.heartbeat()["state"] == "Synced" and two.heartbeat()["held"] is None


def test_retry_ends_it(two: Site, prefix: str) -> None:
    """`limpet retry` must let the host follow its branch again without a commit."""
    assert two.limpet("rollback").code == 4
    assert "has ended" in two.limpet("retry").out
    two.sync()
    assert running(two, prefix) == ("v2", "v2")


def test_it_needs_neither_git_nor_registry(two: Site, prefix: str) -> None:
    """Known good must be complete on the host: with the source gone, the rollback works, by a commit's first
    digits.
    """
    first = two.repo.head("main~1")
    two.repo.path.rename(two.repo.path.with_name("gone"))
    two.limpet("rollback", first[:8])
    assert running(two, prefix) == ("v1", "v1")


def test_what_can_be_had_is_said(two: Site) -> None:
    """A release that is not known good must be an error that names those that are; nothing is ordered
    then.
    """
    first = two.repo.head("main~1")
    done = two.limpet("rollback", "abcdef")
    assert done.code == 78 and first[:7] in done.err and "abcdef" in done.err
    two.sync()


def test_twice_goes_further_back_and_then_says_so(two: Site, prefix: str) -> None:
    """`limpet rollback` typed again must go one release further back, and at the oldest one change nothing
    and name what can be had.
    """
    two.commit({"files/etc/version": "v3"})
    two.sync()
    assert two.limpet("rollback").code == 4 and running(two, prefix) == ("v2", "v2")
    again = two.limpet("rollback")
    assert again.code == 4 and "going back to release" in again.out and running(two, prefix) == ("v1", "v1")
    more = two.limpet("rollback")
    assert more.code == 78 and "nothing further back" in more.err and two.repo.head()[:7] in more.err
    two.sync(expect=4)
    assert running(two, prefix) == ("v1", "v1")
    assert two.limpet("rollback", two.repo.head()[:8]).code == 4 and running(two, prefix) == ("v2", "v3")
