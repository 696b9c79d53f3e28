"""Decoders: what becomes of a value, and what is told of one that does not fit."""

from __future__ import annotations

from typing import Any

import pytest

from agent.compose import Place, values
from agent.compose.errors import LoadProblems
from agent.compose.scalars import Timestamp
from agent.compose.tree import List, Map
from tests.unit.compose.loading import load, outline, service, told

AT = values.ValueContext(LoadProblems(), Place("f", 1), ("services", "a", "key"))


@pytest.mark.parametrize(
    ("kind", "value", "decoded"),
    [
        ("as_text", "x", "x"),
        ("as_text", "", ""),
        ("as_text", 1, "1"),
        ("as_text", -2, "-2"),
        ("as_flag", True, True),
        ("as_flag", False, False),
        ("as_flag", "yes", True),
        ("as_flag", "no", False),
        ("as_int", 1, 1),
        ("as_int", 1.9, 1),
        ("as_int", -2, -2),
        ("as_int", "5", 5),
        ("as_count", 0, 0),
        ("as_count", 5, 5),
        ("as_count", 2.5, 2),
        ("as_count", -0.5, 0),
        ("as_float", 1, 1.0),
        ("as_float", 1.5, 1.5),
        ("as_float", "2.5", 2.5),
        ("as_bytes", 5, 5),
        ("as_bytes", "1k", 1024),
        ("as_bytes", True, 0),
        ("as_bytes", None, 0),
        ("as_bytes", 1.5, 0),
        ("as_duration", "1m30s", "1m30s"),
        ("as_duration", "0", "0s"),
        ("as_duration", "0s", "0s"),
        ("as_time", "1m", "1m0s"),
        ("as_time", "0s", ""),
        ("as_time", "0", ""),
        ("as_time", "-1s", "-1s"),
        ("as_texts", "x", ["x"]),
        ("as_texts", 3, ["3"]),
        ("as_texts", List(["x", 1]), ["x", "1"]),
        ("as_shown", "x", ["x"]),
        ("as_shown", None, ["<nil>"]),
        ("as_shown", 1.5, ["1.5"]),
        ("as_shown", List([True, None]), ["true", "<nil>"]),
        ("as_command", "a 'b c'", ["a", "b c"]),
        ("as_command", List(["a", 1]), ["a", "1"]),
        ("as_command", 5, ["5"]),
        ("as_test", "a b", ["CMD-SHELL", "a b"]),
        ("as_test", List(["CMD", "x"]), ["CMD", "x"]),
        ("as_options", Map([("a", 1), ("b", None), ("c", True)]), {"a": "1", "b": "", "c": "true"}),
        (
            "as_hosts",
            Map([("b", "1"), ("a", List(["2", "[::1]"])), ("c", None)]),
            ["a=2", "a=::1", "b=1", "c="],
        ),
        ("as_hosts", List(["h=1", "g:2", "f=[::1],3"]), ["f=3", "f=::1", "g=2", "h=1"]),
        ("as_hosts", List(["h=1=2", "g:1:2"]), ["g=1:2", "h=1=2"]),
        ("as_hosts", "h=1", ["h=1"]),
        ("as_hosts", Map([("a", "[]")]), ["a=[]"]),
        ("as_hosts", Map([("a", "[x")]), ["a=[x"]),
        ("as_hosts", Map([("a", "x]")]), ["a=x]"]),
        ("as_mode", "755", "0755"),
        ("as_mode", "0644", "0644"),
        ("as_mode", "77777777777777777777", "077777777777777777777"),
        ("as_mode", 420, "0644"),
        ("as_mode", 8, "010"),
        ("as_device_count", "all", -1),
        ("as_device_count", "ALL", -1),
        ("as_device_count", 3, 3),
        ("as_device_count", "3", 3),
    ],
)
def test_a_value_is_decoded(kind: str, value: Any, decoded: Any) -> None:
    """A value must become the canonical value of its kind."""
    found = getattr(values, kind)(value, AT)
    assert found == decoded
    assert isinstance(found, bool) == isinstance(decoded, bool)


