"""Where servers point, and how they say that a token is not accepted: what is followed, and what is told."""

from __future__ import annotations

import http.server
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest

from agent.errors import LimpetError
from tests.unit.fetch.fetching import Fetcher, respond, web_server
from tests.unit.fetch.places import HOST, Answer, Place, everywhere, repositories

SECRET = "s3cret-canary-of-the-redirect"
URL = f"https://{HOST}/old"
TAIL = "/info/refs?service=git-upload-pack"


class Moving:
    """A server whose `/old` redirects to what the test says; the rest are repositories."""

    def __init__(self, backend: Answer) -> None:
        self.backend = backend
        self.location: Callable[[str], str] = lambda path: path
        self.status = 301

    def __call__(self, request: http.server.BaseHTTPRequestHandler) -> None:
        if request.path.startswith("/old"):
            respond(request, self.status, Location=self.location(request.path))
        else:
            self.backend(request)


@pytest.fixture(scope="module")
def moving(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Moving, Place]]:
    directory = tmp_path_factory.mktemp("moving")
    backend, commit = repositories(directory / "root", "x.git", "équipe/x.git")
    server = Moving(backend)
    with everywhere(directory, server) as place:
        place.commit = commit
        yield server, place


@pytest.fixture
def token(tmp_path: Path) -> Path:
    file = tmp_path / "the-token"
    file.write_text(SECRET)
    return file


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_each_kind_of_redirect_is_followed(
    status: int, moving: tuple[Moving, Place], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A repository that moved on its server must be found, by whatever status the server says so."""
    server, place = moving
    monkeypatch.setattr(server, "status", status)
    server.location = lambda path: f"/x.git{TAIL}"
    assert Fetcher(tmp_path)(URL, credentials=place.credentials())["commit"] == place.commit
    assert place.git(URL) == place.commit


@pytest.mark.parametrize(
    "location",
    [
        f"https://{HOST}/x.git{TAIL}",
        f"https://{HOST}:443/x.git{TAIL}",
        f"https://GIT.Example.ORG/x.git{TAIL}",
        f"HTTPS://GIT.Example.ORG:443/x.git{TAIL}",
        f"https://{HOST}./x.git{TAIL}",
        f"https://{HOST}:/x.git{TAIL}",
        f"//{HOST}:443/x.git{TAIL}",
        f"../../x.git{TAIL}",
        f"/x{TAIL}",
        f"/équipe/x.git{TAIL}".encode().decode("latin-1"),
        f"/%C3%A9quipe/x.git{TAIL}",
        f"https://{HOST}/x.git/info/refs",
        f"https://{HOST}/x.git/info/refs/",
        f"https://someone:else@{HOST}/x.git{TAIL}",
    ],
)
def test_the_same_server_in_other_words_is_followed(
    location: str, moving: tuple[Moving, Place], tmp_path: Path, token: Path
) -> None:
    """A redirect that names the same server in other words must be followed, with our own credentials."""
    server, place = moving
    server.location = lambda path: location
    credentials = place.credentials(token_file=str(token))
    assert Fetcher(tmp_path)(URL, credentials=credentials)["commit"] == place.commit


@pytest.mark.parametrize(
    ("location", "told", "hint"),
    [
        (f"https://other.example/x.git{TAIL}", "https://other.example/x.git", "set source.url to that"),
        (f"https://{HOST}:8443/x.git{TAIL}", f"https://{HOST}:8443/x.git", "set source.url to that"),
        (f"https://{HOST}.evil.example/x.git{TAIL}", f"{HOST}.evil.example", "set source.url to that"),
        (f"https://{HOST}@evil.example/x.git{TAIL}", "https://evil.example/x.git", "set source.url to that"),
        (f"http://{HOST}/x.git{TAIL}", f"http://{HOST}/x.git", "mend the redirect on the server"),
        (f"http://{HOST}:443/x.git{TAIL}", "to http", "mend the redirect on the server"),
        (f"http://other.example/x.git{TAIL}", "http://other.example", "mend the redirect on the server"),
        ("https://[::1/x.git", "cannot be used", "source.url"),
        ("ftp://h/x.git/info/refs", "cannot be used", "source.url"),
        (f"https://{HOST}:x/x.git{TAIL}", "cannot be used", "source.url"),
    ],
)
def test_another_server_is_not_followed(
    location: str, told: str, hint: str, moving: tuple[Moving, Place], tmp_path: Path, token: Path
) -> None:
    """A redirect to another server, port or to http must be refused with its remedy, and get nothing."""
    server, place = moving
    server.location = lambda path: location
    place.asked.clear()
    error = Fetcher(tmp_path).stalled(URL, credentials=place.credentials(token_file=str(token)))
    assert error.code == "Redirect" and told in error.message and hint in error.hint
    assert len(place.asked) == 1 and SECRET not in error.message + error.hint


@pytest.mark.parametrize(
    "location",
    [
        lambda path: path,
        lambda path: f"https://{HOST}:443{path}",
        lambda path: "/old/info/refs",
        lambda path: "",
        lambda path: "/old2" + TAIL if path.startswith("/old/") else "/old" + TAIL,
        lambda path: f"/old/a{path.removeprefix('/old')}",
    ],
)
def test_redirects_in_a_circle_end(
    location: Callable[[str], str], moving: tuple[Moving, Place], tmp_path: Path
) -> None:
    """Redirects that lead nowhere must end, within as many requests as Git makes, and be told as that."""
    server, place = moving
    server.location = location
    place.asked.clear()
    error = Fetcher(tmp_path).stalled(URL, credentials=place.credentials())
    assert error.code == "Redirect" and ("circle" in error.message or "20 times" in error.message)
    assert len(place.asked) <= 21


def test_a_long_way_to_the_repository_is_gone(moving: tuple[Moving, Place], tmp_path: Path) -> None:
    """As many redirects as Git follows must be followed."""
    server, place = moving

    def next_one(path: str) -> str:
        steps = path.partition(TAIL)[0].count("/a")
        return f"/old{'/a' * (steps + 1)}{TAIL}" if steps < 19 else f"/x.git{TAIL}"

    server.location = next_one
    assert place.git(URL) == place.commit
    assert Fetcher(tmp_path)(URL, credentials=place.credentials())["commit"] == place.commit


# --- tokens -------------------------------------------------------------------------------------------------

SIGN_IN = b"<html><form action='/sign_in'>"
REFUSALS: dict[str, Answer] = {
    "401": partial(respond, status=401),
    "403": partial(respond, status=403),
    "404": partial(respond, status=404),
    "410": partial(respond, status=410),
    "203": partial(respond, status=203, body=SIGN_IN, Content_Type="text/html"),
    "200": partial(respond, status=200, body=SIGN_IN, Content_Type="text/html; charset=utf-8"),
    "302 here": partial(respond, status=302, Location="/users/sign_in?token=CANARY"),
    "302 root": partial(respond, status=302, Location="/"),
    "302 elsewhere": partial(respond, status=302, Location="https://sso.example.org/login?next=CANARY"),
    "303 with a slash": partial(respond, status=303, Location="/session/new/"),
    "307 to http": partial(respond, status=307, Location="http://portal.example.org/"),
}


def _refusal(answer: Answer, directory: Path, credentials: dict[str, str], user: str = "") -> LimpetError:
    with web_server(answer) as url, pytest.raises(LimpetError) as caught:
        Fetcher(directory)(f"{url.replace('://', f'://{user}')}/x.git", credentials=credentials)
    assert "CANARY" not in caught.value.message + caught.value.hint
    assert SECRET not in caught.value.message + caught.value.hint
    return caught.value


@pytest.mark.parametrize("kind", REFUSALS)
def test_a_token_that_is_not_accepted_is_named(kind: str, tmp_path: Path, token: Path) -> None:
    """However a server refuses a token, the token must be named, with its file and what to do."""
    error = _refusal(REFUSALS[kind], tmp_path, {"token_file": str(token)})
    assert "the token of source.token_file" in error.message and "not be accepted any more" in (
        error.message.replace("is not accepted", "may not be accepted")
    )
    assert f"new token, which may read the repository, into {token}" in error.hint
    assert "source.url" in error.hint


@pytest.mark.parametrize("kind", REFUSALS)
def test_without_a_token_the_repository_may_be_private(kind: str, tmp_path: Path) -> None:
    """Without a token it must be said that the repository may be private, and where a token goes."""
    for credentials in ({}, {"username": "someone"}):
        error = _refusal(REFUSALS[kind], tmp_path, credentials)
        assert "source.token_file" in error.hint and "source.url" in error.hint
        assert "any more" not in error.message
        assert kind == "200" or "private" in error.message


def test_a_password_in_the_url_is_named_as_that(tmp_path: Path) -> None:
    """A password of the URL that is not accepted must not be taken for a token in a file."""
    error = _refusal(REFUSALS["401"], tmp_path, {}, f"u:{SECRET}@")
    assert "the password in source.url is not accepted any more" in error.message
    assert "source.token_file" in error.hint


def test_a_token_that_expires_later_is_told_alike(
    moving: tuple[Moving, Place], tmp_path: Path, token: Path
) -> None:
    """When a token expires between two polls, the next poll must tell it as a first one does."""
    server, place = moving
    url, fetch = f"https://{HOST}/x.git", Fetcher(tmp_path)
    credentials = place.credentials(token_file=str(token))
    fetch(url, credentials=credentials)
    backend = server.backend
    try:
        for kind in REFUSALS:
            server.backend = REFUSALS[kind]
            with pytest.raises(LimpetError) as caught:
                fetch(url, credentials=credentials)
            assert "the token of source.token_file" in caught.value.message, kind
            assert str(token) in caught.value.hint
    finally:
        server.backend = backend
    assert fetch(url, credentials=credentials)["changed"] is False


def test_a_server_that_only_gives_files_is_explained(tmp_path: Path) -> None:
    """A web server that gives a repository as files must be told as that, not as a sign-in page."""
    files = partial(respond, status=200, body=b"0" * 40 + b"\trefs/heads/main\n", Content_Type="text/plain")
    error = _refusal(files, tmp_path, {})
    assert "dumb protocol" in error.message and "git http-backend" in error.hint
