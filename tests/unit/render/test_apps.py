"""Apps: Compose projects to networks, volumes, app files and containers."""

from __future__ import annotations

import pytest

from agent.errors import BadInput
from agent.model import Key, Manifest, Need, sha256
from agent.render.assembly import RenderContext
from agent.render.render import render
from tests.fakes.tree import MemoryTree
from tests.unit.render.rendering import container, manifest, needs, problems

APPS = "/var/lib/limpet/apps"


NEWCOMER = {
    "compose.yaml": """\
services:
  web:
    image: nginx:1
    volumes: ["./conf:/etc/nginx:ro", "./data:/data", "named:/n", "/etc/localtime:/etc/localtime:ro"]
    depends_on: {db: {condition: service_healthy}, init: {condition: service_completed_successfully}}
  db: {image: "postgres:16"}
  init: {image: busybox}
volumes: {named: {}}
""",
    "conf/nginx.conf": "x\n",
    "conf/sub/a.sh": "#!",
    "README.md": "read me\n",
}


def test_newcomers_repository() -> None:
    """A repository with nothing but compose.yaml must work: tracked files are placed, the rest is data."""
    found = manifest(NEWCOMER, repo_name="shop")
    web = container(found, "shop-web-1")
    assert [str(key) for key in found.resources if key.kind != "container"] == [
        f"file{APPS}/shop/conf/nginx.conf",
        f"file{APPS}/shop/conf/sub/a.sh",
        "network/shop_default",
        "volume/shop_named",
    ]
    assert [volume["source"] for volume in web.spec["config"]["volumes"]] == [
        f"{APPS}/shop/conf",
        f"{APPS}/shop/data",
        "shop_named",
        "/etc/localtime",
    ]
    assert web.spec["inputs"] == {
        f"{APPS}/shop/conf/nginx.conf": sha256("x\n"),
        f"{APPS}/shop/conf/sub/a.sh": sha256("#!"),
    }
    assert found.resources[Key("file", f"{APPS}/shop/conf/sub/a.sh")].spec["mode"] == "0755"
    assert web.spec["config"]["networks"] == {"shop_default": {}}
    assert needs(web) == {
        "container/shop-db-1": "healthy",
        "container/shop-init-1": "completed",
        "network/shop_default": "present",
        "volume/shop_named": "present",
        f"file{APPS}/shop/conf/nginx.conf": "present",
        f"file{APPS}/shop/conf/sub/a.sh": "present",
    }
    assert container(found, "shop-init-1").spec["oneshot"] and not web.spec["oneshot"]
    assert web.spec["compose"]["working_dir"] == f"{APPS}/shop"
    assert web.spec["compose"]["config_files"] == f"{APPS}/shop/compose.yaml"


def test_a_commit_that_changes_nothing_used_changes_no_digest() -> None:
    """A change of README must not change the manifest's digest; a change of a mounted file changes its users
    only.
    """
    before = manifest(NEWCOMER)
    assert manifest({**NEWCOMER, "README.md": "other\n", "notes/x": "y"}).digest == before.digest
    after = manifest({**NEWCOMER, "conf/nginx.conf": "y\n"})
    changed = {
        str(key) for key in before.resources if before.resources[key].digest != after.resources[key].digest
    }
    assert changed == {"container/fleet-web-1", f"file{APPS}/fleet/conf/nginx.conf"}


def test_moved_lines_change_no_digest() -> None:
    """Comments, order of keys and short or long forms must not change a digest."""
    one = "services:\n  web:\n    image: x\n    command: a b\n    environment: [A=1]\n"
    two = "# hello\n\nservices:\n  web: {environment: {A: 1}, command: [a, b], image: x}\n"
    assert manifest({"compose.yaml": one}).digest == manifest({"compose.yaml": two}).digest


