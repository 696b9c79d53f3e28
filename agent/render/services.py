"""Turns one Compose service into containers: host-ready configuration, used resources and dependencies.

Rules:
1. The configuration has only what the user set. Keys that other steps handle (dependencies, replicas,
   profiles, build, extensions) are taken out.
2. Names are replaced by those in the Engine: networks, volumes, and containers whose namespace, volumes or
   links are used.
3. A container is re-created with everything that it cannot outlive: a container whose namespace it shares,
   one that it depends on with `restart: true`, its networks, and host files whose `on_change` says so.
"""

from __future__ import annotations

import posixpath
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from agent.compose.tree import Map
from agent.kinds.hooks import POST_START, PRE_STOP
from agent.model import PATH_KINDS, Condition, Key, Need, Resource
from agent.references import image_problem
from agent.render.assembly import Assembly, ChangeEffect, Draft, Reaction, origin
from agent.render.mounts import PLURAL, AppFiles, Used
from agent.render.pre_start import draft_pre_start
from agent.render.pull_policy import pulling
from agent.render.schema import without_places
from agent.render.unsupported import (
    DEPLOY,
    NAMESPACES,
    TAKEN_OUT,
    check_restarts,
    check_service,
    check_signals,
)
from agent.render.update_config import update_policies
from agent.render.x_limpet import Extension, read_extension

CONDITIONS: dict[str, Condition] = {
    "service_started": "started",
    "service_healthy": "healthy",
    "service_completed_successfully": "completed",
}
MAX_REPLICAS = 1000
SECURITY_WORDS = ("no-new-privileges", "writable-cgroups")  # options without a value
SECCOMP_WORDS = ("unconfined", "builtin")  # profiles that are not a file


