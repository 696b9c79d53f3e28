"""How a service is changed: the new one first, batch by batch, more and fewer replicas; seen by a client that
always asks.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from typing import Any

import pytest

from tests.harness.site import Site
from tests.harness.wait import eventually

# The client resolves the alias and tries each address, as clients do.
COMPOSE = """\
name: {app}
services:
  web:
    image: {image}
    networks: {{default: {{aliases: [shop]}}}}
    deploy:
      replicas: {replicas}
      update_config: {{{update}}}
  client:
    image: limpet-test/idle:v1
    stop_grace_period: 0s
    command:
      - sh
      - -c
      - |
        while :; do
          got=
          for address in $$(nslookup shop 127.0.0.11 2>/dev/null |
            sed -n 's/^Address[ 0-9]*: *\\([0-9.]*\\)$$/\\1/p'); do
            got=$$(printf 'GET / HTTP/1.0\\r\\n\\r\\n' | nc -w 5 $$address 8080 2>/dev/null | tail -n 1)
            [ -n "$$got" ] && break
          done
          echo "got $${{got:-nothing}}"
        done
"""


def compose(app: str, *, image: str = "limpet-test/web:v1", replicas: int = 1, update: str = "") -> str:
    return COMPOSE.format(app=app, image=image, replicas=replicas, update=update)


def answers(site: Site, prefix: str) -> list[str]:
    """What the client got so far, in order."""
    return list(site.engine.client.containers.get(f"{prefix}-client-1").logs().decode().split("\n")[:-1])


def lives(site: Site, prefix: str) -> dict[str, tuple[Any, Any]]:
    """Container name -> id and start of all containers of the service."""
    names = sorted(name for name in site.ids(prefix) if "-web-" in name)
    return {name: ((doc := site.container(name))["Id"], doc["State"]["StartedAt"]) for name in names}


def served(site: Site, prefix: str) -> None:
    """Until the client has been answered."""
    eventually(lambda: "got v1" in answers(site, prefix), 60, "the client to be answered")


@pytest.mark.parametrize(
    ("update", "replicas", "missed"),
    [("order: start-first", 1, False), ("order: stop-first", 1, True), ("parallelism: 1", 3, False)],
    ids=["start-first", "stop-first", "one-of-three"],
)
def test_client_is_answered_all_the_time(
    site: Site, prefix: str, update: str, replicas: int, missed: bool
) -> None:
    """A service that is changed with the new one first, or one of several at a time, must be answered through
    its alias.
    """
    site.commit({"compose.yaml": compose(prefix, replicas=replicas, update=update)})
    site.sync(real=True)
    served(site, prefix)
    before = lives(site, prefix)
    site.commit(
        {"compose.yaml": compose(prefix, replicas=replicas, update=update, image="limpet-test/web:v2")}
    )
    site.sync()
    eventually(lambda: "got v2" in answers(site, prefix), 60, "the client to see the new one")
    found = answers(site, prefix)
    print(len(found), "requests:", {answer: found.count(answer) for answer in set(found)})
    gap = found[found.index("got v1") :].count("got nothing")
    assert bool(gap) == missed, f"{gap} of {len(found)} requests were not answered"
    after = lives(site, prefix)
    assert set(after) == set(before) == {f"{prefix}-web-{number}" for number in range(1, replicas + 1)}
    assert not set(after.values()) & set(before.values())
    assert "nothing to do" in site.sync().out


@pytest.mark.parametrize("kind", ["sick", "crash"])
def test_old_one_never_stops_for_a_new_one_that_is_not_good(site: Site, prefix: str, kind: str) -> None:
    """With start-first, a new container that does not become good must be removed while the old one goes
    on.
    """
    update = "order: start-first, monitor: 1s"
    site.commit({"compose.yaml": compose(prefix, update=update)})
    site.sync()
    served(site, prefix)
    before = lives(site, prefix)
    site.commit({"compose.yaml": compose(prefix, update=update, image=f"limpet-test/{kind}:v1")})
    done = site.sync(expect=4)
    assert f"{prefix}-web-1" in done.err
    assert lives(site, prefix) == before
    found = answers(site, prefix)
    missed = [index for index, answer in enumerate(found[found.index("got v1") :]) if answer == "got nothing"]
    assert not missed, f"of {len(found)} requests {missed} were not answered"


def test_update_stops_at_the_first_batch_that_fails(site: Site, prefix: str) -> None:
    """When the first of three fails, the others must not have been touched, and the first must be back, the
    same container.
    """
    update = "parallelism: 1, monitor: 2s"
    site.commit({"compose.yaml": compose(prefix, replicas=3, update=update)})
    site.sync()
    before = lives(site, prefix)
    site.commit({"compose.yaml": compose(prefix, replicas=3, update=update, image="limpet-test/crash:v1")})
    site.sync(expect=4)
    after = lives(site, prefix)
    assert {name: id for name, (id, _) in after.items()} == {name: id for name, (id, _) in before.items()}
    changed = [name for name in after if after[name] != before[name]]
    assert changed == [f"{prefix}-web-1"]


def test_killed_update_goes_on(site: Site, prefix: str) -> None:
    """A pass that is killed between two batches must leave the others as they are, and the next pass must
    change them.
    """
    site.commit({"compose.yaml": compose(prefix, replicas=2, update="parallelism: 1")})
    site.sync()
    before = lives(site, prefix)
    slow = compose(prefix, replicas=2, update="parallelism: 1, delay: 10m", image="limpet-test/web:v2")
    site.commit({"compose.yaml": slow})
    argv = [sys.executable, "-I", "-m", "agent", "--root", str(site.root), "sync"]
    running = subprocess.Popen(
        argv, start_new_session=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    first, second = f"{prefix}-web-1", f"{prefix}-web-2"
    eventually(lambda: '"verb":"delay"' in journal(site), 60, "the delay between the batches")
    os.killpg(running.pid, signal.SIGKILL)
    running.wait()
    between = lives(site, prefix)
    assert between[second] == before[second] and between[first] != before[first]
    site.commit(
        {"compose.yaml": slow.replace("delay: 10m", "delay: 0s")}
    )  # the same release: how it is changed is no content
    site.sync()
    after = lives(site, prefix)
    assert after[first] == between[first] and after[second][0] != before[second][0]
    assert set(after) == {first, second}


def journal(site: Site) -> str:
    path = site.root / "var/lib/limpet/journal.jsonl"
    return path.read_text().replace(" ", "") if path.exists() else ""


SCALED = """\
name: {app}
services:
  db: {{image: "limpet-test/idle:v1", network_mode: none}}
  web: {{image: "limpet-test/web:v1", network_mode: none, scale: {scale}, depends_on: [db]}}
  front:
    {{image: "limpet-test/idle:v1", network_mode: none, depends_on: {{web: {{condition: service_healthy}}}}}}
"""


def test_replicas_up_and_down_touch_no_other_container(site: Site, prefix: str) -> None:
    """More and fewer replicas must neither restart nor replace the others, what they depend on, or what
    depends on them.
    """

    def everything() -> dict[str, tuple[Any, Any]]:
        return {
            name: ((doc := site.container(name))["Id"], doc["State"]["StartedAt"])
            for name in site.ids(prefix)
        }

    site.commit({"compose.yaml": SCALED.format(app=prefix, scale=2)})
    site.sync()
    two = everything()
    site.commit({"compose.yaml": SCALED.format(app=prefix, scale=4)})
    site.sync()
    four = everything()
    assert {name: four[name] for name in two} == two
    assert set(four) - set(two) == {f"{prefix}-web-3", f"{prefix}-web-4"}
    site.commit({"compose.yaml": SCALED.format(app=prefix, scale=1)})
    site.sync()
    assert everything() == {name: two[name] for name in two if name != f"{prefix}-web-2"}
