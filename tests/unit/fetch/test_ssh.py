"""Sources over OpenSSH."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.harness.gitrepo import GitRepo
from tests.harness.gitserver import SshRemote
from tests.unit.fetch.fetching import Fetcher, silent_server


@pytest.fixture
def remote(repo: GitRepo, tmp_path: Path) -> Iterator[SshRemote]:
    with SshRemote(repo, tmp_path / "sshd") as running:
        yield running


@pytest.fixture
def fetch(tmp_path: Path) -> Fetcher:
    return Fetcher(tmp_path / "host")


def _credentials(remote: SshRemote, **other: str) -> dict[str, str]:
    return {key: value for key, value in remote.settings().items() if key != "url"} | other


def _key(path: Path, passphrase: str = "", kind: str = "ed25519") -> Path:
    subprocess.run(["ssh-keygen", "-q", "-t", kind, "-N", passphrase, "-f", str(path)], check=True)
    return path


def test_commits_come_over_ssh(remote: SshRemote, repo: GitRepo, fetch: Fetcher) -> None:
    """SSH must bring commits; an unchanged poll is one command, and news are one more on the same
    connection.
    """
    pin = repo.commit({"a": "1"})
    assert fetch(remote.url, credentials=_credentials(remote))["commit"] == pin
    answer = fetch(remote.url, credentials=_credentials(remote))
    assert (answer["changed"], answer["requests"]) == (False, 1)
    tip = repo.commit({"a": "2"})
    answer = fetch(remote.url, credentials=_credentials(remote), pin=pin)
    assert (answer["commit"], answer["descends"], answer["requests"]) == (tip, True, 2)
    assert fetch(remote.url, credentials=_credentials(remote), probe=True)["answers"] is True
    fetch.sound()


def test_the_child_speaks_ssh(remote: SshRemote, repo: GitRepo, fetch: Fetcher) -> None:
    """The real child, under its limits, must be able to use SSH and end cleanly."""
    tip = repo.commit({"a": "1"})
    assert fetch.child(remote.url, credentials=_credentials(remote))["commit"] == tip


def test_an_unknown_host_key_is_refused(
    remote: SshRemote, repo: GitRepo, fetch: Fetcher, tmp_path: Path
) -> None:
    """A host key that nobody vouched for must not be trusted; the message shows it for comparison."""
    repo.commit({"a": "1"})
    empty = tmp_path / "known_hosts"
    empty.write_text("")
    error = fetch.stalled(remote.url, credentials=_credentials(remote, known_hosts=str(empty)))
    assert error.code == "HostKey" and "SHA256:" in error.message and "ssh-keyscan" in error.hint
    missing = fetch.stalled(remote.url, credentials=_credentials(remote, known_hosts=str(tmp_path / "none")))
    assert "source.known_hosts" in missing.hint


def test_a_changed_host_key_is_refused(
    remote: SshRemote, repo: GitRepo, fetch: Fetcher, tmp_path: Path
) -> None:
    """A host key other than the known one must be refused, also for a probe."""
    repo.commit({"a": "1"})
    other = _key(tmp_path / "other")
    known = tmp_path / "known"
    known.write_text(f"[127.0.0.1]:{remote.port} {Path(f'{other}.pub').read_text()}")
    credentials = _credentials(remote, known_hosts=str(known))
    for probe in (False, True):
        error = fetch.stalled(remote.url, credentials=credentials, probe=probe)
        assert error.code == "HostKey" and "is not the one in source.known_hosts" in error.message


def test_a_key_that_the_server_does_not_know_stalls(
    remote: SshRemote, repo: GitRepo, fetch: Fetcher, tmp_path: Path
) -> None:
    """A refused key must stall and name the key of the settings; the server did answer."""
    repo.commit({"a": "1"})
    stranger = str(_key(tmp_path / "stranger"))
    error = fetch.stalled(remote.url, credentials=_credentials(remote, ssh_key=stranger))
    assert error.code == "Credentials" and "source.ssh_key" in error.message and "deploy key" in error.hint
    answer = fetch(remote.url, credentials=_credentials(remote, ssh_key=stranger), probe=True)
    assert answer["answers"] is True and "source.ssh_key" in answer["refused"]


def test_keys_that_cannot_be_used_stall(remote: SshRemote, fetch: Fetcher, tmp_path: Path) -> None:
    """A key that is missing, protected or no key at all must be named."""
    garbage = tmp_path / "garbage"
    garbage.write_text("not a key\n")
    protected = _key(tmp_path / "protected", "passphrase")
    for key, word in (
        ("", "source.ssh_key"),
        (str(tmp_path / "none"), "not there"),
        (str(garbage), "is not a usable private key"),
        (str(protected), "passphrase"),
    ):
        error = fetch.stalled(remote.url, credentials=_credentials(remote, ssh_key=key))
        assert error.code == "Credentials" and word in error.message + error.hint, error.message


def test_an_rsa_key_works(remote: SshRemote, repo: GitRepo, fetch: Fetcher, tmp_path: Path) -> None:
    """Keys of older kinds must do."""
    tip = repo.commit({"a": "1"})
    key = _key(tmp_path / "rsa", kind="rsa")
    with (remote.directory / "authorized_keys").open("a") as file:
        file.write(Path(f"{key}.pub").read_text())
    assert fetch(remote.url, credentials=_credentials(remote, ssh_key=str(key)))["commit"] == tip


def test_a_repository_that_is_not_there(remote: SshRemote, fetch: Fetcher) -> None:
    """What the remote git says must reach the message."""
    error = fetch.stalled(remote.url + "-none", credentials=_credentials(remote))
    assert error.code == "NoRepository" and "-none" in error.message


def test_a_path_with_quotes_is_one_path(remote: SshRemote, repo: GitRepo, fetch: Fetcher) -> None:
    """A quote in the path must not end up in a shell."""
    tip = repo.commit({"a": "1"})
    odd = repo.path.with_name("it's $(touch pwned); .git")
    shutil.copytree(repo.path, odd)
    url = f"{remote.url.removesuffix('/fleet.git')}/it's%20$(touch%20pwned);%20.git"
    assert fetch(url, credentials=_credentials(remote))["commit"] == tip
    assert not list(Path.home().glob("pwned"))


def test_servers_that_are_down_or_silent(remote: SshRemote, repo: GitRepo, fetch: Fetcher) -> None:
    """A refused connection and silence must be Transient and name the server."""
    repo.commit({"a": "1"})
    credentials = _credentials(remote)
    remote.stop()
    assert fetch.transient(remote.url, credentials=credentials).code == "ConnectionRefused"
    for greeting in (b"", b"SSH-2.0-silent\r\n"):
        with silent_server(greeting) as port:
            url = remote.url.replace(str(remote.port), str(port))
            error = fetch.transient(url, credentials=credentials, timeout=0.5)
            assert error.code == "Timeout" and str(port) in error.message
    with silent_server(b"HTTP/1.1 400 Bad Request\r\n\r\n" * 200) as port:
        assert fetch.transient(
            remote.url.replace(str(remote.port), str(port)), credentials=credentials, timeout=0.5
        )
