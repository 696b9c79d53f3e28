"""The rules of the design that a machine can check: who may import what, what is pure, what stays small."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import grimp
import pytest

ROOT = Path(__file__).parent.parent
AGENT = ROOT / "agent"
MODULES = sorted(AGENT.rglob("*.py"))

# The rooms, the top floor first: imports go down only. What lies in agent/ must stand here.
FLOORS = (
    ("__main__", "cli"),
    ("daemon", "testing"),
    ("converge",),
    ("report",),
    ("settings", "drivers"),
    ("fetch",),
    ("store",),
    ("decide", "render"),
    ("kinds",),
    ("kinds.engine",),
    ("installation", "sandbox"),
    ("observed",),
    ("model",),
    ("check", "compose", "disk", "errors", "clock", "redact", "references", "revision", "units"),
)
# A module is pure when it lies in one of these, or when its docstring says so.
PURE_ROOMS = (
    "decide",
    "kinds",
    "compose",
    "check",
    "model",
    "observed",
    "disk",
    "errors",
    "redact",
    "references",
    "revision",
    "units",
)
# room -> the only rooms that may import it
KNOWN_TO = {
    "cli": ("cli", "__main__"),
    "daemon.supervisor": ("cli",),
    "converge": ("cli", "converge", "daemon", "testing"),
    "converge.apply": ("converge.context", "testing"),
    "settings.check": ("settings.load", "cli"),
    "report.terminal": ("report.progress", "cli"),
}
# room -> rooms that it must not import, though they are below: what does gets actions, and decides nothing
FORBIDDEN = {"drivers": ("decide",), "converge.apply": ("decide",), "fetch": ("decide", "kinds")}
# Public names that several modules have, each with its reason.
SHARED_NAMES = {
    "run": "what a command does; each module of cli/ has one",
    "add_arguments": "the arguments of a command; each module of cli/ has one",
    "fate": "what is decided for one resource; each kind has one",
}

OUTSIDE = {  # what touches the world, or is a client of something that does
    "os",
    "io",
    "pathlib",
    "shutil",
    "tempfile",
    "glob",
    "socket",
    "ssl",
    "select",
    "selectors",
    "subprocess",
    "signal",
    "threading",
    "asyncio",
    "multiprocessing",
    "concurrent",
    "time",
    "random",
    "secrets",
    "urllib",
    "http",
    "logging",
    "docker",
    "dulwich",
    "paramiko",
    "pydantic",
    "pydantic_settings",
    "jinja2",
    "requests",
    "rich",
    "systemd",
    "apscheduler",
    "cryptography",
}
# (module, import): each with its reason.
PURE_EXCEPTIONS = {
    (
        "agent.compose.schema",
        "pathlib",
    ),  # reads the specification's JSON Schema, which lies beside it, once at import
    ("agent.fetch.address", "urllib"),  # urllib.parse takes text apart
    ("agent.daemon.schedule", "random"),  # for the type: the generator is an argument
}
IMPURE_CALLS = {
    "open",
    "input",
    "print",
    "exec",
    "eval",
    "breakpoint",
    "now",
    "utcnow",
    "today",
    "monotonic",
    "time_ns",
}

# SDK -> the packages that may import it. Nothing else may.
SDK = {
    "docker": ("drivers", "cli.demo"),
    "requests": ("drivers",),
    "dulwich": ("fetch", "render"),
    "paramiko": ("fetch",),
    "pydantic": ("settings.check", "settings.models"),
    "pydantic_settings": ("settings.check", "settings.models"),
    "jinja2": ("render",),
    "yaml": ("compose", "render"),
    "apscheduler": ("settings.windows",),
    "rich": ("report.terminal", "cli"),
    "systemd": ("daemon.systemd", "drivers"),
    "subprocess": ("sandbox", "daemon.child", "drivers", "cli"),
}

MAX_MODULE_LINES = 400
MAX_FUNCTION_LINES = 50
# What is longer, with its number of lines: may only shrink.
LONG_MODULES: dict[str, int] = {}
LONG_FUNCTIONS: dict[str, int] = {}


@pytest.fixture(scope="module")
def graph() -> grimp.ImportGraph:
    """What is imported when the code runs."""
    return grimp.build_graph(
        "agent", include_external_packages=True, exclude_type_checking_imports=True, cache_dir=None
    )


@pytest.fixture(scope="module")
def whole_graph() -> grimp.ImportGraph:
    """What is imported, for types as well."""
    return grimp.build_graph("agent", cache_dir=None)


def within(module: str, parts: tuple[str, ...]) -> bool:
    """Whether `agent.PART` or something below it is meant."""
    return any(module == f"agent.{part}" or module.startswith(f"agent.{part}.") for part in parts)


def ours(graph: grimp.ImportGraph) -> list[str]:
    return sorted(module for module in graph.modules if module.split(".")[0] == "agent")


def room(module: str) -> str:
    """The room of a module: the longest of FLOORS that it lies in."""
    known = [part for floor in FLOORS for part in floor if within(module, (part,))]
    return max(known, key=len, default="")


def is_pure(module: str) -> bool:
    if within(module, PURE_ROOMS):
        return True
    path = ROOT / module.replace(".", "/")
    file = path / "__init__.py" if path.is_dir() else path.with_suffix(".py")
    return re.search(r"\bPure\b", ast.get_docstring(tree(file)) or "") is not None


def tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"), str(path))


def name(path: Path) -> str:
    return str(path.relative_to(ROOT))


def module_name(path: Path) -> str:
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


# --- imports ------------------------------------------------------------------------------------------------


def test_every_room_has_its_floor() -> None:
    """What lies in agent/ must be a room of FLOORS, and each room must be there."""
    there = {path.stem for path in AGENT.iterdir() if path.suffix == ".py" and path.stem != "__init__"}
    there |= {path.parent.name for path in AGENT.glob("*/__init__.py")}
    assert there == {part.split(".")[0] for floor in FLOORS for part in floor}


def test_imports_go_down_only(whole_graph: grimp.ImportGraph) -> None:
    """A room must import only rooms of the floors below it."""
    height = {part: number for number, floor in enumerate(FLOORS) for part in floor}
    bad = [
        f"{module} imports {other}"
        for module in ours(whole_graph)
        for other in sorted(whole_graph.find_modules_directly_imported_by(module))
        if room(module) != room(other) and room(module) and room(other)
        if height[room(module)] >= height[room(other)]
    ]
    assert not bad, "\n".join(bad)


def test_no_module_imports_itself_in_a_circle(whole_graph: grimp.ImportGraph) -> None:
    """No module must reach itself by imports, for types as well."""
    order = TopologicalSorter(
        {module: whole_graph.find_modules_directly_imported_by(module) for module in ours(whole_graph)}
    )
    try:
        order.prepare()
    except CycleError as circle:
        pytest.fail(" -> ".join(reversed(circle.args[1])))


def test_deciding_modules_import_nothing_that_touches_the_world(graph: grimp.ImportGraph) -> None:
    """What is pure must neither import, nor reach through others, an SDK, the system, the clock or chance."""
    bad = []
    for module in filter(is_pure, ours(graph)):
        reached = {module} | {
            other for other in graph.find_upstream_modules(module) if other.startswith("agent")
        }
        for reach in sorted(reached):
            bad += [
                f"{module} reaches {reach}, which imports {outside}"
                for outside in sorted(graph.find_modules_directly_imported_by(reach))
                if outside.split(".")[0] in OUTSIDE and (reach, outside) not in PURE_EXCEPTIONS
            ]
    assert not bad, "\n".join(bad)


def test_deciding_modules_call_nothing_that_touches_the_world() -> None:
    """What is pure must not open, print, or ask the time."""
    bad = []
    for path in MODULES:
        module = module_name(path)
        if not is_pure(module):
            continue
        for node in ast.walk(tree(path)):
            if isinstance(node, ast.Call):
                called = node.func.id if isinstance(node.func, ast.Name) else getattr(node.func, "attr", "")
                if called in IMPURE_CALLS:
                    bad.append(f"{name(path)}:{node.lineno} calls {called}")
    assert not bad, "\n".join(bad)


def test_the_compose_library_knows_nothing_of_ours(graph: grimp.ImportGraph) -> None:
    """agent.compose must be a library that could be taken out."""
    bad = [
        f"{module} imports {other}"
        for module in ours(graph)
        if within(module, ("compose",))
        for other in graph.find_modules_directly_imported_by(module)
        if other.startswith("agent") and not within(other, ("compose",))
    ]
    assert not bad, "\n".join(bad)


@pytest.mark.parametrize("sdk", SDK)
def test_each_sdk_is_used_at_its_edge_only(graph: grimp.ImportGraph, sdk: str) -> None:
    """A foreign library must be imported only where its errors are translated."""
    if sdk in graph.modules:
        bad = {
            module for module in graph.find_modules_that_directly_import(sdk) if not within(module, SDK[sdk])
        }
        assert not bad


@pytest.mark.parametrize("module", KNOWN_TO)
def test_the_top_is_not_known_below(graph: grimp.ImportGraph, module: str) -> None:
    """A module that knows the others must be known only where it is called."""
    found = {
        other
        for known in ours(graph)
        if within(known, (module,))
        for other in graph.find_modules_that_directly_import(known)
    }
    assert not {other for other in found if not within(other, (module, *KNOWN_TO[module]))}


@pytest.mark.parametrize("part", FORBIDDEN)
def test_what_does_decides_nothing(whole_graph: grimp.ImportGraph, part: str) -> None:
    """A room must import nothing of the rooms that are forbidden to it."""
    bad = [
        f"{module} imports {other}"
        for module in ours(whole_graph)
        if within(module, (part,))
        for other in whole_graph.find_modules_directly_imported_by(module)
        if within(other, FORBIDDEN[part])
    ]
    assert not bad, "\n".join(bad)


def test_no_decision_reads_the_account() -> None:
    """A step must only write in the account of a pass: what it needs to know is returned to it."""
    bad = []
    for path in sorted((AGENT / "converge").glob("*.py")):
        if path.stem in ("account", "summary"):
            continue
        nodes = list(ast.walk(tree(path)))
        called = [node.func for node in nodes if isinstance(node, ast.Call)]
        used = [node.value for node in nodes if isinstance(node, ast.Expr)]
        written = [call.func for call in used if isinstance(call, ast.Call)]
        bad += [
            f"{name(path)}:{node.lineno} reads account.{node.attr}"
            for node in nodes
            if isinstance(node, ast.Attribute)
            and isinstance(node.value, ast.Name)
            and node.value.id == "account"
            and not (node in called and node in written)
        ]
    assert not bad, "\n".join(bad)


def test_packages_of_the_system_are_not_hidden() -> None:
    """packaging/ and systemd/ must never be importable: they would hide the installed packages of these
    names.
    """
    for directory in ("packaging", "systemd"):
        assert not list((ROOT / directory).rglob("__init__.py"))
    import packaging
    import systemd

    assert packaging.__file__ and systemd.__file__
    assert ROOT / "packaging" not in Path(packaging.__file__).parents
    assert ROOT / "systemd" not in Path(systemd.__file__).parents


# --- size and text ------------------------------------------------------------------------------------------


def test_modules_stay_small() -> None:
    """A module must stay within its lines; the exceptions are counted and may only shrink."""
    found = {name(path): len(path.read_text(encoding="utf-8").splitlines()) for path in MODULES}
    long = {module: lines for module, lines in found.items() if lines > MAX_MODULE_LINES}
    assert {module: lines for module, lines in long.items() if lines > LONG_MODULES.get(module, 0)} == {}
    assert set(LONG_MODULES) <= set(long), "an exception that is no longer needed"


def test_functions_stay_small() -> None:
    """A function must stay within its lines; the exceptions are counted and may only shrink."""
    found = {
        f"{name(path)}:{node.name}": (node.end_lineno or 0) - node.lineno + 1
        for path in MODULES
        for node in ast.walk(tree(path))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    }
    long = {function: lines for function, lines in found.items() if lines > MAX_FUNCTION_LINES}
    assert {
        function: lines for function, lines in long.items() if lines > LONG_FUNCTIONS.get(function, 0)
    } == {}
    assert set(LONG_FUNCTIONS) <= set(long), "an exception that is no longer needed"


def test_one_word_is_one_thing() -> None:
    """No public class or function must have a name that another module uses; SHARED_NAMES say which do."""
    found: dict[str, list[str]] = {}
    for path in MODULES:
        for node in tree(path).body:
            if isinstance(node, ast.ClassDef | ast.FunctionDef) and not node.name.startswith("_"):
                found.setdefault(node.name, []).append(module_name(path))
    several = {word: modules for word, modules in found.items() if len(modules) > 1}
    assert {word: modules for word, modules in several.items() if word not in SHARED_NAMES} == {}
    assert set(SHARED_NAMES) <= set(several), "an exception that is no longer needed"


def test_every_module_says_what_it_is_for() -> None:
    """Every module must start with a docstring."""
    assert [name(path) for path in MODULES if not ast.get_docstring(tree(path))] == []


def obligations(path: Path) -> Iterator[ast.FunctionDef]:
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.FunctionDef) and node.name.startswith("test_"):
            yield node


def test_every_test_says_its_obligation() -> None:
    """Every test must have a docstring whose first line is a sentence."""
    bad = []
    for path in sorted((ROOT / "tests").rglob("test_*.py")):
        for test in obligations(path):
            first = (ast.get_docstring(test) or "").split("\n\n")[0].strip()
            if not first.endswith((".", ":")):
                bad.append(f"{name(path)}:{test.lineno} {test.name}")
    assert not bad, "\n".join(bad)


def test_no_shell_anywhere() -> None:
    """No process may be started through a shell."""
    bad = []
    for path in MODULES:
        for node in ast.walk(tree(path)):
            if (isinstance(node, ast.keyword) and node.arg == "shell") or (
                isinstance(node, ast.Attribute)
                and node.attr in ("system", "popen", "getoutput", "getstatusoutput")
                and isinstance(node.value, ast.Name)
                and node.value.id in ("os", "subprocess")
            ):
                bad.append(f"{name(path)}:{node.lineno}")
            if isinstance(node, ast.Constant) and node.value in ("/bin/sh", "sh -c", "/bin/bash", "bash -c"):
                bad.append(f"{name(path)}:{node.lineno}: {node.value}")
    assert not bad, "\n".join(bad)


# --- pure, seen from outside --------------------------------------------------------------------------------

# Everything is imported first. Then every event of the interpreter that touches the world, and every question
# for the time or for chance, ends the process. A breach is proved to be noticed first.
PURE_CALLS = """
import os, random, sys, time
from agent.decide.brakes import BrakePolicy, brakes
from agent.compose.files import MemoryFiles
from agent.compose.load import load_project
from agent.decide.gate import GateMemory, Sample, Terms, judge
from agent.kinds import container, files, network, volume
from agent.kinds.base import Target, View
from agent.check import Check
from agent.model import Manifest, Need
from agent.observed import Observed, ObservedContainer, ObservedFile
from agent.decide.plan import plan

