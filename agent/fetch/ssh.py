"""The protocol over SSH, by paramiko (dulwich has no vendor for it).

Rules: only the key of the settings is offered, never an agent's or the user's own, and no password. It is
read before anything is sent (private_key.py). A host key must be known beforehand (known_hosts.py); an
unknown one is refused, because trust on first use trusts whoever answers first. The server is asked for a key
of the types that stand in the file, and only then for another, to be able to show it. One connection serves
all commands of a fetch. The remote command is `git-upload-pack 'PATH'`, quoted as Git does.
"""

from __future__ import annotations

import contextlib
import logging
from pathlib import Path
from typing import TYPE_CHECKING

import paramiko

from agent.errors import LimpetError, Stalled, Transient
from agent.fetch import trouble, wire
from agent.fetch.address import PORTS, Address
from agent.fetch.known_hosts import HostVerdict, KnownHosts
from agent.fetch.private_key import load_private_key, with_certificate
from agent.fetch.request import Credentials, reason
from agent.fetch.source import Pipe, TransferMeter
from agent.fetch.stream import SERVICE, StreamSource, dial

if TYPE_CHECKING:
    from paramiko.channel import Channel

# Errors are raised; paramiko's log would only repeat them.
logging.getLogger("paramiko").addHandler(logging.NullHandler())
logging.getLogger("paramiko").propagate = False

SYSTEM_KNOWN_HOSTS = Path("/etc/ssh/ssh_known_hosts")
# Words in paramiko's errors about a server that does not answer.
SILENT = ("banner", "timeout", "timed out", "no existing session")
NOT_FOUND = 127  # the shell's status when there is no such command
STDERR = 4096  # bytes that are looked at
SHOWN_LINES = 3


