"""The host's own settings (/etc/limpet/limpet.toml) as values. Standard library only.

Rules:
1. Durations are seconds (float), paths are host paths as written, not yet below `--root`.
2. The repository cannot change any of them.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Annotated, Literal

from agent.model import Json, canonical_json, sha256

PREFIX = "LIMPET_"
FILES_DENY = ("/etc/limpet/**", "/etc/shadow", "/boot/**", "/dev/**", "/proc/**", "/sys/**")

# The loader checks these besides the type.
Seconds = Annotated[float, "duration"]  # written "90s", "5m", "2h30m", "1d"
HostPath = Annotated[str, "path"]  # absolute, or empty
Size = Annotated[int, "size"]  # bytes; written "64MiB", "512KiB"
Share = Annotated[float, "share"]  # 0 to 1
Url = Annotated[str, "url"]
Web = Annotated[str, "web"]  # http or https
Zone = Annotated[str, "zone"]  # a time zone of the tz database, or empty: the host's own
Cron = Annotated[str, "cron"]


def _doc(text: str) -> dict[str, str]:
    return {"doc": text}


@dataclass(frozen=True, slots=True)
class Window:
    """When a release may start (allow) or may not (deny): a cron expression, and the duration from there."""

    allow: Cron = ""
    deny: Cron = ""
    duration: Seconds = field(default=0.0, metadata={"key": "for", "doc": "how long the window lasts"})
    tz: Zone = field(default="", metadata=_doc("time zone; default: the host's own"))


@dataclass(frozen=True, slots=True)
class HostSettings:
    name: str = field(default="", metadata=_doc("default: the host name"))
    labels: Mapping[str, str] = field(
        default_factory=dict, metadata=_doc("what `when` and {label} of fleet.yaml look at")
    )


@dataclass(frozen=True, slots=True)
class SourceSettings:
    url: Url = field(
        default="", metadata=_doc("https, ssh, git, file, or a path (a repository or a *.bundle)")
    )
    branch: str = field(default="", metadata=_doc("the pin of this host; or tag, or commit. Default: main"))
    tag: str = ""
    commit: str = field(default="", metadata=_doc("40 or 64 hex digits"))
    path: str = field(
        default=".", metadata=_doc("the fleet repository's directory inside the Git repository")
    )
    mirrors: tuple[Url, ...] = field(default=(), metadata=_doc("tried in order when url cannot be reached"))
    insecure_http: bool = field(
        default=False,
        metadata=_doc("http:// is allowed to other hosts than this one, without credentials"),
    )
    verify: Literal["none", "tip", "history"] = "none"
    trust_from: str = field(
        default="", metadata=_doc("verify = history: the commit from which on signatures are required")
    )
    allowed_signers: HostPath = field(
        default="/etc/limpet/allowed_signers", metadata=_doc("ssh and OpenPGP keys")
    )
    poll: Seconds = 60.0
    timeout: Seconds = field(
        default=30.0, metadata=_doc("of silence; a fetch that still moves has ten minutes")
    )
    ssh_key: HostPath = field(default="", metadata=_doc("private key"))
    known_hosts: HostPath = field(default="", metadata=_doc("host keys of the SSH server"))
    username: str = field(default="", metadata=_doc("for https; with token_file"))
    token_file: HostPath = field(
        default="", metadata=_doc("a file that holds the password or token for https")
    )
    ca_file: HostPath = field(default="", metadata=_doc("certificates to trust for https, PEM"))
    proxy: str = field(default="", metadata=_doc("http://host:port for https sources"))
    max_file: Size = field(
        default=64 << 20, metadata=_doc("the largest file that the repository may place; at most 128MiB")
    )

    @property
    def ref(self) -> str:
        """The ref that this host is pinned to: refs/heads/BRANCH, refs/tags/TAG, or the commit."""
        return self.commit or (f"refs/tags/{self.tag}" if self.tag else f"refs/heads/{self.branch}")

    @property
    def ref_name(self) -> str:
        """The same for people, as in `main@sha1:1f2e3d4`."""
        return self.branch or self.tag or self.commit[:12]


@dataclass(frozen=True, slots=True)
class ConvergeSettings:
    mode: Literal["enforce", "report"] = field(
        default="enforce", metadata=_doc("report: drift is shown, not repaired")
    )
    resync: Seconds = field(default=600.0, metadata=_doc("full drift check with no new revision"))
    min_age: Seconds = field(
        default=0.0, metadata=_doc("a revision is taken this long after this host first saw it")
    )
    windows: tuple[Window, ...] = ()
    prune: bool = True
    max_prune: Share = field(
        default=0.5,
        metadata=_doc("a plan that deletes more than this share of a kind, and more than 5, is refused"),
    )


@dataclass(frozen=True, slots=True)
class GateSettings:
    settle: Seconds = field(default=10.0, metadata=_doc("healthy for this long"))
    deadline: Seconds = field(default=300.0, metadata=_doc("or it is rejected"))
    rollback: bool = True
    require_source: bool = field(default=True, metadata=_doc("after applying, the source must still answer"))


@dataclass(frozen=True, slots=True)
class RegistrySettings:
    """How one registry is reached; wins over Docker's own configuration."""

    username: str = field(default="", metadata=_doc("beside token_file; default: token"))
    token_file: HostPath = field(default="", metadata=_doc("a file that holds the password or token"))
    ca_file: HostPath = field(
        default="", metadata=_doc("certificates to trust, PEM; put where the Engine reads them")
    )
    mirrors: tuple[str, ...] = field(
        default=(), metadata=_doc("HOST[:PORT][/PATH], tried in order before the registry itself")
    )