COMPOSE = b'''
name: shop
services:
  web:
    {image: "web:${TAG:-1}", ports: ["8080:80"], depends_on: [db],
     volumes: ["data:/data", "./etc:/etc/web:ro"]}
  db: {image: db, networks: {back: {aliases: [d]}}, healthcheck: {test: ["CMD", "true"], interval: 5s}}
networks: {back: }
volumes: {data: }
'''

def everything():
    project = load_project(MemoryFiles({"compose.yaml": COMPOSE}), default_name="shop")
    net = network.network_resource("shop_back", app="shop", config={})
    vol = volume.volume_resource("shop_data", app="shop", config={})
    file = files.file("/etc/motd", content="0" * 64, size=3)
    web = container.container_resource(
        "shop-web-1", app="shop", service="web", number=1, config={"image": "web:1"}, inputs={}, folded={},
        needs=(Need(net.key), Need(vol.key)), compose={})
    manifest = Manifest({r.key: r for r in (net, vol, file, web)}, (Check("c", tcp="127.0.0.1:1"),))
    seen = ObservedContainer(
        "1", "shop-old-1", True, "running", "sha256:1", key_name="shop-old-1", app="shop")
    observed = Observed(files={"/etc/motd": ObservedFile("file", 0o600, 0, 0, "1" * 64)}, containers=(seen,))
    view = View(Target(manifest, {"web:1": "sha256:2"}), observed, {})
    found = brakes(plan(view), view, BrakePolicy(files_deny=("/etc/shadow",)))
    judge(manifest, Sample(5.0, (seen,), {"c": ""}), GateMemory(0.0), Terms(1.0, 10.0))
    return project, str(found), manifest.digest, Manifest.from_json(manifest.to_json())

