"""A container that goes and one that comes: the data has one writer, and unnamed volumes are handed on."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from agent.kinds.container import container_resource
from agent.model import Action, Need, Resource
from tests.fakes.passes import Passes
from tests.passes.moves import proved, with_images

VOLUME = {"type": "volume", "source": "pgdata", "target": "/data"}
BIND = {"type": "bind", "source": "/srv/data", "target": "/data"}
BELOW = {"type": "bind", "source": "/srv/data/pg", "target": "/data"}
DEVICE: Any = {"devices": ["/dev/ttyUSB0:/dev/ttyUSB0:rwm"]}


def one(name: str, *mounts: dict[str, Any], service: str = "", app: str = "shop", **config: Any) -> Resource:
    """A container `name` of a service of that name, or of another one."""
    return container_resource(
        name,
        app=app,
        service=service or name,
        number=1,
        config={"image": "shop/db:1", "volumes": list(mounts), "restart": "always", **config},
        inputs={},
        folded={},
    )


@pytest.fixture
def passes(tmp_path: Any) -> Passes:
    """A host on which no two containers may run at the same time, unless a test says which."""
    return with_images(tmp_path, ("shop/db:1", "idle"), ("shop/db:2", "idle"), ("shop/db:sick", "sick"))


def together(passes: Passes) -> list[set[str]]:
    """Fills with the final names of the containers that run at the same time, at each action."""
    found: list[set[str]] = []
    execute: Callable[..., None] = passes.host.execute

    def watched(action: Action, resource: Resource | None) -> None:
        execute(action, resource)
        running = (at.seen for at in passes.host.containers.values() if at.seen.state == "running")
        found.append({seen.key_name for seen in running})

    passes.host.execute = watched  # type: ignore[method-assign]
    return found


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (one("postgres", VOLUME), one("db", VOLUME)),
        (one("postgres", BIND), one("db", BIND)),
        (one("postgres", BIND), one("db", BELOW)),
        (one("postgres", BELOW), one("db", BIND)),
        (one("modem", **DEVICE), one("serial", **DEVICE)),
        (one("postgres", VOLUME), one("db", VOLUME, app="store")),
        (one("shop-db-1", service="db"), one("mydb", service="db")),
        (one("mydb", VOLUME, service="db"), one("shop-db-1", VOLUME, service="db")),
    ],
    ids=["volume", "path", "below", "above", "device", "another app", "container_name", "no container_name"],
)
def test_the_old_one_stops_before_the_new_one_starts(
    passes: Passes, before: Resource, after: Resource
) -> None:
    """Two containers must never write the same data when the one takes the place of the other; and a release
    that fails must give the place back in the same way.
    """
    proved(passes, before)
    seen = together(passes)
    proved(passes, after)
    assert passes.host.find(before.key.name) is None
    passes.branch.push(sick(after))
    assert passes.run().exit_code == 4
    assert passes.host._find(after.key.name).seen.state == "running"
    assert not [names for names in seen if len(names) > 1], seen


def sick(resource: Resource) -> Resource:
    """The same service under a third name, with an image that is not healthy."""
    config = {**resource.spec["config"], "image": "shop/db:sick"}
    about = {key: resource.spec[key] for key in ("app", "service", "number", "inputs", "folded")}
    return container_resource("third", config=config, **about)


def test_those_that_share_on_purpose_go_on(passes: Passes) -> None:
    """Two services that share a volume in one release must not stop each other, whether both are changed or
    one of them is new.
    """
    proved(passes, one("a", VOLUME))
    seen = together(passes)
    proved(passes, one("a", VOLUME), one("b", VOLUME))
    assert {"a", "b"} in seen
    seen.clear()
    proved(passes, one("a", VOLUME, environment={"A": "2"}), one("b", VOLUME))
    assert all("b" in names for names in seen)


def borrower(name: str, db: Resource, entry: str) -> Resource:
    """A container with the volumes of another one."""
    return container_resource(
        name,
        app="shop",
        service=name,
        number=1,
        config={"image": "shop/db:1", "restart": "always", "volumes_from": [entry]},
        inputs={},
        folded={str(db.key): db.digest},
        needs=(Need(db.key, "started"),),
    )


@pytest.mark.parametrize("mounts", [(VOLUME,), (BIND,), (VOLUME, BIND)])
@pytest.mark.parametrize("lender", ["db", "container:db"])
def test_volumes_of_another_container_are_written_too(
    passes: Passes, mounts: tuple[dict[str, Any], ...], lender: str
) -> None:
    """Data that a container has from another one must not be written by it and by its successor at once."""
    db = one("db", *mounts)
    proved(passes, db, borrower("backup", db, lender))
    seen = together(passes)
    proved(passes, db, borrower("copy", db, lender))
    assert not [names for names in seen if {"backup", "copy"} <= names], seen
    seen.clear()
    proved(passes, db, one("other", *mounts))
    assert not [names for names in seen if {"copy", "other"} <= names], seen


def test_readers_of_another_container_do_not_count(passes: Passes) -> None:
    """A container that has the volumes of another one to read must not end before its successor is good."""
    db = one("db", VOLUME)
    proved(passes, db, borrower("a", db, "db:ro"))
    seen = together(passes)
    proved(passes, db, borrower("b", db, "db:ro"))
    assert [names for names in seen if {"a", "b"} <= names]


def test_readers_do_not_count(passes: Passes) -> None:
    """A container that only reads, or uses a socket that is for many, must not end before its successor is
    good.
    """
    socket = {"type": "bind", "source": "/var/run/docker.sock", "target": "/var/run/docker.sock"}
    proved(passes, one("a", VOLUME | {"read_only": True}, socket))
    seen = together(passes)
    proved(passes, one("b", VOLUME, socket))
    assert {"a", "b"} in seen


def test_data_that_moves_to_another_service(passes: Passes) -> None:
    """A volume that one service gives to another, while both stay, must not be written by both."""
    proved(passes, one("a", VOLUME), one("b"))
    seen: list[set[str]] = []
    execute: Callable[..., None] = passes.host.execute

    def watched(action: Action, resource: Resource | None) -> None:
        execute(action, resource)
        running = (at.seen for at in passes.host.containers.values() if at.seen.state == "running")
        seen.append({seen.id for seen in running if "pgdata" in seen.volumes})

    passes.host.execute = watched  # type: ignore[method-assign]
    proved(passes, one("a"), one("b", VOLUME))
    assert not [ids for ids in seen if len(ids) > 1]


def test_a_successor_is_the_heir(passes: Passes) -> None:
    """The container of the same service must be made with the unnamed volumes of the one that had another
    name.
    """
    proved(passes, one("shop-db-1", service="db"))
    old = passes.host._find("shop-db-1").seen.id
    proved(passes, one("mydb", service="db"))
    [create] = [
        action for action in passes.host.done if action.verb == "create" and action.key.name == "mydb"
    ]
    assert create.args["heir_of"] == old
