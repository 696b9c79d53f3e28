"""Sources over HTTP: what is asked, what errors mean, and what never leaves the house."""

from __future__ import annotations

import base64
import http.server
import json
import os
import select
import socket
import threading
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from tests.harness.gitrepo import GitRepo
from tests.harness.gitserver import HttpsRemote
from tests.harness.net import free_port
from tests.harness.tls import Authority
from tests.unit.fetch.fetching import (
    PATIENCE,
    Fetcher,
    Throttle,
    git,
    http_backend,
    respond,
    silent_server,
    web_server,
)

SECRET = "s3cret-canary-of-the-url"


@pytest.fixture
def remote(repo: GitRepo, tmp_path: Path) -> Iterator[HttpsRemote]:
    with HttpsRemote(repo, tmp_path / "server") as running:
        yield running


@pytest.fixture
def fetch(tmp_path: Path) -> Fetcher:
    return Fetcher(tmp_path / "host")


def _credentials(remote: HttpsRemote, **other: str) -> dict[str, str]:
    return {key: value for key, value in remote.settings().items() if key != "url"} | other


def test_an_unchanged_poll_asks_for_one_ref(remote: HttpsRemote, repo: GitRepo, fetch: Fetcher) -> None:
    """A poll with nothing new must ask for one ref only, whatever else the repository holds."""
    repo.commit({"a": "1"})
    lines = "".join(f"create refs/heads/feature/{number} {repo.head()}\n" for number in range(300))
    git(repo.path, "update-ref", "--stdin", data=lines.encode())
    fetch(remote.url, credentials=_credentials(remote))
    remote.forget_requests()
    answer = fetch(remote.url, credentials=_credentials(remote))
    seen = remote.requests()
    assert answer["changed"] is False and len(seen) == answer["requests"] == 1
    assert [r.method for r in seen] == ["POST"] and sum(r.sent for r in seen) < 600


def test_news_cost_one_more_request(remote: HttpsRemote, repo: GitRepo, fetch: Fetcher) -> None:
    """A new commit must be brought by one more request than a poll, over one connection."""
    pin = repo.commit({"a": "1"})
    fetch(remote.url, credentials=_credentials(remote))
    remote.forget_requests()
    tip = repo.commit({"a": "2"})
    answer = fetch(remote.url, credentials=_credentials(remote), pin=pin)
    assert (answer["commit"], answer["descends"]) == (tip, True)
    assert len(remote.requests()) == answer["requests"] == 2
    fetch.sound()


def test_a_force_push_over_https(remote: HttpsRemote, repo: GitRepo, fetch: Fetcher) -> None:
    """A rewritten branch must be brought and told apart over HTTPS too."""
    first = repo.commit({"a": "1"})
    pin = repo.commit({"a": "2"})
    fetch(remote.url, credentials=_credentials(remote))
    tip = repo.commit({"a": "3"}, parent=first)
    answer = fetch(remote.url, credentials=_credentials(remote), pin=pin)
    assert (answer["commit"], answer["descends"]) == (tip, False)


def test_a_wrong_token_stalls(remote: HttpsRemote, repo: GitRepo, fetch: Fetcher, tmp_path: Path) -> None:
    """Refused credentials must stall with the keys of the settings as the remedy."""
    repo.commit({"a": "1"})
    wrong = tmp_path / "wrong"
    wrong.write_text(f"{SECRET}\n")
    for credentials in (
        _credentials(remote, token_file=str(wrong)),
        _credentials(remote, token_file="", username=""),
    ):
        error = fetch.stalled(remote.url, credentials=credentials)
        assert error.code == "Credentials" and "401" in error.message and "source.token_file" in error.hint
        assert SECRET not in error.message + error.hint
    answer = fetch(remote.url, credentials=_credentials(remote, token_file=str(wrong)), probe=True)
    assert answer["answers"] is True and "401" in answer["refused"] and "source.token_file" in answer["hint"]
    assert "refused" not in fetch(remote.url, credentials=_credentials(remote), probe=True)


@pytest.mark.parametrize("content", [None, "", "two\nlines\n"])
def test_a_token_file_that_holds_no_token_stalls(
    content: str | None, remote: HttpsRemote, fetch: Fetcher, tmp_path: Path
) -> None:
    """A token file that is missing, empty or of several lines must be named, and its content not shown."""
    file = tmp_path / "token"
    if content is not None:
        file.write_text(content)
    error = fetch.stalled(remote.url, credentials=_credentials(remote, token_file=str(file)))
    assert str(file) in error.message and "two" not in error.message


