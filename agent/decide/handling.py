"""How a manifest is started and judged, as far as no digest covers it. Pure.

Rule: a release that was rejected gets another chance when a commit changes this and nothing else: what made
it fail (an order, a one-shot that was none, too short a time) may be just that. When images are pulled is not
part of it: that has its effect when a registry is asked (`image_memory.py`).
"""

from __future__ import annotations

from agent.model import Json, Manifest, Resource, canonical_json, sha256

FIELDS = ("oneshot", "hook_timeout", "update", "rollback", "on_unhealthy", "irreversible")


def handling_of(manifest: Manifest) -> str:
    """One text per way of starting and judging the resources of a manifest."""
    return sha256(canonical_json({str(key): _of(each) for key, each in manifest.resources.items()}))


def _of(resource: Resource) -> list[Json]:
    needs = sorted((str(need.key), need.condition, need.required) for need in resource.needs)
    fields = {name: resource.spec[name] for name in FIELDS if resource.spec.get(name)}
    return [[list(need) for need in needs], fields]
