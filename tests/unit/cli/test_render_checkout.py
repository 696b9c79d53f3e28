"""The commands for a checked-out repository, on a host that follows it."""

from __future__ import annotations

from pathlib import Path

import pytest
from dulwich.repo import Repo

from agent.__main__ import main
from agent.fetch.address import shown_url
from agent.installation import Paths
from agent.store.state import State, StateStore
from agent.store.verdicts import Pin
from tests.harness.hosts import to_toml

OLD, NEW = "ssh://git@forge.example/ops/fleet.git", "https://new.example/ops/infra.git"


def checkout(root: Path, url: str) -> Path:
    """A checkout of a repository with an app at its root that has no name."""
    place = root / "checkout"
    place.mkdir()
    (place / "compose.yaml").write_text("services: {db: {image: x}}\n")
    with Repo.init(str(place)) as repo:
        config = repo.get_config()
        config.set((b"remote", b"origin"), b"url", url.encode())
        config.write_to_path()
        repo.get_worktree().stage(["compose.yaml"])
    return place


def host(root: Path, *, follows: str = "", remembered: str = "", settings: str = "") -> Path:
    """A host whose last pass was with this URL, and whose settings have another one by now."""
    paths = Paths(root / "host")
    if follows:
        state = State(pin=Pin(shown_url(follows), "main", "1" * 40), repository=remembered)
        StateStore(paths.state).save(state)
    if settings:
        paths.settings.parent.mkdir(parents=True)
        paths.settings.write_text(to_toml({"source": {"url": settings, "branch": "main"}}))
    return paths.root


@pytest.mark.parametrize("verb", ["render", "plan"])
@pytest.mark.parametrize(
    ("about", "url", "name"),
    [
        ({"follows": NEW, "remembered": "fleet"}, NEW, "fleet"),
        ({"follows": OLD}, OLD, "fleet"),
        ({"follows": OLD, "settings": NEW}, NEW, "fleet"),
        ({"follows": OLD, "remembered": "first", "settings": NEW}, NEW, "first"),
        ({"follows": OLD, "remembered": "fleet"}, "https://other.example/x.git", "checkout"),
        ({}, NEW, "checkout"),
    ],
)
def test_a_checkout_has_the_name_that_the_host_gives(
    verb: str,
    about: dict[str, str],
    url: str,
    name: str,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """On a host, a checkout of what it follows must be rendered under the name that the host remembers, and
    any other one under that of its directory.
    """
    root, place = host(tmp_path, **about), checkout(tmp_path, url)
    main(["--root", str(root), verb, "--repo", str(place)])
    assert f"container/{name}-db-1" in capsys.readouterr().out


def test_a_state_that_cannot_be_read_is_no_trouble(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Who may not read the state, or has settings that are wrong, must be able to validate a checkout."""
    root = host(tmp_path, follows=OLD, settings="ftp://nobody")
    assert main(["--root", str(root), "validate", "--repo", str(checkout(tmp_path, OLD))]) == 0
    assert "no problems" in capsys.readouterr().out
