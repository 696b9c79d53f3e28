"""The labels of containers, networks and volumes. Pure; a part of `request`.

Of the same name, the user's label wins over Compose's, and ours over both.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from agent import __version__
from agent.model import APP_LABEL, DIGEST_LABEL, INSTANCE_LABEL, NAME_LABEL, Resource


def container_labels(resource: Resource, instance: str, image_id: str) -> dict[str, str]:
    """Compose's labels, the user's and ours. `image_id`: the image that the container is made from."""
    spec, compose = resource.spec, resource.spec.get("compose") or {}
    depends = [
        f"{service}:{need.get('condition', 'service_started')}:{string(need.get('restart', False))}"
        for service, need in sorted((compose.get("depends_on") or {}).items())
    ]
    theirs = {
        "com.docker.compose.project": compose.get("project") or spec["app"],
        "com.docker.compose.service": spec["service"],
        "com.docker.compose.container-number": str(spec["number"]),
        "com.docker.compose.oneoff": str(bool(spec.get("oneoff"))),
        "com.docker.compose.project.working_dir": compose.get("working_dir", ""),
        "com.docker.compose.project.config_files": compose.get("config_files", ""),
        "com.docker.compose.depends_on": ",".join(depends),
        "com.docker.compose.image": image_id,
        "com.docker.compose.version": f"limpet-{__version__}",
        "com.docker.compose.config-hash": resource.digest,
    }
    return (
        theirs
        | texts(spec["config"].get("labels"))
        | _ours(resource, instance)
        | {NAME_LABEL: resource.key.name}
    )


def _ours(resource: Resource, instance: str) -> dict[str, str]:
    return {INSTANCE_LABEL: instance, DIGEST_LABEL: resource.digest, APP_LABEL: resource.spec["app"]}


def texts(values: Mapping[str, Any] | None) -> dict[str, str]:
    """The mapping with its values as text."""
    return {key: string(value) for key, value in (values or {}).items()}


def string(value: Any) -> str:
    """A value as the Engine wants it where it wants text."""
    if isinstance(value, bool):
        return str(value).lower()
    return "" if value is None else str(value)


def key_of(resource: Resource) -> str:
    """The key of a network or volume in its Compose file."""
    compose = resource.spec.get("compose") or {}
    project = compose.get("project") or resource.spec["app"]
    return str(compose.get("key") or resource.spec["name"].removeprefix(f"{project}_"))


def object_labels(resource: Resource, instance: str, kind: str) -> dict[str, str]:
    """The labels of a network or volume, of whichever `kind`."""
    compose = resource.spec.get("compose") or {}
    project = compose.get("project") or resource.spec["app"]
    theirs = {
        "com.docker.compose.project": project,
        f"com.docker.compose.{kind}": key_of(resource),
        "com.docker.compose.version": f"limpet-{__version__}",
        "com.docker.compose.config-hash": resource.digest,
    }
    return theirs | texts(resource.spec["config"].get("labels")) | _ours(resource, instance)
