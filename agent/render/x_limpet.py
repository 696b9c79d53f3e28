"""Reads `x-limpet` of a service: settings that Compose does not have."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from agent.compose.tree import Map
from agent.kinds.hooks import DEADLINE
from agent.render.layerfile import SIGNALS, signal_name
from agent.render.mounts import AppFiles
from agent.render.problems import did_you_mean
from agent.render.schema import Section

KNOWN = ("oneshot", "irreversible", "on_change", "on_unhealthy", "hook_timeout", "adopt")
LONGEST_HOOK = 600.0  # seconds: a pass without progress for longer counts as hung
LATER = ("protect",)


@dataclass(frozen=True, slots=True)
class Extension:
    """The `x-limpet` of one service. `changes`: path below the app's directory -> `signal:HUP`, `restart` or
    `recreate`. `on_unhealthy`: `restart` or empty. `hook_timeout` is in seconds.
    """

    oneshot: bool = False
    irreversible: bool = False
    adopt: bool = False
    on_unhealthy: str = ""
    changes: Mapping[str, str] = field(default_factory=dict)
    hook_timeout: float = DEADLINE


def read_extension(service: Map, name: str, files: AppFiles) -> Extension:
    """The `x-limpet` of a service. Raises Wrong if it is not a mapping; problems of single keys are
    collected.
    """
    value = service.get("x-limpet")
    if value is None:
        return Extension()
    if not isinstance(value, Map):
        raise files.wrong(
            f"services.{name}.x-limpet must be a mapping",
            "write x-limpet: {oneshot: true}",
            *("services", name, "x-limpet"),
        )
    section = Section(value, f"services.{name}.x-limpet", files.work.problems, files.work.overlay.origin)
    _check_keys(section)
    return Extension(
        oneshot=section.truth("oneshot"),
        adopt=section.truth("adopt"),
        irreversible=section.truth("irreversible"),
        on_unhealthy=section.choice("on_unhealthy", "none", "restart", "none").replace("none", ""),
        changes=_changes(section.section("on_change")),
        hook_timeout=_hook_timeout(section),
    )


def _check_keys(section: Section) -> None:
    for key in section.map:
        if key in LATER:
            section.wrong(
                key,
                f"{section.name(key)} is not supported by this version of Limpet yet",
                "remove it for now",
            )
        elif key not in KNOWN:
            section.wrong(key, f"unknown key {section.name(key)}", did_you_mean(key, (*KNOWN, *LATER)))


def _hook_timeout(section: Section) -> float:
    timeout = section.seconds("hook_timeout", DEADLINE)
    if timeout > LONGEST_HOOK:
        section.wrong(
            "hook_timeout",
            f"{section.name('hook_timeout')} is longer than {LONGEST_HOOK / 60:.0f} minutes",
            "let the command only start the work, and let a check tell when it is done",
        )
    return timeout


def _changes(section: Section) -> dict[str, str]:
    found = {}
    for path in section.map:
        said = section.text(path)
        signal = signal_name(said.removeprefix("signal:"))
        if signal or said in ("restart", "recreate"):
            found[path] = f"signal:{signal}" if signal else said
        else:
            section.wrong(
                path,
                f"{section.what}: {said!r} is not restart, recreate or a signal",
                f"use signal:NAME with one of {', '.join(SIGNALS)}",
            )
    return found
