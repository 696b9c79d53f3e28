"""Random Compose projects, made from the JSON Schema: every key, short and long forms, overrides,
interpolation, extends.

The schema gives the shape; where text has a grammar of its own (ports, sizes, durations), values are drawn
from a pool of good and bad ones. A project is a mapping of file names to contents, as the oracle and the
library get it.
"""

from __future__ import annotations

import json
import random
from collections.abc import Sequence
from typing import Any, Protocol, TypeVar

import yaml
from hypothesis import strategies as st

from agent.compose.schema import SPECIFICATION

Item = TypeVar("Item")
NAMES = ("a", "b", "c")
RESOURCES = ("r1", "r2", "default")
TEXTS = (
    "x",
    "some text",
    "",
    "a=b",
    "k",
    "1",
    "true",
    "a:b",
    "/abs/path",
    "./rel",
    "$SET",
    "${SET}",
    "${UNSET:-dflt}",
    "$$x",
    "${SET:+alt}",
    "${EMPTY-e}",
    "x y=z",
    "ü",
    "- dash",
    "'q'",
    '"dq"',
    "0x10",
    "null",
    "#h",
    "a\nb",
    "${SET?no}",
    "${EMPTY:+a}",
    "${EMPTY+a}",
    "${UNSET+a}",
    "${EMPTY:-x y}",
    "${SET:-${UNSET}}",
    "${UNSET:-${NUM:+n${SET}}}",
    "$$$SET",
    "$SET$NUM",
    "${UNSET-}",
    "a${UNSET:-b}c",
    "${UNSET:-{}}",
    "$${SET}",
    "$1",
    "yes",
    "1_000",
    "12:30",
    "2001-01-01",
    "<<",
    "*a",
)
BAD_TEXTS = ("${SET", "${EMPTY:?no}", "${UNSET?}", "${1}", "${SET!x}", "${}")
DURATIONS = ("10s", "1m30s", "0s", "500ms", "1h", "1d", "1.5h", "2w", "${DUR:-3s}", "5", "10 s", "abc")
SIZES = ("1g", "512m", "64M", "1.5GiB", "1024", "10b", "2kb", "${SIZE:-1m}", "1x", "-1", "", "1 gb")
PORTS = (
    "80",
    "8080:80",
    "127.0.0.1:8080:80",
    "9000-9002",
    "9000-9002:8000-8002",
    "53:53/udp",
    "3000-3005:80",
    "[::1]:80:80",
    "127.0.0.1::80",
    "${PORT:-81}:80",
    "80:80/tcp",
    "80:81-82",
    "99999:1",
    "x:y",
    "0.0.0.0:1-2:3-4/sctp",
)
VOLUMES = (
    "./conf:/etc/conf",
    "./conf:/etc/conf:ro",
    "r1:/data",
    "r2:/data2:nocopy",
    "/anon",
    "/abs:/abs:rw,z",
    "./sub/x:/y",
    ".:/dot/",
    "${VOL:-./v}:/v",
    "r1:/data:ro,rslave",
    "./x:/x:bogus",
    "~/h:/h",
    "sub/x:/y",
    "a::b",
)

