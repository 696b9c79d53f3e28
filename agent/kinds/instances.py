"""The instances of a container resource, told apart by their names. Pure.

NAME               current    holds the name, and with it ports and addresses
NAME.new-XXXX      candidate  created beforehand; not started, unless its service says `order: start-first`
NAME.kept-XXXX     kept       belongs to known good, or was adopted by a release that is not proved:
                              stopped, restart policy off, until the gate has passed
"""

from __future__ import annotations

from agent.model import Key, Resource, sha256
from agent.observed import ObservedContainer

RUNNING = {"running", "restarting", "paused"}
BROKEN = {"dead", "removing"}  # of no use to anybody


def candidate_name(resource: Resource, image_id: str) -> str:
    return f"{resource.key.name}.new-{sha256(resource.digest + image_id)[:12]}"


def kept_name(key: Key, instance: ObservedContainer) -> str:
    return f"{key.name}.kept-{instance.id[:12]}"


def is_kept(instance: ObservedContainer) -> bool:
    return instance.name.startswith(f"{instance.key_name}.kept-")


def is_candidate(instance: ObservedContainer) -> bool:
    return instance.name.startswith(f"{instance.key_name}.new-")
