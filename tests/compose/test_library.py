"""The library's own promises, beside what the reference loader does: places, all errors at once, files,
purity.
"""

from __future__ import annotations

import inspect
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from agent.compose import (
    ComposeError,
    ComposeErrors,
    MemoryFiles,
    Project,
    canonical,
    duration_ns,
    load_project,
)
from agent.compose.fields import RESOURCES, SERVICE
from agent.compose.schema import SPECIFICATION
from agent.compose.values import as_is

ROOT = Path(__file__).parents[2]


def project(text: str = "", files: dict[str, str] | None = None, **options: object) -> Project:
    every = ({"compose.yaml": text} if text else {}) | (files or {})
    options.setdefault("default_name", "app")
    return load_project(MemoryFiles({path: content.encode() for path, content in every.items()}), **options)  # type: ignore[arg-type]


def errors(
    text: str = "", files: dict[str, str] | None = None, **options: object
) -> list[tuple[str, int, str]]:
    with pytest.raises(ComposeErrors) as caught:
        project(text, files, **options)
    return [(error.file, error.line, error.message) for error in caught.value.errors]


def test_every_error_is_reported_at_once() -> None:
    """A person must see all that is wrong, sorted by file and line, whatever stage finds it."""
    text = (
        "services:\n  a: {imgae: x}\n  b: {image: x, ports: ['x:y']}\n  c: {image: x, depends_on: [nope]}\n"
    )
    text += "  d: {image: 'x:${A:?}'}\n  e: {image: x, mem_limit: 1x, volumes: ['v:/v']}\n"
    found = errors(text, {"compose.override.yaml": "services: {f: {image: x, networks: [n]}}\n"})
    assert [(file, line) for file, line, _ in found] == [
        ("compose.override.yaml", 1),
        ("compose.yaml", 2),
        ("compose.yaml", 3),
        ("compose.yaml", 4),
        ("compose.yaml", 5),
        ("compose.yaml", 6),
    ]


def test_one_mistake_is_one_error() -> None:
    """A resource with a mistake must not make those that use it look wrong too."""
    found = errors(
        "services: {a: {image: x, networks: [n], depends_on: [b]}, b: {imag: x}}\nnetworks: {n: {drivr: x}}\n"
    )
    assert [message for _, _, message in found] == [
        "services.b: unknown key 'imag'",
        "networks.n: unknown key 'drivr'",
    ]


def test_a_position_is_where_the_last_file_wrote_it() -> None:
    """Each key must be found where it came from: override, extended file, include, env file, or the anchor it
    merges.
    """
    loaded = project(
        files={
            "compose.yaml": "include: [sub/c.yaml]\nx-a: &a\n  user: u\nservices:\n  web:\n    <<: *a\n    "
            "image: x\n"
            "    env_file: e.env\n    extends:\n      {file: base.yaml, service: b}\n",
            "compose.override.yaml": "services:\n  web:\n    ports:\n      - 80\n      - 81\n",
            "base.yaml": "services:\n  b:\n    tty: true\n",
            "sub/c.yaml": "services:\n  db:\n    image: db\n",
            "e.env": "# one\nA=1\nB=2\n",
        }
    )
    assert loaded.position("services", "web", "image") == ("compose.yaml", 7)
    assert loaded.position("services", "web", "user") == ("compose.yaml", 3)
    assert loaded.position("services", "web", "tty") == ("base.yaml", 3)
    assert loaded.position("services", "web", "ports", 1) == ("compose.override.yaml", 5)
    assert loaded.position("services", "web", "ports", 1, "target") == ("compose.override.yaml", 5)
    assert loaded.position("services", "web", "environment", "B") == ("e.env", 3)
    assert loaded.position("services", "db", "image") == ("sub/c.yaml", 3)
    assert loaded.position("services", "db", "nothing") == ("sub/c.yaml", 2)


def test_an_undefined_variable_is_blank_and_a_warning_with_its_place() -> None:
    """Compose goes on with a blank; the place must be known, so that `--strict` can refuse it."""
    loaded = project("services:\n  a:\n    image: x\n    command: run ${NOPE}\n")
    assert loaded.services["a"]["command"] == ["run"]
    assert [(w.file, w.line, "NOPE" in w.message) for w in loaded.warnings] == [("compose.yaml", 4, True)]


def test_paths_are_relative_to_the_project_directory() -> None:
    """Whatever file names a path, it must start at the project's directory, and be found below the virtual
    root.
    """
    loaded = project(
        files={
            "apps/shop/compose.yaml": "include: [../db/compose.yaml]\n"
            "services: {a: {image: x, volumes: ['./c:/c', '../x:/x', '/h:/h', '~/u:/u']}}\n",
            "apps/db/compose.yaml": "services: {db: {image: x, volumes: ['./d:/d'], env_file: e.env}}\n",
            "apps/db/e.env": "",
        },
        working_dir="apps/shop",
    )
    sources = [volume["source"] for volume in loaded.services["a"]["volumes"]]
    assert sources == ["./c", "../x", "/h", "~/u"]
    assert [loaded.repository_path(source) for source in sources] == ["apps/shop/c", "apps/x", None, None]
    assert loaded.services["db"]["volumes"][0]["source"] == "../db/d"
    assert loaded.files_read == ("apps/db/compose.yaml", "apps/db/e.env", "apps/shop/compose.yaml")


