"""Turns foreign errors into Transient or Stalled, once.

Rules: trouble with the network is Transient, also a wrong name or an unknown certificate, because a name
server or a clock that is right later heals these. Trouble that only a person can end (credentials, the
branch, the address) is Stalled. The message names the host and the cause; the hint names the settings key.
A server that does not accept a token says so in many ways (401, 403, 404, 203, a sign-in page): each of them
is told as that, with the token that was sent, or, when none was, that the repository may be private.
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
from agent.fetch.request import Access, reason

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


# --- answers of a web server --------------------------------------------------------------------------------


def status(address: Address, code: int, words: str, retry_after: str | None, access: Access) -> LimpetError:
    """The error for an HTTP status other than 200, to a request with this access."""
    what = f"{address.shown} answered {code} {wire.printable(words, 60)}".rstrip()
    if code in (401, 403, 404, 410):
        return no_access(what, access, "NoRepository" if code in (404, 410) else "Credentials")
    if code == 203:  # from a server in between, or a sign-in page
        return no_access(f"{what}, which is no answer of a repository", access, "Credentials")
    if code == 407:
        return Stalled(f"{what}: the proxy wants credentials", "put them into source.proxy", code="Proxy")
    if code in (408, 425, 429) or code >= 500:
        later = f" after {wire.printable(retry_after, 30)} s" if retry_after and retry_after.isdigit() else ""
        return Transient(what, f"{AGAIN}{later}", code="ServerBusy" if code == 429 else "ServerError")
    return Stalled(what, f"check source.url{access.also}", code="HttpStatus")


def no_access(what: str, access: Access, code: str) -> Stalled:
    """The error for an answer that says, in one of the many ways of servers, that this access does not do."""
    if not access.name:
        why = "there is no such repository, or it is private and no token is set"
        return Stalled(f"{what}: {why}", f"check source.url; if it is private, {access.remedy}", code=code)
    why = f"{access.name} is not accepted any more, or may not see this repository"
    if code == "NoRepository":
        why = f"there is no such repository, or {why}"
    return Stalled(f"{what}: {why}", f"{access.remedy}; check source.url too", code=code)


def no_git(address: Address, found: str, access: Access) -> Transient:
    """The error for a page instead of Git's answer. A portal that is in between may go away by itself."""
    what = f"{address.shown} did not answer as a Git server: it sent {found or 'content without a type'}"
    if access.name:
        what += f", perhaps a sign-in page: {access.name} may not be accepted any more"
    return Transient(
        what,
        f"check source.url; a sign-in page or a proxy may be in between; {access.remedy}",
        code="NotGit",
    )


def redirected_away(address: Address, target: Address, access: Access) -> Stalled:
    """The error for a redirect to the same repository in another place."""
    what = f"{address.shown} redirects to {wire.printable(target.shown)}"
    if target.scheme == "http" and address.scheme == "https":
        hint = "mend the redirect on the server: Limpet does not follow from https to http"
        if target.name == address.name:
            hint += " (the server's own public address is often set to http)"
        return Stalled(what, hint, code="Redirect")
    asked = f"; {access.name} is sent there then" if access.name else ""
    return Stalled(what, f"set source.url to that address if it is the right one{asked}", code="Redirect")