@pytest.mark.parametrize(
    ("kind", "value", "message"),
    [
        ("as_text", True, "must be text, not true"),
        ("as_text", None, "must be text, not <nil>"),
        ("as_text", 1.5, "must be text, not 1.5"),
        ("as_text", Timestamp("2001"), "must be text, not 2001"),
        ("as_text", List([1]), "must be text, not [1]"),
        ("as_text", Map([("a", 1)]), "must be text, not map[a:1]"),
        ("as_flag", "x", "'x' is not a boolean"),
        ("as_flag", 1, "must be true or false, not 1"),
        ("as_flag", None, "must be true or false, not <nil>"),
        ("as_flag", List(), "must be true or false, not []"),
        ("as_int", "x", "'x' is not an integer"),
        ("as_int", True, "must be a whole number, not true"),
        ("as_int", None, "must be a whole number, not <nil>"),
        ("as_int", List([1, "a"]), "must be a whole number, not [1 a]"),
        ("as_count", -1, "must not be negative, but is -1"),
        ("as_count", "5", "must be a number, not '5'"),
        ("as_count", None, "must be a whole number, not <nil>"),
        ("as_count", True, "must be a whole number, not true"),
        ("as_float", "x", "'x' is not a number"),
        ("as_float", True, "must be a number, not true"),
        ("as_float", None, "must be a number, not <nil>"),
        ("as_float", Map(), "must be a number, not map[]"),
        ("as_duration", 90, "'90' is not a duration"),
        ("as_texts", True, "must be text, not true"),
        ("as_texts", List([None]), "must be text, not <nil>"),
        ("as_command", List([True]), "must be text, not true"),
        ("as_command", "'", "a quote or bracket is not closed"),
        ("as_test", None, "must be text, not <nil>"),
        ("as_options", List(["a=1"]), "must be a mapping"),
        ("as_options", "x", "must be a mapping"),
        ("as_hosts", List(["h"]), "'h' has no address"),
        ("as_hosts", List([":1"]), "'' is not a host name"),
        ("as_hosts", Map([("a=b", "1")]), "'a=b' is not a host name"),
        ("as_mode", "8", "'8' is not an octal mode"),
        ("as_mode", "", "'' is not an octal mode"),
        ("as_mode", "000000000000000000000", "'000000000000000000000' is not an octal mode"),
        ("as_mode", True, "must be an octal mode, not true"),
        ("as_mode", 1.5, "must be an octal mode, not 1.5"),
        ("as_mode", None, "must be an octal mode, not <nil>"),
        ("as_device_count", "x", "'x' is not an integer"),
        ("as_device_count", True, "must be `all` or a number, not true"),
        ("as_device_count", None, "must be `all` or a number, not <nil>"),
        ("as_device_count", 1.5, "must be `all` or a number, not 1.5"),
    ],
)
def test_a_value_that_does_not_fit_is_refused(kind: str, value: Any, message: str) -> None:
    """A value of the wrong type must be refused with what is expected and what it is."""
    with pytest.raises(ValueError) as caught:
        getattr(values, kind)(value, AT)
    assert str(caught.value) == message


@pytest.mark.parametrize(
    ("kind", "of", "value", "message"),
    [
        ("list_of", values.as_is, "x", "must be a list"),
        ("map_of", values.as_is, List(["x"]), "must be a mapping"),
        ("struct_of", {}, "x", "must be a mapping"),
        ("pairs_of", None, "x", "must be a mapping or a list of KEY=VALUE"),
        ("pairs_of", None, List(["A =1"]), "the name 'A ' ends with a space"),
    ],
)
def test_a_collection_of_the_wrong_type_is_refused(kind: str, of: Any, value: Any, message: str) -> None:
    """A list or mapping of the wrong type must be refused with what is expected."""
    with pytest.raises(values.Unfit) as caught:
        getattr(values, kind)(of)(value, AT)
    assert str(caught.value) == message


LISTED = List(["A=1", "B", "A=1", "C =", 5], Place("f", 2), [Place("f", line) for line in (3, 4, 5, 6, 7)])


@pytest.mark.parametrize(
    ("kind", "of", "value", "form"),
    [
        (
            "distinct",
            values.as_texts,
            LISTED,
            "['A=1'@f:3:0, 'B'@f:4:0, 'C ='@f:6:0, '5'@f:7:0]@f:1:0",
        ),
        ("pairs_of", "", LISTED, "{A@f:5:0 '1', B@f:4:0 '', C @f:6:0 '', 5@f:7:0 ''}@f:1:0"),
        ("pairs_of", None, List(["B", "A=1=2"], AT.place), "{B@f:1:0 None, A@f:1:0 '1=2'}@f:1:0"),
        ("pairs_of", None, Map([("A", None), ("B", 1)]), "{A@:0:0 None, B@:0:0 '1'}@f:1:0"),
        ("pairs_of", "-", Map([("A", None), ("B", True)]), "{A@:0:0 '-', B@:0:0 'true'}@f:1:0"),
        (
            "list_of",
            values.as_text,
            LISTED,
            "['A=1'@f:3:0, 'B'@f:4:0, 'A=1'@f:5:0, 'C ='@f:6:0, '5'@f:7:0]@f:2:0",
        ),
        (
            "map_of",
            values.as_int,
            Map([("A", None), ("B", "1")], AT.place),
            "{A@f:1:0 None, B@f:1:0 1}@f:1:0",
        ),
    ],
)
def test_a_collection_is_decoded_with_its_places(kind: str, of: Any, value: Any, form: str) -> None:
    """Each item of a list or mapping must be decoded, and keep its place."""
    assert outline(getattr(values, kind)(of)(value, AT)) == form