@pytest.mark.parametrize(
    ("tree", "name"),
    [
        ({"compose.yaml": "name: own\nservices: {a: {image: x}}\n"}, "own"),
        ({"compose.yaml": "services: {a: {image: x}}\n"}, "my-repo"),
        ({"apps/shop/compose.yaml": "services: {a: {image: x}}\n"}, "shop"),
        ({"apps/shop/docker-compose.yml": "services: {a: {image: x}}\n"}, "shop"),
        ({"compose.yaml.j2": "services: {a: {image: x}}\n"}, "my-repo"),
        (
            {
                "fleet.yaml": "layers: [base, top]\n",
                "base/compose.yaml": "services: {a: {image: x}}\n",
                "top/x": "",
            },
            "base",
        ),
        ({"compose.yaml": "services: {a: {image: x}}\n", ".env": "COMPOSE_PROJECT_NAME=env\n"}, "env"),
        ({"prod.yaml": "services: {a: {image: x}}\n", ".env": "COMPOSE_FILE=prod.yaml\n"}, "my-repo"),
    ],
)
def test_names(tree: dict[str, str], name: str) -> None:
    """An app must be named by its file, else its directory, else the repository, normalised as Compose
    does.
    """
    assert [key.name for key in manifest(tree, repo_name="My-Repo").resources if key.kind == "container"] == [
        f"{name}-a-1"
    ]


def test_override_of_a_later_layer_joins_the_app() -> None:
    """An override file of another layer must be merged by Compose's rules."""
    found = manifest(
        {
            "fleet.yaml": "layers: [base, hosts/web-01]\n",
            "base/apps/shop/compose.yaml": "services: {a: {image: x, environment: {A: 1}}}\n",
            "hosts/web-01/apps/shop/compose.override.yaml": "services: {a: {environment: {B: 2}}}\n",
        }
    )
    assert container(found, "shop-a-1").spec["config"]["environment"] == {"A": "1", "B": "2"}


def test_app_directory_can_be_set() -> None:
    """`apps.NAME.directory` must be where the app's files and data lie."""
    found = manifest({**NEWCOMER, "layer.yaml": "apps: {fleet: {directory: /opt/shop}}\n"})
    assert container(found, "fleet-web-1").spec["config"]["volumes"][1]["source"] == "/opt/shop/data"
    assert Key("file", "/opt/shop/conf/nginx.conf") in found.resources


def test_irreversible_is_of_the_one_shot_alone() -> None:
    """`irreversible` must be said of the one-shot, be no content of it, and not of what prepares it."""
    service = """\
services:
  a:
    image: x
    depends_on: {migrate: {condition: service_completed_successfully}}
  migrate:
    image: x
    pre_start: [{command: [backup]}]
"""
    plain = manifest({"compose.yaml": service})
    found = manifest({"compose.yaml": service + "    x-limpet: {irreversible: true}\n"})
    assert [r.key.name for r in found.of_kind("container") if r.spec.get("irreversible")] == [
        "fleet-migrate-1"
    ]
    assert found.digest == plain.digest


def test_service_keys_for_other_steps_are_taken_out() -> None:
    """The configuration of a container must hold only what concerns the container."""
    service = """\
services:
  a:
    image: x
    build: .
    profiles: [on]
    depends_on: [b]
    pull_policy: always
    scale: 2
    env_file: a.env
    deploy: {replicas: 2, update_config: {parallelism: 1}, resources: {limits: {memory: 64m}}}
    x-limpet: {oneshot: true}
    x-other: 1
  b: {image: x}
"""
    found = manifest({"compose.yaml": service, "a.env": "A=1\n", ".env": "COMPOSE_PROFILES=on\n"})
    spec = container(found, "fleet-a-2").spec
    assert spec["config"] == {
        "image": "x",
        "environment": {"A": "1"},
        "deploy": {"resources": {"limits": {"memory": 64 << 20}}},
        "networks": {"fleet_default": {}},
    }
    assert (spec["pull_policy"], spec["oneshot"], spec["number"]) == ("always", True, 2)


