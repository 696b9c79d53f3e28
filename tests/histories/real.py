"""A history on the real parts: the same events as far as they can be made, whole passes by `limpet sync`, and
the rules as far as they can be seen from outside. What cannot be made here (a reboot, the clock, a disk that
is full) does nothing.
"""

from __future__ import annotations

import json
import signal
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.harness import net, snapshot
from tests.harness.gitrepo import Content
from tests.harness.hosts import Result
from tests.harness.site import Site
from tests.histories.branch import EMPTY, bad, next_doc, pick
from tests.histories.steps import PATHS, Event, Round
from tests.properties.strategies import SERVICES, Doc

IMAGES = {"stuck": "idle", "wont": "idle", "fail": "fail-once"}
CONDITIONS = {
    "started": "service_started",
    "healthy": "service_healthy",
    "completed": "service_completed_successfully",
}
QUIET_WITHIN = 4  # passes


def service(spec: Doc, ports: dict[str, int]) -> dict[str, Any]:
    """One service of a document as Compose writes it."""
    kind, _, version = spec["image"].partition(":")
    made: dict[str, Any] = {
        "image": f"limpet-test/{IMAGES.get(kind, kind)}:v{version}",
        "networks": sorted(spec.get("networks", {})),
        "ports": [f"127.0.0.1:{ports[port]}:8080" for port in spec.get("ports", ())],
        "volumes": [f"./conf/{Path(path).name}:/{Path(path).name}:ro" for path in spec.get("inputs", ())]
        + [f"{name}-data:/{name}" for name in spec.get("volumes", ())],
        "depends_on": {
            need.partition(" ")[0].partition("/")[2]: {"condition": CONDITIONS[need.partition(" ")[2]]}
            for need in spec.get("needs", ())
        },
        **spec.get("config", {}),
    }
    if spec.get("oneshot"):
        made["x-limpet"] = {"oneshot": True}
    if kind == "stuck":
        made["healthcheck"] = {"test": ["CMD", "false"], "interval": "1s", "retries": 1000}
    if kind == "wont":
        made["entrypoint"] = ["/nowhere"]
    return {key: value for key, value in made.items() if value}


def repository(doc: Doc, app: str, ports: dict[str, int]) -> dict[str, Content]:
    """The files of the commit that says what a document says. Subnets, static addresses and reactions are
    left out.
    """
    networks: dict[str, Any] = {}
    for name, spec in doc["network"].items():
        ours = {"labels": {"variant": str(spec.get("config", {}).get("variant", 1))}}
        networks[name] = {"external": True, "name": f"{app}-{name}"} if spec.get("external") else ours
    services = {name: service(spec, ports) for name, spec in doc["container"].items()}
    compose = {
        "name": app,
        "services": services,
        "networks": networks,
        "volumes": {f"{name}-data": {} for name in doc["volume"]},
    }
    attributes: dict[str, Any] = {
        path: {"type": "directory", **spec} for path, spec in doc["directory"].items()
    }
    attributes |= {path: {"type": "symlink", **spec} for path, spec in doc["symlink"].items()}
    found: dict[str, Content] = dict.fromkeys((f"conf/{Path(path).name}" for path in PATHS), None)
    found |= dict.fromkeys((f"files{path}" for path in PATHS), None)
    for path, spec in doc["file"].items():
        if spec.get("app"):
            found[f"conf/{Path(path).name}"] = spec["content"]
        elif "content" in spec:
            found[f"files{path}"], attributes[path] = spec["content"], {"mode": spec["mode"]}
        else:
            attributes[path] = {"state": "absent"}
    red = {"red": {"tcp": f"127.0.0.1:{ports['red']}", "within": "1s"}} if doc.get("check") else {}
    layer = {"files": attributes, "checks": red}
    return {
        **found,
        "compose.yaml": json.dumps(compose),
        "layer.yaml": json.dumps({k: v for k, v in layer.items() if v}),
    }


