"""The host's own settings (/etc/limpet/limpet.toml), the quick way.

Rules:
1. It is light to import. Validation (`check`, with pydantic) runs only when the cache in the run-time
   directory does not match the fingerprint: bytes of the file, LIMPET_SECTION__KEY environment, host name,
   version.
2. A credential that the settings leave out is taken from systemd's credentials ($CREDENTIALS_DIRECTORY,
   `source.ssh_key` and so on; `engine.registries.NAME.token_file`, with `_` for the `:` before a port).
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

from agent import __version__
from agent.installation import Paths
from agent.model import Json, canonical_json, sha256
from agent.settings.values import PREFIX, RegistrySettings, Settings, SourceSettings

CREDENTIALS_AS_PATH = ("ssh_key", "known_hosts", "token_file", "ca_file")
CREDENTIALS_AS_VALUE = ("username", "proxy")
CredentialSection = TypeVar("CredentialSection", SourceSettings, RegistrySettings)


def load_settings(root: Path, environ: Mapping[str, str] = os.environ) -> Settings:
    """The settings of the installation below `root`. Errors: BadInput with every problem found; Stalled (not
    readable).
    """
    paths = Paths(root)
    try:
        data: bytes | None = paths.settings.read_bytes()
    except OSError:
        data = None  # the loader reports the problem
    seen = fingerprint(data, environ)
    settings = _cached(paths.run / "settings.json", seen)
    if settings is None or data is None:
        from agent.settings import check

        settings = check.check_settings(paths.settings, environ)
        _remember(paths.run / "settings.json", seen, settings)
    return with_credentials(settings, environ)


def fingerprint(data: bytes | None, environ: Mapping[str, str]) -> str:
    """The fingerprint of everything that the validated settings depend on."""
    ours = sorted(
        (name, value) for name, value in environ.items() if name.upper().startswith(PREFIX) and "__" in name
    )
    return sha256(canonical_json([__version__, os.uname().nodename, ours, sha256(data or b"")]))


def with_credentials(settings: Settings, environ: Mapping[str, str]) -> Settings:
    """Fills the credentials that the settings leave out from systemd's: files by their path, the others by
    their content.
    """
    directory = environ.get("CREDENTIALS_DIRECTORY", "")
    if not directory:
        return settings
    registries = {
        name: _filled(table, directory, f"engine.registries.{name.replace(':', '_')}")
        for name, table in settings.engine.registries.items()
    }
    return replace(
        settings,
        source=_filled(settings.source, directory, "source"),
        engine=replace(settings.engine, registries=registries),
    )


def _filled(section: CredentialSection, directory: str, prefix: str) -> CredentialSection:
    found: dict[str, Json] = {}
    for name in (*CREDENTIALS_AS_PATH, *CREDENTIALS_AS_VALUE):
        path = Path(directory, f"{prefix}.{name}")
        if getattr(section, name, "unknown") == "" and path.is_file():
            found[name] = (
                str(path) if name in CREDENTIALS_AS_PATH else path.read_text(encoding="utf-8").strip()
            )
    return replace(section, **found) if found else section


def _cached(path: Path, seen: str) -> Settings | None:
    try:
        doc = json.loads(path.read_bytes())
        return Settings.from_json(doc["settings"]) if doc["fingerprint"] == seen else None
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _remember(path: Path, seen: str, settings: Settings) -> None:
    """Writes the cache. When that fails, the next process validates again."""
    from agent.errors import LimpetError
    from agent.store import durable

    data = canonical_json({"fingerprint": seen, "settings": settings.to_json()}).encode()
    try:
        durable.make_directory(path.parent, 0o755)
        durable.write_file(path, data, durable=False)
    except LimpetError:
        return
