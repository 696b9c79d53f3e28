"""The host's own settings: every key, every mistake with its line, the cache."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tomllib
from dataclasses import fields
from pathlib import Path

import jsonschema
import pytest

from agent.errors import BadInput, Stalled
from agent.settings import models
from agent.settings.load import load_settings
from agent.settings.values import FILES_DENY, HeartbeatSettings, RegistrySettings, Settings, Window

ROOT = Path(__file__).resolve().parents[3]
MINIMAL = '[source]\nurl = "https://git.example.org/fleet.git"\nbranch = "main"\n'
FULL = """
[host]
name = "web-01"
labels = {role = "web", site = "berlin"}

[source]
url = "ssh://git@git.example.org/fleet.git"
branch = "main"
path = "fleet"
mirrors = ["https://mirror.example.org/fleet.git", "/srv/fleet.bundle"]
insecure_http = true
verify = "history"
trust_from = "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
allowed_signers = "/etc/limpet/signers"
poll = "90s"
timeout = "1m30s"
ssh_key = "/etc/limpet/key"
known_hosts = "/etc/limpet/known_hosts"
username = "deploy"
token_file = "/etc/limpet/token"
ca_file = "/etc/limpet/ca.pem"
proxy = "http://proxy:3128"
max_file = "16 MiB"

[converge]
mode = "report"
resync = "2h30m"
min_age = "1d"
windows = [{allow = "0 2 * * 1-5", for = "2h", tz = "Europe/Berlin"}, {deny = "0 0 24 12 *", for = "2d"}]
prune = false
max_prune = 0.25

[gate]
settle = "5s"
deadline = "10m"
rollback = false
require_source = false

[engine]
socket = "/run/docker.sock"
docker_config = "/etc/limpet/docker.json"

[engine.registries."registry.example.org:5000"]
username = "robot"
token_file = "/etc/limpet/registry-token"
ca_file = "/etc/limpet/registry-ca.crt"
mirrors = ["mirror.example.org:5000", "harbor.example.org/proxy"]

[engine.registries."docker.io"]
mirrors = ["mirror.example.org"]

[policy]
trust = "restricted"
trailers = false
files_deny = ["/etc/shadow"]
files_allow = ["/etc/app/**"]
bind_mounts = ["/srv/**"]
capabilities = ["NET_BIND_SERVICE"]
users = ["app"]
privileged = true
host_network = true
host_pid = true
docker_socket = true

[heartbeat]
file = "/run/limpet/beat.json"
url = "https://fleet.example.org/beats/web-01"
prometheus = "/var/lib/node-exporter"
"""


def written(root: Path, text: str) -> Path:
    path = root / "etc/limpet/limpet.toml"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def problems(root: Path, text: str, environ: dict[str, str] | None = None) -> list[tuple[int, str, str]]:
    """(line, message, hint) of each problem; the environment's have line -1."""
    path = written(root, text)
    with pytest.raises(BadInput) as caught:
        load_settings(root, environ or {})
    assert {p.file for p in caught.value.problems} <= {str(path), "environment"}
    return [(-1 if p.file == "environment" else p.line, p.message, p.hint) for p in caught.value.problems]


def test_three_lines_are_enough(tmp_path: Path) -> None:
    """A host that says only where its source is must work, with the contract's defaults."""
    written(tmp_path, MINIMAL)
    found = load_settings(tmp_path, {})
    assert found.source.url == "https://git.example.org/fleet.git" and found.source.ref == "refs/heads/main"
    assert found.host.name == os.uname().nodename and found.host.labels == {}
    assert (found.source.poll, found.source.timeout, found.source.path, found.source.verify) == (
        60.0,
        30.0,
        ".",
        "none",
    )
    assert found.source.allowed_signers == "/etc/limpet/allowed_signers" and found.source.mirrors == ()
    converge, gate = found.converge, found.gate
    assert (converge.mode, converge.resync, converge.min_age, converge.windows) == ("enforce", 600.0, 0.0, ())
    assert (converge.prune, converge.max_prune) == (True, 0.5)
    assert (gate.settle, gate.deadline, gate.rollback, gate.require_source) == (10.0, 300.0, True, True)
    assert (found.engine.socket, found.engine.docker_config) == (
        "/var/run/docker.sock",
        "/root/.docker/config.json",
    )
    assert (found.policy.trust, found.policy.files_deny) == ("repository", FILES_DENY)
    assert not any(
        (
            found.policy.privileged,
            found.policy.host_network,
            found.policy.host_pid,
            found.policy.docker_socket,
        )
    )
    assert found.heartbeat == HeartbeatSettings("/run/limpet/heartbeat.json", "", "")