@dataclass(slots=True)
class AppServices:
    """Turns the services of one app into containers. `devices`: the files that a bind-type volume uses, by
    its key.
    """

    work: Assembly
    files: AppFiles
    networks: Mapping[str, Resource]
    volumes: Mapping[str, Resource]
    devices: Mapping[str, Used]
    compose: Mapping[str, Any]
    completed: frozenset[str] = frozenset()

    def run(self) -> None:
        """Drafts the containers of all services. A problem with one does not hide the problems of the
        others.
        """
        services = self.files.project.services
        self.completed = frozenset(
            other
            for service in services.values()
            for other, how in (service.get("depends_on") or {}).items()
            if how.get("condition") == "service_completed_successfully"
        )
        for name in services:
            with self.work.problems.collect():
                self._draft(name, services[name])

    def _draft(self, name: str, service: Map) -> None:
        check_service(name, service, self.files)
        if own := service.get("container_name"):
            self.files.named(f"services.{name}", str(own), "services", name, "container_name")
        extension = read_extension(service, name, self.files)
        used = Used()
        config = self._config(name, service, used)
        for other, how in (service.get("depends_on") or {}).items():
            self._depend(other, how, used)
        reaction = self.work.reactions.get((self.files.project.name, name), Reaction())
        for key in reaction.folded:
            used.fold(key)
        changes = self._changes(name, extension, used) | reaction.changes
        check_signals(name, config, changes, self.files)
        check_restarts(name, changes, extension.on_unhealthy, self.files)
        for path in changes:
            self._take_out(path, used)
        arguments = {
            "app": self.files.project.name,
            "service": name,
            "config": config,
            "on_change": {path: how for path, (how, _) in changes.items()},
            "inputs": dict(sorted(used.inputs.items())),
            "oneshot": self._oneshot(name, service, extension),
            **pulling(name, service, self.files),
            "hook_timeout": extension.hook_timeout,
            **update_policies(service, name, config, self.files),
            "compose": {**self.compose, "depends_on": without_places(service.get("depends_on") or {})},
            "adopt": extension.adopt,
            "on_unhealthy": extension.on_unhealthy,
            "irreversible": extension.irreversible,
        }
        draft = Draft(
            arguments, frozenset(used.folded), used.needs, origin(*self.files.where("services", name))
        )
        replicas = self.containers(name)
        before = self._commands(name, service, "pre_start") if replicas else []
        for key, each in draft_pre_start(self.work, before, draft, replicas).items():
            self.work.draft(key, each)

    def _take_out(self, path: str, used: Used) -> None:
        """Removes a path from the inputs of a service that its change restarts or signals. The path must
        still exist first.
        """
        used.inputs.pop(path, None)
        known = (key for kind in PATH_KINDS if (key := Key(kind, path)) in self.work.resources)
        key = next(known, Key("file", path))
        used.needs.setdefault(key, Need(key))

    def _commands(self, name: str, service: Map, event: str) -> list[dict[str, Any]]:
        """The commands of a lifecycle hook, in order."""
        found = []
        for index, hook in enumerate(service.get(event) or ()):
            found.append(
                {key: without_places(value) for key, value in hook.items() if not key.startswith("x-")}
            )
            what, at = (
                f"services.{name}.{event}: entry {index + 1}",
                self.files.where("services", name, event, index),
            )
            if event != "pre_start" and not hook.get("command"):
                self.work.problems.add(*at, f"{what} has no command", "add command: [...]")
            elif problem := image_problem(str(hook.get("image") or service["image"])):
                self.work.problems.add(*at, f"{what}: {problem[0]}", problem[1])
        return found

    def _oneshot(self, name: str, service: Map, extension: Extension) -> bool:
        oneshot = extension.oneshot or name in self.completed
        policy = str(service.get("restart") or "no")
        if oneshot and policy.startswith(("always", "unless")):
            self.files.warn(
                f"services.{name} runs once, but `restart: {policy}` starts it again",
                'write restart: "no" or restart: on-failure',
                *("services", name, "restart"),
            )
        if extension.irreversible and not oneshot:
            self.files.error(
                f"services.{name}.x-limpet.irreversible: {name} is not a one-shot",
                "add oneshot: true, or remove irreversible: only a one-shot can be irreversible",
                *("services", name, "x-limpet", "irreversible"),
            )
        return oneshot

    def containers(self, service: str) -> list[Key]:
        """The containers of a service, in the order of their numbers. Raises Wrong if there are too many."""
        return [Key("container", self.name(service, number)) for number in range(1, self._count(service) + 1)]

    def name(self, service: str, number: int) -> str:
        own = self.files.project.services[service].get("container_name")
        return str(own) if own else f"{self.files.project.name}-{service}-{number}"

    def _count(self, service: str) -> int:
        said = self.files.project.services[service]
        key = ("scale",) if said.get("scale") is not None else ("deploy", "replicas")
        count = said["scale"] if said.get("scale") is not None else (said.get("deploy") or {}).get("replicas")
        if count is not None and int(count) > MAX_REPLICAS:
            raise self.files.wrong(
                f"services.{service}: {count} containers are more than the limit of {MAX_REPLICAS}",
                "use fewer",
                "services",
                service,
                *key,
            )
        return 1 if count is None else int(count)

    def _changes(self, name: str, extension: Extension, used: Used) -> dict[str, ChangeEffect]:
        """Host path -> the change, for the app files in `x-limpet.on_change`. A directory stands for its
        files; an entry for a file overrides one for its directory. Files whose change re-creates the service
        stay inputs.
        """
        found: dict[str, ChangeEffect] = {}
        hosts = {
            self.files.host(posixpath.normpath(path)): (path, how) for path, how in extension.changes.items()
        }
        for host, (path, how) in sorted(hosts.items()):
            at = ("services", name, "x-limpet", "on_change", path)
            places = [*zip(used.inputs, used.inputs, strict=True), *used.copies.items()]
            named = [there for source, there in places if source == host or source.startswith(f"{host}/")]
            if not named:
                self.files.error(
                    f"services.{name}.x-limpet.on_change: the service does not use {path}",
                    "name a tracked file that it mounts, relative to the Compose file",
                    *at,
                )
            found.update(dict.fromkeys(named, (how, self.files.where(*at))))
        return {path: change for path, change in found.items() if change[0] != "recreate"}

    def _config(self, name: str, service: Map, used: Used) -> dict[str, Any]:
        """The host-ready configuration."""
        config = {
            key: without_places(value)
            for key, value in service.items()
            if key not in TAKEN_OUT and not key.startswith("x-")
        }
        deploy = config.pop("deploy", None) or {}
        if kept := {key: deploy[key] for key in DEPLOY if deploy.get(key)}:
            config["deploy"] = kept
        if config.get("security_opt"):
            config["security_opt"] = self._security(config["security_opt"], name)
        for event in (POST_START, PRE_STOP):
            if service.get(event):
                config[event] = self._commands(name, service, event)
        if mounts := self._mounts(name, service, used):
            config["volumes"] = mounts
        self._networks(config, used)
        self._namespaces(config, used)
        return config

    def _mounts(self, name: str, service: Map, used: Used) -> list[dict[str, Any]]:
        """Host-ready mounts for volumes, configs and secrets. A problem with one does not hide those of the
        others.
        """
        mounts: list[dict[str, Any]] = []
        volumes = [without_places(volume) for volume in service.get("volumes") or ()]
        for index, volume in enumerate(volumes):
            with self.work.problems.collect():
                mounts.append(self.files.volume(volume, used, name, index))
        for kind, section in PLURAL.items():
            for index in range(len(service.get(section) or ())):
                with self.work.problems.collect():
                    mounts.append(self.files.grant(name, kind, index, used))
        for volume in volumes:
            if volume.get("type") == "volume" and volume.get("source"):
                used.need(self.volumes[volume["source"]])
                used.inputs.update(self.devices[volume["source"]].inputs)
                used.needs.update(self.devices[volume["source"]].needs)
        return mounts

    def _security(self, options: list[Any], service: str) -> list[str]:
        """The security options. The path of a seccomp profile is replaced by its content, as the Engine
        requires.
        """
        found = []
        for index, option in enumerate(map(str, options)):
            kind, _, value = option.partition("=" if "=" in option else ":")
            at = ("services", service, "security_opt", index)
            with self.work.problems.collect():
                if not value and kind not in SECURITY_WORDS:
                    raise self.files.wrong(
                        f"services.{service}.security_opt: {option!r} has no value",
                        "write no-new-privileges, apparmor=PROFILE, label=disable or seccomp=./FILE",
                        *at,
                    )
                profile = kind == "seccomp" and value not in SECCOMP_WORDS
                found.append(f"seccomp={self.files.seccomp(value, at)}" if profile else option)
        return found

    def _networks(self, config: dict[str, Any], used: Used) -> None:
        if not config.get("networks"):
            return
        real: dict[str, Any] = {}
        for key, endpoint in config["networks"].items():
            resource = self.networks[key]
            real[resource.key.name] = endpoint or {}
            used.fold(resource.key)
        config["networks"] = real

    def _namespaces(self, config: dict[str, Any], used: Used) -> None:
        """Replaces services in namespaces, volumes_from and links by containers."""
        for key in NAMESPACES:
            kind, _, other = str(config.get(key) or "").partition(":")
            if kind == "service":
                config[key] = f"container:{self._first(other, used)}"
            if kind in ("service", "container"):
                used.folded.add(Key("container", config[key].partition(":")[2]))
        if config.get("volumes_from"):
            config["volumes_from"] = [
                self._volumes_from(str(entry), used) for entry in config["volumes_from"]
            ]
        if config.get("links"):
            links = []
            for entry in config["links"]:
                other, _, alias = str(entry).partition(":")
                links.append(f"{self._first(other, used)}:{alias or other}")
            config["links"] = links

    def _volumes_from(self, entry: str, used: Used) -> str:
        if entry.startswith("container:"):
            used.folded.add(Key("container", entry.split(":")[1]))
            return entry
        other, separator, mode = entry.partition(":")
        name = self._first(other, used)
        used.folded.add(Key("container", name))
        return f"{name}{separator}{mode}"

    def _first(self, service: str, used: Used) -> str:
        """The first container of another service, which must run before this one."""
        key = Key("container", self.name(service, 1))
        used.needs.setdefault(key, Need(key, "started"))
        return key.name

    def _depend(self, service: str, how: Mapping[str, Any], used: Used) -> None:
        """Adds a dependency on all containers of another service."""
        if service not in self.files.project.services:
            return  # no profile enables it, and it is not required
        condition = CONDITIONS[how.get("condition") or "service_started"]
        for key in self.containers(service):
            used.needs[key] = Need(key, condition, how.get("required", True) is not False)
            if how.get("restart"):
                used.folded.add(key)
