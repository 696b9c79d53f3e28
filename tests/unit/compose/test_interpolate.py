"""Variables in values: what replaces them, what they become, and what is told of them."""

from __future__ import annotations

import pytest

from agent.compose import interpolate
from tests.unit.compose.loading import Files, load, outline, service, told

VALUES = {"A": "a", "B": "b c", "E": ""}


@pytest.mark.parametrize(
    ("text", "result", "missing"),
    [
        ("x", "x", []),
        ("$", "$", []),
        ("$$", "$", []),
        ("$$A", "$A", []),
        ("$A", "a", []),
        ("$A.b", "a.b", []),
        ("${A}", "a", []),
        ("${A}x$B", "axb c", []),
        ("$NO", "", ["NO"]),
        ("${NO}", "", ["NO"]),
        ("$1", "$1", []),
        ("$-", "$-", []),
        ("a$", "a$", []),
        ("${A:-d}", "a", []),
        ("${E:-d}", "d", []),
        ("${E-d}", "", []),
        ("${NO-d}", "d", []),
        ("${NO:-d}", "d", []),
        ("${NO:-$A}", "a", []),
        ("${NO:-${E:-${A}}}", "a", []),
        ("${NO:-}", "", []),
        ("${A:+y}", "y", []),
        ("${E:+y}", "", []),
        ("${E+y}", "y", []),
        ("${NO+y}", "", []),
        ("${NO:+y}", "", []),
        ("${A+$NO}", "", ["NO"]),
        ("${A:?m}", "a", []),
        ("${E?m}", "", []),
        ("${NO:-a}b}", "ab}", []),
        ("${NO:-a{b}c}", "a{b}c", []),
        ("${NO:-a{b}", "a{b", []),
        ("${NO:-{}", "{", []),
        ("${NO:-a}\n${A}", "a\na", []),
        ("${A}\n${NO:-b}\n}", "a\nb\n}", []),
        ("$A\n${NO:-{x}y}", "a\n{x}y", []),
        ("${NO:-x}y}\nz}", "xy}\nz}", []),
        ("${A:-x}${NO:-y}", "ay", []),
        ("${NO:-$$}", "$", []),
        ("${NO:-$$A}", "$A", []),
        ("$_x", "", ["_x"]),
        ("${_x-u}", "u", []),
        ("$é", "$é", []),
        ("${A}}", "a}", []),
        ("{$A}", "{a}", []),
        ('${NO:-"x"}', '"x"', []),
        ("${A:-${}", "a", []),
        ("x${NO:-a} ${NO:-b}", "xa b", []),
        ("$A}", "a}", []),
        ("${NO:-{a}{b}}c}", "{a}{b}c}", []),
    ],
)
def test_variables_are_replaced(text: str, result: str, missing: list[str]) -> None:
    """A variable must be replaced as Compose replaces it, and one that is not set be named."""
    found: list[str] = []
    assert interpolate.substitute(text, VALUES.get, found.append) == result
    assert found == missing


@pytest.mark.parametrize(
    ("text", "kind", "message"),
    [
        ("${E:?m}", "MissingVariable", "the variable E is required: m"),
        ("${E:?}", "MissingVariable", "the variable E is required"),
        ("${NO?need $A}", "MissingVariable", "the variable NO is required: need a"),
        ("${NO:?need ${A}}", "MissingVariable", "the variable NO is required: need a"),
        ("${NO?}", "MissingVariable", "the variable NO is required"),
        ("${}", "InvalidTemplate", "`${` is not followed by a name"),
        ("${", "InvalidTemplate", "`${` is not followed by a name"),
        ("${1}", "InvalidTemplate", "`${` is not followed by a name"),
        ("${A", "InvalidTemplate", "`${A` is not closed, or has an unknown operator"),
        ("${A:", "InvalidTemplate", "`${A` is not closed, or has an unknown operator"),
        ("${A:x}", "InvalidTemplate", "`${A` is not closed, or has an unknown operator"),
        ("${A!x}", "InvalidTemplate", "`${A` is not closed, or has an unknown operator"),
        ("${A:-", "InvalidTemplate", "`${A` is not closed, or has an unknown operator"),
        ("${NO:-a\nb}", "InvalidTemplate", "`${NO` is not closed, or has an unknown operator"),
    ],
)
def test_what_is_no_variable_is_refused(text: str, kind: str, message: str) -> None:
    """A template that is not valid, and a variable that is required, must be refused with the reason."""
    with pytest.raises((interpolate.InvalidTemplate, interpolate.MissingVariable)) as caught:
        interpolate.substitute(text, VALUES.get)
    assert (type(caught.value).__name__, str(caught.value)) == (kind, message)


