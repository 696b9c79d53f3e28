"""How Limpet's containers differ from those of Docker Compose 1.29, and why: the one list, which
docs/compose.md shows.

A difference without an entry fails, and so does an entry whose difference no longer occurs in its app.
"""

from __future__ import annotations

import re
import textwrap
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
        "As Compose v2. It means nothing for a container that runs by itself.",
    ),
    Accepted(
        "elastic",
        r"Config\.Volumes: ",
        "`Config.Volumes`",
        "fewer",
        "As Compose v2. 1.29 also lists the mounts here, as if the image declared them.",
    ),
    Accepted(
        "wordpress",
        rf"{COMPOSE}(image|depends_on|config-hash): \(absent\) -> ",
        "labels `com.docker.compose.image`, `depends_on`, `config-hash`",
        "new",
        "They are labels of Compose v2; networks and volumes have them too.",
    ),
    Accepted(
        "wordpress",
        rf"{COMPOSE}(version|config-hash|project\.(working_dir|config_files)): '",
        "labels `com.docker.compose.version`, `config-hash`, `working_dir`, `config_files`",
        "other values",
        "They say who made the resource, from which content, and where the files are.",
    ),
    Accepted(
        "named-resources",
        rf"{COMPOSE}(network|volume): '",
        "labels `com.docker.compose.network`, `volume`",
        "the name -> the key in the file",
        "As Compose v2, where `name:` gives another name.",
    ),
    Accepted(
        "wordpress",
        rf"{LABELS}io\.limpet\.(app|digest|instance|name): \(absent\) -> ",
        "labels `io.limpet.*`",
        "new",
        "By these labels Limpet recognises what it owns.",
    ),
    Accepted(
        "wordpress",
        rf"{ENDPOINT}\.Aliases: \[(.*?)(?:, )?(.*)\] -> \[\1(?:, )?'\([\w.-]+\)'(?:, )?\2\]",
        "`NetworkSettings.Networks.*.Aliases`",
        "one more",
        "As Compose v2: the container's own name, which it has only from its start on.",
    ),
    Accepted(
        "links",
        rf"(HostConfig|{ENDPOINT})\.Links: \[.*_1",
        "`Links` of `HostConfig` and `NetworkSettings.Networks.*`",
        "`db_1` -> `db-1`",
        "As Compose v2, whose container names have hyphens.",
    ),
    Accepted(
        "redis-command",
        rf"{ENDPOINT}\.Links: \(absent\) -> ",
        "`NetworkSettings.Networks.*.Links`",
        "also before the start",
        "As Compose v2. 1.29 joins the network again at the start, and links then.",
    ),
    Accepted(
        "container-name",
        r"HostConfig\.VolumesFrom: \['\(([\w.]+)\):rw'\] -> \['\(\1\)'\]",
        "`HostConfig.VolumesFrom`",
        "no `:rw`",
        "It is the Engine's default.",
    ),
    Accepted(
        "anonymous-volumes",
        r"HostConfig\.Mounted\.\S+\.Type: \(absent\) -> 'volume'",
        "`HostConfig.Mounts`",
        "unnamed volumes",
        "As Compose v2, which asks for them here; 1.29 asks in `Config.Volumes`.",
    ),
    Accepted(
        "selinux",
        r"HostConfig\.Mounted\./d\.Options: \['z'\] -> \(absent\)",
        "`HostConfig.Mounts`",
        "no `z` on a volume",
        "As Compose v2: the Engine labels volumes by itself.",
    ),
    Accepted(
        "bind-long-form",
        r"HostConfig\.Mounted\.\S+\.WhenMissing: 'an error' -> 'made'",
        "`HostConfig.Binds`",
        "a missing source in the long form is made",
        "It is the specification's default; `create_host_path: false` makes it an error.",
    ),
    Accepted(
        "wordpress",
        r"Mounts\.\S+\.Mode: ",
        "`Mounts.*.Mode`",
        "another text",
        "As Compose v2, volumes are Mounts and bind mounts are Binds; the Engine shows how it was asked. "
        "The meaning (`RW`, `Propagation`, `Driver`) is the same.",
    ),
    Accepted(
        "gpu-reservation",
        r"HostConfig\.DeviceRequests: .*'Count': 0, .* -> .*'Count': -1, ",
        "`HostConfig.DeviceRequests.*.Count`",
        "0 -> -1",
        "As Compose v2: without `count` and `device_ids` all are meant; 1.29 asks for none.",
    ),
    Accepted(
        "seccomp-profile",
        r"HostConfig\.SecurityOpt: \['seccomp=\{",
        "`HostConfig.SecurityOpt`",
        "a seccomp profile without spaces",
        "As Compose v2. The JSON is the same.",
    ),
    Accepted(
        "wordpress",
        r"Attachable: True -> False",
        "networks: `Attachable`",
        "true -> false",
        "As Compose v2: only where `attachable: true` is written.",
    ),
)


def listed() -> list[str]:
    """The lines of the list in docs/compose.md."""
    found: list[str] = []
    for row in ACCEPTED:
        found.append(f"- {row.field}: {row.change}.")
        found += textwrap.wrap(
            f"{row.why} App: `{row.app}`.", 110, initial_indent="  ", subsequent_indent="  "
        )
    return found
