"""The conclusions of the heartbeat, as a pure function of its facts: state, conditions, bounds, redaction. No
I/O, no clock.

Rules:
1. A heartbeat is one JSON value (schema: `limpet schema heartbeat`). Facts come from the pass and the daemon;
   `concluded` derives `state` and `conditions` from them, so that they can never disagree.
2. `since` of a condition is kept while its status and reason stay the same.
3. It fits into 64 KiB: lists are bounded first, then whole sections are shortened in a fixed order, and
   `truncated` names them.
4. No URL with credentials gets into it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

from agent.kinds.health import FINE, PENDING
from agent.model import Json

SCHEMA = 1
STATES = ("Synced", "Progressing", "Degraded", "RolledBack", "Stalled", "Suspended", "Offline")
OUTCOMES = (
    "Converged",
    "RolledBack",
    "HoldingKnownGood",
    "RollbackFailed",
    "Degraded",
    "Failed",
    "HeldBack",
    "Temporary",
    "Stalled",
    "Inconclusive",
    "Superseded",
)
# The outcomes that make a host `Degraded`.
FAILURES = ("RollbackFailed", "Degraded", "Failed", "Temporary", "Inconclusive")
PHASES = (
    "idle",
    "fetch",
    "verify",
    "render",
    "observe",
    "plan",
    "prefetch",
    "apply",
    "gate",
    "commit",
    "rollback",
    "prune",
)
CHANGING = ("prefetch", "apply", "gate", "commit", "rollback")  # phases that bring in a release
# The other conditions are there only while they are true.
ALWAYS = ("Ready", "Healthy", "SourceVerified", "SourceFresh")
STALE_AFTER = 3  # failed polls in a row
LOW_DISK = 256 * 1024 * 1024  # free bytes of the state's file system


def state_of(doc: Mapping[str, Json]) -> str:
    """The one word: the first of these that holds.

    - Suspended: `suspended` names "*".
    - Progressing: a release other than the applied one is brought in now (`phase` is one of CHANGING, and
      `attempted_release` differs from `release`).
    - RolledBack: `rolled_back` is set, or the release of `held` is the applied one, so known good is held
      instead of the branch's release, and the last pass did not end `RollbackFailed`.
    - Stalled: the last pass ended `Stalled`; a person or a new commit is needed.
    - Degraded: a resource has a problem, drift stays, a change is refused, or the last pass ended in a
      failure (FAILURES) that is more than the source's silence.
    - Offline: the source did not answer, three polls in a row or never yet.
    - Progressing: no release is applied yet, or the last pass was asked to stop or gave way to a newer
      revision, or the release of `held` is not the applied one: a person asked for it.
    - Synced: the newest release that may be applied now is applied and healthy.
    """
    if any(entry["resource"] == "*" for entry in doc["suspended"]):
        return "Suspended"
    if doc["phase"] in CHANGING and doc["attempted_release"] not in ("", doc["release"]):
        return "Progressing"
    if _returned(doc):
        return "RolledBack"
    if doc["outcome"] == "Stalled":
        return "Stalled"
    if troubles(doc):
        return "Degraded"
    if source_stale(doc):
        return "Offline"
    error = (doc["last_pass"] or {}).get("error") or {}
    unfinished = doc["outcome"] in ("", "Superseded") or error.get("code") == "Interrupted"
    return "Synced" if doc["release"] and not unfinished and not _awaited(doc) else "Progressing"


def _returned(doc: Mapping[str, Json]) -> bool:
    """Whether known good is held instead of the branch's release."""
    held = doc["held"] and not _awaited(doc)
    return bool(doc["rolled_back"] or held) and doc["outcome"] != "RollbackFailed"


def _awaited(doc: Mapping[str, Json]) -> Json:
    """What a person asked to go back to, while the host is not there."""
    return doc["held"] if doc["held"] and doc["held"]["release"] != doc["release"] else None


def troubles(doc: Mapping[str, Json]) -> list[str]:
    """Why the host is `Degraded`, one sentence each; empty when it is not."""
    found = []
    error = doc["last_pass"].get("error") if doc["last_pass"] else None
    if doc["outcome"] in FAILURES and (doc["outcome"] == "RollbackFailed" or not _ended_early(error)):
        found.append(error["message"] if error else f"the last pass ended {doc['outcome']}")
    bad = unhealthy(doc)
    if bad:
        named = ", ".join(
            f"{problem['resource']} ({problem['health']})" for problem in doc["resources"]["problems"][:3]
        )
        found.append(
            f"{bad} of {doc['resources']['total']} resources are not healthy"
            + (f": {named}" if named else "")
        )
    if doc["drift"]["now"]:
        found.append(
            f"{len(doc['drift']['now'])} resources have drifted: {', '.join(doc['drift']['now'][:3])}"
        )
    if doc["refused"]:
        first = doc["refused"][0]
        found.append(f"{len(doc['refused'])} changes are refused: {first['resource']}: {first['cause']}")
    return found


