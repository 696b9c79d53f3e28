"""Turns foreign errors into Transient or Stalled, once.

Rules: trouble with the network is Transient, also a wrong name or an unknown certificate, because a name
server or a clock that is right later heals these. Trouble that only a person can end (credentials, the
branch, the address) is Stalled. The message names the host and the cause; the hint names the settings key.
"""

from __future__ import annotations

import errno
import socket
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from agent.errors import LimpetError, Stalled, Transient
from agent.fetch import wire
from agent.fetch.address import Address
from agent.fetch.request import reason

AGAIN = "it is tried again"
DISK = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS, errno.EMFILE)


@contextmanager
def conversation_errors(address: Address, timeout: float) -> Iterator[None]:
    """Turns everything that a conversation with `address` can raise into a LimpetError. `timeout`: seconds
    of silence that were allowed.
    """
    try:
        yield
    except LimpetError:
        raise
    except wire.ServerRefused as error:
        raise refused(address, str(error)) from None
    except wire.NotGit as error:
        raise Transient(
            f"{address.shown} did not answer as a Git server: {error}",
            "check source.url; a login page or a proxy may be in between",
            code="NotGit",
        ) from None
    except wire.Cut as error:
        raise Transient(f"{address.server}: {error}", AGAIN, code="Disconnected") from None
    except OSError as error:
        raise network_trouble(error, address, timeout) from None


def network_trouble(error: OSError, address: Address, timeout: float) -> LimpetError:
    """The error for trouble with the network below Git."""
    server = address.server
    if error.errno in DISK:
        return disk_trouble(error, Path("the Git cache"))
    if isinstance(error, ssl.SSLCertVerificationError):
        return certificate(error, server)
    if isinstance(error, ssl.SSLError):
        return Transient(
            f"TLS with {server} failed: {wire.printable(error.reason or str(error))}",
            "check that the port speaks TLS",
            code="Tls",
        )
    if isinstance(error, socket.gaierror):
        return Transient(
            f"the name {address.host} cannot be resolved: {reason(error)}",
            "check the name in source.url and this host's DNS",
            code="Dns",
        )
    if isinstance(error, TimeoutError):
        return Transient(
            f"{server} was silent for {timeout:g} s",
            f"{AGAIN}; source.timeout sets the limit",
            code="Timeout",
        )
    if isinstance(error, ConnectionRefusedError):
        return Transient(
            f"{server} refused the connection", f"{AGAIN}; is the server up?", code="ConnectionRefused"
        )
    return Transient(f"{server} cannot be reached: {reason(error)}", AGAIN, code="Network")


def disk_trouble(error: OSError, place: Path) -> LimpetError:
    """The error for trouble with our own files."""
    if error.errno == errno.EFBIG:
        return Stalled(
            "the source sends a larger pack than the agent allows itself",
            "take large files out of the repository and its history",
            code="TooLarge",
        )
    return Transient(
        f"{place} cannot be written: {reason(error)}",
        "free space, or check the permissions of the state directory",
        code="DiskFull" if error.errno in (errno.ENOSPC, errno.EDQUOT) else "Disk",
    )


def certificate(error: ssl.SSLCertVerificationError, server: str) -> Transient:
    expired, not_yet_valid, wrong_name, wrong_address = 10, 9, 62, 64
    if error.verify_code == expired:
        hint = "renew it, or check this host's clock"
    elif error.verify_code == not_yet_valid:
        hint = "check this host's clock"
    elif error.verify_code in (wrong_name, wrong_address):
        hint = "use the name in source.url that the certificate was made for"
    else:
        hint = "name the certificate authority's file in source.ca_file"
    return Transient(
        f"the certificate of {server} is not accepted: {wire.printable(error.verify_message)}",
        hint,
        code="TlsCertificate",
    )


def refused(address: Address, said: str) -> Stalled | Transient:
    """The error for the words that the Git program on the other side said before it gave up."""
    said = wire.printable(said)
    low = said.lower()
    if any(word in low for word in ("denied", "refused", "could not read", "unauthorized", "not authorized")):
        return Stalled(
            f"{address.shown} was refused: {said}",
            "check that it exists, is exported, and that these credentials may read it",
            code="Denied",
        )
    if any(
        word in low
        for word in (
            "not found",
            "does not exist",
            "not a git repository",
            "does not appear to be",
            "no such",
        )
    ):
        return Stalled(
            f"there is no repository at {address.shown}: {said}",
            "correct source.url, or give these credentials the right to read it",
            code="NoRepository",
        )
    return Transient(f"{address.shown} answered: {said}", AGAIN, code="Remote")


def status(address: Address, code: int, words: str, retry_after: str | None) -> LimpetError:
    """The error for an HTTP status other than 200."""
    what = f"{address.shown} answered {code} {wire.printable(words, 60)}".rstrip()
    if code == 401:
        hint = "set source.username and source.token_file to what this server accepts"
        return Stalled(f"{what}: the credentials are missing or wrong", hint, code="Credentials")
    if code == 403:
        return Stalled(
            f"{what}: these credentials may not read it",
            "give the token of source.token_file the right to read the repository",
            code="Credentials",
        )
    if code in (404, 410):
        return Stalled(
            f"{what}: there is no such repository, or these credentials may not see it",
            "check source.url, source.username and source.token_file",
            code="NoRepository",
        )
    if code == 407:
        return Stalled(f"{what}: the proxy wants credentials", "put them into source.proxy", code="Proxy")
    if code in (408, 425, 429) or code >= 500:
        later = f" after {wire.printable(retry_after, 30)} s" if retry_after and retry_after.isdigit() else ""
        return Transient(what, f"{AGAIN}{later}", code="ServerBusy" if code == 429 else "ServerError")
    return Stalled(what, "check source.url", code="HttpStatus")
