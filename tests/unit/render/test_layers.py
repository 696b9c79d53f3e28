"""Layers, layer.yaml and host files: what is laid over what, and what comes of it."""

from __future__ import annotations

import pytest

from agent.model import Key, Manifest, Resource
from agent.render.render import Rendered
from tests.unit.render.rendering import problems, rendered

FLEET = """\
layers:
  - base
  - path: roles/web
    when: {role: [web, proxy-*]}
  - path: sites/{site}
    optional: true
  - path: hosts/{host}
    optional: true
vars: {greeting: fleet, list: [1, 2], deep: {a: 1, b: 2}}
"""
TREE = {
    "fleet.yaml": FLEET,
    "base/files/etc/app.conf.j2": "{{ vars.greeting }} {{ vars.list | join(',') }} {{ vars.deep.values() | "
    "join }} {{ host }}\n",
    "base/files/etc/base": "base\n",
    "base/layer.yaml": (
        "vars: {greeting: base, deep: {b: 3}}\n"
        "files:\n  /etc/*: {owner: app, mode: '0640'}\n  /etc/base: {mode: '0600'}\n"
    ),
    "roles/web/files/etc/base": "web\n",
    "roles/web/layer.yaml": "vars: {list: [9]}\nfiles:\n  /etc/base: {group: web}\n",
    "sites/berlin/files/etc/site": "berlin\n",
    "hosts/web-01/files/etc/app.conf": "plain\n",
}


def resource(manifest: Manifest, kind: str, name: str) -> Resource:
    return manifest.resources[Key(kind, name)]


def text(result: Rendered, path: str) -> str:
    return result.content[resource(result.manifest, "file", path).spec["content"]].decode()


def test_only_matching_layers_count() -> None:
    """A layer must count when all its labels match, by value, glob or list, and for no other host."""
    assert rendered(TREE, "a").layers == ("base",)
    assert rendered(TREE, "a", labels={"role": "web"}).layers == ("base", "roles/web")
    assert rendered(TREE, "a", labels={"role": "proxy-7"}).layers == ("base", "roles/web")
    assert rendered(TREE, "a", labels={"role": "db"}).layers == ("base",)
    assert rendered(TREE, "web-01", labels={"site": "berlin"}).layers == (
        "base",
        "sites/berlin",
        "hosts/web-01",
    )
    assert rendered(TREE, "web-01", labels={"site": "rome"}).layers == ("base", "hosts/web-01")


def test_later_file_replaces_earlier() -> None:
    """Of the same host path the later layer's file must count, whether template or not."""
    assert text(rendered(TREE, "a"), "/etc/base") == "base\n"
    assert text(rendered(TREE, "a", labels={"role": "web"}), "/etc/base") == "web\n"
    assert text(rendered(TREE), "/etc/app.conf") == "plain\n"


def test_variables_are_merged_deeply() -> None:
    """Mappings must be merged, lists and scalars replaced, later layers over earlier ones over the
    fleet's.
    """
    assert text(rendered(TREE, "a"), "/etc/app.conf") == "base 1,2 13 a\n"
    assert text(rendered(TREE, "a", labels={"role": "web"}), "/etc/app.conf") == "base 9 13 a\n"


def test_most_specific_attribute_wins() -> None:
    """Each attribute must come from the most specific pattern that sets it."""
    spec = resource(rendered(TREE, "a", labels={"role": "web"}).manifest, "file", "/etc/base").spec
    assert (spec["mode"], spec["owner"], spec["group"]) == ("0600", "app", "web")
    spec = resource(rendered(TREE, "a").manifest, "file", "/etc/app.conf").spec
    assert (spec["mode"], spec["owner"], spec["group"]) == ("0640", "app", "root")


@pytest.mark.parametrize(
    ("pattern", "path", "matches"),
    [
        ("/etc/*", "/etc/a", True),
        ("/etc/*", "/etc/a/b", False),
        ("/etc/**", "/etc/a/b", True),
        ("/etc/**/b", "/etc/b", True),
        ("/etc/**/b", "/etc/x/y/b", True),
        ("/etc/a?", "/etc/ab", True),
        ("/etc/a?", "/etc/a/", False),
        ("/etc/[ab].conf", "/etc/b.conf", True),
        ("/etc/[!ab].conf", "/etc/b.conf", False),
        ("/etc/a.c", "/etc/abc", False),
    ],
)
def test_globs(pattern: str, path: str, matches: bool) -> None:
    """`*` must stay within a directory and `**` cross them."""
    tree = {f"files{path.rstrip('/')}": "x", "layer.yaml": f"files:\n  '{pattern}': {{mode: '0400'}}\n"}
    spec = resource(rendered(tree).manifest, "file", path.rstrip("/")).spec
    assert (spec["mode"] == "0400") is matches


