"""Short forms: what they mean, where their parts stand, and what is told of a bad one."""

from __future__ import annotations

import pytest

from agent.compose import shortforms
from agent.compose.document import parse_yaml
from agent.compose.errors import LoadProblems
from agent.compose.limits import Budget, OverBudget
from tests.unit.compose.loading import Files, load, outline, service, told


@pytest.mark.parametrize(
    ("files", "messages"),
    [
        (
            ("services: {a: {image: x}}\nvolumes: {v: {name: m, external: {name: n}}}\n"),
            ("compose.yaml:2:24: `name` and `external.name` differ | keep only `name` and `external: true`"),
        ),
    ],
)
def test_a_mistake_is_told_with_its_place_and_remedy(files: Files, messages: str) -> None:
    """A mistake must be told at its place, with what is wrong and what to do."""
    assert told(files) == messages


@pytest.mark.parametrize(
    ("line", "messages"),
    [
        (
            "volumes: ['']",
            (
                "compose.yaml:4:15: the volume is empty | write it as SOURCE:TARGET[:OPTIONS], or "
                "use the long form"
            ),
        ),
        (
            "volumes: ['aa::b']",
            (
                "compose.yaml:4:15: the volume 'aa::b' has an empty section between colons | write "
                "it as SOURCE:TARGET[:OPTIONS], or use the long form"
            ),
        ),
        (
            "volumes: ['/a:/b:ro:x']",
            (
                "compose.yaml:4:15: the volume '/a:/b:ro:x' has too many colons | write it as "
                "SOURCE:TARGET[:OPTIONS], or use the long form"
            ),
        ),
        (
            "volumes: ['aa:bb:cc:dd']",
            (
                "compose.yaml:4:15: the volume 'aa:bb:cc:dd' has too many colons | write it as "
                "SOURCE:TARGET[:OPTIONS], or use the long form"
            ),
        ),
        (
            "ports: ['80:0']",
            (
                "compose.yaml:4:13: the port '80:0' has the container port 0 | write it as "
                "[[IP:]HOST:]CONTAINER[/PROTOCOL], ports from 1 to 65535, an IPv6 address in brackets"
            ),
        ),
        (
            "ports: ['x']",
            (
                "compose.yaml:4:13: the port 'x' has a bad container port 'x' | write it as "
                "[[IP:]HOST:]CONTAINER[/PROTOCOL], ports from 1 to 65535, an IPv6 address in brackets"
            ),
        ),
        (
            "ports: ['80:x']",
            (
                "compose.yaml:4:13: the port '80:x' has a bad container port 'x' | write it as "
                "[[IP:]HOST:]CONTAINER[/PROTOCOL], ports from 1 to 65535, an IPv6 address in brackets"
            ),
        ),
        (
            "ports: ['x:80']",
            (
                "compose.yaml:4:13: the port 'x:80' has a bad host port 'x' | write it as "
                "[[IP:]HOST:]CONTAINER[/PROTOCOL], ports from 1 to 65535, an IPv6 address in brackets"
            ),
        ),
        (
            "ports: ['1.2.3:80:80']",
            (
                "compose.yaml:4:13: the port '1.2.3:80:80' has a bad address '1.2.3' | write it as "
                "[[IP:]HOST:]CONTAINER[/PROTOCOL], ports from 1 to 65535, an IPv6 address in brackets"
            ),
        ),
        (
            "ports: ['::1:80:80']",
            (
                "compose.yaml:4:13: the port '::1:80:80' has a bad address '::1' | write it as "
                "[[IP:]HOST:]CONTAINER[/PROTOCOL], ports from 1 to 65535, an IPv6 address in brackets"
            ),
        ),
        (
            "ports: ['[fe80::1%eth0]:80:80']",
            (
                "compose.yaml:4:13: the port '[fe80::1%eth0]:80:80' has a bad address "
                "'[fe80::1%eth0]' | write it as [[IP:]HOST:]CONTAINER[/PROTOCOL], ports from 1 to "
                "65535, an IPv6 address in brackets"
            ),
        ),
        (
            "ports: ['5-3']",
            (
                "compose.yaml:4:13: the port '5-3' has a bad container port '5-3' | write it as "
                "[[IP:]HOST:]CONTAINER[/PROTOCOL], ports from 1 to 65535, an IPv6 address in brackets"
            ),
        ),
        (
            "ports: ['65536']",
            (
                "compose.yaml:4:13: the port '65536' has a bad container port '65536' | write it as "
                "[[IP:]HOST:]CONTAINER[/PROTOCOL], ports from 1 to 65535, an IPv6 address in brackets"
            ),
        ),
        (
            "ports: ['1-65536']",
            (
                "compose.yaml:4:13: the port '1-65536' has a bad container port '1-65536' | write it "
                "as [[IP:]HOST:]CONTAINER[/PROTOCOL], ports from 1 to 65535, an IPv6 address in "
                "brackets"
            ),
        ),
        (
            "ports: ['80:1-2']",
            ("compose.yaml:4:13: the ranges of '80:1-2' differ in length | give both ranges the same length"),
        ),
        (
            "ports: ['1-3:1-2']",
            (
                "compose.yaml:4:13: the ranges of '1-3:1-2' differ in length | give both ranges the "
                "same length"
            ),
        ),
        (
            "ports: ['80/icmp']",
            ("compose.yaml:4:13: the port '80/icmp' has an unknown protocol 'icmp' | use tcp, udp or sctp"),
        ),
        (
            "ports: ['']",
            (
                "compose.yaml:4:13: the port '' has a bad container port '' | write it as "
                "[[IP:]HOST:]CONTAINER[/PROTOCOL], ports from 1 to 65535, an IPv6 address in brackets"
            ),
        ),
        (
            "ports: [80.5]",
            "compose.yaml:4:13: 80.5 is not a port | write it as text or as a mapping with `target`",
        ),
        (
            "ports: ['1-']",
            (
                "compose.yaml:4:13: the port '1-' has a bad container port '1-' | write it as "
                "[[IP:]HOST:]CONTAINER[/PROTOCOL], ports from 1 to 65535, an IPv6 address in brackets"
            ),
        ),
        (
            "ports: ['123456789012345678901']",
            (
                "compose.yaml:4:13: the port '123456789012345678901' has a bad container port "
                "'123456789012345678901' | write it as [[IP:]HOST:]CONTAINER[/PROTOCOL], ports from "
                "1 to 65535, an IPv6 address in brackets"
            ),
        ),
        (
            "ports: [80, '0-5', 'x']",
            (
                "compose.yaml:4:17: the port '0-5' has the container port 0 | write it as "
                "[[IP:]HOST:]CONTAINER[/PROTOCOL], ports from 1 to 65535, an IPv6 address in brackets"
            ),
        ),
        (
            "devices: ['/a:/b:r:x']",
            (
                "compose.yaml:4:15: the device '/a:/b:r:x' has too many colons | use the long form: "
                "source, target, permissions"
            ),
        ),
        (
            "build: {context: ., additional_contexts: [k]}",
            "compose.yaml:4:47: 'k' is not KEY=VALUE | write it as KEY=VALUE",
        ),
        (
            "build: {context: ., ssh: [k]}",
            "compose.yaml:4:31: the ssh key 'k' has no path | write it as ID=PATH",
        ),
        (
            "volumes: ['/a:/b', '', 'x:']",
            (
                "compose.yaml:4:24: the volume is empty | write it as SOURCE:TARGET[:OPTIONS], or "
                "use the long form"
            ),
        ),
        (
            "ports: ['[x]:1:2']",
            (
                "compose.yaml:4:13: the port '[x]:1:2' has a bad address '[x]' | write it as "
                "[[IP:]HOST:]CONTAINER[/PROTOCOL], ports from 1 to 65535, an IPv6 address in brackets"
            ),
        ),
        (
            "ports: ['-1:80']",
            (
                "compose.yaml:4:13: the port '-1:80' has a bad host port '-1' | write it as "
                "[[IP:]HOST:]CONTAINER[/PROTOCOL], ports from 1 to 65535, an IPv6 address in brackets"
            ),
        ),
    ],
)
def test_a_mistake_in_a_service_is_told_with_its_place_and_remedy(line: str, messages: str) -> None:
    """A mistake of a service must be told at its place, with what is wrong and what to do."""
    assert told(service(line)) == messages


