"""Files whose owner the image of a container says."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from agent.kinds import files, readers
from agent.kinds.base import Target, View
from agent.model import Key, Manifest, Resource
from agent.observed import Observed, ObservedFile

PATH = "/apps/shop/.limpet/secrets/a/s"
KEY = Key("file", PATH)
IMAGE, OTHER = "sha256:one", "sha256:two"


def secret(mode: str = "0400", fields: tuple[str, ...] = ("owner", "group"), **more: str) -> Resource:
    reader: dict[str, object] = {
        "image": "shop/a:1",
        "fields": list(fields),
        "what": "services.a: the secret s",
    }
    about: dict[str, Any] = {"content": "c" * 64, "size": 1, "app": "shop", "mode": mode, **more}
    return files.file(PATH, reader=reader, origin="compose.yaml:3", **about)


def release(made: Resource, image: str = IMAGE) -> Target:
    return Target(Manifest({made.key: made}), {"shop/a:1": image} if image else {})


def owner(target: Target, observed: Observed) -> tuple[str, str]:
    spec = readers.with_owners(target, observed).manifest.resources[KEY].spec
    return spec["owner"], spec["group"]


@pytest.mark.parametrize(
    ("user", "fields", "wanted"),
    [
        ("1000:1000", ("owner", "group"), ("1000", "1000")),
        ("1000", ("owner", "group"), ("1000", "root")),
        ("01000:0", ("owner", "group"), ("1000", "root")),
        ("1000:staff", ("owner", "group"), ("1000", "root")),
        ("node:2000", ("owner", "group"), ("root", "2000")),
        ("node", ("owner", "group"), ("root", "root")),
        ("", ("owner", "group"), ("root", "root")),
        ("0:0", ("owner", "group"), ("root", "root")),
        ("root", ("owner", "group"), ("root", "root")),
        ("1000:1000", ("owner",), ("1000", "root")),
        ("1000:1000", ("group",), ("root", "1000")),
    ],
)
def test_the_image_says_the_owner(user: str, fields: tuple[str, ...], wanted: tuple[str, str]) -> None:
    """A file must belong to the user and group of the image, each as far as it is a number and nothing else
    says it; and what identifies the release must be as before.
    """
    target, observed = release(secret(fields=fields)), Observed(users={IMAGE: user})
    assert owner(target, observed) == wanted
    found = readers.with_owners(target, observed)
    assert found.manifest.digest == target.manifest.digest and found.same(target)
    assert readers.with_owners(found, observed) == found


def test_the_image_of_the_release_counts() -> None:
    """Two releases with two images by one reference must each have their own owner."""
    observed = Observed(images={"shop/a:1": OTHER}, users={IMAGE: "1", OTHER: "2"})
    assert owner(release(secret()), observed) == ("1", "root")
    assert owner(release(secret(), OTHER), observed) == ("2", "root")


@pytest.mark.parametrize("image", [IMAGE, ""], ids=["gone", "not resolved"])
def test_an_image_that_is_not_there_changes_nothing(image: str) -> None:
    """While nobody knows the user, the owner of a file that is there must count as right."""
    there = ObservedFile("file", 0o400, 1000, 7, "app", "")
    assert owner(release(secret(), image), Observed(files={PATH: there})) == ("1000", "7")
    assert owner(release(secret(), image), Observed()) == ("root", "root")
    view = View(release(secret(), image), Observed(files={PATH: replace(there, content="c" * 64)}), {})
    settled = replace(view, target=readers.with_owners(view.target, view.observed))
    assert files.fate(KEY, settled.target.manifest.resources[KEY], settled).verb == "ok"


def test_a_release_without_such_files_is_left_as_it_is() -> None:
    """A release in which no image decides anything must be the very same one, and ask for nothing."""
    plain = files.file("/etc/motd", content="c" * 64, size=1)
    target = release(plain)
    assert readers.with_owners(target, Observed()) is target and not readers.asked(target)


def test_which_images_are_asked() -> None:
    """The image of the release must be asked for, and by its reference while it is not resolved; one that is
    there and was not asked must be noticed.
    """
    target = release(secret())
    assert readers.asked(target) == {"shop/a:1", IMAGE}
    assert readers.unseen(target, Observed(image_ids=frozenset({IMAGE})))
    assert not readers.unseen(target, Observed(image_ids=frozenset({IMAGE}), users={IMAGE: ""}))
    assert not readers.unseen(target, Observed())


@pytest.mark.parametrize(
    ("user", "mode", "told"),
    [
        ("node", "0400", True),
        ("node:staff", "0440", True),
        ("node:2000", "0440", False),
        ("node:2000", "0400", True),
        ("node", "0444", False),
        ("1000", "0400", False),
        ("", "0400", False),
        ("root", "0400", False),
        ("0", "0400", False),
    ],
)
def test_a_name_is_told(user: str, mode: str, told: bool) -> None:
    """A file that a user with a name may not be able to read must be told with `uid`, and no other file."""
    observed = Observed(users={IMAGE: user})
    view = View(readers.with_owners(release(secret(mode)), observed), observed, {})
    found = [str(caution) for caution in readers.locked_out(view)]
    assert bool(found) is told
    if told:
        assert "services.a: the secret s is readable only for root" in found[0]
        assert "image shop/a:1 runs as node" in found[0]
        assert "compose.yaml:3" in found[0] and 'add uid: "NUMBER"' in found[0]


def test_an_owner_that_is_written_is_not_told() -> None:
    """A file whose `uid` somebody has written must not be told, whatever the image runs as."""
    observed = Observed(users={IMAGE: "node"})
    made = secret(fields=("group",), owner="5")
    view = View(readers.with_owners(release(made), observed), observed, {})
    assert not list(readers.locked_out(view))
