"""The name of the repository, which is the name of an app at its root that has no `name:` of its own.

Rules:
1. It is the last part of the `source.url` with which a release was first brought in. A change of the URL
   alone (a move to another server) renames nothing: under a new name all would be made anew, with empty
   volumes. The URL of the pin remembers it, and the state where the pin has moved to another URL.
2. When no release was proved, or the state was lost, what is on the host says it: the one app of ours that
   the repository would bring if it had that name, and does not bring otherwise. When that is not clear, it is
   the last part of the URL.
"""

from __future__ import annotations

from collections.abc import Callable

from agent.converge.context import Context
from agent.converge.desired import Tip
from agent.errors import BadInput
from agent.fetch.address import repo_name, shown_url
from agent.model import Manifest
from agent.observed import Observed


def known_name(context: Context) -> str:
    """The name by which this host knows the repository; the last part of the URL when it knows none."""
    state, url = context.state, context.settings.source.url
    moved = state.pin is not None and state.pin.url != shown_url(url)
    return state.repository or repo_name(state.pin.url if state.pin and moved else url)


def remember(context: Context) -> None:
    """Notes the name, before the pin moves, if the URL in the settings does not give it."""
    name = known_name(context)
    context.state.repository = "" if name == repo_name(context.settings.source.url) else name


def rendered(context: Context, tip: Tip, look: Callable[[], Observed]) -> tuple[str, Manifest]:
    """The name of the repository, and what it renders to. `look`: what is on the host. Errors: BadInput,
    Stalled, Transient.
    """
    name = known_name(context)
    manifest = context.desired.render(tip, name)
    if context.state.repository or context.state.pin:
        return name, manifest
    here = _ours(look())
    found = [
        (other, under)
        for other in sorted(set(here.values()) - _apps(manifest))
        if (under := _under(context, tip, other)) and _continues(under, other, manifest, here)
    ]
    return found[0] if len(found) == 1 else (name, manifest)


def told(context: Context, name: str, manifest: Manifest) -> list[str]:
    """A note for people, once, when an app goes on under a name that the URL does not give."""
    source, pin = context.settings.source, context.state.pin
    now = repo_name(source.url)
    if now == name or (pin and pin.url == shown_url(source.url)):
        return []
    from agent.compose.normalize import project_name  # only who moved pays for it

    app = project_name(name)
    if app not in _apps(manifest):
        return []
    return [
        f"source.url ends in {now}, and the app at the root of the repository goes on as {app}, as this host "
        f"has it; write `name: {app}` at the top of its Compose file, so that it is called that everywhere"
    ]


def _ours(observed: Observed) -> dict[str, str]:
    """Container -> app, of all that is ours on the host."""
    return {c.key_name: c.app for c in observed.containers if c.owned and c.app}


def _apps(manifest: Manifest) -> set[str]:
    return {str(resource.spec.get("app") or "") for resource in manifest.resources.values()}


def _under(context: Context, tip: Tip, name: str) -> Manifest | None:
    """What the repository renders to under another name; None when that is wrong."""
    try:
        return context.desired.render(tip, name)
    except BadInput:
        return None


def _continues(under: Manifest, app: str, manifest: Manifest, here: dict[str, str]) -> bool:
    """Whether it has a container of the app that is here, and all other apps that are here and wanted."""
    wanted = {resource.key.name for resource in under.of_kind("container") if resource.spec["app"] == app}
    known = any(here.get(name) == app for name in wanted)
    return known and _apps(manifest).intersection(here.values()) <= _apps(under)
