"""`pre_start` of a service: one-shot containers that run to their end, in the declared order, before its
containers start.

Rules:
1. Each inherits what its service says of a container, and may say otherwise. It inherits nothing by which
   others find the service or by which the service lives on: ports, labels, aliases, fixed addresses, health
   check, restart, hooks.
2. `user`, `command` and `entrypoint` are inherited with the service's image; another image has its own.
3. They run once for each content of the service and of its `pre_start`: when any of it changes, all of them
   run again.
4. Their service is re-created with them, and so waits for them: while they run, the container that it
   replaces runs on.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from agent.model import Key, Need, canonical_json, sha256
from agent.render.assembly import Assembly, Draft

LEFT_OUT = {"ports", "expose", "labels", "healthcheck", "restart", "post_start", "pre_stop", "mac_address"}
WITH_IMAGE = {"user", "command", "entrypoint"}
ENDPOINT = ("priority", "gw_priority", "driver_opts")  # what of a network's endpoint is inherited
OWN = ("image", "command", "user", "privileged", "working_dir")


def draft_pre_start(
    work: Assembly, hooks: Sequence[Mapping[str, Any]], service: Draft, replicas: list[Key]
) -> dict[Key, Draft]:
    """Drafts the containers of a service's `pre_start`; the drafts of its own containers, which need them."""
    app, name, config = (service.arguments[key] for key in ("app", "service", "config"))
    content = sha256(canonical_json([config, service.arguments["on_change"], hooks]))
    before: dict[Key, list[Key]] = {replica: [] for replica in replicas}
    drafts = {
        replica: replace(service, arguments={**service.arguments, "number": number})
        for number, replica in enumerate(replicas, 1)
    }
    for step, hook in enumerate(hooks, 1):
        whose = [[replica] for replica in replicas] if hook.get("per_replica") else [replicas]
        for number, group in enumerate(whose, 1):
            prefix = group[0].name if hook.get("per_replica") else f"{app}-{name}"
            key = Key("container", f"{prefix}-pre_start-{step}")
            earlier = {other: Need(other, "completed") for replica in group for other in before[replica]}
            work.draft(key, _draft(service, hook, number, earlier, {f"service/{name}": content}))
            for replica in group:
                before[replica] = [key]
                drafts[replica] = replace(drafts[replica], folded=drafts[replica].folded | {key})
    return {
        replica: replace(
            draft, needs={**draft.needs, **{key: Need(key, "completed") for key in before[replica]}}
        )
        for replica, draft in drafts.items()
    }


def _draft(
    service: Draft,
    hook: Mapping[str, Any],
    number: int,
    earlier: Mapping[Key, Need],
    stated: Mapping[str, str],
) -> Draft:
    compose = {key: value for key, value in service.arguments["compose"].items() if key != "depends_on"}
    arguments = {
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
    return replace(service, arguments=arguments, needs={**service.needs, **earlier}, stated=stated)


def _config(service: Mapping[str, Any], hook: Mapping[str, Any]) -> dict[str, Any]:
    """The host-ready configuration of one of them."""
    other_image = (hook.get("image") or service["image"]) != service["image"]
    config = {
        key: value
        for key, value in service.items()
        if key not in LEFT_OUT and not (other_image and key in WITH_IMAGE)
    }
    if "deploy" in config:
        config["deploy"] = {key: value for key, value in config["deploy"].items() if key == "resources"}
    if "networks" in config:
        config["networks"] = {
            name: {key: endpoint[key] for key in ENDPOINT if key in (endpoint or {})}
            for name, endpoint in config["networks"].items()
        }
    config |= {key: hook[key] for key in OWN if hook.get(key) not in (None, "")}
    if hook.get("environment"):
        config["environment"] = {**(config.get("environment") or {}), **hook["environment"]}
    return config
