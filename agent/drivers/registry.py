"""Pulls images: credentials, progress, retries inside bounds.

Rules:
1. A registry that is down, slow, or says 429 or 5xx is Transient, after a few tries. One that refuses or does
   not have the image is Stalled.
2. Silence, not duration, ends a pull: `SILENCE` seconds without a byte.
3. Mirrors are tried in order, once each, before the registry itself. An image from a mirror is pulled by its
   digest, gets the name that was asked for, and loses the mirror's name again.
"""

from __future__ import annotations

import random
import re
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

from agent.clock import at_most_patience
from agent.drivers import engine_errors
from agent.drivers.engine import Engine, unavailable
from agent.drivers.engine_errors import one_line
from agent.drivers.registry_access import Registries
from agent.errors import Interrupted, LimpetError, Stalled, Transient
from agent.references import ImageReference

if TYPE_CHECKING:
    from docker.api.client import APIClient

# reference, bytes so far, bytes known of, bytes that must still be unpacked
PullProgress = Callable[[str, int, int, int], None]

TRIES = 3
PAUSE = 1.0  # seconds before the second try; doubled each time, with jitter
SILENCE = at_most_patience(120.0)
BUDGET = 30.0  # seconds after which no further try is begun
# Codes of errors that are the fault of one mirror, so that the next one may do.
AT_THE_REGISTRY = (
    "RegistryUnavailable",
    "RegistryCertificate",
    "RegistryPlainHttp",
    "RegistryRefused",
    "ImageMissing",
    "WrongPlatform",
)

# Words of the Engine or the registry -> code, remedy. The first match counts; unknown words are Transient.
DISK = re.compile(r"no space left on device|disk quota exceeded")
AGAIN = re.compile(
    r"toomanyrequests|too many requests|rate limit|received unexpected http status: 5\d\d|unexpected "
    r"status.* 5\d\d|"
    r"internal server error|bad gateway|service unavailable|gateway time-?out|time-?out|timed out|deadline "
    r"exceeded|"
    r"connection refused|connection reset|no such host|server misbehaving|network is unreachable|no route "
    r"to host|"
    r"\beof\b"
)
REFUSED: list[tuple[str, str, str]] = [
    (
        r"x509|certificate",
        "RegistryCertificate",
        'name the registry\'s CA in the settings: engine.registries."REGISTRY".ca_file',
    ),
    (
        r"server gave http response to https client",
        "RegistryPlainHttp",
        "the registry speaks plain HTTP: give it TLS, or list it under insecure-registries in "
        "/etc/docker/daemon.json",
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
        r"unauthorized|authentication required|denied|no basic auth|does not exist or may "
        r"require|forbidden|http 40[13] response",
        "RegistryRefused",
        'does the image exist? If it needs credentials: engine.registries."REGISTRY".token_file in the '
        "settings, or "
        "docker login REGISTRY, into the file at `engine.docker_config`",
    ),
    (
        r"invalid reference|invalid tag|repository name must be lowercase|invalid repository name",
        "BadImageName",
        "correct `image` of the service",
    ),
    (
        r"name unknown|repository .* not found|not found|http 404 response",
        "ImageMissing",
        "this image does not exist in the registry: correct `image`, or push it",
    ),
]


def client(socket_path: str, version: str, timeout: float) -> APIClient:
    """A low-level client of the SDK. No answer may take more than `timeout` seconds of silence.

    It reads neither the environment nor a home directory, and so finds no proxies and credentials there.
    """
    from docker.api.client import APIClient

    class Client(APIClient):
        def _set_request_timeout(self, kwargs: dict[str, Any]) -> dict[str, Any]:
            kwargs["timeout"] = kwargs.get("timeout") or self.timeout
            return kwargs

    made = Client(base_url=f"unix://{socket_path}", version=version, timeout=timeout)  # type: ignore[arg-type]
    made.trust_env = False
    return made


@dataclass(frozen=True, slots=True)
class Pull:
    """How images are pulled.

    engine: the Engine that pulls
    registries: the access to registries
    progress: is told how far a pull is
    stop: ends a pull when it is set
    """

    engine: Engine
    registries: Registries
    progress: PullProgress | None
    stop: threading.Event

    def image(self, reference: str) -> str:
        """Pulls one image, from the first mirror that has it or from its registry; its id. Errors: Transient,
        Stalled, Interrupted.
        """
        for name in self.registries.mirrors(reference):
            try:
                return self._once(partial(self._from_mirror, reference, name), reference)
            except LimpetError as error:
                if error.code not in AT_THE_REGISTRY:
                    raise
        return self._from_registry(reference)

    def _from_registry(self, reference: str) -> str:
        begun = time.monotonic()
        for attempt in range(1, TRIES + 1):
            try:
                return self._once(partial(_pull_once, self, reference, reference), reference)
            except Transient as error:
                late = time.monotonic() - begun > BUDGET
                if attempt == TRIES or late or error.code != "RegistryUnavailable":
                    raise
            if self.stop.wait(PAUSE * 2 ** (attempt - 1) * random.uniform(0.5, 1.5)):
                raise _interrupted(reference)
        raise AssertionError("the last try returns or raises")

    def _once(self, work: Callable[[APIClient], str], reference: str) -> str:
        with engine_errors.sdk_errors("Docker", "connect to"):
            api = client(self.engine.socket_path, self.engine.ping(), SILENCE)
        return _unless_stopped(partial(work, api), reference, self.stop)

    def _from_mirror(self, reference: str, name: str, api: APIClient) -> str:
        mirrored, wanted = ImageReference.parse(name), ImageReference.parse(reference)
        if not mirrored.digest:
            self.registries.trust(name)
            with _translated(name):
                auth = self.registries.credentials(name)
                found = api.inspect_distribution(name, auth_config=auth)  # type: ignore[no-untyped-call]
            name = f"{mirrored.name}@{found['Descriptor']['digest']}"
        before = self.engine.image(name)
        image_id = _pull_once(self, reference, name, api)
        if not mirrored.digest:
            with _translated(name):
                api.tag(image_id, wanted.name, wanted.version)
                if before is None:
                    api.remove_image(name, noprune=True)
        return image_id


