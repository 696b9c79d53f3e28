"""Plan + policy -> plan with refusals. Pure.

Rules:
1. A brake turns wanted actions into refusals; it never adds or changes an action.
2. An empty manifest never empties a host. A plan that deletes more than a share of a kind, and more than
   five, is refused for that kind, unless a person allowed so many (`Limpet-Allow-Prune: N`). Resources that
   came with a release that is rolled back or was never proved do not count.
3. A resource that flaps is left alone as long as its change would only correct it.
4. A change that the host's owner forbids (`policy.files_deny`, a suspended resource) is refused, whatever the
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
    """The rules of the host's owner, and those of this pass.

    prune: whether anything is deleted
    max_prune: the share of a kind that may be deleted, 0 to 1
    allow_prune: so many deletions a person allowed
    files_deny: globs of paths that are never touched
    files_allow: globs of the only paths that are touched; None for all
    suspended: kind/name -> reason
    undoing: a release is rolled back, even to a known good release that holds nothing
    flapping: kind/name -> how often it was corrected within an hour
    """

    prune: bool = True
    max_prune: float = 0.5
    allow_prune: int = 0
    files_deny: tuple[str, ...] = ()
    files_allow: tuple[str, ...] | None = None
    suspended: Mapping[str, str] = field(default_factory=dict)
    undoing: bool = False
    flapping: Mapping[str, int] = field(default_factory=dict)


def brakes(plan: Plan, view: View, policy: BrakePolicy) -> Plan:
    """The plan without the changes that policy forbids. Each becomes a refusal that names the rule, the
    numbers and the remedy.
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
        times = policy.flapping[str(key)]
        return Refusal(
            key,
            f"flapping: corrected {times} times within an hour, and needs it again: {change.cause}",
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
        change
        for change in plan.changes
        if change.verb == "delete" and _counts(change.key, view, undoing=policy.undoing)
    ]
    if not policy.prune:
        cause = "would be deleted, but converge.prune is off"
        return [Refusal(c.key, cause, "delete it by hand, or set converge.prune = true") for c in deletions]
    if len(deletions) <= policy.allow_prune:
        return []
    hint = f"if it is meant, put `Limpet-Allow-Prune: {len(deletions)}` into the message of the newest commit"
    if not view.target.manifest.resources:
        cause = "would be deleted, but the repository holds nothing for this host"
        return [Refusal(c.key, cause, hint) for c in deletions]
    return _too_many(deletions, _owned_of_kind(view), policy.max_prune, hint)


def _counts(key: Key, view: View, *, undoing: bool) -> bool:
    """Whether the deletion of a resource is braked."""
    if key in view.target.manifest.resources or files.implied(key, view.inventory):
        return False  # it is desired in another form, or an empty directory that nobody wanted
    if not view.target.manifest.resources and not undoing:
        return True
    rolled_back = view.target == view.known_good and key in view.applied.manifest.resources
    return not rolled_back and not _was_never_proved(key, view)


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