POOLS: dict[str, tuple[Any, ...]] = {
    "image": ("nginx", "nginx:1.2", "r.io:5000/a/b:t", "${IMG:-alpine}", "a@sha256:" + "0" * 64),
    "stop_grace_period": DURATIONS,
    "interval": DURATIONS,
    "timeout": DURATIONS,
    "start_period": DURATIONS,
    "start_interval": DURATIONS,
    "delay": DURATIONS,
    "monitor": DURATIONS,
    "window": DURATIONS,
    "mem_limit": (*SIZES, 1048576),
    "mem_reservation": (*SIZES, 4),
    "memswap_limit": (*SIZES, -1),
    "shm_size": (*SIZES, 64),
    "mem_swappiness": (60, "60", 0),
    "memory": SIZES,
    "rate": (*SIZES, 12),
    "size": (*SIZES, 1000),
    "cpus": (0.5, "0.5", 1, "1", "1.50", "${CPUS:-2}", "x"),
    "mode": ("0440", 288, "0777", 0o400, "440"),
    "published": ("8080", 8080, "8000-8005", "${PORT:-81}"),
    "host_ip": ("127.0.0.1", "::1", "nope"),
    "target": ("/t1", "/t2", 80, "81", "/t1/"),
    "protocol": ("tcp", "udp"),
    "test": ("curl x", ["CMD", "x"], ["NONE"], ["x"]),
    "network_mode": ("host", "none", "bridge", "service:a", "service:b", "container:x"),
    "ipc": ("host", "service:a", "shareable"),
    "pid": ("host", "service:b"),
    "restart": ("no", "always", "on-failure:3"),
    "pull_policy": ("always", "never", "missing", "if_not_present", "daily", "every_12h", "refresh"),
    "subnet": ("10.0.0.0/24", "10.1.0.0/24"),
    "type": ("bind", "volume", "tmpfs", "image", "npipe"),
    "env_file": (
        "a.env",
        ["a.env", "b.env"],
        [{"path": "b.env"}],
        [{"path": "no.env", "required": False}],
        "no.env",
    ),
    "label_file": ("a.env", ["b.env"]),
    "propagation": ("rslave", "private"),
    "container_name": ("one", "two"),
    "count": ("all", 1, "2", "x"),
    "condition": ("service_started", "service_healthy", "service_completed_successfully"),
    "uid": ("1", "root"),
    "gid": ("2",),
    "format": ("raw", ".env"),
    "driver": ("local", "json-file", "x"),
    "weight": (10, 500),
    "group_add": (["a", 20], ["video"], ["${SET}"]),
    "path": ("./w", "sub", "${SET}"),
    "action": ("sync", "rebuild", "restart"),
    "device": ("./dev", "/dev/x"),
    "o": ("bind", "x"),
    "scale": (0, 1, 2, "2"),
    "replicas": (0, 1, 2, "2"),
    "external": (True, False, "true"),
    "name": ("n1", "${SET}-n", "n2"),
    "context": (".", "./ctx", "https://x/y.git"),
    "file": ("./f1", "sub/f2", "/abs/f"),
    "content": ("text $$x ${SET}", "t"),
    "environment_of_file": ("SET", "UNSET"),
    "command": ("run it", ["a", "b"], "a 'b c' \"d\"", [], "", "a && b", "x 'y", None),
    "devices": (["/dev/a:/dev/b:r", "/dev/c"], [{"source": "/dev/a", "target": "/dev/z"}], ["a:b:c:d"]),
    "dns": ("8.8.8.8", ["1.1.1.1", "8.8.8.8"], [""]),
    "expose": ([80, "81"], ["82-83"], [80]),
    "extra_hosts": (
        ["a:1.1.1.1", "b=::1"],
        {"c": "2.2.2.2"},
        ["d:[::1]"],
        {"e": ["1.1.1.1", "::1"]},
        ["bad"],
    ),
    "links": (["b"], ["c:alias"], ["nope"]),
    "volumes_from": (["b"], ["c:ro"], ["container:x"]),
    "models": (["m"], {"m": {"endpoint_var": "URL"}}, {"m": {"model_var": "M"}}, ["nope"]),
    "ssh": (["default"], {"default": None}),
    "profiles": ([], ["p1"], ["p1", "p2"], ["p2"]),
    "tmpfs": ("/run", ["/run:size=1m", "/tmp"]),
    "depends_on": (
        ["b"],
        ["b", "c"],
        {"b": {"condition": "service_healthy"}},
        {"c": {"condition": "service_started", "required": False}},
        {"b": {"condition": "service_started", "restart": True}},
        ["nope"],
    ),
    "extends": ("b", {"service": "c"}, {"service": "base", "file": "sub/base.yaml"}, {"service": "nope"}),
    "networks": (
        ["r1"],
        ["r1", "r2"],
        {"r1": None},
        {"r2": {"aliases": ["x", "y"]}},
        {"default": {"ipv4_address": "10.0.0.5"}},
        {"r1": {"priority": 5, "driver_opts": {"a": 1}}},
        [],
        {"nope": None},
    ),
    "source": ("r1", "r2"),
    "capabilities": (["gpu"], ["gpu", "compute"]),
    "device_ids": (["0"],),
    "subpath": ("a/b",),
    "configs": (["r1"], [{"source": "r1", "target": "/c"}], [{"source": "r2", "mode": 288}, "r1"], ["nope"]),
    "secrets": (["r1"], [{"source": "r1", "target": "t"}], [{"source": "r2", "uid": "1"}, "r1"], ["nope"]),
    "ulimits": (
        {"nofile": 5},
        {"nofile": {"soft": 1, "hard": 2}},
        {"nproc": "7"},
        {"core": {"soft": "1", "hard": 3}},
    ),
    "gpus": ("all", [{"driver": "nvidia", "count": 2}], [{"device_ids": ["1"]}], [{}]),
    "logging": (
        {"driver": "json-file", "options": {"max-size": "1m"}},
        {"options": {"max-file": 3}},
        {"driver": "syslog"},
    ),
    "healthcheck_disable": (True,),
}
# Values that make a project fail; drawn seldom, so that most projects load and the rest is compared too.
BAD = {
    repr(value)
    for value in (
        "abc",
        "10 s",
        "5",
        "1x",
        "",
        "1 gb",
        "80:81-82",
        "99999:1",
        "x:y",
        "x",
        "nope",
        ["x"],
        ["a:b:c:d"],
        ["bad"],
        ["nope"],
        {"nope": None},
        {"service": "nope"},
        "x 'y",
        "no.env",
        [PORTS[11]],
        *VOLUMES[-2:],
        *([bad] for bad in VOLUMES[-2:]),
    )
}
# Where a key's pool has only simple values, its schema is followed once in a while.
STRUCTURED = {
    "volumes",
    "configs",
    "secrets",
    "networks",
    "env_file",
    "gpus",
    "devices",
    "ulimits",
    "depends_on",
    "ports",
    "logging",
    "extra_hosts",
    "tmpfs",
    "models",
}
NAMED = {"networks": RESOURCES, "depends_on": ("c",), "models": ("m",)}
UNSIGNED = {
    "cpu_count",
    "cpu_percent",
    "weight",
    "parallelism",
    "max_attempts",
    "pids",
    "max_replicas_per_node",
}
ENV_LINES = (
    "# comment",
    "",
    "A=1",
    "B=${SET}-$A",
    "C='lit $A'",
    'D="q\\n${UNSET:-u}"',
    "export E=${NUM}",
    "SET",
    "F = spaced # c",
    "G: colon",
    "H=a#b",
    "I='it'",
    'J="multi\nline"',
    "K=",
    'L=""',
    "M=a b c",
    "N=$$x",
    "O=${A:-x}${UNSET:+y}",
    "  P=indented",
    "Q=x\r",
    "R='a\\'b'",
    'T="a\\"b\\$c\\t"',
    "U=x # y",
    "V='x' # y",
    "W.x-y=1",
    "A=again",
    "NUM=9",
    "X=\u00e9",
    "Y=`a`",
    "Z=a=b",
)
BAD_ENV_LINES = ("I='it''s'", "A B=1", "!x=1", "A='open", "A=${", "A=${UNSET:?needed}")


