"""Addresses of sources beside Git's own reading of them: where Git fetches, Limpet fetches or explains."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from agent.errors import LimpetError, Stalled
from agent.fetch.address import parse_address, read_address, repo_name
from tests.unit.fetch.fetching import Fetcher
from tests.unit.fetch.places import HOST, Place, everywhere, repositories

ODD = "plus+and&=;,@!$'()*"
RAW = 'odd"<>^`{|}~'
REPOSITORIES = (
    "x.git",
    "équipe/x.git",
    "日本/ü.git",
    "my team/x.git",
    "a/b.git",
    "p%41/x.git",
    f"{ODD}/x.git",
    f"{RAW}/x.git",
)
# What both fetch, or Limpet fetches though Git does not.
FETCHED = [
    f"https://{HOST}/x.git",
    f"https://{HOST}/x",
    f"https://{HOST}/x/",
    f"https://{HOST}/x.git/",
    f"https://{HOST}/x.git//",
    f"https://{HOST}//x.git",
    f"https://{HOST}:443/x.git",
    f"https://{HOST}:/x.git",
    f"https://{HOST}:00443/x.git",
    f"https://{HOST}:8443/x.git",
    "https://GIT.Example.org/x.git",
    "https://GIT.EXAMPLE.ORG:443/x.git",
    f"https://{HOST}./x.git",
    f"HTTPS://{HOST}/x.git",
    f"https://{HOST}/équipe/x.git",
    f"https://{HOST}/%C3%A9quipe/x.git",
    f"https://{HOST}/%c3%a9quipe/x.git",
    f"https://{HOST}/日本/ü.git",
    f"https://{HOST}/日本/ü",
    f"https://{HOST}/my%20team/x.git",
    f"https://{HOST}/{ODD}/x.git",
    f"https://{HOST}/{RAW}/x.git",
    f"https://{HOST}/p%2541/x.git",
    f"https://{HOST}/a/./b.git",
    f"https://{HOST}/a/../x.git",
    f"https://{HOST}/../x.git",
    f"https://{HOST}/a/b/../b.git/.",
    f"https://{HOST}/x.git?",
    f"https://{HOST}/x.git#",
    f"https://user@{HOST}/x.git",
    f"https://user:pw@{HOST}/x.git",
    f"https://@{HOST}/x.git",
    f"https://:pw@{HOST}/x.git",
    f"https://us%20er:p%40w%2F@{HOST}/x.git",
    f"https://u:p@w@{HOST}/x.git",
    "https://[::1]/x.git",
    "https://[::1]:443/x.git",
    "https://[::1]:8443/x.git",
    "https://[0:0:0::1]/x.git",
    "https://user@[::1]:8443/x.git",
    "https://127.0.0.1/x.git",
    "https://127.0.0.1:8443/x.git",
    "https://localhost/x.git",
    "https://bücher.example/x.git",
    "https://BÜCHER.Example:8443/x.git",
    "https://xn--bcher-kva.example/x.git",
]
# Of these, what Git does not take, or takes only since some version of curl.
MORE_THAN_GIT = {
    f"https://{HOST}/x.git//",
    f"https://{HOST}./x.git",
    f"HTTPS://{HOST}/x.git",
    f"https://{HOST}/x.git?",
    f"https://{HOST}/x.git#",
    f"https://u:p@w@{HOST}/x.git",
}
# What Limpet does not fetch -> a part of what it says is to be done.
EXPLAINED = {
    f"https://{HOST}/my team/x.git": "write %20",
    f"https://{HOST}/x.git ": "remove the blank",
    f" https://{HOST}/x.git": "remove the blank",
    f"https://{HOST}/x\t.git": "on one line",
    f"https://{HOST}/x.git\n": "on one line",
    f"https://{HOST}/x.git?a=b": "remove what follows ?",
    f"https://{HOST}/x.git#main": "remove what follows ?",
    f"https://{HOST}": "add the path",
    f"https://{HOST}/": "add the path",
    f"https://{HOST}:0/x.git": "the port",
    f"https://{HOST}:x/x.git": "host:port",
    f"https://{HOST}:99999/x.git": "host:port",
    f"https://{HOST}\\x.git": "letters, digits",
    "https://git example.org/x.git": "letters, digits",
    "https://git%2Eexample.org/x.git": "letters, digits",
    "https://straße.example/x.git": "letters, digits",
    "https://[::1/x.git": "host:port",
    "https://[::g]/x.git": "host",
    "https:///x.git": "https://git.example.org",
    f"https:/{HOST}/x.git": "https://host/path",
    f"https:{HOST}/x.git": "https://host/path",
    f"git+https://{HOST}/x.git": "write https://",
    f"git+http://{HOST}/x.git": "write http://",
    "git+file:///srv/x.git": "write file://",
    f"ftp://{HOST}/x.git": "use https, ssh",
    f"//{HOST}/x.git": "correct source.url",  # a path, as for Git
    f"https://{HOST}/none.git": "check source.url",
    f"https://{HOST}/p%41/x.git": "check source.url",
    f"https://{HOST}/x.git/info/refs": "check source.url",
    "https://elsewhere.example/x.git": "use the name in source.url",
}


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    directory = tmp_path_factory.mktemp("place")
    answer, commit = repositories(directory / "root", *REPOSITORIES)
    with everywhere(directory, answer) as found:
        found.commit = commit
        yield found


@pytest.mark.parametrize("url", FETCHED)
def test_what_git_fetches_is_fetched(url: str, place: Place, tmp_path: Path) -> None:
    """A URL that Git fetches must be fetched, from the same repository, whatever its form."""
    assert Fetcher(tmp_path)(url, look=True, credentials=place.credentials())["commit"] == place.commit
    assert url in MORE_THAN_GIT or place.git(url) == place.commit


@pytest.mark.parametrize("url", EXPLAINED)
def test_what_is_not_fetched_is_explained(url: str, place: Place, tmp_path: Path) -> None:
    """A URL that is not fetched must be told with what to write instead, not by a crash or a wrong reason."""
    with pytest.raises(LimpetError) as caught:
        Fetcher(tmp_path)(url, look=True, credentials=place.credentials())
    assert EXPLAINED[url] in caught.value.hint, (caught.value.message, caught.value.hint)


def test_a_server_is_told_its_name_and_path_as_git_tells_it(place: Place, tmp_path: Path) -> None:
    """The request must be the one that Git makes, so that servers with several names find the repository."""
    for url, host in (
        ("https://bücher.example:8443/équipe/x.git", "xn--bcher-kva.example:8443"),
        ("https://[0::1]:443/équipe/x.git", "[::1]"),
        (f"https://{HOST}:443/./équipe/a/../x.git", HOST),
    ):
        place.asked.clear()
        place.git(url)
        theirs = list(place.asked)
        place.asked.clear()
        Fetcher(tmp_path / host)(url, credentials=place.credentials())
        ours = list(place.asked)
        assert ours[0][1] == theirs[0][1] == host
        assert (
            ours[0][0].lower()
            == theirs[0][0].lower()
            == "/%c3%a9quipe/x.git/info/refs?service=git-upload-pack"
        )


def test_one_place_has_one_origin() -> None:
    """Capitals, a final dot and the usual port must make no other place of a URL; another port must."""
    same = [
        "https://h/x",
        "https://H/x",
        "https://h./x",
        "https://h:443/x",
        "https://h:/y",
        "https://u:p@h/x",
    ]
    assert len({parse_address(url).origin for url in same}) == 1
    assert len({parse_address(url).origin for url in ("https://[::1]/x", "https://[0:0::1]:443/x")}) == 1
    other = ["http://h/x", "https://h:8443/x", "https://h.example/x", "http://h:443/x"]
    assert len({parse_address(url).origin for url in (*other, "https://h/x")}) == 5


@pytest.mark.parametrize(
    ("url", "open_to_all"),
    [
        ("http://h/x", True),
        ("http://192.0.2.1/x", True),
        ("http://[2001:db8::1]:3000/x", True),
        ("http://localhost.example.org/x", True),
        ("http://127.0.0.1.example.org/x", True),
        ("http://localhost/x", False),
        ("http://LOCALHOST.:3000/x", False),
        ("http://127.8.9.1/x", False),
        ("http://[::1]/x", False),
        ("https://h/x", False),
        ("ssh://h/x", False),
        ("/srv/x", False),
    ],
)
def test_what_everybody_on_the_way_can_read(url: str, open_to_all: bool) -> None:
    """Plain http must count as open to all, unless it stays on this machine, and only then."""
    assert parse_address(url).in_the_clear is open_to_all


@pytest.mark.parametrize("url", ["git+ssh://u@h:2222/x y.git", "ssh+git://u@h:2222/x%20y.git"])
def test_ssh_by_its_old_names(url: str) -> None:
    """The names that Git has for ssh besides must mean ssh."""
    assert parse_address(url) == read_address("ssh://u@h:2222/x y.git")
    assert parse_address(url).path == "/x y.git"


def test_an_ipv6_host_is_shown_in_brackets() -> None:
    """Host and port of an IPv6 address must not run into one another in messages."""
    assert parse_address("https://[2001:db8::1]:8443/x").server == "[2001:db8::1]:8443"
    assert parse_address("ssh://[2001:db8::1]/x").server == "[2001:db8::1]"
    assert parse_address("https://[fe80::1%25eth0]/x").reached == "fe80::1%eth0"
    assert parse_address("https://[fe80::1%25eth0]/x").netloc == "[fe80::1]"


def test_bytes_that_are_no_utf8_are_asked_for_as_they_are() -> None:
    """A path from an environment that is not UTF-8 must be asked for by its bytes, and end no process."""
    assert parse_address("https://h/\udce9quipe/x.git").requested == "/%E9quipe/x.git"
    with pytest.raises(Stalled):
        parse_address("https://\udce9/x.git")


def test_names_of_repositories_stay() -> None:
    """An app that is named for its repository must keep its name, and with it its volumes."""
    names = {"https://h/a/fleet.git": "fleet", "https://h/fleet/": "fleet", "u@h:fleet.git": "fleet"}
    assert {url: repo_name(url) for url in names} == names