def unhealthy(doc: Mapping[str, Json]) -> int:
    """How many resources have a problem."""
    return sum(
        count for health, count in doc["resources"]["by_health"].items() if health not in (*FINE, *PENDING)
    )


def source_stale(doc: Mapping[str, Json]) -> bool:
    source = doc["source"]
    return bool(source["failures"] >= STALE_AFTER or (source["failures"] and not source["last_success_at"]))


def explanation(doc: Mapping[str, Json], state: str) -> tuple[str, str]:
    """Why the host is in `state`, and what to do (may be empty), for the condition Ready and for people."""
    return EXPLANATIONS[state](doc)


def _suspended(doc: Mapping[str, Json]) -> tuple[str, str]:
    entry = next(entry for entry in doc["suspended"] if entry["resource"] == "*")
    until = f" (until {entry['until']})" if entry["until"] else ""
    return f"{entry['reason']}{until}", "limpet resume"


def _rolled_back(doc: Mapping[str, Json]) -> tuple[str, str]:
    back = doc["rolled_back"]
    if not back:
        held = doc["held"]
        return f"a person holds release {held['release']}: {held['reason']}", "the next commit ends it"
    return (
        f"rolled back from {back['from_revision'] or back['from_release']}: {back['reason']}",
        f"push a commit that corrects or reverts it; to try it again: limpet retry {back['from_release']}",
    )


def _awaited_text(doc: Mapping[str, Json]) -> str:
    held = doc["held"]
    return (
        f"release {held['release']}, which a person asked to go back to ({held['reason']}), is not back yet"
    )


def _stalled(doc: Mapping[str, Json]) -> tuple[str, str]:
    error = _last_error(doc)
    return error.get("message", "a person or a new commit is needed"), error.get("hint", "")


def _degraded(doc: Mapping[str, Json]) -> tuple[str, str]:
    entries = (_last_error(doc), *doc["refused"], *doc["resources"]["problems"])
    hints = (entry.get("hint", "") for entry in entries)
    asked = f"{_awaited_text(doc)}: " if _awaited(doc) else ""
    return asked + "; ".join(troubles(doc)), next(filter(None, hints), "")


def _offline(doc: Mapping[str, Json]) -> tuple[str, str]:
    error = doc["source"]["error"] or {}
    last = doc["source"]["last_success_at"] or "never"
    why = f": {error['message']}" if error.get("message") else ""
    return f"the source does not answer (last success: {last}){why}", error.get("hint", "")


def _progressing(doc: Mapping[str, Json]) -> tuple[str, str]:
    error = _last_error(doc)
    hint = error.get("hint", "")
    if doc["phase"] == "idle" and _awaited(doc):
        return ": ".join(filter(None, (_awaited_text(doc), error.get("message", "")))), hint
    if doc["phase"] == "idle":
        return "no release is applied yet", hint
    about = doc["revision"]["attempted"] or doc["revision"]["observed"] or "the first revision"
    waits = f", waiting: {doc['waiting']}" if doc.get("waiting") else ""
    return f"{doc['phase']} of {about}{waits}", hint


def _synced(doc: Mapping[str, Json]) -> tuple[str, str]:
    if held := doc["next"]["blocked_by"]:
        return f"{doc['revision']['observed']} waits: {', '.join(held)}", ""
    return f"at {doc['revision']['applied']}", ""


EXPLANATIONS: dict[str, Callable[[Mapping[str, Json]], tuple[str, str]]] = {
    "Suspended": _suspended,
    "RolledBack": _rolled_back,
    "Stalled": _stalled,
    "Degraded": _degraded,
    "Offline": _offline,
    "Progressing": _progressing,
    "Synced": _synced,
}


def _last_error(doc: Mapping[str, Json]) -> Mapping[str, Json]:
    """The error of the last pass; empty when there is none."""
    return (doc["last_pass"] or {}).get("error") or {}


def concluded(doc: dict[str, Json], previous: Mapping[str, Json], now: str) -> dict[str, Json]:
    """The document with `state` and `conditions` derived from its facts. `now`: RFC 3339."""
    state = state_of(doc)
    known = {condition["type"]: condition for condition in previous.get("conditions", ())}
    conditions = []
    for kind, status, reason, message in _conditions(doc, state):
        before = known.get(kind, {})
        same = (before.get("status"), before.get("reason")) == (status, reason)
        conditions.append(
            {
                "type": kind,
                "status": status,
                "reason": reason,
                "message": message,
                "since": before["since"] if same else now,
                "revision": doc["revision"]["attempted"] or doc["revision"]["observed"],
            }
        )
    return {**doc, "state": state, "conditions": conditions}


