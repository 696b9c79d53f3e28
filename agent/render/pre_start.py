"""Renders `pre_start` of a service: one-shot containers that run to completion, in the declared order, before
the service's own containers start.

Rules:
1. Each inherits the container settings of its service, and may override them. It does not inherit settings by
   which others find the service or that keep it running: ports, labels, aliases, fixed addresses, health
   check, restart policy, hooks.
2. `user`, `command` and `entrypoint` are inherited only with the service's image; another image has its own.
3. They run once for each version of the service and its `pre_start`: when either changes, all of them run
   again.
4. Their service is re-created with them, and so waits for them. The container that it replaces keeps running
   meanwhile.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from agent.model import Key, Need, canonical_json, sha256
from agent.render.assembly import Assembly, Draft

LEFT_OUT = {"ports", "expose", "labels", "healthcheck", "restart", "post_start", "pre_stop", "mac_address"}
WITH_IMAGE = {"user", "command", "entrypoint"}
ENDPOINT = ("priority", "gw_priority", "driver_opts")  # the inherited settings of a network endpoint
OWN = ("image", "command", "user", "privileged", "working_dir")


def draft_pre_start(
    work: Assembly, hooks: Sequence[Mapping[str, Any]], service: Draft, replicas: list[Key]
) -> dict[Key, Draft]:
    """Drafts the containers of a service's `pre_start`. Returns the drafts of its own containers, which need
    them.
    """
    name, config = service.arguments["service"], service.arguments["config"]
    content = sha256(canonical_json([config, service.arguments["on_change"], hooks]))
    stated = {f"service/{name}": content}
    steps: dict[Key, list[Key]] = {replica: [] for replica in replicas}
    for hook, number, key, group in _containers(hooks, service, replicas):
        earlier = _completed(other for replica in group for other in steps[replica][-1:])
        work.draft(key, _draft(_arguments(service, hook, number), service, earlier, stated))
        for replica in group:
            steps[replica].append(key)
    return {replica: _replica(service, number, steps[replica]) for number, replica in enumerate(replicas, 1)}


def _containers(
    hooks: Sequence[Mapping[str, Any]], service: Draft, replicas: list[Key]
) -> Iterator[tuple[Mapping[str, Any], int, Key, list[Key]]]:
    """The containers of all steps, in order: the hook, the container's number for that hook, its key, and the
    replicas that it runs for.
    """
    for step, hook in enumerate(hooks, 1):
        groups = [(f"{service.arguments['app']}-{service.arguments['service']}", replicas)]
        if hook.get("per_replica"):
            groups = [(replica.name, [replica]) for replica in replicas]
        for number, (prefix, group) in enumerate(groups, 1):
            yield hook, number, Key("container", f"{prefix}-pre_start-{step}"), group


def _replica(service: Draft, number: int, steps: list[Key]) -> Draft:
    """A container of the service itself. It is re-created with its steps, and started after the last
    of them.
    """
    return replace(
        service,
        arguments={**service.arguments, "number": number},
        folded=service.folded | set(steps),
        needs={**service.needs, **_completed(steps[-1:])},
    )


def _completed(keys: Iterable[Key]) -> dict[Key, Need]:
    return {key: Need(key, "completed") for key in keys}


def _draft(
    arguments: Mapping[str, Any], service: Draft, earlier: Mapping[Key, Need], stated: Mapping[str, str]
) -> Draft:
    return replace(service, arguments=arguments, needs={**service.needs, **earlier}, stated=stated)


def _arguments(service: Draft, hook: Mapping[str, Any], number: int) -> dict[str, Any]:
    compose = {key: value for key, value in service.arguments["compose"].items() if key != "depends_on"}
    return {
        **service.arguments,
        "number": number,
        "config": _config(service.arguments["config"], hook),
        "on_change": {},
        "oneshot": True,
        "irreversible": False,
        "oneoff": True,
        "compose": compose,
        "on_unhealthy": "",
    }


def _config(service: Mapping[str, Any], hook: Mapping[str, Any]) -> dict[str, Any]:
    """The host-ready configuration of a hook's container."""
    other_image = (hook.get("image") or service["image"]) != service["image"]
    left_out = LEFT_OUT | WITH_IMAGE if other_image else LEFT_OUT
    config = {key: value for key, value in service.items() if key not in left_out}
    if "deploy" in config:
        config["deploy"] = _only(("resources",), config["deploy"])
    if "networks" in config:
        config["networks"] = {name: _only(ENDPOINT, found) for name, found in config["networks"].items()}
    config |= {key: hook[key] for key in OWN if hook.get(key) not in (None, "")}
    if hook.get("environment"):
        config["environment"] = {**(config.get("environment") or {}), **hook["environment"]}
    return config


def _only(keys: tuple[str, ...], value: Mapping[str, Any] | None) -> dict[str, Any]:
    return {key: value[key] for key in keys if key in value} if value else {}