class Pick(Protocol):
    """Where the choices come from: Hypothesis, which can shrink them, or a random number generator, which is
    fast.

    `careful`: nothing is drawn that is known to make a project fail.
    """

    careful: bool

    def below(self, limit: int) -> int:
        """A number from 0 to below the limit."""


class RandomPick:
    careful = False

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)

    def below(self, limit: int) -> int:
        return self.random.randrange(limit)


class DrawnPick:
    careful = False

    def __init__(self, draw: st.DrawFn) -> None:
        self.draw = draw

    def below(self, limit: int) -> int:
        return self.draw(st.integers(0, limit - 1))


class Tagged:
    """A value that replaces (`!override`) or removes (`!reset`) what an earlier file said."""

    def __init__(self, tag: str, value: Any) -> None:
        self.tag, self.value = tag, value


class Merge(str):
    """The key of a YAML merge."""


class Dumper(yaml.SafeDumper):
    """Writes tags and merge keys; a fragment used twice becomes an anchor and an alias."""


def _tagged(dumper: Dumper, tagged: Tagged) -> yaml.Node:
    node = dumper.represent_data(tagged.value)
    node.tag = tagged.tag
    if isinstance(node, yaml.ScalarNode):
        node.style = "'"
    return node


Dumper.add_representer(Tagged, _tagged)
Dumper.add_representer(Merge, lambda dumper, _: yaml.ScalarNode("tag:yaml.org,2002:merge", "<<"))


@st.composite
def projects(draw: st.DrawFn) -> dict[str, bytes]:
    """Hypothesis strategy for a project's files; most load, some do not."""
    return project(DrawnPick(draw))


def one_of(pick: Pick, items: Sequence[Item]) -> Item:
    return items[pick.below(len(items))]


def some_of(pick: Pick, items: Sequence[Item], most: int) -> list[Item]:
    left = list(items)
    return [left.pop(pick.below(len(left))) for _ in range(min(pick.below(most + 1), len(left)))]


def seldom(pick: Pick) -> bool:
    """True once in a while, unless careful; not at an end of the range, which Hypothesis prefers."""
    return not pick.careful and pick.below(41) == 17