def test_branch_defaults_to_main(tmp_path: Path) -> None:
    """A host that names only the url must follow main."""
    written(tmp_path, '[source]\nurl = "/srv/fleet"\n')
    assert load_settings(tmp_path, {}).source.ref_name == "main"


def test_every_key(tmp_path: Path) -> None:
    """Every key of the contract must be read, differ from its default here, and survive the cache."""
    written(tmp_path, FULL)
    found = load_settings(tmp_path, {})
    default = Settings()
    for section in fields(Settings):
        for key in fields(getattr(default, section.name)):
            if (section.name, key.name) in (("source", "branch"), ("source", "tag"), ("source", "commit")):
                continue
            value = getattr(getattr(found, section.name), key.name)
            assert value != getattr(getattr(default, section.name), key.name), f"{section.name}.{key.name}"
    assert (found.source.poll, found.source.timeout) == (90.0, 90.0)
    assert (found.converge.resync, found.converge.min_age) == (9000.0, 86400.0)
    assert found.converge.windows == (
        Window("0 2 * * 1-5", "", 7200.0, "Europe/Berlin"),
        Window("", "0 0 24 12 *", 172800.0, ""),
    )
    assert found.engine.registries["registry.example.org:5000"] == RegistrySettings(
        "robot",
        "/etc/limpet/registry-token",
        "/etc/limpet/registry-ca.crt",
        ("mirror.example.org:5000", "harbor.example.org/proxy"),
    )
    assert found.engine.registries["docker.io"] == RegistrySettings(mirrors=("mirror.example.org",))
    assert Settings.from_json(json.loads(json.dumps(found.to_json()))) == found
    assert load_settings(tmp_path, {}) == found


@pytest.mark.parametrize(
    ("text", "ref", "name"),
    [
        ('branch = "rel/1"', "refs/heads/rel/1", "rel/1"),
        ('tag = "v1"', "refs/tags/v1", "v1"),
        ('commit = "' + "a" * 40 + '"', "a" * 40, "a" * 12),
    ],
)
def test_refs(tmp_path: Path, text: str, ref: str, name: str) -> None:
    """Branch, tag and commit must each be the pin."""
    written(tmp_path, f'[source]\nurl = "/srv/fleet"\n{text}\n')
    assert (load_settings(tmp_path, {}).source.ref, load_settings(tmp_path, {}).source.ref_name) == (
        ref,
        name,
    )


@pytest.mark.parametrize(
    "url",
    [
        "https://git.example.org/f.git",
        "https://u:t@git.example.org:8443/f.git",
        "ssh://git@h/f.git",
        "git://h/f.git",
        "file:///srv/f.git",
        "/srv/f.git",
        "/srv/f.bundle",
        "git@git.example.org:fleet.git",
    ],
)
def test_urls(tmp_path: Path, url: str) -> None:
    """Every way to write a source must be taken."""
    written(tmp_path, f'[source]\nurl = "{url}"\n')
    assert load_settings(tmp_path, {}).source.url == url


