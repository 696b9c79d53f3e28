"""A pass is killed before and after each journalled step; one clean pass later the host is as if nothing had happened.

`make test` takes a sample of the points, `make sweep` all of them; the number of points is printed. The executor is serial,
so that point N is the same step in every run.
"""

from __future__ import annotations

import json
import signal
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

import pytest

from tests.harness import snapshot
from tests.harness.gitrepo import Content
from tests.harness.site import Site

SERIAL = {"LIMPET_TEST_SERIAL": "1"}
SAMPLE = 60  # points in `make test`, over all scenarios
Files = Mapping[str, Content]


def compose(app: str, web: str = "web:v1", greeting: str = "a", *, extra: bool = True) -> str:
    """Three services on two networks, one of them optional; the first two use an app file."""
    more = f"  extra: {{image: 'limpet-test/idle:v1', environment: {{GREETING: '{greeting}'}}, networks: [back]}}\n"
    more = more if extra else ""
    return f"""\
name: {app}
services:
  web:
    image: limpet-test/{web}
    restart: unless-stopped
    environment: {{GREETING: '{greeting}'}}
    volumes: ['./conf:/conf:ro']
    networks: {{front: {{aliases: [shop]}}, back: {{}}}}
    depends_on: [db]
  db:
    image: limpet-test/idle:v1
    volumes: ['./conf/db.conf:/db.conf:ro', 'data:/data']
    networks: [back]
{more}networks: {{front: {{}}, back: {{}}}}
volumes: {{data: {{}}}}
"""


def repository(app: str, mark: str, web: str = "web:v1", *, extra: bool = True) -> dict[str, Content]:
    """Three containers and four files (two of the app, two of the host)."""
    return {
        "compose.yaml": compose(app, web, mark, extra=extra), "conf/web.conf": f"web {mark}\n", "conf/db.conf": f"db {mark}\n",
        "files/etc/one.conf": f"one {mark}\n", "files/etc/two.conf": f"two {mark}\n" if extra else None,
    }


def hooked(app: str, mark: str) -> dict[str, Content]:
    """A service with hooks of every kind, for which another one waits; its own file system shows that post_start ran."""
    return {**repository(app, "start", extra=False), "compose.yaml": f"""\
name: {app}
services:
  web:
    image: limpet-test/web:v1
    environment: {{GREETING: '{mark}'}}
    networks: [front]
    pre_start: [{{command: ['true']}}, {{command: ['true'], per_replica: true}}]
    post_start: [{{command: [touch, /tmp/one]}}, {{command: [mv, /tmp/one, /tmp/hooked]}}]
    pre_stop: [{{command: [rm, -f, /tmp/hooked]}}]
  db:
    image: limpet-test/idle:v1
    environment: {{GREETING: '{mark}'}}
    networks: [front]
    depends_on: [web]
networks: {{front: {{}}}}
"""}


@dataclass(frozen=True)
class Scenario:
    """`start` and `change` are what the repository holds before and in the killed pass, by a mark that is new at each point."""

    start: Callable[[str, str], Files]
    change: Callable[[str, str], Files]
    exit_code: int = 0
    same_containers: bool = False  # the containers of the start must be there at the end, the same ones


SCENARIOS = {
    "create": Scenario(lambda app, mark: {"compose.yaml": f"name: {app}\nservices: {{}}\n", **dict.fromkeys(
        ("conf/web.conf", "conf/db.conf", "files/etc/one.conf", "files/etc/two.conf"))}, repository),
    "change": Scenario(lambda app, mark: repository(app, "start"), repository),
    "rollback": Scenario(lambda app, mark: repository(app, "start"), lambda app, mark: repository(app, mark, "sick:v1"), 4, True),
    "prune": Scenario(lambda app, mark: repository(app, "start"), lambda app, mark: repository(app, "start", extra=False)),
    "hooks": Scenario(lambda app, mark: hooked(app, "start"), hooked),
}


@pytest.fixture
def foreign(site: Site, prefix: str) -> Iterator[str]:
    """A container and a file that are not ours; they must be as they were at the end."""
    container = site.engine.client.containers.run("limpet-test/idle:v1", name=f"{prefix}-foreign", detach=True)
    (site.root / "etc").mkdir(exist_ok=True)
    (site.root / "etc/foreign.conf").write_text("mine\n")
    yield container.id
    container.reload()
    assert container.status == "running"
    assert (site.root / "etc/foreign.conf").read_text() == "mine\n"


