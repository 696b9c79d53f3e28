"""`x-limpet` of a service: what Compose has no word for."""

from __future__ import annotations

from dataclasses import dataclass, field

from agent.compose.tree import Map
from agent.render.layerfile import SIGNALS, signal_name
from agent.render.mounts import AppFiles
from agent.render.problems import did_you_mean
from agent.render.schema import Section

KNOWN = ("oneshot", "on_change")
LATER = ("protect", "adopt", "irreversible")


@dataclass(slots=True)
class Extension:
    """What `x-limpet` of one service says. `changes`: path below the app's directory -> `signal:HUP`, `restart` or `recreate`."""

    oneshot: bool = False
    changes: dict[str, str] = field(default_factory=dict)


def read_extension(service: Map, name: str, files: AppFiles) -> Extension:
    """The `x-limpet` of a service. Raises Wrong; single wrong keys are noted."""
    value = service.get("x-limpet")
    found = Extension()
    if value is None:
        return found
    if not isinstance(value, Map):
        raise files.wrong(f"services.{name}.x-limpet must be a mapping", "write x-limpet: {oneshot: true}", "services", name,
                          "x-limpet")
    section = Section(value, f"services.{name}.x-limpet", files.work.problems, files.work.overlay.origin)
    for key in value:
        if key in LATER:
            section.wrong(key, f"{section.name(key)} is not supported by this version of Limpet yet", "remove it for now")
        elif key not in KNOWN:
            section.wrong(key, f"unknown key {section.name(key)}", did_you_mean(key, (*KNOWN, *LATER)))
    found.oneshot = section.truth("oneshot")
    changes = section.section("on_change")
    for path in changes.map:
        said = changes.text(path)
        signal = signal_name(said.removeprefix("signal:"))
        if signal or said in ("restart", "recreate"):
            found.changes[path] = f"signal:{signal}" if signal else said
        else:
            changes.wrong(path, f"{section.name('on_change')}: {said!r} is neither restart nor recreate nor a signal",
                          f"signals are {', '.join(SIGNALS)}")
    return found
