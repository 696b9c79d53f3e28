"""Releases of histories: those of the properties, and besides services that live by others (lenders), data
with one writer, devices, and what only others can bring: a network and a container.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable
from typing import Any

from hypothesis import strategies as st

from tests.properties.strategies import IMAGES as PLAIN
from tests.properties.strategies import SERVICES, Doc, docs

IMAGES = {**PLAIN, "slow:1": "slow", "slow:2": "slow"}
DATA = ("/srv/data", "/srv/data/below")
DEVICE = "/dev/ttyUSB0"
PROXY, VPN = "proxy", "vpn"  # a network and a container of others
NAMESPACES = ("network_mode", "pid", "ipc")
WAYS = (*NAMESPACES, "volumes_from", "links", "depends_on")
OWN_NETWORKS = ("network_mode", "links")  # with these a service is on no network of the release


@st.composite
def releases(draw: st.DrawFn) -> Doc:
    """One release."""
    doc = draw(docs())
    for name, spec in doc["container"].items():
        if spec["image"].startswith("web") and draw(st.booleans()):
            spec["image"] = spec["image"].replace("web", "slow")
        draw(_data(spec))
        draw(_lenders(doc, name))
    if draw(st.integers(0, 3)) == 0:
        doc["network"][PROXY] = {"external": True}
        for name in draw(st.sets(st.sampled_from(SERVICES))) & {*doc["container"]}:
            if not _by_itself(doc["container"][name]):
                doc["container"][name]["networks"][PROXY] = {}
    return doc


@st.composite
def stacks(draw: st.DrawFn) -> Doc:
    """A release as people have it: a gateway (a), a service behind it (b), a database with a health check
    (c), and a service that waits for it (d). All are restarted by the Engine.
    """
    doc: Doc = {kind: {} for kind in ("file", "directory", "symlink")}
    doc |= {"network": {"n1": {}}, "volume": {"v": {}}, "container": {}}
    on_network: Doc = {"networks": {"n1": {}}}
    for number, (name, image, more) in enumerate(
        [
            ("a", "idle", on_network | {"ports": ["80"]}),
            ("b", draw(st.sampled_from(("idle", "web"))), {}),
            ("c", draw(st.sampled_from(("web", "slow"))), {"ports": ["81"], "volumes": ["v"]}),
            ("d", draw(st.sampled_from(("idle", "web"))), on_network | {"needs": ["container/c healthy"]}),
        ],
        1,
    ):
        spec: Doc = {"image": f"{image}:1", "oneshot": False, "service": "one", "number": number}
        spec |= {key: [] for key in ("ports", "inputs", "volumes", "needs", "folded", "binds")}
        spec |= {"networks": {}, "on_change": {}, "config": {"restart": "always"}}
        doc["container"][name] = spec | copy.deepcopy(more)
    for user, lender in (("b", "a"), *((("d", "c"),) if draw(st.booleans()) else ())):
        for way in draw(st.sets(st.sampled_from(WAYS), min_size=1, max_size=2)):
            _live_by(doc["container"][user], way, lender)
    for name in draw(st.sets(st.sampled_from(SERVICES), max_size=2)):
        changed(doc, name, draw(st.sampled_from(("bind", "volume", "device", "proxy", "vpn"))))
    return doc


@st.composite
def _data(draw: st.DrawFn, spec: Doc) -> None:
    spec["binds"] = [path for path in DATA if draw(st.integers(0, 3)) == 0]
    if draw(st.integers(0, 5)) == 0:
        spec.setdefault("config", {})["devices"] = [f"{DEVICE}:{DEVICE}:rwm"]


@st.composite
def _lenders(draw: st.DrawFn, doc: Doc, name: str) -> None:
    """A service may live by those before it that run on, and by a container of somebody else."""
    spec, before = doc["container"][name], list(doc["container"])[: list(doc["container"]).index(name)]
    others = [other for other in before if not doc["container"][other]["oneshot"]]
    for key in WAYS:
        if others and draw(st.integers(0, 4)) == 0:
            _live_by(spec, key, draw(st.sampled_from(others)))
    if draw(st.integers(0, 9)) == 0 and not _by_itself(spec):
        _live_by(spec, draw(st.sampled_from(NAMESPACES)), VPN)


def _by_itself(spec: Doc) -> bool:
    """Whether it is on no network that could be named."""
    return bool(spec.get("config", {}).get("network_mode"))


def _live_by(spec: Doc, key: str, other: str) -> None:
    config = spec.setdefault("config", {})
    if key in OWN_NETWORKS:
        if _by_itself(spec):
            return
        spec["networks"] = {}
    if key in NAMESPACES:
        config[key] = f"container:{other}"
        spec["ports"] = [] if key == "network_mode" else spec["ports"]
    elif key == "volumes_from":
        config[key] = [*config.get(key, ()), other]
    elif key == "links":
        config |= {"network_mode": "bridge", key: [f"{other}:{other}"]}
    if other == VPN:
        return
    if not any(need.split()[0] == f"container/{other}" for need in spec["needs"]):
        spec["needs"].append(f"container/{other} started")
    if key != "links" and f"container/{other}" not in spec["folded"]:
        spec["folded"].append(f"container/{other}")


# --- what is in a document ----------------------------------------------------------------------------------


def lives_by(spec: Doc) -> set[str]:
    """The containers that a service names in its configuration."""
    config = spec.get("config", {})
    found = {value.partition(":")[2] for key in NAMESPACES if (value := config.get(key, "")) != "bridge"}
    found |= {*config.get("volumes_from", ()), *(link.partition(":")[0] for link in config.get("links", ()))}
    return found - {""}


def lenders(doc: Doc) -> set[str]:
    """The services by which others live."""
    named = {other for spec in doc["container"].values() for other in lives_by(spec)}
    folded = {key.partition("/")[2] for spec in doc["container"].values() for key in spec.get("folded", ())}
    return (named | folded) & {*doc["container"]}


def may_publish(spec: Doc) -> bool:
    return not spec.get("config", {}).get("network_mode", "").startswith("container:")


# --- how a document changes ---------------------------------------------------------------------------------


def alone(spec: Doc) -> None:
    """It lives by nobody any more."""
    spec["config"] = {key: value for key, value in spec.get("config", {}).items() if key not in WAYS}


def renamed(doc: Doc, old: str, new: str) -> None:
    """A service gets another name, with all that name it."""
    doc["container"] = {new if name == old else name: spec for name, spec in doc["container"].items()}
    for spec in doc["container"].values():
        spec["needs"] = [_as(need, f"container/{old}", f"container/{new}") for need in spec.get("needs", ())]
        spec["folded"] = [_as(key, f"container/{old}", f"container/{new}") for key in spec.get("folded", ())]
        config = spec.get("config", {})
        for key in NAMESPACES:
            if config.get(key) == f"container:{old}":
                config[key] = f"container:{new}"
        if "volumes_from" in config:
            config["volumes_from"] = [new if of == old else of for of in config["volumes_from"]]
        if "links" in config:
            config["links"] = [
                f"{new}:{old}" if link.partition(":")[0] == old else link for link in config["links"]
            ]


def _as(text: str, old: str, new: str) -> str:
    key, blank, condition = text.partition(" ")
    return f"{new if key == old else key}{blank}{condition}"


def dropped(doc: Doc, name: str) -> None:
    """A service goes; those that lived by it live alone."""
    del doc["container"][name]
    for spec in doc["container"].values():
        spec["needs"] = [need for need in spec.get("needs", ()) if need.split()[0] != f"container/{name}"]
        spec["folded"] = [key for key in spec.get("folded", ()) if key != f"container/{name}"]
        if name in lives_by(spec):
            alone(spec)


def changed(doc: Doc, name: str, what: str) -> None:
    """One service changes in the way that a word says."""
    spec = doc["container"][name]
    config: dict[str, Any] = spec.setdefault("config", {})
    match what:
        case "environment":
            config["environment"] = {"E": "2" if config.get("environment", {}).get("E") == "1" else "1"}
        case "service":  # its name and its place
            spec["service"] = "two" if spec.get("service") == "one" else "one"
        case "app":
            for each in doc["container"].values():
                each["app"] = "shop" if each.get("app") == "store" else "store"
        case "bind":
            _toggle(spec.setdefault("binds", []), DATA[0])
        case "volume":
            doc["volume"].setdefault("v", {})
            _toggle(spec.setdefault("volumes", []), "v")
        case "device":
            _toggle(config.setdefault("devices", []), f"{DEVICE}:{DEVICE}:rwm")
        case "proxy" if not _by_itself(spec):
            doc["network"][PROXY] = {"external": True}
            spec.setdefault("networks", {})[PROXY] = {}
        case "vpn" if not _by_itself(spec):
            _live_by(spec, "network_mode", VPN)
        case "alone":
            alone(spec)


CHANGES = ("environment", "service", "app", "bind", "volume", "device", "proxy", "vpn", "alone")


def _toggle(found: list[str], one: str) -> None:
    found.remove(one) if one in found else found.append(one)


def moved_data(doc: Doc, giver: str, takers: Iterable[str]) -> None:
    """The data of a service goes to another one."""
    taker = next((name for name in takers if name != giver), None)
    if taker:
        for key in ("volumes", "binds"):
            given = doc["container"][giver].get(key, [])
            doc["container"][taker][key] = [*doc["container"][taker].get(key, ()), *given]
            doc["container"][taker][key] = sorted(set(doc["container"][taker][key]))
            doc["container"][giver][key] = []


def copied(doc: Doc) -> Doc:
    return copy.deepcopy(doc)
