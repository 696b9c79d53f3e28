"""What is wrong is refused at its place, by the reference loader too; what costs too much, by us alone."""

from __future__ import annotations

import pytest

from agent.compose import ComposeError, ComposeErrors, MemoryFiles, Project, load_project
from tests.compose.differential import Oracle

SERVICE = "services:\n  a:\n    image: x\n"
POOLS = "services: {a: {image: x}}\nnetworks: {n: {ipam: {config: POOLS}}}\n"


def service(line: str, override: str = "") -> dict[str, bytes]:
    """A project whose fourth line, the first of its service beside the image, is this one."""
    files = {"compose.yaml": f"{SERVICE}    {line}\n".encode()}
    if override:
        files["compose.override.yaml"] = f"services:\n  a:\n    {override}\n".encode()
    return files


def pools(here: str, there: str) -> dict[str, bytes]:
    return {
        name: POOLS.replace("POOLS", text).encode()
        for name, text in (("compose.yaml", here), ("compose.override.yaml", there))
    }


def addresses(second: int, count: int) -> str:
    return f"[{', '.join(f'{{subnet: 10.{second}.{number}.0/24}}' for number in range(count))}]"


def load(files: dict[str, bytes]) -> Project:
    return load_project(MemoryFiles(files), default_name="shop")


def refused(files: dict[str, bytes]) -> ComposeError:
    """The first thing that is wrong."""
    with pytest.raises(ComposeErrors) as caught:
        load(files)
    return caught.value.errors[0]


OVER = "compose.override.yaml:3:"
WRONG = [
    (service('volumes: [""]'), "compose.yaml:4:15: the volume is empty"),
    (service('volumes: ["/a:/b:ro:x"]'), "compose.yaml:4:15: the volume '/a:/b:ro:x' has too many colons"),
    (service('ports: ["80:0"]'), "compose.yaml:4:13: the port '80:0' has the container port 0"),
    (service("ports: 80"), "compose.yaml:4:5: services.a.ports: must be a list, not a whole number"),
    (service("volumes: x"), "compose.yaml:4:5: services.a.volumes: must be a list, not text"),
    (service("devices: x"), "compose.yaml:4:5: services.a.devices: must be a list, not text"),
    (service("build: {context: ., ssh: [key]}"), "compose.yaml:4:31: the ssh key 'key' has no path"),
    (service("build: {context: ., additional_contexts: [x]}"), "compose.yaml:4:47: 'x' is not KEY=VALUE"),
    (service("stop_grace_period: 9999999999999h"), "compose.yaml:4:5: services.a.stop_grace_period: "),
    (service("mem_limit: 1..2m"), "compose.yaml:4:5: services.a.mem_limit: "),
    (service("secrets: [{source: s, mode: 1.5}]"), "compose.yaml:4:27: services.a.secrets.[0].mode: must be"),
    (service('extra_hosts: {"a:b": 1.2.3.4}'), "compose.yaml:4:5: services.a.extra_hosts: 'a:b' is not a h"),
    (service('extra_hosts: ["=1.2.3.4"]'), "compose.yaml:4:5: services.a.extra_hosts: '' is not a host name"),
    (service("oom_score_adj: 5000"), "compose.yaml:4:5: services.a.oom_score_adj: must be at most 1000"),
    (service("cpus: .nan"), "compose.yaml:4:5: services.a.cpus: "),
    (service("scale: x"), "compose.yaml:4:5: services.a.scale: 'x' is not an integer"),
    (service("depends_on: [b]", "depends_on: [3]"), f"{OVER}18: a name is expected here"),
    (service("depends_on: [b]", "depends_on: 3"), f"{OVER}5: a list of names or a mapping is expected here"),
    (service("cap_add: [A]", "cap_add: [{a: b}]"), f"{OVER}15: text is expected here, not map[a:b]"),
    (service("cap_add: [A]", "cap_add: [true]"), f"{OVER}15: text is expected here, not true"),
    (pools("[]", "x"), "compose.override.yaml:2:23: `ipam.config` must be a list"),
    (
        {"compose.yaml": b"include: [i.yaml]\nservices: 3\n", "i.yaml": b"services: {a: {image: x}}\n"},
        "compose.yaml:2:1: services: must be a mapping, not a whole number",
    ),
    (
        {"compose.yaml": b"services:\n  a: {extends: b}\n  b: {extends: {service: c, file: none.yaml}}\n"},
        "compose.yaml:3:7: the file 'none.yaml' does not exist",
    ),
    (
        {"compose.yaml": b"name: ${A\nservices: {a: {image: x}}\n"},
        "compose.yaml:1:1: name: `${A` is not closed",
    ),
    (
        {"compose.yaml": b"name: ${A:?no}\nservices: {a: {image: x}}\n"},
        "compose.yaml:1:1: name: the variable A is required: no",
    ),
]

