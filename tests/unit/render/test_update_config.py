"""`deploy.update_config` and `rollback_config`: what is read, what is warned of, what is wrong."""

from __future__ import annotations

from typing import Any

import pytest

from agent.errors import BadInput
from agent.model import Key, Manifest
from tests.unit.render.rendering import rendered

TEXT = """\
name: shop
services:
  web:
    image: x
    {extra}
    deploy:
      {section}:
        {said}
"""


def manifest(said: str = "{}", *, section: str = "update_config", extra: str = "labels: {}") -> Manifest:
    return rendered({"compose.yaml": TEXT.format(said=said, section=section, extra=extra)}).manifest


def spec(found: Manifest) -> dict[str, Any]:
    return dict(found.resources[Key("container", "shop-web-1")].spec)


def test_what_is_said_is_read() -> None:
    """Every key must be read, durations in seconds; what is not said is one at a time."""
    said = (
        "{order: start-first, parallelism: 2, delay: 1m30s, monitor: 5s, failure_action: continue, "
        "max_failure_ratio: 0.25}"
    )
    assert spec(manifest(said))["update"] == {
        "order": "start-first",
        "parallelism": 2,
        "delay": 90.0,
        "monitor": 5.0,
        "failure_action": "continue",
        "max_failure_ratio": 0.25,
    }
    assert spec(manifest())["update"] == {"parallelism": 1}
    found = spec(manifest("{parallelism: 0, order: stop-first}", section="rollback_config"))
    assert (found["rollback"], "update" in found) == ({"parallelism": 0}, False)


def test_it_is_in_no_digest() -> None:
    """How a service is changed must not be part of what it is: neither its digest nor that of the release may
    change.
    """
    one, other = manifest("{parallelism: 1}"), manifest("{order: start-first, delay: 10s, parallelism: 7}")
    assert one.digest == other.digest
    assert (
        one.resources[Key("container", "shop-web-1")].digest
        == other.resources[Key("container", "shop-web-1")].digest
    )


@pytest.mark.parametrize(
    ("extra", "reason"),
    [
        ('ports: ["8080:80"]', "both would hold the host port 8080"),
        ("network_mode: host", "both would listen in the same network (network_mode: host)"),
        ("mac_address: 02:42:ac:11:65:43", "both would have the MAC address 02:42:ac:11:65:43"),
    ],
)
def test_start_first_that_cannot_be_is_a_warning(extra: str, reason: str) -> None:
    """Where two containers cannot run at once, the old one must go first, and a warning say why, with file
    and line.
    """
    found = manifest("{order: start-first}", extra=extra)
    assert "order" not in spec(found)["update"]
    (warning,) = found.warnings
    assert warning.startswith(
        f"compose.yaml:8: services.web.deploy.update_config.order: start-first is not possible: {reason}"
    )


def test_start_first_with_a_free_port_is_possible() -> None:
    """A port that the Engine picks, or takes from a range, must not stand in the way."""
    found = manifest("{order: start-first}", extra='ports: ["80"]')
    assert spec(found)["update"]["order"] == "start-first" and not found.warnings


def test_start_first_in_a_network_that_is_called_like_the_hosts_is_possible() -> None:
    """A network whose name begins with "host" must not be taken for the network of the host."""
    found = manifest("{order: start-first}", extra="network_mode: hosting")
    assert spec(found)["update"]["order"] == "start-first" and not found.warnings


def test_static_address_stands_in_the_way_of_start_first() -> None:
    """A static address must make the old one go first, with a warning."""
    text = """\
services:
  web:
    image: x
    networks: {n: {ipv4_address: 10.9.0.5}}
    deploy: {rollback_config: {order: start-first}}
networks: {n: {ipam: {config: [{subnet: 10.9.0.0/24}]}}}
"""
    (warning,) = rendered({"compose.yaml": text}).manifest.warnings
    assert "compose.yaml:5" in warning and "both would hold the address 10.9.0.5" in warning


def test_pause_is_a_warning() -> None:
    """`pause` must be told to be a rollback."""
    (warning,) = manifest("{failure_action: pause}").warnings
    assert "half updated, so a failed update is rolled back" in warning


@pytest.mark.parametrize(
    ("said", "message"),
    [
        ("{parallelism: -1}", "parallelism: must not be negative"),
        ("{delay: soon}", "delay"),
        ("{failure_action: contineu}", "failure_action must be rollback, continue or pause, not 'contineu'"),
        ("{max_failure_ratio: 1.5}", "max_failure_ratio must be from 0 to 1, not 1.5"),
        ("{order: both}", "order"),
    ],
)
def test_what_is_wrong_is_an_error(said: str, message: str) -> None:
    """A value that means nothing must be an error with file and line."""
    with pytest.raises(BadInput) as error:
        manifest(said)
    (problem,) = error.value.problems
    assert (problem.file, problem.line) == ("compose.yaml", 8) and message in problem.message