def test_directory_symlink_and_absence() -> None:
    """`type` and `state` must make directories, links and absences, with what was said of them."""
    manifest = rendered(
        {
            "layer.yaml": (
                "files:\n  /srv/data: {type: directory, mode: '0750', owner: app}\n"
                "  /etc/motd: {type: symlink, target: /run/motd}\n  /etc/old.conf: {state: absent}\n"
            )
        }
    ).manifest
    assert resource(manifest, "directory", "/srv/data").spec["mode"] == "0750"
    assert resource(manifest, "symlink", "/etc/motd").spec["target"] == "/run/motd"
    assert resource(manifest, "file", "/etc/old.conf").spec["state"] == "absent"


def test_later_layer_brings_back_what_an_earlier_one_removed() -> None:
    """A file of a later layer must win over an earlier `absent`, and the other way round."""
    base = {"fleet.yaml": "layers: [one, two]\n"}
    absent = "files:\n  /etc/a: {state: absent}\n"
    gone = rendered({**base, "one/files/etc/a": "x", "two/layer.yaml": absent}).manifest
    assert resource(gone, "file", "/etc/a").spec["state"] == "absent"
    back = rendered({**base, "two/files/etc/a": "x", "one/layer.yaml": absent}).manifest
    assert resource(back, "file", "/etc/a").spec["content"]


def test_executable_files_stay_executable() -> None:
    """A file that is executable in Git must be executable on the host, unless a mode is set."""
    manifest = rendered({"files/usr/local/bin/tool.sh": "#!", "files/etc/plain": "x"}).manifest
    assert resource(manifest, "file", "/usr/local/bin/tool.sh").spec["mode"] == "0755"
    assert resource(manifest, "file", "/etc/plain").spec["mode"] == "0644"


def test_check_is_an_argv() -> None:
    """A check must be split into words, quotes honoured, and keep {file} for the driver."""
    tree = {"files/etc/a": "x", "layer.yaml": "files:\n  /etc/a: {check: \"test -s {file} 'a b'\"}\n"}
    assert resource(rendered(tree).manifest, "file", "/etc/a").spec["check"] == [
        "test",
        "-s",
        "{file}",
        "a b",
    ]


def test_checks_are_read() -> None:
    """Checks must be read with their durations, a later layer's over an earlier one's of the same name."""
    checks = rendered(
        {
            "fleet.yaml": "layers: [one, two]\n",
            "one/layer.yaml": (
                'checks:\n  web: {http: "http://127.0.0.1:80/", status: 204, within: 1m30s}\n  db: {tcp: '
                '"[::1]:5432"}\n'
            ),
            "two/layer.yaml": "checks:\n  db: {exec: [/bin/check, '1'], timeout: 500ms}\n",
        }
    ).manifest.checks
    assert [check.name for check in checks] == ["db", "web"]
    assert (checks[0].exec, checks[0].tcp, checks[0].timeout) == (("/bin/check", "1"), "", 0.5)
    assert (checks[1].http, checks[1].status, checks[1].within) == ("http://127.0.0.1:80/", 204, 90.0)


def test_source_path_is_the_root_of_all() -> None:
    """With source.path, layers must be relative to it and messages to the repository."""
    tree = {"prod/fleet.yaml": "layers: [base]\n", "prod/base/files/etc/a": "x", "files/etc/b": "y"}
    assert [key.name for key in rendered(tree, path="prod").manifest.resources] == ["/etc/a"]
    bad = {**tree, "prod/base/layer.yaml": "vras: {}\n"}
    assert problems(bad, path="./prod/")[0].startswith("prod/base/layer.yaml:1: unknown key vras")
    assert "source.path" in problems(tree, path="nothing")[0]


def test_label_cannot_leave_the_repository() -> None:
    """A label's value must not be able to name another directory."""
    for value in ("..", "a/b", ""):
        assert "cannot be part of a path" in problems(TREE, labels={"site": value})[0]


def test_warnings_are_errors_when_strict() -> None:
    """What is a warning must be an error with strict, and be in the manifest without."""
    tree = {"files/etc/a": "x", "layer.yaml": "files:\n  /etc/b: {mode: '0600'}\n"}
    assert "no layer has a file for /etc/b" in rendered(tree).manifest.warnings[0]
    assert problems(tree, strict=True)[0].startswith("layer.yaml:2:")


def test_empty_files_are_no_files() -> None:
    """Empty fleet.yaml and layer.yaml must be as good as none."""
    assert rendered({"fleet.yaml": "", "layer.yaml": "# nothing\n", "files/a": "x"}).layers == ("",)


def test_facts_do_not_flap() -> None:
    """Facts must be equal from one look to the next."""
    from agent.render.facts import gather

    assert gather() == gather()
    assert set(gather()) == {"arch", "cpus", "hostname", "kernel", "machine", "memory_gib", "os"}