@pytest.mark.parametrize(
    ("written", "policy", "every"),
    [
        ("", "missing", None),
        ("pull_policy: missing", "missing", None),
        ("pull_policy: if_not_present", "missing", None),
        ("pull_policy: never", "never", None),
        ("pull_policy: always", "always", None),
        ("pull_policy: build", "build", None),
        ("pull_policy: daily", "missing", 86400),
        ("pull_policy: weekly", "missing", 604800),
        ("pull_policy: every_1w2d3h4m5s", "missing", 788645),
        ("pull_policy: every_0s", "always", None),
        ("pull_policy: refresh", "always", None),
        ("{pull_policy: refresh, pull_refresh_after: 12h}", "missing", 43200),
        ("{pull_policy: missing, pull_refresh_after: 12h}", "missing", None),
    ],
)
def test_pull_policies(written: str, policy: str, every: float | None) -> None:
    """Every value of `pull_policy` must say when a registry is asked, and none may be part of the container's
    digest.
    """
    import yaml

    plain = container(manifest({"compose.yaml": "services: {a: {image: x}}\n"}), "fleet-a-1")
    service = {"image": "x", **(yaml.safe_load(written) or {})}
    found = manifest({"compose.yaml": yaml.safe_dump({"services": {"a": service}})})
    spec = container(found, "fleet-a-1").spec
    assert (spec["pull_policy"], spec.get("pull_every")) == (policy, every)
    assert container(found, "fleet-a-1").digest == plain.digest
    idle = "pull_refresh_after" in service and service["pull_policy"] != "refresh"
    assert (
        [w for w in found.warnings if "works only with pull_policy: refresh" in w]
        if idle
        else not found.warnings
    )


def test_wrong_refresh_interval_has_its_line() -> None:
    """An interval that is none must be an error at its line."""
    service = "services:\n  a:\n    image: x\n    pull_policy: refresh\n    pull_refresh_after: soon\n"
    with pytest.raises(BadInput) as error:
        manifest({"compose.yaml": service})
    assert (error.value.problems[0].file, error.value.problems[0].line) == ("compose.yaml", 5)
    assert "'soon' is not a duration" in error.value.problems[0].message


def test_profiles() -> None:
    """A service whose profile is not active must make no container."""
    found = manifest({"compose.yaml": "services: {a: {image: x}, b: {image: x, profiles: [debug]}}\n"})
    assert [key.name for key in found.resources if key.kind == "container"] == ["fleet-a-1"]


def test_replicas_and_names() -> None:
    """Replicas must make numbered containers that differ in nothing else, and dependants wait for all of
    them.
    """
    found = manifest(
        {
            "compose.yaml": """\
services:
  a: {image: x, deploy: {replicas: 3}}
  b: {image: x, depends_on: [a], container_name: bee}
  c: {image: x, scale: 0}
"""
        }
    )
    assert [key.name for key in found.resources if key.kind == "container"] == [
        "bee",
        "fleet-a-1",
        "fleet-a-2",
        "fleet-a-3",
    ]
    assert len({container(found, f"fleet-a-{n}").digest for n in (1, 2, 3)}) == 1
    assert needs(container(found, "bee")).keys() >= {
        "container/fleet-a-1",
        "container/fleet-a-2",
        "container/fleet-a-3",
    }


def test_dependencies() -> None:
    """Conditions, `required` and `restart` must become needs and folded digests."""
    found = manifest(
        {
            "compose.yaml": """\
services:
  a: {image: x, depends_on: {b: {condition: service_healthy, required: false, restart: true}}}
  b: {image: x}
"""
        }
    )
    a, b = container(found, "fleet-a-1"), container(found, "fleet-b-1")
    assert Need(b.key, "healthy", required=False) in a.needs
    assert a.spec["folded"]["container/fleet-b-1"] == b.digest
    assert a.spec["compose"]["depends_on"] == {
        "b": {"condition": "service_healthy", "required": False, "restart": True}
    }


def test_namespaces_of_other_services() -> None:
    """A container that shares a namespace or volumes must name the other container and be re-created with
    it.
    """
    text = """\
services:
  a: {image: IMAGE}
  b:
    image: x
    network_mode: "service:a"
    pid: "service:a"
    ipc: "service:a"
    volumes_from: ["a:ro", "container:other"]
  c: {image: x, links: ["a:alias"]}
"""
    one, two = (manifest({"compose.yaml": text.replace("IMAGE", image)}) for image in ("x:1", "x:2"))
    b = container(one, "fleet-b-1")
    assert [b.spec["config"][key] for key in ("network_mode", "pid", "ipc")] == ["container:fleet-a-1"] * 3
    assert b.spec["config"]["volumes_from"] == ["fleet-a-1:ro", "container:other"]
    assert "networks" not in b.spec["config"]
    assert needs(b)["container/fleet-a-1"] == "started"
    assert b.digest != container(two, "fleet-b-1").digest
    assert container(one, "fleet-c-1").spec["config"]["links"] == ["fleet-a-1:alias"]


