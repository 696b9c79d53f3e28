"""The request for a fetch, as the child reads it from its parent."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from agent.errors import Stalled

SILENCE_S = 30.0
OVERALL_S = 600.0
MAX_BYTES = 1024 * 1024 * 1024
_COMMIT = re.compile(r"[0-9a-f]{40}")
_BAD_REF = re.compile(r"[\x00-\x20\x7f~^:?*\[\\]|\.\.|@\{|//|^[-/.]|/\.|[/.]$|\.lock(/|$)")


@dataclass(frozen=True, slots=True)
class Credentials:
    """Names the files with credentials; they are read when they are needed."""

    username: str = ""
    token_file: str = ""
    ca_file: str = ""
    ssh_key: str = ""
    known_hosts: str = ""
    proxy: str = ""

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> Credentials:
        return cls(**{f.name: str(document.get(f.name) or "") for f in fields(cls)})

    def token(self) -> str:
        """The content of `token_file`, without the end of its line. Errors: Stalled."""
        if not self.token_file:
            return ""
        try:
            token = Path(self.token_file).read_text(encoding="utf-8").strip()
        except (OSError, UnicodeDecodeError) as error:
            raise Stalled(
                f"source.token_file {self.token_file} cannot be read: {reason(error)}",
                "make it a readable file that holds only the token",
                code="Credentials",
            ) from None
        if not token or any(ord(c) < 32 for c in token):
            raise Stalled(
                f"source.token_file {self.token_file} does not hold a token on a single line",
                "write the token into it",
                code="Credentials",
            )
        return token


@dataclass(frozen=True, slots=True)
class Access:
    """What a server is shown, for messages.

    name: of the token or password; empty when none is sent
    remedy: what to do when the server does not accept it
    """

    name: str
    remedy: str

    @property
    def also(self) -> str:
        return f"; {self.remedy}" if self.name else ""


def access_of(credentials: Credentials, password: str) -> Access:
    """`password`: that of the URL."""
    if credentials.token_file:
        remedy = f"write a new token, which may read the repository, into {credentials.token_file}"
        return Access("the token of source.token_file", f"{remedy} (source.token_file)")
    if password:
        return Access("the password in source.url", "put a token that may read it into source.token_file")
    return Access("", "set source.username and source.token_file to what this server accepts")


@dataclass(frozen=True, slots=True)
class Request:
    """One request. Times in seconds, sizes in bytes.

    kind: branch, tag or commit
    ref: a full ref name, or a commit id when `kind` is `commit`
    pin: the commit that the answer says to be an ancestor or not; may be empty
    timeout: of silence
    overall: for the whole fetch
    probe: only asks whether the source answers
    look: only asks whether it has the ref
    check: reads the whole cache again
    """

    urls: tuple[str, ...]
    kind: str
    ref: str
    git_dir: Path
    lock: Path
    pin: str = ""
    timeout: float = SILENCE_S
    overall: float = OVERALL_S
    max_bytes: int = MAX_BYTES
    credentials: Credentials = Credentials()
    probe: bool = False
    look: bool = False
    check: bool = False

    @property
    def work(self) -> str:
        """What is to be done: probe, look or fetch."""
        if self.probe:
            return "probe"
        return "look" if self.look else "fetch"

    @property
    def name(self) -> str:
        """The ref as people call it."""
        return self.ref.removeprefix("refs/heads/").removeprefix("refs/tags/")

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> Request:
        git_dir = Path(document["git_dir"])
        kind, ref = _ref(document["ref"])
        pin = document.get("pin") or ""
        return cls(
            urls=(document["url"], *document.get("mirrors", ())),
            kind=kind,
            ref=ref,
            git_dir=git_dir,
            lock=Path(document.get("lock") or f"{git_dir}.lock"),
            pin=pin if _COMMIT.fullmatch(pin) else "",
            timeout=float(document.get("timeout") or SILENCE_S),
            overall=float(document.get("overall") or OVERALL_S),
            max_bytes=int(document.get("max_bytes") or MAX_BYTES),
            credentials=Credentials.from_json(document.get("credentials") or {}),
            probe=bool(document.get("probe")),
            look=bool(document.get("look")),
            check=bool(document.get("check")),
        )


def _ref(document: Mapping[str, Any]) -> tuple[str, str]:
    chosen = [(kind, str(document[kind])) for kind in ("branch", "tag", "commit") if document.get(kind)]
    if len(chosen) != 1:
        raise Stalled(
            "source must name exactly one of branch, tag and commit", "set source.branch", code="SourceRef"
        )
    kind, name = chosen[0]
    if kind == "commit":
        if not _COMMIT.fullmatch(name):
            raise Stalled(
                f"source.commit {name!r} is not a full commit id",
                "write all 40 hexadecimal digits",
                code="SourceRef",
            )
        return kind, name
    if _BAD_REF.search(name) or len(name) > 250:
        raise Stalled(
            f"source.{kind} {name!r} is not a name that Git allows",
            f"correct source.{kind}",
            code="SourceRef",
        )
    return kind, ("refs/heads/" if kind == "branch" else "refs/tags/") + name


def reason(error: BaseException) -> str:
    """Why an operation of the system failed, without the paths that its error repeats."""
    return (error.strerror if isinstance(error, OSError) and error.strerror else str(error)) or type(
        error
    ).__name__
