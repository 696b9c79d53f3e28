"""Pulls images: credentials, progress, retries inside bounds.

Rules:
1. A registry that is down, slow, or says 429 or 5xx is Transient, after a few tries. One that refuses or does not have
   the image is Stalled.
2. Silence, not duration, ends a pull: `SILENCE` seconds without a byte.
3. Credentials come only from the file that the settings name, and from the helpers that it names; they are in no
   message.
"""

from __future__ import annotations

import json
import random
import re
import threading
import time
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from agent.drivers import engine_errors, sdk
from agent.drivers.engine import Engine, unavailable
from agent.drivers.engine_errors import short
from agent.errors import Interrupted, LimpetError, Stalled, Transient

if TYPE_CHECKING:
    from docker.api.client import APIClient

Progress = Callable[[str, int, int], None]  # reference, bytes so far, bytes known of

TRIES = 3
PAUSE = 1.0  # seconds before the second try; doubled each time, with jitter
SILENCE = 120.0
BUDGET = 30.0  # seconds after which no further try is begun

# Words of the Engine or the registry -> code, remedy. The first match counts; unknown words are Transient.
DISK = re.compile(r"no space left on device|disk quota exceeded")
AGAIN = re.compile(
    r"toomanyrequests|too many requests|rate limit|received unexpected http status: 5\d\d|unexpected status.* 5\d\d|"
    r"internal server error|bad gateway|service unavailable|gateway time-?out|time-?out|timed out|deadline exceeded|"
    r"connection refused|connection reset|no such host|server misbehaving|network is unreachable|no route to host|"
    r"\beof\b"
)
REFUSED: list[tuple[str, str, str]] = [
    (
        r"x509|certificate",
        "RegistryCertificate",
        "put the registry's CA into /etc/docker/certs.d/REGISTRY/ca.crt on this host",
    ),
    (
        r"server gave http response to https client",
        "RegistryPlainHttp",
        "the registry speaks plain HTTP: give it TLS, or list it under insecure-registries in /etc/docker/daemon.json",
    ),
    (
        r"manifest unknown|manifest for .* not found|not found: manifest|manifest .* not found",
        "ImageMissing",
        "this tag or digest does not exist in the registry: correct `image`, or push it",
    ),
    (
        r"no matching manifest|does not match the specified platform",
        "WrongPlatform",
        "the image does not exist for this machine's architecture",
    ),
    (
        r"unauthorized|authentication required|denied|no basic auth|does not exist or may require|forbidden",
        "RegistryRefused",
        "does the image exist? If it needs credentials: docker login REGISTRY, into the file at `engine.docker_config`",
    ),
    (
        r"invalid reference|invalid tag|repository name must be lowercase|invalid repository name",
        "BadImageName",
        "correct `image` of the service",
    ),
    (
        r"name unknown|repository .* not found|not found",
        "ImageMissing",
        "this image does not exist in the registry: correct `image`, or push it",
    ),
]


def client(socket_path: str, version: str, timeout: float) -> APIClient:
    """A low-level client of the SDK, whose every answer may take `timeout` seconds of silence at most.

    It does not look at the environment or at a home directory: proxies and credentials are not its own.
    """
    from docker.api.client import APIClient

    class Client(APIClient):
        def _set_request_timeout(self, kwargs: dict[str, Any]) -> dict[str, Any]:
            kwargs["timeout"] = kwargs.get("timeout") or self.timeout
            return kwargs

    made = Client(base_url=f"unix://{socket_path}", version=version, timeout=timeout)  # type: ignore[arg-type]
    made.trust_env = False
    return made


def pull(engine: Engine, reference: str, docker_config: Path, progress: Progress | None, stop: threading.Event) -> None:
    """Pulls one image. Errors: Transient, Stalled, Interrupted."""
    begun = time.monotonic()
    for attempt in range(1, TRIES + 1):
        try:
            with engine_errors.translated("Docker", "connect to"):
                api = client(engine.socket_path, engine.ping(), SILENCE)
            _unless_stopped(partial(_pull_once, api, reference, docker_config, progress, stop), reference, stop)
            return
        except Transient as error:
            late = time.monotonic() - begun > BUDGET
            if attempt == TRIES or late or error.code != "RegistryUnavailable":
                raise
        if stop.wait(PAUSE * 2 ** (attempt - 1) * random.uniform(0.5, 1.5)):
            raise _interrupted(reference)


