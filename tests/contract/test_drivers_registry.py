"""Pulling images: what is retried, what needs a person, and where credentials come from."""

from __future__ import annotations

import base64
import contextlib
import json
import random
import string
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import docker.errors
import pytest

from agent.drivers import registry as driver
from agent.drivers.host import RealHost
from agent.drivers.registry import registry_refusal
from agent.drivers.registry_access import MARK, Registries
from agent.errors import Interrupted, LimpetError, Stalled, Transient
from agent.installation import Paths
from agent.settings.values import EngineSettings
from agent.settings.values import RegistrySettings as Table
from agent.store.content import Content
from tests.harness import images
from tests.harness.engine import Engine
from tests.harness.front import front
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
    for image in engine.client.api.images():
        for reference in [*(image["RepoTags"] or ()), *(image["RepoDigests"] or ())]:
            if reference.startswith(address):
                with contextlib.suppress(docker.errors.ImageNotFound):  # the digest goes with the last tag
                    engine.client.images.remove(reference)


def test_a_pull_gives_the_image_and_shows_progress(
    host: RealHost, engine: Engine, served: Registry, prefix: str
) -> None:
    """A pull must end with the image's id, by tag and by digest, and tell how far it is."""
    noise = "".join(random.Random(prefix).choices(string.hexdigits, k=200_000))
    wanted = images.make("unused", {"Cmd": ["/bin/idle"]}, version=prefix, files={"/big": noise})
    seen: list[tuple[str, int, int, int]] = []
    with front(served.port) as slow:  # of a layer that comes at once the Engine says no sizes
        slow.pause, slow.only = 0.02, "/blobs/"
        reference = served.push(wanted, f"{prefix}/app:1").replace(served.address, slow.address)
        assert host.pull(reference, lambda *step: seen.append(step)) == wanted.id
        assert host.image_id(reference) == wanted.id
        digest = host.engine.image(reference)
        assert digest is not None
        assert host.pull(digest["RepoDigests"][0]) == wanted.id
        forget(engine, slow.address)
    assert len(seen) > 2
    assert all(
        name == reference and 0 <= done <= total and 0 <= packed <= total
        for name, done, total, packed in seen
    )
    assert [done for _, done, *_ in seen] == sorted(done for _, done, *_ in seen)
    assert seen[-1][3] == 0


