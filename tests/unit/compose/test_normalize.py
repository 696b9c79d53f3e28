"""What is filled in, and what the merged model must not have."""

from __future__ import annotations

import pytest

from agent.compose.tree import Map
from tests.unit.compose.loading import Files, load, outline, service, told


@pytest.mark.parametrize(
    ("files", "messages"),
    [
        (
            "services: {a: {image: x}}\nconfigs:\n  c: {}\n",
            (
                "compose.yaml:3:3: configs.c has no content | give it one of file, environment, "
                "content, or `external: true`"
            ),
        ),
        (
            "services: {a: {image: x}}\nconfigs:\n  c: {file: f, content: c}\n",
            ("compose.yaml:3:3: configs.c: file and content cannot be used together | keep one of them"),
        ),
        (
            ("services: {a: {image: x}}\nsecrets:\n  s: {file: f, environment: E}\n"),
            ("compose.yaml:3:3: secrets.s: file and environment cannot be used together | keep one of them"),
        ),
        (
            "services: {a: {image: x}}\nsecrets: {s: {}}\n",
            (
                "compose.yaml:2:11: secrets.s has no content | give it one of file, environment, or "
                "`external: true`"
            ),
        ),
        (
            ("services: {a: {image: x}}\nconfigs: {c: {file: f, environment: E, content: c}}\n"),
            (
                "compose.yaml:2:11: configs.c: file and environment and content cannot be used "
                "together | keep one of them"
            ),
        ),
        (
            (
                "services: {a: {image: x}}\n"
                "volumes:\n"
                "  v:\n"
                "    external: true\n"
                "    driver: d\n"
                "    labels: {a: b}\n"
                "    x-a: b\n"
            ),
            (
                "compose.yaml:5:5: volumes.v: `external` and 'driver' cannot be used together | "
                "remove 'driver'\n"
                "compose.yaml:6:5: volumes.v: `external` and 'labels' cannot be used together | "
                "remove 'labels'"
            ),
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
            "ports:\n      - target: 80\n        host_ip: nope",
            (
                "compose.yaml:6:9: services.a.ports: 'nope' is not an IP address | give an IPv4 or "
                "IPv6 address"
            ),
        ),
        (
            "ports: [{target: 80, host_ip: '[::1]'}]",
            (
                "compose.yaml:4:26: services.a.ports: '[::1]' is not an IP address | give an IPv4 or "
                "IPv6 address"
            ),
        ),
        (
            "ports: [{target: 80, host_ip: 'fe80::1%e'}]",
            (
                "compose.yaml:4:26: services.a.ports: 'fe80::1%e' is not an IP address | give an "
                "IPv4 or IPv6 address"
            ),
        ),
        (
            ("gpus:\n      - device_ids: [a]\n        count: 1\n        capabilities: [g]"),
            ("compose.yaml:6:9: services.a: count and device_ids cannot be used together | keep one of them"),
        ),
        (
            (
                "deploy: {resources: {reservations: {devices: [{capabilities: [g], count: 1, "
                "device_ids: [a]}]}}}"
            ),
            (
                "compose.yaml:4:71: services.a: count and device_ids cannot be used together | keep "
                "one of them"
            ),
        ),
        (
            ("develop:\n      watch:\n        - action: rebuild\n          path: ''"),
            ("compose.yaml:7:11: services.a.develop.watch: the path is empty | name the directory to watch"),
        ),
        (
            "volumes:\n      - target: /t\n        type: bind",
            (
                "compose.yaml:5:9: services.a.volumes: the bind mount has no source | name the path "
                "with `source`"
            ),
        ),
    ],
)
def test_a_mistake_in_a_service_is_told_with_its_place_and_remedy(line: str, messages: str) -> None:
    """A mistake of a service must be told at its place, with what is wrong and what to do."""
    assert told(service(line)) == messages