def test_networks() -> None:
    """Networks must have their real names, external ones be marked, and a change of one re-create who is in
    it.
    """
    text = """\
services:
  a: {image: x, networks: {front: {aliases: [shop], ipv4_address: 10.9.0.5}, proxy: {}}}
  b: {image: x, network_mode: host}
networks: {front: {ipam: {config: [{subnet: SUBNET}]}}, proxy: {external: true, name: edge}, unused: {}}
"""
    one, two = (
        manifest({"compose.yaml": text.replace("SUBNET", net)}) for net in ("10.9.0.0/24", "10.9.0.0/16")
    )
    assert [key.name for key in one.resources if key.kind == "network"] == ["edge", "fleet_front"]
    assert one.resources[Key("network", "edge")].spec["external"]
    a = container(one, "fleet-a-1")
    assert a.spec["config"]["networks"] == {
        "edge": {},
        "fleet_front": {"aliases": ["shop"], "ipv4_address": "10.9.0.5"},
    }
    assert a.digest != container(two, "fleet-a-1").digest
    assert container(one, "fleet-b-1").digest == container(two, "fleet-b-1").digest


def test_shared_networks() -> None:
    """A network that one app defines and another uses as external must be one resource, the defined one."""
    found = manifest(
        {
            "apps/a/compose.yaml": "services: {a: {image: x, networks: [n]}}\nnetworks: {n: {external: "
            "true, name: edge}}\n",
            "apps/b/compose.yaml": "services: {b: {image: x, networks: [n]}}\nnetworks: {n: {name: edge}}\n",
        }
    )
    assert not found.resources[Key("network", "edge")].spec["external"]
    clash = problems(
        {
            "apps/a/compose.yaml": "services: {a: {image: x, networks: [n]}}\nnetworks: {n: {name: edge, "
            "internal: true}}\n",
            "apps/b/compose.yaml": "services: {b: {image: x, networks: [n]}}\nnetworks: {n: {name: edge}}\n",
        }
    )
    assert "also defined, differently, at apps/a/compose.yaml" in clash[0]


def test_configs_and_secrets() -> None:
    """Configs and secrets must be read-only files at their targets, with the owner and mode that a service
    asks for.
    """
    found = manifest(
        {
            "compose.yaml": """\
services:
  a:
    image: x
    configs: [inline, {source: file, target: /etc/f}]
    secrets: [token, {source: file2, target: renamed, uid: "1000", gid: "1000", mode: 0400}]
configs: {inline: {content: "port=${PORT}"}, file: {file: ./f.conf}}
secrets: {token: {environment: TOKEN}, file2: {file: ./s.txt}}
""",
            "f.conf": "f",
            "s.txt": "s",
            ".env": "PORT=80\nTOKEN=t\n",
        }
    )
    a = container(found, "fleet-a-1")
    own = f"{APPS}/fleet/.limpet"
    assert {volume["target"]: volume["source"] for volume in a.spec["config"]["volumes"]} == {
        "/inline": f"{own}/configs/inline",
        "/etc/f": f"{APPS}/fleet/f.conf",
        "/run/secrets/token": f"{own}/secrets/token",
        "/run/secrets/renamed": f"{own}/secrets/a/file2",
    }
    assert all(volume["read_only"] for volume in a.spec["config"]["volumes"])
    assert a.spec["inputs"][f"{own}/configs/inline"] == sha256("port=80")
    spec = found.resources[Key("file", f"{own}/secrets/a/file2")].spec
    assert (spec["owner"], spec["group"], spec["mode"], spec["app"]) == ("1000", "1000", "0400", "fleet")


def test_secret_that_is_not_in_git_is_the_hosts_own() -> None:
    """A secret's file that Git does not track must be expected on the host, with a warning, and never be
    made.
    """
    found = manifest(
        {"compose.yaml": "services: {a: {image: x, secrets: [s]}}\nsecrets: {s: {file: ./secret.txt}}\n"}
    )
    (mount,) = container(found, "fleet-a-1").spec["config"]["volumes"]
    assert mount["bind"] == {"create_host_path": False}
    assert "put it on the host by hand" in found.warnings[0]