def test_variables_may_be_nested_up_to_the_limit() -> None:
    """Thirty-three variables in one another must be replaced, and one more be refused."""
    nested = ["${NO:-" * count + "$A" + "}" * count for count in (32, 33)]
    assert interpolate.substitute(nested[0], VALUES.get) == "a"
    with pytest.raises(interpolate.InvalidTemplate) as caught:
        interpolate.substitute(nested[1], VALUES.get)
    assert str(caught.value) == "variables are nested more than 32 levels deep"


def test_a_value_may_grow_up_to_the_limit() -> None:
    """A value of a mebibyte must be made, and a longer one be refused."""
    half = {"A": "x" * (1 << 19)}
    assert len(interpolate.substitute("$A$A", half.get)) == 1 << 20
    for text in ("$A$A${E:-y}", "y$A$A"):
        with pytest.raises(interpolate.InvalidTemplate) as caught:
            interpolate.substitute(text, half.get)
        assert str(caught.value) == "the value grows to more than 1048576 characters"


@pytest.mark.parametrize(
    ("kind", "text", "value"),
    [
        ("boolean", "true", True),
        ("boolean", "TRUE", True),
        ("boolean", "y", True),
        ("boolean", "Yes", True),
        ("boolean", "on", True),
        ("boolean", "false", False),
        ("boolean", "N", False),
        ("boolean", "no", False),
        ("boolean", "OFF", False),
        ("integer", "0", 0),
        ("integer", "-5", -5),
        ("integer", "+5", 5),
        ("integer", "9223372036854775807", 9223372036854775807),
        ("integer", "-9223372036854775808", -9223372036854775808),
        ("number", "1", 1.0),
        ("number", "-1.5", -1.5),
        ("number", "+.5", 0.5),
        ("number", "5.", 5.0),
        ("number", "1e3", 1000.0),
        ("number", "1E-3", 0.001),
    ],
)
def test_text_becomes_what_its_key_needs(kind: str, text: str, value: object) -> None:
    """A text must become the value that its key needs."""
    found = getattr(interpolate, kind)(text)
    assert (type(found), found) == (type(value), value)


@pytest.mark.parametrize(
    ("kind", "text", "message"),
    [
        ("boolean", "", "'' is not a boolean"),
        ("boolean", "maybe", "'maybe' is not a boolean"),
        ("boolean", "1", "'1' is not a boolean"),
        ("integer", "9223372036854775808", "'9223372036854775808' is not an integer"),
        ("integer", "-9223372036854775809", "'-9223372036854775809' is not an integer"),
        ("integer", "", "'' is not an integer"),
        ("integer", "1.5", "'1.5' is not an integer"),
        ("integer", "x", "'x' is not an integer"),
        ("integer", "0x1", "'0x1' is not an integer"),
        ("integer", "9999999999999999999999999999999", "'9999999999999999999999999999999' is not an integer"),
        ("number", "", "'' is not a number"),
        ("number", "x", "'x' is not a number"),
        ("number", ".", "'.' is not a number"),
        ("number", "1e", "'1e' is not a number"),
        ("number", "inf", "'inf' is not a number"),
        ("number", "1_0", "'1_0' is not a number"),
    ],
)
def test_text_that_does_not_fit_its_key_is_refused(kind: str, text: str, message: str) -> None:
    """A text that does not fit its key must be refused with the reason."""
    with pytest.raises(ValueError) as caught:
        getattr(interpolate, kind)(text)
    assert str(caught.value) == message