@pytest.mark.parametrize(
    ("text", "line", "message", "hint"),
    [
        ('[source]\nurl = "/f"\nbrnch = "x"\n', 3, "unknown key 'brnch'", "did you mean 'branch'?"),
        ('[source]\nurl = "/f"\n[gaet]\n', 3, "unknown section 'gaet'", "did you mean 'gate'?"),
        ('[source]\nurl = "/f"\n\n[gate]\nzzz = 1\n', 5, "unknown key 'zzz'", "settle, deadline"),
        ('[source]\nurl = "/f"\nmax_file = 64\n', 3, "64 is not a size", '"64MiB"'),
        ('[source]\nurl = "/f"\nmax_file = "64 MB"\n', 3, "'64 MB' is not a size", '"64MiB"'),
        ('[source]\nurl = "/f"\nmax_file = "1GiB"\n', 3, "'1GiB' is out of range", "128MiB"),
        ('[source]\nurl = "/f"\npoll = 60\n', 3, "60 is not a duration", '"60s"'),
        ('[source]\nurl = "/f"\npoll = "5 min"\n', 3, "'5 min' is not a duration", '"60s"'),
        ('[source]\nurl = "/f"\npoll = "0s"\n', 3, "is zero", "positive"),
        (
            '[source]\nurl = "/f"\nverify = "sometimes"\n',
            3,
            "'sometimes' is not possible",
            "'none', 'tip' or 'history'",
        ),
        (
            '[source]\nurl = "/f"\nca_file = "ca.pem"\n',
            3,
            "'ca.pem' is not an absolute path",
            "begin it with /",
        ),
        ('[source]\nurl = "/f"\nbranch = "a"\ntag = "b"\n', 3, "is given beside tag or commit", "keep one"),
        ('[source]\nurl = "/f"\ncommit = "abc"\n', 3, "'abc' is not a full commit id", "40 hex digits"),
        ('[source]\nurl = "/f"\nbranch = "a..b"\n', 3, "'a..b' is not a Git branch name", "git branch"),
        ('[source]\nurl = "/f"\nbranch = "-x"\n', 3, "'-x' is not a Git branch name", "git branch"),
        ('[source]\nurl = "/f"\npath = "../x"\n', 3, "leaves the repository", "inside"),
        ('[source]\nurl = "/f"\npath = "/x"\n', 3, "leaves the repository", "inside"),
        ('[source]\nurl = "http://h/f.git"\n', 2, "has scheme 'http'", "insecure_http = true"),
        ('[source]\nurl = "http://h/f"\nusername = "u"\n', 2, "in the clear", "anonymous only"),
        ('[source]\nurl = "http://u:p@h/f"\ninsecure_http = true\n', 2, "in the clear", "https://"),
        (
            '[source]\nurl = "http://h/f"\ninsecure_http = true\ntoken_file = "/t"\n',
            2,
            "in the clear",
            "anonymous only",
        ),
        ('[source]\nurl = "/f"\nmirrors = ["http://h/f"]\n', 3, "has scheme 'http'", "insecure_http"),
        ('[source]\nurl = "git+https://h/f"\n', 2, "has scheme 'git+https'", "write https://"),
        ('[source]\nurl = "git+http://h/f"\n', 2, "has scheme 'git+http'", "write http://"),
        ('[source]\nurl = "ftp://h/f"\n', 2, "has scheme 'ftp'", "https, ssh"),
        ('[source]\nurl = "https://h/my team/f"\n', 2, "a blank in its path", "%20"),
        ('[source]\nurl = "https://[::1/f"\n', 2, "cannot be read", "host:port"),
        ('[source]\nurl = "https://h/f?x=1"\n', 2, "a query", "remove"),
        ('[source]\nurl = "fleet"\n', 2, "has no scheme", "absolute path"),
        ('[source]\nurl = "https:///f"\n', 2, "names no server", "https://git.example.org"),
        ('[source]\nbranch = "main"\n', 1, "source.url: is missing", "[source]"),
        ('[source]\nurl = "/f"\n[converge]\nmax_prune = 1.5\n', 4, "1.5 is not a share", "from 0 to 1"),
        ('[source]\nurl = "/f"\n[converge]\nprune = "perhaps"\n', 4, "'perhaps' is wrong", "boolean"),
        (
            '[source]\nurl = "/f"\n[converge]\nwindows = [{allow = "0 2 * *", for = "2h"}]\n',
            4,
            "not a cron expression",
            "five fields",
        ),
        (
            '[source]\nurl = "/f"\n[converge]\nwindows = [{allow = "0 2 * * *", deny = "0 2 * * *", for = '
            '"2h"}]\n',
            4,
            "has not exactly one of allow and deny",
            "keep one",
        ),
        (
            '[source]\nurl = "/f"\n[converge]\nwindows = [{allow = "0 2 * * *"}]\n',
            4,
            "does not say for how long",
            'for = "2h"',
        ),
        (
            '[source]\nurl = "/f"\n[[converge.windows]]\nallow = "0 2 * * *"\nfor = "2h"\ntz = "Mars/Base"\n',
            6,
            "'Mars/Base' is not a time zone",
            "Europe/Berlin",
        ),
        (
            '[source]\nurl = "/f"\n[gate]\nsettle = "6m"\n',
            4,
            "360 s is not less than the deadline of 300 s",
            "longer",
        ),
        ('[source]\nurl = "/f"\n[host]\nname = "a b"\n', 4, "'a b' cannot be a host's name", "letters"),
        ('[source]\nurl = "/f"\n[host]\nlabels = {ring = 1}\n', 4, "1 is wrong", "string"),
        ('[source]\nurl = "/f"\n[host.labels]\nring = 1\n', 4, "1 is wrong", "string"),
        ('[source]\nurl = "/f"\n[heartbeat]\nurl = "ftp://x"\n', 4, "is not a web address", "https://"),
        (
            '[source]\nurl = "/f"\n[engine.registries."r.example:5000"]\ntoken = "CANARY"\n',
            4,
            "engine.registries.\"r.example:5000\".token: unknown key 'token'",
            "did you mean 'token_file'?",
        ),
        (
            '[source]\nurl = "/f"\n[engine.registries."r.example"]\nca_file = "ca"\n',
            4,
            "'ca' is not an absolute path",
            "begin it with /",
        ),
        (
            '[source]\nurl = "/f"\n[engine]\nregistries = ["x"]\n',
            4,
            "is not a table",
            "below [engine.registries]",
        ),
        (
            '[source]\nurl = "/f"\n[engine.registries."https://r.example"]\n',
            3,
            "is not the name of a registry",
            "HOST:PORT",
        ),
        (
            '[source]\nurl = "/f"\n[engine.registries."index.docker.io"]\n',
            3,
            "is not the name of a registry",
            "docker.io",
        ),
        (
            '[source]\nurl = "/f"\n[engine.registries."r.example"]\nmirrors = ["https://m"]\n',
            4,
            "is not a mirror",
            "without https://",
        ),
        ('source = "x"\n', 1, "'x' is not a table", "[source]"),
        ('source.url = "/f"\nsource.poll = "x"\n', 2, "'x' is not a duration", '"60s"'),
        ("[source]\nurl = /f\n", 2, "is not valid TOML", "quoted"),
        ('[source]\nurl = "/f"\nurl = "/g"\n', 3, "is not valid TOML", "quoted"),
        ("[source\n", 1, "is not valid TOML", "[section]"),
    ],
)
def test_mistakes(tmp_path: Path, text: str, line: int, message: str, hint: str) -> None:
    """Every mistake must name its line, what is wrong, and the remedy."""
    found = problems(tmp_path, text)
    assert len(found) == 1
    assert found[0][0] == line and message in found[0][1] and hint in found[0][2]