def test_files_that_are_told_of_leave_the_inputs() -> None:
    """A file with `on_change` must be signalled or restart its service, and be part of the digest only with
    `recreate`.
    """
    text = """\
services:
  a:
    image: x
    volumes: ["./conf:/c", "./one:/one"]
    configs: [{source: two, mode: 0400}]
    x-limpet: {on_change: {./conf: HUP, conf/y: SIGUSR1, conf/z: recreate, one: restart, ./two: restart}}
configs: {two: {file: ./two}}
"""
    tree = {"compose.yaml": text, "conf/x": "1", "conf/y": "2", "conf/z": "5", "one": "3", "two": "4"}
    changed = {**tree, "conf/x": "9", "one": "8", "two": "7"}
    one, two = container(manifest(tree), "fleet-a-1"), container(manifest(changed), "fleet-a-1")
    base = f"{APPS}/fleet"
    assert one.spec["on_change"] == {
        f"{base}/conf/x": "signal:HUP",
        f"{base}/conf/y": "signal:USR1",
        f"{base}/one": "restart",
        f"{base}/.limpet/configs/a/two": "restart",
    }
    assert set(one.spec["inputs"]) == {f"{base}/conf/z"}
    assert one.digest == two.digest
    assert f"file{base}/conf/x" in needs(one)


def test_host_files_and_services() -> None:
    """`on_change` of a host file must re-create, restart or signal exactly the service it names; a mounted
    one is an input.
    """
    tree = {
        "compose.yaml": "name: shop\nservices: {a: &x {image: x}, b: *x, c: {image: x, volumes: "
        "['/etc/c:/c']}, d: *x}\n",
        "files/etc/a": "1",
        "files/etc/b": "1",
        "files/etc/c": "1",
        "layer.yaml": "files:\n  /etc/a: {on_change: recreate shop/a}\n"
        "  /etc/b: {on_change: ['signal:HUP shop/b', restart shop/d, signal:HUP shop/d]}\n",
    }
    before, after = (
        manifest(tree),
        manifest({**tree, "files/etc/a": "2", "files/etc/b": "2", "files/etc/c": "2"}),
    )
    changed = [
        key.name
        for key in before.resources
        if key.kind == "container" and before.resources[key].digest != after.resources[key].digest
    ]
    assert changed == ["shop-a-1", "shop-c-1"]
    assert container(before, "shop-b-1").spec["on_change"] == {"/etc/b": "signal:HUP"}
    assert container(before, "shop-d-1").spec["on_change"] == {"/etc/b": "restart"}
    for name, path in (("a", "/etc/a"), ("b", "/etc/b"), ("c", "/etc/c")):
        assert f"file{path}" in needs(container(before, f"shop-{name}-1"))


def test_templates_beside_an_app() -> None:
    """A named file that exists only as a template must be rendered; in a mounted directory files stay as they
    are.
    """
    found = render(
        MemoryTree(
            {
                "compose.yaml": "services: {a: {image: x, env_file: a.env, volumes: ['./one.conf:/one', "
                "'./dir:/dir']}}\n",
                "a.env.j2": "A={{ host }}\n",
                "one.conf.j2": "{{ host }}",
                "dir/two.j2": "{{ kept }}",
            }
        ),
        RenderContext("web-01"),
    )
    spec = container(found.manifest, "fleet-a-1").spec
    assert spec["config"]["environment"] == {"A": "web-01"}
    assert found.content[spec["inputs"][f"{APPS}/fleet/one.conf"]] == b"web-01"
    assert found.content[spec["inputs"][f"{APPS}/fleet/dir/two.j2"]] == b"{{ kept }}"


def test_whole_directory_mount() -> None:
    """A mount of the app's directory must place every tracked file of it."""
    found = manifest({"compose.yaml": "services: {a: {image: x, volumes: ['.:/src']}}\n", "x/y": "1"})
    a = container(found, "fleet-a-1")
    assert a.spec["config"]["volumes"][0]["source"] == f"{APPS}/fleet"
    assert set(a.spec["inputs"]) == {f"{APPS}/fleet/compose.yaml", f"{APPS}/fleet/x/y"}