@pytest.mark.parametrize(
    ("files", "form"),
    [
        (
            ("services:\n  a:\n    user: u\n    image: x\n    pre_start:\n      - command: c\n"),
            (
                "{image@4:5 'x', networks@2:3 {default@2:3 None}@2:3, pre_start@5:5 [{command@6:9 "
                "['c'@6:9]@6:9, image@4:5 'x'}@6:9@6:9]@6:7, user@3:5 'u'}@3:5"
            ),
        ),
        (
            ("services:\n  a:\n    image: x\n    links: [b, 'c:d']\n  b: {image: y}\n  c: {image: y}\n"),
            (
                "{depends_on@3:5 {b@4:13 {condition@4:13 'service_started', required@4:13 True, "
                "restart@4:13 True}@4:13, c@4:16 {condition@4:16 'service_started', required@4:16 "
                "True, restart@4:16 True}@4:16}@2:3, image@3:5 'x', links@4:5 ['b'@4:13, "
                "'c:d'@4:16]@4:12, networks@2:3 {default@2:3 None}@2:3}@3:5"
            ),
        ),
        (
            (
                "services:\n"
                "  a:\n"
                "    image: x\n"
                "    network_mode: service:b\n"
                "  b: {image: y}\n"
                "  c: {image: y}\n"
            ),
            (
                "{depends_on@3:5 {b@4:5 {condition@4:5 'service_started', required@4:5 True, "
                "restart@4:5 True}@4:5}@2:3, image@3:5 'x', network_mode@4:5 'service:b'}@3:5"
            ),
        ),
        (
            (
                "services:\n"
                "  a:\n"
                "    image: x\n"
                "    ipc: service:b\n"
                "    pid: service:c\n"
                "    uts: host\n"
                "  b: {image: y}\n"
                "  c: {image: y}\n"
            ),
            (
                "{depends_on@3:5 {b@4:5 {condition@4:5 'service_started', required@4:5 True, "
                "restart@4:5 True}@4:5, c@5:5 {condition@5:5 'service_started', required@5:5 True, "
                "restart@5:5 True}@5:5}@2:3, image@3:5 'x', ipc@4:5 'service:b', networks@2:3 "
                "{default@2:3 None}@2:3, pid@5:5 'service:c', uts@6:5 'host'}@3:5"
            ),
        ),
        (
            (
                "services:\n"
                "  a:\n"
                "    image: x\n"
                "    volumes_from: ['b:ro', 'container:q', c]\n"
                "  b: {image: y}\n"
                "  c: {image: y}\n"
            ),
            (
                "{depends_on@3:5 {b@4:20 {condition@4:20 'service_started', required@4:20 "
                "True}@4:20, c@4:43 {condition@4:43 'service_started', required@4:43 "
                "True}@4:43}@2:3, image@3:5 'x', networks@2:3 {default@2:3 None}@2:3, "
                "volumes_from@4:5 ['b:ro'@4:20, 'container:q'@4:28, 'c'@4:43]@4:19}@3:5"
            ),
        ),
        (
            (
                "services:\n"
                "  a:\n"
                "    image: x\n"
                "    depends_on: {b: {condition: service_healthy}}\n"
                "    links: [b, c]\n"
                "  b: {image: y}\n"
                "  c: {image: y}\n"
            ),
            (
                "{depends_on@4:5 {b@4:18 {condition@4:22 'service_healthy', required@4:21 "
                "True}@4:21, c@5:16 {condition@5:16 'service_started', required@5:16 True, "
                "restart@5:16 True}@5:16}@4:17, image@3:5 'x', links@5:5 ['b'@5:13, 'c'@5:16]@5:12, "
                "networks@2:3 {default@2:3 None}@2:3}@3:5"
            ),
        ),
        (
            (
                "services:\n"
                "  a:\n"
                "    image: x\n"
                "    build: {args: {A: , B: 1, ENV: }}\n"
                "  b: {image: y}\n"
                "  c: {image: y}\n"
            ),
            (
                "{build@4:5 {args@4:13 {B@4:25 '1', ENV@4:31 'env'}@4:13, context@4:12 '.', "
                "dockerfile@4:12 'Dockerfile'}@4:12, image@3:5 'x', networks@2:3 {default@2:3 "
                "None}@2:3}@3:5"
            ),
        ),
        (
            (
                "services:\n"
                "  a:\n"
                "    image: x\n"
                "    build: {context: ., args: [A, B=1, ENV]}\n"
                "  b: {image: y}\n"
                "  c: {image: y}\n"
            ),
            (
                "{build@4:5 {args@4:25 {B@4:35 '1', ENV@4:40 'env'}@4:25, context@4:13 '.', "
                "dockerfile@4:12 'Dockerfile'}@4:12, image@3:5 'x', networks@2:3 {default@2:3 "
                "None}@2:3}@3:5"
            ),
        ),
        (
            (
                "services:\n"
                "  a:\n"
                "    image: x\n"
                "    build: {context: ., dockerfile_inline: FROM x}\n"
                "  b: {image: y}\n"
                "  c: {image: y}\n"
            ),
            (
                "{build@4:5 {context@4:13 '.', dockerfile_inline@4:25 'FROM x'}@4:12, image@3:5 'x', "
                "networks@2:3 {default@2:3 None}@2:3}@3:5"
            ),
        ),
        (
            (
                "services:\n"
                "  a:\n"
                "    image: x\n"
                "    environment: {A: , ENV: , B: 1}\n"
                "  b: {image: y}\n"
                "  c: {image: y}\n"
            ),
            (
                "{environment@4:5 {ENV@4:24 'env', B@4:31 '1', A@4:19 None}@4:5, image@3:5 'x', "
                "networks@2:3 {default@2:3 None}@2:3}@3:5"
            ),
        ),
        (
            (
                "services:\n"
                "  a:\n"
                "    image: x\n"
                "    environment: [A, ENV, B=1]\n"
                "  b: {image: y}\n"
                "  c: {image: y}\n"
            ),
            (
                "{environment@4:5 {ENV@4:22 'env', B@4:27 '1', A@4:19 None}@4:5, image@3:5 'x', "
                "networks@2:3 {default@2:3 None}@2:3}@3:5"
            ),
        ),
        (
            (
                "services:\n"
                "  a:\n"
                "    image: x\n"
                "    secrets: []\n"
                "    ports: [{target: 1}]\n"
                "  b: {image: y}\n"
                "  c: {image: y}\n"
            ),
            (
                "{image@3:5 'x', networks@2:3 {default@2:3 None}@2:3, ports@5:5 [{mode@5:13 "
                "'ingress', protocol@5:13 'tcp', target@5:14 1}@5:13@5:13]@5:5}@3:5"
            ),
        ),
        (
            (
                "services:\n"
                "  a:\n"
                "    image: x\n"
                "    volumes: [{type: bind, source: ./x, target: /t/../u, bind: {selinux: z}}]\n"
                "  b: {image: y}\n"
                "  c: {image: y}\n"
            ),
            (
                "{image@3:5 'x', networks@2:3 {default@2:3 None}@2:3, volumes@4:5 [{bind@4:58 "
                "{create_host_path@4:64 True, selinux@4:65 'z'}@4:64, source@4:28 './x', target@4:41 "
                "'/u', type@4:16 'bind'}@4:15@4:15]@4:14}@3:5"
            ),
        ),
        (
            (
                "services:\n"
                "  a:\n"
                "    image: x\n"
                "    pre_start: [{command: c}, {command: d, image: e}]\n"
                "  b: {image: y}\n"
                "  c: {image: y}\n"
            ),
            (
                "{image@3:5 'x', networks@2:3 {default@2:3 None}@2:3, pre_start@4:5 [{command@4:18 "
                "['c'@4:18]@4:18, image@3:5 'x'}@4:17@4:17, {command@4:32 ['d'@4:32]@4:32, "
                "image@4:44 'e'}@4:31@4:31]@4:16}@3:5"
            ),
        ),
        (
            (
                "services:\n"
                "  a:\n"
                "    image: x\n"
                "    pull_policy: if_not_present\n"
                "  b: {image: y}\n"
                "  c: {image: y}\n"
            ),
            "{image@3:5 'x', networks@2:3 {default@2:3 None}@2:3, pull_policy@4:5 'missing'}@3:5",
        ),
        (
            (
                "services:\n"
                "  a:\n"
                "    image: x\n"
                "    gpus: [{capabilities: [g]}]\n"
                "  b: {image: y}\n"
                "  c: {image: y}\n"
            ),
            (
                "{gpus@4:5 [{capabilities@4:13 ['g'@4:28]@4:27, count@4:12 -1}@4:12@4:12]@4:11, "
                "image@3:5 'x', networks@2:3 {default@2:3 None}@2:3}@3:5"
            ),
        ),
        (
            ("services:\n  a:\n    image: x\n    networks: {default: }\n  b: {image: y}\n  c: {image: y}\n"),
            "{image@3:5 'x', networks@4:5 {default@4:16 None}@4:15}@3:5",
        ),
        (
            ("services:\n  a:\n    image: x\n    provider: {type: t}\n  b: {image: y}\n  c: {image: y}\n"),
            "{image@3:5 'x', provider@4:5 {type@4:16 't'}@4:15}@3:5",
        ),
        (
            ("services:\n  a:\n    image: x\n    cgroup: host\n  b: {image: y}\n  c: {image: y}\n"),
            "{cgroup@4:5 'host', image@3:5 'x', networks@2:3 {default@2:3 None}@2:3}@3:5",
        ),
    ],
)
def test_implied_values_are_filled_in_at_the_place_that_implies_them(files: Files, form: str) -> None:
    """What a service implies must be filled in, at the place of what implies it."""
    assert outline(load(files, env_overrides={"ENV": "env"}).services["a"]) == form


