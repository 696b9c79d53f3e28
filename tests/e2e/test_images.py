"""Images over time: tags that move behind `pull_policy`, registries that are down, and what is removed
again.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import docker.errors
import pytest

from tests.harness import images, snapshot
from tests.harness.engine import Engine
from tests.harness.proxy import proxy
from tests.harness.registry import Registry, registry
from tests.harness.site import Site, make_site
from tests.harness.wait import eventually

COMPOSE = (
    "name: {app}\nservices:\n  web:\n    image: {image}\n    pull_policy: {policy}\n    environment: "
    "{{MARK: '{mark}'}}\n"
)


@pytest.fixture
def served(engine: Engine, tmp_path: Path, prefix: str) -> Iterator[Registry]:
    with registry(tmp_path / "registry") as made:
        yield made
    engine.remove_all(prefix)
    forget(engine, made.address)


def forget(engine: Engine, address: str) -> None:
    """Removes what a registry gave, named and unnamed."""
    for image in engine.client.api.images():
        if any(
            name.startswith(f"{address}/")
            for name in [*(image["RepoTags"] or ()), *(image["RepoDigests"] or ())]
        ):
            engine.client.images.remove(image["Id"], force=True)


def own(prefix: str, kind: str, version: str) -> images.Image:
    """An image that no other test has."""
    return images.make(f"{prefix}/{kind}:{version}", images.KINDS[kind], version, {"prefix": prefix})


def version(site: Site, prefix: str) -> str:
    """Which image the service runs: the harness's images say it in their environment."""
    found = dict(entry.split("=", 1) for entry in site.container(f"{prefix}-web-1")["Config"]["Env"])
    return str(found["VERSION"])


def there(engine: Engine, *wanted: images.Image) -> list[bool]:
    """Which of these images the Engine has."""
    ids = {image["Id"] for image in engine.client.api.images(all=True)}
    return [image.id in ids for image in wanted]


def until_due(site: Site, reference: str) -> None:
    """Waits until the next pass asks the registry again, as the plan says."""
    eventually(lambda: f"ask for image {reference}" in site.limpet("plan").out)


def test_moved_tag_is_a_new_release(site: Site, prefix: str, served: Registry) -> None:
    """A tag that moves behind a periodic policy must be a new release of the same commit: applied when
    healthy, rolled back when not, then not tried again, while the next push gets its chance.
    """
    ref = served.push(own(prefix, "web", "one"), f"{prefix}/web:1")
    site.commit({"compose.yaml": COMPOSE.format(app=prefix, image=ref, policy="every_1s", mark="a")})
    site.sync(real=True)
    first, heartbeat = site.ids(prefix), site.heartbeat()
    assert heartbeat["images"] == [{"reference": ref, "id": own(prefix, "web", "one").id[7:19]}]
    assert "nothing to do" in site.sync().out
    assert site.ids(prefix) == first

    served.push(own(prefix, "web", "two"), f"{prefix}/web:1")
    until_due(site, ref)
    assert "1 replaced" in site.sync().out
    assert version(site, prefix) == "two"
    good, after = site.ids(prefix), site.heartbeat()
    assert (after["revision"]["applied"], after["manifest_digest"]) == (
        heartbeat["revision"]["applied"],
        heartbeat["manifest_digest"],
    )
    assert after["release"] != heartbeat["release"]

    served.push(own(prefix, "sick", "three"), f"{prefix}/web:1")
    until_due(site, ref)
    site.sync(expect=4)
    assert site.ids(prefix) == good
    rejected = site.heartbeat()["rejected"]
    assert len(rejected) == 1
    for _ in range(2):
        site.sync(expect=4)
        assert site.ids(prefix) == good
        assert site.heartbeat()["rejected"] == rejected
    assert site.heartbeat()["state"] == "RolledBack"

    served.push(own(prefix, "web", "four"), f"{prefix}/web:1")
    until_due(site, ref)
    site.sync()
    assert version(site, prefix) == "four"
    assert site.heartbeat()["state"] == "Synced"


def test_tag_stays_where_nothing_is_due(site: Site, prefix: str, served: Registry) -> None:
    """A resync must never resolve a tag again, nor must a periodic policy before its time."""
    ref = served.push(own(prefix, "web", "one"), f"{prefix}/web:1")
    for policy in ("missing", "daily"):
        site.commit({"compose.yaml": COMPOSE.format(app=prefix, image=ref, policy=policy, mark=policy)})
        site.sync()
        served.push(own(prefix, "web", "two"), f"{prefix}/web:1")
        served.stop()
        assert "nothing to do" in site.sync().out
        assert version(site, prefix) == "one"
        served.start()


