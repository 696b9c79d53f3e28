"""The protocol over SSH, by paramiko (dulwich has no vendor for it).

Rules: only the key of the settings is offered, never an agent's or the user's own, and no password. A host
key must be known beforehand; an unknown one is refused, because trust on first use trusts whoever answers
first. One connection serves all commands of a fetch. The remote command is `git-upload-pack 'PATH'`,
quoted as Git does.
"""

from __future__ import annotations

import contextlib
import logging
import socket
from pathlib import Path
from typing import TYPE_CHECKING

import paramiko

from agent.errors import LimpetError, Stalled, Transient
from agent.fetch import trouble, wire
from agent.fetch.address import Address
from agent.fetch.request import Credentials, reason
from agent.fetch.source import Pipe, TransferMeter
from agent.fetch.stream import SERVICE, StreamSource

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


class SshSource(StreamSource):
    """`ssh://user@host/path` and `user@host:path`."""

    def __init__(
        self, address: Address, credentials: Credentials, timeout: float, meter: TransferMeter
    ) -> None:
        super().__init__(address, timeout, meter)
        self._credentials = credentials
        self._client: paramiko.SSHClient | None = None

    def probe(self) -> LimpetError | None:
        try:
            return super().probe()
        except Stalled as error:
            if error.code not in ("Credentials", "Remote"):
                raise
            return error

    def open(self) -> Pipe:
        self.meter.requests += 1
        client = self._client = self._client or self._connect()
        transport = client.get_transport()
        assert transport is not None
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
        if self._client is not None:
            self._client.close()
            self._client = None

    def _connect(self) -> paramiko.SSHClient:
        client = paramiko.SSHClient()
        client.set_missing_host_key_policy(_Refuse(self.address))
        self._load_known_hosts(client)
        key = self._credentials.ssh_key
        if not key:
            raise Stalled(
                f"there is no key for {self.address.shown}",
                "set source.ssh_key to a private key file",
                code="Credentials",
            )
        if not Path(key).is_file():
            raise Stalled(
                f"source.ssh_key {key} is not there", "put the private key into that file", code="Credentials"
            )
        try:
            connection = socket.create_connection((self.address.host, self.address.port), self.timeout)
            user = self.address.username or self._credentials.username or "git"
            client.connect(
                self.address.host,
                self.address.port,
                user,
                key_filename=key,
                sock=connection,
                allow_agent=False,
                look_for_keys=False,
                timeout=self.timeout,
                banner_timeout=self.timeout,
                auth_timeout=self.timeout,
            )
        except (paramiko.SSHException, EOFError, ValueError) as error:
            client.close()
            raise self._failed(error) from None
        except BaseException:
            client.close()
            raise
        return client

    def _load_known_hosts(self, client: paramiko.SSHClient) -> None:
        file = Path(self._credentials.known_hosts) if self._credentials.known_hosts else SYSTEM_KNOWN_HOSTS
        try:
            client.load_host_keys(str(file))
        except (OSError, ValueError, paramiko.SSHException) as error:
            raise Stalled(
                f"the host keys in {file} cannot be read: {reason(error)}",
                f"set source.known_hosts to a file with the output of `ssh-keyscan {self.address.host}`",
                code="Credentials",
            ) from None

    def _failed(self, error: Exception) -> LimpetError:
        server = self.address.server
        if isinstance(error, paramiko.BadHostKeyException):
            return Stalled(
                f"the host key of {server} is not the one in source.known_hosts",
                "find out why it changed before you replace the line in known_hosts",
                code="HostKey",
            )
        if isinstance(error, paramiko.PasswordRequiredException):
            return Stalled(
                f"source.ssh_key {self._credentials.ssh_key} is protected by a passphrase",
                "use a key of its own, without a passphrase, that may only read this repository",
                code="Credentials",
            )
        if isinstance(error, paramiko.AuthenticationException):
            user = self.address.username or self._credentials.username or "git"
            return Stalled(
                f"{server} does not accept the key of source.ssh_key for the user {user}",
                "add its public half as a deploy key on the server",
                code="Credentials",
            )
        if isinstance(error, ValueError) or "private key file" in str(error):
            return Stalled(
                f"source.ssh_key {self._credentials.ssh_key} is not a usable private key",
                "make one with `ssh-keygen -t ed25519`",
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


class _Refuse(paramiko.MissingHostKeyPolicy):
    def __init__(self, address: Address) -> None:
        self._address = address

    def missing_host_key(self, client: paramiko.SSHClient, hostname: str, key: paramiko.PKey) -> None:
        port = f"-p {self._address.port} " if self._address.port != 22 else ""
        raise Stalled(
            f"the host key of {self._address.server} ({key.get_name()} {key.fingerprint}) is not known",
            "compare it with its owner, then add it to source.known_hosts (`ssh-keyscan "
            f"{port}{self._address.host}`)",
            code="HostKey",
        )


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
