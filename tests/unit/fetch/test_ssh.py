"""Sources over OpenSSH."""

from __future__ import annotations

import getpass
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


def _key(path: Path, passphrase: str = "", kind: str = "ed25519", form: str = "RFC4716") -> Path:
    argv = ["ssh-keygen", "-q", "-t", kind, "-m", form, "-N", passphrase, "-f", str(path)]
    subprocess.run(argv, check=True)
    return path


def _public(path: Path) -> str:
    return " ".join(Path(f"{path}.pub").read_text().split()[:2])


def _configure(remote: SshRemote, lines: str) -> None:
    """Starts the server anew with more settings."""
    remote.stop()
    with (remote.directory / "sshd_config").open("a") as file:
        file.write(lines)
    remote.start()


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


def test_any_key_that_stands_for_the_host_will_do(
    remote: SshRemote, repo: GitRepo, fetch: Fetcher, tmp_path: Path
) -> None:
    """A rotation, a pattern, a bare host, another type, and lines for other purposes must not shut the host
    out.
    """
    tip = repo.commit({"a": "1"})
    rsa, other = _key(tmp_path / "host_rsa", kind="rsa"), _key(tmp_path / "other")
    _configure(remote, f"HostKey {rsa}\n")
    keys = {"new": _public(remote.directory / "host_key"), "old": _public(other), "rsa": _public(rsa)}
    here, known = f"[127.0.0.1]:{remote.port}", tmp_path / "known"
    for lines in (
        "{here} {old}\n{here} {new}",
        "{here} {rsa}\n{here} {new}",
        "{here} {rsa}",
        "* {new}",
        "[127.0.0.*]:*,!other {new}",
        "127.0.0.1 {new}",
        "@cert-authority * {old}\n@revoked * {old}\n{here} {new}",
        "other ssh-ed25519 AAAA\nbroken\n@nothing * {new}\n{here} {new}",
    ):
        known.write_text(lines.format(here=here, **keys))
        answer = fetch(remote.url, credentials=_credentials(remote, known_hosts=str(known)))
        assert answer["commit"] == tip, lines


def test_refused_host_keys_lead_to_the_lines(
    remote: SshRemote, repo: GitRepo, fetch: Fetcher, tmp_path: Path
) -> None:
    """A revoked key must be refused though it also stands as a good one; what could not be read must be told
    when no key is right.
    """
    repo.commit({"a": "1"})
    here, new = f"[127.0.0.1]:{remote.port}", _public(remote.directory / "host_key")
    old, known = _public(_key(tmp_path / "other")), tmp_path / "known"
    credentials = _credentials(remote, known_hosts=str(known))
    for lines, words in (
        (f"{here} {new}\n@revoked * {new}\n", (f"is revoked by {known}:2",)),
        (
            f"# a comment\n{here} {old}\n",
            (f"({known}:2)", "is not the one in source.known_hosts", "SHA256:"),
        ),
        (f"\n{here} {new[:-9]}\n", ("is not known", f"line 2 of {known} cannot be read (")),
        (f"@cert-authority * {old}\n", (f"certificates ({known}:1) are not used",)),
        ("broken\n" * 9, (f"line 3 of {known}", "and 6 more")),
    ):
        known.write_text(lines)
        error = fetch.stalled(remote.url, credentials=credentials)
        assert error.code == "HostKey"
        assert all(word in error.message for word in words), error.message


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


def test_the_key_is_read_before_anything_is_sent(remote: SshRemote, fetch: Fetcher, tmp_path: Path) -> None:
    """A bad key must stall, also while the server is down and for a probe: trying again cannot help."""
    remote.stop()
    credentials = _credentials(remote, ssh_key=str(_key(tmp_path / "protected", "secret", "rsa", "PEM")))
    for probe in (False, True):
        error = fetch.stalled(remote.url, credentials=credentials, probe=probe)
        assert error.code == "Credentials" and "source.ssh_key" in error.message


@pytest.mark.parametrize("form", ["RFC4716", "PEM", "PKCS8"])
@pytest.mark.parametrize("kind", ["rsa", "ecdsa"])
def test_keys_of_every_form_work(
    kind: str, form: str, remote: SshRemote, repo: GitRepo, fetch: Fetcher, tmp_path: Path
) -> None:
    """Keys of older kinds and forms must do, whatever stands before the key."""
    tip = repo.commit({"a": "1"})
    key = _key(tmp_path / "key", kind=kind, form=form)
    key.write_text(f"\n# a comment\n{key.read_text()}")
    with (remote.directory / "authorized_keys").open("a") as file:
        file.write(Path(f"{key}.pub").read_text())
    assert fetch(remote.url, credentials=_credentials(remote, ssh_key=str(key)))["commit"] == tip


def test_a_certificate_beside_the_key_is_offered(
    remote: SshRemote, repo: GitRepo, fetch: Fetcher, tmp_path: Path
) -> None:
    """A server that knows only the authority must let the key in, and one that knows only the key must not
    mind the certificate.
    """
    tip = repo.commit({"a": "1"})
    authority, key = _key(tmp_path / "authority"), _key(tmp_path / "key")
    subprocess.run(
        ["ssh-keygen", "-q", "-s", str(authority), "-I", "a", "-n", getpass.getuser(), f"{key}.pub"],
        check=True,
    )
    credentials = _credentials(remote, ssh_key=str(key))
    assert fetch.stalled(remote.url, credentials=credentials).code == "Credentials"
    (remote.directory / "authorized_keys").write_text(_public(key))
    assert fetch(remote.url, credentials=credentials)["commit"] == tip
    (remote.directory / "authorized_keys").write_text("")
    _configure(remote, f"TrustedUserCAKeys {authority}.pub\n")
    assert fetch(remote.url, credentials=credentials)["commit"] == tip


def test_a_server_that_wants_more_than_a_key_stalls(remote: SshRemote, repo: GitRepo, fetch: Fetcher) -> None:
    """What a server wants besides the key must be named: trying again cannot help."""
    repo.commit({"a": "1"})
    _configure(remote, "AuthenticationMethods publickey,publickey\n")
    error = fetch.stalled(remote.url, credentials=_credentials(remote))
    assert error.code == "Credentials" and "wants more than the key of source.ssh_key" in error.message


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
