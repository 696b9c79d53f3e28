"""Pulling images: what is retried, what needs a person, and where credentials come from."""

from __future__ import annotations

import base64
import contextlib
import json
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import docker.errors
import pytest

from agent.drivers import registry as driver
from agent.drivers.registry import credentials, refusal, split
from agent.errors import Interrupted, LimpetError, Stalled, Transient
from agent.host import RealHost
from agent.paths import Paths
from agent.settings import Engine as EngineSettings
from agent.store.content import Content
from tests.harness import images
from tests.harness.engine import Engine
from tests.harness.registry import Registry, registry

LOGIN = ("carol", "s3cret-pass")


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Short pauses between the tries."""
    monkeypatch.setattr(driver, "PAUSE", 0.01)


@pytest.fixture
def host(engine: Engine, tmp_path: Path) -> Iterator[RealHost]:
    paths = Paths(tmp_path / "root")
    paths.content.mkdir(parents=True)
    made = RealHost(paths, EngineSettings(socket=engine.socket), Content(paths.content), "pulls")
    yield made
    made.close()


@pytest.fixture
def served(engine: Engine, tmp_path: Path) -> Iterator[Registry]:
    with registry(tmp_path / "registry") as made:
        yield made
        forget(engine, made.address)


def forget(engine: Engine, address: str) -> None:
    for image in engine.client.images.list():
        for reference in [*image.tags, *image.attrs.get("RepoDigests", [])]:
            if reference.startswith(address):
                with contextlib.suppress(docker.errors.ImageNotFound):  # the digest goes with the last tag
                    engine.client.images.remove(reference)


def test_a_pull_gives_the_image_and_shows_progress(host: RealHost, served: Registry, prefix: str) -> None:
    """A pull must end with the image's id, by tag and by digest, and tell how far it is."""
    wanted = images.make("unused", {"Cmd": ["/bin/idle"]}, version=prefix, files={"/big": prefix * 20_000})
    reference = served.push(wanted, f"{prefix}/app:1")
    seen: list[tuple[str, int, int]] = []
    assert host.pull(reference, lambda *step: seen.append(step)) == wanted.id
    assert host.image_id(reference) == wanted.id
    assert all(name == reference and 0 <= done <= total for name, done, total in seen)
    assert [done for _, done, _ in seen] == sorted(done for _, done, _ in seen)
    digest = host.engine.image(reference)
    assert digest is not None
    assert host.pull(digest["RepoDigests"][0]) == wanted.id