@pytest.mark.parametrize(
    ("line", "messages"),
    [
        (
            "user: ${",
            (
                "compose.yaml:4:5: services.a.user: `${` is not followed by a name | write $$ for a "
                "dollar sign"
            ),
        ),
        (
            "user: ${A!}",
            (
                "compose.yaml:4:5: services.a.user: `${A` is not closed, or has an unknown operator "
                "| write $$ for a dollar sign"
            ),
        ),
        (
            "user: '${A:?why}'",
            (
                "compose.yaml:4:5: services.a.user: the variable A is required: why | set it in the "
                ".env file beside the Compose file"
            ),
        ),
        (
            "labels: {a: '${'}",
            (
                "compose.yaml:4:14: services.a.labels.a: `${` is not followed by a name | write $$ "
                "for a dollar sign"
            ),
        ),
        (
            "labels: [x, '${A?}']",
            (
                "compose.yaml:4:17: services.a.labels.[1]: the variable A is required | set it in "
                "the .env file beside the Compose file"
            ),
        ),
        (
            "command: [a, [b]]",
            (
                "compose.yaml:4:18: services.a.command.1: must be text, not a list | see the Compose "
                "Specification for the forms of this key"
            ),
        ),
        (
            "tty: maybe",
            (
                "compose.yaml:4:5: services.a.tty: 'maybe' is not a boolean | correct the value, or "
                "the variable it comes from"
            ),
        ),
        (
            "scale: '${A}x'",
            (
                "compose.yaml:4:5: services.a.scale: 'x' is not an integer, after ${A}, which is not set | "
                "set A in the .env file beside the Compose file, or write ${NAME:-default}"
            ),
        ),
        (
            "cpus: x",
            (
                "compose.yaml:4:5: services.a.cpus: 'x' is not a number | correct the value, or the "
                "variable it comes from"
            ),
        ),
        (
            "ulimits: {a: x}",
            (
                "compose.yaml:4:15: services.a.ulimits.a: 'x' is not an integer | correct the value, "
                "or the variable it comes from\n"
                "compose.yaml:4:15: services.a.ulimits.a: must be a whole number or soft and hard, "
                "not x | correct the value"
            ),
        ),
        (
            "init: ${",
            (
                "compose.yaml:4:5: services.a.init: '${' is not a boolean | correct the value, or "
                "the variable it comes from\n"
                "compose.yaml:4:5: services.a.init: `${` is not followed by a name | write $$ for a "
                "dollar sign"
            ),
        ),
        (
            "healthcheck: {retries: x}",
            (
                "compose.yaml:4:19: services.a.healthcheck.retries: 'x' is not an integer | correct "
                "the value, or the variable it comes from\n"
                "compose.yaml:4:19: services.a.healthcheck.retries: must be a number, not 'x' | "
                "correct the value"
            ),
        ),
        (
            "ports: [{target: x}]",
            (
                "compose.yaml:4:14: services.a.ports.[0].target: 'x' is not an integer | correct the "
                "value, or the variable it comes from\n"
                "compose.yaml:4:14: services.a.ports.[0].target: must be a number, not 'x' | correct "
                "the value"
            ),
        ),
        (
            "deploy: {replicas: x, update_config: {max_failure_ratio: y}}",
            (
                "compose.yaml:4:14: services.a.deploy.replicas: 'x' is not an integer | correct the "
                "value, or the variable it comes from\n"
                "compose.yaml:4:43: services.a.deploy.update_config.max_failure_ratio: 'y' is not a "
                "number | correct the value, or the variable it comes from"
            ),
        ),
        (
            "volumes: [{type: volume, target: /t, read_only: x, volume: {nocopy: y}}]",
            (
                "compose.yaml:4:42: services.a.volumes.[0].read_only: 'x' is not a boolean | correct "
                "the value, or the variable it comes from"
            ),
        ),
        (
            "depends_on: {b: {condition: service_started, required: x}}",
            (
                "compose.yaml:4:50: services.a.depends_on.b.required: 'x' is not a boolean | correct "
                "the value, or the variable it comes from\n"
                "compose.yaml:4:50: services.a.depends_on.b.required: must be true or false, not "
                "text | see the Compose Specification for the forms of this key"
            ),
        ),
        (
            "pre_start: [{command: c, privileged: x}]",
            (
                "compose.yaml:4:30: services.a.pre_start.[0].privileged: 'x' is not a boolean | "
                "correct the value, or the variable it comes from"
            ),
        ),
    ],
)
def test_a_variable_or_value_that_does_not_fit_is_told_at_its_place(line: str, messages: str) -> None:
    """What cannot be replaced or converted must be told at its place, with its path and a remedy."""
    assert told(service(line)) == messages


