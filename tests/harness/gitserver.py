"""Git servers: as files, over HTTPS (nginx and git-http-backend, own CA, token), over OpenSSH.

Each is a context manager over one `GitRepo`, with `.url` and `.settings()`: the keys of `[source]` that a
host needs. `.stop()` and `.start()` keep the port (a server that is down), `.hang()` and `.resume()` freeze
it.
"""

from __future__ import annotations

import base64
import getpass
import signal
import ssl
import subprocess
import time
import urllib.request
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

from tests.harness.gitrepo import GitRepo
from tests.harness.net import Server, free_port
from tests.harness.tls import Authority
from tests.harness.wait import eventually


class FileRemote:
    """The repository by its path; needs no server."""

    def __init__(self, repo: GitRepo) -> None:
        self.repo = repo
        self.url = f"file://{repo.path}"

    def settings(self) -> dict[str, str]:
        return {"url": self.url}

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None
    ) -> None:
        return None


class _Served:
    """What the two servers share."""

    def __init__(self, repo: GitRepo, directory: Path, bind: str, port: int) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        self.repo = repo
        self.directory = directory
        self.bind = bind
        self.port = port or free_port(bind)
        self._servers: list[Server] = []

    def start(self) -> None:
        for server in self._servers[:-1]:
            server.start()
        self._servers[-1].start(self.bind, self.port)

    def stop(self) -> None:
        """From now on connections are refused."""
        for server in reversed(self._servers):
            server.stop()

    @property
    def pid(self) -> int:
        """The process group of the server that connections reach."""
        return self._servers[-1].pid

    def hang(self) -> None:
        """From now on connections are accepted and nothing answers."""
        self._servers[-1].signal(signal.SIGSTOP)

    def resume(self) -> None:
        self._servers[-1].signal(signal.SIGCONT)

    def __enter__(self) -> Self:
        try:
            self.start()
        except BaseException:
            self.stop()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None
    ) -> None:
        self.stop()


@dataclass(frozen=True)
class HttpRequest:
    """One request as nginx saw it; sizes in bytes on the wire inside TLS."""

    method: str
    path: str
    status: int
    sent: int
    received: int


NGINX = """
user {user};
pid {directory}/nginx.pid;
error_log {directory}/error.log;
worker_processes 1;
daemon off;
events {{ worker_connections 256; }}
http {{
  log_format test '$request_method $request_uri $status $bytes_sent $request_length';
  access_log {directory}/access.log test;
  client_body_temp_path {directory}/body;
  fastcgi_temp_path {directory}/fastcgi;
  proxy_temp_path {directory}/proxy;
  uwsgi_temp_path {directory}/uwsgi;
  scgi_temp_path {directory}/scgi;
  client_max_body_size 0;
  server {{
    listen {bind}:{port} ssl;
    ssl_certificate {certificate};
    ssl_certificate_key {key};
    location /_mark/ {{ return 204; }}
    location / {{
      auth_basic "limpet tests";
      auth_basic_user_file {directory}/htpasswd;
      fastcgi_pass unix:{directory}/cgi.sock;
      fastcgi_read_timeout 600s;
      fastcgi_buffering off;
      fastcgi_param SCRIPT_FILENAME {backend};
      fastcgi_param GIT_PROJECT_ROOT {root};
      fastcgi_param GIT_HTTP_EXPORT_ALL "";
      fastcgi_param HOME {directory};
      fastcgi_param PATH_INFO $uri;
      fastcgi_param QUERY_STRING $query_string;
      fastcgi_param REQUEST_METHOD $request_method;
      fastcgi_param CONTENT_TYPE $content_type;
      fastcgi_param CONTENT_LENGTH $content_length;
      fastcgi_param REMOTE_USER $remote_user;
      fastcgi_param HTTP_CONTENT_ENCODING $http_content_encoding;
      fastcgi_param GIT_PROTOCOL $http_git_protocol;
    }}
  }}
}}
"""


