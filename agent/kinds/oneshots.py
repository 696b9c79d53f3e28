"""One-shots: which of them have run, so that they need not run again, and which cannot be undone. Pure.

Rules:
1. A one-shot runs once per content and image, for as long as a release that has it is remembered. `View.ran`
   knows the one-shots whose containers were replaced or removed since. So no way back runs one again: neither
   a rollback, nor one by hand, nor a revert.
2. Once an irreversible one-shot was started by a release that is not proved, nothing is rolled back until a
   release is proved. The container shows that it was started, whatever became of the pass that started it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from agent.kinds.base import Target, View
from agent.model import Key, Resource
from agent.observed import Observed

Ran = Mapping[str, tuple[str, ...]]


def completed_mark(resource: Resource, image_id: str) -> str:
    """The mark that is remembered of a one-shot that ran to success."""
    return f"{resource.digest}@{image_id}"


def has_run(resource: Resource, image_id: str, view: View) -> bool:
    """Whether this very content ran to success with this image, as far as is remembered."""
    owned, mark = view.owned(resource.key), completed_mark(resource, image_id)
    return bool(resource.spec["oneshot"] and image_id) and (
        (owned is not None and owned.completed == mark) or mark in view.ran.get(str(resource.key), ())
    )


def need_not_run(view: View) -> frozenset[str]:
    """The one-shots of the target that have run, as `kind/name`."""
    wanted = view.target.manifest.of_kind("container")
    return frozenset(
        str(resource.key) for resource in wanted if has_run(resource, view.target.image(resource), view)
    )


def seen(view: View) -> dict[str, tuple[str, ...]]:
    """The marks that are remembered, and those of the containers that have run to success by what the host
    shows, whatever they are called by now.
    """
    found = {key: {*marks} for key, marks in view.ran.items()}
    for key, owned in view.inventory.items():
        if owned.completed:
            found.setdefault(str(key), set()).add(owned.completed)
    for instance in view.observed.containers:
        key = Key("container", instance.key_name)
        resource = (
            view.resource(key, instance.digest) if instance.owned and instance.state == "exited" else None
        )
        if resource is not None and resource.spec["oneshot"] and instance.exit_code == 0:
            found.setdefault(str(key), set()).add(completed_mark(resource, instance.image_id))
    return {key: tuple(sorted(marks)) for key, marks in sorted(found.items())}


def remembered_runs(ran: Ran, releases: Iterable[Target]) -> dict[str, tuple[str, ...]]:
    """Keeps the entries that are a one-shot in at least one of these releases and a regular service in
    none.
    """
    known: dict[bool, set[tuple[str, str]]] = {True: set(), False: set()}
    for held in releases:
        for resource in held.manifest.of_kind("container"):
            known[bool(resource.spec["oneshot"])].add(
                (str(resource.key), completed_mark(resource, held.image(resource)))
            )
    wanted = known[True] - known[False]
    retained = {key: tuple(mark for mark in marks if (key, mark) in wanted) for key, marks in ran.items()}
    return {key: marks for key, marks in retained.items() if marks}


def irrevocable(release: Target, known_good: Target, observed: Observed) -> set[str]:
    """The irreversible one-shots of a release that were started, as `kind/name`, without those that are the
    same in known good.
    """
    wanted = {r.key: r for r in release.manifest.of_kind("container") if r.spec.get("irreversible")}
    found = set()
    for instance in observed.containers if wanted else ():
        key = Key("container", instance.key_name)
        begun = (
            instance.owned
            and instance.state != "created"
            and release.has(key, instance.digest, instance.image_id)
        )
        if key in wanted and begun and not known_good.has(key, instance.digest, instance.image_id):
            found.add(str(key))
    return found
