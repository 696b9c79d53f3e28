"""Who may read the files with secrets that the settings name."""

from __future__ import annotations

from pathlib import Path

import pytest

from agent.installation import Paths
from agent.settings.load import with_credentials
from agent.settings.secret_files import open_secrets, open_to_others
from agent.settings.values import EngineSettings, RegistrySettings, Settings, SourceSettings


def written(path: Path, mode: int) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("secret")
    path.chmod(mode)
    return path


@pytest.mark.parametrize("mode", [0o644, 0o640, 0o604, 0o660, 0o620])
def test_a_key_that_others_may_use_is_named(tmp_path: Path, mode: int) -> None:
    """A key or token that its group or all may read must be named with its setting, its mode and the command
    that mends it.
    """
    key, token = (written(tmp_path / f"etc/{name}", mode) for name in ("key", "token"))
    settings = Settings(
        source=SourceSettings(url="ssh://git@h/x.git", ssh_key="/etc/key"),
        engine=EngineSettings(registries={"r.example": RegistrySettings(token_file="/etc/token")}),
    )
    assert open_secrets(settings, Paths(tmp_path)) == [
        f"source.ssh_key: {key} is open to others (mode {mode:04o}): chmod 600 {key}",
        f'engine.registries."r.example".token_file: {token} is open to others (mode {mode:04o}): '
        f"chmod 600 {token}",
    ]


@pytest.mark.parametrize("mode", [0o600, 0o400, 0o700])
def test_a_private_key_is_fine(tmp_path: Path, mode: int) -> None:
    """A key that only root may read, what is no secret, and a file that is not there must not be named."""
    written(tmp_path / "etc/key", mode)
    written(tmp_path / "etc/known", 0o644)
    source = SourceSettings(url="ssh://h/x", ssh_key="/etc/key", known_hosts="/etc/known", token_file="/no")
    assert not open_secrets(Settings(source=source), Paths(tmp_path))


def test_a_credential_of_systemd_is_fine(tmp_path: Path) -> None:
    """A credential must not be named for the mode that systemd gives it, which nobody can change."""
    environ = {"CREDENTIALS_DIRECTORY": str(tmp_path)}
    key = written(tmp_path / "source.ssh_key", 0o440)
    source = with_credentials(Settings(source=SourceSettings(url="ssh://h/x")), environ).source
    assert source.ssh_key == str(key)
    assert open_to_others("source.ssh_key", key, environ) == ("", "")
    assert open_to_others("source.ssh_key", key, {})[1] == f"chmod 600 {key}"