class SshSource(StreamSource):
    """`ssh://user@host/path` and `user@host:path`."""

    def __init__(
        self, address: Address, credentials: Credentials, timeout: float, meter: TransferMeter
    ) -> None:
        super().__init__(address, timeout, meter)
        self._credentials = credentials
        self._known_file = Path(credentials.known_hosts) if credentials.known_hosts else SYSTEM_KNOWN_HOSTS
        self._transport: paramiko.Transport | None = None

    def probe(self) -> LimpetError | None:
        self._keys()
        try:
            return super().probe()
        except Stalled as error:
            if error.code not in ("Credentials", "Remote"):
                raise
            return error

    def open(self) -> Pipe:
        self.meter.requests += 1
        transport = self._transport = self._transport or self._connect()
        try:
            channel = transport.open_session(timeout=self.timeout)
            channel.settimeout(self.timeout)
            channel.update_environment({"GIT_PROTOCOL": "version=2"})
            path = self.address.path[1:] if self.address.path.startswith("/~") else self.address.path
            channel.exec_command(SERVICE + b" '" + path.encode().replace(b"'", b"'\\''") + b"'")
        except paramiko.SSHException as error:
            raise self._failed(error) from None
        return SshPipe(channel, self.meter, self.address)

    def close(self) -> None:
        if self._transport is not None:
            self._transport.close()
            self._transport = None

    @property
    def _user(self) -> str:
        return self.address.username or self._credentials.username or "git"

    def _connect(self) -> paramiko.Transport:
        keys, known = self._keys(), self._known_hosts()
        connection = dial(self.address, self.timeout)
        try:
            transport = paramiko.Transport(connection)
        except BaseException:
            connection.close()
            raise
        try:
            self._shake_hands(transport, known)
            self._authenticate(transport, keys)
        except (paramiko.SSHException, EOFError, ValueError) as error:
            transport.close()
            raise self._failed(error) from None
        except BaseException:
            transport.close()
            raise
        return transport

    def _keys(self) -> list[paramiko.PKey]:
        """What is offered, in this order. Errors: Stalled."""
        if not self._credentials.ssh_key:
            raise Stalled(
                f"there is no key for {self.address.shown}",
                "set source.ssh_key to a private key file",
                code="Credentials",
            )
        path = Path(self._credentials.ssh_key)
        key = load_private_key(path)
        certified = with_certificate(path)
        return [certified, key] if certified else [key]

    def _known_hosts(self) -> KnownHosts:
        try:
            return KnownHosts(self._known_file.read_bytes())
        except OSError as error:
            raise Stalled(
                f"the host keys in {self._known_file} cannot be read: {reason(error)}",
                f"set source.known_hosts to a file with the output of `{self._keyscan}`",
                code="Credentials",
            ) from None

    @property
    def _keyscan(self) -> str:
        port = f"-p {self.address.port} " if self.address.port != PORTS["ssh"] else ""
        return f"ssh-keyscan {port}{self.address.host}"

    def _shake_hands(self, transport: paramiko.Transport, known: KnownHosts) -> None:
        """Errors: Stalled when the server's key is not one of the known ones."""
        transport.banner_timeout = transport.auth_timeout = self.timeout
        options = transport.get_security_options()
        options.key_types = known.order(self.address.host, self.address.port, options.key_types)
        transport.start_client(timeout=self.timeout)
        shown = transport.get_remote_server_key()
        try:
            verdict = known.verdict(self.address.host, self.address.port, shown.asbytes())
        except ValueError as error:
            raise Stalled(
                f"the host key of {self.address.server} cannot be used: {error}",
                "give the server another host key: `ssh-keygen -A` makes them",
                code="HostKey",
            ) from None
        if verdict.standing != "known":
            raise self._mistrusted(verdict, shown, known)

    def _mistrusted(self, verdict: HostVerdict, shown: paramiko.PKey, known: KnownHosts) -> Stalled:
        key = f"the host key of {self.address.server} ({shown.get_name()} {shown.fingerprint})"
        lines = ", ".join(f"{self._known_file}:{number}" for number in verdict.lines)
        if verdict.standing == "revoked":
            return Stalled(
                f"{key} is revoked by {lines}",
                "who answers may have a stolen key: ask its owner for the new one",
                code="HostKey",
            )
        authorities = known.authorities(self.address.host, self.address.port)
        notes = _unread(known.unreadable, self._known_file) + "".join(
            f"; certificates ({self._known_file}:{number}) are not used" for number in authorities[:1]
        )
        if verdict.standing == "changed":
            return Stalled(
                f"{key} is not the one in source.known_hosts ({lines}){notes}",
                "find out why it changed before you replace the line in known_hosts",
                code="HostKey",
            )
        return Stalled(
            f"{key} is not known: no line of {self._known_file} names it{notes}",
            f"compare it with its owner, then add it to source.known_hosts (`{self._keyscan}`)",
            code="HostKey",
        )

    def _authenticate(self, transport: paramiko.Transport, keys: list[paramiko.PKey]) -> None:
        refused: paramiko.AuthenticationException | None = None
        for key in keys:
            try:
                missing = transport.auth_publickey(self._user, key)
            except paramiko.AuthenticationException as error:
                refused = error
                continue
            if missing:
                raise Stalled(
                    f"{self.address.server} wants more than the key of source.ssh_key: {', '.join(missing)}",
                    f"let the user {self._user} in there by the key alone",
                    code="Credentials",
                )
            return
        if refused:
            raise refused

    def _failed(self, error: Exception) -> LimpetError:
        server = self.address.server
        if isinstance(error, paramiko.AuthenticationException):
            return Stalled(
                f"{server} does not accept the key of source.ssh_key {self._credentials.ssh_key}"
                f" for the user {self._user}",
                "add its public half as a deploy key on the server",
                code="Credentials",
            )
        if any(word in str(error).lower() for word in SILENT):
            return Transient(
                f"{server} was silent for {self.timeout:g} s",
                f"{trouble.AGAIN}; source.timeout sets the limit",
                code="Timeout",
            )
        return Transient(
            f"SSH with {server} failed: {wire.printable(str(error)) or type(error).__name__}",
            trouble.AGAIN,
            code="Ssh",
        )


def _unread(unreadable: dict[int, str], file: Path) -> str:
    """Tells of the lines that were skipped; empty when there are none."""
    shown = [f"line {number} of {file} cannot be read ({why})" for number, why in unreadable.items()]
    more = f"; and {len(shown) - SHOWN_LINES} more" if len(shown) > SHOWN_LINES else ""
    return "".join(f"; {one}" for one in shown[:SHOWN_LINES]) + more


class SshPipe:
    """One remote command."""

    def __init__(self, channel: Channel, meter: TransferMeter, address: Address) -> None:
        self._channel = channel
        self._meter = meter
        self._address = address
        self._received = False

    def read(self, size: int) -> bytes:
        parts, missing = [], size
        while missing and (data := self._channel.recv(min(missing, 1 << 16))):
            self._received = True
            self._meter.add(len(data))
            parts.append(data)
            missing -= len(data)
        if missing and not self._received:
            self._explain()
        return b"".join(parts)

    def _explain(self) -> None:
        """Errors: Stalled or ServerRefused, with the words that the remote command said instead of Git."""
        said = wire.printable(self._channel.recv_stderr(STDERR))
        if self._channel.exit_status_ready() and self._channel.recv_exit_status() == NOT_FOUND:
            raise Stalled(
                f"there is no {SERVICE.decode()} on {self._address.server}: {said}",
                "install Git there",
                code="Remote",
            )
        if said:
            raise wire.ServerRefused(said)

    def write(self, data: bytes) -> int | None:
        self._channel.sendall(data)
        return len(data)

    def readable(self) -> bool:
        return self._channel.recv_ready()

    def close(self) -> None:
        with contextlib.suppress(OSError, EOFError):
            self._channel.close()