def project(pick: Pick) -> dict[str, bytes]:
    """A project's files."""
    pick.careful = pick.below(4) != 2
    files: dict[str, bytes] = {
        ".env": b"SET=value\nEMPTY=\nNUM=3\n" + _settings(pick),
        "a.env": _env_file(pick),
        "b.env": b"A=2\nexport E=${NUM}\nSET\n",
    }
    main = model(pick, full=True)
    if pick.below(4) == 0:
        base = {"services": {"base": service(pick), "other": service(pick) | {"extends": "base"}}}
        if pick.careful:
            for one in base["services"].values():
                _without_circles("c", one, extends=True)
        files["sub/base.yaml"] = written(pick, base)
    else:
        files["sub/base.yaml"] = (
            b"services: {base: {image: base, volumes: ['./b:/b'], environment: [X=1], env_file: ../a.env}}\n"
        )
    if pick.below(6) == 0:
        main["include"] = one_of(pick, INCLUDES)
        files["inc/one.yaml"] = written(pick, {"services": {"inc": service(pick) | {"image": "inc"}}})
        files["inc/two.yaml"] = written(pick, {"services": {"inc": service(pick)}})
        files["inc/.env"] = b"SET=included\nTAG=7\n"
    files["compose.yaml"] = written(pick, main)
    if pick.below(2) == 0:
        files["compose.override.yaml"] = written(pick, model(pick, full=False))
    if b"COMPOSE_FILE" in files[".env"]:
        files["extra.yaml"] = written(pick, model(pick, full=False))
    return files


INCLUDES: tuple[list[Any], ...] = (
    ["inc/one.yaml"],
    [{"path": ["inc/one.yaml"], "project_directory": "sub"}],
    ["./inc/one.yaml"],
    [{"path": "inc/one.yaml"}],
    [{"path": ["inc/one.yaml", "inc/two.yaml"]}],
    [{"path": "inc/one.yaml", "env_file": "a.env"}],
    [{"path": "inc/one.yaml", "env_file": ["b.env", "inc/.env"], "project_directory": "."}],
)


def _settings(pick: Pick) -> bytes:
    """What `.env` says to Compose itself."""
    lines = (
        b"COMPOSE_PROFILES=p1\n",
        b"COMPOSE_PROFILES=p2, p1\n",
        b"COMPOSE_PROJECT_NAME=named\n",
        b"COMPOSE_FILE=compose.yaml:extra.yaml\n",
    )
    return lines[pick.below(len(lines))] if pick.below(4) == 0 else b""


def _env_file(pick: Pick) -> bytes:
    if pick.below(3):
        return b"# comment\nA=1\nB=${SET}-$A\nC='lit $A'\nD=\"q\\n${UNSET:-u}\"\n"
    lines = [one_of(pick, ENV_LINES) for _ in range(pick.below(9))]
    if seldom(pick):
        lines.append(one_of(pick, BAD_ENV_LINES))
    return "\n".join([*lines, ""]).encode()


def written(pick: Pick, tree: Any) -> bytes:
    """A tree as YAML text: as JSON, or in block or mixed style."""
    style = pick.below(3)
    if style == 0 and not _special(tree):
        return json.dumps(tree, ensure_ascii=False).encode()
    flow = None if style == 1 else False
    return yaml.dump(
        tree, Dumper=Dumper, allow_unicode=True, sort_keys=False, default_flow_style=flow
    ).encode()


def _special(value: Any) -> bool:
    if isinstance(value, dict):
        return any(isinstance(key, Merge) or _special(item) for key, item in value.items())
    return isinstance(value, Tagged) or (isinstance(value, list) and any(map(_special, value)))


def model(pick: Pick, full: bool) -> dict[str, Any]:
    names = NAMES if full else some_of(pick, NAMES, 2)
    result: dict[str, Any] = {"services": {}}
    if pick.below(12) == 0:
        result["name"] = one_of(pick, ("app", "my-app", "${SET}", "App"))
    if pick.below(12) == 0:
        result["version"] = "3.8"
    for name in names:
        one = service(pick)
        if pick.careful:
            _without_circles(name, one)
        if full:
            one.setdefault("image", "nginx")
        elif pick.below(4) == 0 and one:
            key = one_of(pick, list(one))
            one[key] = Tagged("!override", one[key]) if pick.below(2) else Tagged("!reset", None)
        result["services"][name] = one
    if pick.below(5) == 0:
        _share(pick, result)
    for section in ("networks", "volumes", "configs", "secrets"):
        if full or pick.below(4) == 0:
            entries: dict[str, Any] = {}
            for name in RESOURCES if full else RESOURCES[:1]:
                entry = _object(pick, SPECIFICATION["$defs"][section[:-1]], section[:-1])
                entries[name] = entry if seldom(pick) else _repaired(entry, section, full)
                if section in ("networks", "volumes") and pick.below(5) == 0:
                    entries[name] = None
            result[section] = entries
    if full:
        result["models"] = {"m": _object(pick, SPECIFICATION["$defs"]["model"], "model")}
    return result