SHARED = """\
  b: {image: y}
volumes: {vol: , d: }
networks: {n: }
secrets: {s: {file: f}}
configs: {s: {file: f}}
models: {m: {model: x}}
"""


@pytest.mark.parametrize(
    ("line", "form"),
    [
        ("volumes: ['/d']", "[{target@4:15 '/d', type@4:15 'volume'}@4:15@4:15]@4:14"),
        ("volumes: [d]", "[{target@4:15 'd', type@4:15 'volume'}@4:15@4:15]@4:14"),
        ("volumes: ['/']", "[{target@4:15 '/', type@4:15 'volume'}@4:15@4:15]@4:14"),
        ("volumes: ['.']", "[{target@4:15 '.', type@4:15 'volume'}@4:15@4:15]@4:14"),
        (
            "volumes: [./h:/t]",
            (
                "[{bind@4:15 {create_host_path@4:15 True}@4:15, source@4:15 './h', target@4:15 '/t', "
                "type@4:15 'bind'}@4:15@4:15]@4:14"
            ),
        ),
        (
            "volumes: ['/h:/t:ro']",
            (
                "[{bind@4:15 {create_host_path@4:15 True}@4:15, read_only@4:15 True, source@4:15 "
                "'/h', target@4:15 '/t', type@4:15 'bind'}@4:15@4:15]@4:14"
            ),
        ),
        (
            "volumes: ['/h:/t:rw']",
            (
                "[{bind@4:15 {create_host_path@4:15 True}@4:15, source@4:15 '/h', target@4:15 '/t', "
                "type@4:15 'bind'}@4:15@4:15]@4:14"
            ),
        ),
        (
            "volumes: ['/h:/t:ro,rw']",
            (
                "[{bind@4:15 {create_host_path@4:15 True}@4:15, source@4:15 '/h', target@4:15 '/t', "
                "type@4:15 'bind'}@4:15@4:15]@4:14"
            ),
        ),
        (
            "volumes: ['/h:/t:rw,ro']",
            (
                "[{bind@4:15 {create_host_path@4:15 True}@4:15, read_only@4:15 True, source@4:15 "
                "'/h', target@4:15 '/t', type@4:15 'bind'}@4:15@4:15]@4:14"
            ),
        ),
        (
            "volumes: ['vol:/t']",
            (
                "[{source@4:15 'vol', target@4:15 '/t', type@4:15 'volume', volume@4:15 "
                "{}@4:15}@4:15@4:15]@4:14"
            ),
        ),
        (
            "volumes: ['vol:/t:nocopy']",
            (
                "[{source@4:15 'vol', target@4:15 '/t', type@4:15 'volume', volume@4:15 {nocopy@4:15 "
                "True}@4:15}@4:15@4:15]@4:14"
            ),
        ),
        (
            "volumes: ['vol:/t:ro,nocopy']",
            (
                "[{read_only@4:15 True, source@4:15 'vol', target@4:15 '/t', type@4:15 'volume', "
                "volume@4:15 {nocopy@4:15 True}@4:15}@4:15@4:15]@4:14"
            ),
        ),
        (
            "volumes: ['vol:/t:z']",
            (
                "[{bind@4:15 {create_host_path@4:15 True, selinux@4:15 'z'}@4:15, source@4:15 'vol', "
                "target@4:15 '/t', type@4:15 'volume', volume@4:15 {}@4:15}@4:15@4:15]@4:14"
            ),
        ),
        (
            "volumes: ['vol:/t:rslave']",
            (
                "[{bind@4:15 {create_host_path@4:15 True, propagation@4:15 'rslave'}@4:15, "
                "source@4:15 'vol', target@4:15 '/t', type@4:15 'volume', volume@4:15 "
                "{}@4:15}@4:15@4:15]@4:14"
            ),
        ),
        (
            "volumes: ['/h:/t:Z,rslave']",
            (
                "[{bind@4:15 {create_host_path@4:15 True, propagation@4:15 'rslave', selinux@4:15 "
                "'Z'}@4:15, source@4:15 '/h', target@4:15 '/t', type@4:15 'bind'}@4:15@4:15]@4:14"
            ),
        ),
        (
            "volumes: ['/h:/t:nocopy']",
            (
                "[{bind@4:15 {create_host_path@4:15 True}@4:15, source@4:15 '/h', target@4:15 '/t', "
                "type@4:15 'bind', volume@4:15 {nocopy@4:15 True}@4:15}@4:15@4:15]@4:14"
            ),
        ),
        (
            "volumes: ['~/h:/t//x/']",
            (
                "[{bind@4:15 {create_host_path@4:15 True}@4:15, source@4:15 '~/h', target@4:15 "
                "'/t/x', type@4:15 'bind'}@4:15@4:15]@4:14"
            ),
        ),
        (
            "volumes: ['C:\\h:/t']",
            (
                "[{bind@4:15 {create_host_path@4:15 True}@4:15, source@4:15 'C:\\\\h', target@4:15 "
                "'/t', type@4:15 'bind'}@4:15@4:15]@4:14"
            ),
        ),
        (
            "volumes: ['C:/h:D:/t:ro']",
            (
                "[{bind@4:15 {create_host_path@4:15 True}@4:15, read_only@4:15 True, source@4:15 "
                "'C:/h', target@4:15 'D:/t', type@4:15 'bind'}@4:15@4:15]@4:14"
            ),
        ),
        (
            "volumes: ['\\\\h\\x:/t']",
            (
                "[{bind@4:15 {create_host_path@4:15 True}@4:15, source@4:15 '\\\\\\\\h\\\\x', target@4:15 "
                "'/t', type@4:15 'bind'}@4:15@4:15]@4:14"
            ),
        ),
        ("volumes: [{type: tmpfs, target: /t}]", "[{target@4:29 '/t', type@4:16 'tmpfs'}@4:15@4:15]@4:14"),
        ("ports: [80]", "[{mode@4:13 'ingress', protocol@4:13 'tcp', target@4:13 80}@4:13@4:13]@4:5"),
        ("ports: ['80']", "[{mode@4:13 'ingress', protocol@4:13 'tcp', target@4:13 80}@4:13@4:13]@4:5"),
        (
            "ports: ['8080:80']",
            (
                "[{mode@4:13 'ingress', protocol@4:13 'tcp', published@4:13 '8080', target@4:13 "
                "80}@4:13@4:13]@4:5"
            ),
        ),
        (
            "ports: ['127.0.0.1:8080:80/udp']",
            (
                "[{host_ip@4:13 '127.0.0.1', mode@4:13 'ingress', protocol@4:13 'udp', "
                "published@4:13 '8080', target@4:13 80}@4:13@4:13]@4:5"
            ),
        ),
        (
            "ports: ['[::1]:8080:80']",
            (
                "[{host_ip@4:13 '::1', mode@4:13 'ingress', protocol@4:13 'tcp', published@4:13 "
                "'8080', target@4:13 80}@4:13@4:13]@4:5"
            ),
        ),
        (
            "ports: ['127.0.0.1::80']",
            (
                "[{host_ip@4:13 '127.0.0.1', mode@4:13 'ingress', protocol@4:13 'tcp', target@4:13 "
                "80}@4:13@4:13]@4:5"
            ),
        ),
        (
            "ports: ['9-10']",
            (
                "[{mode@4:13 'ingress', protocol@4:13 'tcp', target@4:13 10}@4:13@4:13, {mode@4:13 "
                "'ingress', protocol@4:13 'tcp', target@4:13 9}@4:13@4:13]@4:5"
            ),
        ),
        (
            "ports: ['19-20:9-10']",
            (
                "[{mode@4:13 'ingress', protocol@4:13 'tcp', published@4:13 '20', target@4:13 "
                "10}@4:13@4:13, {mode@4:13 'ingress', protocol@4:13 'tcp', published@4:13 '19', "
                "target@4:13 9}@4:13@4:13]@4:5"
            ),
        ),
        (
            "ports: ['19-21:9']",
            (
                "[{mode@4:13 'ingress', protocol@4:13 'tcp', published@4:13 '19-21', target@4:13 "
                "9}@4:13@4:13]@4:5"
            ),
        ),
        (
            "ports: ['19-19:9']",
            (
                "[{mode@4:13 'ingress', protocol@4:13 'tcp', published@4:13 '19', target@4:13 "
                "9}@4:13@4:13]@4:5"
            ),
        ),
        ("ports: ['80/TCP']", "[{mode@4:13 'ingress', protocol@4:13 'tcp', target@4:13 80}@4:13@4:13]@4:5"),
        (
            "ports: ['80/sctp/x']",
            "[{mode@4:13 'ingress', protocol@4:13 'sctp', target@4:13 80}@4:13@4:13]@4:5",
        ),
        ("ports: ['80/']", "[{mode@4:13 'ingress', protocol@4:13 'tcp', target@4:13 80}@4:13@4:13]@4:5"),
        (
            "ports: ['0:80']",
            (
                "[{mode@4:13 'ingress', protocol@4:13 'tcp', published@4:13 '0', target@4:13 "
                "80}@4:13@4:13]@4:5"
            ),
        ),
        (
            "ports: ['65535:65535']",
            (
                "[{mode@4:13 'ingress', protocol@4:13 'tcp', published@4:13 '65535', target@4:13 "
                "65535}@4:13@4:13]@4:5"
            ),
        ),
        (
            "ports: ['[127.0.0.1]:1:2']",
            (
                "[{host_ip@4:13 '127.0.0.1', mode@4:13 'ingress', protocol@4:13 'tcp', "
                "published@4:13 '1', target@4:13 2}@4:13@4:13]@4:5"
            ),
        ),
        ("devices: ['/a']", "[{permissions@4:15 'rwm', source@4:15 '/a', target@4:15 '/a'}@4:15@4:15]@4:14"),
        (
            "devices: ['/a:/b']",
            "[{permissions@4:15 'rwm', source@4:15 '/a', target@4:15 '/b'}@4:15@4:15]@4:14",
        ),
        (
            "devices: ['/a:/b:r']",
            "[{permissions@4:15 'r', source@4:15 '/a', target@4:15 '/b'}@4:15@4:15]@4:14",
        ),
        ("devices: ['/a::r']", "[{permissions@4:15 'r', source@4:15 '/a', target@4:15 '/a'}@4:15@4:15]@4:14"),
        ("devices: ['/a:']", "[{permissions@4:15 'rwm', source@4:15 '/a', target@4:15 '/a'}@4:15@4:15]@4:14"),
        ("devices: [{source: a, target: b}]", "[{source@4:16 'a', target@4:27 'b'}@4:15@4:15]@4:14"),
        ("depends_on: [b]", "{b@4:18 {condition@4:18 'service_started', required@4:18 True}@4:18}@4:17"),
        (
            "depends_on: {b: {condition: service_healthy}}",
            "{b@4:18 {condition@4:22 'service_healthy', required@4:21 True}@4:21}@4:17",
        ),
        ("networks: [n]", "{n@4:16 None}@4:15"),
        ("networks: {n: }", "{n@4:16 None}@4:15"),
        ("secrets: [s]", "[{source@4:15 's', target@4:15 '/run/secrets/s'}@4:15@4:15]@4:14"),
        ("configs: [s]", "[{source@4:15 's'}@4:15@4:15]@4:14"),
        ("env_file: e.env", "[{path@4:5 './e.env', required@4:5 True}@4:5@4:5]@4:5"),
        (
            "env_file: [e.env, {path: f.env, required: false}]",
            (
                "[{path@4:16 './e.env', required@4:16 True}@4:16@4:16, {path@4:24 './f.env', "
                "required@4:37 False}@4:23@4:23]@4:15"
            ),
        ),
        ("label_file: e.env", "['./e.env'@4:5]@4:5"),
        ("build: .", "{context@4:5 '.', dockerfile@4:5 'Dockerfile'}@4:5"),
        (
            "build: {context: ., ssh: [default, k=p]}",
            (
                "{context@4:13 '.', dockerfile@4:12 'Dockerfile', ssh@4:25 {default@4:31 None, "
                "k@4:40 './p'}@4:30}@4:12"
            ),
        ),
        (
            "build: {context: ., additional_contexts: [k=../v, l=https://x]}",
            (
                "{additional_contexts@4:25 {k@4:47 '../v', l@4:55 'https://x'}@4:25, context@4:13 "
                "'.', dockerfile@4:12 'Dockerfile'}@4:12"
            ),
        ),
        (
            "build: {context: ., provenance: true, sbom: false}",
            (
                "{context@4:13 '.', dockerfile@4:12 'Dockerfile', provenance@4:25 'true', sbom@4:43 "
                "'false'}@4:12"
            ),
        ),
        (
            "build: {context: ., secrets: [s]}",
            (
                "{context@4:13 '.', dockerfile@4:12 'Dockerfile', secrets@4:25 [{source@4:35 "
                "'s'}@4:35@4:35]@4:34}@4:12"
            ),
        ),
        ("gpus: all", "[{count@4:5 -1}@4:5@4:5]@4:5"),
        ("dns: [8.8.8.8]", "['8.8.8.8'@4:11]@4:10"),
        ("dns: ['']", "None"),
        ("models: [m]", "{m@4:14 None}@4:13"),
        ("models: {m: }", "{m@4:14 None}@4:13"),
        (
            "develop: {watch: [{path: ., action: rebuild, include: x, ignore: [y]}]}",
            (
                "{watch@4:15 [{action@4:33 'rebuild', ignore@4:62 ['y'@4:71]@4:70, include@4:50 "
                "['x'@4:50]@4:50, path@4:24 '.'}@4:23@4:23]@4:22}@4:14"
            ),
        ),
    ],
)
def test_a_short_form_means_its_long_form(line: str, form: str) -> None:
    """A short form must mean its long form, with every part at the place of the whole."""
    files = {"compose.yaml": service(line) + SHARED, "e.env": "A=1"}
    assert outline(load(files).services["a"].get(line.partition(":")[0])) == form


