"""The branch of a history: releases as documents, and how the next commit grows out of the last one."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from agent.check import Check
from agent.converge.desired import Tip
from agent.decide.descent import check_descent
from agent.model import Key, Manifest, Resource
from agent.revision import Revision
from tests.fakes.passes import Branch
from tests.histories.releases import (
    CHANGES,
    IMAGES,
    alone,
    changed,
    dropped,
    lenders,
    may_publish,
    moved_data,
    renamed,
)
from tests.histories.steps import BAD
from tests.plan.cases import release
from tests.properties.strategies import SERVICES, Doc

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
        alone(spec)
        spec |= {"image": "crash:1", "config": {"restart": "always"}}
    elif how == "hook":
        spec |= {"image": "idle:1", "oneshot": False, "config": {"post_start": [{"command": ["false"]}]}}
    elif how == "check":
        doc["check"] = {"red": True}
    else:
        alone(spec)
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
    """A service gets another name, and keeps its port, its data and its place."""
    name, free = pick(doc["container"], number), [name for name in SERVICES if name not in doc["container"]]
    if name and free:
        renamed(doc, name, free[0])


def _drop(doc: Doc, number: int) -> None:
    if name := pick(doc["container"], number):
        dropped(doc, name)


def _moved(what: str) -> Callable[[Doc, int], None]:
    """A service gets another name, and changes besides."""

    def change(doc: Doc, number: int) -> None:
        _changed(what)(doc, number)
        _rename(doc, number)

    return change


def _changed(what: str) -> Callable[[Doc, int], None]:
    def change(doc: Doc, number: int) -> None:
        if name := pick(doc["container"], number):
            changed(doc, name, what)

    return change


def _lender(doc: Doc, number: int) -> None:
    """A container by which others live changes, and they with it."""
    if name := pick(lenders(doc), number):
        changed(doc, name, "environment")


def _data(doc: Doc, number: int) -> None:
    """The data of one service goes to another one."""
    if giver := pick(doc["container"], number):
        moved_data(doc, giver, sorted(doc["container"]))


def _network(doc: Doc, number: int) -> None:
    if name := pick([name for name, spec in doc["network"].items() if not spec.get("external")], number):
        config = doc["network"][name].setdefault("config", {})
        config["variant"] = 3 - config.get("variant", 1)


def _port(doc: Doc, number: int) -> None:
    """A port goes from one service to another."""
    holder = pick([name for name, spec in doc["container"].items() if spec.get("ports")], number)
    others = (name for name, spec in doc["container"].items() if name != holder and may_publish(spec))
    taker = pick(others, number)
    if holder and taker:
        doc["container"][taker].setdefault("ports", []).append(doc["container"][holder]["ports"].pop())


TWEAKS: dict[str, Callable[[Doc, int], None]] = {
    "image": _image,
    "content": _content,
    "rename": _rename,
    "drop": _drop,
    "network": _network,
    "port": _port,
    "lender": _lender,
    "data": _data,
    "rename-service": _moved("service"),
    "rename-app": _moved("app"),
    **{what: _changed(what) for what in CHANGES},
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
    made: dict[tuple[Key, str], Resource] = field(default_factory=dict)  # every container of every commit

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
        self.made |= {(each.key, each.digest): each for each in self.manifest.of_kind("container")}
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