def test_registry_down_while_due(site: Site, prefix: str, served: Registry) -> None:
    """While the registry is down what runs must stay, commits must still be applied with the image at hand,
    and the pass must say so; when it is back, the newest image must come.
    """
    ref = served.push(own(prefix, "web", "one"), f"{prefix}/web:1")
    site.commit({"compose.yaml": COMPOSE.format(app=prefix, image=ref, policy="every_1s", mark="a")})
    site.sync()
    before = snapshot.containers(site.engine, prefix, ids=True)
    served.push(own(prefix, "web", "two"), f"{prefix}/web:1")
    served.stop()
    done = site.sync(expect=75)
    assert ref in done.err
    assert snapshot.containers(site.engine, prefix, ids=True) == before
    site.commit({"compose.yaml": COMPOSE.format(app=prefix, image=ref, policy="every_1s", mark="b")})
    site.sync(expect=75)
    assert "MARK=b" in site.container(f"{prefix}-web-1")["Config"]["Env"]
    assert version(site, prefix) == "one"
    served.start()
    site.sync()
    assert version(site, prefix) == "two"
    assert site.heartbeat()["rejected"] == []


def test_always_asks_with_each_new_manifest(site: Site, prefix: str, served: Registry) -> None:
    """`always` must ask the registry for every service that says so when anything of the manifest is new, and
    only then.
    """
    ref = served.push(own(prefix, "web", "one"), f"{prefix}/web:1")
    site.commit({"compose.yaml": COMPOSE.format(app=prefix, image=ref, policy="always", mark="a")})
    site.sync()
    served.push(own(prefix, "web", "two"), f"{prefix}/web:1")
    assert "nothing to do" in site.sync().out
    site.commit({"files/etc/other.conf": "new\n"})
    assert "1 replaced" in site.sync().out
    assert version(site, prefix) == "two"
    served.stop()
    site.commit({"files/etc/other.conf": "newer\n"})
    site.sync(expect=75)
    assert (site.root / "etc/other.conf").read_text() == "new\n"


def test_only_images_of_kept_releases_stay(site: Site, prefix: str, served: Registry) -> None:
    """After some releases just the images of the kept ones must be there; one that was there before, and one
    that a person gave a name, must stay for ever.
    """
    client = site.engine.client
    versions = [own(prefix, "web", f"v{number}") for number in range(7)]
    images.load(client, versions[0])
    client.images.get(versions[0].ref).tag(f"{prefix}/mine", "before")
    for number, image in enumerate(versions):
        ref = served.push(image, f"{prefix}/web:{number}")
        site.commit({"compose.yaml": COMPOSE.format(app=prefix, image=ref, policy="missing", mark="a")})
        site.sync()
        if number == 1:
            client.images.get(ref).tag(f"{prefix}/mine", "tagged")
    assert there(site.engine, *versions) == [True, True, False, False, True, True, True]
    assert {f"{prefix}/mine:before", f"{prefix}/web:v0"} <= set(client.images.get(versions[0].id).tags)
    assert client.images.get(versions[1].id).tags == [f"{prefix}/mine:tagged"]
    state = (site.root / "var/lib/limpet/state.json").read_text()
    assert versions[1].id not in state and versions[2].id not in state


def test_images_behind_one_tag_are_removed(site: Site, prefix: str, served: Registry) -> None:
    """Images that lost their tag to a newer one must be removed too; one that a foreign container uses only
    when that is gone.
    """
    versions = [own(prefix, "web", f"v{number}") for number in range(6)]
    for number, image in enumerate(versions):
        ref = served.push(image, f"{prefix}/web:1")
        site.commit({"compose.yaml": COMPOSE.format(app=prefix, image=ref, policy="always", mark=number)})
        site.sync()
        if number == 0:
            foreign = site.engine.client.containers.create(image.id, name=f"{prefix}-foreign")
    assert there(site.engine, *versions) == [True, False, False, True, True, True]
    foreign.remove()
    site.commit({"compose.yaml": COMPOSE.format(app=prefix, image=ref, policy="always", mark="last")})
    site.sync()
    assert there(site.engine, *versions[:3]) == [False, False, False]