@pytest.mark.parametrize(
    ("files", "messages"),
    [
        (
            (
                "services: {a: {image: x}}\n"
                "networks: {n: {external: x, internal: y, attachable: z, enable_ipv4: v, "
                "enable_ipv6: w}}\n"
            ),
            (
                "compose.yaml:2:16: networks.n.external: 'x' is not a boolean | correct the value, "
                "or the variable it comes from\n"
                "compose.yaml:2:42: networks.n.attachable: 'z' is not a boolean | correct the value, "
                "or the variable it comes from\n"
                "compose.yaml:2:57: networks.n.enable_ipv4: 'v' is not a boolean | correct the "
                "value, or the variable it comes from\n"
                "compose.yaml:2:73: networks.n.enable_ipv6: 'w' is not a boolean | correct the "
                "value, or the variable it comes from"
            ),
        ),
        (
            (
                "services: {a: {image: x}}\n"
                "volumes: {v: {external: x}}\n"
                "secrets: {s: {external: y}}\n"
                "configs: {c: {external: z}}\n"
            ),
            (
                "compose.yaml:2:15: volumes.v.external: 'x' is not a boolean | correct the value, or "
                "the variable it comes from\n"
                "compose.yaml:4:15: configs.c.external: 'z' is not a boolean | correct the value, or "
                "the variable it comes from"
            ),
        ),
    ],
)
def test_a_value_of_a_resource_that_does_not_fit_is_told_at_its_place(files: Files, messages: str) -> None:
    """What cannot be converted in a resource must be told at its place, with its path and a remedy."""
    assert told(files) == messages


@pytest.mark.parametrize(
    ("line", "form", "warnings"),
    [
        ("user: $A", "'a'", []),
        (
            "user: $NO",
            "None",
            ["compose.yaml:4: the variable NO is not set; it is replaced by an empty string"],
        ),
        (
            "labels: {a: '$A', b: '$NO', c: '$$A'}",
            "{a@4:14 'a', b@4:23 '', c@4:33 '$A'}@3:5",
            ["compose.yaml:4: the variable NO is not set; it is replaced by an empty string"],
        ),
        ("labels: ['a=$A', 'b=${NO:-x}']", "{a@4:14 'a', b@4:22 'x'}@3:5", []),
        ("tty: $T", "True", []),
        ("scale: '${N}'", "3", []),
        ("cpus: $F", "1.5", []),
        (
            "ulimits: {a: $N, b: {soft: $N, hard: '7'}}",
            "{a@4:15 3, b@4:22 {hard@4:36 7, soft@4:26 3}@4:25}@4:14",
            [],
        ),
        (
            "healthcheck: {test: x, retries: $N, disable: 'no'}",
            "{retries@4:28 3, test@4:19 ['CMD-SHELL'@4:19, 'x'@4:19]@4:19}@4:18",
            [],
        ),
        (
            "volumes: [{type: volume, target: /t, read_only: $T, volume: {nocopy: $T}}]",
            (
                "[{read_only@4:42 True, target@4:30 '/t', type@4:16 'volume', volume@4:57 "
                "{nocopy@4:66 True}@4:65}@4:15@4:15]@4:14"
            ),
            [],
        ),
        (
            "deploy: {replicas: $N, placement: {max_replicas_per_node: '1'}}",
            "{placement@4:28 {max_replicas_per_node@4:40 1}@4:39, replicas@4:14 3}@4:13",
            [],
        ),
        (
            "stop_signal: ${NO}",
            "None",
            ["compose.yaml:4: the variable NO is not set; it is replaced by an empty string"],
        ),
    ],
)
def test_variables_of_a_project_are_replaced(line: str, form: str, warnings: list[str]) -> None:
    """A value must become what its key needs, and a variable that is not set be named."""
    loaded = load({"compose.yaml": service(line), ".env": "A=a\nT=yes\nN=3\nF=1.5\n"})
    assert outline(loaded.services["a"].get(line.partition(":")[0])) == form
    assert [str(warning) for warning in loaded.warnings] == warnings