def test_each_bad_entry_is_told_and_left_out() -> None:
    """Every entry that does not fit must be told at its own place and path, and the others be kept."""
    problems, at = LoadProblems(), Place("f", 1, 1)
    value = Map(at=at)
    value.put("list", List(["1", "x", "2"], at, [Place("f", line) for line in (2, 3, 4)]), Place("f", 2))
    value.put("map", Map([("a", "x"), ("b", None)], Place("f", 5)), Place("f", 5))
    value.put("zero", "0", Place("f", 6))
    value.put("kept", "0", Place("f", 7))
    value.put("x-own", Map(), Place("f", 8))
    value.put("null", None, Place("f", 9))
    value.put("other", None, Place("f", 10))
    kind = values.struct_of(
        {
            "list": values.Field(values.list_of(values.as_int)),
            "map": values.Field(values.map_of(values.as_int)),
            "zero": values.Field(values.as_int),
            "kept": values.Field(values.as_int, True),
            "null": values.Field(values.as_int, null=True),
            "other": values.Field(values.as_int),
        }
    )
    found = values.decode(kind, value, at, ("services", "a"), problems)
    assert outline(found) == (
        "{kept@f:7:0 0, list@f:2:0 [1@f:2:0, 2@f:4:0]@f:1:1, map@f:5:0 {b@f:5:0 None}@f:5:0, "
        "null@f:9:0 None, x-own@f:8:0 {}@:0:0}@f:1:1"
    )
    assert [f"{error} | {error.hint}" for error in problems.errors] == [
        "f:3: services.a.list.[1]: 'x' is not an integer | correct the value",
        "f:5: services.a.map.a: 'x' is not an integer | correct the value",
    ]
    assert problems.broken == {"services.a"}
    assert values.decode(kind, "x", Place("f", 3), ("services", "b"), problems) is None
    assert str(problems.errors[-1]) == "f:3: services.b: must be a mapping"


