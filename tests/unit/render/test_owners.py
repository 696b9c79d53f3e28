"""Owners of configs and secrets: who may read what a service mounts."""

from __future__ import annotations

import pytest

from agent.kinds.base import digest
from agent.model import Key, Manifest
from tests.unit.render.rendering import container, manifest

OWN = "/var/lib/limpet/apps/fleet/.limpet/secrets"


def service(lines: str, **more: str) -> dict[str, str]:
    text = f"services:\n  a:\n    image: x\n    {lines}\n"
    text += "secrets: {s: {file: s.txt}, e: {environment: E}}\n"
    return {"compose.yaml": text + "configs: {c: {content: c}}\n", "s.txt": "s", ".env": "E=e\n", **more}


def granted(found: Manifest, target: str) -> tuple[str, str, str]:
    """Owner, group and mode of the file that the service has at a target."""
    (source,) = (
        mount["source"]
        for mount in container(found, "fleet-a-1").spec["config"]["volumes"]
        if mount["target"] == target
    )
    spec = found.resources[Key("file", source)].spec
    return spec["owner"], spec["group"], spec["mode"]


@pytest.mark.parametrize(
    ("user", "use", "owner"),
    [
        ('"1000:1000"', "{source: s, mode: 0400}", ("1000", "1000", "0400")),
        ('"1000:1000"', "{source: s, target: s}", ("1000", "1000", "0644")),
        ('"1000:1000"', "s", ("1000", "1000", "0644")),
        ('"1000"', "{source: s, mode: 0400}", ("1000", "root", "0400")),
        ('"1000:staff"', "{source: s, mode: 0440}", ("1000", "root", "0440")),
        ('"node:2000"', "{source: s, mode: 0440}", ("root", "2000", "0440")),
        ('"1000:1000"', '{source: s, uid: "5"}', ("5", "1000", "0644")),
        ('"1000:1000"', '{source: s, gid: "5", mode: 0440}', ("1000", "5", "0440")),
        ('"1000:1000"', '{source: s, uid: "0", gid: "0", mode: 0400}', ("0", "0", "0400")),
        ('"0:0"', "{source: s, mode: 0400}", ("root", "root", "0400")),
        ("root", "{source: s, mode: 0400}", ("root", "root", "0400")),
        ("node", "{source: s, mode: 0444}", ("root", "root", "0444")),
    ],
)
def test_a_secret_belongs_to_the_user_of_the_container(
    user: str, use: str, owner: tuple[str, str, str]
) -> None:
    """A secret without an owner of its own must belong to the user that the service runs as."""
    found = manifest(service(f"user: {user}\n    secrets: [{use}]"))
    assert granted(found, "/run/secrets/s") == owner
    assert not found.warnings


def test_so_do_configs_and_secrets_without_a_file() -> None:
    """Inline configs and secrets of variables must belong to the user of the container, too."""
    found = manifest(service('user: "7:8"\n    secrets: [e]\n    configs: [{source: c, mode: 0440}]'))
    assert granted(found, "/run/secrets/e") == ("7", "8", "0644")
    assert granted(found, "/c") == ("7", "8", "0440")


def test_services_of_different_users_have_their_own_files() -> None:
    """Two services that run as different users must each be able to read the secret that both have."""
    text = """\
services:
  a: {image: x, user: "1", secrets: [{source: s, mode: 0400}]}
  b: {image: x, user: "2", secrets: [{source: s, mode: 0400}]}
  c: {image: x, secrets: [s]}
secrets: {s: {file: s.txt}}
"""
    found = manifest({"compose.yaml": text, "s.txt": "s"})
    owners = {key.name: value.spec["owner"] for key, value in found.resources.items() if key.kind == "file"}
    assert {name.rpartition("fleet/")[2]: owner for name, owner in owners.items()} == {
        ".limpet/secrets/a/s": "1",
        ".limpet/secrets/b/s": "2",
        "s.txt": "root",
    }