def test_a_registry_that_is_down_is_transient_after_some_tries(
    host: RealHost, served: Registry, quick: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A refused connection must be tried a few times, then be Transient, and name the image."""
    reference = served.push(images.image("idle"), "app:1")
    served.stop()
    tries = []
    once = driver._pull_once

    def counted(*args: Any) -> str:
        tries.append(1)
        return once(*args)

    monkeypatch.setattr(driver, "_pull_once", counted)
    with pytest.raises(Transient, match=reference) as error:
        host.pull(reference)
    assert (error.value.code, len(tries), bool(error.value.hint)) == (
        "RegistryUnavailable",
        driver.TRIES,
        True,
    )
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
    """Without credentials a pull must be Stalled; with those of the settings' file it must work; none may be
    in a message.
    """
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
    helper.write_text(
        f"#!/bin/sh\nread server\n[ \"$server\" = r.example ] && echo '{answer}' && exit 0\necho "
        "broken\nexit 1\n"
    )
    helper.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    config = tmp_path / "config.json"
    config.write_text(
        json.dumps({"credHelpers": {"r.example": "lt", "broken.example": "lt", "gone.example": "none-such"}})
    )
    credentials = Registries(config).credentials
    found = credentials("r.example/a/b:1")
    assert (found["Username"], found["Password"]) == ("u", "p")
    assert credentials("other.example/a:1") == {}
    for name in ("broken", "gone"):
        with pytest.raises(Stalled) as error:
            credentials(f"{name}.example/a:1")
        assert error.value.code == "RegistryCredentials" and str(config) in error.value.hint


def test_a_broken_docker_config_is_said(tmp_path: Path) -> None:
    """A file that is not valid JSON, or says something else than `docker login` does, must be Stalled and
    named, without its content; a missing file is not an error.
    """
    config = tmp_path / "config.json"
    credentials = Registries(config).credentials
    assert credentials("a:1") == {}
    entries = ('{"auth": "CANARY%"}', '{"auth": "Q0FOQVJZ"}', '{"auth": "//46eA=="}', '{"auth": null}')
    wrong = (
        "{",
        "[]",
        '{"auths": "CANARY"}',
        *(f'{{"auths": {{"a.example": {entry}}}}}' for entry in entries),
    )
    for text in (*wrong, '{"credsStore": 5}', '{"credHelpers": "CANARY"}'):
        config.write_text(text)
        with pytest.raises(Stalled, match=r"config\.json") as error:
            credentials("a:1")
        assert "CANARY" not in f"{error.value}{error.value.hint}"
    config.write_text('{"auths": {"https://index.docker.io/v1/": {"auth": "dTpw"}}, "proxies": {}}')
    assert credentials("nginx")["username"] == "u"


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


# --- tables of the settings ---------------------------------------------------------------------------------


def with_tables(host: RealHost, engine: Engine, **tables: Table) -> RealHost:
    """A host with tables of registries; `_` in their names is a registry's address that cannot be a
    keyword.
    """
    settings = EngineSettings(socket=engine.socket, registries=tables)
    return RealHost(Paths(host.root), settings, Content(Paths(host.root).content), "pulls")


def put(host: RealHost, path: str, text: str) -> None:
    place = host.root / path.lstrip("/")
    place.parent.mkdir(parents=True, exist_ok=True)
    place.write_text(text)


def test_a_table_wins_over_the_docker_config(host: RealHost, engine: Engine, tmp_path: Path) -> None:
    """The token of a registry's table must be used, whatever Docker's configuration says, and be in no
    message.
    """
    with registry(tmp_path / "private", login=LOGIN) as private:
        reference = private.push(images.image("idle"), "secret/app:1")
        wrong = base64.b64encode(b"carol:wr0ng-pass").decode()
        put(host, "/root/.docker/config.json", json.dumps({"auths": {private.address: {"auth": wrong}}}))
        tables = {private.address: Table(LOGIN[0], "/etc/limpet/token")}
        right = with_tables(host, engine, **tables)
        with pytest.raises(Stalled, match="token") as error:
            right.pull(reference)
        assert (
            error.value.code == "RegistryCredentials"
            and private.address in error.value.message + error.value.hint
        )
        for token, works in ((f"{LOGIN[1]}\n", True), ("wr0ng-t0ken", False), (" \n", False)):
            put(host, "/etc/limpet/token", token)
            if works:
                assert right.pull(reference)
                forget(engine, private.address)
            else:
                with pytest.raises(Stalled) as error:
                    right.pull(reference)
                assert "wr0ng" not in f"{error.value.message} {error.value.hint} {error.value.__cause__}"
        right.close()


def test_a_token_needs_no_name() -> None:
    """A token without a user's name must go with the name that registries take for it."""
    assert Registries(Path("/none")).credentials("r.example/a") == {}
    tables = {"r.example": Table(token_file=__file__), "other.example": Table(ca_file="/x")}
    found = Registries(Path("/none"), tables).credentials("r.example/a")
    assert found["username"] == "token" and found["password"].startswith('"""Pulling images')
    assert Registries(Path("/none"), tables).credentials("other.example/a") == {}


@pytest.fixture
def mirror(engine: Engine, tmp_path: Path) -> Iterator[Registry]:
    with registry(tmp_path / "mirror", login=LOGIN) as made:
        yield made
        forget(engine, made.address)


def test_a_mirror_is_asked_first(
    host: RealHost, engine: Engine, served: Registry, mirror: Registry, prefix: str, tmp_path: Path
) -> None:
    """An image must come from the first mirror that has it, with its own credentials, under the name that was
    asked for and no other; when no mirror has it, from its registry.
    """
    wanted = images.make("unused", images.KINDS["idle"], version=prefix)
    other = images.make("unused", images.KINDS["idle"], version=f"{prefix}-other")
    mirror.push(wanted, f"proxy/{prefix}/app:1")
    put(host, "/etc/limpet/token", LOGIN[1])
    tables = {
        served.address: Table(mirrors=("127.0.0.1:1", f"{mirror.address}/proxy/")),
        mirror.address: Table(LOGIN[0], "/etc/limpet/token"),
    }
    made = with_tables(host, engine, **tables)
    reference = f"{served.address}/{prefix}/app:1"
    seen: list[str] = []
    assert made.pull(reference, lambda name, *step: seen.append(name)) == wanted.id
    assert set(seen) <= {reference}
    image = engine.client.images.get(reference)
    assert (image.id, image.tags, image.attrs["RepoDigests"]) == (wanted.id, [reference], [])
    served.push(other, f"{prefix}/only-there:1")
    assert made.pull(f"{served.address}/{prefix}/only-there:1") == other.id
    mirror.stop()
    served.push(other, f"{prefix}/app:1")
    assert made.pull(reference) == other.id
    made.close()


def test_a_mirror_keeps_what_others_have_of_it(
    host: RealHost, engine: Engine, served: Registry, prefix: str, tmp_path: Path
) -> None:
    """A name of the mirror that a person has on the host must neither move nor go; a digest must stay a
    digest.
    """
    with registry(tmp_path / "mirror") as mirror:
        old = images.make("unused", images.KINDS["idle"], version=f"{prefix}-old")
        new = images.make("unused", images.KINDS["idle"], version=f"{prefix}-new")
        theirs = mirror.push(old, f"{prefix}/app:1")
        engine.client.images.pull(theirs)
        mirror.push(new, f"{prefix}/app:1")
        made = with_tables(host, engine, **{served.address: Table(mirrors=(mirror.address,))})
        assert made.pull(f"{served.address}/{prefix}/app:1") == new.id
        assert engine.client.images.get(theirs).id == old.id
        digest = engine.client.images.get_registry_data(theirs).id
        assert made.pull(f"{served.address}/{prefix}/app@{digest}") == new.id
        with pytest.raises((Stalled, Transient)):
            made.pull(f"{served.address}/{prefix}/app@sha256:{'0' * 64}")
        made.close()
        forget(engine, mirror.address)


def test_the_hub_has_mirrors_too() -> None:
    """A short name must be asked for at a mirror of docker.io by its whole path."""
    access = Registries(Path("/none"), {"docker.io": Table(mirrors=("m.example", "n.example:5000/hub"))})
    assert access.mirrors("nginx:1") == ["m.example/library/nginx:1", "n.example:5000/hub/library/nginx:1"]
    assert access.mirrors("grafana/loki") == ["m.example/grafana/loki", "n.example:5000/hub/grafana/loki"]
    assert access.mirrors("nginx@sha256:0")[0] == "m.example/library/nginx@sha256:0"
    assert access.mirrors("r.example/nginx") == []


def test_a_ca_is_put_where_the_engine_reads_it(tmp_path: Path) -> None:
    """A registry's CA must be written, followed when it changes and removed with the setting; another's file
    must never be touched.
    """
    pem, newer = (
        "-----BEGIN CERTIFICATE-----\nMII=\n-----END CERTIFICATE-----\n",
        "-----BEGIN CERTIFICATE-----\nMIJ=\n",
    )
    (tmp_path / "ca.pem").write_text(pem)
    place = tmp_path / "etc/docker/certs.d/r.example:5000/ca.crt"

    def trust(table: Table) -> None:
        Registries(Path("/none"), {"r.example:5000": table}, lambda path: tmp_path / path.lstrip("/")).trust(
            "r.example:5000/a"
        )

    trust(Table())
    assert not place.parent.exists()
    for text in (pem, newer):
        (tmp_path / "ca.pem").write_text(text)
        trust(Table(ca_file="/ca.pem"))
        assert place.read_bytes() == MARK + text.encode()
        before = place.stat().st_mtime_ns
        trust(Table(ca_file="/ca.pem"))
        assert place.stat().st_mtime_ns == before
    trust(Table())
    assert not place.exists()
    for theirs, works in ((newer, True), (pem, False)):
        place.write_text(theirs)
        with contextlib.nullcontext() if works else pytest.raises(Stalled, match=r"ca\.crt") as error:
            trust(Table(ca_file="/ca.pem"))
        assert place.read_text() == theirs
        assert error is None or (error.value.code == "RegistryCertificate" and error.value.hint)
        trust(Table())
        assert place.read_text() == theirs
    (tmp_path / "ca.pem").write_text("no certificate")
    for path in ("/ca.pem", "/none.pem"):
        with pytest.raises(Stalled, match=path[1:]):
            trust(Table(ca_file=path))


@pytest.mark.parametrize(
    ("status", "kind"), [(429, Transient), (503, Transient), (403, Stalled), (404, Stalled)]
)
def test_what_a_registry_answers(host: RealHost, status: int, kind: type[LimpetError], quick: None) -> None:
    """A registry that has trouble or too much to do must be asked a few times and be Transient; one that
    refuses, Stalled.
    """
    asked: list[str] = []

    class Answer(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append(self.path)
            self.send_response(status if "manifests" in self.path else 200)
            self.send_header("Content-Length", "2")
            self.end_headers()
            self.wfile.write(b"{}")

        do_HEAD = do_GET

        def log_message(self, format: str, *args: Any) -> None:
            """Says nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Answer) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        with pytest.raises(kind):
            host.pull(f"127.0.0.1:{server.server_port}/app:1")
        server.shutdown()
    manifests = sum("manifests" in path for path in asked)
    assert manifests >= driver.TRIES if kind is Transient else manifests >= 1


@pytest.mark.parametrize(
    ("words", "kind", "code"),
    [
        ("toomanyrequests: You have reached your pull rate limit", Transient, "RegistryUnavailable"),
        ("received unexpected HTTP status: 503 Service Unavailable", Transient, "RegistryUnavailable"),
        ('Get "https://r/v2/": dial tcp: lookup r: no such host', Transient, "RegistryUnavailable"),
        ('Get "https://r/v2/": net/http: TLS handshake timeout', Transient, "RegistryUnavailable"),
        ("something nobody has seen", Transient, "RegistryUnavailable"),
        ("write /x: no space left on device", Transient, "DiskFull"),
        (
            'Get "https://r/v2/": x509: certificate signed by unknown authority',
            Stalled,
            "RegistryCertificate",
        ),
        ("http: server gave HTTP response to HTTPS client", Stalled, "RegistryPlainHttp"),
        ("manifest for r/a:1 not found: manifest unknown", Stalled, "ImageMissing"),
        (
            "pull access denied for a, repository does not exist or may require 'docker login'",
            Stalled,
            "RegistryRefused",
        ),
        ("no matching manifest for linux/arm64/v8 in the manifest list entries", Stalled, "WrongPlatform"),
        ("invalid reference format", Stalled, "BadImageName"),
    ],
)
def test_the_words_of_a_registry(words: str, kind: type[LimpetError], code: str) -> None:
    """What passes must be Transient, what does not must be Stalled, and unknown words must condemn
    nothing.
    """
    error = registry_refusal("a:1", words)
    assert (type(error), error.code, bool(error.hint)) == (kind, code, True)