def test_all_mistakes_at_once(tmp_path: Path) -> None:
    """All mistakes must be shown, in the order of their lines."""
    text = '[source]\nurl = "x"\npoll = 1\n[gate]\nx = 1\n[engine]\nsocket = "y"\n'
    found = problems(tmp_path, text, {"LIMPET_GATE__SETTLE": "z"})
    assert [line for line, _, _ in found] == [2, 3, 5, 7, -1]


def test_missing_file_says_the_three_lines(tmp_path: Path) -> None:
    """With no settings at all, the message must say exactly which three lines to write."""
    with pytest.raises(BadInput) as caught:
        load_settings(tmp_path, {})
    hint = caught.value.hint
    assert str(tmp_path / "etc/limpet/limpet.toml") in caught.value.message
    lines = [line.strip() for line in hint.splitlines()[1:]]
    assert len(lines) == 3
    written(tmp_path, "\n".join(lines))
    assert load_settings(tmp_path, {}).source.branch == "main"


def test_unreadable_settings(tmp_path: Path) -> None:
    """Settings that are no text, or a directory, must be an error with a remedy, not a crash."""
    written(tmp_path, "").write_bytes(b"\xff\xfe")
    with pytest.raises(BadInput, match="UTF-8"):
        load_settings(tmp_path, {})
    (tmp_path / "etc/limpet/limpet.toml").unlink()
    (tmp_path / "etc/limpet/limpet.toml").mkdir()
    with pytest.raises(Stalled, match="cannot read"):
        load_settings(tmp_path, {})