def test_an_unknown_authority_is_not_accepted(
    remote: HttpsRemote, repo: GitRepo, fetch: Fetcher, tmp_path: Path
) -> None:
    """A certificate of an authority that is not named must be refused, with the key that names one."""
    repo.commit({"a": "1"})
    other = Authority(tmp_path / "other")
    for ca_file in ("", str(other.ca_file)):
        error = fetch.transient(remote.url, credentials=_credentials(remote, ca_file=ca_file))
        assert error.code == "TlsCertificate" and "source.ca_file" in error.hint
    assert remote.requests() == []
    stalled = fetch.stalled(remote.url, credentials=_credentials(remote, ca_file="/nowhere/ca.pem"))
    assert "/nowhere/ca.pem" in stalled.message


def test_a_certificate_of_another_name_is_not_accepted(remote: HttpsRemote, fetch: Fetcher) -> None:
    """A certificate for another name must be refused and the remedy name the URL."""
    error = fetch.transient(remote.url.replace("127.0.0.1", "127.0.0.2"), credentials=_credentials(remote))
    assert error.code in ("TlsCertificate", "ConnectionRefused")
    error = fetch.transient(
        remote.url.replace("127.0.0.1", "ip6-localhost"), credentials=_credentials(remote)
    )
    assert error.code in (
        "TlsCertificate",
        "ConnectionRefused",
        "Dns",
        "Network",
    )  # a machine may have no IPv6


def test_a_port_without_tls(repo: GitRepo, fetch: Fetcher) -> None:
    """https to a port that speaks something else must be Transient and say TLS."""
    with web_server(lambda request: respond(request, 200)) as url:
        assert "TLS" in fetch.transient(url.replace("http://", "https://") + "/x.git").message


def test_a_server_that_is_down_and_comes_back(remote: HttpsRemote, repo: GitRepo, fetch: Fetcher) -> None:
    """A refused connection must be Transient and name the server; afterwards all works as before."""
    repo.commit({"a": "1"})
    fetch(remote.url, credentials=_credentials(remote))
    remote.stop()
    error = fetch.transient(remote.url, credentials=_credentials(remote))
    assert error.code == "ConnectionRefused" and f"127.0.0.1:{remote.port}" in error.message
    assert fetch.transient(remote.url, probe=True, credentials=_credentials(remote)).retryable
    remote.start()
    assert fetch(remote.url, credentials=_credentials(remote))["changed"] is False


def test_a_name_that_does_not_exist(fetch: Fetcher) -> None:
    """A name that cannot be resolved must be Transient and name it."""
    error = fetch.transient("https://limpet.invalid/fleet.git")
    assert error.code == "Dns" and "limpet.invalid" in error.message


def test_a_server_that_hangs(remote: HttpsRemote, repo: GitRepo, fetch: Fetcher) -> None:
    """Silence must end the fetch after the time of the settings, also inside TLS."""
    repo.commit({"a": "1"})
    remote.hang()
    started = time.monotonic()
    error = fetch.transient(remote.url, credentials=_credentials(remote), timeout=1.0)
    assert error.code == "Timeout" and "1 s" in error.message
    assert 1.0 <= time.monotonic() - started < PATIENCE
    remote.resume()
    assert fetch(remote.url, credentials=_credentials(remote))["changed"]


@pytest.mark.parametrize("scheme", ["https", "http", "git"])
@pytest.mark.parametrize("probe", [False, True])
def test_a_server_that_accepts_and_is_silent(scheme: str, probe: bool, fetch: Fetcher) -> None:
    """A socket that accepts and says nothing must not hold a fetch, nor count as an answer."""
    with silent_server() as port:
        assert (
            fetch.transient(f"{scheme}://127.0.0.1:{port}/fleet.git", probe=probe, timeout=0.3).code
            == "Timeout"
        )


def test_silence_in_the_middle_of_a_pack(repo: GitRepo, remote: HttpsRemote, fetch: Fetcher) -> None:
    """A transfer that stops moving must end after the time of silence and leave nothing behind."""
    repo.commit({"noise": os.urandom(200_000)})
    with Throttle(remote.port, 50_000).open() as port:
        error = fetch.transient(
            f"https://127.0.0.1:{port}/fleet.git", credentials=_credentials(remote), timeout=1.0
        )
    assert error.code == "Timeout"
    assert list(fetch.git_dir.parent.iterdir()) == []


def test_a_server_that_drips_ends_at_the_overall_limit(fetch: Fetcher) -> None:
    """One byte at a time is never silent: the overall limit must end it."""

    def drip(request: http.server.BaseHTTPRequestHandler) -> None:
        request.send_response(200)
        request.send_header("Content-Type", "application/x-git-upload-pack-advertisement")
        request.end_headers()
        request.wfile.write(b"0fff")
        while not done.wait(0.05):
            request.wfile.write(b"0")

    done = threading.Event()
    with web_server(drip) as url:
        assert fetch.transient(f"{url}/x.git", overall=0.7).code == "Deadline"
        done.set()


