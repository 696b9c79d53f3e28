"""Knows how each registry is reached from this host: credentials, certificate authority, mirrors.

Rules:
1. `engine.registries` wins over Docker's configuration file and the credential helpers that this file names.
2. Credentials are read when they are needed, and never stand in a message.
3. The Engine reads a registry's CA from /etc/docker/certs.d/REGISTRY/ca.crt. Limpet puts it there before it
   pulls, marked in its first line; another file there is never overwritten, and its own goes when the
   settings do not name one any more.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from agent.drivers import sdk
from agent.errors import Stalled
from agent.references import ImageReference
from agent.store import durable

CERTIFICATES = "/etc/docker/certs.d"
MARK = b"# written by Limpet from engine.registries: change it there\n"
BEGIN = b"-----BEGIN CERTIFICATE-----"
USERNAME = "token"  # beside a token, where most registries take any name


class Table(Protocol):
    """One table of `engine.registries`."""

    @property
    def username(self) -> str: ...
    @property
    def token_file(self) -> str: ...
    @property
    def ca_file(self) -> str: ...
    @property
    def mirrors(self) -> tuple[str, ...]: ...


@dataclass(frozen=True, slots=True)
class Registries:
    """The registries of the settings. `host`: a path of the settings -> where it is from here."""

    docker_config: Path
    tables: Mapping[str, Table] = field(default_factory=dict)
    host: Callable[[str], Path] = Path

    def credentials(self, reference: str) -> dict[str, Any]:
        """The credentials for the registry of an image; empty when there are none. Errors: Stalled."""
        name = ImageReference.parse(reference).registry
        table = self.tables.get(name)
        if table is None or not table.token_file:
            return _of_docker(reference, name, self.docker_config)
        token = self._read(name, "token_file", table.token_file).strip()
        if not token:
            raise Stalled(
                f"the token file {self.host(table.token_file)} for {name} is empty",
                "write the token into it",
                code="RegistryCredentials",
            )
        return {
            "username": table.username or USERNAME,
            "password": token.decode("utf-8", "replace"),
            "serveraddress": name,
        }

    def mirrors(self, reference: str) -> list[str]:
        """The image's names at the mirrors of its registry, in order."""
        image = ImageReference.parse(reference)
        table = self.tables.get(image.registry)
        mirrors = table.mirrors if table else ()
        return [f"{mirror.rstrip('/')}/{image.full_path}{image.suffix}" for mirror in mirrors]

    def trust(self, reference: str) -> None:
        """Puts the CA of the image's registry where the Engine reads it. Errors: Stalled, Transient."""
        name = ImageReference.parse(reference).registry
        table = self.tables.get(name)
        place = self.host(f"{CERTIFICATES}/{name}/ca.crt")
        try:
            there = place.read_bytes()
        except (FileNotFoundError, NotADirectoryError):
            there = b""
        except OSError as error:
            raise Stalled(
                f"cannot read {place}: {error.strerror}", "run as root", code="RegistryCertificate"
            ) from error
        if table is None or not table.ca_file:
            if there.startswith(MARK):
                with durable.file_errors(place, "remove"):
                    place.unlink(missing_ok=True)
            return
        wanted = self._read(name, "ca_file", table.ca_file)
        if BEGIN not in wanted:
            raise Stalled(
                f"{self.host(table.ca_file)} for {name} does not hold a certificate",
                "write the CA into it, in PEM",
                code="RegistryCertificate",
            )
        if there and not there.startswith(MARK) and there.strip() != wanted.strip():
            raise Stalled(
                f"{place} is there already, differs from {table.ca_file}, and is not Limpet's",
                f'remove it, or leave engine.registries."{name}".ca_file out',
                code="RegistryCertificate",
            )
        if not there or (there.startswith(MARK) and there != MARK + wanted):
            durable.make_directory(place.parent, 0o755)
            durable.write_file(place, MARK + wanted, mode=0o644)

    def _read(self, name: str, key: str, path: str) -> bytes:
        try:
            return self.host(path).read_bytes()
        except OSError as error:
            raise Stalled(
                f"cannot read {self.host(path)} for the registry {name}: {error.strerror}",
                f'write the file, or correct engine.registries."{name}".{key}',
                code="RegistryCredentials",
            ) from error


def _of_docker(reference: str, name: str, docker_config: Path) -> dict[str, Any]:
    """The credentials for a registry from Docker's configuration file, or from a helper that it names."""
    sdk.import_sdk()
    from docker import auth
    from docker.errors import DockerException

    try:
        content = json.loads(docker_config.read_bytes())
        if not isinstance(content, dict):
            raise ValueError("it is not a JSON object")
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        raise Stalled(
            f"cannot read {docker_config}: {error if isinstance(error, ValueError) else error.strerror}",
            "correct the file, or run docker login again",
            code="RegistryCredentials",
        ) from error
    known = {key: content[key] for key in ("auths", "credsStore", "credHelpers") if content.get(key)}
    if not known:
        return {}
    try:
        found = auth.load_config(config_dict=known).resolve_authconfig(name)
    except DockerException as error:
        raise Stalled(
            f"no credentials for {reference}: {type(error).__name__}",
            f"does the helper that {docker_config} names work? Try: docker pull {reference}",
            code="RegistryCredentials",
        ) from error
    except (AttributeError, LookupError, TypeError, ValueError):  # the SDK takes the file's form for granted
        raise Stalled(
            f"{docker_config} is not as docker login writes it",
            "correct the file, or run docker login again",
            code="RegistryCredentials",
        ) from None
    return found or {}
