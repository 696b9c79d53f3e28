"""Volumes of a service as the Engine's Binds and Mounts."""

from __future__ import annotations

from typing import Any

import pytest

from agent.kinds.engine.mounts import volumes

BIND = {"type": "bind", "source": "/a", "target": "/b"}


@pytest.mark.parametrize(
    ("more", "bind"),
    [
        ({}, "/a:/b:rw"),
        ({"read_only": True}, "/a:/b:ro"),
        ({"bind": {"create_host_path": True}}, "/a:/b:rw"),
        ({"bind": {"selinux": "z", "propagation": "rslave"}}, "/a:/b:rw,z,rslave"),
    ],
)
def test_a_plain_bind_is_written_as_one(more: dict[str, Any], bind: str) -> None:
    """A bind whose source may be made must be a Bind, with its options."""
    assert volumes({"volumes": [BIND | more]}) == ([bind], [])


@pytest.mark.parametrize(
    ("more", "options"),
    [
        ({"bind": {"create_host_path": False}}, {}),
        ({"bind": {"recursive": "disabled"}}, {"BindOptions": {"NonRecursive": True}}),
        ({"bind": {"recursive": "writable"}}, {"BindOptions": {"ReadOnlyNonRecursive": True}}),
        ({"bind": {"recursive": "readonly"}}, {"BindOptions": {"ReadOnlyForceRecursive": True}}),
        ({"source": "/a:1"}, {"Source": "/a:1"}),
        ({"target": "/b:1"}, {"Target": "/b:1"}),
    ],
)
def test_what_a_bind_cannot_say_is_a_mount(more: dict[str, Any], options: dict[str, Any]) -> None:
    """A bind that must not be made, that says how deep it goes, or that has a colon, must be a Mount."""
    binds, (mount,) = volumes({"volumes": [BIND | more]})
    assert binds == [] and {key: mount[key] for key in options} == options
    assert mount["Type"] == "bind"
