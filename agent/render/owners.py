"""To whom the config or secret of a service belongs that says nothing about it: the user of the container.

Rules:
1. A number in the service's `user:` is taken as it is, of the user and of the group each. What the service
   says of a file (`uid`, `gid`) wins.
2. Names of users are known only inside the image, and so is the user that an image sets. Then the file is
   root's, and a warning says so if its mode keeps others from reading it.
"""

from __future__ import annotations

from collections.abc import Mapping

HINT = (
    'add uid: "NUMBER" of the user that reads it (docker run --rm --entrypoint id IMAGE shows it), or '
    'uid: "0" if that is root'
)
ROOT = ("0", "root")


def of_user(user: object) -> dict[str, str]:
    """The `uid` and `gid` of a service's `user:`, where they are numbers other than root's."""
    uid, _, gid = str(user if user is not None else "").partition(":")
    found = {"uid": uid, "gid": gid}
    return {key: value.lstrip("0") for key, value in found.items() if _is_number(value) and value.strip("0")}


def why_unreadable(owned: Mapping[str, str], user: object) -> str:
    """Why the user of a container may not read a file with this owner and mode; empty if nothing is wrong.

    owned: `uid`, `gid` and `mode`, where something says them
    user: the service's `user:`
    """
    if "uid" in owned or "mode" not in owned:
        return ""
    mode = int(owned["mode"], 8)
    if mode & 0o004 or ("gid" in owned and mode & 0o040):
        return ""
    name = str(user if user is not None else "").partition(":")[0]
    if name in ROOT or _is_number(name):
        return ""
    if name:
        return f"is readable only for root, and the service runs as {name}"
    return "is readable only for root, and the image may run as another user"


def _is_number(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) <= 10