@pytest.mark.parametrize(
    ("files", "form"),
    [
        (
            "services: {a: {image: x}}\nvolumes: {v: {external: {name: n}}}\n",
            "{external@2:15 True, name@2:15 'n'}@2:14",
        ),
        (
            ("services: {a: {image: x}}\nvolumes: {v: {name: n, external: {name: n}}}\n"),
            "{external@2:24 True, name@2:24 'n'}@2:14",
        ),
        (
            "services: {a: {image: x}}\nvolumes: {v: {external: {}}}\n",
            "{external@2:15 True, name@2:14 'v'}@2:14",
        ),
    ],
)
def test_an_old_external_name_is_a_name(files: Files, form: str) -> None:
    """The old form of an external name must mean `name`, at its place."""
    assert outline(load(files).volumes["v"]) == form


@pytest.mark.parametrize(
    ("ports", "nodes"),
    [("[80]", 4), ("['1-10']", 40), ("[80, {target: 90}, '91-92']", 16), ("80", 0), ("[]", 0)],
)
def test_ranges_are_paid_for(ports: str, nodes: int) -> None:
    """Each port of a range must be charged to the budget, for a short text may mean many."""
    budget, problems = Budget(10_000), LoadProblems()
    root = parse_yaml("compose.yaml", service(f"ports: {ports}").encode(), budget)[0].root
    before = budget.nodes
    shortforms.expand(root, root.at, problems, budget)
    assert (before - budget.nodes, problems.errors) == (nodes, [])


def test_a_budget_that_is_spent_ends_the_expansion_at_its_place() -> None:
    """The place of the ports that cost too much must be told."""
    root = parse_yaml("compose.yaml", service("ports: ['1-10']").encode(), Budget())[0].root
    with pytest.raises(OverBudget) as caught:
        shortforms.expand(root, root.at, LoadProblems(), Budget(39))
    assert (caught.value.error.line, caught.value.error.column) == (4, 5)
    shortforms.expand(root, root.at, LoadProblems(), Budget(40))


def test_there_are_not_too_many_ports(monkeypatch: pytest.MonkeyPatch) -> None:
    """As many ports as the limit must be read, and one more be told at the item that is too much."""
    monkeypatch.setattr(shortforms, "MAX_PORTS", 3)
    assert len(load(service("ports: [80, '90-91']")).services["a"]["ports"]) == 3
    assert told(service("ports: [80, '90-91', '92', 93]")) == (
        "compose.yaml:4:26: there are more than 3 ports | publish fewer ports, or use `network_mode: host`"
    )