def _share(pick: Pick, result: dict[str, Any]) -> None:
    """An `x-` fragment that services merge, one or two at a time, or whose parts they name."""
    fragment, other = service(pick), {"environment": {"SHARED": "1"}, "restart": "always"}
    if pick.careful:
        _without_circles("c", fragment)
    result["x-common"] = fragment
    for one in result["services"].values():
        if pick.below(2):
            one[Merge("<<")] = fragment if pick.below(2) else [fragment, other]
        elif fragment and (key := one_of(pick, list(fragment))) not in one:
            one[key] = fragment[key]


def _without_circles(name: str, one: dict[str, Any], extends: bool = False) -> None:
    """Leaves references only to services that come later, which are always active, and nothing that excludes
    itself.
    """
    if name != "a":
        one.pop("profiles", None)
    for key in ("links", "volumes_from", "depends_on", "network_mode", "ipc", "pid", "extends"):
        text = json.dumps(one.get(key))
        if any(
            f'"{other}"' in text or f'"{other}:' in text or f':{other}"' in text
            for other in NAMES
            if other <= name
        ):
            del one[key]
    if "network_mode" in one:
        one.pop("networks", None)
        one.pop("container_name", None)
    for key, other in (
        ("scale", "deploy"),
        ("cpus", "deploy"),
        ("mem_limit", "deploy"),
        ("mem_reservation", "deploy"),
        ("pids_limit", "deploy"),
        ("scale", "container_name"),
        ("container_name", "deploy"),
    ):
        if other in one:
            one.pop(key, None)


def _repaired(entry: dict[str, Any], section: str, full: bool) -> dict[str, Any]:
    """The entry without what excludes itself, and with what it must have, unless an earlier file has it."""
    content = [key for key in entry if key in ("content", "environment", "file")]
    for key in content[1 if full else 0 :]:
        del entry[key]
    if not full:
        entry.pop("external", None)
    if section in ("configs", "secrets"):
        external = entry.get("external") not in (None, False)
        if external:
            return {key: item for key, item in entry.items() if key == "external"}
        if section == "secrets" and full and not {"file", "environment"} & entry.keys():
            entry["file"] = "./f"
        if full and not {"file", "environment", "content"} & entry.keys():
            entry["file"] = "./f"
    if entry.get("external") not in (None, False, "false", "off") and section == "volumes":
        keys = ("external",) if isinstance(entry["external"], dict) else ("external", "name")
        return {key: item for key, item in entry.items() if key in keys}
    if isinstance(entry.get("external"), dict):
        entry.pop("name", None)
    return entry


def service(pick: Pick) -> dict[str, Any]:
    return _object(pick, SPECIFICATION["$defs"]["service"], "service")


def _object(pick: Pick, schema: dict[str, Any], owner: str) -> dict[str, Any]:
    keys = list(schema["properties"])
    chosen = some_of(pick, keys, 7)
    chosen += [key for key in schema.get("required", ()) if key not in chosen]
    needed = (
        owner in ("volumes", "devices", "ports")
        and "target" in schema["properties"]
        and "target" not in chosen
    )
    if needed and not seldom(pick):
        chosen.append("target")
    return {key: _value(pick, schema["properties"][key], key, owner) for key in chosen}