first = everything()  # whatever is loaded late is loaded now
TOUCHES = ("open", "os.", "socket.", "subprocess.", "shutil.", "tempfile.", "glob.", "pty.", "fcntl.",
           "urllib.", "signal.", "import", "time.", "random.")

def hook(event, arguments):
    if event.startswith(TOUCHES):
        raise RuntimeError(f"a pure call touches the world: {event} {arguments!r:.200}")

def refuse(what):
    def refused(*_, **__): raise RuntimeError(f"a pure call asks {what}")
    return refused

for clock in ("time", "monotonic", "time_ns", "monotonic_ns", "perf_counter", "sleep", "gmtime", "localtime"):
    setattr(time, clock, refuse("the time"))
for chance in ("random", "uniform", "choice", "randint", "getrandbits"):
    setattr(random, chance, refuse("chance"))
sys.addaudithook(hook)
for breach in (lambda: open("/etc/hostname"), lambda: os.listdir("/"), time.time, random.random):
    try:
        breach()
    except RuntimeError:
        continue
    sys.exit("the breach was not noticed")
second = everything()
assert second[1:3] == first[1:3], "equal arguments, another answer"
assert second[0] == first[0]
"""


def test_deciding_touches_nothing() -> None:
    """Loading, planning, braking and judging must open nothing, connect to nothing, and ask neither time nor
    chance.
    """
    done = subprocess.run([sys.executable, "-I", "-c", PURE_CALLS], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
