"""The doctor: every trouble named with its remedy, and nothing changed."""

from __future__ import annotations

from pathlib import Path

import pytest

from agent.__main__ import main
from agent.clock import SystemClock
from agent.installation import Paths
from agent.report.heartbeat_writer import Reporter
from agent.settings.values import Settings, SourceSettings
from agent.store.state import State, StateStore
from tests.harness.gitrepo import GitRepo


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """An installation whose source is a repository that is there."""
    GitRepo(tmp_path / "fleet").commit({"compose.yaml": "services: {}\n"})
    settings(tmp_path, f'[source]\nurl = "{tmp_path}/fleet"\n')
    return tmp_path


def settings(root: Path, text: str) -> None:
    path = root / "etc/limpet/limpet.toml"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def doctor(root: Path, capsys: pytest.CaptureFixture[str]) -> tuple[int, dict[str, list[str]]]:
    """The exit code, and the lines of each check, with its remedy joined on."""
    code = main(["--root", str(root), "doctor"])
    found: dict[str, list[str]] = {}
    lines: list[str] = []
    for line in capsys.readouterr().out.splitlines():
        if line.startswith(" "):
            lines[-1] += " " + line.strip()
        else:
            mark, name, text = line.split(maxsplit=2)
            lines = found.setdefault(name, [])
            lines.append(f"{mark}: {text}")
    return code, found