def test_no_credential_in_a_message(tmp_path: Path) -> None:
    """A mistake in a URL must not print its password."""
    for text in (
        '[source]\nurl = "http://u:CANARY@h/f"\n',
        '[source]\nurl = "https://u:CANARY@h/f"\nmirrors = ["ftp://u:CANARY@h"]\n',
        '[source]\nurl = ["https://u:CANARY%s@h"]\n' % ("x" * 60),
        '[source]\nurl = ["https://u:CANARY@h"]\n',
        '[source]\nurl = "/f"\nmirrors = "https://u:CANARY@h"\n',
    ):
        assert "CANARY" not in repr(problems(tmp_path, text))


# --- environment --------------------------------------------------------------------------------------------


def test_environment_wins(tmp_path: Path) -> None:
    """Every key must also be a variable, which wins over the file; lists and maps are JSON."""
    written(tmp_path, MINIMAL + '[host]\nname = "from-file"\nlabels = {role = "web"}\n')
    found = load_settings(
        tmp_path,
        {
            "LIMPET_SOURCE__BRANCH": "next",
            "LIMPET_SOURCE__POLL": "5m",
            "LIMPET_CONVERGE__PRUNE": "false",
            "LIMPET_CONVERGE__MAX_PRUNE": "0.1",
            "LIMPET_SOURCE__MIRRORS": '["/srv/f.bundle"]',
            "LIMPET_HOST__LABELS": '{"ring": "canary"}',
            "LIMPET_ENGINE__REGISTRIES": '{"r.example:5000": {"username": "robot", "mirrors": '
            '["m.example"]}}',
            "HOST": "x",
            "SOURCE": "y",
            "LIMPET_TEST_KILL_AT": "3",
            "PATH": "/bin",
        },
    )
    assert (found.source.branch, found.source.poll, found.source.mirrors) == (
        "next",
        300.0,
        ("/srv/f.bundle",),
    )
    assert (found.converge.prune, found.converge.max_prune, found.host.name) == (False, 0.1, "from-file")
    assert found.host.labels["ring"] == "canary"
    assert found.engine.registries == {"r.example:5000": RegistrySettings("robot", mirrors=("m.example",))}
    assert found.source.url == "https://git.example.org/fleet.git"


def test_environment_alone_is_enough(tmp_path: Path) -> None:
    """Without a file, the variables alone must do."""
    assert load_settings(tmp_path, {"LIMPET_SOURCE__URL": "/srv/fleet"}).source.url == "/srv/fleet"


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("LIMPET_SOURCE__POLL", "soon", "'soon' is not a duration"),
        ("LIMPET_SOURCE__URLL", "/x", "unknown key 'urll'"),
        ("LIMPET_SORCE__URL", "/x", "there is no section 'sorce'"),
        ("LIMPET_SOURCE__MIRRORS", "nope", "must be JSON"),
        ("LIMPET_CONVERGE__MODE", "x", "'x' is not possible"),
        ("LIMPET_GATE__SETTLE", "1h", "not less than the deadline"),
    ],
)
def test_mistakes_in_the_environment(tmp_path: Path, name: str, value: str, message: str) -> None:
    """A mistake in a variable must name the variable and the remedy."""
    [(line, said, hint)] = problems(tmp_path, MINIMAL, {name: value})
    assert line == -1 and message in said and hint
    assert name in said or name.rpartition("__")[0] in said


