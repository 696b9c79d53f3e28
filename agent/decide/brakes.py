"""Plan + policy -> plan with refusals. Pure.

Rules:
1. A brake turns wanted actions into refusals; it never adds or changes an action.
2. An empty manifest never empties a host. A plan that deletes more than a share of a kind, and more than
   five, is refused for that kind, unless a person allowed so many (`Limpet-Allow-Prune: N`). What came with a
   release that is rolled back or was never proved is free.
3. What flaps is left alone as long as its change would only correct it.
4. What the host's owner forbids (`policy.files_deny`, a suspended resource) is refused whatever the
   repository says.
"""

from __future__ import annotations

import fnmatch
from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

from agent.decide.plan import without
from agent.kinds import files
from agent.kinds.base import View
from agent.model import PATH_KINDS, Change, Key, Plan, Refusal

FEW = 5  # so many deletions of a kind are never braked


@dataclass(frozen=True, slots=True)
class BrakePolicy:
    """The host owner's word. `max_prune` is a share of 0 to 1; `allow_prune` a number of deletions a person
    allowed. `undoing`: a release is rolled back, even to a known good release that holds nothing.
    """

    prune: bool = True
    max_prune: float = 0.5
    allow_prune: int = 0
    files_deny: tuple[str, ...] = ()
    files_allow: tuple[str, ...] | None = None
    suspended: Mapping[str, str] = field(default_factory=dict)  # kind/name -> reason
    undoing: bool = False
    flapping: Mapping[str, int] = field(
        default_factory=dict
    )  # kind/name -> how often it was corrected within an hour


def brakes(plan: Plan, view: View, policy: BrakePolicy) -> Plan:
    """The plan without what policy forbids; each of it is a refusal that says which rule, numbers, and the
    remedy.
    """
    refused = [
        refusal
        for change in plan.changes
        if change.verb != "keep" and (refusal := _forbidden(change, policy))
    ]
    refused += _prune(plan, view, policy)
    return without(plan, refused) if refused else plan


def _forbidden(change: Change, policy: BrakePolicy) -> Refusal | None:
    key = change.key
    if str(key) in policy.suspended:
        return Refusal(key, f"suspended: {policy.suspended[str(key)]}", f"limpet resume {key}")
    if change.corrective and change.stage == "apply" and str(key) in policy.flapping:
        return Refusal(
            key,
            f"flapping: corrected {policy.flapping[str(key)]} times within an hour, and again {change.cause}",
            f"find out what changes it; to have it corrected again: limpet retry {key}, or a new commit",
        )
    if key.kind not in PATH_KINDS:
        return None
    denied = next((pattern for pattern in policy.files_deny if matches(key.name, pattern)), None)
    if denied is not None:
        return Refusal(
            key,
            f"the path is under policy.files_deny ({denied})",
            "change the repository, or the host's limpet.toml",
        )
    if policy.files_allow is not None and not any(
        matches(key.name, pattern) for pattern in policy.files_allow
    ):
        return Refusal(
            key,
            "the path is not under policy.files_allow",
            "change the repository, or the host's limpet.toml",
        )
    return None


def matches(path: str, pattern: str) -> bool:
    """Whether a host path falls under a glob; `/x/**` covers `/x` and all below it."""
    if pattern.endswith("/**"):
        base = pattern[:-3]
        return path == base or path.startswith(base + "/")
    return fnmatch.fnmatchcase(path, pattern)


def _prune(plan: Plan, view: View, policy: BrakePolicy) -> list[Refusal]:
    deletions = [
        c for c in plan.changes if c.verb == "delete" and c.key not in view.target.manifest.resources
    ]
    if deletions and (view.target.manifest.resources or policy.undoing):
        undone = (
            view.applied.manifest.resources if view.target == view.known_good else {}
        )  # of the release that is rolled back
        deletions = [
            change
            for change in deletions
            if change.key not in undone and not _was_never_proved(change.key, view)
        ]
    deletions = [
        change for change in deletions if not files.implied(change.key, view.inventory)
    ]  # empty, and nobody's wish
    if not deletions:
        return []
    if not policy.prune:
        return [
            Refusal(
                c.key,
                "would be deleted, but converge.prune is off",
                "delete it by hand, or set converge.prune = true",
            )
            for c in deletions
        ]
    if len(deletions) <= policy.allow_prune:
        return []
    hint = f"if it is meant, put `Limpet-Allow-Prune: {len(deletions)}` into the message of the newest commit"
    if not view.target.manifest.resources:
        return [
            Refusal(c.key, "would be deleted, but the repository holds nothing for this host", hint)
            for c in deletions
        ]
    return _too_many(deletions, _owned_of_kind(view), policy.max_prune, hint)


def _was_never_proved(key: Key, view: View) -> bool:
    owned = view.owned(key)
    return owned is not None and owned.attempted


def _owned_of_kind(view: View) -> Mapping[str, int]:
    keys: Collection[Key] = {
        *view.inventory,
        *(Key("container", c.key_name) for c in view.observed.containers if c.owned),
    }
    return Counter(key.kind for key in keys)


def _too_many(deletions: list[Change], owned: Mapping[str, int], share: float, hint: str) -> list[Refusal]:
    found = []
    for kind, count in sorted(Counter(change.key.kind for change in deletions).items()):
        total = max(owned.get(kind, 0), count)
        if count > FEW and count > share * total:
            cause = (
                f"{count} of {total} {kind} resources would be deleted, {count / total:.0%} is over "
                f"max_prune {share:.0%}"
            )
            found += [Refusal(change.key, cause, hint) for change in deletions if change.key.kind == kind]
    return found
