"""Builds a View from a few lines: the language of the golden plans, used by the unit tests of planning too.

A case is a mapping (from TOML). What is not said is as it should be:

    applied, known_good, desired   releases: kind -> name -> spec; or the name of another release; or `base`
    (another release),
                                   with what is written below laid over it and `drop` taken away. `lock`:
                                   reference -> image id
    host                           the release the host was faithfully brought to, default "applied"
    gone                           keys that are missing on the host
    container                      instances: `of` ("known_good/web"), `id`, and what differs; the same id
    replaces. Not ours:
                                   `foreign`, or `compose` ("desired/web"), what Docker Compose made of it,
                                   and of the keys in `but`, under `name`
    file, network, volume          what else lies there, by name
    engine_api                     the API version, [1, 44]; where none is said, that of an older Engine
    ran                            one-shots that ran to success ("known_good/migrate"), whatever became of
    them inventory, unowned             entries by key: what differs (`completed = "now"`: it ran to success);
    keys that are not owned

Contents are written as text, image ids as `sha256:REFERENCE`, ids as `id-NAME`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from agent.kinds import attaching, claims, container, files, instances, network, oneshots, volume
from agent.kinds.base import Target, View
from agent.model import Inventory, Key, Manifest, Need, Owned, Resource, sha256
from agent.observed import Observed, ObservedContainer, ObservedFile, ObservedNetwork, ObservedVolume
from tests.fakes import compose

Case = Mapping[str, Any]
RELEASES = ("applied", "known_good", "desired")
KINDS = ("directory", "file", "symlink", "network", "volume", "container")


def view(case: Case) -> View:
    """All that the planner sees."""
    held = {name: release(case, name) for name in RELEASES}
    ran: dict[str, tuple[str, ...]] = {}
    for brought, name in (_made(case, of) for of in case.get("ran", ())):
        resource = brought.manifest.resources[Key("container", name)]
        ran[str(resource.key)] = (
            *ran.get(str(resource.key), ()),
            oneshots.completed_mark(resource, brought.image(resource)),
        )
    return View(
        held["desired"], observed(case), inventory(case), held["applied"], held["known_good"], ran=ran
    )


def release(case: Case, name: str) -> Target:
    """One of the releases of a case."""
    doc = _merged(case, name)
    resources: dict[Key, Resource] = {}
    for kind in KINDS:
        for item, spec in doc.get(kind, {}).items():
            made = MAKERS[kind](item, spec, resources)
            resources[made.key] = made
    manifest = Manifest(resources)
    return Target(manifest, {image: f"sha256:{image}" for image in manifest.images()} | doc.get("lock", {}))


def _merged(case: Case, name: str) -> dict[str, Any]:
    doc = case.get(name, {})
    if isinstance(doc, str):
        return _merged(case, doc)
    base = _merged(case, doc["base"]) if "base" in doc else {}
    merged: dict[str, Any] = {"lock": base.get("lock", {}) | doc.get("lock", {})}
    for kind in KINDS:
        merged[kind] = {item: dict(spec) for item, spec in base.get(kind, {}).items()}
        for item, spec in doc.get(kind, {}).items():
            merged[kind][item] = merged[kind].get(item, {}) | spec
    for key in map(Key.parse, doc.get("drop", ())):
        del merged[key.kind][key.name]
    return merged


# --- resources ----------------------------------------------------------------------------------------------


def _file(path: str, spec: Case, _: Mapping[Key, Resource]) -> Resource:
    if spec.get("state") == "absent":
        return files.absent(path)
    rest = {key: value for key, value in spec.items() if key != "content"}
    return files.file(path, content=sha256(spec["content"]), size=len(spec["content"]), **rest)


def _container(name: str, spec: Case, others: Mapping[Key, Resource]) -> Resource:
    """`ports`: "80" or "127.0.0.1:80"; `networks`: name -> endpoint; `inputs`, `on_change`: files of this
    release; `binds`: host paths with data.
    """
    joined = spec.get("networks", {})
    mounts = [
        {"type": "volume", "source": source, "target": f"/{source}"} for source in spec.get("volumes", ())
    ]
    mounts += [{"type": "bind", "source": path, "target": path} for path in spec.get("inputs", ())]
    mounts += [{"type": "bind", "source": path, "target": path} for path in spec.get("binds", ())]
    config = {"image": spec["image"], "networks": joined, "volumes": mounts, **spec.get("config", {})}
    config["ports"] = [_port(text) for text in spec.get("ports", ())]
    needs = [Need(Key("network", n)) for n in joined] + [
        Need(Key("volume", v)) for v in spec.get("volumes", ())
    ]
    needs += [Need(Key("file", path)) for path in (*spec.get("inputs", ()), *spec.get("on_change", {}))]
    needs += [_need(text) for text in spec.get("needs", ())]
    inputs = {path: others[Key("file", path)].spec["content"] for path in spec.get("inputs", ())}
    folded = {f"network/{n}": others[Key("network", n)].digest for n in joined if Key("network", n) in others}
    folded |= {key: others[Key.parse(key)].digest for key in spec.get("folded", ())}
    return container.container_resource(
        name,
        app=spec.get("app", "shop"),
        service=spec.get("service", name),
        number=spec.get("number", 1),
        config=config,
        inputs=inputs,
        folded=folded,
        adopt=spec.get("adopt", False),
        compose={"project": "shop", "working_dir": "/apps/shop"},
        needs=tuple(needs),
        oneshot=spec.get("oneshot", False),
        on_change=spec.get("on_change", {}),
        origin="compose.yaml:1",
        update=spec.get("update"),
        rollback=spec.get("rollback"),
        on_unhealthy=spec.get("on_unhealthy", ""),
    )


def _port(text: str) -> dict[str, Any]:
    address, _, number = text.rpartition(":")
    return {
        "mode": "ingress",
        "protocol": "tcp",
        "host_ip": address,
        "target": int(number),
        "published": number,
    }


def _need(text: str) -> Need:
    key, condition, *rest = [*text.split(), "started"]
    return Need(Key.parse(key), condition, "optional" not in rest)  # type: ignore[arg-type]


MAKERS: dict[str, Any] = {
    "file": _file,
    "directory": lambda path, spec, _: files.directory(path, **spec),
    "symlink": lambda path, spec, _: files.symlink(path, **spec),
    "network": lambda n, s, _: network.network_resource(
        n, app="shop", config=s.get("config", {}), external=s.get("external", False)
    ),
    "volume": lambda n, s, _: volume.volume_resource(
        n, app="shop", config=s.get("config", {}), external=s.get("external", False)
    ),
    "container": _container,
}


# --- the host -----------------------------------------------------------------------------------------------


def instance(held: Target, name: str, /, *, id: str = "", **differs: Any) -> ObservedContainer:
    """A running container that a release made."""
    resource = held.manifest.resources[Key("container", name)]
    state = "exited" if resource.spec["oneshot"] else "running"
    seen = ObservedContainer(
        id or f"id-{name}",
        name,
        True,
        state,
        held.image(resource),
        name,
        resource.spec["app"],
        resource.digest,
        exit_code=0 if state == "exited" else None,
        networks={n: f"id-{n}" for n in attaching.networks(resource)},
        ports=tuple(claim for claim in resource.claims if claim.startswith("port/")),
    )
    seen = replace(seen, **differs)
    held_now = seen.ports if seen.state in instances.RUNNING else ()
    return replace(
        seen,
        ports=tuple(held_now),
        restart_policy=seen.restart_policy or ("no" if seen.name != name else None),
    )


def _there(resource: Resource) -> ObservedFile:
    spec, kind = resource.spec, resource.key.kind
    mode = int(spec.get("mode", "0777"), 8)
    return ObservedFile(
        kind,
        mode,
        0,
        0,
        spec.get("owner", "root"),
        spec.get("group", "root"),
        spec.get("content", ""),
        spec.get("target", ""),
        kind == "directory",
    )


def _lying(spec: Case) -> ObservedFile:
    rest = {key: value for key, value in spec.items() if key not in ("mode", "content", "type")}
    content = sha256(spec["content"]) if "content" in spec else ""
    return ObservedFile(
        spec.get("type", "file"),
        int(spec.get("mode", "0644"), 8),
        0,
        0,
        content=content,
        **{"owner": "root", "group": "root", **rest},
    )


def observed(case: Case) -> Observed:
    """The host: as a release left it, and what differs."""
    brought = release(case, case.get("host", "applied"))
    gone = set(map(Key.parse, case.get("gone", ())))
    there = {key: resource for key, resource in brought.manifest.resources.items() if key not in gone}
    containers = {f"id-{key.name}": instance(brought, key.name) for key in there if key.kind == "container"}
    for doc in case.get("container", ()):
        made = _instance(case, doc)
        containers[made.id] = made
    networks = {
        k.name: ObservedNetwork(f"id-{k.name}", k.name, not r.spec["external"], r.digest, r.claims)
        for k, r in there.items()
        if k.kind == "network"
    }
    wanted = release(case, "desired").manifest.resources
    networks |= {
        name: ObservedNetwork(f"id-{name}", name, **_compared("network", name, spec, wanted))
        for name, spec in case.get("network", {}).items()
    }
    volumes = {
        k.name: ObservedVolume(k.name, not r.spec["external"], r.digest)
        for k, r in there.items()
        if k.kind == "volume"
    }
    volumes |= {
        name: ObservedVolume(name, **_compared("volume", name, spec, wanted))
        for name, spec in case.get("volume", {}).items()
    }
    paths = {
        k.name: _there(r) for k, r in there.items() if k.kind in KINDS[:3] and r.spec.get("state") != "absent"
    }
    paths |= {path: _lying(spec) for path, spec in case.get("file", {}).items()}
    images = frozenset(image for name in RELEASES for image in release(case, name).lock.values())
    return Observed(
        paths,
        tuple(sorted(containers.values(), key=lambda c: (c.name, c.id))),
        networks,
        volumes,
        {},
        images,
        engine_api=tuple(case.get("engine_api", ())),
    )


def _compared(kind: str, name: str, spec: Case, wanted: Mapping[Key, Resource]) -> Case:
    """`compose = {...}`: what Docker Compose made as it is desired, and what the Engine says otherwise."""
    if "compose" not in spec:
        return {**spec, "claims": tuple(spec.get("claims", ()))} if kind == "network" else spec
    made = (compose.network if kind == "network" else compose.volume)(wanted[Key(kind, name)])
    return {"owned": False, "found": {**made, **spec["compose"]}}


def _instance(case: Case, doc: Case) -> ObservedContainer:
    differs = {key: value for key, value in doc.items() if key not in ("of", "foreign", "compose", "but")}
    if "compose" in doc:
        held, name = _made(case, doc["compose"])
        made, resource = instance(held, name, **differs), held.manifest.resources[Key("container", name)]
        spec = {**resource.spec, "config": {**resource.spec["config"], **doc.get("but", {})}}
        found = compose.found(replace(resource, spec=spec), made.id, made.name)
        policy = made.restart_policy or "no"
        return replace(made, owned=False, key_name="", app="", digest="", found=found, restart_policy=policy)
    if "foreign" in doc:
        differs |= {"ports": tuple(claims.port("tcp", "", p) for p in doc.get("ports", ()))}
        state, name = differs.pop("state", "running"), doc["foreign"]
        return ObservedContainer(f"id-{name}", name, False, state, "sha256:other", **differs)
    return instance(*_made(case, doc["of"]), **differs)


def _made(case: Case, of: str) -> tuple[Target, str]:
    held, _, name = of.partition("/")
    return release(case, held), name


def owned(resource: Resource) -> Owned:
    """The inventory's entry of a resource."""
    needs = tuple(str(need.key) for need in resource.needs)
    return Owned(resource.digest, needs, resource.claims, str(resource.spec.get("app", "")))


def inventory(case: Case) -> Inventory:
    """What is owned: all that was applied, and what differs."""
    held = release(case, case.get("host", "applied"))
    brought = held.manifest.resources
    found = {key: owned(resource) for key, resource in brought.items()}
    for text, doc in case.get("inventory", {}).items():
        if doc.get("completed") == "now":
            doc = doc | {
                "completed": oneshots.completed_mark(
                    brought[Key.parse(text)], held.image(brought[Key.parse(text)])
                )
            }
        found[Key.parse(text)] = replace(found.get(Key.parse(text), Owned("")), **doc)
    return {key: owned for key, owned in found.items() if str(key) not in case.get("unowned", ())}
