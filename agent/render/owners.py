"""To whom the config or secret of a service belongs that says nothing about it: the user of the container.

Rules:
1. A number in the service's `user:` is taken as it is, of the user and of the group each. What the service
   says of a file (`uid`, `gid`) wins.
2. Without `user:`, the image says it, once it is on the host (`kinds.readers`).
3. Names of users are known only inside the image. Then the file is root's, and a warning says so if its mode
   keeps others from reading it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from agent.kinds import readers

FIELDS = {"uid": "owner", "gid": "group"}


def of_user(user: object) -> dict[str, str]:
    """The `uid` and `gid` of a service's `user:`, where they are numbers other than root's."""
    return readers.numbers(_text(user))


def why_unreadable(owned: Mapping[str, str], user: object) -> str:
    """Why the user of a container may not read a file with this owner and mode; empty if nothing is wrong.

    owned: `uid`, `gid` and `mode`, where something says them
    user: the service's `user:`
    """
    if "uid" in owned or "mode" not in owned:
        return ""
    if not readers.may_not_read(_text(user), int(owned["mode"], 8), group="gid" in owned):
        return ""
    return f"is readable only for root, and the service runs as {_text(user).partition(':')[0]}"


def reader(owned: Mapping[str, str], service: Mapping[str, Any], what: str) -> dict[str, Any]:
    """Who reads a file that a service has for itself, where the image decides that; else empty.

    owned: `uid` and `gid`, where something says them; empty when the file is for all
    service: the service
    what: the file, for people
    """
    fields = [field for key, field in FIELDS.items() if key not in owned]
    if not owned or not fields or _text(service.get("user")):
        return {}
    return {"image": service["image"], "fields": fields, "what": what}


def _text(user: object) -> str:
    return str(user if user is not None else "")