# --- credentials --------------------------------------------------------------------------------------------


def test_systemd_credentials(tmp_path: Path) -> None:
    """Credentials that the settings leave out must come from systemd: files by path, words by content;
    settings win.
    """
    written(tmp_path, MINIMAL + 'ca_file = "/etc/own.pem"\n')
    directory = tmp_path / "credentials"
    directory.mkdir()
    for name in ("ssh_key", "known_hosts", "username", "token_file", "ca_file", "proxy"):
        (directory / f"source.{name}").write_text(f"content of {name}\n")
    source = load_settings(tmp_path, {"CREDENTIALS_DIRECTORY": str(directory)}).source
    assert source.ssh_key == str(directory / "source.ssh_key") and source.token_file == str(
        directory / "source.token_file"
    )
    assert (source.username, source.proxy, source.ca_file) == (
        "content of username",
        "content of proxy",
        "/etc/own.pem",
    )
    assert load_settings(tmp_path, {}).source.ssh_key == "", (
        "a credential must not outlive its service in the cache"
    )
    assert "content of" not in (tmp_path / "run/limpet/settings.json").read_text()


def test_systemd_credentials_of_registries(tmp_path: Path) -> None:
    """What a registry's table leaves out must come from systemd, too, under the registry's name."""
    written(
        tmp_path,
        MINIMAL
        + '[engine.registries."r.example:5000"]\nca_file = "/own.pem"\n[engine.registries."s.example"]\n',
    )
    directory = tmp_path / "credentials"
    directory.mkdir()
    for name in (
        "r.example_5000.token_file",
        "r.example_5000.ca_file",
        "r.example_5000.username",
        "t.example.token_file",
    ):
        (directory / f"engine.registries.{name}").write_text("robot\n")
    found = load_settings(tmp_path, {"CREDENTIALS_DIRECTORY": str(directory)}).engine.registries
    token = str(directory / "engine.registries.r.example_5000.token_file")
    assert found == {
        "r.example:5000": RegistrySettings("robot", token, "/own.pem"),
        "s.example": RegistrySettings(),
    }


def test_changed_table_is_noticed(tmp_path: Path) -> None:
    """A change of a registry's table must be seen at the next load, whatever is cached."""
    for name in ("one", "two"):
        written(tmp_path, MINIMAL + f'[engine.registries."r.example"]\nusername = "{name}"\n')
        for _ in range(2):
            assert load_settings(tmp_path, {}).engine.registries["r.example"].username == name
    environ = {"LIMPET_ENGINE__REGISTRIES": '{"r.example": {"username": "three"}}'}
    assert load_settings(tmp_path, environ).engine.registries["r.example"].username == "three"


# --- the cache ----------------------------------------------------------------------------------------------

LOADED = (
    "import sys, time; from pathlib import Path\n"
    "from agent.settings.load import load_settings; s = load_settings(Path(sys.argv[1]))\n"
    "print(s.source.branch, 'pydantic' in sys.modules)"
)