@pytest.mark.parametrize(
    "text",
    [
        "services: {a: {image: x, volumes: ['../../x:/x']}}",
        "services: {a: {image: x, env_file: ../../x}}",
        "services: {a: {image: x, env_file: /etc/passwd}}",
        "services: {a: {image: x, label_file: /etc/passwd}}",
        "services: {a: {extends: {file: ../../x.yaml, service: a}}}",
        "services: {a: {extends: {file: /x.yaml, service: a}}}",
        "include: [../../x.yaml]\nservices: {a: {image: x}}",
        "include: [{path: c.yaml, project_directory: ../../x}]\nservices: {a: {image: x}}",
        "include: [{path: c.yaml, env_file: ../../x}]\nservices: {a: {image: x}}",
        "services: {a: {image: x, configs: [c]}}\nconfigs: {c: {file: ../../x}}",
        "services: {a: {image: x, volumes: ['v:/v']}}\nvolumes: {v: {driver: local, driver_opts: {o: bind, "
        "device: ../../x}}}",
    ],
)
def test_a_path_out_of_the_repository_is_refused(text: str) -> None:
    """No key may reach a file outside the virtual root; the error must say where it is written."""
    found = errors(
        files={"app/compose.yaml": text, "app/c.yaml": "services: {b: {image: x}}"}, working_dir="app"
    )
    assert [(file, line > 0) for file, line, _ in found] == [("app/compose.yaml", True)]


def test_variables_come_from_overrides_then_dotenv_and_nowhere_else(monkeypatch: pytest.MonkeyPatch) -> None:
    """The process environment must never be seen."""
    monkeypatch.setenv("SECRET", "leaked")
    loaded = project(
        "services: {a: {image: x, environment: [A, B, SECRET]}}",
        {".env": "A=dotenv\nB=dotenv\n"},
        env_overrides={"A": "override"},
    )
    assert loaded.services["a"]["environment"] == {"A": "override", "B": "dotenv", "SECRET": None}


def test_compose_file_of_dotenv_names_the_files() -> None:
    """COMPOSE_FILE must be taken from `.env`, with its separator, before the usual names."""
    files = {
        ".env": "COMPOSE_FILE=one.yaml,two.yaml\nCOMPOSE_PATH_SEPARATOR=,\n",
        "compose.yaml": "services: {no: {image: x}}",
        "one.yaml": "services: {a: {image: x}}",
        "two.yaml": "services: {a: {tty: true}}",
    }
    loaded = project(files=files)
    assert list(loaded.services) == ["a"] and loaded.services["a"]["tty"] is True
    assert loaded.config_files == ("one.yaml", "two.yaml")


def test_the_usual_names_are_found_in_order() -> None:
    """compose.yaml wins over the others with a warning; its override joins; `.j2` counts as the name without
    it.
    """
    rendered: list[str] = []

    def render(path: str, data: bytes) -> bytes:
        rendered.append(path)
        return data.replace(b"{{ tag }}", b"7") if path.endswith(".j2") else data

    files = {
        "compose.yaml.j2": "services: {a: {image: 'x:{{ tag }}', extends: {file: base.yaml, service: b}}}",
        "base.yaml.j2": "services: {b: {image: y, user: 'u{{ tag }}'}}",
        "docker-compose.yml": "services: {b: {image: x}}",
        "compose.override.yml": "services: {a: {tty: true}}",
    }
    loaded = project(files=files, preprocess=render)
    assert loaded.services["a"] == {"image": "x:7", "tty": True, "user": "u7", "networks": {"default": None}}
    assert rendered == ["compose.yaml.j2", "compose.override.yml", "base.yaml.j2"]
    assert any("docker-compose.yml" in warning.message for warning in loaded.warnings)


def test_an_error_of_the_caller_is_reported_like_our_own() -> None:
    """A template that cannot be rendered must be one of the errors, not the end."""

    def render(path: str, data: bytes) -> bytes:
        raise ComposeError("undefined name", path, 3, hint="define it")

    assert errors("services: {a: {image: x}}", preprocess=render) == [("compose.yaml", 3, "undefined name")]


def test_no_compose_file_is_an_error() -> None:
    """A directory without a Compose file must be named."""
    assert errors(files={"app/readme": "x"}, working_dir="app") == [("app", 0, "there is no Compose file")]


def test_unused_resources_are_left_out_of_the_canonical_form() -> None:
    """Compose does not make what no service uses; services that no profile enables do not use anything."""
    text = "services: {a: {image: x, volumes: ['vv:/v']}, b: {image: x, profiles: [p], volumes: ['ww:/w']}}\n"
    text += "volumes: {vv: , ww: , uu: }"
    loaded = project(text)
    assert sorted(loaded.volumes) == ["uu", "vv", "ww"]
    assert sorted(loaded.used_by_services().volumes) == ["vv"]
    assert "app_ww" not in canonical(loaded) and list(loaded.disabled) == ["b"]


