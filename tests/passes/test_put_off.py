"""What is refused of a release is not proved with it: it stays in its old form, and comes in later as a
release of its own, with a gate and a way back.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from agent.check import Check
from agent.converge.preview import preview
from agent.errors import Transient
from agent.kinds import files
from agent.kinds.container import container_resource
from agent.model import Need, Resource
from agent.store.orders import Orders, Suspension
from tests.fakes.host import Died
from tests.fakes.passes import Passes, service
from tests.passes.moves import proved, roll_back_by_hand, with_images

WEB, DB, PORT = "shop-web-1", "shop-db-1", "port/tcp/0.0.0.0/8080"


def web(image: str = "shop/web:1", **more: Any) -> Resource:
    return service(image, WEB, config={"restart": "always", **more.pop("config", {})}, **more)


def publishing(image: str = "shop/web:1", port: str = "8080", **more: Any) -> Resource:
    ports = [{"target": 80, "published": port, "protocol": "tcp"}]
    return web(image, config={"ports": ports}, **more)


def db(mark: str = "1") -> Resource:
    return service("shop/db:1", DB, environment={"E": mark}, config={"restart": "always"})


def file(passes: Passes, path: str, text: str) -> Resource:
    return files.file(path, content=passes.host.content.put(text.encode()), size=len(text))


def mounting(path: str, image: str = "shop/web:1", name: str = WEB, **config: Any) -> Resource:
    """A container that mounts a file of this host."""
    mount = {"type": "bind", "source": path, "target": "/c", "bind": {"create_host_path": False}}
    need = Need(files.absent(path).key, "present")
    return service(image, name, config={"restart": "always", **config}, volumes=[mount], needs=(need,))


@pytest.fixture
def passes(tmp_path: Path) -> Passes:
    """A host whose port 8080 is held by a process when a commit wants it for the web service."""
    images = [(f"shop/web:{tag}", "sick" if tag == "sick" else "web") for tag in ("1", "2", "sick")]
    found = with_images(tmp_path, *images, ("shop/db:1", "idle"))
    proved(found, web(), db())
    found.host.ports_of_others.add(PORT)
    return found


def refusals(passes: Passes) -> dict[str, str]:
    return {each["resource"]: each["cause"] for each in passes.heartbeat()["refused"]}


def good(passes: Passes) -> set[str]:
    """The digests of the containers of known good."""
    manifest = passes.context.target(passes.state.known_good[0]).manifest
    return {resource.digest for resource in manifest.of_kind("container")}


def test_known_good_has_the_old_form(passes: Passes) -> None:
    """The rest of the commit must be proved, and what was refused be known good as it was."""
    passes.branch.push(publishing(), db("2"))
    for _ in range(3):
        assert passes.run().exit_code == 6
        assert good(passes) == {web().digest, db("2").digest}
        assert refusals(passes) == {f"container/{WEB}": "port 8080/tcp is held by a process of the host"}


def test_what_comes_in_later_has_a_gate_and_a_way_back(passes: Passes) -> None:
    """When the obstacle goes, a new form that is not healthy must be rolled back to the very container that
    was there.
    """
    old = passes.host._find(WEB).seen.id
    passes.branch.push(publishing("shop/web:sick"), db("2"))
    assert passes.run().exit_code == 6
    database = passes.host._find(DB).seen.id
    passes.host.ports_of_others.clear()
    assert passes.run().exit_code == 4
    assert passes.host._find(WEB).seen.id == old and passes.host._find(WEB).seen.state == "running"
    assert passes.host._find(DB).seen.id == database
    done = len(passes.host.done)
    assert passes.run().exit_code == 4 and len(passes.host.done) == done


def test_it_goes_on_by_itself(passes: Passes) -> None:
    """When the obstacle goes, the rest must come in, be proved, and be the whole commit."""
    passes.branch.push(publishing(), db("2"))
    assert passes.run().exit_code == 6
    passes.host.ports_of_others.clear()
    assert passes.run().exit_code == 0
    assert passes.state.known_good[0].manifest_digest == passes.branch.manifest.digest
    assert passes.host._find(WEB).seen.ports == (PORT,)
    done = len(passes.host.done)
    assert passes.run().exit_code == 0 and len(passes.host.done) == done


def test_the_old_form_is_repaired(passes: Passes) -> None:
    """While the new form waits, the old one must be repaired as known good is."""
    passes.branch.push(publishing(), db("2"))
    assert passes.run().exit_code == 6
    del passes.host.containers[passes.host._find(WEB).seen.id]
    assert passes.run().exit_code == 6
    assert passes.host._find(WEB).seen.digest == web().digest


def test_a_bad_rest_is_rolled_back_without_the_refused(passes: Passes) -> None:
    """When the part that can be brought in is bad, all must be as before, and the commit be tried again as a
    whole when the obstacle goes.
    """
    passes.host.add_image("shop/db:sick", "sick")
    sick = service("shop/db:sick", DB, config={"restart": "always"})
    passes.branch.push(publishing(), sick)
    for _ in range(3):
        assert passes.run().exit_code == 4
        assert good(passes) == {web().digest, db().digest}
    assert len(passes.state.rejected) == 1
    passes.host.ports_of_others.clear()
    assert passes.run().exit_code == 4
    assert len(passes.state.rejected) == 2


@pytest.mark.parametrize("at", range(1, 12))
def test_a_kill_loses_nothing(passes: Passes, at: int) -> None:
    """Wherever a pass that puts something off is killed, the next ones must end the same."""
    passes.branch.push(publishing(), db("2"))
    passes.host.die_at = passes.host._points + at
    with suppress(Died):
        passes.run()
    passes.host.die_at = None
    assert passes.run().exit_code == 6
    assert good(passes) == {web().digest, db("2").digest}
    passes.host.ports_of_others.clear()
    assert passes.run().exit_code == 0


def test_a_file_that_the_old_form_uses_stays(passes: Passes) -> None:
    """A refused service must not find the configuration of its new form at its next start, and what shares
    that file waits with it; an unrelated file does not.
    """
    old, other = file(passes, "/srv/c", "old"), file(passes, "/srv/d", "old")
    proved(passes, old, other, mounting("/srv/c"), mounting("/srv/c", "shop/db:1", DB))
    ports = [{"target": 80, "published": "8080", "protocol": "tcp"}]
    passes.branch.push(
        file(passes, "/srv/c", "new"),
        file(passes, "/srv/d", "new"),
        mounting("/srv/c", ports=ports),
        mounting("/srv/c", "shop/db:1", DB, environment={"E": "2"}),
    )
    for _ in range(2):
        assert passes.run().exit_code == 6
        assert passes.host.files.read("/srv/c") == b"old" and passes.host.files.read("/srv/d") == b"new"
        assert set(refusals(passes)) == {"file/srv/c", f"container/{WEB}", f"container/{DB}"}
    passes.host.ports_of_others.clear()
    assert passes.run().exit_code == 0 and passes.host.files.read("/srv/c") == b"new"


def test_a_predecessor_stays_while_its_successor_is_refused(passes: Passes) -> None:
    """A service that gets another name must not be taken away because the new one cannot come yet."""
    volume = {"type": "volume", "source": "data", "target": "/data"}
    proved(passes, named("db", volume), web())
    ports = [{"target": 80, "published": "8080", "protocol": "tcp"}]
    passes.branch.push(named("postgres", volume, ports=ports), web())
    for _ in range(2):
        assert passes.run().exit_code == 6
        assert passes.host._find("db").seen.state == "running"
    passes.host.ports_of_others.clear()
    assert passes.run().exit_code == 0
    assert {at.seen.name for at in passes.host.containers.values()} == {"postgres", WEB}


def named(name: str, *mounts: dict[str, Any], **config: Any) -> Resource:
    return container_resource(
        name,
        app="shop",
        service=name,
        number=1,
        config={"image": "shop/db:1", "volumes": list(mounts), "restart": "always", **config},
        inputs={},
        folded={},
    )


def test_a_port_moves_with_both(passes: Passes) -> None:
    """A port that a refused service goes on holding must not be taken from it by another part of the commit;
    that waits, and runs on.
    """
    passes.host.ports_of_others.clear()
    proved(passes, publishing(), db())
    passes.host.ports_of_others.add("port/tcp/0.0.0.0/9090")
    ports = [{"target": 80, "published": "8080", "protocol": "tcp"}]
    passes.branch.push(publishing(port="9090"), service("shop/db:1", DB, config={"ports": ports}))
    for _ in range(2):
        assert passes.run().exit_code == 6
        assert (
            refusals(passes)[f"container/{DB}"]
            == f"tcp/0.0.0.0/8080 is held by container/{WEB}, which is refused"
        )
        assert passes.host._find(DB).seen.state == "running"
    passes.host.ports_of_others.clear()
    assert passes.run().exit_code == 0


def test_a_check_of_what_waits_is_not_asked(passes: Passes) -> None:
    """A new check of the port that comes with the refused service must not condemn the rest of the commit."""
    manifest = passes.branch.manifest
    passes.branch.push(publishing(), db("2"))
    check = Check("shop", tcp="127.0.0.1:8080", timeout=0.2)
    passes.branch.manifest = replace(passes.branch.manifest, checks=(check,))
    assert manifest.digest != passes.branch.manifest.digest
    assert passes.run().exit_code == 6
    assert good(passes) == {web().digest, db("2").digest} and not passes.state.rejected


def test_an_image_reference_means_one_thing(passes: Passes) -> None:
    """A reference that means another image by now must not be replaced under a service that is refused."""
    both = service("shop/web:1", DB, config={"restart": "always"})
    proved(passes, both, web())
    before = passes.running()
    passes.host.add_image("shop/web:1", "web", version="new", local=False)
    ports = [{"target": 80, "published": "8080", "protocol": "tcp"}]
    passes.branch.push(both, web(config={"ports": ports}, pull_policy="always"))
    for _ in range(2):
        assert passes.run().exit_code == 6
        assert passes.running() == passes.running(DB) == before
    passes.host.ports_of_others.clear()
    assert passes.run().exit_code == 0
    assert passes.running() == passes.running(DB) != before


def test_what_is_resumed_has_a_gate(passes: Passes) -> None:
    """A change to a suspended service must come in after its resumption like any release."""
    old = passes.host._find(WEB).seen.id
    orders = Orders(passes.paths.state)
    orders.suspend(f"container/{WEB}", Suspension("an incident", passes.clock.wall()))
    passes.branch.push(web("shop/web:sick"), db("2"))
    assert passes.run().exit_code == 6
    orders.resume(f"container/{WEB}")
    assert passes.run().exit_code == 4
    assert passes.host._find(WEB).seen.id == old


def test_what_waits_is_told_while_the_source_is_away(passes: Passes) -> None:
    """An outage of the source must not hide what is refused."""
    passes.branch.push(publishing(), db("2"))
    assert passes.run().exit_code == 6
    passes.branch.down = Transient("no route", "wait")
    for _ in range(2):
        assert passes.run().exit_code == 75
        assert f"container/{WEB}" in refusals(passes)
        assert good(passes) == {web().digest, db("2").digest}


def test_a_dry_run_says_it(passes: Passes) -> None:
    """The plan must show the part that comes in, and what is refused of the rest."""
    passes.branch.push(publishing(), db("2"))
    found = str(preview(passes.new_context()).plan)
    assert f"replace container/{DB}" in found
    assert f"refused container/{WEB}: port 8080/tcp is held by a process of the host" in found
    assert f"replace container/{WEB}" not in found
    assert passes.run().exit_code == 6
    found = str(preview(passes.new_context()).plan)
    assert "replace" not in found and f"refused container/{WEB}" in found


def test_a_first_release(tmp_path: Path) -> None:
    """Without known good, what is refused is not there yet, and comes in with a gate."""
    passes = with_images(tmp_path, ("shop/web:1", "web"), ("shop/web:sick", "sick"), ("shop/db:1", "idle"))
    passes.host.ports_of_others.add(PORT)
    passes.branch.push(publishing("shop/web:sick"), db())
    assert passes.run().exit_code == 6 and good(passes) == {db().digest}
    passes.host.ports_of_others.clear()
    assert passes.run().exit_code == 4
    assert [at.seen.name for at in passes.host.containers.values()] == [DB]


def test_a_part_can_be_gone_back_to(passes: Passes) -> None:
    """A release of which a part was put off must be one that a person can go back to."""
    passes.branch.push(publishing(), db("2"))
    assert passes.run().exit_code == 6
    part = passes.state.known_good[0].id
    passes.host.ports_of_others.clear()
    assert passes.run().exit_code == 0
    roll_back_by_hand(passes, part)
    assert passes.run().exit_code == 4
    assert passes.host._find(WEB).seen.digest == web().digest
    assert passes.host._find(DB).seen.digest == db("2").digest


def test_what_nobody_remembers_stays_too(passes: Passes) -> None:
    """When the state is lost, a refused service must run on as it is, though nobody knows its old form."""
    passes.branch.push(publishing(), db("2"))
    assert passes.run().exit_code == 6
    for path in passes.paths.state.glob("state.json*"):
        path.unlink()
    for path in passes.paths.manifests.iterdir():
        path.unlink()
    for _ in range(3):
        assert passes.run().exit_code == 6
        assert passes.host._find(WEB).seen.state == "running"
        assert passes.host._find(WEB).seen.digest == web().digest
    passes.host.ports_of_others.clear()
    assert passes.run().exit_code == 0
    assert passes.host._find(WEB).seen.digest == publishing().digest


@pytest.mark.parametrize("kind", ["web", "sick"])
@pytest.mark.parametrize("new", ["file", "symlink", "absent"])
def test_a_directory_that_makes_way_does_so_before_the_gate(passes: Passes, new: str, kind: str) -> None:
    """A directory of ours, with what was in it, that becomes a file, a link or nothing in a commit with a
    container that is not healthy must be back after the rollback.
    """
    old = [file(passes, "/srv/conf/a", "a"), file(passes, "/srv/conf/sub/b", "b")]
    mount = {"type": "bind", "source": "/srv/conf", "target": "/c", "bind": {"create_host_path": False}}

    def user(image: str, *needs: Resource) -> Resource:
        return web(image, volumes=[mount], needs=tuple(Need(each.key, "present") for each in needs))

    proved(passes, *old, user("shop/web:1", *old))
    container = passes.host._find(WEB).seen.id
    comes = {
        "file": file(passes, "/srv/conf", "one file"),
        "symlink": files.symlink("/srv/conf", target="elsewhere"),
        "absent": files.absent("/srv/conf"),
    }[new]
    tag = "2" if kind == "web" else "sick"
    passes.branch.push(comes, user(f"shop/web:{tag}", comes))
    there = passes.host.files.there
    if kind == "web":
        assert passes.run().exit_code == 0
        assert "/srv/conf/a" not in there and "/srv/conf/sub" not in there
        assert ("/srv/conf" in there) == (new != "absent")
        passes.branch.push(*old, user("shop/web:1", *old))
        assert passes.run().exit_code == 0
    else:
        assert passes.run().exit_code == 4
        assert passes.host._find(WEB).seen.id == container
    assert passes.host.files.read("/srv/conf/a") == b"a"
    assert passes.host.files.read("/srv/conf/sub/b") == b"b"
    done = len(passes.host.done)
    passes.run()
    assert len(passes.host.done) == done


def test_what_a_person_put_into_the_directory(passes: Passes) -> None:
    """A person's file in such a directory must stay, with what was there, until that person moves it."""
    old = file(passes, "/srv/conf/sub/a", "a")
    proved(passes, old, mounting("/srv/conf/sub/a"))
    passes.host.files.put("/srv/conf/sub/theirs", b"a person's")
    passes.branch.push(file(passes, "/srv/conf", "one file"), mounting("/srv/conf"))
    for _ in range(2):
        assert passes.run().exit_code == 6
        assert passes.host.files.read("/srv/conf/sub/theirs") == b"a person's"
        assert passes.host.files.read("/srv/conf/sub/a") == b"a"
        assert passes.host._find(WEB).seen.digest == mounting("/srv/conf/sub/a").digest
    del passes.host.files.there["/srv/conf/sub/theirs"]
    assert passes.run().exit_code == 0
    assert passes.host.files.read("/srv/conf") == b"one file"