def test_misspelt_mount_is_noticed() -> None:
    """An untracked source that looks like a tracked neighbour must be a warning: it would be an empty
    directory.
    """
    found = manifest(
        {"compose.yaml": "services: {a: {image: x, volumes: ['./ngnix.conf:/c']}}\n", "nginx.conf": "1"}
    )
    assert "did you mean ./nginx.conf?" in found.warnings[0]


def test_environment_of_the_agent_is_never_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    """Interpolation must not see the agent's own environment."""
    monkeypatch.setenv("LEAK", "leaked")
    found = manifest({"compose.yaml": "services: {a: {image: x, environment: {A: '${LEAK}', LEAK: }}}\n"})
    assert "leaked" not in str(container(found, "fleet-a-1").spec)
    assert "LEAK" in found.warnings[0]


def test_origin_names_the_layers_file() -> None:
    """Origins and problems must name the file in the repository, not in the overlay."""
    tree = {
        "fleet.yaml": "layers: [base]\n",
        "base/apps/shop/compose.yaml": "services:\n\n  a:\n    image: x\n",
    }
    assert container(manifest(tree), "shop-a-1").origin == "base/apps/shop/compose.yaml:3"
    bad = {**tree, "base/apps/shop/compose.yaml": "services:\n  a:\n    imgae: x\n"}
    assert problems(bad)[0].startswith("base/apps/shop/compose.yaml:3: ")


def test_content_holds_what_the_manifest_needs_and_no_more() -> None:
    """Every content digest of the manifest must come with its bytes, and nothing else."""
    result = render(MemoryTree(NEWCOMER), RenderContext("h"))
    assert set(result.content) == result.manifest.content()
    assert all(sha256(data) == digest for digest, data in result.content.items())


def test_manifest_survives_json() -> None:
    """A manifest must be the same after a round trip through JSON."""
    found = manifest(NEWCOMER)
    assert Manifest.from_json(found.to_json()).digest == found.digest


def test_namespaces_across_apps() -> None:
    """A container that shares the network of another app's container must be re-created with it and start
    after it.
    """
    vpn = "services: {vpn: {image: IMAGE, container_name: vpn}}\n"
    user = (
        "services: {a: {image: x, network_mode: 'container:vpn'}, b: {image: x, network_mode: "
        "'container:foreign'}}\n"
    )
    one, two = (
        manifest({"apps/a-user/compose.yaml": user, "apps/vpn/compose.yaml": vpn.replace("IMAGE", image)})
        for image in ("x", "y")
    )
    assert container(one, "a-user-a-1").digest != container(two, "a-user-a-1").digest
    assert needs(container(one, "a-user-a-1")) == {"container/vpn": "started"}
    assert container(one, "a-user-b-1").digest == container(two, "a-user-b-1").digest
    assert needs(container(one, "a-user-b-1")) == {}


def test_users_of_a_shared_network_are_recreated_with_it() -> None:
    """An app that uses another app's network as external must follow its changes, in whatever order the apps
    come.
    """
    user = "services: {a: {image: x, networks: [n]}}\nnetworks: {n: {external: true, name: edge}}\n"
    owner = "services: {b: {image: x, networks: [n]}}\nnetworks: {n: {name: edge, internal: INTERNAL}}\n"
    for first, second in (("apps/a", "apps/b"), ("apps/b", "apps/a")):
        one, two = (
            manifest(
                {f"{first}/compose.yaml": user, f"{second}/compose.yaml": owner.replace("INTERNAL", value)}
            )
            for value in ("true", "false")
        )
        name = f"{first[-1]}-a-1"
        assert container(one, name).digest != container(two, name).digest


def test_circles_across_apps() -> None:
    """Two containers of different apps that are each re-created when the other is must be a problem."""
    told = problems(
        {
            "apps/a/compose.yaml": "services: {a: {image: x, container_name: one, network_mode: "
            "'container:two'}}\n",
            "apps/b/compose.yaml": "services: {b: {image: x, container_name: two, pid: 'container:one'}}\n",
        }
    )
    assert "each re-created when the other is" in told[0]


