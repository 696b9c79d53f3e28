"""Checks that the active services are consistent: every reference has a target, no setting contradicts
another, and there are no dependency circles.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from .errors import LoadProblems, Place
from .normalize import named_mappings
from .tree import List, Map

Services = dict[str, Map]

_LIMITS = (
    ("cpus", "limits", "cpus"),
    ("mem_limit", "limits", "memory"),
    ("pids_limit", "limits", "pids"),
    ("mem_reservation", "reservations", "memory"),
)
_PULL_POLICY = re.compile(r"(?:always|never|build|missing|refresh|daily|weekly|every_(?:[0-9]+[wdhms])+)\Z")


class ConsistencyCheck:
    """The checks of one project. `services` are active; `disabled` ones are enabled by no profile."""

    def __init__(self, root: Map, services: Services, disabled: Services, problems: LoadProblems) -> None:
        self.root, self.services, self.disabled, self.problems = root, services, disabled, problems

    def run(self) -> None:
        for name, service in self.services.items():
            if f"services.{name}" in self.problems.broken:
                continue
            self.image(name, service)
            self.build(name, service)
            self.references(name, service)
            self.depends_on(name, service)
            self.counts(name, service)
            self.limits(name, service)
            self.mounts(name, service)
        self.secrets()
        self.circles()

    def error(self, place: Place, message: str, hint: str) -> None:
        self.problems.error(place, message, hint)

    def known(self, section: str) -> Iterable[str]:
        below = self.root.get(section)
        return below if isinstance(below, Map) else ()

    def image(self, name: str, service: Map) -> None:
        if "image" not in service and "build" not in service and "provider" not in service:
            self.error(service.at, f"services.{name} has neither an image nor a build", "add `image:`")
        policy = service.get("pull_policy")
        if policy is not None and not _PULL_POLICY.match(policy):
            hint = "use always, never, missing, build, refresh, daily, weekly or every_12h"
            self.error(service.place("pull_policy"), f"services.{name}: unknown pull_policy {policy!r}", hint)
        test = service.get("healthcheck", {}).get("test")
        if test and test[0] not in ("CMD", "CMD-SHELL", "NONE"):
            self.error(
                service["healthcheck"].place("test"),
                f"services.{name}: the healthcheck's test starts with {test[0]!r}",
                'start the list with "CMD", "CMD-SHELL" or "NONE", or write the test as text',
            )

    def build(self, name: str, service: Map) -> None:
        build = service.get("build") or Map()
        if build.get("dockerfile") and build.get("dockerfile_inline"):
            where = build.place("dockerfile_inline")
            message = f"services.{name}.build: dockerfile and dockerfile_inline cannot be used together"
            self.error(where, message, "keep one of them")
        platform, platforms = service.get("platform"), build.get("platforms")
        if platform and platforms and platform not in platforms:
            where = build.place("platforms")
            self.error(
                where,
                f"services.{name}.build.platforms does not have {platform!r}, the service's `platform`",
                f"add {platform}",
            )
        self.contexts(name, build.get("additional_contexts") or Map())

    def contexts(self, name: str, contexts: Map) -> None:
        for key, context in contexts.items():
            other = context.removeprefix("service:")
            if other == context or f"services.{other}" in self.problems.broken:
                continue
            found = self.services.get(other, self.disabled.get(other))
            if found is None or "build" not in found:
                message = (
                    f"services.{name}.build.additional_contexts: {other!r} is not a service with `build`"
                )
                self.error(contexts.place(key), message, "name a service that is built")

    def references(self, name: str, service: Map) -> None:
        if "network_mode" in service and service.get("networks"):
            self.error(
                service.place("network_mode"),
                f"services.{name}: `network_mode` and `networks` cannot be used together",
                "keep one of them",
            )
        for section, key, place in _references(service):
            if key not in self.known(section) and f"{section}.{key}" not in self.problems.broken:
                elsewhere = f"add it under the top-level `{section}:`"
                self.error(
                    place,
                    f"services.{name}: the {section[:-1]} {key!r} is not defined",
                    f"write ./{key} for a directory" if "/" in key else elsewhere,
                )

    def secrets(self) -> None:
        for name, secret, place in named_mappings(self.root, "secrets"):
            if f"secrets.{name}" in self.problems.broken or secret.get("external") is True:
                continue
            if not secret.get("file") and not secret.get("environment"):
                hint = "give it `file` or `environment`, or `external: true`"
                self.error(place, f"secrets.{name} has no content", hint)

    def depends_on(self, name: str, service: Map) -> None:
        depends = service.get("depends_on") or Map()
        for other, how in depends.items():
            place = depends.place(other)
            if other in self.services or (other in self.disabled and how.get("required") is False):
                continue
            if f"services.{other}" in self.problems.broken:
                continue
            if other in self.disabled:
                profiles = ", ".join(self.disabled[other]["profiles"])
                message = f"services.{name} depends on {other!r}, which no active profile enables"
                self.error(
                    place, message, f"activate one of its profiles ({profiles}), or set `required: false`"
                )
            else:
                self.error(
                    place,
                    f"services.{name} depends on {other!r}, which is not defined",
                    "define the service, or remove the dependency",
                )

    def counts(self, name: str, service: Map) -> None:
        """Checks the number of containers, which `scale` and `deploy.replicas` may both give."""
        deploy = service.get("deploy", Map())
        scale, replicas = service.get("scale"), deploy.get("replicas")
        if scale is not None and replicas is not None and scale != replicas:
            self.differ(name, service, "scale", "deploy.replicas")
        if scale is not None and "deploy" in service:
            deploy.put("replicas", scale, service.place("scale"))
        for key, count, holder in (("scale", scale, service), ("replicas", replicas, deploy)):
            if count is not None and count < 0:
                self.error(
                    holder.place(key),
                    f"services.{name}: {key} must not be negative, but is {count}",
                    "use 0 or more",
                )
        count = next((count for count in (scale, replicas) if count is not None), 1)
        if count > 1 and "container_name" in service:
            self.error(
                service.place("container_name"),
                f"services.{name}: {count} containers cannot share one container_name",
                "remove container_name, or run one container",
            )

    def limits(self, name: str, service: Map) -> None:
        """Checks limits that the service itself and its `deploy.resources` may both give."""
        resources = service.get("deploy", Map()).get("resources") or Map()
        for key, kind, other in _LIMITS:
            given = resources.get(kind)
            if given is not None and service.get(key) and service[key] != given.get(other):
                self.differ(name, service, key, f"deploy.resources.{kind}.{other}")
        for watch in (service.get("develop") or Map()).get("watch", ()):
            if not watch.get("target") and watch.get("action") not in ("rebuild", "restart"):
                self.error(
                    watch.at, f"services.{name}.develop.watch: an entry has no target", "add `target:`"
                )

    def differ(self, name: str, service: Map, key: str, other: str) -> None:
        self.error(
            service.place(key),
            f"services.{name}: `{key}` and `{other}` differ",
            "keep one, or give both the same value",
        )

    def mounts(self, name: str, service: Map) -> None:
        mounted: dict[str, str] = {}
        targets: list[tuple[str, str, Place]] = []
        tmpfs = service.get("tmpfs")
        if isinstance(tmpfs, List):
            targets += [(str(item).split(":")[0], "tmpfs", place) for item, place in tmpfs.placed()]
        volumes = service.get("volumes")
        if isinstance(volumes, List):
            targets += [(str(item.get("target", "")), "volumes", place) for item, place in volumes.placed()]
        for target, kind, place in targets:
            if target in mounted:
                self.error(place, f"services.{name}: {target!r} is mounted twice", "keep one of the two")
            mounted[target] = kind

    def circles(self) -> None:
        """Reports services that depend on one another in a circle. Each circle is reported once."""
        done: set[str] = set()
        for start in sorted(self.services):
            # the path of the depth-first search: each service with its dependencies that are not visited yet
            way = {} if start in done else {start: self.dependencies(start)}
            while way:
                name, rest = next(reversed(way.items()))
                following = next(rest, None)
                if following is None:
                    done.add(name)
                    del way[name]
                elif following in way:
                    names = list(way)
                    self.circle(names[names.index(following) :])
                elif following in self.services and following not in done:
                    way[following] = self.dependencies(following)

    def dependencies(self, name: str) -> Iterator[str]:
        return iter(sorted(self.services[name].get("depends_on") or ()))

    def circle(self, names: list[str]) -> None:
        whole = [*names, names[0]]
        shown = " -> ".join(whole if len(whole) < 12 else [*whole[:10], "…", whole[-1]])
        self.error(
            self.services[names[-1]]["depends_on"].place(names[0]),
            f"the services depend on one another in a circle: {shown}",
            "break the circle",
        )


def _references(service: Map) -> Iterator[tuple[str, str, Place]]:
    """The section, key and place of every resource that a service names."""
    for section in ("networks", "models"):
        named = service.get(section) or Map()
        for key in named:
            yield section, key, named.place(key)
    for volume in service.get("volumes", ()):
        if volume.get("type") == "volume" and volume.get("source"):
            yield "volumes", volume["source"], volume.place("source")
    for section in ("configs", "secrets"):
        for item in service.get(section, ()):
            yield section, item.get("source", ""), item.place("source")
    for item in service.get("build", {}).get("secrets", ()):
        yield "secrets", item.get("source", ""), item.place("source")