def _unless_stopped(work: Callable[[], str], reference: str, stop: threading.Event) -> str:
    """Does the work in a thread. When the pass is to stop, the thread is left to itself: it only waits for
    the Engine.
    """
    outcome: list[Exception | str] = []

    def run() -> None:
        try:
            outcome.append(work())
        except Exception as error:  # handed to the caller
            outcome.append(error)

    thread = threading.Thread(target=run, name=f"pull {reference}", daemon=True)
    thread.start()
    while thread.is_alive():
        thread.join(0.1)
        if stop.is_set():
            raise _interrupted(reference)
    if isinstance(outcome[0], Exception):
        raise outcome[0]
    return outcome[0]


def _interrupted(reference: str) -> Interrupted:
    return Interrupted(f"stopped while pulling {reference}", "the next pass goes on", code="Interrupted")


def _pull_once(pull: Pull, reference: str, name: str, api: APIClient) -> str:
    """Pulls an image under `name`, shown as `reference`; its id."""
    pull.registries.trust(name)
    auth = pull.registries.credentials(name)
    wanted = ImageReference.parse(name)
    with _translated(name):
        with closing(
            api.pull(wanted.name, tag=wanted.version, stream=True, decode=True, auth_config=auth)
        ) as lines:
            # The Engine ends and removes a pull that nobody reads any more.
            _follow(pull, reference, name, lines)
    image = pull.engine.image(name)
    if image is None:
        raise Transient(
            f"image {name} was pulled, and then disappeared",
            "does something prune images on this host?",
            code="ImageMissing",
        )
    return str(image["Id"])


@contextmanager
def _translated(name: str) -> Iterator[None]:
    """Runs SDK calls that concern a registry, and translates their errors."""
    from docker.errors import APIError, DockerException
    from requests.exceptions import RequestException

    try:
        yield
    except APIError as error:
        raise registry_refusal(name, str(error.explanation or error)) from error
    except (DockerException, RequestException, OSError, ValueError) as error:
        if "timed out" in str(error).lower():
            raise registry_refusal(name, f"no byte came for {SILENCE:g} s: time-out") from error
        raise unavailable(f"pulling {name}: Docker does not answer: {one_line(str(error))}") from error


def _follow(pull: Pull, reference: str, name: str, lines: Iterable[dict[str, Any]]) -> None:
    """Reads the Engine's lines about a pull of `name` to their end, and tells how far `reference` is."""
    layers = _Layers()
    for line in lines:
        if pull.stop.is_set():
            raise _interrupted(reference)
        if "error" in line:
            raise registry_refusal(name, str(line["error"]))
        if layers.note(line) and pull.progress is not None:
            pull.progress(reference, *layers.sums())


class _Layers:
    """How far the layers of one image are, in bytes."""

    def __init__(self) -> None:
        self._done: dict[str, int] = {}
        self._total: dict[str, int] = {}
        self._packed: dict[str, int] = {}  # that must still be unpacked

    def note(self, line: dict[str, Any]) -> bool:
        """Takes in one line of the Engine; whether it says anything about a layer."""
        layer, status, detail = line.get("id", ""), line.get("status"), line.get("progressDetail") or {}
        if status == "Downloading" and "current" in detail:
            self._done[layer] = detail["current"]
            self._packed[layer] = self._total[layer] = max(detail.get("total", 0), detail["current"])
        elif layer not in self._total:
            return False
        elif status == "Download complete":
            self._done[layer] = self._packed[layer] = self._total[layer]
        elif status == "Pull complete":
            self._done[layer], self._packed[layer] = self._total[layer], 0
        elif status == "Extracting":
            self._packed[layer] = self._total[layer] - detail.get("current", 0)
        else:
            return False
        return True

    def sums(self) -> tuple[int, int, int]:
        """Bytes so far, bytes known of, bytes that must still be unpacked."""
        return sum(self._done.values()), sum(self._total.values()), sum(self._packed.values())


def registry_refusal(reference: str, words: str) -> LimpetError:
    """The error for the Engine's words about a pull."""
    said, lower = f"cannot pull {reference}: {one_line(words)}", words.lower()
    if DISK.search(lower):
        return Transient(
            said, "free space where Docker keeps its data: docker system df; df -h", code="DiskFull"
        )
    for pattern, code, hint in REFUSED[:2]:
        if re.search(pattern, lower):
            return Stalled(said, hint, code=code)
    if AGAIN.search(lower):
        return Transient(said, "is the registry up? The next pass tries again", code="RegistryUnavailable")
    for pattern, code, hint in REFUSED[2:]:
        if re.search(pattern, lower):
            return Stalled(said, hint, code=code)
    return Transient(said, "the next pass tries again", code="RegistryUnavailable")