@pytest.mark.parametrize(
    ("files", "form"),
    [
        (
            (
                "services:\n"
                "  a:\n"
                "    image: x\n"
                "    environment: {A: , ENV: , B: 1}\n"
                "    profiles: [p]\n"
                "  b: {image: y}\n"
            ),
            "{A@4:19 None, ENV@4:24 'env', B@4:31 '1'}@4:5",
        ),
        (
            (
                "services:\n"
                "  a:\n"
                "    image: x\n"
                "    environment: [A, ENV, B=1]\n"
                "    profiles: [p]\n"
                "  b: {image: y}\n"
            ),
            "{A@4:19 None, ENV@4:22 'env', B@4:27 '1'}@4:5",
        ),
    ],
)
def test_a_service_that_no_profile_enables_is_completed_too(files: Files, form: str) -> None:
    """The variables that a disabled service names must be known, for it may be shown."""
    assert outline(load(files, env_overrides={"ENV": "env"}).disabled["a"]["environment"]) == form


@pytest.mark.parametrize(
    ("files", "form"),
    [
        (
            ("services: {a: {image: x}}\nnetworks: {n: {name: m}, e: {external: true}}\n"),
            (
                "{default@:0:0 {name@2:11 'app_default'}@2:11, e@:0:0 {external@2:30 True, name@2:29 "
                "'e'}@2:29, n@:0:0 {name@2:16 'm'}@2:15}@:0:0"
            ),
        ),
        (
            "services: {a: {image: x, network_mode: host}}\nnetworks: {n: }\n",
            "{n@:0:0 {name@2:12 'app_n'}@2:12}@:0:0",
        ),
        (
            ("services: {a: {image: x, networks: [n]}}\nnetworks: {n: {driver: d}}\n"),
            "{n@:0:0 {driver@2:16 'd', name@2:15 'app_n'}@2:15}@:0:0",
        ),
        (
            "services: {a: {image: x}}\nnetworks:\n  default: {driver: d}\n",
            "{default@:0:0 {driver@3:13 'd', name@3:12 'app_default'}@3:12}@:0:0",
        ),
        ("services: {a: {image: x, network_mode: none}}\n", "{}@:0:0"),
        ("services: {a: {provider: {type: t}}}\n", "{}@:0:0"),
        (
            "services: {a: {image: x}}\nnetworks: {n: {name: ''}}\n",
            "{default@:0:0 {name@2:11 'app_default'}@2:11, n@:0:0 {name@2:16 ''}@2:15}@:0:0",
        ),
    ],
)
def test_resources_have_names_and_the_default_network_is_made(files: Files, form: str) -> None:
    """Each resource must have its name in the Engine, and a network be made where a service needs one."""
    assert outline(Map(load(files).networks.items())) == form
