"""Releases to converge to: few names, so that they meet, swap and contradict one another often. A release is
written in the language of the golden plans (tests/plan/cases.py).
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from hypothesis import strategies as st

from agent.kinds.base import Target
from tests.fakes.host import FakeHost
from tests.plan.cases import release

SERVICES = ("a", "b", "c", "d")
NETWORKS = ("n1", "n2")
SUBNETS = ("10.0.0.0/24", "10.1.0.0/24")
APP_FILES = ("/apps/shop/f1", "/apps/shop/f2")
HOST_PATHS = ("/etc/x", "/etc/y", "/etc/d", "/etc/d/z")
IMAGES = {
    "idle:1": "idle",
    "idle:2": "idle",
    "web:1": "web",
    "web:2": "web",
    "once:1": "once",
    "once:2": "once",
}
CONTENTS = st.sampled_from(("one", "two"))

Doc = dict[str, Any]


@st.composite
def docs(draw: st.DrawFn) -> Doc:
    """One release: services on networks with ports, static addresses, files, needs; and host files."""
    networks: dict[str, Doc] = {
        name: {"config": {"variant": draw(st.integers(1, 2))}} for name in NETWORKS if draw(st.booleans())
    }
    for subnet in SUBNETS:
        owner = draw(st.sampled_from((None, *networks)))
        if owner:
            networks[owner]["config"].setdefault("ipam", {"config": []})["config"].append({"subnet": subnet})
    files = {path: {"content": draw(CONTENTS), "app": "shop"} for path in APP_FILES if draw(st.booleans())}
    doc: Doc = {
        "network": networks,
        "file": files,
        "directory": {},
        "symlink": {},
        "container": {},
        "volume": {},
    }
    if draw(st.booleans()):
        doc["volume"]["v"] = {}
    for name in [name for name in SERVICES if draw(st.booleans())]:
        doc["container"][name] = draw(services(doc))
    for claim in ("80", "81"):
        owner = draw(st.sampled_from((None, *doc["container"])))
        if owner:
            doc["container"][owner]["ports"].append(claim)
    for network in networks:
        owner = draw(
            st.sampled_from(
                (None, *[n for n, spec in doc["container"].items() if network in spec["networks"]])
            )
        )
        if owner:
            doc["container"][owner]["networks"][network] = {"ipv4_address": "10.0.0.5"}
    for path in HOST_PATHS:
        draw(host_path(doc, path))
    return doc


@st.composite
def services(draw: st.DrawFn, doc: Doc) -> Doc:
    image = draw(st.sampled_from(tuple(IMAGES)))

    def some(names: Iterable[str]) -> list[str]:
        return [name for name in names if draw(st.booleans())]

    spec: Doc = {
        "image": image,
        "oneshot": image.startswith("once"),
        "ports": [],
        "networks": {name: {} for name in some(doc["network"])},
        "inputs": some(doc["file"]),
        "volumes": some(doc["volume"]),
        "needs": [],
        "folded": [],
    }
    reactions = {path: draw(st.sampled_from(("", "", "signal:HUP", "restart"))) for path in doc["file"]}
    spec["on_change"] = {path: how for path, how in reactions.items() if how and path not in spec["inputs"]}
    for key in ("update", "rollback"):
        if draw(st.booleans()):
            order = draw(st.sampled_from(("start-first", "stop-first")))
            spec[key] = {
                "order": order,
                "parallelism": draw(st.integers(0, 2)),
                "delay": 1,
                "monitor": draw(st.integers(0, 1)),
            }
    spec["service"] = draw(st.sampled_from(("one", "two")))
    spec["number"] = len(doc["container"]) + 1
    if not spec["oneshot"]:
        spec["config"] = {"restart": draw(st.sampled_from(("no", "always")))}
        for event, count in (("post_start", draw(st.integers(0, 2))), ("pre_stop", draw(st.integers(0, 1)))):
            spec["config"][event] = [{"command": ["true"]}] * count
    for other in some(doc["container"]):
        kind = doc["container"][other]["image"].partition(":")[0]
        condition = {
            "once": "completed",
            "web": draw(st.sampled_from(("healthy", "started"))),
            "idle": "started",
        }[kind]
        spec["needs"].append(f"container/{other} {condition}")
        if draw(st.integers(0, 3)) == 0:
            spec["folded"].append(f"container/{other}")
    return spec


@st.composite
def host_path(draw: st.DrawFn, doc: Doc, path: str) -> None:
    below = path.startswith("/etc/d/")
    if below and "/etc/d" not in doc["directory"]:
        return
    kinds = ["", "file", "file", "symlink", "absent", "" if below else "directory"]
    kind: str = draw(st.sampled_from(kinds))
    match kind:
        case "file":
            doc["file"][path] = {"content": draw(CONTENTS), "mode": draw(st.sampled_from(("0644", "0600")))}
        case "symlink":
            doc["symlink"][path] = {"target": draw(CONTENTS)}
        case "absent":
            doc["file"][path] = {"state": "absent"}
        case "directory":
            doc["directory"][path] = {"mode": draw(st.sampled_from(("0755", "0700")))}


def held(doc: Doc, host: FakeHost) -> Target:
    """The release of a document, its images resolved by the host and its contents in the store."""
    for spec in doc["file"].values():
        if "content" in spec:
            host.content.put(spec["content"].encode())
    found = release({"desired": doc}, "desired")
    return Target(found.manifest, {image: host.images[image] for image in found.manifest.images()})


def host() -> FakeHost:
    """A host with all images, and with things that are not ours."""
    made = FakeHost()
    for reference, kind in IMAGES.items():
        made.add_image(reference, kind)
    made.add_foreign_network("foreign")
    made.add_foreign_container("bystander", ports=("port/tcp/0.0.0.0/9000",), networks=("foreign",))
    made.files.make_directory("/etc")
    made.files.put("/etc/x", b"was here before", 0o640)
    made.files.put_link("/etc/y", "was/here")
    return made