def _value(pick: Pick, schema: dict[str, Any], key: str, owner: str) -> Any:
    pool = _pool(key, owner, schema)
    structured = (
        key in STRUCTURED and owner in ("service", "build", "networks", "logging") and pick.below(5) < 2
    )
    if pool and not structured and not seldom(pick):
        value = one_of(pick, pool)
        if repr(value) in BAD and not seldom(pick):
            value = next((other for other in pool if repr(other) not in BAD), value)
        return value
    if "$ref" in schema:
        return _value(pick, SPECIFICATION["$defs"][schema["$ref"].rpartition("/")[2]], key, owner)
    if "oneOf" in schema:
        return _value(pick, one_of(pick, schema["oneOf"]), key, owner)
    if "enum" in schema:
        return one_of(pick, schema["enum"])
    types = schema.get("type", "string")
    kind = types if isinstance(types, str) else one_of(pick, types)
    if kind == "string" and "boolean" in types and not seldom(pick) and "number" not in types:
        return one_of(pick, ("true", "false", "yes", "off", "${YES:-true}"))
    if (
        kind == "string"
        and ("number" in types or "integer" in types)
        and "boolean" not in types
        and not seldom(pick)
    ):
        return one_of(pick, ("0", "3", "$NUM", "${UNSET:-17}"))
    if owner in ("secret", "config") and key == "driver_opts" and not seldom(pick):
        return {"k.x": one_of(pick, TEXTS)}
    if (
        kind in ("integer", "number")
        and not seldom(pick)
        and (schema.get("minimum", -1) >= 0 or key in UNSIGNED)
    ):
        return one_of(pick, (0, 1, 2, 100))
    if kind == "string" and key in ("cpu_count", "cpu_percent", "oom_score_adj") and not seldom(pick):
        return one_of(pick, ("7", "${NUM}"))
    if kind == "object":
        if "properties" in schema:
            return _object(pick, schema, key or owner)
        below = next(iter(schema.get("patternProperties", {"": {"type": "string"}}).values())) or {
            "type": ["string", "number"]
        }
        if isinstance(schema.get("additionalProperties"), dict):
            below = schema["additionalProperties"]
        names = some_of(pick, NAMED.get(key, ("A", "B", "SET", "k.x", "n1")), 3)
        return {name: _value(pick, below, "", key) for name in names}
    if kind == "array":
        items = [_value(pick, schema.get("items", {"type": "string"}), "", key) for _ in range(pick.below(4))]
        return _distinct(items) if schema.get("uniqueItems") and not seldom(pick) else items
    return _scalar(pick, kind)


def _distinct(items: list[Any]) -> list[Any]:
    return [item for index, item in enumerate(items) if item not in items[:index]]


def _pool(key: str, owner: str, schema: dict[str, Any]) -> tuple[Any, ...]:
    if owner == "ports" and key == "":
        return (
            PORTS if schema.get("type") == "string" else (80, 8080) if schema.get("type") == "number" else ()
        )
    if owner == "volumes" and key == "" and schema.get("type") == "string":
        return VOLUMES
    if key == "ports":
        published = {"target": 80, "published": "80"}
        return ([*PORTS[:2]], [PORTS[3], "90"], [PORTS[4]], [80], ["${PORT:-81}:80", published], [PORTS[11]])
    if key == "volumes" and owner == "service":
        return (
            *([one, other] for one, other in zip(VOLUMES[:-2], VOLUMES[3:-2], strict=False)),
            *([bad] for bad in VOLUMES[-2:]),
            [{"type": "bind", "source": "./b", "target": "/b"}],
            [{"type": "volume", "source": "r1", "target": "/r"}],
            [{"type": "tmpfs", "target": "/t", "tmpfs": {"size": "1m"}}],
            ["r1:/r", {"type": "bind", "source": "s", "target": "/r"}],
        )
    if key == "environment" and owner in ("config", "secret"):
        return POOLS["environment_of_file"]
    if key == "" and owner in ("configs", "secrets"):
        return RESOURCES[:2] if schema.get("type") == "string" else ()
    if key == "source" and owner not in ("configs", "secrets", "volumes"):
        return ()
    if key == "count":
        return ("all", 1, "2") if owner in ("gpus", "devices") else ()
    if key == "target" and owner == "ports":
        return (80, "81", 82)
    if key == "name" and owner == "ports":
        return ("web",)
    if key == "mode" and owner not in ("configs", "secrets"):
        return (0o1777, "755", 511) if owner == "tmpfs" else ()
    if key == "image" and owner == "volumes":
        return ({"subpath": "a/b"},)
    if key == "devices" and owner == "reservations":
        return ()
    return POOLS.get(key, ())


def _scalar(pick: Pick, kind: str) -> Any:
    if kind == "string":
        return one_of(pick, BAD_TEXTS if seldom(pick) and seldom(pick) else TEXTS)
    if kind == "boolean":
        return one_of(pick, (True, False))
    if kind == "integer":
        return one_of(pick, (0, 1, 2, 100, -1))
    if kind == "number":
        return one_of(pick, (0, 1, 0.5, 10, 1e6, 1.5))
    return None