@pytest.mark.parametrize(
    ("line", "form"),
    [
        ("privileged: yes", "True"),
        ("tty: 'on'", "True"),
        ("cpus: 1.5", "1.5"),
        ("cpus: '0.5'", "0.5"),
        ("mem_limit: 1g", "1073741824"),
        ("mem_limit: 5", "5"),
        ("init: 'no'", "False"),
        ("command: a 'b c'", "['a'@4:5, 'b c'@4:5]@4:5"),
        ("command: [a, b]", "['a'@4:15, 'b'@4:18]@4:14"),
        ("entrypoint: ''", "[]@4:5"),
        ("dns: 1.1.1.1", "['1.1.1.1'@4:5]@4:5"),
        ("dns: [1.1.1.1, '', 8.8.8.8]", "['1.1.1.1'@4:11, '8.8.8.8'@4:24]@4:10"),
        ("labels: [a=1, b, c=]", "{a@4:14 '1', b@4:19 '', c@4:22 ''}@3:5"),
        ("labels: {a: 1, b: , c: true, d: 1.50}", "{a@4:14 '1', b@4:20 '', c@4:25 'true', d@4:34 '1.5'}@3:5"),
        ("environment: [A=1, B, C=]", "{A@4:19 '1', C@4:27 '', B@4:24 None}@4:5"),
        ("environment: {A: 1, B: , C: true}", "{A@4:19 '1', C@4:30 'true', B@4:25 None}@4:5"),
        ("extra_hosts: [b=1, 'a:2']", "['a=2'@4:5, 'b=1'@4:5]@4:5"),
        ("extra_hosts: {b: 1.1.1.1, a: [2.2.2.2]}", "['a=2.2.2.2'@4:5, 'b=1.1.1.1'@4:5]@4:5"),
        ("sysctls: [a=1]", "{a@4:15 '1'}@4:5"),
        ("expose: [80, '81-82']", "['80'@4:14, '81-82'@4:18]@4:13"),
        (
            "healthcheck: {test: x, interval: 90s, timeout: '0', retries: 3}",
            (
                "{interval@4:28 '1m30s', retries@4:57 3, test@4:19 ['CMD-SHELL'@4:19, "
                "'x'@4:19]@4:19, timeout@4:43 '0s'}@4:18"
            ),
        ),
        ("healthcheck: {test: [CMD, x], disable: false}", "{test@4:19 ['CMD'@4:26, 'x'@4:31]@4:25}@4:18"),
        (
            "ulimits: {a: 5, b: {soft: 1, hard: '2'}}",
            "{a@4:15 5, b@4:21 {hard@4:34 2, soft@4:25 1}@4:24}@4:14",
        ),
        (
            "logging: {driver: x, options: {a: 1, b: }}",
            "{driver@4:15 'x', options@4:26 {a@4:36 '1', b@4:42 ''}@4:26}@4:14",
        ),
        (
            "deploy: {replicas: '2', resources: {limits: {cpus: '1', memory: 5m}}, labels: [a=1]}",
            (
                "{labels@4:75 {a@4:84 '1'}@4:75, replicas@4:14 2, resources@4:29 {limits@4:41 "
                "{cpus@4:50 1.0, memory@4:61 5242880}@4:49}@4:40}@4:13"
            ),
        ),
        ("storage_opt: {size: 1G}", "{size@4:19 '1G'}@4:18"),
        ("gpus: all", "[{count@4:5 -1}@4:5@4:5]@4:5"),
        (
            "gpus: [{count: '2', capabilities: [a]}]",
            "[{capabilities@4:25 ['a'@4:40]@4:39, count@4:13 2}@4:12@4:12]@4:11",
        ),
        (
            (
                "blkio_config: {weight: 5, device_read_bps: [{path: p, rate: 1k}], weight_device: "
                "[{path: p, weight: 0}]}"
            ),
            (
                "{device_read_bps@4:31 [{path@4:50 'p', rate@4:59 1024}@4:49@4:49]@4:48, weight@4:20 "
                "5, weight_device@4:71 [{path@4:88 'p', weight@4:97 0}@4:87@4:87]@4:86}@4:19"
            ),
        ),
        ("stop_grace_period: 90s", "'1m30s'"),
        (
            "provider: {type: t, options: {a: [1, x], b: y, c: []}}",
            (
                "{options@4:25 {a@4:35 ['1'@4:39, 'x'@4:42]@4:38, b@4:46 ['y'@4:46]@4:46}@4:34, "
                "type@4:16 't'}@4:15"
            ),
        ),
        (
            "post_start: [{command: a b, environment: [A=1]}]",
            ("[{command@4:19 ['a'@4:19, 'b'@4:19]@4:19, environment@4:33 {A@4:47 '1'}@4:33}@4:18@4:18]@4:17"),
        ),
        (
            "pre_start: [{command: , user: '', privileged: false}]",
            ("[{command@4:18 None, image@3:5 'x', privileged@4:39 False, user@4:29 ''}@4:17@4:17]@4:16"),
        ),
        ("x-mine: {a: [1, null]}", "{a@4:14 [1@4:18, None@4:21]@4:17}@4:13"),
        ("configs: [{source: s, mode: '440'}]", "[{mode@4:27 '0440', source@4:16 's'}@4:15@4:15]@4:14"),
        (
            "secrets: [{source: s, mode: 0440, uid: '1'}]",
            (
                "[{mode@4:27 '0440', source@4:16 's', target@4:15 '/run/secrets/s', uid@4:39 "
                "'1'}@4:15@4:15]@4:14"
            ),
        ),
        ("oom_score_adj: '-5'", "-5"),
        ("tmpfs: /t", "['/t'@4:5]@4:5"),
        (
            "build: {context: ., ulimits: {n: 5}, extra_hosts: [a=1], shm_size: 1m}",
            (
                "{context@4:13 '.', dockerfile@4:12 'Dockerfile', extra_hosts@4:42 "
                "['a=1'@4:42]@4:42, shm_size@4:62 1048576, ulimits@4:25 {n@4:35 5}@4:34}@4:12"
            ),
        ),
        ("annotations: {a: b}", "{a@4:19 'b'}@4:5"),
        (
            "ports: [{target: 80, published: 8080}, {target: 80, published: 8080}]",
            (
                "[{mode@4:44 'ingress', protocol@4:44 'tcp', published@4:57 '8080', target@4:45 "
                "80}@4:44@4:44]@4:5"
            ),
        ),
        (
            "develop: {watch: [{path: p, action: sync, target: /t, ignore: x}]}",
            (
                "{watch@4:15 [{action@4:33 'sync', ignore@4:59 ['x'@4:59]@4:59, path@4:24 './p', "
                "target@4:47 '/t'}@4:23@4:23]@4:22}@4:14"
            ),
        ),
        ("pids_limit: '5'", "5"),
        ("group_add: [a, 1]", "['a'@4:17, '1'@4:20]@4:5"),
        (
            "deploy: {update_config: {parallelism: 0, delay: 0s}}",
            "{update_config@4:14 {parallelism@4:30 0}@4:29}@4:13",
        ),
    ],
)
def test_a_key_has_its_canonical_form_and_places(line: str, form: str) -> None:
    """A key must come out in its canonical form, and every entry of it at the place where it is written."""
    shared = "secrets: {s: {file: f}}\nconfigs: {s: {file: f}}\n"
    assert outline(load(service(line) + shared).services["a"].get(line.partition(":")[0])) == form


