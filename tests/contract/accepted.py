"""How Limpet's containers differ from those of Docker Compose 1.29, and why: the one table, which
docs/compose.md shows.

A difference without a row fails, and so does a row whose difference no longer occurs in its app.
"""

from __future__ import annotations

import re
from dataclasses import dataclass


@dataclass(frozen=True)
class Accepted:
    """`pattern` matches the start of `FIELD: theirs -> ours` for a container, network or volume; `app` shows
    it. The rest is for people: the `field`, what 1.29 has and what we have (`change`), and `why`.
    """

    app: str
    pattern: str
    field: str
    change: str
    why: str

    def matches(self, difference: str) -> bool:
        return re.match(rf"(?:network |volume )?\S+ {self.pattern}", difference) is not None


ENDPOINT = r"NetworkSettings\.Networks\.[\w.-]+"
LABELS = r"(?:Config\.)?Labels\."
COMPOSE = rf"{LABELS}com\.docker\.compose\."

ACCEPTED = (
    Accepted(
        "wordpress",
        r"Config\.Attach(Stdout|Stderr): False -> True",
        "`Config.AttachStdout`, `AttachStderr`",
        "false -> true",
        "as Compose v2; it means nothing for a container that runs by itself",
    ),
    Accepted(
        "elastic",
        r"Config\.Volumes: ",
        "`Config.Volumes`",
        "fewer",
        "as Compose v2: 1.29 lists what is mounted here too, as if the image declared it",
    ),
    Accepted(
        "wordpress",
        rf"{COMPOSE}(image|depends_on|config-hash): \(absent\) -> ",
        "labels `com.docker.compose.image`, `depends_on`, `config-hash`",
        "new",
        "labels of Compose v2, on networks and volumes too",
    ),
    Accepted(
        "wordpress",
        rf"{COMPOSE}(version|config-hash|project\.(working_dir|config_files)): '",
        "labels `com.docker.compose.version`, `config-hash`, `working_dir`, `config_files`",
        "other values",
        "they say who made it, of what, and where the files lie",
    ),
    Accepted(
        "named-resources",
        rf"{COMPOSE}(network|volume): '",
        "labels `com.docker.compose.network`, `volume`",
        "the name -> the key in the file",
        "as Compose v2, where `name:` gives another name",
    ),
    Accepted(
        "wordpress",
        rf"{LABELS}io\.limpet\.(app|digest|instance|name): \(absent\) -> ",
        "labels `io.limpet.*`",
        "new",
        "by them Limpet knows what it owns",
    ),
    Accepted(
        "wordpress",
        rf"{ENDPOINT}\.Aliases: \[(.*?)(?:, )?(.*)\] -> \[\1(?:, )?'\([\w.-]+\)'(?:, )?\2\]",
        "`NetworkSettings.Networks.*.Aliases`",
        "one more",
        "as Compose v2: the container's own name, which is its name only from the start on",
    ),
    Accepted(
        "links",
        rf"(HostConfig|{ENDPOINT})\.Links: \[.*_1",
        "`Links` of `HostConfig` and `NetworkSettings.Networks.*`",
        "`db_1` -> `db-1`",
        "as Compose v2: its names of containers have hyphens",
    ),
    Accepted(
        "redis-command",
        rf"{ENDPOINT}\.Links: \(absent\) -> ",
        "`NetworkSettings.Networks.*.Links`",
        "also before the start",
        "as Compose v2: 1.29 joins the network again at the start, and links then",
    ),
    Accepted(
        "container-name",
        r"HostConfig\.VolumesFrom: \['\(([\w.]+)\):rw'\] -> \['\(\1\)'\]",
        "`HostConfig.VolumesFrom`",
        "no `:rw`",
        "it is the Engine's default",
    ),
    Accepted(
        "anonymous-volumes",
        r"HostConfig\.Mounted\.\S+\.Type: \(absent\) -> 'volume'",
        "`HostConfig.Mounts`",
        "unnamed volumes",
        "as Compose v2, which asks for them here; 1.29 does in `Config.Volumes`",
    ),
    Accepted(
        "selinux",
        r"HostConfig\.Mounted\./d\.Options: \['z'\] -> \(absent\)",
        "`HostConfig.Mounts`",
        "no `z` on a volume",
        "as Compose v2: the Engine labels volumes by itself",
    ),
    Accepted(
        "bind-long-form",
        r"HostConfig\.Mounted\.\S+\.WhenMissing: 'an error' -> 'made'",
        "`HostConfig.Binds`",
        "a source in the long form is made when it is missing",
        "the specification's default; `create_host_path: false` makes it an error",
    ),
    Accepted(
        "wordpress",
        r"Mounts\.\S+\.Mode: ",
        "`Mounts.*.Mode`",
        "another text",
        "as Compose v2, volumes are Mounts and bind mounts Binds; the Engine shows here how it was asked. "
        "What it means (`RW`, "
        "`Propagation`, `Driver`) is the same",
    ),
    Accepted(
        "gpu-reservation",
        r"HostConfig\.DeviceRequests: .*'Count': 0, .* -> .*'Count': -1, ",
        "`HostConfig.DeviceRequests.*.Count`",
        "0 -> -1",
        "as Compose v2: neither `count` nor `device_ids` means all; 1.29 asks for none",
    ),
    Accepted(
        "seccomp-profile",
        r"HostConfig\.SecurityOpt: \['seccomp=\{",
        "`HostConfig.SecurityOpt`",
        "a seccomp profile without spaces",
        "as Compose v2; the JSON is the same",
    ),
    Accepted(
        "wordpress",
        r"Attachable: True -> False",
        "networks: `Attachable`",
        "true -> false",
        "as Compose v2: only where `attachable: true` is written",
    ),
)


def table() -> list[str]:
    """The rows of the table in docs/compose.md."""
    return [f"| {row.field} | {row.change} | {row.why} | {row.app} |" for row in ACCEPTED]
