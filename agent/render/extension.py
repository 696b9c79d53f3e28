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
    """What `x-limpet` of one service says. `signals`: path below the app's directory -> signal."""

    oneshot: bool = False
    signals: dict[str, str] = field(default_factory=dict)


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
        signal = signal_name(changes.text(path).removeprefix("signal:"))
        if signal:
            found.signals[path] = signal
        else:
            section.wrong("on_change", f"{section.name('on_change')}: {changes.text(path)!r} is no signal",
                          f"one of {', '.join(SIGNALS)}")
    return found
