"""The tree: what is read of a revision, and what is refused."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import pytest
from dulwich import porcelain
from dulwich.objects import Blob, Commit
from dulwich.objects import Tree as GitTreeObject
from dulwich.repo import Repo

from agent.errors import Transient
from agent.render import tree as trees
from agent.render.commit import GitTree
from agent.render.directory import DirTree
from agent.render.tree import BaseTree, EntryRefused
from tests.fakes.tree import MemoryTree

CONTENT = {"a/one": b"1", "a/b/two": b"2", "a/run": b"#!", "top": b"t"}
LINKS = {
    "a/link": "one",
    "a/dir": "b",
    "out": "../x",
    "abs": "/etc/passwd",
    "gone": "a/nothing",
    "self": "self",
    "a/b/up": "..",
}
WHO = b"A <a@example.org>"


def memory(tmp_path: Path) -> BaseTree:
    return MemoryTree(CONTENT, links=LINKS, executable=frozenset({"a/run"}))


def _checkout(tmp_path: Path) -> Path:
    root = tmp_path / "fleet"
    for path, data in CONTENT.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_bytes(data)
    (root / "a/run").chmod(0o755)
    for path, target in LINKS.items():
        (root / path).symlink_to(target)
    return root


def plain(tmp_path: Path) -> BaseTree:
    return DirTree(_checkout(tmp_path))


def _repo(tmp_path: Path) -> tuple[Path, str]:
    root = _checkout(tmp_path)
    with Repo.init(str(root)) as repo:
        repo.get_worktree().stage([path.encode() for path in (*CONTENT, *LINKS)])
        sha = porcelain.commit(repo, b"x", author=WHO, committer=WHO)
    return root, sha.decode()


def tracked(tmp_path: Path) -> BaseTree:
    root, _ = _repo(tmp_path)
    (root / "untracked").write_text("u")
    return DirTree(root)


def committed(tmp_path: Path) -> BaseTree:
    root, sha = _repo(tmp_path)
    (root / "top").write_text("changed since")
    return GitTree(root / ".git", sha, "fleet")


@pytest.fixture(params=[memory, plain, tracked, committed], ids=lambda make: make.__name__)
def tree(request: pytest.FixtureRequest, tmp_path: Path) -> BaseTree:
    make: Callable[[Path], BaseTree] = request.param
    return make(tmp_path)


def test_reads_files(tree: BaseTree) -> None:
    """Every kind of tree must give the same content, modes and directories."""
    assert tree.read("a/b/two") == b"2"
    assert tree.read("top") == b"t"
    assert (tree.mode("a/run"), tree.mode("a/one")) == (0o755, 0o644)
    assert tree.is_dir("a/b") and tree.is_dir("") and not tree.is_dir("a/one")
    assert tree.read("a") is None and tree.read("nothing") is None and tree.read("a/one/below") is None
    assert tree.name == "fleet"


def test_follows_links_inside(tree: BaseTree) -> None:
    """A link inside the tree must stand for its target."""
    assert tree.read("a/link") == b"1"
    assert tree.read("a/dir/two") == b"2"
    assert "a/dir/two" in tree.files("a/dir")
    assert "a/dir/two" in tree.files("")


@pytest.mark.parametrize("path", ["out", "abs", "gone", "self", "out/below"])
def test_refuses_links_that_leave_or_dangle(tree: BaseTree, path: str) -> None:
    """A link out of the tree, to nothing, or to itself must be refused when it is read, with a remedy."""
    assert tree.is_file(path)
    with pytest.raises(EntryRefused) as caught:
        tree.read(path)
    assert caught.value.hint
    assert "top" in tree.files()


def test_refuses_a_link_to_a_directory_above(tree: BaseTree) -> None:
    """Listing must not run in a circle; what would is refused when it is read."""
    assert "a/b/up" in tree.files("a")
    with pytest.raises(EntryRefused, match="contains it"):
        tree.read("a/b/up")


def test_lists_sorted(tree: BaseTree) -> None:
    """Listing must give sorted paths, refused ones included, and only what is tracked."""
    assert tree.files("top") == ["top"]
    assert "untracked" not in tree.children("")
    assert tree.children("") == sorted(tree.children(""))
    assert tree.files("nothing") == []


def test_checkout_is_read_as_it_lies_there(tmp_path: Path) -> None:
    """A directory tree must give the working copy's content, and leave out tracked files that were
    removed.
    """
    root, _ = _repo(tmp_path)
    (root / "top").write_text("new")
    (root / "a/one").unlink()
    tree = DirTree(root)
    assert tree.read("top") == b"new"
    assert tree.read("a/one") is None


def test_subdirectory_of_a_checkout(tmp_path: Path) -> None:
    """A directory inside a checkout must show only what Git tracks below it."""
    root, _ = _repo(tmp_path)
    (root / "a/untracked").write_text("u")
    assert DirTree(root / "a").children("") == ["b", "dir", "link", "one", "run"]


def test_untracked_file_is_explained(tmp_path: Path) -> None:
    """A file that is there but not tracked must be explained."""
    root, _ = _repo(tmp_path)
    (root / "untracked").write_text("u")
    tree = DirTree(root)
    assert tree.read("untracked") is None
    assert "git add" in tree.note("untracked")


def test_submodule_is_refused_when_used() -> None:
    """A submodule must be refused when it is read, and not before."""
    tree = MemoryTree({"a": "1"}, modules=frozenset({"vendor/lib"}))
    assert tree.files("") == ["a", "vendor/lib"]
    for path in ("vendor/lib", "vendor/lib/file"):
        with pytest.raises(EntryRefused, match="submodule"):
            tree.read(path)


def test_hostile_names_are_refused(tmp_path: Path) -> None:
    """Names that could escape or mislead must be refused when they are read."""
    with Repo.init_bare(str(tmp_path)) as repo:
        blob = Blob.from_string(b"x")
        entries = GitTreeObject()
        for raw in (b"..", b".git", b".GIT", b"a\\b", b"new\nline", b"\xff\xfe", b"good"):
            entries.add(raw, 0o100644, blob.id)
        commit = Commit()
        commit.tree, commit.author, commit.committer, commit.message = entries.id, WHO, WHO, b"x"
        commit.author_time = commit.commit_time = commit.author_timezone = commit.commit_timezone = 0
        for item in (blob, entries, commit):
            repo.object_store.add_object(item)
    tree = GitTree(tmp_path, commit.id.decode())
    for name in tree.children(""):
        if name != "good":
            with pytest.raises(EntryRefused):
                assert tree.read(name) is None or pytest.fail(f"{name!r} was read")
                raise EntryRefused(name, "cannot be named at all")
    assert tree.read("good") == b"x"


def test_budgets(monkeypatch: pytest.MonkeyPatch) -> None:
    """One file, all files together and the number of entries must be bounded."""
    monkeypatch.setattr(trees, "MAX_TOTAL", 15)
    monkeypatch.setattr(trees, "MAX_ENTRIES", 5)
    tree = MemoryTree({"a": "x" * 11, "b": "x" * 10, "c": "x" * 6, "d/1": "", "d/2": "", "d/3": ""})
    tree.max_file = 7
    with pytest.raises(EntryRefused, match="larger than 7 B, the limit for one file") as caught:
        tree.read("a")
    assert "source.max_file" in caught.value.hint
    tree.max_file = 10
    with pytest.raises(EntryRefused, match="limit for one file"):
        tree.read("a")
    assert tree.read("b") and tree.read("b")
    tree.max_file = 7
    with pytest.raises(EntryRefused, match="together"):
        tree.read("c")
    with pytest.raises(EntryRefused, match="entries"):
        tree.files()


def test_links_cannot_multiply_the_tree() -> None:
    """Directory links that fan out must hit the budget, not the memory."""
    links = {f"{level}/{number}": f"../{level + 1}" for level in range(8) for number in range(10)}
    tree = MemoryTree({"8/end": "x"}, links=links)
    with pytest.raises(EntryRefused, match="entries"):
        tree.files("0")


def test_damaged_object_is_transient(tmp_path: Path) -> None:
    """A damaged object of the cache must be retried with a fresh cache, not blamed on the repository."""
    root, sha = _repo(tmp_path)
    for item in (root / ".git/objects").rglob("*"):
        if item.is_file() and item.parent.name + item.name != sha and "pack" not in item.parts:
            item.chmod(0o644)
            os.truncate(item, 0)
    with pytest.raises(Transient) as caught:
        GitTree(root / ".git", sha).read("top")
    assert caught.value.code == "CacheDamaged"


def test_missing_commit_is_transient(tmp_path: Path) -> None:
    """A commit that the cache does not hold must be fetched again."""
    root, _ = _repo(tmp_path)
    with pytest.raises(Transient):
        GitTree(root / ".git", "0" * 40)


def test_object_with_another_content_is_transient(tmp_path: Path) -> None:
    """An object whose content does not fit its id must not be used."""
    root, sha = _repo(tmp_path)
    objects = root / ".git/objects"
    one, two = (Blob.from_string(data).id.decode() for data in (b"1", b"2"))
    for path in (objects / one[:2] / one[2:], objects / two[:2] / two[2:]):
        path.chmod(0o644)
    (objects / one[:2] / one[2:]).write_bytes((objects / two[:2] / two[2:]).read_bytes())
    with pytest.raises(Transient, match="id"):
        GitTree(root / ".git", sha).read("a/one")


def test_lfs_content_of_a_checkout_is_still_a_pointer(tmp_path: Path) -> None:
    """Where the checkout has a file's content and the repository only its pointer, what hosts see must
    count.
    """
    root = tmp_path / "fleet"
    root.mkdir()
    (root / ".gitattributes").write_text("*.bin filter=lfs\n")
    (root / "tool.bin").write_bytes(b"version https://git-lfs.github.com/spec/v1\n")
    (root / "plain").write_text("x")
    with Repo.init(str(root)) as repo:
        repo.get_worktree().stage([b".gitattributes", b"tool.bin", b"plain"])
    (root / "tool.bin").write_bytes(b"the content")
    tree = DirTree(root)
    assert tree.read("plain") == b"x"
    with pytest.raises(EntryRefused, match="LFS"):
        tree.read("tool.bin")


def test_an_unlocked_checkout_of_git_crypt_is_still_encrypted(tmp_path: Path) -> None:
    """Where git-crypt has put a plain file into the checkout, `validate` must say what hosts will see."""
    root = tmp_path / "fleet"
    root.mkdir()
    (root / ".gitattributes").write_text("key filter=git-crypt diff=git-crypt\n")
    (root / "key").write_bytes(b"\0GITCRYPT\0\1\2")
    with Repo.init(str(root)) as repo:
        repo.get_worktree().stage([b".gitattributes", b"key"])
    (root / "key").write_bytes(b"the content")
    with pytest.raises(EntryRefused, match="git-crypt"):
        DirTree(root).read("key")
    assert DirTree(root).read("key", encrypted=True) == b"\0GITCRYPT\0\1\2"


def test_encrypted_content_is_for_those_who_ask_for_it() -> None:
    """An encrypted file must be refused at its first line, unless it is asked for as it is; a pointer
    always.
    """
    pointer = "version https://git-lfs.github.com/spec/v1\n"
    vault = "$ANSIBLE_VAULT;1.1;AES256\n3664\n"
    tree = MemoryTree({"vault": vault, "pointer": pointer}, links={"link": "vault"})
    for path in ("vault", "link"):
        with pytest.raises(EntryRefused, match=f"{path}: is encrypted .ansible-vault.") as caught:
            tree.read(path)
        assert caught.value.line == 1 and "keep_encrypted" in caught.value.hint
    assert tree.read("link", encrypted=True) == vault.encode()
    with pytest.raises(EntryRefused, match="LFS") as caught:
        tree.read("pointer", encrypted=True)
    assert "git lfs untrack pointer" in caught.value.hint


def test_a_link_of_git_annex_is_a_pointer() -> None:
    """A file that git-annex has locked must be named as such, and not as a bad link."""
    target = "../.git/annex/objects/Kj/0x/SHA256E-s3--f50d/SHA256E-s3--f50d"
    tree = MemoryTree({"a/x": "x"}, links={"a/film": target})
    with pytest.raises(EntryRefused, match="git-annex pointer") as caught:
        tree.read("a/film")
    assert "git annex unannex a/film" in caught.value.hint