def _unless_stopped(work: Callable[[], None], reference: str, stop: threading.Event) -> None:
    """Does the work in a thread, which is left to itself when the pass is to stop: it waits for the Engine only."""
    outcome: list[Exception] = []

    def run() -> None:
        try:
            work()
        except Exception as error:  # handed to the caller
            outcome.append(error)

    thread = threading.Thread(target=run, name=f"pull {reference}", daemon=True)
    thread.start()
    while thread.is_alive():
        thread.join(0.1)
        if stop.is_set():
            raise _interrupted(reference)
    if outcome:
        raise outcome[0]


def _interrupted(reference: str) -> Interrupted:
    return Interrupted(f"stopped while pulling {reference}", "the next pass goes on", code="Interrupted")


def _pull_once(api: APIClient, reference: str, docker_config: Path, progress: Progress | None, stop: threading.Event) -> None:
    from docker.errors import APIError, DockerException
    from requests.exceptions import RequestException

    auth = credentials(reference, docker_config)
    repository, tag = split(reference)
    try:
        lines = api.pull(repository, tag=tag, stream=True, decode=True, auth_config=auth)
        _follow(reference, lines, progress, stop)
    except APIError as error:
        raise refusal(reference, str(error.explanation or error)) from error
    except (DockerException, RequestException, OSError, ValueError) as error:
        if "timed out" in str(error).lower():
            raise refusal(reference, f"no byte for {SILENCE:g} s: time-out") from error
        raise unavailable(f"pulling {reference}: Docker does not answer: {short(str(error))}") from error


def _follow(reference: str, lines: Iterable[dict[str, Any]], progress: Progress | None, stop: threading.Event) -> None:
    """Reads the Engine's progress to its end; sums the layers."""
    done: dict[str, int] = {}
    total: dict[str, int] = {}
    for line in lines:
        if stop.is_set():
            raise _interrupted(reference)
        if "error" in line:
            raise refusal(reference, str(line["error"]))
        layer, detail = line.get("id", ""), line.get("progressDetail") or {}
        if line.get("status") == "Downloading" and "current" in detail:
            done[layer], total[layer] = detail["current"], max(detail.get("total", 0), detail["current"])
        elif line.get("status") in ("Download complete", "Pull complete") and layer in total:
            done[layer] = total[layer]
        else:
            continue
        if progress is not None:
            progress(reference, sum(done.values()), sum(total.values()))


def refusal(reference: str, words: str) -> LimpetError:
    """The error for what the Engine said about a pull."""
    said, lower = f"cannot pull {reference}: {short(words)}", words.lower()
    if DISK.search(lower):
        return Transient(said, "free space where Docker keeps its data: docker system df; df -h", code="DiskFull")
    for pattern, code, hint in REFUSED[:2]:
        if re.search(pattern, lower):
            return Stalled(said, hint, code=code)
    if AGAIN.search(lower):
        return Transient(said, "is the registry up? The next pass tries again", code="RegistryUnavailable")
    for pattern, code, hint in REFUSED[2:]:
        if re.search(pattern, lower):
            return Stalled(said, hint, code=code)
    return Transient(said, "the next pass tries again", code="RegistryUnavailable")


def split(reference: str) -> tuple[str, str]:
    """Repository and tag (or digest) of a reference; `latest` when it names neither. With both, the digest counts."""
    name, at, digest = reference.partition("@")
    head, slash, last = name.rpartition("/")
    last, _, tag = last.partition(":")
    return f"{head}{slash}{last}", digest if at else tag or "latest"


def credentials(reference: str, docker_config: Path) -> dict[str, Any]:
    """What the configuration file, or a helper that it names, has for the registry of an image; empty when nothing."""
    sdk.load()
    from docker import auth
    from docker.errors import DockerException

    try:
        content = json.loads(docker_config.read_bytes())
        if not isinstance(content, dict):
            raise ValueError("it is not a JSON object")
    except FileNotFoundError:
        return {}
    except (OSError, ValueError) as error:
        raise Stalled(
            f"cannot read {docker_config}: {error if isinstance(error, ValueError) else error.strerror}",
            "correct the file, or run docker login again",
            code="RegistryCredentials",
        ) from error
    known = {key: content[key] for key in ("auths", "credsStore", "credHelpers") if content.get(key)}
    if not known:
        return {}
    try:
        registry, _ = auth.resolve_repository_name(split(reference)[0])
        found = auth.load_config(config_dict=known).resolve_authconfig(registry)
    except DockerException as error:
        raise Stalled(
            f"no credentials for {reference}: {type(error).__name__}",
            f"does the helper that {docker_config} names work? Try: docker pull {reference}",
            code="RegistryCredentials",
        ) from error
    return found or {}