@dataclass(frozen=True, slots=True)
class EngineSettings:
    socket: HostPath = field(default="/var/run/docker.sock", metadata=_doc("Docker's API"))
    docker_config: HostPath = field(
        default="/root/.docker/config.json", metadata=_doc("registry credentials and helpers")
    )
    registries: Mapping[str, RegistrySettings] = field(
        default_factory=dict, metadata=_doc("by name: HOST[:PORT], or docker.io")
    )


@dataclass(frozen=True, slots=True)
class PolicySettings:
    """The rights of the repository on this host."""

    trust: Literal["repository", "restricted"] = field(
        default="repository",
        metadata=_doc("repository: whoever may push owns the host; restricted: only what is listed"),
    )
    trailers: bool = field(default=True, metadata=_doc("whether Limpet-... trailers of the commit count"))
    files_deny: tuple[str, ...] = FILES_DENY
    files_allow: tuple[str, ...] = field(default=(), metadata=_doc("restricted: globs of host paths"))
    bind_mounts: tuple[str, ...] = field(default=(), metadata=_doc("restricted: globs of host paths"))
    capabilities: tuple[str, ...] = field(default=(), metadata=_doc("restricted: what cap_add may name"))
    users: tuple[str, ...] = field(default=(), metadata=_doc("restricted: users that containers may run as"))
    privileged: bool = False
    host_network: bool = False
    host_pid: bool = False
    docker_socket: bool = False


@dataclass(frozen=True, slots=True)
class HeartbeatSettings:
    file: HostPath = "/run/limpet/heartbeat.json"
    url: Web = field(default="", metadata=_doc("also sent there by HTTP PUT"))
    prometheus: HostPath = field(default="", metadata=_doc("a textfile collector directory"))


@dataclass(frozen=True, slots=True)
class Settings:
    """All sections; every key is also LIMPET_SECTION__KEY in the environment, which wins."""

    host: HostSettings = field(default_factory=HostSettings)
    source: SourceSettings = field(default_factory=SourceSettings)
    converge: ConvergeSettings = field(default_factory=ConvergeSettings)
    gate: GateSettings = field(default_factory=GateSettings)
    engine: EngineSettings = field(default_factory=EngineSettings)
    policy: PolicySettings = field(default_factory=PolicySettings)
    heartbeat: HeartbeatSettings = field(default_factory=HeartbeatSettings)

    @property
    def digest(self) -> str:
        """Changes when any setting does."""
        return sha256(canonical_json(self.to_json()))

    def to_json(self) -> dict[str, Json]:
        return asdict(self)

    @classmethod
    def from_json(cls, doc: Mapping[str, Json]) -> Settings:
        """The inverse of `to_json`. Errors: KeyError, TypeError."""
        registries = {
            name: RegistrySettings(**_tuples(table)) for name, table in doc["engine"]["registries"].items()
        }
        converge = {
            **doc["converge"],
            "windows": tuple(Window(**window) for window in doc["converge"]["windows"]),
        }
        return cls(
            HostSettings(**doc["host"]),
            SourceSettings(**_tuples(doc["source"])),
            ConvergeSettings(**converge),
            GateSettings(**doc["gate"]),
            EngineSettings(**{**doc["engine"], "registries": registries}),
            PolicySettings(**_tuples(doc["policy"])),
            HeartbeatSettings(**doc["heartbeat"]),
        )


def _tuples(section: Mapping[str, Json]) -> dict[str, Json]:
    return {key: tuple(value) if isinstance(value, list) else value for key, value in section.items()}


SECTIONS = tuple(section.name for section in fields(Settings))
