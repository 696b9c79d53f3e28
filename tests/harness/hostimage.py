"""Images of test hosts: Debian with systemd and its own Docker Engine, made with debootstrap, without a
registry.

Rules:
1. An image is made once per recipe and kept, as an image of the machine's Engine and as files below the cache
   directory ($LIMPET_TESTS_CACHE, default ~/.cache/limpet-tests): the root file system per release, and
   Limpet's environment (/usr/lib/limpet/venv, from the lock file) per release and lock file.
2. Making one needs the Debian mirror ($LIMPET_DEBIAN_MIRROR) and PyPI; a host needs neither.
3. The machine's CA bundle and pip settings reach the making of an image, and nothing of them the project.
4. Two test runs do not make the same image at the same time (a lock in the cache directory).
5. A run begins with them in the background (`prepare`); the tests that need one come late.
"""

from __future__ import annotations

import fcntl
import hashlib
import io
import os
import shutil
import signal
import subprocess
import sys
import tarfile
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import docker.errors
from docker.models.containers import Container

from tests.harness.engine import CHECKOUT, Engine, machine_engine, unique

RELEASES = ("bookworm", "trixie")
MIRROR = os.environ.get("LIMPET_DEBIAN_MIRROR", "http://deb.debian.org/debian")
PACKAGES = {
    "bookworm": "systemd systemd-sysv dbus iproute2 iptables procps ca-certificates python3 python3-venv "
    "docker.io",
    "trixie": "systemd systemd-sysv dbus iproute2 iptables procps ca-certificates python3 python3-venv "
    "docker.io docker-cli",
}
BUILD_PACKAGES = "gcc libc6-dev libsystemd-dev pkg-config python3-dev"
CA_BUNDLE = "etc/ssl/certs/ca-certificates.crt"
FILES = {
    # The kernel of a container host may forbid what Docker 26 wants to set.
    "etc/systemd/system/docker.service.d/limpet-tests.conf": (
        "[Service]\nEnvironment=DOCKER_ALLOW_IPV6_ON_IPV4_INTERFACE=1\n"
    ),
    "etc/docker/daemon.json": '{"insecure-registries": ["10.0.0.0/8"], "shutdown-timeout": 3}\n',
    "etc/machine-id": "",
}
START = {"Cmd": ["/sbin/init"], "StopSignal": "SIGRTMIN+3"}
ATTEMPTS = 3
RETRIES = ("-o", "Acquire::Retries=5")
UNWANTED = ("var/cache/apt", "var/lib/apt/lists", "usr/share/doc", "usr/share/man", "usr/share/locale")

_FAILED: dict[str, Exception] = {}
_PREPARING: list[subprocess.Popen[bytes]] = []


def cache_directory() -> Path:
    path = Path(os.environ.get("LIMPET_TESTS_CACHE", "~/.cache/limpet-tests")).expanduser()
    path.mkdir(parents=True, exist_ok=True)
    return path


@contextmanager
def _locked(name: str) -> Iterator[None]:
    with (cache_directory() / f"{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _digest(*parts: str | bytes) -> str:
    whole = hashlib.sha256()
    for part in parts:
        whole.update(part.encode() if isinstance(part, str) else part)
        whole.update(b"\0")
    return whole.hexdigest()[:12]


def host_image(engine: Engine, release: str) -> str:
    """The tag of the host image of a release (bookworm or trixie), made when this machine has none yet."""
    lock_file = (CHECKOUT / "requirements.lock").read_bytes()
    base = _digest(release, PACKAGES[release], repr(FILES), MIRROR)
    environment = f"{release}-{_digest(base, BUILD_PACKAGES, lock_file)}"
    ref = f"limpet-testhost:{release}-{_digest(environment, repr(START))}"
    if release in _FAILED:
        raise _FAILED[release]
    with _locked(release):
        try:
            if not _has(engine, ref):
                _make(engine, release, base, environment, ref)
        except Exception as error:
            _FAILED[release] = error  # the next test would only wait for the same
            raise
    return ref


def prepare(releases: Sequence[str]) -> None:
    """Begins to make the images of these releases in a process of its own; `host_image` waits for what is not
    there yet.
    """
    argv = [sys.executable, "-m", "tests.harness.hostimage", *releases]
    quiet = subprocess.DEVNULL
    _PREPARING.append(
        subprocess.Popen(argv, cwd=CHECKOUT, stdin=quiet, stdout=quiet, stderr=quiet, start_new_session=True)
    )


def end() -> None:
    """Ends what `prepare` began."""
    while _PREPARING:
        process = _PREPARING.pop()
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGINT)  # it leaves nothing mounted
        process.wait()


def _has(engine: Engine, ref: str) -> bool:
    try:
        engine.client.images.get(ref)
        return True
    except docker.errors.ImageNotFound:
        return False