def test_a_registry_that_is_down_is_transient_after_some_tries(
    host: RealHost, served: Registry, quick: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A refused connection must be tried a few times, then be Transient, and name the image."""
    reference = served.push(images.image("idle"), "app:1")
    served.stop()
    tries = []
    once = driver._pull_once

    def counted(*args: Any) -> None:
        tries.append(1)
        once(*args)

    monkeypatch.setattr(driver, "_pull_once", counted)
    with pytest.raises(Transient, match=reference) as error:
        host.pull(reference)
    assert (error.value.code, len(tries), bool(error.value.hint)) == ("RegistryUnavailable", driver.TRIES, True)
    served.start()
    assert host.pull(reference)


def test_a_registry_that_comes_back_meanwhile_is_enough(
    host: RealHost, served: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A pull must succeed when the registry answers at a later try."""
    reference = served.push(images.image("idle"), "app:2")
    served.stop()
    monkeypatch.setattr(driver, "PAUSE", 2.0)
    back = threading.Timer(0.5, served.start)
    back.start()
    assert host.pull(reference)
    back.join()


def test_a_missing_tag_needs_a_person(host: RealHost, served: Registry) -> None:
    """An image that the registry does not have must be Stalled at once, with what to do."""
    served.push(images.image("idle"), "app:1")
    for name in ("app:99", "none:1"):
        with pytest.raises(Stalled, match=name) as error:
            host.pull(f"{served.address}/{name}")
        assert error.value.code == "ImageMissing" and error.value.hint


def test_a_login_comes_from_the_docker_config(host: RealHost, engine: Engine, tmp_path: Path) -> None:
    """Without credentials a pull must be Stalled; with those of the settings' file it must work; none may be in a message."""
    with registry(tmp_path / "private", login=LOGIN) as private:
        reference = private.push(images.image("idle"), "secret/app:1")
        with pytest.raises(Stalled) as error:
            host.pull(reference)
        assert error.value.code == "RegistryRefused" and "docker login" in error.value.hint
        config = host.root / "root/.docker/config.json"
        config.parent.mkdir(parents=True)
        for password, works in ((LOGIN[1], True), ("wr0ng-pass", False)):
            auth = base64.b64encode(f"{LOGIN[0]}:{password}".encode()).decode()
            config.write_text(json.dumps({"auths": {private.address: {"auth": auth}}, "credHelpers": {}}))
            if works:
                assert host.pull(reference)
                forget(engine, private.address)
            else:
                with pytest.raises(Stalled) as error:
                    host.pull(reference)
                assert password not in error.value.message + error.value.hint
        forget(engine, private.address)


@pytest.mark.filterwarnings("ignore:docker-credential-none-such")
def test_credentials_come_from_a_helper(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A credential helper that the file names must be asked for its registry and no other."""
    helper = tmp_path / "docker-credential-lt"
    answer = json.dumps({"ServerURL": "r.example", "Username": "u", "Secret": "p"})
    helper.write_text(f"#!/bin/sh\nread server\n[ \"$server\" = r.example ] && echo '{answer}' && exit 0\necho broken\nexit 1\n")
    helper.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    config = tmp_path / "config.json"
    config.write_text(json.dumps({"credHelpers": {"r.example": "lt", "broken.example": "lt", "gone.example": "none-such"}}))
    found = credentials("r.example/a/b:1", config)
    assert (found["Username"], found["Password"]) == ("u", "p")
    assert credentials("other.example/a:1", config) == {}
    for name in ("broken", "gone"):
        with pytest.raises(Stalled) as error:
            credentials(f"{name}.example/a:1", config)
        assert error.value.code == "RegistryCredentials" and str(config) in error.value.hint


def test_a_broken_docker_config_is_said(tmp_path: Path) -> None:
    """A file that is no JSON must be Stalled and named; one that is not there is no error."""
    config = tmp_path / "config.json"
    assert credentials("a:1", config) == {}
    for text in ("{", "[]"):
        config.write_text(text)
        with pytest.raises(Stalled, match=r"config\.json"):
            credentials("a:1", config)
    config.write_text('{"auths": {"https://index.docker.io/v1/": {"auth": "dTpw"}}, "proxies": {}}')
    assert credentials("nginx", config)["username"] == "u"


def test_a_hanging_registry_ends_when_the_pass_is_asked_to_stop(
    host: RealHost, served: Registry, engine: Engine, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A pull must not outlive its pass: silence ends it as Transient, a request to stop as Interrupted."""
    reference = served.push(images.image("idle"), "app:3")
    monkeypatch.setattr(driver, "SILENCE", 0.3)
    monkeypatch.setattr(driver, "PAUSE", 0.01)
    served.hang()
    try:
        with pytest.raises(Transient) as error:
            host.pull(reference)
        assert error.value.code == "RegistryUnavailable"
        stop = threading.Event()
        stop.set()
        other = RealHost(Paths(host.root), EngineSettings(socket=engine.socket), host.content, "pulls", stop)
        with pytest.raises(Interrupted):
            other.pull(reference)
        other.close()
    finally:
        served.resume()


@pytest.mark.parametrize(
    ("reference", "parts"),
    [
        ("nginx", ("nginx", "latest")),
        ("nginx:1", ("nginx", "1")),
        ("host:5000/a/b", ("host:5000/a/b", "latest")),
        ("host:5000/a/b:c", ("host:5000/a/b", "c")),
        ("a@sha256:0", ("a", "sha256:0")),
        ("h:1/a:t@sha256:0", ("h:1/a", "sha256:0")),
    ],
)
def test_references_are_split(reference: str, parts: tuple[str, str]) -> None:
    """A reference must be split into repository and tag or digest as Docker does."""
    assert split(reference) == parts


@pytest.mark.parametrize(
    ("words", "kind", "code"),
    [
        ("toomanyrequests: You have reached your pull rate limit", Transient, "RegistryUnavailable"),
        ("received unexpected HTTP status: 503 Service Unavailable", Transient, "RegistryUnavailable"),
        ('Get "https://r/v2/": dial tcp: lookup r: no such host', Transient, "RegistryUnavailable"),
        ('Get "https://r/v2/": net/http: TLS handshake timeout', Transient, "RegistryUnavailable"),
        ("something nobody has seen", Transient, "RegistryUnavailable"),
        ("write /x: no space left on device", Transient, "DiskFull"),
        ('Get "https://r/v2/": x509: certificate signed by unknown authority', Stalled, "RegistryCertificate"),
        ("http: server gave HTTP response to HTTPS client", Stalled, "RegistryPlainHttp"),
        ("manifest for r/a:1 not found: manifest unknown", Stalled, "ImageMissing"),
        ("pull access denied for a, repository does not exist or may require 'docker login'", Stalled, "RegistryRefused"),
        ("no matching manifest for linux/arm64/v8 in the manifest list entries", Stalled, "WrongPlatform"),
        ("invalid reference format", Stalled, "BadImageName"),
    ],
)
def test_the_words_of_a_registry(words: str, kind: type[LimpetError], code: str) -> None:
    """What passes must be Transient, what does not must be Stalled, and unknown words must condemn nothing."""
    error = refusal("a:1", words)
    assert (type(error), error.code, bool(error.hint)) == (kind, code, True)
