"""What a fetch brings and what it says about it, over directories, bundles and git://."""

from __future__ import annotations

import random
import subprocess
import sys
from pathlib import Path

import pytest

from agent.errors import Stalled, Transient
from tests.harness.gitrepo import GitRepo
from tests.harness.net import free_port
from tests.unit.fetch.fetching import Fetcher, commit_tree, git, git_daemon, raw_tree


@pytest.fixture
def fetch(tmp_path: Path) -> Fetcher:
    return Fetcher(tmp_path)


def test_a_new_commit_is_brought_and_described(repo: GitRepo, fetch: Fetcher) -> None:
    """A fetch must bring the tip with its whole history, and say whose it is."""
    first = repo.commit({"compose.yaml": "services: {}\n", "files/etc/motd": "hello\n"}, "first")
    tip = repo.commit({"README": "x"}, "second\n\nLimpet-Urgent: yes")
    answer = fetch(repo.path)
    assert (answer["commit"], answer["changed"], answer["descends"]) == (tip, True, None)
    assert answer["message"] == "second\n\nLimpet-Urgent: yes"
    assert answer["author"] == "Ada Fleet <ada@example.org>" and answer["author_time"] > 0
    assert fetch.git("rev-list", tip).split() == [tip, first]
    assert fetch.git("show", f"{tip}:files/etc/motd") == "hello"
    fetch.sound()


def test_nothing_is_checked_out_and_only_our_ref_is_written(repo: GitRepo, fetch: Fetcher) -> None:
    """The cache must hold objects and the one ref of ours, and no file of the repository."""
    tip = repo.commit({"compose.yaml": "services: {}\n", ".gitattributes": "* filter=evil\n"})
    repo.tag("v1", tip)
    fetch(repo.path)
    assert fetch.git("for-each-ref", "--format=%(refname) %(objectname)") == f"refs/limpet/observed {tip}"
    assert not list(fetch.git_dir.rglob("*compose*")) and not list(fetch.git_dir.rglob("hooks"))


def test_a_poll_with_nothing_new_says_so(repo: GitRepo, fetch: Fetcher) -> None:
    """A second look at the same tip must give the same answer, unchanged, and move no bytes."""
    repo.commit({"a": "1"})
    first = fetch(repo.path)
    second = fetch(repo.path)
    assert second == first | {"changed": False, "bytes": 0, "requests": 1}