def test_image_of_a_rejected_release_is_removed(site: Site, prefix: str, served: Registry) -> None:
    """An image that failed its gate must go, and must not be pulled again for the rejected release."""
    good, bad = own(prefix, "web", "good"), own(prefix, "sick", "bad")
    for image, exit_code in ((good, 0), (bad, 4)):
        ref = served.push(image, f"{prefix}/web:{exit_code}")
        site.commit({"compose.yaml": COMPOSE.format(app=prefix, image=ref, policy="missing", mark="a")})
        site.sync(expect=exit_code)
    assert there(site.engine, good, bad) == [True, False]
    site.sync(expect=4)
    assert there(site.engine, good, bad) == [True, False]


def test_prune_off_keeps_images(site: Site, prefix: str, served: Registry) -> None:
    """With converge.prune = false no image may be removed."""
    site.configure(converge={"prune": False})
    versions = [own(prefix, "web", f"v{number}") for number in range(5)]
    for number, image in enumerate(versions):
        ref = served.push(image, f"{prefix}/web:{number}")
        site.commit({"compose.yaml": COMPOSE.format(app=prefix, image=ref, policy="missing", mark="a")})
        site.sync()
    assert there(site.engine, *versions) == [True] * 5


def test_killed_between_pull_and_record(
    engine: Engine, repo: Any, prefix: str, served: Registry, tmp_path: Path
) -> None:
    """An image that a killed pass pulled must be used by the next one, and be removed in the end like any
    other.
    """
    versions = [own(prefix, "web", f"v{number}") for number in range(5)]
    with proxy(engine.socket, tmp_path / "s") as recorder:
        site = make_site(engine, repo, tmp_path / "site", socket=str(recorder.socket))
        ref = served.push(versions[0], f"{prefix}/web:0")
        site.commit({"compose.yaml": COMPOSE.format(app=prefix, image=ref, policy="missing", mark="a")})
        argv = [sys.executable, "-I", "-m", "agent", "--root", str(site.root), "sync"]
        process = subprocess.Popen(argv, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

        pulled: list[str] = []

        def kill(number: int, request: Any) -> None:
            if pulled and process.poll() is None:  # the question for the new image's id
                os.kill(process.pid, signal.SIGKILL)
            pulled.extend([request.path] if "/images/create" in request.path else [])

        recorder.on_request("before", kill)
        assert process.wait(60) == -signal.SIGKILL
        with pytest.raises(docker.errors.NotFound):
            engine.client.containers.get(f"{prefix}-web-1")
        assert there(engine, versions[0]) == [True]
        site.sync()
        for number in range(1, 5):
            ref = served.push(versions[number], f"{prefix}/web:{number}")
            site.commit({"compose.yaml": COMPOSE.format(app=prefix, image=ref, policy="missing", mark="a")})
            site.sync()
        assert there(engine, *versions) == [False, False, True, True, True]


@pytest.mark.parametrize("how", ["retry", "commit"])
def test_a_repaired_image_under_the_same_tag(site: Site, prefix: str, served: Registry, how: str) -> None:
    """A broken image that is repaired under its tag must come to a host that rolled it back: by `limpet retry
    --pull`, or by a commit that changes nothing but the pull policy.
    """
    good = served.push(own(prefix, "web", "one"), f"{prefix}/web:1")
    bad = served.push(own(prefix, "sick", "two"), f"{prefix}/web:2")
    site.commit({"compose.yaml": COMPOSE.format(app=prefix, image=good, policy="missing", mark="a")})
    site.sync()
    site.commit({"compose.yaml": COMPOSE.format(app=prefix, image=bad, policy="missing", mark="a")})
    site.sync(expect=4)
    served.push(own(prefix, "web", "three"), f"{prefix}/web:2")
    site.sync(expect=4)
    assert version(site, prefix) == "one"
    if how == "retry":
        ordered = site.limpet("retry", "--pull")
        assert ordered.code == 0 and "registries were asked again" in ordered.out
        assert f"image {bad}" in site.limpet("plan").out
    else:
        site.commit({"compose.yaml": COMPOSE.format(app=prefix, image=bad, policy="always", mark="a")})
    site.sync()
    assert version(site, prefix) == "three" and site.heartbeat()["state"] == "Synced"


def test_a_first_release_is_tried_anew(site: Site, prefix: str, served: Registry) -> None:
    """On a host without known good, `limpet retry` must ask for the images of the release that failed."""
    ref = served.push(own(prefix, "sick", "one"), f"{prefix}/web:1")
    site.commit({"compose.yaml": COMPOSE.format(app=prefix, image=ref, policy="missing", mark="a")})
    site.sync(expect=1)
    served.push(own(prefix, "web", "two"), f"{prefix}/web:1")
    site.sync(expect=1)
    assert "begins anew" in site.limpet("retry").out
    site.sync()
    assert version(site, prefix) == "two"
