"""The files with secrets that the settings name, and who may read them.

Rules:
1. A key or token that others may read is used all the same, and named in each pass: Limpet runs as root and
   can read it, and a host that stopped following its branch would get neither updates nor a way to mend it.
2. A systemd credential is as systemd made it, and so it is never wrong.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Mapping
from pathlib import Path

from agent.installation import Paths
from agent.settings.load import CREDENTIALS_AS_PATH
from agent.settings.values import Settings

SECRET_FILES = ("ssh_key", "token_file")


def given_files(settings: Settings) -> dict[str, str]:
    """Setting -> the path that it names, of all files with credentials."""
    source = settings.source
    found = {f"source.{name}": str(getattr(source, name)) for name in CREDENTIALS_AS_PATH}
    for registry, table in settings.engine.registries.items():
        files = {"token_file": table.token_file, "ca_file": table.ca_file}
        found |= {f'engine.registries."{registry}".{name}': path for name, path in files.items()}
    return {name: path for name, path in found.items() if path}


def open_to_others(name: str, path: Path, environ: Mapping[str, str] = os.environ) -> tuple[str, str]:
    """What is wrong with the mode of a file with a secret, and the remedy; empty when nothing is, or when it
    is not there.
    """
    if name.rpartition(".")[2] not in SECRET_FILES or _is_of_systemd(path, environ):
        return "", ""
    try:
        mode = stat.S_IMODE(path.stat().st_mode)
    except OSError:
        return "", ""
    if not mode & 0o077:
        return "", ""
    return f"{name}: {path} is open to others (mode {mode:04o})", f"chmod 600 {path}"


def open_secrets(settings: Settings, paths: Paths) -> list[str]:
    """A warning for each file with a secret that others may read."""
    checked = (open_to_others(name, paths.host(path)) for name, path in given_files(settings).items())
    return [f"{what}: {remedy}" for what, remedy in checked if what]


def _is_of_systemd(path: Path, environ: Mapping[str, str]) -> bool:
    places = {Path("/run/credentials"), Path(environ.get("CREDENTIALS_DIRECTORY") or "/run/credentials")}
    return not places.isdisjoint(path.parents)