def _conditions(doc: Mapping[str, Json], state: str) -> list[tuple[str, str, str, str]]:
    """(type, status, reason, message) of every condition that is to be reported now."""
    ready = {"Synced": "True", "Progressing": "Unknown"}.get(state, "False")
    return [
        ("Ready", ready, state, explanation(doc, state)[0]),
        _health(doc),
        _verification(doc),
        _freshness(doc),
        *((kind, "True", reason, message) for kind, holds, reason, message in _troubles(doc) if holds),
    ]


def _troubles(doc: Mapping[str, Json]) -> Iterator[tuple[str, object, str, str]]:
    """(type, whether it holds, reason, message) of the conditions that are reported only while they hold."""
    error = _last_error(doc)
    code, message = error.get("code", ""), error.get("message", "")
    yield "Reconciling", doc["phase"] != "idle", doc["phase"].capitalize(), f"in phase {doc['phase']}"
    yield "Stalled", doc["outcome"] == "Stalled", error.get("code", "Stalled"), message
    yield "Drifted", doc["drift"]["now"], "NotRepaired", ", ".join(doc["drift"]["now"][:5])
    refused = "; ".join(f"{r['resource']}: {r['cause']}" for r in doc["refused"][:5])
    yield "Refused", doc["refused"], "Policy", refused
    if _returned(doc):
        reason = "GateFailed" if doc["rolled_back"] else "HeldByHand"
        yield "RolledBack", True, reason, explanation(doc, "RolledBack")[0]
    inconclusive = doc["outcome"] == "Inconclusive"
    yield "Inconclusive", inconclusive, error.get("code", "NoContrast"), message
    suspended = ", ".join(f"{s['resource']}: {s['reason']}" for s in doc["suspended"][:5])
    yield "Suspended", doc["suspended"], "Asked", suspended
    reboot = doc["system"].get("reboot_required")
    yield "RebootRequired", reboot, "PackagesUpdated", "the system asks for a reboot"
    free = doc["system"].get("disk_free_bytes")
    if code == "DiskFull":
        yield "DiskPressure", True, "DiskFull", error["message"]
    elif free is not None:
        yield "DiskPressure", free < LOW_DISK, "LowSpace", f"{free} bytes are free for the state"
    yield "RuntimeUnavailable", code == "RuntimeUnavailable", "RuntimeUnavailable", message


def _health(doc: Mapping[str, Json]) -> tuple[str, str, str, str]:
    resources = doc["resources"]
    if unhealthy(doc):
        first = "; ".join(
            f"{p['resource']}: {p['message'] or p['health']}" for p in resources["problems"][:3]
        )
        return "Healthy", "False", "Unhealthy", first or f"{unhealthy(doc)} of {resources['total']}"
    if not resources["total"]:
        return "Healthy", "Unknown", "NothingObserved", "no resource has been looked at yet"
    if any(resources["by_health"].get(word) for word in PENDING):
        return "Healthy", "Unknown", "Starting", "not every resource has an answer yet"
    return "Healthy", "True", "AllHealthy", f"{resources['total']} of {resources['total']}"


def _verification(doc: Mapping[str, Json]) -> tuple[str, str, str, str]:
    found = doc["source"]["verification"]
    if found["mode"] == "none":
        return (
            "SourceVerified",
            "Unknown",
            "NotConfigured",
            "source.verify is none: whoever may push is trusted",
        )
    status = {"verified": "True", "": "Unknown"}.get(found["result"], "False")
    return "SourceVerified", status, (found["result"] or "NotYet").capitalize(), found["signer"]


def _freshness(doc: Mapping[str, Json]) -> tuple[str, str, str, str]:
    source = doc["source"]
    message = (source["error"] or {}).get("message", "")
    if source_stale(doc):
        return "SourceFresh", "False", "NoAnswer", f"{source['failures']} polls failed in a row: {message}"
    if not source["last_success_at"]:
        return "SourceFresh", "Unknown", "NotYet", "the source has not been asked yet"
    return "SourceFresh", "True", "Retrying" if source["failures"] else "Answered", message


def _ended_early(error: Mapping[str, Json] | None) -> bool:
    """Whether a pass ended early for a reason that is reported elsewhere: the source did not answer, or it
    was asked to stop.
    """
    if error is None:
        return False
    unanswered = error.get("phase") == "fetch" and bool(error.get("retryable"))
    return unanswered or error.get("code") == "Interrupted"