def in_child(root: Path, **environ: str) -> str:
    child = subprocess.run(
        [sys.executable, "-c", LOADED, str(root)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
        env={"PATH": os.environ["PATH"], **environ},
    )
    return child.stdout.strip()


def test_second_load_needs_no_pydantic(tmp_path: Path) -> None:
    """Unchanged settings must be loaded without the validator; any change must be validated again."""
    path = written(tmp_path, MINIMAL)
    assert in_child(tmp_path) == "main True"
    assert in_child(tmp_path) == "main False"
    assert in_child(tmp_path, LIMPET_TEST_KILL_AT="3") == "main False", (
        "what is no setting must not cost a validation"
    )
    assert in_child(tmp_path, LIMPET_SOURCE__BRANCH="next") == "next True"
    assert in_child(tmp_path) == "main True"
    before = path.stat()
    path.write_text(MINIMAL.replace("main", "test"))
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert in_child(tmp_path) == "test True", "the bytes count, not the time"


@pytest.mark.parametrize("damage", ["", "{", "[]", '{"fingerprint": 1}', '{"settings": {}}'])
def test_damaged_cache_is_ignored(tmp_path: Path, damage: str) -> None:
    """A damaged cache must cost a validation and nothing else."""
    written(tmp_path, MINIMAL)
    load_settings(tmp_path, {})
    cache = tmp_path / "run/limpet/settings.json"
    assert cache.stat().st_mode & 0o777 == 0o600
    cache.write_text(damage)
    assert load_settings(tmp_path, {}).source.branch == "main"


def test_wrong_settings_are_not_hidden_by_the_cache(tmp_path: Path) -> None:
    """Settings that became wrong, or were deleted, must be an error although good ones are cached."""
    path = written(tmp_path, MINIMAL)
    load_settings(tmp_path, {})
    path.write_text(MINIMAL + "x = 1\n")
    with pytest.raises(BadInput):
        load_settings(tmp_path, {})
    path.unlink()
    with pytest.raises(BadInput):
        load_settings(tmp_path, {})


def test_cache_that_cannot_be_written(tmp_path: Path) -> None:
    """A run-time directory that cannot be written must not fail the load."""
    written(tmp_path, MINIMAL)
    (tmp_path / "run").write_text("in the way")
    assert load_settings(tmp_path, {}).source.branch == "main"


# --- schema -------------------------------------------------------------------------------------------------


def test_schema_accepts_what_the_loader_accepts() -> None:
    """The published schema must accept full settings, refuse mistakes, and describe defaults as they are
    written.
    """
    schema = models.json_schema()
    validator = jsonschema.Draft202012Validator(schema)
    jsonschema.Draft202012Validator.check_schema(schema)
    validator.validate(tomllib.loads(FULL))
    validator.validate(tomllib.loads(MINIMAL))
    for text in (
        "[source]\npoll = 60",
        '[source]\nx = "y"',
        '[engine]\nsocket = "x"',
        "[converge]\nmax_prune = 2",
    ):
        assert list(validator.iter_errors(tomllib.loads(text))), text
    assert schema["$defs"]["Source"]["properties"]["poll"]["default"] == "1m"
    assert "for" in schema["$defs"]["Window"]["properties"]


@pytest.mark.parametrize(
    "text",
    [
        'url = "http://h/f.git"\ninsecure_http = true',
        'url = "http://[2001:db8::1]:3000/f.git"\ninsecure_http = true',
        'url = "https://h/f"\nmirrors = ["http://h/f", "/srv/f"]\ninsecure_http = true',
        'url = "http://localhost:3000/f.git"',
        'url = "http://127.0.0.1/f.git"\ntoken_file = "/t"',
        'url = "http://[::1]/f.git"',
        'url = "git+ssh://git@h/f.git"',
        'url = "ssh+git://git@h/f.git"',
        'url = "git://h/f.git"',
        'url = "git@h:f.git"',
        'url = "h:/srv/f.git"',
        'url = "https://h/équipe/f.git"',
        'url = "https://bücher.example/f.git"',
        'url = "https://[::1]:8443/f.git"',
        'url = "https://h:443/f/"',
    ],
)
def test_addresses_that_the_settings_take(tmp_path: Path, text: str) -> None:
    """What the fetch can use must be taken by the settings, too; plain http to others when they say so."""
    written(tmp_path, f"[source]\n{text}\n")
    assert load_settings(tmp_path, {}).source.url in text