# The reference loader has no such limits, and takes the first one's size for a negative one.
TOO_MUCH = [
    (service("ports: ['1-65535']"), "compose.yaml:4:5: "),
    (service("mem_limit: 99999999999t"), "compose.yaml:4:5: services.a.mem_limit: "),
    (service("ports: ['1-65535', '1-65535/udp', '1-65535']"), "compose.yaml:4:24: "),
    (
        pools(addresses(0, 101), addresses(1, 101)),
        "compose.override.yaml:2:23: ",
    ),
    (
        service("labels: {a: '%s'}" % ("${A:-" * 40 + "}" * 40)),
        "compose.yaml:4:14: services.a.labels.a: ",
    ),
    (
        service("labels: {a: '%s'}" % ("${A}" * 1100)) | {".env": b"A=" + b"x" * 1000},
        "compose.yaml:4:14: services.a.labels.a: ",
    ),
    (
        service(f"labels: [{', '.join(f'a{number}=${{A}}' for number in range(2000))}]")
        | {".env": b"A=" + b"x" * 9000},
        "compose.yaml:4:",
    ),
    (service("#" + "x" * (1 << 20)), "compose.yaml: "),
    (service("init: true") | {".env": b"A=" + b"x" * (1 << 20)}, ".env: "),
    (
        service("init: true")
        | {".env": b"A=" + b"x" * 1000 + b"".join(b"\nA=%s" % (b"$A" * 10) for _ in range(4))},
        ".env:5: ",
    ),
    (
        service("init: true")
        | {".env": b"A=" + b"x" * 1000000 + b"".join(b"\nB%d=$A" % number for number in range(6))},
        ".env:",
    ),
    ({"compose.yaml": SERVICE.encode() + b"x-a: " + b"[" * 70 + b"]" * 70}, "compose.yaml:4:"),
    (
        {
            "compose.yaml": b"services:\n  a0: {image: x}\n"
            + b"".join(b"  a%d: {extends: a%d}\n" % (n, n + 1) for n in range(1, 60))
            + b"  a60: {extends: a0}\n"
        },
        "compose.yaml:",
    ),
]


@pytest.mark.parametrize(("files", "said"), [*WRONG, *TOO_MUCH])
def test_each_is_refused_at_its_place(files: dict[str, bytes], said: str) -> None:
    """What cannot be read, or would cost too much, must be refused with its place, what is wrong and what to
    do.
    """
    error = refused(files)
    assert str(error).startswith(said), error
    assert error.hint


@pytest.mark.parametrize("files", [files for files, _ in WRONG])
def test_the_reference_loader_refuses_them_too(oracle: Oracle, files: dict[str, bytes]) -> None:
    """What is refused for its meaning must be refused by the reference loader as well."""
    assert "error" in oracle.ask(files, {})


@pytest.mark.parametrize(
    ("here", "there", "build"),
    [
        ("build: .", "build: {args: {A: 1}}", {"context": ".", "args": {"A": "1"}}),
        ("build: {context: ., target: t}", "build: sub", {"context": "./sub", "target": "t"}),
        ("build: {context: ., target: t}", "build:", {"context": ".", "target": "t"}),
        ("build: {context: ., args: [A=1]}", "build: {args: {A: 2}}", {"context": ".", "args": {"A": "2"}}),
    ],
)
def test_short_and_long_builds_are_merged(here: str, there: str, build: dict[str, object]) -> None:
    """A build in its short form must be laid over one in its long form, and the other way round."""
    found = load(service(here, there)).services["a"]["build"]
    assert {key: found[key] for key in build} == build


def test_messages_are_cut() -> None:
    """A value of any length must not make a message that nobody can read."""
    assert len(refused(service(f"extra_hosts: ['{'x' * 3000}']")).message) == 501
