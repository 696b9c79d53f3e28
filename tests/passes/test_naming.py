"""The name of the repository: what is called after it goes on under that name when only the URL changes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from agent.converge.preview import preview
from agent.kinds.container import container_resource
from agent.kinds.volume import volume_resource
from agent.model import Key, Resource
from agent.references import familiar
from tests.fakes.passes import Passes
from tests.passes.moves import with_images
from tests.unit.render.rendering import rendered

FORGE, OTHER = "ssh://git@forge.example/ops/fleet.git", "https://new.example/ops/infra.git"


@pytest.fixture
def passes(tmp_path: Path) -> Passes:
    return with_images(tmp_path, ("db:1", "idle"), ("db:2", "idle"), ("db:sick", "sick"), url=FORGE)


def app(name: str, image: str = "db:1", service: str = "db") -> list[Resource]:
    """An app with a service and its volume."""
    volume = volume_resource(f"{name}_data", app=name, config={}, compose={"project": name, "key": "data"})
    mount = {"type": "volume", "source": volume.key.name, "target": "/data"}
    about: dict[str, Any] = {"app": name, "service": service, "number": 1, "inputs": {}, "folded": {}}
    config = {"image": image, "volumes": [mount]}
    return [volume, container_resource(f"{name}-{service}-1", config=config, **about)]


def at_root(image: str = "db:1", *more: Resource) -> Callable[[str], list[Resource]]:
    """A repository with an app at its root that has no `name:`, and other apps."""
    return lambda name: [*app(name, image), *more]


def there(passes: Passes) -> set[str]:
    return {at.seen.name for at in passes.host.containers.values()}


def lose(passes: Passes, *documents: str) -> None:
    for path in (path for name in documents for path in passes.paths.state.glob(f"{name}.json*")):
        path.unlink()


def test_another_url_renames_nothing(passes: Passes) -> None:
    """A repository that moves to another server, under another name, must change nothing on the host: not
    with the move, not with later commits, and not with a rollback.
    """
    passes.branch.push_named(at_root())
    assert passes.run().exit_code == 0
    passes.url = OTHER
    planned = preview(passes.new_context())
    assert not planned.plan.changes
    done = len(passes.host.done)
    assert passes.run().exit_code == 0 and len(passes.host.done) == done
    [note] = passes.heartbeat()["warnings"]
    assert "infra" in note and "`name: fleet`" in note
    assert passes.run().exit_code == 0 and passes.heartbeat()["warnings"] == []
    for image, code in (("db:2", 0), ("db:sick", 4)):
        passes.branch.push_named(at_root(image))
        assert passes.run().exit_code == code
    assert there(passes) == {"fleet-db-1"} and set(passes.host.volumes) == {"fleet_data"}


def test_the_name_holds_before_a_release_is_proved(passes: Passes) -> None:
    """What a first release has made must not be made once more under another name when the URL is changed
    before it is good.
    """
    passes.branch.push_named(at_root("db:sick"))
    assert passes.run().exit_code == 1
    passes.url = OTHER
    passes.branch.push_named(at_root())
    assert passes.run().exit_code == 0
    assert there(passes) == {"fleet-db-1"} and set(passes.host.volumes) == {"fleet_data"}


def test_a_url_with_which_nothing_began_names_nothing(passes: Passes) -> None:
    """A URL that was set by mistake, and with which nothing was made, must leave no name behind."""
    passes.branch.push_named(at_root("nowhere:1"))
    assert passes.run().exit_code != 0
    passes.url = OTHER
    passes.branch.push_named(at_root())
    assert passes.run().exit_code == 0
    assert there(passes) == {"infra-db-1"}


def test_the_name_is_written_where_the_url_does_not_say_it(passes: Passes) -> None:
    """A state must be as earlier versions wrote it until the repository moves; and once it has moved back,
    and on to a third place.
    """
    passes.branch.push_named(at_root())
    for url, written in ((FORGE, ""), (OTHER, "fleet"), (FORGE, ""), ("file:///srv/third", "fleet")):
        passes.url = url
        for _ in range(2):
            assert passes.run().exit_code == 0
        assert passes.state.repository == written
        assert ("repository" in passes.state.to_json()) is bool(written)
    assert there(passes) == {"fleet-db-1"}


@pytest.mark.parametrize("lost", [("state",), ("state", "inventory")])
def test_a_lost_state_follows_what_runs(passes: Passes, lost: tuple[str, ...]) -> None:
    """After the state was lost, the app at the root must go on under the name that it has on the host, and be
    remembered by it.
    """
    other = app("blog")
    passes.branch.push_named(at_root("db:1", *other))
    assert passes.run().exit_code == 0
    passes.url = OTHER
    lose(passes, *lost)
    assert not preview(passes.new_context()).plan.actions
    for image in ("db:1", "db:2"):
        passes.branch.push_named(at_root(image, *other))
        assert passes.run().exit_code == 0
    assert there(passes) == {"fleet-db-1", "blog-db-1"} and passes.state.repository == "fleet"


def test_a_lost_state_that_says_nothing_clear(passes: Passes) -> None:
    """When two apps on the host could be the one at the root, none of them must be taken for it."""
    passes.branch.push_named(at_root("db:1", *app("blog")))
    assert passes.run().exit_code == 0
    passes.url = OTHER
    lose(passes, "state", "inventory")
    passes.branch.push_named(at_root())
    assert passes.run().exit_code == 0
    assert "infra-db-1" in there(passes)


def test_an_app_that_went_is_not_taken_for_the_one_at_the_root(passes: Passes) -> None:
    """After the state was lost, an app with other services must not give its name to the one at the root."""
    passes.branch.push(*app("blog", service="web"))
    assert passes.run().exit_code == 0
    lose(passes, "state", "inventory")
    passes.branch.push_named(at_root())
    assert passes.run().exit_code == 0
    assert "fleet-db-1" in there(passes)


def test_an_app_at_the_root_with_its_own_name(passes: Passes) -> None:
    """An app that says its name must have it, whatever the URL is, and nothing be told."""
    passes.branch.push(*app("shop"))
    assert passes.run().exit_code == 0
    passes.url = OTHER
    assert passes.run().exit_code == 0
    assert there(passes) == {"shop-db-1"} and passes.heartbeat()["warnings"] == []
    assert Key("volume", "shop_data") in passes.context.inventory.entries


def tree(passes: Passes, files: dict[str, str]) -> None:
    """A commit with these files."""
    found = rendered(files)
    for data in found.content.values():
        passes.host.content.put(data)
    passes.branch.push(*found.manifest.resources.values())


def paperless(directory: str, image: str = "db:1", name: str = "") -> dict[str, str]:
    services = f"services: {{db: {{image: '{image}', volumes: ['data:/data', './scans:/scans']}}}}\n"
    return {f"apps/{directory}/compose.yaml": f"{name}{services}volumes: {{data: {{}}}}\n"}


def test_a_renamed_directory_is_told_and_stopped_by_nothing(passes: Passes) -> None:
    """A directory that gets another name must be a warning in the dry run, in the log and in the heartbeat of
    the pass that brings it, and of no other pass.
    """
    tree(passes, paperless("paperless-ngx"))
    assert passes.run().exit_code == 0 and passes.heartbeat()["warnings"] == []
    tree(passes, paperless("paperless"))
    planned = preview(passes.new_context()).plan
    remedy = "`name: paperless-ngx` at the top of apps/paperless/compose.yaml"
    assert "warning volume/paperless_data: paperless begins empty" in str(planned)
    assert remedy in str(planned).splitlines()[-1] and not planned.refusals
    assert passes.run().exit_code == 0
    [warning] = passes.heartbeat()["warnings"]
    assert warning.startswith("volume/paperless_data: ") and remedy in warning
    assert "paperless-ngx/scans" in warning
    assert there(passes) == {"paperless-db-1"} and "paperless-ngx_data" in passes.host.volumes
    assert passes.run().exit_code == 0 and passes.heartbeat()["warnings"] == []


@pytest.mark.parametrize("late", [False, True], ids=["at once", "after the loss"])
def test_the_old_name_goes_on_with_the_data(passes: Passes, late: bool) -> None:
    """With `name:` in the renamed directory, the container must go on with its volumes, at once or after the
    rename was brought in without it; a change is made in place, and a bad one undone.
    """
    tree(passes, paperless("paperless-ngx"))
    assert passes.run().exit_code == 0
    old = passes.host._find("paperless-ngx-db-1").seen.id
    passes.host.data.add("/var/lib/limpet/apps/paperless-ngx/scans")
    if late:
        tree(passes, paperless("paperless"))
        assert passes.run().exit_code == 0 and there(passes) == {"paperless-db-1"}
    tree(passes, paperless("paperless", name="name: paperless-ngx\n"))
    assert passes.run().exit_code == 0
    assert passes.heartbeat()["warnings"] == []
    assert there(passes) == {"paperless-ngx-db-1"}
    seen = passes.host._find("paperless-ngx-db-1").seen
    assert seen.volumes == ("paperless-ngx_data",) and (seen.id == old) is not late
    for image, code, now in (("db:2", 0, "db:2"), ("db:sick", 4, "db:2")):
        tree(passes, paperless("paperless", image, "name: paperless-ngx\n"))
        assert passes.run().exit_code == code
        assert passes.running("paperless-ngx-db-1") == passes.host.images[familiar(now)]
    assert passes.host._find("paperless-ngx-db-1").seen.volumes == ("paperless-ngx_data",)


def test_a_rename_that_fails_is_told_again(passes: Passes) -> None:
    """When a release that renames fails and is tried again, its volumes are as empty as before: it must be
    told again.
    """
    tree(passes, paperless("paperless-ngx"))
    assert passes.run().exit_code == 0
    tree(passes, paperless("paperless", "db:sick"))
    for _ in range(2):
        assert passes.run().exit_code == 4
        tree(passes, paperless("paperless", "db:sick") | {"apps/x/compose.yaml": "services: {x: {image: x}}"})
        passes.host.add_image("x")
    assert "paperless begins empty" in " ".join(passes.heartbeat()["warnings"])
    assert there(passes) == {"paperless-ngx-db-1"}


def test_a_quiet_pass_does_not_touch_data(passes: Passes) -> None:
    """A pass with nothing to do must not look into directories of data, which may be mounts that hang."""
    tree(passes, paperless("a"))
    assert passes.run().exit_code == 0
    looks: list[frozenset[str]] = []
    observe = passes.host.observe
    passes.host.observe = lambda look: (looks.append(look.data), observe(look))[1]  # type: ignore
    assert passes.run().exit_code == 0
    assert looks and not any(looks)