def test_one_service_has_a_secret_twice() -> None:
    """A service that has one secret with two owners must get both files."""
    uses = '[{source: s, target: one, uid: "1", mode: 0400}, {source: s, target: two, uid: "2", mode: 0400}]'
    found = manifest(service(f"secrets: {uses}"))
    assert granted(found, "/run/secrets/one")[0] == "1"
    assert granted(found, "/run/secrets/two")[0] == "2"


@pytest.mark.parametrize(
    ("lines", "why"),
    [
        ("user: node\n    secrets: [{source: s, mode: 0400}]", "the service runs as node"),
        ("user: node:staff\n    secrets: [{source: s, mode: 0440}]", "the service runs as node"),
        ("user: node\n    configs: [{source: c, mode: 0400}]", "the service runs as node"),
    ],
)
def test_a_file_that_its_reader_may_not_read_is_told(lines: str, why: str) -> None:
    """Where Limpet cannot know the number of the user, and the mode keeps all but root from reading, a
    warning must ask for `uid`.
    """
    (warning,) = manifest(service(lines)).warnings
    assert why in warning and 'uid: "NUMBER"' in warning and "compose.yaml:" in warning


@pytest.mark.parametrize(
    "lines",
    [
        "secrets: [s]",
        "secrets: [{source: s, mode: 0400}]",
        "configs: [{source: c, mode: 0400}]",
        "secrets: [{source: s, mode: 0444}]",
        'secrets: [{source: s, mode: 0400, uid: "0"}]',
        'secrets: [{source: s, mode: 0440, gid: "5"}]',
        'user: "1000"\n    secrets: [{source: s, mode: 0400}]',
        "user: root\n    secrets: [{source: s, mode: 0400}]",
    ],
)
def test_what_can_be_read_is_not_warned_of(lines: str) -> None:
    """A file that the user of the container can read, or whose owner is written or known only when the image
    is there, must give no warning.
    """
    assert not manifest(service(lines)).warnings


def test_nothing_changes_for_a_service_without_a_user() -> None:
    """A service that says no user and no mode must keep the shared file, at its own path."""
    found = manifest(service("secrets: [s, e]"))
    assert granted(found, "/run/secrets/s") == ("root", "root", "0644")
    assert Key("file", f"{OWN}/e") in found.resources


@pytest.mark.parametrize(
    ("lines", "fields"),
    [
        ("secrets: [{source: s, mode: 0400}]", ["owner", "group"]),
        ("configs: [c]\n    secrets: [{source: s, target: s, mode: 0440}]", ["owner", "group"]),
        ('secrets: [{source: s, mode: 0440, gid: "5"}]', ["owner"]),
        ('secrets: [{source: s, mode: 0440, uid: "5"}]', ["group"]),
        ('secrets: [{source: s, mode: 0440, uid: "5", gid: "5"}]', None),
        ('user: "1000"\n    secrets: [{source: s, mode: 0440}]', None),
        ("user: root\n    secrets: [{source: s, mode: 0440}]", None),
        ("secrets: [s]", None),
    ],
)
def test_what_the_image_decides(lines: str, fields: list[str] | None) -> None:
    """Only what neither the use of a file nor `user:` says must be left to the image; and that must change no
    digest: hosts that have the file already would do something.
    """
    found = manifest(service(lines))
    (source,) = (
        mount["source"]
        for mount in container(found, "fleet-a-1").spec["config"]["volumes"]
        if mount["target"] == "/run/secrets/s"
    )
    resource = found.resources[Key("file", source)]
    reader = resource.spec.get("reader")
    assert (reader or {}).get("fields") == fields
    plain = {key: value for key, value in resource.spec.items() if key != "reader"}
    assert resource.digest == digest("file", plain)
    if reader:
        assert reader["image"] == "x" and reader["what"] == "services.a: the secret s"