@pytest.mark.parametrize(
    ("status", "stalls", "code"),
    [
        (400, True, "HttpStatus"),
        (403, True, "Credentials"),
        (404, True, "NoRepository"),
        (429, False, "ServerBusy"),
        (500, False, "ServerError"),
        (502, False, "ServerError"),
        (503, False, "ServerError"),
    ],
)
def test_what_a_status_means(status: int, stalls: bool, code: str, fetch: Fetcher) -> None:
    """Each status must be retried or stall, as it can heal by itself or not, and be shown with its number."""
    with web_server(lambda request: respond(request, status, b"<h1>no</h1>", Retry_After="7")) as url:
        error = (fetch.stalled if stalls else fetch.transient)(f"{url}/x.git")
        assert error.code == code and str(status) in error.message
        if status in (403, 404, 429):
            assert fetch(f"{url}/x.git", probe=True)["answers"] is True
        if status in (502, 503):
            assert fetch.transient(f"{url}/x.git", probe=True)


@pytest.mark.parametrize(
    "body", [b"<html>log in</html>", b"", b"001e# service=git-upload-pack\n", b"zzzz", b"0008ERR "]
)
def test_what_is_no_git_is_transient(body: bytes, fetch: Fetcher) -> None:
    """A login page, or garbage with the right type, must not be taken for an empty repository."""
    for kind in ("text/html", "application/x-git-upload-pack-advertisement"):
        with web_server(partial(respond, status=200, body=body, Content_Type=kind)) as url:
            assert fetch.transient(f"{url}/x.git").code in ("NotGit", "Remote", "Disconnected")


def test_a_server_that_forgot_what_it_offered_is_asked_anew(repo: GitRepo, fetch: Fetcher) -> None:
    """A server that loses protocol v2, or moves the repository, must be asked from the start, not be taken as
    broken.
    """
    repo.commit({"a": "1"})
    old, new = http_backend(repo.path.parent, keep=()), http_backend(repo.path.parent)
    answer = new

    def moved(request: http.server.BaseHTTPRequestHandler) -> None:
        if request.path.startswith("/fleet.git"):
            respond(request, 301, Location="/moved" + request.path)
        else:
            request.path = request.path.removeprefix("/moved")
            new(request)

    with web_server(lambda request: answer(request)) as url:
        fetch(f"{url}/fleet.git")
        assert fetch(f"{url}/fleet.git")["requests"] == 1
        for behaviour in (old, moved, new):
            answer = behaviour
            assert fetch(f"{url}/fleet.git")["changed"] is False
        answer = moved
        tip = repo.commit({"a": "2"})
        assert fetch(f"{url}/fleet.git")["commit"] == tip


def test_a_redirect_within_the_host_is_followed(repo: GitRepo, fetch: Fetcher) -> None:
    """A repository that moved on the same server must be found."""
    tip = repo.commit({"a": "1"})
    backend = http_backend(repo.path.parent)

    def answer(request: http.server.BaseHTTPRequestHandler) -> None:
        if request.path.startswith("/old"):
            respond(request, 301, Location=request.path.replace("/old", "/fleet.git"))
        else:
            backend(request)

    with web_server(answer) as url:
        assert fetch(f"{url}/old")["commit"] == tip


def test_a_redirect_to_another_host_is_not_followed(repo: GitRepo, fetch: Fetcher, tmp_path: Path) -> None:
    """Credentials must never go where a server points, only where the settings point."""
    seen: list[str] = []

    def steal(request: http.server.BaseHTTPRequestHandler) -> None:
        seen.append(request.path)
        respond(request, 200)

    token = tmp_path / "token"
    token.write_text(SECRET)
    with web_server(steal) as other:
        with web_server(lambda request: respond(request, 302, Location=f"{other}{request.path}")) as url:
            error = fetch.stalled(f"{url}/x.git", credentials={"username": "u", "token_file": str(token)})
    assert error.code == "Redirect" and f"{other}/x.git" in error.message and seen == []
    with web_server(lambda request: respond(request, 302, Location=request.path)) as url:
        assert fetch.stalled(f"{url}/x.git").code == "Redirect"


def test_credentials_are_never_sent_in_the_clear(fetch: Fetcher, tmp_path: Path) -> None:
    """Plain http to another host must not get a token."""
    token = tmp_path / "token"
    token.write_text(SECRET)
    error = fetch.stalled("http://git.example.org/x.git", credentials={"token_file": str(token)})
    assert "https" in error.hint