def test_a_monorepo_with_a_directory_apps_works() -> None:
    """Where the app is at the root and nothing below apps/ is one, apps/ must be the app's own."""
    compose = "services: {a: {image: x, volumes: ['./apps/web/conf:/c']}}\n"
    tree = {"compose.yaml": compose, "apps/web/conf/x": "1", "apps/web/.env": "A=1\n"}
    assert [key.name for key in manifest(tree).resources if key.kind == "file"] == [
        f"{APPS}/fleet/apps/web/conf/x"
    ]


def test_names_that_begin_with_a_dot_are_no_apps() -> None:
    """A directory like `.git-hooks` below apps/ must not be taken for an app, whatever is in it."""
    app = {"apps/a/compose.yaml": "services: {a: {image: x}}\n"}
    hidden = {
        "apps/.old/compose.yaml": "services: {b: {image: x}}\n",
        "apps/.tools/run": "x",
        "apps/.keep": "",
    }
    assert set(manifest({**app, **hidden}).resources) == set(manifest(app).resources)
    root = {"compose.yaml": 'services: {a: {image: x, volumes: ["./apps:/apps"]}}\n', **hidden}
    assert Key("container", "fleet-a-1") in manifest(root).resources


@pytest.mark.parametrize(
    ("volume", "message"),
    [
        ("n:/n", "a single letter before a colon, as in 'n:/n', is a drive of Windows"),
        ("Z:/n:/m", "a single letter before a colon, as in 'Z:/n', is a drive of Windows"),
        ("n", "'n' is no place to mount at"),
        ("data", "'data' is no place to mount at"),
        ("data:relative", "'relative' is no place to mount at"),
        ("./data:relative:ro", "'relative' is no place to mount at"),
        ("data:/", "'/' is no place to mount at"),
    ],
)
def test_where_nothing_can_be_mounted(volume: str, message: str) -> None:
    """A mount that the Engine would refuse must be told with its line before anything is touched."""
    text = f'services:\n  a:\n    image: x\n    volumes: ["{volume}"]\nvolumes: {{n: {{}}, data: {{}}}}\n'
    found = problems({"compose.yaml": text})
    assert [each for each in found if each.startswith(f"compose.yaml:4: services.a: {message}")], found


@pytest.mark.parametrize("name", ["n", "a b", ".ab", "-ab", "a/b", "ä1"])
def test_names_that_the_engine_refuses(name: str) -> None:
    """A name of a volume or container that the Engine would refuse must be told with its line."""
    volume = f'services:\n  a: {{image: x, volumes: ["data:/n"]}}\nvolumes:\n  data: {{name: "{name}"}}\n'
    (found,) = problems({"compose.yaml": volume})
    assert found.startswith(f"compose.yaml:4: volumes.data: the Engine takes no name like {name!r}")
    (found,) = problems({"compose.yaml": f'services:\n  a:\n    image: x\n    container_name: "{name}"\n'})
    assert found.startswith("compose.yaml:4: ") and repr(name) in found


def test_a_volume_with_a_key_of_one_letter() -> None:
    """The long form must take a key of one letter: the volume's name is longer."""
    volume = "{type: volume, source: n, target: /n}"
    text = f"services: {{a: {{image: x, volumes: [{volume}]}}}}\nvolumes: {{n: {{}}}}\n"
    assert Key("volume", "fleet_n") in manifest({"compose.yaml": text}).resources


@pytest.mark.parametrize(
    "lines",
    [
        'image: "${V}:1"',
        'image: "x:${V}"',
        "{image: x, volumes: [{type: bind, source: ./x, target: '${V}'}]}",
        "{image: x, volumes: ['${V}x:/data']}",
        "{image: x, volumes: ['../${V}:/data']}",
        "{image: x, security_opt: ['seccomp=${V}']}",
    ],
)
def test_what_an_unset_variable_breaks_later_names_it(lines: str) -> None:
    """A value that only rendering finds wrong must name the variable that is not set, too."""
    found = problems({"compose.yaml": f"services:\n  a:\n    {lines}\n"})
    assert found and all(", after ${V}, which is not set" in each and "set V in" in each for each in found)


def test_a_key_that_is_not_supported_blames_no_variable() -> None:
    """A key that Limpet does not take must be the fault, whatever its value is."""
    (found,) = problems({"compose.yaml": 'services: {a: {image: x, credential_spec: {file: "${V}"}}}\n'})
    assert "${V}" not in found
