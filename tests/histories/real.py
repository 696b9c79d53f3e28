"""A history on the real parts: the same events as far as they can be made, whole passes by `limpet sync`, and
the rules as far as they can be seen from outside. What cannot be made here (a reboot, the clock, a disk that
is full) does nothing.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import stat
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from docker.errors import APIError

from tests.harness import net, snapshot
from tests.harness.gitrepo import Content
from tests.harness.hosts import Result
from tests.harness.site import Site
from tests.histories.branch import EMPTY, bad, next_doc, pick
from tests.histories.releases import NAMESPACES, PROXY, VPN, lenders, may_publish
from tests.histories.steps import PATHS, Event, Round
from tests.properties.strategies import SERVICES, Doc

IMAGES = {"stuck": "idle", "wont": "idle", "fail": "fail-once", "slow": "web"}
CONDITIONS = {
    "started": "service_started",
    "healthy": "service_healthy",
    "completed": "service_completed_successfully",
}
QUIET_WITHIN = 4  # passes


@dataclass(frozen=True)
class Names:
    """What things of a document are called here. `ports`: port of a document -> host port."""

    app: str
    vpn: str
    device: str
    ports: dict[str, int]


def service(name: str, doc: Doc, names: Names) -> dict[str, Any]:
    """One service of a document as Compose writes it."""
    spec = doc["container"][name]
    kind, version = _kind(name, doc), spec["image"].partition(":")[2]
    made: dict[str, Any] = {
        **spec.get("config", {}),
        "image": f"limpet-test/{IMAGES.get(kind, kind)}:v{version}",
        "networks": sorted(spec.get("networks", {})),
        "ports": [f"127.0.0.1:{names.ports[port]}:8080" for port in spec.get("ports", ())],
        "volumes": [f"./conf/{Path(path).name}:/{Path(path).name}:ro" for path in spec.get("inputs", ())]
        + [f"{volume}-data:/{volume}" for volume in spec.get("volumes", ())]
        + [f"{path}:{path}" for path in spec.get("binds", ())],
        "depends_on": dict(_dependency(need, spec, doc) for need in spec["needs"]),
    }
    if made.pop("links", None):  # both would have to be on the Engine's own network
        del made["network_mode"]
    made |= {key: _lender(made[key], names) for key in NAMESPACES if key in made}
    made["devices"] = [names.device] if made.get("devices") else []
    if any(each.get("config", {}).get("ipc") == f"container:{name}" for each in doc["container"].values()):
        made.setdefault("ipc", "shareable")
    if spec.get("oneshot"):
        made["x-limpet"] = {"oneshot": True}
    if kind == "stuck":
        made["healthcheck"] = {"test": ["CMD", "false"], "interval": "1s", "retries": 1000}
    if kind == "wont":
        made["entrypoint"] = ["/nowhere"]
    return {key: value for key, value in made.items() if value}


def _kind(name: str, doc: Doc) -> str:
    """Two that listen on one port cannot be in one network: who is in that of another one is idle."""
    spec = doc["container"][name]
    kind, behind = str(spec["image"].partition(":")[0]), not may_publish(spec)
    return "idle" if behind and kind in ("web", "slow") else kind


def _dependency(need: str, spec: Doc, doc: Doc) -> tuple[str, Doc]:
    key, _, condition = need.partition(" ")
    name = key.partition("/")[2]
    if condition == "healthy" and _kind(name, doc) == "idle":
        condition = "started"
    return name, {"condition": CONDITIONS[condition], "restart": key in spec["folded"]}


def _lender(said: str, names: Names) -> str:
    kind, _, other = said.partition(":")
    if kind != "container":
        return said
    return f"container:{names.vpn}" if other == VPN else f"service:{other}"


def repository(doc: Doc, names: Names) -> dict[str, Content]:
    """The files of the commit that says what a document says. Subnets, static addresses and reactions are
    left out.
    """
    networks: dict[str, Any] = {}
    for name, spec in doc["network"].items():
        ours = {"labels": {"variant": str(spec.get("config", {}).get("variant", 1))}}
        networks[name] = {"external": True, "name": f"{names.app}-{name}"} if spec.get("external") else ours
    services = {name: service(name, doc, names) for name in doc["container"]}
    compose = {
        "name": names.app,
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
    red = {"red": {"tcp": f"127.0.0.1:{names.ports['red']}", "within": "1s"}} if doc.get("check") else {}
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
        ports = {"80": net.free_port(), "81": net.free_port(), "red": net.free_port()}
        self.names = Names(self.app, f"{self.prefix}-vpn", f"/dev/{self.prefix}", ports)
        self.others: dict[str, socket.socket] = {}  # ports that processes hold
        self.furnish()
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
            self.site.commit(repository(self.docs[-1], self.names), f"{name}\n\nLimpet-Allow-Prune: 99")
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
        self.furnish()
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

    # --- what only others can bring ---

    def furnish(self) -> None:
        """As it is when nothing is in the way."""
        for held in self.others.values():
            held.close()
        self.others.clear()
        if not self._networks(PROXY):
            self.site.engine.client.networks.create(f"{self.app}-{PROXY}")
        if not self._there(self.names.vpn):
            self._run("-vpn", ipc_mode="shareable")
        if not Path(self.names.device).exists():
            os.mknod(self.names.device, stat.S_IFCHR | 0o600, os.makedev(1, 3))

    def close(self) -> None:
        """What no prefix cleans up."""
        for held in self.others.values():
            held.close()
        Path(self.names.device).unlink(missing_ok=True)

    def _networks(self, name: str) -> list[Any]:
        found = self.site.engine.client.networks.list(names=[f"{self.app}-{name}"])
        return [network for network in found if network.name == f"{self.app}-{name}"]

    def _there(self, name: str) -> list[Any]:
        found = self.site.engine.client.containers.list(all=True, filters={"name": f"^/{name}$"})
        return list(found)

    def _outside(self, what: str, number: int) -> str:
        match what:
            case "process":
                return self._process(str(80 + number % 2))
            case "device" if (device := Path(self.names.device)).exists():
                device.unlink()
                return "the device is gone"
            case "vpn" if there := self._there(self.names.vpn):
                there[0].remove(force=True)
                return "the foreign lender is gone"
            case "vpn-restarts" if there := self._there(self.names.vpn):
                there[0].restart(timeout=0)
                return "the foreign lender is started again"
            case "proxy" if there := self._networks(PROXY):
                there[0].reload()
                if there[0].attrs["Containers"]:
                    return ""
                there[0].remove()
                return "the network of others is gone"
        return ""

    def _process(self, port: str) -> str:
        if port in self.others:
            self.others.pop(port).close()
            return f"{port} is free"
        try:
            self.others[port] = socket.create_server(("127.0.0.1", self.names.ports[port]))
        except OSError:
            return ""
        return f"a process holds {port}"

    def _lender(self, how: str, number: int) -> str:
        """Something happens to a container by which others live."""
        wanted = {f"{self.app}-{name}-1" for name in lenders(self.docs[-1])}
        name = pick(wanted & self.ours().keys(), number)
        if name is None:
            return ""
        container = self.site.engine.client.containers.get(name)
        match how:
            case "vanish":
                container.remove(force=True)
            case "stop":
                container.stop(timeout=0)
            case "crash" if pid := container.attrs["State"]["Pid"]:
                os.kill(pid, signal.SIGKILL)
            case _:
                with suppress(APIError):  # when somebody has taken its port
                    container.restart(timeout=0)
        return f"{name}: {how}"

    def nobody_lives_in_the_past(self) -> None:
        """Who shares the network of another one must be in the network of its present run."""
        inspect = self.site.engine.client.api.inspect_container
        for name, id in self.ours().items():
            there = inspect(id)
            kind, _, lender = there["HostConfig"]["NetworkMode"].partition(":")
            if kind == "container" and there["State"]["Running"]:
                pids = (there["State"]["Pid"], inspect(lender)["State"]["Pid"])
                one, other = (Path(f"/proc/{pid}/ns/net").readlink() for pid in pids)
                assert one == other, f"{name} lives in a dead namespace"

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
        codes = {0, 1, 4, 6, 75, 78, -signal.SIGKILL} | (set() if calm else {5})
        assert result.code in codes, result
        self.untouched()
        if calm and result.code == 0:
            self.nobody_lives_in_the_past()
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