def test_a_password_in_the_url_is_used_and_never_shown(
    remote: HttpsRemote, repo: GitRepo, fetch: Fetcher, tmp_path: Path
) -> None:
    """Credentials in a URL must work, and be in no answer, no error and no file."""
    repo.commit({"a": "1"})
    secret = remote.token
    url = remote.url.replace("://", f"://{remote.USERNAME}:{secret}@")
    ca = {"ca_file": str(remote.authority.ca_file)}
    said = [json.dumps(fetch(url, credentials=ca)), json.dumps(fetch.child(url, credentials=ca))]
    wrong = url.replace(secret, SECRET)
    said += [repr(fetch.stalled(wrong, credentials=ca)), repr(fetch.stalled(wrong + "/../x", credentials=ca))]
    said += [repr(fetch.stalled(url, ref={"branch": "none"}, credentials=ca)), repr(fetch.transient(url))]
    remote.stop()
    said += [
        repr(fetch.transient(url, credentials=ca)),
        repr(fetch.transient(url, mirrors=[wrong], credentials=ca)),
    ]
    said += [
        repr(fetch.stalled(f"https://u:{SECRET}@[bad/x")),
        repr(fetch.stalled(f"nix://u:{SECRET}@host/x")),
    ]
    said += [repr(fetch.stalled(f"https://u:{SECRET}@host/x?token={SECRET}"))]
    said += [
        file.read_text(errors="replace") for file in fetch.git_dir.parent.parent.rglob("*") if file.is_file()
    ]
    said = [text for text in said if secret in text or SECRET in text]
    assert said == []


def test_an_old_server_without_protocol_v2(repo: GitRepo, fetch: Fetcher) -> None:
    """A server that speaks only the old protocol must serve a first fetch, news and polls."""
    pin = repo.commit({"a": "1"})
    with web_server(http_backend(repo.path.parent, keep=())) as url:
        assert fetch(f"{url}/fleet.git")["commit"] == pin
        assert fetch(f"{url}/fleet.git")["requests"] == 1
        tip = repo.commit({"a": "2"})
        answer = fetch(f"{url}/fleet.git", pin=pin)
        assert (answer["commit"], answer["descends"]) == (tip, True)
        assert fetch.stalled(f"{url}/fleet.git", ref={"branch": "none"}).code == "RefMissing"
    fetch.sound()


def test_an_empty_repository_over_http(repo: GitRepo, fetch: Fetcher) -> None:
    """A repository without a commit must be told as such by new and by old servers."""
    for keep in (("Git-Protocol",), ()):
        with web_server(http_backend(repo.path.parent, keep)) as url:
            assert fetch.stalled(f"{url}/fleet.git").code == "EmptyRepository"


def _proxy(seen: list[tuple[str, str]]) -> Any:
    def answer(request: http.server.BaseHTTPRequestHandler) -> None:
        seen.append((request.path, request.headers.get("Proxy-Authorization", "")))
        if not request.headers.get("Proxy-Authorization"):
            respond(request, 407)
            return
        host, _, port = request.path.rpartition(":")
        try:
            other = socket.create_connection((host, int(port)), 2)
        except OSError:
            respond(request, 502)
            return
        request.send_response(200)
        request.end_headers()
        with other:
            pair = [request.connection, other]
            while ready := select.select(pair, [], [], 10)[0]:
                data = ready[0].recv(65536)
                if not data:
                    return
                pair[1 - pair.index(ready[0])].sendall(data)

    return answer


def test_a_proxy(remote: HttpsRemote, repo: GitRepo, fetch: Fetcher, monkeypatch: pytest.MonkeyPatch) -> None:
    """The proxy of the settings must be used, with its credentials; that of the environment must not."""
    tip = repo.commit({"a": "1"})
    seen: list[tuple[str, str]] = []
    monkeypatch.setenv("https_proxy", f"http://127.0.0.1:{free_port()}")
    with web_server(_proxy(seen)) as url:
        proxy = url.replace("://", f"://me:{SECRET}@")
        assert fetch(remote.url, credentials=_credentials(remote, proxy=proxy))["commit"] == tip
        expected = "Basic " + base64.b64encode(f"me:{SECRET}".encode()).decode()
        assert seen == [(f"127.0.0.1:{remote.port}", expected)]
        error = fetch.stalled(remote.url, credentials=_credentials(remote, proxy=url))
        assert error.code == "Proxy" and "source.proxy" in error.hint
        assert (
            fetch.transient(f"https://127.0.0.1:{free_port()}/x", credentials={"proxy": proxy}).code
            == "Proxy"
        )
    assert fetch(remote.url, credentials=_credentials(remote))["changed"] is False
    assert fetch.stalled(remote.url, credentials=_credentials(remote, proxy="socks5://h:1")).code == "Proxy"