@dataclass
class RealWorld:
    """A site, its branch, and the people around it."""

    site: Site
    prefix: str
    docs: list[Doc] = field(default_factory=lambda: [EMPTY])
    story: list[str] = field(default_factory=list)
    strangers: list[str] = field(default_factory=list)
    persons: dict[Path, bytes] = field(default_factory=dict)
    outages: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.app = f"{self.prefix}app"
        self.ports = {"80": net.free_port(), "81": net.free_port(), "red": net.free_port()}
        self.site.configure(gate={"settle": "0.3s", "deadline": "8s"})
        self.bystander = self._run("-bystander")
        self.put("/etc/x", b"was here before")
        self.put("/etc/bystander", b"mine")

    def put(self, path: str, data: bytes) -> None:
        place = self.site.root / path[1:]
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(data)
        self.persons[place] = data

    def _run(self, name: str, **more: Any) -> str:
        made = self.site.engine.client.containers.run(
            "limpet-test/idle:v1", name=f"{self.prefix}{name}", detach=True, **more
        )
        return str(made.id)

    # --- events ---

    def happen(self, event: Event) -> None:
        name, *rest = event
        if name in ("push", "spoil", "tweak", "revert", "recommit"):
            self.docs.append(next_doc(self.docs, event))
            self.site.commit(
                repository(self.docs[-1], self.app, self.ports), f"{name}\n\nLimpet-Allow-Prune: 99"
            )
            told = f"{'bad' if bad(self.docs[-1]) else 'good'}: {sorted(self.docs[-1]['container'])}"
        else:
            told = getattr(self, f"_{name}", lambda *_: "")(*rest)
        self.story.append(
            f"{name} {' '.join(str(part) for part in rest if not isinstance(part, dict))}: "
            f"{told or 'nothing'}"
        )

    def _outage(self, what: str) -> str:
        self.outages.append(what)
        return "until the next pass has ended"

    def _leave(self) -> str:
        for id in self.strangers:
            self.site.engine.client.containers.get(id).remove(force=True)
        self.strangers.clear()
        return "the strangers are gone"

    def _order(self, what: str, number: int) -> str:
        match what:
            case "retry":
                return str(self.site.limpet("retry", "all").code)
            case "suspend":
                return str(self.site.limpet("suspend", "--reason", "a person").code)
            case "resume":
                return str(self.site.limpet("resume").code)
            case "rollback":
                return str(self.site.limpet("rollback").code)
        return ""

    def ours(self) -> dict[str, str]:
        """Name -> id of the app's containers."""
        return {name: id for name, id in self.site.ids(self.app).items() if id not in self.strangers}

    def _drift(self, how: str, number: int) -> str:
        if how in ("edit", "delete", "chmod"):
            return self._damage(how, number)
        name = pick(self.ours(), number)
        if name is None:
            return ""
        container = self.site.engine.client.containers.get(name)
        match how:
            case "stop":
                container.kill() if container.status == "running" else None
            case "vanish":
                container.remove(force=True)
            case "pause":
                container.pause() if container.status == "running" else None
            case "disconnect":
                networks = container.attrs["NetworkSettings"]["Networks"]
                if networks and container.status == "running":
                    self.site.engine.client.networks.get(pick(networks, number)).disconnect(
                        container, force=True
                    )
            case _:
                return ""
        return f"{name}: {how}"

    def _damage(self, how: str, number: int) -> str:
        owned = [
            self.site.root / key.partition("/")[2] for key in self.inventory() if key.startswith("file/")
        ]
        path = pick([path for path in owned if path.is_file() and not path.is_symlink()], number)
        if path is None:
            return ""
        match how:
            case "edit":
                path.write_bytes(b"edited by hand")
            case "delete":
                path.unlink()
            case _:
                path.chmod(0o777)
        return f"{path.name}: {how}"

    def _intrude(self, how: str, number: int) -> str:
        there = [container.name for container in self.site.engine.containers(self.prefix)]
        match how:
            case "name":
                name = f"app-{SERVICES[number % len(SERVICES)]}-1"
                if f"{self.prefix}{name}" not in there:
                    self.strangers.append(self._run(name))
                    return f"{name} is a stranger"
            case "network":
                found = [
                    network.name for network in self.site.engine.client.networks.list(names=[f"{self.app}_"])
                ]
                if name := pick(found, number):
                    self.strangers.append(self._run(f"-stranger{len(self.story)}", network=name))
                    return f"a stranger on {name}"
        return ""

    def inventory(self) -> dict[str, Any]:
        path = self.site.root / "var/lib/limpet/inventory.json"
        return dict(json.loads(path.read_text().splitlines()[1])) if path.exists() else {}

    # --- passes ---

    def run(self, how: Event) -> Result:
        """One pass; of a misfortune only the kill can be made here."""
        env = {"LIMPET_TEST_SERIAL": "1"}
        if how[0] in ("killed", "power"):
            env["LIMPET_TEST_KILL_AT"] = str(2 + how[1] // 2)
        source = self.site.repo.path
        away = source.with_name("away")
        if "source" in self.outages:
            source.rename(away)
        if "docker" in self.outages:
            self.site.configure(gate={"settle": "0.3s", "deadline": "8s"}, engine={"socket": "/nowhere.sock"})
        try:
            result = self.site.sync(expect=None, env=env)
        finally:
            if away.exists():
                away.rename(source)
            if "docker" in self.outages:
                self.site.configure(gate={"settle": "0.3s", "deadline": "8s"})
            self.outages.clear()
        self.story.append(f"  pass: exit {result.code}: {result.err.strip().splitlines()[-1:]}")
        return result

    def actions(self) -> list[str]:
        """What the last pass did."""
        lines = map(json.loads, (self.site.root / "var/lib/limpet/journal.jsonl").read_text().splitlines())
        return [
            f"{line['verb']} {line['key']}: {line['cause']}" for line in lines if line["event"] == "begin"
        ]

    def live(self, one: Round) -> None:
        """A round, and the rules after it."""
        events, how = one
        calm = how[0] not in ("killed", "power")
        for event in events:
            self.happen(event)
        calm = calm and not self.outages
        rejected = self.rejected()
        result = self.run(how)
        assert result.code in (0, 1, 4, 6, 75, 78, -signal.SIGKILL), result
        self.untouched()
        if not bad(self.docs[-1]):
            assert self.rejected() <= rejected, f"a good release was rejected: {result}"
        if calm and result.code in (0, 4):
            before = self.ours()
            again = self.run(("pass",))
            assert again.code == result.code and not self.actions(), (
                f"the second pass did {self.actions()}: {again}"
            )
            assert self.ours() == before

    def rejected(self) -> set[str]:
        path = self.site.root / "var/lib/limpet/state.json"
        return (
            {id for id, _ in json.loads(path.read_text().splitlines()[1])["rejected"]}
            if path.exists()
            else set()
        )

    def untouched(self) -> None:
        client = self.site.engine.client
        for id in (self.bystander, *self.strangers):
            assert client.containers.get(id).status == "running", "a foreign container was touched"
        owned = self.inventory()
        for place, data in self.persons.items():
            if f"file/{place.relative_to(self.site.root)}" not in owned and not self._covered(place, owned):
                assert place.read_bytes() == data, f"{place} is not what a person had there"

    def _covered(self, place: Path, owned: dict[str, Any]) -> bool:
        return any(
            f"{kind}/{place.relative_to(self.site.root)}" in owned for kind in ("symlink", "directory")
        )

    # --- the end ---

    def end(self) -> None:
        """With everything up and one good commit the host must hold that and nothing else."""
        self.happen(("leave",))
        self.happen(("order", "resume", 0))
        good = (doc for doc in reversed(self.docs) if not bad(doc) and "outside" not in doc["network"])
        self.happen(("push", next(good)))
        codes = [self.run(("pass",)).code for _ in range(QUIET_WITHIN)]
        assert not self.actions() and codes[-1] in (0, 6), (
            f"it does not become quiet: {codes}, {self.actions()}"
        )
        doc, owned = self.docs[-1], self.inventory()
        if codes[-1] == 0:
            self._faithful(doc, owned)
        self.untouched()

    def _faithful(self, doc: Doc, owned: dict[str, Any]) -> None:
        there = snapshot.containers(self.site.engine, self.app)
        for name, spec in doc["container"].items():
            found = there.pop(f"{self.app}-{name}-1", None)
            assert found or spec.get("oneshot"), f"{name} is missing"
            assert spec.get("oneshot") or (found and found["status"] == "running"), (
                f"{name} does not run: {found}"
            )
        assert not there, f"containers are left over: {sorted(there)}"
        networks = {network.name for network in self.site.engine.client.networks.list(names=[f"{self.app}_"])}
        used = {f"{self.app}_{name}" for name in doc["network"]}
        assert networks <= used | {f"{self.app}_default"}, f"networks are left over: {networks - used}"
        for path, spec in doc["file"].items():
            place = self.site.root / path[1:]
            if "content" in spec and not spec.get("app"):
                assert place.read_text() == spec["content"], path
            elif not spec.get("app"):
                assert not place.exists(), path
        names = {key for key in owned if key.startswith("container/")}
        assert names == {f"container/{self.app}-{name}-1" for name in doc["container"]}, (
            f"owned: {sorted(owned)}"
        )