class HttpsRemote(_Served):
    """The repository over HTTPS with a CA of its own; user `limpet` and `token` by basic auth. Counts
    requests.
    """

    USERNAME = "limpet"

    def __init__(
        self,
        repo: GitRepo,
        directory: Path,
        bind: str = "127.0.0.1",
        port: int = 0,
        token: str = "t0ken-of-the-tests",
    ) -> None:
        super().__init__(repo, directory, bind, port)
        self.token = token
        self.url = f"https://{bind}:{self.port}/{repo.path.name}"
        self.authority = Authority(directory / "tls")
        certificate, key = self.authority.issue(bind, "localhost", "127.0.0.1")
        self.token_file = directory / "token"
        self.token_file.touch(mode=0o600)
        self.token_file.write_text(f"{token}\n")
        (directory / "htpasswd").write_text(f"{self.USERNAME}:{{PLAIN}}{token}\n")
        self._log = directory / "access.log"
        config = directory / "nginx.conf"
        backend = subprocess.run(
            ["git", "--exec-path"], capture_output=True, text=True, check=True
        ).stdout.strip()
        config.write_text(
            NGINX.format(
                user=getpass.getuser(),
                directory=directory,
                bind=bind,
                port=self.port,
                certificate=certificate,
                key=key,
                backend=f"{backend}/git-http-backend",
                root=repo.path.parent,
            )
        )
        cgi = ["fcgiwrap", "-c", "4", "-s", f"unix:{directory}/cgi.sock"]
        nginx = ["nginx", "-e", f"{directory}/error.log", "-p", str(directory), "-c", str(config)]
        self._servers = [Server(cgi, directory / "cgi.log"), Server(nginx, directory / "nginx.log")]

    def start(self) -> None:
        (self.directory / "cgi.sock").unlink(missing_ok=True)
        super().start()
        eventually(lambda: (self.directory / "cgi.sock").exists(), 60, "the socket of fcgiwrap")

    def settings(self) -> dict[str, str]:
        return {
            "url": self.url,
            "username": self.USERNAME,
            "token_file": str(self.token_file),
            "ca_file": str(self.authority.ca_file),
        }

    def requests(self) -> list[HttpRequest]:
        """All Git requests so far, oldest first; the ones that were answered before this call are in it."""
        mark = f"/_mark/{time.monotonic_ns()}"
        context = ssl.create_default_context(cafile=str(self.authority.ca_file))
        urllib.request.urlopen(f"https://{self.bind}:{self.port}{mark}", context=context, timeout=10).close()
        eventually(lambda: mark in self._log.read_text(), 60, "nginx's log")
        found = []
        for line in self._log.read_text().splitlines():
            method, path, status, sent, received = line.split()
            if not path.startswith("/_mark/"):
                found.append(HttpRequest(method, path, int(status), int(sent), int(received)))
        return found

    def forget_requests(self) -> None:
        """Starts counting anew."""
        self.requests()
        self._log.write_text("")

    def authorization(self) -> str:
        """The value of the Authorization header that the server accepts."""
        return "Basic " + base64.b64encode(f"{self.USERNAME}:{self.token}".encode()).decode()


SSHD = """
ListenAddress {bind}:{port}
HostKey {directory}/host_key
PidFile none
AuthorizedKeysFile {directory}/authorized_keys
StrictModes no
UsePAM no
PasswordAuthentication no
KbdInteractiveAuthentication no
PermitRootLogin prohibit-password
PrintMotd no
"""


class SshRemote(_Served):
    """The repository over OpenSSH's sshd, as the user who runs the tests, by a key."""

    def __init__(self, repo: GitRepo, directory: Path, bind: str = "127.0.0.1", port: int = 0) -> None:
        super().__init__(repo, directory, bind, port)
        self.url = f"ssh://{getpass.getuser()}@{bind}:{self.port}{repo.path}"
        self.ssh_key = directory / "client_key"
        self.known_hosts = directory / "known_hosts"
        for key in (directory / "host_key", self.ssh_key):
            if not key.exists():
                subprocess.run(
                    ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "limpet-tests", "-f", str(key)],
                    check=True,
                )
        (directory / "authorized_keys").write_text(Path(f"{self.ssh_key}.pub").read_text())
        host_key = Path(f"{directory}/host_key.pub").read_text()
        self.known_hosts.write_text(f"[{bind}]:{self.port} {host_key}")
        Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)
        config = directory / "sshd_config"
        config.write_text(SSHD.format(bind=bind, port=self.port, directory=directory))
        self._servers = [Server(["/usr/sbin/sshd", "-D", "-e", "-f", str(config)], directory / "sshd.log")]

    def settings(self) -> dict[str, str]:
        return {"url": self.url, "ssh_key": str(self.ssh_key), "known_hosts": str(self.known_hosts)}