@pytest.mark.parametrize(
    ("line", "messages"),
    [
        (
            "extra_hosts: [h]",
            "compose.yaml:4:5: services.a.extra_hosts: 'h' has no address | correct the value",
        ),
        (
            "extra_hosts: [':1']",
            "compose.yaml:4:5: services.a.extra_hosts: '' is not a host name | correct the value",
        ),
        (
            "extra_hosts: {'a=b': 1}",
            (
                "compose.yaml:4:19: services.a.extra_hosts.a=b: must be text or a list, not a whole "
                "number | put it in quotes"
            ),
        ),
        (
            "environment: ['A =1']",
            ("compose.yaml:4:5: services.a.environment: the name 'A ' ends with a space | correct the value"),
        ),
        (
            "mem_limit: 1x",
            (
                "compose.yaml:4:5: services.a.mem_limit: '1x' is not a size: unknown unit 'x' | "
                "correct the value"
            ),
        ),
        (
            "stop_grace_period: 5",
            (
                "compose.yaml:4:5: services.a.stop_grace_period: must be text, not a whole number | "
                "put it in quotes"
            ),
        ),
        (
            "stop_grace_period: 5y",
            (
                "compose.yaml:4:5: services.a.stop_grace_period: '5y' is not a duration: unknown "
                "unit 'y' | correct the value"
            ),
        ),
        (
            "healthcheck: {test: x, interval: 1y}",
            (
                "compose.yaml:4:28: services.a.healthcheck.interval: '1y' is not a duration: unknown "
                "unit 'y' | correct the value"
            ),
        ),
        (
            "secrets: [{source: s, mode: '9'}]",
            ("compose.yaml:4:27: services.a.secrets.[0].mode: '9' is not an octal mode | correct the value"),
        ),
        (
            'command: "a \'b"',
            ("compose.yaml:4:5: services.a.command: a quote or bracket is not closed | correct the value"),
        ),
        (
            "ulimits: {a: {soft: x, hard: 1}}",
            (
                "compose.yaml:4:19: services.a.ulimits.a.soft: 'x' is not an integer | correct the "
                "value, or the variable it comes from"
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
            "gpus: [{count: x, capabilities: [a]}]",
            ("compose.yaml:4:13: services.a.gpus.[0].count: 'x' is not an integer | correct the value"),
        ),
        (
            "deploy: {update_config: {delay: x}}",
            (
                "compose.yaml:4:30: services.a.deploy.update_config.delay: 'x' is not a duration | "
                "correct the value"
            ),
        ),
        (
            "blkio_config: {device_read_bps: [{path: p, rate: 1x}]}",
            (
                "compose.yaml:4:48: services.a.blkio_config.device_read_bps.[0].rate: '1x' is not a "
                "size: unknown unit 'x' | correct the value"
            ),
        ),
        (
            "user: 2001-01-01",
            (
                "compose.yaml:4:5: services.a.user: must be text, not 2001-01-01 00:00:00 +0000 UTC "
                "| correct the value"
            ),
        ),
        (
            "hostname: 2001-01-01",
            (
                "compose.yaml:4:5: services.a.hostname: must be text, not 2001-01-01 00:00:00 +0000 "
                "UTC | correct the value"
            ),
        ),
        (
            "ulimits: {a: 1.0}",
            (
                "compose.yaml:4:15: services.a.ulimits.a: must be a whole number or soft and hard, "
                "not 1 | correct the value"
            ),
        ),
        (
            "healthcheck: {retries: -1, test: x}",
            (
                "compose.yaml:4:19: services.a.healthcheck.retries: must not be negative, but is -1 "
                "| correct the value"
            ),
        ),
    ],
)
def test_a_key_with_a_bad_value_is_told(line: str, messages: str) -> None:
    """A bad value must be told at its place, with its path and a remedy."""
    assert told(service(line)) == messages
