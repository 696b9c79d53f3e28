"""An error that a variable causes names the variable that was not set, or empty, in the value."""

from __future__ import annotations

import pytest

from agent.compose import ComposeErrors, load_project
from agent.compose.files import MemoryFiles

SET_IT = "set V in the .env file beside the Compose file, or write ${NAME:-default}"


def errors(lines: str, env: str = "") -> list[tuple[str, str]]:
    """The messages and hints of a service with these lines, and what follows it."""
    image = "" if "image:" in lines else "    image: x\n"
    text = f"services:\n  a:\n{image}{lines}"
    with pytest.raises(ComposeErrors) as caught:
        load_project(MemoryFiles({"compose.yaml": text.encode(), ".env": env.encode()}), default_name="t")
    return [(error.message, error.hint) for error in caught.value.errors]


@pytest.mark.parametrize(
    "lines",
    [
        'volumes: ["${V}:/data"]',
        'volumes: ["./x:${V}"]',
        'volumes: [{type: "${V}", target: /d}]',
        'cpus: "${V}"',
        "mem_limit: ${V}",
        "shm_size: $V",
        'ports: ["80:${V}"]',
        'ports: [{target: "${V}"}]',
        'networks: ["${V}"]',
        'depends_on: ["${V}"]',
        'depends_on: {a: {condition: "${V}"}}',
        "stop_grace_period: ${V:-}",
        'healthcheck: {test: [CMD, x], interval: "${V-}"}',
        'env_file: ["${V}"]',
        'pull_policy: "${V:+x}"',
        'pid: "service:${V}"',
        'ulimits: {nofile: "${V}"}',
        "init: ${V}",
        'secrets: ["${V}"]',
        'deploy: {replicas: "${V}"}',
        'deploy: {resources: {limits: {memory: "${V}"}}}',
        'image: "${V}"',
    ],
)
def test_an_error_names_the_variable_that_left_nothing(lines: str) -> None:
    """Whatever is wrong with a value in which a variable is not set, the message must name the variable and
    the hint say where it is set.
    """
    for message, hint in errors(f"    {lines}\n"):
        assert message.endswith(", after ${V}, which is not set"), message
        assert hint == SET_IT


@pytest.mark.parametrize(
    "lines",
    [
        'extra_hosts: ["${V}:1.1.1.1"]',
        'extends: {service: "${V}"}',
        'secrets: [s]\nsecrets: {s: {environment: "${V}"}}',
    ],
)
def test_an_error_of_more_than_the_value_names_the_variable_too(lines: str) -> None:
    """An error that is told at what holds the value must name the variable, and keep its own remedy."""
    for message, hint in errors(f"    {lines}\n"):
        assert message.endswith("; in it, ${V} is not set")
        assert hint.startswith(f"{SET_IT}; or ")


def test_a_variable_that_is_empty_is_called_so() -> None:
    """A variable that is set, to nothing, must not be called unset."""
    ((message, _),) = errors('    cpus: "${V}"\n', "V=\n")
    assert message.endswith(", after ${V}, which is empty")


def test_several_variables_are_all_named() -> None:
    """Each variable that left nothing in the value must be named, nested ones too."""
    ((message, hint),) = errors('    cpus: "${A:-${B}}${C}"\n', "C=\n")
    assert "${A}" in message and "${B}" in message and message.endswith("which are not set or empty")
    assert hint.startswith("set ")


def test_the_name_of_a_project() -> None:
    """A project whose name is a variable that is not set must say so."""
    files = MemoryFiles({"compose.yaml": b'name: "${V}"\nservices: {a: {image: x}}\n'})
    with pytest.raises(ComposeErrors, match=r"the project name is empty, after ..V., which is not set"):
        load_project(files, default_name="t")


@pytest.mark.parametrize(
    "lines",
    [
        '    cpus: "x"\n    hostname: "${V}"\n',
        '    {hostname: "${V}", cpus: "x", image: x}\n',
        '    cpus: "${V:-x}"\n',
        '    cpus: "${V-x}"\n',
        '    nonsense: "${V}"\n',
        '    healthcheck: {nonsense: "${V}"}\n',
    ],
)
def test_no_variable_is_blamed_for_another_fault(lines: str) -> None:
    """An error of another value, of a key, or of a default must not name the variable."""
    for message, hint in errors(lines):
        assert "${V}" not in message and "V" not in hint