def test_healthy_parts_are_ok(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """What is right must be said to be ok, with what was found."""
    _, found = doctor(root, capsys)
    assert found["settings"][0].startswith("ok: ") and found["settings"][0].endswith("fleet main")
    assert found["state"] == [f"ok: {root}/var/lib/limpet: nothing was applied yet, 0 resources owned"]
    assert found["credentials"] == ["ok: none are given"]
    assert found["source"][0].startswith("ok: answers in ")
    assert found["source"][0].endswith(f": main is at {GitRepo(root / 'fleet').head()[:7]}")
    assert found["disk"][0].startswith("ok: ")
    assert list(found) == [
        "settings",
        "state",
        "credentials",
        "source",
        "docker",
        "heartbeat",
        "systemd",
        "disk",
        "clock",
    ]


def test_wrong_settings_do_not_end_the_examination(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Every mistake in the settings must be shown, and what needs no settings still be checked."""
    settings(root, '[source]\nurl = "/x"\npoll = 1\nbrnch = "x"\n')
    code, found = doctor(root, capsys)
    assert code == 1 and len(found["settings"]) == 2
    assert ":3: source.poll" in found["settings"][0] and "to do: write it like" in found["settings"][0]
    assert "disk" in found and "docker" not in found


def test_no_settings(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Without settings, the three lines to write must be said."""
    code, found = doctor(tmp_path, capsys)
    assert (
        code == 1 and "write these three lines" in found["settings"][0] and "[source]" in found["settings"][0]
    )


def test_docker_that_is_not_there(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A socket that does not answer must be wrong, with a remedy."""
    settings(root, f'[source]\nurl = "{root}/fleet"\n[engine]\nsocket = "{root}/none.sock"\n')
    code, found = doctor(root, capsys)
    assert code == 1 and found["docker"][0].startswith("WRONG: ") and "to do:" in found["docker"][0]


def test_source_that_is_not_there(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A local source that is missing, and a server that refuses, must be wrong, without the URL's
    credentials.
    """
    settings(root, '[source]\nurl = "/no/such/fleet"\n')
    code, found = doctor(root, capsys)
    assert code == 1 and found["source"] == ["WRONG: there is no /no/such/fleet to do: correct source.url"]
    settings(root, '[source]\nurl = "https://u:CANARY@127.0.0.1:1/fleet.git"\n')
    code, found = doctor(root, capsys)
    assert code == 1 and found["source"][0].startswith("WRONG: ") and "to do:" in found["source"][0]
    assert "CANARY" not in str(found)


@pytest.mark.parametrize(
    ("ref", "told", "remedy"),
    [
        ('branch = "mian"', "has no branch mian", "its branches are main"),
        ('tag = "v2"', "has no tag v2", "its tags are v1"),
        ('branch = "v1"', "has no branch v1", "set source.tag instead"),
    ],
)
def test_a_branch_or_tag_that_is_not_there(
    ref: str, told: str, remedy: str, root: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A branch or tag that the source does not have must be wrong, with those that it has."""
    repo = GitRepo(root / "fleet")
    repo.tag("v1", repo.head())
    settings(root, f'[source]\nurl = "{root}/fleet"\n{ref}\n')
    code, found = doctor(root, capsys)
    assert code == 1 and found["source"][0].startswith("WRONG: ")
    assert told in found["source"][0] and remedy in found["source"][0]


def test_a_source_with_another_name_for_a_path(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A file URL must be looked at where it leads to, also when it has %20 or a host in it."""
    GitRepo(root / "my fleet").commit({"a": "1"})
    for url in (f"file://{root}/my%20fleet", f"file://localhost{root}/my%20fleet"):
        settings(root, f'[source]\nurl = "{url}"\n')
        assert doctor(root, capsys)[1]["source"][0].startswith("ok: answers in ")


def test_plain_http_is_warned_of(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A source that everybody on the way can change must be a warning, though the settings allow it."""
    settings(
        root, '[source]\nurl = "http://192.0.2.1:1/x.git"\ninsecure_http = true\nproxy = "127.0.0.1:1"\n'
    )
    found = doctor(root, capsys)[1]["source"]
    assert found[0].startswith("warning: http://192.0.2.1:1/x.git is plain http")


def test_credentials(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A key that others can read, and a file that is missing, must be wrong; a private one ok."""
    text = f'[source]\nurl = "{root}/fleet"\nssh_key = "/etc/limpet/key"\n'
    settings(root, text)
    code, found = doctor(root, capsys)
    assert code == 1 and "No such file" in found["credentials"][0]
    key = root / "etc/limpet/key"
    key.write_text("key")
    key.chmod(0o640)
    _, found = doctor(root, capsys)
    assert found["credentials"] == [
        f"WRONG: source.ssh_key: {key} is open to others (mode 0640) to do: chmod 600 {key}"
    ]
    key.chmod(0o600)
    assert doctor(root, capsys)[1]["credentials"] == ["ok: source.ssh_key given"]


def test_lines_of_known_hosts_that_are_skipped(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A line that nobody can read must be told also while another one serves."""
    (root / "known").write_text("# mine\nh ssh-ed25519 AAAA\n")
    settings(root, f'[source]\nurl = "{root}/fleet"\nknown_hosts = "/known"\n')
    _, found = doctor(root, capsys)
    assert found["credentials"][0].startswith(f"warning: source.known_hosts: {root}/known:2 is skipped: ")
    assert "correct the line" in found["credentials"][0]


def test_files_of_registries(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A registry's token that others can read, and a CA that is missing, must be wrong, and nothing of the
    token be shown.
    """
    table = (
        '[engine.registries."r.example:5000"]\ntoken_file = "/etc/limpet/token"\nca_file = '
        '"/etc/limpet/ca.pem"\n'
    )
    settings(root, f'[source]\nurl = "{root}/fleet"\n{table}')
    token = root / "etc/limpet/token"
    token.write_text("CANARY")
    token.chmod(0o644)
    code, found = doctor(root, capsys)
    assert code == 1 and len(found["credentials"]) == 2 and "CANARY" not in str(found)
    assert found["credentials"][0].startswith(
        f'WRONG: engine.registries."r.example:5000".token_file: {token} is open to others'
    )
    assert "ca.pem: No such file" in found["credentials"][1]
    token.chmod(0o600)
    (root / "etc/limpet/ca.pem").write_text("x")
    assert doctor(root, capsys)[1]["credentials"][0].startswith("ok: ")


def test_state_of_another_machine_and_damage(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A copied state must be wrong, a damaged generation a warning."""
    (root / "etc/machine-id").write_text("0" * 32)
    store = StateStore(Paths(root).state)
    store.save(State(machine_id="0" * 32))
    store.save(State(machine_id="1" * 32))
    _, found = doctor(root, capsys)
    assert any(line.startswith("WRONG: the state belongs to another machine") for line in found["state"])
    (root / "var/lib/limpet/state.json").write_bytes(b"")
    _, found = doctor(root, capsys)
    assert found["state"][0].startswith("warning: ") and "is damaged" in found["state"][0]


def test_heartbeat_state_is_shown(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A heartbeat without a daemon must be a warning, and its state be told."""
    Reporter(
        Paths(root), Settings(source=SourceSettings(url=f"{root}/fleet", branch="main")), SystemClock()
    ).alive()
    _, found = doctor(root, capsys)
    assert found["heartbeat"][0].startswith("warning: no daemon runs here")
    assert found["heartbeat"][1].startswith("ok: Progressing")


def test_doctor_changes_nothing(root: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The examination must write nothing but the settings cache."""
    doctor(root, capsys)
    paths = (path.relative_to(root) for path in root.rglob("*") if path.is_file())
    files = {str(path) for path in paths if path.parts[0] != "fleet"}
    assert files == {"etc/limpet/limpet.toml", "run/limpet/settings.json"}