def _make(engine: Engine, release: str, base: str, environment: str, ref: str) -> None:
    base_ref = f"limpet-testhost:{release}-base-{base}"
    if not _has(engine, base_ref):
        archive = cache_directory() / f"{release}-{base}.tar.gz"
        if not archive.exists():
            _bootstrap(release, archive)
        _import(engine, archive, base_ref)
    venv = cache_directory() / f"limpet-testhost-{environment}.venv.tar"
    if not venv.exists():
        _build_environment(engine, base_ref, venv)
    with _builder(engine, base_ref) as container:
        with venv.open("rb") as data:
            container.put_archive("/usr/lib", data)
        container.commit(*ref.split(":"), conf=START)


def _bootstrap(release: str, archive: Path) -> None:
    """Makes the root file system with debootstrap and packs it."""
    with tempfile.TemporaryDirectory(prefix="limpet-testhost-", dir=cache_directory()) as scratch:
        root = Path(scratch) / "root"
        _debootstrap(release, root)
        for path in UNWANTED:
            shutil.rmtree(root / path, ignore_errors=True)
        for path, text in FILES.items():
            (root / path).parent.mkdir(parents=True, exist_ok=True)
            (root / path).write_text(text)
        partial = archive.with_suffix(".partial")
        pack = [
            "tar",
            "--numeric-owner",
            "--use-compress-program=gzip -1",
            "-C",
            str(root),
            "-cf",
            str(partial),
            ".",
        ]
        subprocess.run(pack, check=True)
        partial.rename(archive)


def _debootstrap(release: str, root: Path) -> None:
    """Runs debootstrap; again when a download failed, because mirrors do fail now and then."""
    argv = [
        "debootstrap",
        "--variant=minbase",
        f"--include={PACKAGES[release].replace(' ', ',')}",
        release,
        str(root),
    ]
    for _ in range(ATTEMPTS):
        done = subprocess.run(
            [*argv, MIRROR], stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False
        )
        if done.returncode == 0:
            return
        log = root / "debootstrap/debootstrap.log"
        said = [line for line in done.stdout.splitlines() if line.startswith(("E:", "W:"))]
        said += log.read_text(errors="replace").splitlines()[-5:] if log.exists() else []
        shutil.rmtree(root, ignore_errors=True)
    raise RuntimeError(f"{' '.join(argv)} failed {ATTEMPTS} times: {'; '.join(said)[-800:]}")


def _import(engine: Engine, archive: Path, ref: str) -> None:
    repository, tag = ref.split(":")
    with archive.open("rb") as data:
        engine.client.api.import_image_from_data(data, repository=repository, tag=tag)


@contextmanager
def _builder(engine: Engine, ref: str) -> Iterator[Container]:
    """A container of an image that only waits for what it is told, with the machine's network. It has no
    `init`, which would leave an empty /sbin/docker-init in what is made of it.
    """
    container = engine.client.containers.run(
        ref, ["sleep", "infinity"], name=unique("lt-build"), detach=True, network_mode="host"
    )
    try:
        yield container
    finally:
        container.remove(force=True, v=True)


def _build_environment(engine: Engine, base_ref: str, target: Path) -> None:
    """Limpet's dependencies for this release, as an archive of /usr/lib/limpet, made by our own installer."""
    environment = {
        name: value for name, value in os.environ.items() if name.startswith(("PIP_", "http", "https", "no_"))
    }
    bundle = _machine_ca_bundle()
    if bundle:
        environment |= dict.fromkeys(("PIP_CERT", "SSL_CERT_FILE"), f"/{CA_BUNDLE}")
    with _builder(engine, base_ref) as container:

        def run(*argv: str) -> None:
            done: Any = container.exec_run(
                list(argv), environment={"DEBIAN_FRONTEND": "noninteractive", **environment}
            )
            code, output = done
            if code:
                raise RuntimeError(f"{' '.join(argv)}: {output.decode(errors='replace')[-2000:]}")

        run("apt-get", "update", "-qq", *RETRIES)
        run("apt-get", "install", "-y", "-qq", "--no-install-recommends", *RETRIES, *BUILD_PACKAGES.split())
        container.put_archive("/", _sources(bundle))
        environment["ONLY"] = "dependencies"
        run("/limpet-source/packaging/install.sh")
        partial = target.with_suffix(".partial")
        chunks, _ = container.get_archive("/usr/lib/limpet")
        with partial.open("wb") as file:
            file.writelines(chunks)
        partial.rename(target)


def _machine_ca_bundle() -> bytes:
    """The CA bundle that the machine's own downloads use, when it is not simply Debian's."""
    for name in ("PIP_CERT", "SSL_CERT_FILE", "REQUESTS_CA_BUNDLE"):
        path = os.environ.get(name)
        if path and Path(path).is_file():
            return Path(path).read_bytes()
    return b""


def _sources(bundle: bytes) -> bytes:
    """What the installer needs to install the dependencies, and the CA bundle, as an archive."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for name in ("packaging/install.sh", "tools/python.sh", "requirements.lock"):
            archive.add(CHECKOUT / name, f"limpet-source/{name}")
        if bundle:
            entry = tarfile.TarInfo(CA_BUNDLE)
            entry.size = len(bundle)
            archive.addfile(entry, io.BytesIO(bundle))
    return buffer.getvalue()


if __name__ == "__main__":
    for each in sys.argv[1:]:
        host_image(machine_engine(), each)