def test_text_that_looks_like_something_else_is_quoted() -> None:
    """A YAML 1.1 reader and a YAML 1.2 reader must both read the canonical form as it was meant."""
    values = [
        "yes",
        "No",
        "0o17",
        "1:30",
        "1e3",
        "~",
        "null",
        "2024-01-01",
        "0x1F",
        "<<",
        "=",
        "",
        " x",
        "a: b",
        "#c",
        "- d",
        "$x",
        "é\x85",
    ]
    entries = "".join(
        f"\n      K{i}: '{value}'" for i, value in enumerate(v.replace("$", "$$") for v in values)
    )
    loaded = project(f"services:\n  a:\n    image: x\n    environment:{entries}\n")
    again = project(canonical(loaded))
    assert list(again.services["a"]["environment"].values()) == [
        value.replace("\x85", " ") for value in values
    ]


def test_a_tab_is_named() -> None:
    """The commonest slip in YAML must be called by its name."""
    assert errors("services:\n\ta:\n\t\timage: x\n") == [("compose.yaml", 2, "a tab is used for indentation")]


@pytest.mark.parametrize(
    ("text", "nanoseconds"),
    [
        ("1h2m3s", 3_723 * 10**9),
        ("1.5s", 1_500_000_000),
        ("24h0m0s", 86_400 * 10**9),
        ("2d", 172_800 * 10**9),
        ("0s", 0),
        ("100ms", 10**8),
    ],
)
def test_durations_are_read_in_nanoseconds(text: str, nanoseconds: int) -> None:
    """Canonical and written durations must be the same number."""
    assert duration_ns(text) == nanoseconds


def test_loading_opens_and_asks_nothing() -> None:
    """Once imported, loading must not open a file, connect, or ask the time: files come in through the
    protocol.
    """
    code = """
import sys
from agent.compose import load_project, canonical, MemoryFiles
files = MemoryFiles({
    "compose.yaml": b"include: [i.yaml]\\nservices: {a: {image: x, env_file: e.env, imag: 1}}",
                     "i.yaml": b"services: {b: {image: x}}", "e.env": b"A=1"})
good = MemoryFiles({"compose.yaml": b"services: {a: {image: x, env_file: e.env}}", "e.env": b"A=1"})
def run():
    canonical(load_project(good, default_name="x"))
    try:
        load_project(files, default_name="x")
    except Exception:
        pass
run()
def hook(event, args):
    if event.startswith(("open", "socket", "os.", "subprocess", "time")):
        sys.stderr.write(f"{event} {args}\\n")
        raise SystemExit(3)
sys.addaudithook(hook)
run()
"""
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_importing_the_library_does_not_import_yaml() -> None:
    """Who only wants its values must not pay for the parser."""
    code = "import sys, agent.compose; sys.exit('yaml' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT).returncode == 0


def declared(schema: dict[str, Any], path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """The paths of every key that the schema declares; `*` stands for names and items."""
    if "$ref" in schema:
        schema = SPECIFICATION["$defs"][schema["$ref"].rpartition("/")[2]]
    for form in schema.get("oneOf", ()):
        yield from declared(form, path)
    for key, below in schema.get("properties", {}).items():
        yield (*path, key)
        yield from declared(below, (*path, key))
    for pattern, below in schema.get("patternProperties", {}).items():
        if below and pattern != "^x-":
            yield from declared(below, (*path, "*"))
    if "items" in schema:
        yield from declared(schema["items"], (*path, "*"))


def handled(decode: Any, path: tuple[str, ...]) -> bool:
    """Whether the decoders have a field for a path; what takes any value as it is has one for all."""
    for part in path:
        variables = inspect.getclosurevars(decode).nonlocals
        if part == "*":
            decode = variables.get("of", decode)
        elif "fields" in variables:
            if part not in variables["fields"]:
                return False
            decode = variables["fields"][part].decode
        elif decode is as_is or decode.__name__ == "_ulimit":
            return True
        else:
            inner = variables.get("of")
            if inner is None:
                return False
            decode = inner
            if part not in inspect.getclosurevars(decode).nonlocals.get("fields", {}):
                return False
            decode = inspect.getclosurevars(decode).nonlocals["fields"][part].decode
    return True


@pytest.mark.parametrize(
    ("kind", "decode"),
    [
        ("service", SERVICE),
        ("network", RESOURCES["networks"]),
        ("volume", RESOURCES["volumes"]),
        ("config", RESOURCES["configs"]),
        ("secret", RESOURCES["secrets"]),
        ("model", RESOURCES["models"]),
    ],
)
def test_every_key_of_the_schema_reaches_the_canonical_form(kind: str, decode: Any) -> None:
    """A key that the schema allows must have a type; without one it would be dropped in silence."""
    resolved = {("extends",), ("extends", "service"), ("extends", "file"), ("external", "name")}
    missing = [
        path
        for path in declared(SPECIFICATION["$defs"][kind])
        if path not in resolved and not handled(decode, path)
    ]
    assert missing == []
