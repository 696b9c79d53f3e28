"""Data that is left behind because an app got another name: when it is told, and with which remedy."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import pytest

from agent.decide.left_behind import begun_empty, data_paths
from agent.kinds.base import Target, View
from agent.model import Caution, Key, Manifest, Owned
from agent.observed import Observed, ObservedContainer, ObservedVolume
from tests.unit.render.rendering import manifest

DB = "services: {db: {image: db, volumes: ['data:/data']}}\nvolumes: {data: {}}\n"
NAMED = "services: {db: {image: db, volumes: ['data:/data']}}\nvolumes: {data: {name: the-data}}\n"
EXTERNAL = "services: {db: {image: db, volumes: ['data:/data']}}\nvolumes: {data: {external: true}}\n"
BIND = "services: {db: {image: db, volumes: ['./data:/data', './conf:/conf:ro']}}\n"
OUTSIDE = "services: {db: {image: db, volumes: ['/srv/data:/data']}}\n"
PLAIN = "services: {db: {image: db}}\n"
NFS = """\
services: {db: {image: db, volumes: ['data:/data']}}
volumes: {data: {driver_opts: {type: nfs, o: addr=10.0.0.1, device: ':/export'}}}
"""


def at(name: str, text: str, **more: str) -> dict[str, str]:
    return {f"apps/{name}/compose.yaml": text} | {f"apps/{name}/{path}": data for path, data in more.items()}


def seen(before: Manifest, *, unnamed: bool = False) -> Observed:
    """A host to which a release was faithfully brought."""
    containers = []
    for resource in before.of_kind("container"):
        mounts = resource.spec["config"].get("volumes") or ()
        names = [mount["source"] for mount in mounts if mount["type"] == "volume" and mount.get("source")]
        containers.append(
            ObservedContainer(
                "1" * 64,
                resource.key.name,
                True,
                "running",
                "sha256:x",
                key_name=resource.key.name,
                app=resource.spec["app"],
                digest=resource.digest,
                volumes=(*names, *(["f" * 64] if unnamed else [])),
            )
        )
    volumes = {r.key.name: ObservedVolume(r.key.name, True, r.digest) for r in before.of_kind("volume")}
    return Observed(containers=tuple(containers), volumes=volumes)


def change(before: Mapping[str, str], after: Mapping[str, str], *, unnamed: bool = False) -> View:
    old, new = manifest(before), manifest(after)
    owned = {key: Owned(resource.digest, app="") for key, resource in old.resources.items()}
    observed = replace(seen(old, unnamed=unnamed), bare=frozenset(data_paths(new) - data_paths(old)))
    return View(Target(new), observed, owned, Target(old), Target(old))


def told(before: Mapping[str, str], after: Mapping[str, str], *, unnamed: bool = False) -> list[Caution]:
    return list(begun_empty(change(before, after, unnamed=unnamed)))


def test_a_renamed_directory() -> None:
    """A renamed directory must be told with both volumes, and with the line that goes on with the data."""
    [caution] = told(at("paperless-ngx", DB), at("paperless", DB))
    assert caution.key == Key("volume", "paperless_data")
    assert caution.cause == (
        "paperless begins empty, and the data of paperless-ngx is left behind: "
        "volume paperless-ngx_data (now volume paperless_data)"
    )
    assert caution.hint == (
        "to go on with it, write `name: paperless-ngx` at the top of apps/paperless/compose.yaml"
    )


@pytest.mark.parametrize(
    ("before", "after", "remedy"),
    [
        (at("a", f"name: one\n{DB}"), at("a", f"name: two\n{DB}"), "`name: one` at the top of apps/a/comp"),
        (
            at("a", DB, **{".env": "COMPOSE_PROJECT_NAME=one\n"}),
            at("a", DB, **{".env": "COMPOSE_PROJECT_NAME=two\n"}),
            "COMPOSE_PROJECT_NAME=one in apps/a/.env",
        ),
        (at("a", DB), at("a", DB, **{".env": "X=1\nCOMPOSE_PROJECT_NAME=b\n"}), "COMPOSE_PROJECT_NAME=a in"),
        (at("a", DB), {"compose.yaml": DB}, "`name: a` at the top of compose.yaml"),
        ({"compose.yaml": DB}, at("b", DB), "`name: fleet` at the top of apps/b/compose.yaml"),
        (
            at("a", DB),
            {"apps/b/docker-compose.yml": DB, "apps/b/docker-compose.override.yml": PLAIN},
            "`name: a` at the top of apps/b/docker-compose.yml",
        ),
        (
            at("a", DB),
            {"apps/b/compose.yaml": PLAIN, "apps/b/compose.override.yaml": f"name: c\n{DB}"},
            "`name: a` at the top of apps/b/compose.override.yaml",
        ),
        (
            at("a", DB),
            at("b", "include: [db.yaml]\n", **{"db.yaml": DB}),
            "at the top of apps/b/compose.yaml",
        ),
        (at("a", DB), {"apps/b/compose.yaml.j2": DB}, "`name: a` at the top of apps/b/compose.yaml.j2"),
    ],
    ids=["name", "variable", "new variable", "to root", "from root", "override", "named", "include", "j2"],
)
def test_the_remedy_names_the_file(before: dict[str, str], after: dict[str, str], remedy: str) -> None:
    """However an app comes by another name, the remedy must be the line and the file that set it back."""
    [caution] = told(before, after)
    assert remedy in caution.hint


def test_the_remedy_is_right() -> None:
    """With the line of the remedy, nothing must begin empty, and nothing be left to tell."""
    after = at("paperless", f"name: paperless-ngx\n{DB}")
    view = change(at("paperless-ngx", DB), after)
    assert not begun_empty(view)
    assert view.target.manifest.resources.keys() == view.known_good.manifest.resources.keys()


def test_directories_of_data() -> None:
    """A directory of data below that of the app is at another place under another name, and must be told; one
    that Git fills must not.
    """
    [caution] = told(at("a", BIND, **{"conf/x": "x"}), at("b", BIND, **{"conf/x": "x"}))
    assert "/var/lib/limpet/apps/a/data (now /var/lib/limpet/apps/b/data)" in caution.cause
    assert "conf" not in caution.cause and "`name: a`" in caution.hint


def test_a_directory_that_was_moved() -> None:
    """A directory that somebody has moved to the new place before the release must not be told."""
    view = change(at("a", BIND), at("b", BIND))
    assert not begun_empty(replace(view, observed=replace(view.observed, bare=frozenset())))


def test_unnamed_volumes() -> None:
    """A container that has unnamed volumes must be told when its app gets another name."""
    [caution] = told(at("a", PLAIN), at("b", PLAIN), unnamed=True)
    assert "the unnamed volumes of a-db-1" in caution.cause and "`name: a`" in caution.hint


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (at("a", NAMED), at("b", NAMED)),
        (at("a", EXTERNAL), at("b", EXTERNAL)),
        (at("a", OUTSIDE), at("b", OUTSIDE)),
        (at("a", NFS), at("b", NFS)),
        (at("a", PLAIN), at("b", PLAIN)),
        (at("a", DB), {**at("a", DB), **at("b", DB)}),
        (at("a", DB), {**at("a", DB), **at("b", PLAIN)}),
        (at("a", DB), {"apps/a/docker-compose.yml": DB}),
        (at("a", DB), at("b", DB.replace("data:", "other:"))),
        (at("a", DB), at("a", DB.replace("image: db", "image: db2"))),
        (at("a", DB), {}),
        ({}, at("a", DB)),
        (at("a", DB), at("b", DB.replace("data: {}", "data: {name: a_data}"))),
    ],
    ids=[
        "fixed name",
        "external",
        "outside",
        "device",
        "no data",
        "both remain",
        "another app",
        "file name",
        "another key",
        "only changed",
        "removed",
        "new",
        "remedied",
    ],
)
def test_what_leaves_nothing_behind_is_not_told(before: dict[str, str], after: dict[str, str]) -> None:
    """Where nothing begins empty that was there under another name, nothing must be told."""
    assert not told({**at("more", PLAIN), **before}, {**at("more", PLAIN), **after})


def test_an_app_that_is_split() -> None:
    """When the old app goes on without the volume, its name is taken: the remedy must be at the volume."""
    after = {**at("a", PLAIN.replace("db:", "web:", 1)), **at("a-db", DB)}
    [caution] = told(at("a", f"{DB}".replace("services: {", "services: {web: {image: web}, ")), after)
    assert (
        caution.hint == "to go on with it, write `name: a_data` under volumes.data in apps/a-db/compose.yaml"
    )


def test_an_app_that_is_split_into_new_ones() -> None:
    """When two new apps could go on with one, no app must be told to take the name: both would."""
    found = told(at("a", DB), {**at("b", DB), **at("c", DB)})
    assert [caution.key.name for caution in found] == ["b_data", "c_data"]
    assert all("`name: a_data` under volumes.data" in caution.hint for caution in found)


def test_apps_that_are_joined() -> None:
    """When two apps become one, each volume of both must be told, by its own name."""
    found = told({**at("a", DB), **at("b", DB)}, at("c", DB))
    assert {caution.hint.partition("write ")[2].partition(" under")[0] for caution in found} == {
        "`name: a_data`",
        "`name: b_data`",
    }


def test_a_directory_that_cannot_keep_its_name() -> None:
    """Data of a directory whose app's old name is taken must be told with what to copy."""
    after = {**at("a", PLAIN), **at("b", BIND.replace("db:", "files:", 1))}
    [caution] = told({**at("a", BIND)}, after)
    assert "copy it from /var/lib/limpet/apps/a/data to /var/lib/limpet/apps/b/data" in caution.hint


def test_a_volume_that_is_gone_is_not_told() -> None:
    """A volume that somebody has deleted holds nothing that could be left behind."""
    view = change(at("a", DB), at("b", DB))
    assert not begun_empty(replace(view, observed=replace(view.observed, volumes={})))


def test_a_volume_that_an_attempt_has_made_is_told() -> None:
    """A volume that an earlier try of the release has made is as empty as one that is new; one that a person
    has made and filled is not.
    """
    view = change(at("a", DB), at("b", DB))
    key, there = Key("volume", "b_data"), ObservedVolume("b_data", True)
    made = replace(view, observed=replace(view.observed, volumes={**view.observed.volumes, key.name: there}))
    assert not begun_empty(made)
    assert begun_empty(replace(made, inventory={**made.inventory, key: Owned("", attempted=True)}))
