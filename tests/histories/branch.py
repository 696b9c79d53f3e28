"""The branch of a history: releases as documents, and how the next commit grows out of the last one."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from agent.converge.desired import Tip
from agent.decide.descent import check_descent
from agent.model import Check, Manifest
from agent.revision import Revision
from tests.fakes.passes import Branch
from tests.histories.steps import BAD
from tests.plan.cases import release
from tests.properties.strategies import IMAGES, SERVICES, Doc

EMPTY: Doc = {kind: {} for kind in ("network", "file", "directory", "symlink", "container", "volume")}


def pick(found: Any, number: int) -> Any:
    """One of what there is, None of nothing."""
    found = sorted(found)
    return found[number % len(found)] if found else None


# --- how a document changes ---------------------------------------------------------------------------------


def spoilt(doc: Doc, number: int, how: str) -> Doc:
    """The same with something wrong in one service."""
    doc = copy.deepcopy(doc)
    if not doc["container"]:
        doc["container"]["a"] = {"image": "idle:1"}
    name = pick(doc["container"], number)
    spec = doc["container"][name]
    if how in BAD:
        spec["image"] = how
    elif how == "loop":
        spec |= {"image": "crash:1", "config": {"restart": "always"}}
    elif how == "hook":
        spec |= {"image": "idle:1", "oneshot": False, "config": {"post_start": [{"command": ["false"]}]}}
    elif how == "check":
        doc["check"] = {"red": True}
    else:
        doc["network"]["outside"] = {"external": True}
        spec.setdefault("networks", {})["outside"] = {}
    return doc


def bad(doc: Doc) -> bool:
    """Whether it cannot pass a gate, if all of it is applied."""
    hooks = [
        hook["command"]
        for spec in doc["container"].values()
        for hook in spec.get("config", {}).get("post_start", ())
    ]
    return (
        bool(doc.get("check"))
        or ["false"] in hooks
        or any(spec["image"] in BAD for spec in doc["container"].values())
    )


def tweaked(doc: Doc, what: str, number: int) -> Doc:
    """The same with a small change, where there is something to change."""
    doc = copy.deepcopy(doc)
    TWEAKS[what](doc, number)
    return doc


def _image(doc: Doc, number: int) -> None:
    if name := pick(doc["container"], number):
        spec = doc["container"][name]
        kind, _, version = spec["image"].partition(":")
        other = f"{kind}:{'2' if version == '1' else '1'}"
        spec["image"] = other if other in IMAGES else spec["image"]


def _content(doc: Doc, number: int) -> None:
    if path := pick([path for path, spec in doc["file"].items() if "content" in spec], number):
        spec = doc["file"][path]
        spec["content"] = "one" if spec["content"] == "two" else "two"


def _rename(doc: Doc, number: int) -> None:
    """A service gets another name, and keeps its port."""
    name, free = pick(doc["container"], number), [name for name in SERVICES if name not in doc["container"]]
    if name and free:
        new = free[0]
        doc["container"] = {new if old == name else old: spec for old, spec in doc["container"].items()}
        for spec in doc["container"].values():
            spec["needs"] = [
                f"container/{new} {need.split()[1]}" if need.split()[0] == f"container/{name}" else need
                for need in spec.get("needs", ())
            ]
            spec["folded"] = [
                f"container/{new}" if key == f"container/{name}" else key for key in spec.get("folded", ())
            ]


def _drop(doc: Doc, number: int) -> None:
    if name := pick(doc["container"], number):
        del doc["container"][name]
        for spec in doc["container"].values():
            spec["needs"] = [need for need in spec.get("needs", ()) if need.split()[0] != f"container/{name}"]
            spec["folded"] = [key for key in spec.get("folded", ()) if key != f"container/{name}"]


def _network(doc: Doc, number: int) -> None:
    if name := pick([name for name, spec in doc["network"].items() if not spec.get("external")], number):
        config = doc["network"][name].setdefault("config", {})
        config["variant"] = 3 - config.get("variant", 1)


def _port(doc: Doc, number: int) -> None:
    """A port goes from one service to another."""
    holder = pick([name for name, spec in doc["container"].items() if spec.get("ports")], number)
    taker = pick([name for name in doc["container"] if name != holder], number)
    if holder and taker:
        doc["container"][taker].setdefault("ports", []).append(doc["container"][holder]["ports"].pop())


TWEAKS: dict[str, Callable[[Doc, int], None]] = {
    "image": _image,
    "content": _content,
    "rename": _rename,
    "drop": _drop,
    "network": _network,
    "port": _port,
}


def next_doc(past: list[Doc], event: Any) -> Doc:
    """What the next commit holds."""
    match event:
        case ("push", doc):
            return dict(doc)
        case ("spoil", number, how):
            return spoilt(past[-1], number, how)
        case ("tweak", what, number):
            return tweaked(past[-1], what, number)
        case ("revert", back):
            return past[max(0, len(past) - 2 - int(back))]
        case ("recommit",):
            return past[-1]
    raise AssertionError(event)


# --- the branch ---------------------------------------------------------------------------------------------


@dataclass
class HistoryBranch(Branch):
    """Commits with ancestors; contents come with the rendering, as from the render child. `bad`: digests of
    manifests that cannot pass a gate.
    """

    paths: Any
    red_port: int
    docs: list[Doc] = field(default_factory=lambda: [EMPTY])
    ancestors: dict[str, frozenset[str]] = field(default_factory=dict)
    bad: set[str] = field(default_factory=set)
    unreachable: str = ""

    def __post_init__(self) -> None:
        super().__init__(self.paths)
        self.tip, self.rewritten = "", False

    def commit(self, event: Any) -> Manifest:
        """One more commit; it descends from all before it, also after the branch was rewritten."""
        doc = next_doc(self.docs, event)
        self.docs.append(doc)
        self.commits += 1
        self.tip, self.rewritten = f"{self.commits:040x}", False
        self.ancestors[self.tip] = frozenset(self.ancestors) | {self.tip}
        self.message = f"{event[0]} {self.commits}\n\nLimpet-Allow-Prune: 99"
        checks = (Check("red", tcp=f"127.0.0.1:{self.red_port}", within=3.0),) if doc.get("check") else ()
        self.manifest = Manifest(release({"desired": doc}, "desired").manifest.resources, checks)
        if bad(doc):
            self.bad.add(self.manifest.digest)
        return self.manifest

    def rewrite(self) -> None:
        """Somebody replaces the history of the branch."""
        self.commits += 1
        self.tip, self.rewritten = f"{self.commits:040x}", True
        self.ancestors[self.tip] = frozenset({self.tip})

    def descends(self, commit: str, pin: str) -> bool:
        return not pin or pin in self.ancestors[commit]

    def fetch(self, pin: str) -> Tip:
        if self.down:
            raise self.down
        answer = {"commit": self.tip, "descends": self.descends(self.tip, pin)}
        check_descent(answer, pin, "main")
        return Tip(self.tip, Revision("main", self.tip), self.message)

    def render(self, tip: Tip, name: str) -> Manifest:
        self.content.put_many(
            spec["content"].encode() for spec in self.docs[-1]["file"].values() if "content" in spec
        )
        return super().render(tip, name)

    def newest_observed(self) -> str:
        return self.tip

    def source_answers(self) -> str:
        return self.unreachable or (self.down.message if self.down else "")