def test_a_poll_with_nothing_new_loads_no_git_library(repo: GitRepo, fetch: Fetcher) -> None:
    """A poll without news must import none of dulwich, paramiko, urllib3."""
    repo.commit({"a": "1"})
    fetch(repo.path)
    code = (
        "import json, sys; from agent.fetch.one_fetch import handle_fetch\n"
        "answer = handle_fetch(json.loads(sys.argv[1]))[0]\n"
        "print(answer['changed'], [m for m in ('dulwich', 'paramiko', 'urllib3', 'cryptography') if m in "
        "sys.modules])"
    )
    request = str(fetch.request(str(repo.path))).replace("'", '"')
    done = subprocess.run([sys.executable, "-c", code, request], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False []"


def test_a_fast_forward_descends(repo: GitRepo, fetch: Fetcher) -> None:
    """A new commit on top of the pin must descend from it, and be asked for with what is there already."""
    pin = repo.commit({"big": "x" * 100_000})
    fetch(repo.path)
    repo.commit({"small": "1"})
    answer = fetch(repo.path, pin=pin)
    assert answer["descends"] is True and answer["changed"]
    assert answer["bytes"] < 2000


def test_a_revert_descends(repo: GitRepo, fetch: Fetcher) -> None:
    """`git revert` must be a way forward, not a rewritten history."""
    repo.commit({"a": "1"})
    pin = repo.commit({"a": "2"})
    fetch(repo.path)
    repo.revert()
    assert fetch(repo.path, pin=pin)["descends"] is True


def test_a_force_push_does_not_descend(repo: GitRepo, fetch: Fetcher) -> None:
    """A rewritten branch must be told apart from one that grew, in both directions."""
    old = repo.commit({"a": "1"})
    pin = repo.commit({"a": "2"})
    fetch(repo.path)
    repo.set_branch("main", old)
    assert fetch(repo.path, pin=pin)["descends"] is False
    repo.commit({"a": "3"})
    assert fetch(repo.path, pin=pin)["descends"] is False
    repo.commit({"a": "4"}, parent="")
    assert fetch(repo.path, pin=pin)["descends"] is False


def test_the_fleets_remedy_for_a_rewritten_branch_works(
    repo: GitRepo, fetch: Fetcher, tmp_path: Path
) -> None:
    """A merge of the pin with strategy `ours` must descend from the pin and keep the new content."""
    pin = repo.commit({"a": "1"})
    fetch(repo.path)
    repo.commit({"a": "other"}, parent="")
    assert fetch(repo.path, pin=pin)["descends"] is False
    work = tmp_path / "work"
    repo.git("worktree", "add", "--quiet", str(work), "main")
    who = ["-c", "user.name=Ada", "-c", "user.email=ada@example.org"]
    merge = ["merge", "-s", "ours", "--no-edit", "--allow-unrelated-histories", pin]
    subprocess.run(["git", "-C", str(work), *who, *merge], check=True, capture_output=True)
    answer = fetch(repo.path, pin=pin)
    assert answer["descends"] is True
    assert fetch.git("show", f"{answer['commit']}:a") == "other"


def test_an_unknown_pin_is_no_ancestor(repo: GitRepo, fetch: Fetcher) -> None:
    """A pin that the history does not hold must not pass."""
    repo.commit({"a": "1"})
    assert fetch(repo.path, pin="1" * 40)["descends"] is False
    assert fetch(repo.path, pin="1" * 40)["descends"] is False


def test_ancestry_stays_known_between_polls_with_and_without_a_pin(repo: GitRepo, fetch: Fetcher) -> None:
    """A poll that names no pin must not make the next pass walk the history again, nor change its answer."""
    pin = repo.commit({"a": "1"})
    tip = repo.commit({"a": "2"})
    assert fetch(repo.path)["descends"] is None
    assert fetch(repo.path, pin=pin)["descends"] is True
    assert fetch(repo.path)["descends"] is None
    assert fetch(repo.path, pin=pin)["descends"] is True
    assert fetch(repo.path, pin=tip)["descends"] is True
    assert fetch(repo.path, pin="2" * 40)["descends"] is False


def test_a_deleted_branch_stalls_and_keeps_what_was_seen(repo: GitRepo, fetch: Fetcher) -> None:
    """A branch that is gone must be named, with the branches that are there; the cache stays as it is."""
    tip = repo.commit({"a": "1"})
    repo.commit({"a": "1"}, branch="main2")
    fetch(repo.path)
    repo.delete_branch("main")
    error = fetch.stalled(repo.path)
    assert error.code == "RefMissing" and "no branch main" in error.message and "main2" in error.hint
    assert fetch.observed() == tip


def test_an_empty_repository_stalls(repo: GitRepo, fetch: Fetcher) -> None:
    """A repository without a commit must be told from a missing branch."""
    error = fetch.stalled(repo.path)
    assert error.code == "EmptyRepository" and "push a first commit" in error.hint
    assert not fetch.git_dir.exists()


@pytest.mark.parametrize("make", ["missing", "empty", "file"])
def test_what_is_no_repository_stalls(make: str, tmp_path: Path, fetch: Fetcher) -> None:
    """A path that holds no repository must be named."""
    place = tmp_path / "place"
    if make == "empty":
        place.mkdir()
    if make == "file":
        place.write_text("x")
    assert str(place) in fetch.stalled(place).message


def test_a_checkout_is_a_source(repo: GitRepo, fetch: Fetcher, tmp_path: Path) -> None:
    """A directory with a work tree must serve its branch, packed or loose, as URL and as path."""
    repo.commit({"a": "1"})
    subprocess.run(
        ["git", "clone", "--quiet", str(repo.path), str(tmp_path / "work")], check=True, capture_output=True
    )
    assert fetch(tmp_path / "work")["commit"] == repo.head()
    git(tmp_path / "work/.git", "pack-refs", "--all")
    assert fetch(f"file://{tmp_path}/work")["changed"] is False


def test_tags_and_commits_can_be_pinned(repo: GitRepo, fetch: Fetcher, tmp_path: Path) -> None:
    """A light tag, an annotated tag and a commit must each give the commit behind them."""
    first = repo.commit({"a": "1"})
    tip = repo.commit({"a": "2"})
    repo.tag("light", first)
    repo.git(
        "-c", "user.name=A", "-c", "user.email=a@example.org", "tag", "-a", "-m", "signed off", "heavy", first
    )
    with git_daemon(repo.path.parent) as base:
        for number, url in enumerate((str(repo.path), f"{base}/fleet.git")):
            other = Fetcher(tmp_path / str(number))
            assert other(url, ref={"tag": "light"})["commit"] == first
            heavy = other(url, ref={"tag": "heavy"})
            assert heavy["commit"] == first and heavy["tag"] == repo.git("rev-parse", "heavy")
            assert other(url, ref={"tag": "heavy"})["changed"] is False
            assert other(url, ref={"commit": tip})["commit"] == tip
            other.sound()
    assert fetch.stalled(repo.path, ref={"tag": "none"}).code == "RefMissing"


@pytest.mark.parametrize(
    "ref",
    [
        {"branch": "a..b"},
        {"branch": "-x"},
        {"branch": "a b"},
        {"commit": "abc"},
        {},
        {"branch": "m", "tag": "t"},
    ],
)
def test_a_ref_that_git_does_not_allow_stalls(ref: dict[str, str], repo: GitRepo, fetch: Fetcher) -> None:
    """A name that is no ref name must be refused before anything is asked."""
    with pytest.raises(Stalled) as caught:
        fetch(repo.path, ref=ref)
    assert caught.value.code == "SourceRef"


def test_git_protocol(repo: GitRepo, fetch: Fetcher) -> None:
    """git:// must bring commits; an unchanged poll is one connection, and news are one more."""
    first = repo.commit({"a": "1"})
    with git_daemon(repo.path.parent) as base:
        assert fetch(f"{base}/fleet.git")["requests"] == 2
        assert fetch(f"{base}/fleet.git")["requests"] == 1
        tip = repo.commit({"a": "2"})
        answer = fetch(f"{base}/fleet.git", pin=first)
        assert (answer["commit"], answer["descends"], answer["requests"]) == (tip, True, 2)
        assert fetch(f"{base}/fleet.git", probe=True)["answers"] is True
        assert fetch(f"{base}/none.git", probe=True)["answers"] is True
        assert "none.git" in fetch.stalled(f"{base}/none.git").message
    assert "refused the connection" in fetch.transient(f"{base}/fleet.git").message
    fetch.sound()


def test_a_bundle_is_a_source(repo: GitRepo, fetch: Fetcher, tmp_path: Path) -> None:
    """A bundle file must do for a host without network, also one that holds only what is new."""
    pin = repo.commit({"a": "1\n" * 500, "b": "x"})
    bundle = repo.bundle(tmp_path / "fleet.bundle")
    assert fetch(bundle)["commit"] == pin
    assert fetch(bundle)["changed"] is False
    tip = repo.commit({"a": "1\n" * 500 + "2\n"})
    repo.git("bundle", "create", "--quiet", str(bundle), "main", f"^{pin}")
    answer = fetch(f"file://{bundle}", pin=pin)
    assert (answer["commit"], answer["descends"]) == (tip, True)
    fetch.sound()


def test_a_bundle_that_is_missing_or_wrong_is_named(repo: GitRepo, fetch: Fetcher, tmp_path: Path) -> None:
    """A bundle not there yet is waited for; a file that is none, and one that lacks its base, are not
    used.
    """
    bundle = tmp_path / "fleet.bundle"
    assert str(bundle) in fetch.transient(bundle).message
    bundle.write_text("hello")
    assert "not a Git bundle" in fetch.stalled(bundle).message
    base = repo.commit({"a": "1"})
    repo.commit({"a": "2"})
    repo.git("bundle", "create", "--quiet", str(bundle), "main", f"^{base}")
    assert fetch.stalled(bundle).code == "Incomplete"
    assert not fetch.git_dir.exists()


def test_mirrors_are_asked_in_order(repo: GitRepo, fetch: Fetcher) -> None:
    """A mirror must be used when the url cannot be reached, and the answer says which source it was."""
    tip = repo.commit({"a": "1"})
    down = f"git://127.0.0.1:{free_port()}/fleet.git"
    answer = fetch(down, mirrors=[down + "2", str(repo.path)])
    assert answer["commit"] == tip and answer["url"] == str(repo.path)
    error = fetch.transient(down, mirrors=[down])
    assert error.message.count("refused the connection") == 2
    error = fetch.transient(down, mirrors=["/nowhere"])
    assert "refused the connection" in error.message and "no Git repository at /nowhere" in error.message
    assert fetch.stalled("/nowhere", mirrors=[str(repo.path)]).code == "NoRepository"


def test_a_mirror_that_lags_behind_moves_nothing_back(repo: GitRepo, fetch: Fetcher, tmp_path: Path) -> None:
    """An older tip from a mirror must be read as old news, not as a rewritten branch."""
    pin = repo.commit({"a": "1"})
    mirror = tmp_path / "mirror.git"
    subprocess.run(
        ["git", "clone", "--quiet", "--bare", str(repo.path), str(mirror)], check=True, capture_output=True
    )
    tip = repo.commit({"a": "2"})
    fetch(repo.path)
    answer = fetch(f"git://127.0.0.1:{free_port()}/x", mirrors=[str(mirror)], pin=tip)
    assert (answer["commit"], answer["changed"], answer["descends"]) == (tip, False, True)
    assert fetch(mirror, pin=tip)["commit"] == pin


def test_a_probe_of_a_path_is_exempt(repo: GitRepo, fetch: Fetcher) -> None:
    """A directory says nothing about the network: its probe always passes."""
    assert fetch("/nowhere/at/all", probe=True)["answers"] is True


def test_a_shallow_source_is_refused_when_its_history_is_needed(
    repo: GitRepo, fetch: Fetcher, tmp_path: Path
) -> None:
    """A history that ends before the pin must not be taken for one that lacks it."""
    pin = repo.commit({"a": "1"})
    repo.commit({"a": "2"})
    fetch(repo.path)
    repo.commit({"a": "3"})
    shallow = tmp_path / "shallow"
    argv = ["git", "clone", "--quiet", "--depth=1", f"file://{repo.path}", str(shallow)]
    subprocess.run(argv, check=True, capture_output=True)
    other = Fetcher(tmp_path / "other")
    with pytest.raises(Transient) as caught:
        other(shallow, pin=pin)
    assert "shallow" in caught.value.hint


@pytest.mark.parametrize("name", [b"..", b".", b".git", b".GIT", b".git ", b"git~1", b"a/b", b""])
def test_a_tree_with_a_name_that_git_forbids_is_refused(name: bytes, repo: GitRepo, fetch: Fetcher) -> None:
    """An entry that could lead out of a directory must be refused before anything uses the tree."""
    good = repo.commit({"a": "1"})
    fetch(repo.path)
    blob = repo.git("rev-parse", "main:a")
    inner = raw_tree(repo, [("100644", name, blob)])
    commit_tree(repo, raw_tree(repo, [("40000", b"apps", inner)]))
    error = fetch.stalled(repo.path)
    assert error.code == "BadTree" and "apps" in error.message
    assert fetch.stalled(repo.path).code == "BadTree"
    assert fetch.observed() == good


def test_a_name_twice_in_a_tree_is_refused(repo: GitRepo, fetch: Fetcher) -> None:
    """Two entries of one name must be refused: readers would disagree about which one counts."""
    repo.commit({"a": "1", "b": "2"})
    a, b = repo.git("rev-parse", "main:a"), repo.git("rev-parse", "main:b")
    commit_tree(repo, raw_tree(repo, [("100644", b"x", a), ("100644", b"x", b)]))
    with git_daemon(repo.path.parent) as base:
        assert fetch.stalled(f"{base}/fleet.git").code == "BadTree"


def test_a_tree_bomb_costs_its_objects_not_its_paths(repo: GitRepo, fetch: Fetcher) -> None:
    """Ten billion paths made of a few objects must be looked at in no time."""
    repo.commit({"a": "1"})
    tree = raw_tree(repo, [("100644", b"a", repo.git("rev-parse", "main:a"))])
    for _ in range(10):
        tree = raw_tree(repo, [("40000", b"%d" % n, tree) for n in range(10)])
    tip = commit_tree(repo, tree)
    assert fetch(repo.path)["commit"] == tip


def test_more_bytes_than_allowed_stall(repo: GitRepo, fetch: Fetcher) -> None:
    """A source that sends more than the limit must be cut off, and nothing of it kept."""
    repo.commit({"noise": random.Random(1).randbytes(100_000)})
    with git_daemon(repo.path.parent) as base:
        error = fetch.stalled(f"{base}/fleet.git", max_bytes=10_000)
    assert error.code == "TooLarge"
    assert list(fetch.git_dir.parent.iterdir()) == []


def test_another_object_format_stalls(fetch: Fetcher, tmp_path: Path) -> None:
    """A repository with SHA-256 ids must be refused as such, by path and over the network."""
    place = tmp_path / "served" / "new.git"
    place.parent.mkdir()
    argv = ["git", "init", "--quiet", "--bare", "--object-format=sha256", "--initial-branch=main", str(place)]
    subprocess.run(argv, check=True)
    tree = git(place, "hash-object", "-t", "tree", "-w", "--stdin", data=b"")
    who = ["-c", "user.name=Ada", "-c", "user.email=ada@example.org"]
    commit = git(place, *who, "commit-tree", "-m", "x", tree)
    git(place, "update-ref", "refs/heads/main", commit)
    with git_daemon(place.parent) as base:
        for url in (str(place), f"{base}/new.git"):
            error = fetch.stalled(url)
            assert error.code == "ObjectFormat" and "sha256" in error.message


def test_the_child_gives_what_the_function_gives(repo: GitRepo, fetch: Fetcher) -> None:
    """The real child must answer over its pipe, and its errors arrive as what they were."""
    tip = repo.commit({"a": "1"})
    assert fetch.child(repo.path)["commit"] == tip
    assert fetch.child(repo.path)["changed"] is False
    with pytest.raises(Stalled) as caught:
        fetch.child("ftp://example.org/x")
    assert caught.value.code == "SourceUrl" and "'ftp'" in caught.value.message


@pytest.mark.parametrize("scheme", ["git", "ssh"])
def test_a_host_that_cannot_be_a_name_stalls(scheme: str, fetch: Fetcher, tmp_path: Path) -> None:
    """A host with a label that no name server takes must be told as a wrong URL, not as a fault of Limpet."""
    key = tmp_path / "key"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(key)], check=True)
    credentials = {"ssh_key": str(key), "known_hosts": "/dev/null"}
    error = fetch.stalled(f"{scheme}://{'a' * 70}.example.org/x.git", credentials=credentials)
    assert error.code == "SourceUrl" and "source.url" in error.message