def host_state(site: Site, prefix: str, mark: str, *, ids: bool = False) -> dict[str, object]:
    """Everything that must be equal: containers, networks, volumes, files, inventory."""
    files = snapshot.files(site.root, ignore=["var/lib/limpet", "run"])
    files |= {f"apps/{name}": state for name, state in snapshot.files(site.root / "var/lib/limpet/apps").items()}
    inventory = json.loads((site.root / "var/lib/limpet/inventory.json").read_text().splitlines()[1])
    whole = {
        "containers": snapshot.containers(site.engine, prefix, ids=ids), "networks": snapshot.networks(site.engine, prefix),
        "volumes": snapshot.volumes(site.engine, prefix), "files": files,
        "owned": {key: entry["digest"] for key, entry in inventory.items()},
        "hooked": [name for name, id in site.ids(prefix).items()
                   if id in inventory.get(f"container/{name}", {}).get("hooked", ())],
        "post_start": [site.engine.client.containers.get(name).exec_run(["test", "-e", "/tmp/hooked"]).exit_code
                       for name in site.ids(prefix) if name == f"{prefix}-web-1"],
    }
    return dict(whole)


def differences(wanted: object, now: object, path: str = "") -> list[str]:
    """What differs, to the leaf; no restart policy and the policy "no" are the same."""
    if isinstance(wanted, dict) and isinstance(now, dict):
        return [line for key in sorted({*wanted, *now}, key=str)
                for line in differences(wanted.get(key), now.get(key), f"{path}/{key}")]
    same = wanted == now or (path.endswith("/restart/Name") and {wanted, now} <= {"", "no"})
    return [] if same else [f"{path}: {wanted!r} -> {now!r}"]


def points_of(site: Site) -> int:
    """How many lines the last pass wrote to its journal."""
    last = (site.root / "var/lib/limpet/journal.jsonl").read_text().splitlines()[-1]
    return int(json.loads(last)["writes"])


def steps(site: Site) -> list[str]:
    """What each journal line of the last pass says."""
    lines = map(json.loads, (site.root / "var/lib/limpet/journal.jsonl").read_text().splitlines())
    return [" ".join(str(line[k]) for k in ("event", "name", "verb", "key") if k in line) for line in lines]


@pytest.mark.parametrize("name", SCENARIOS)
def test_killed_at_every_step(site: Site, prefix: str, foreign: str, name: str, request: pytest.FixtureRequest,
                              capsys: pytest.CaptureFixture[str]) -> None:
    """After a kill at any step, one clean pass must end in the same host as an uninterrupted pass."""
    scenario = SCENARIOS[name]
    site.configure(gate={"settle": "0.2s", "deadline": "10s"})

    def begin(mark: str) -> None:
        site.commit(scenario.start(prefix, mark), "start\n\nLimpet-Allow-Prune: 99")
        site.sync(expect=None, env=SERIAL)
        assert site.sync(env=SERIAL).code == 0
        for volume in site.engine.client.volumes.list() if name == "create" else ():
            if volume.name.startswith(prefix):
                volume.remove()  # nobody else does: volumes are never deleted
        site.commit(scenario.change(prefix, mark), "change")

    begin("m")
    at_start = site.ids(prefix)
    site.sync(expect=scenario.exit_code, env=SERIAL)
    total, told = points_of(site), steps(site)
    wanted = host_state(site, prefix, "m")
    asked = request.config.getoption("--sweep")
    most = total if asked == "all" else (SAMPLE if asked == "sample" else int(asked)) // len(SCENARIOS)
    chosen = sorted({1 + round(i * (total - 1) / max(1, most - 1)) for i in range(min(most, total))})
    for point in chosen:
        begin("m")
        if name == "rollback":
            assert site.limpet("retry", "all").code == 0
            at_start = site.ids(prefix)
        killed = site.sync(expect=None, env={**SERIAL, "LIMPET_TEST_KILL_AT": str(point)})
        assert killed.code == -signal.SIGKILL, f"point {point} ({told[point - 1]}) was not reached: {killed}"
        clean = site.sync(expect=None, env=SERIAL)
        where = f"killed at point {point} of {total} ({told[point - 1]})\n{clean}"
        assert clean.code in (scenario.exit_code, 4 if scenario.exit_code == 4 else 0), where
        now = host_state(site, prefix, "m")
        assert differences(wanted, now) == [], where
        if scenario.same_containers:
            assert site.ids(prefix) == at_start, where
        settled = site.sync(expect=scenario.exit_code, env=SERIAL)
        assert points_of(site) < 10, f"the pass after the clean one was not quiet\n{settled}\n{where}"
    with capsys.disabled():
        print(f" {name}: {len(chosen)} of {total} points", end="")
