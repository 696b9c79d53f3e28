"""A branch or tag that a source does not have: what is said to be there instead."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.harness.gitrepo import GitRepo
from tests.unit.fetch.fetching import Fetcher, git_daemon, http_backend, web_server


@pytest.fixture
def fetch(tmp_path: Path) -> Fetcher:
    return Fetcher(tmp_path / "host")


@pytest.mark.parametrize("look", [False, True])
def test_a_missing_tag_lists_tags(look: bool, repo: GitRepo, fetch: Fetcher) -> None:
    """Whoever misses a tag must be shown tags, the newest versions first, and no branches."""
    tip = repo.commit({"a": "1"})
    for name in ("v1.9", "v1.10", "v1.2", "nightly"):
        repo.tag(name, tip)
    error = fetch.stalled(repo.path, ref={"tag": "release"}, look=look)
    assert error.code == "RefMissing" and "has no tag release" in error.message
    assert "its tags are v1.10, v1.9, v1.2, nightly" in error.hint.replace("nightly, v", "v")
    assert "main" not in error.hint and "^{}" not in error.hint and "source.tag" in error.hint


def test_a_missing_branch_lists_branches_like_it_first(repo: GitRepo, fetch: Fetcher) -> None:
    """Whoever misses a branch must be shown the ones that resemble it first, and how many more there are."""
    tip = repo.commit({"a": "1"})
    for number in range(20):
        repo.set_branch(f"feature/{number}", tip)
    repo.set_branch("production", tip)
    repo.tag("v1", tip)
    error = fetch.stalled(repo.path, ref={"branch": "prodution"})
    assert "its branches are production, feature/0, feature/1, feature/2" in error.hint
    assert "and 16 more" in error.hint and "v1" not in error.hint


def test_a_tag_that_is_taken_for_a_branch(repo: GitRepo, fetch: Fetcher) -> None:
    """A name that is of the other kind must be told as that, with the key to set."""
    repo.tag("v1", repo.commit({"a": "1"}))
    assert "set source.tag instead" in fetch.stalled(repo.path, ref={"branch": "v1"}).hint
    assert "set source.branch instead" in fetch.stalled(repo.path, ref={"tag": "main"}).hint


def test_a_repository_without_any_tag(repo: GitRepo, fetch: Fetcher) -> None:
    """Whoever misses a tag where there is none must be told that, not that the repository is empty."""
    repo.commit({"a": "1"})
    assert "it has no tag at all" in fetch.stalled(repo.path, ref={"tag": "v1"}).hint


def test_a_repository_with_tags_alone(repo: GitRepo, fetch: Fetcher) -> None:
    """A repository that has tags and no branch must not be called empty."""
    repo.tag("v1", repo.commit({"a": "1"}))
    repo.delete_branch("main")
    error = fetch.stalled(repo.path)
    assert error.code == "RefMissing" and "it has no branch at all" in error.hint


@pytest.mark.parametrize("kind", ["branch", "tag"])
def test_an_empty_repository(kind: str, repo: GitRepo, fetch: Fetcher) -> None:
    """A repository without any commit must be called empty, whatever was asked for."""
    assert fetch.stalled(repo.path, ref={kind: "v1"}).code == "EmptyRepository"


def test_each_way_to_a_source_tells_the_same(repo: GitRepo, fetch: Fetcher) -> None:
    """The list must be the same over http, old and new, over git:// and from a directory."""
    tip = repo.commit({"a": "1"})
    repo.tag("v1", tip)
    said = {fetch.stalled(repo.path, ref={"tag": "v2"}).hint}
    for keep in (("Git-Protocol",), ()):
        with web_server(http_backend(repo.path.parent, keep)) as url:
            said.add(fetch.stalled(f"{url}/fleet.git", ref={"tag": "v2"}).hint)
    with git_daemon(repo.path.parent) as url:
        said.add(fetch.stalled(f"{url}/fleet.git", ref={"tag": "v2"}).hint)
    assert len(said) == 1


def test_a_look_brings_nothing(repo: GitRepo, fetch: Fetcher) -> None:
    """A look must say where the branch is, and leave no cache behind."""
    tip = repo.commit({"a": "1"})
    assert fetch(repo.path, look=True)["commit"] == tip
    assert fetch(repo.path, ref={"commit": tip}, look=True)["answers"] is True
    assert not fetch.git_dir.exists()
