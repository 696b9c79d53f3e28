"""Small projects that would cost a careless loader minutes or gigabytes; run in a process with limits."""

from __future__ import annotations

import resource

from agent.compose import ComposeErrors, MemoryFiles, canonical, load_project

CPU_SECONDS = 60
MEMORY = 512 << 20
SERVICE = b"services: {a: {image: x}}\n"


def many(template: str, count: int, separator: str = "") -> bytes:
    """The template for each number: `{i}` is it, `{j}` the next, `{h}` the one before."""
    return separator.join(
        template.replace("{i}", str(i)).replace("{j}", str(i + 1)).replace("{h}", str(i - 1))
        for i in range(count)
    ).encode()


def service(keys: bytes) -> bytes:
    return b"services: {a: {image: x, " + keys + b"}}\n"


def compose(text: bytes, **others: bytes) -> dict[str, bytes]:
    return {"compose.yaml": text} | {name.replace("_", "."): data for name, data in others.items()}


REFUSED: dict[str, dict[str, bytes]] = {
    "aliases": compose(
        b"x0: &a0 [l]\n"
        + many("x{j}: &a{j} [*a{i},*a{i},*a{i},*a{i},*a{i},*a{i},*a{i},*a{i}]\n", 9)
        + SERVICE
    ),
    "merge keys": compose(
        b"x0: &a0 {k: 1}\n" + many("x{j}: &a{j} {<<: [*a{i}, *a{i}], k{i}: 1}\n", 24) + SERVICE
    ),
    "brackets": compose(b"x-a: " + b"[" * 5000),
    "dashes": compose(b"x-a:\n  " + b"- " * 200_000),
    "braces": compose(b"x-a: " + b"{a: " * 100_000),
    "port ranges": compose(b"services:\n" + many('  s{i}: {image: x, ports: ["1-65535"]}\n', 20_000)),
    "unclosed variables": compose(service(b'command: "' + b"${a-" * 200_000 + b'"')),
    "nested variables": compose(service(b'command: "' + b"${a-" * 100_000 + b"}" * 100_000 + b'"')),
    "variables that double": compose(SERVICE, _env=b"A0=xxxxxxxxxx\n" + many("A{j}=$A{i}$A{i}\n", 60)),
    "a variable used often": compose(
        service(b"environment: [" + many('"a{i}=$A"', 20_000, ",") + b"]"), _env=b"A=" + b"x" * 900_000
    ),
    "a variable in one value": compose(
        service(b'command: "' + b"$A" * 100_000 + b'"'), _env=b"A=" + b"x" * 900_000
    ),
    "a long chain of extends": compose(
        b"services:\n  s0: {extends: s1}\n"
        + many("  s{j}: {extends: s{j}0}\n", 1)
        + many("  s1{i}: {extends: s1{j}}\n", 3000)
    ),
    "extends of much": compose(
        b"services:\n  s0: {image: x, environment: ["
        + many("a{i}", 20_000, ",")
        + b"]}\n"
        + many("  t{i}: {extends: s0}\n", 5000)
    ),
    "includes that double": compose(b"include: [f0.yaml]")
    | {
        f"f{i}.yaml": f"include: [f{i + 1}.yaml, f{i + 1}.yaml]\nservices: {{s{i}: {{image: x}}}}".encode()
        for i in range(18)
    }
    | {"f18.yaml": SERVICE},
    "an include of itself": compose(b"include: [{path: [b.yaml, compose.yaml]}]\n" + SERVICE, b_yaml=SERVICE),
    "a large env file used often": compose(
        b"services:\n" + many("  s{i}: {image: x, env_file: e.env}\n", 5000),
        e_env=b"A=xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx\n" * 25_000,
    ),
    "many errors": compose(b"services:\n" + many("  s{i}: {imag: x}\n", 20_000)),
    "many unknown keys": compose(b"services:\n  a:\n    image: x\n" + many("    imag{i}: 1\n", 30_000)),
    "many documents": compose(b"--- {services: {a: {image: x}}}\n" * 20_000),
    "address pools": compose(
        SERVICE + b"networks: {n: {ipam: {config: [" + many("{subnet: a{i}}", 5000, ",") + b"]}}}",
        compose_override_yaml=b"networks: {n: {ipam: {config: ["
        + many("{subnet: b{i}}", 5000, ",")
        + b"]}}}",
    ),
    "a circle of thousands": compose(
        b"services:\n"
        + many("  s{i}: {image: x, depends_on: [s{j}]}\n", 9000)
        + b"  s9000: {image: x, depends_on: [s0]}"
    ),
    "an open quote": compose(SERVICE, _env=b'A="' + b"\\" * 500_000),
    "a large file": compose(b"#" * (1 << 21) + SERVICE),
    "long numbers": compose(
        service(b'mem_limit: "' + b"9" * 5000 + b'", scale: "' + b"9" * 5000 + b'", shm_size: 1' + b"0" * 400)
    ),
}
LOADED: dict[str, dict[str, bytes]] = {
    "a long image": compose(b'services: {a: {image: "' + b"a-" * 300_000 + b'!"}}'),
    "a long command": compose(service(b'command: "' + b"a " * 200_000 + b'"')),
    "many variables": compose(service(b'command: "' + b"${a-x}" * 100_000 + b'"')),
    "many mounts": compose(service(b"volumes: [" + many("/a{i}", 20_000, ",") + b"]")),
    "long lists": compose(
        service(b"security_opt: [" + many("a{i}", 20_000, ",") + b"]"),
        compose_override_yaml=b"services: {a: {security_opt: [" + many("b{i}", 20_000, ",") + b"]}}",
    ),
}


def run() -> None:
    """Loads all of them; raises when one ends otherwise than it should."""
    resource.setrlimit(resource.RLIMIT_CPU, (CPU_SECONDS, CPU_SECONDS))
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    for name, files in LOADED.items():
        canonical(load_project(MemoryFiles(files), default_name="x"))
        print(f"loaded: {name}", flush=True)
    for name, files in REFUSED.items():
        try:
            load_project(MemoryFiles(files), default_name="x")
        except ComposeErrors as errors:
            print(f"refused: {name}: {str(errors.errors[0])[:120]}", flush=True)
            assert all(error.file and error.hint for error in errors.errors), name
        else:
            raise AssertionError(f"{name} was loaded")
