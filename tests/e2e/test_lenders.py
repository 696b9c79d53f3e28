"""Containers behind another one's network, as every host with a VPN has them, on the real Engine."""

from __future__ import annotations

from typing import Any

import pytest

from tests.harness.site import Site, on_both_engines

pytestmark = on_both_engines

COMPOSE = """\
name: {app}
services:
  vpn: {{image: 'limpet-test/idle:{vpn}', restart: always, init: true, environment: {{MARK: '{mark}'}}}}
  web: {{image: 'limpet-test/{kind}:v1', restart: always, network_mode: 'service:vpn'}}
  side:
    image: limpet-test/idle:v1
    restart: always
    init: true
    network_mode: none
    pid: 'service:vpn'
    volumes_from: [vpn]
"""


def compose(app: str, *, vpn: str = "v1", mark: str = "1", kind: str = "web") -> str:
    return COMPOSE.format(app=app, vpn=vpn, mark=mark, kind=kind)


@pytest.fixture
def pair(site: Site, prefix: str, request: pytest.FixtureRequest) -> Site:
    """A gateway and what lives by it; made at once, or the gateway first."""
    if getattr(request, "param", False):
        lines = compose(prefix).splitlines(keepends=True)
        site.commit({"compose.yaml": "".join(lines[:3])})
        site.sync()
    site.commit({"compose.yaml": compose(prefix)})
    site.sync()
    alive(site, prefix)
    return site


def namespace(site: Site, name: str, kind: str) -> str:
    return site.engine.said(name, "readlink", f"/proc/1/ns/{kind}")


def alive(site: Site, prefix: str) -> None:
    """The web server listens in the network of the gateway that runs now, the other one is in its process
    namespace, and a further pass does nothing.
    """
    vpn = f"{prefix}-vpn-1"
    assert namespace(site, f"{prefix}-web-1", "net") == namespace(site, vpn, "net")
    assert "nothing to do" in site.sync().out
    assert site.engine.said(vpn, "wget", "-qO-", "http://127.0.0.1:8080/")
    assert site.container(f"{prefix}-side-1")["HostConfig"]["PidMode"].endswith(site.container(vpn)["Id"])
    assert site.container(f"{prefix}-side-1")["State"]["Running"]


both = pytest.mark.parametrize("pair", [False, True], indirect=True, ids=["at once", "gateway first"])


@both
def test_a_commit_changes_the_gateway(pair: Site, prefix: str) -> None:
    """A commit to the gateway must be brought in with all that lives by it; so must another image of it."""
    for changes in ({"mark": "2"}, {"mark": "2", "vpn": "v2"}):
        pair.commit({"compose.yaml": compose(prefix, **changes)})
        pair.sync()
        alive(pair, prefix)


@both
def test_a_gateway_that_was_removed_or_restarted(pair: Site, prefix: str) -> None:
    """What lives by a gateway must follow it when it was removed, restarted, killed or stopped by hand."""
    vpn = pair.engine.client.containers
    vpn.get(f"{prefix}-vpn-1").remove(force=True)
    pair.sync()
    alive(pair, prefix)
    for trouble in ("restart", "kill", "stop"):
        getattr(vpn.get(f"{prefix}-vpn-1"), trouble)()
        pair.sync()
        alive(pair, prefix)


def test_another_commit_goes_on(pair: Site, prefix: str) -> None:
    """A gateway that vanished while what lives by it was stopped must not condemn a commit to another app."""
    for name in ("web", "side"):
        pair.engine.client.containers.get(f"{prefix}-{name}-1").stop()
    pair.engine.client.containers.get(f"{prefix}-vpn-1").remove(force=True)
    other = "services: {one: {image: 'limpet-test/idle:v1', network_mode: none}}\n"
    pair.commit({f"apps/{prefix}-o/compose.yaml": other})
    pair.sync()
    alive(pair, prefix)


def test_a_bad_release_goes_back_to_the_pair(pair: Site, prefix: str) -> None:
    """A gateway that was changed together with a sick service must come back with what lived by it."""
    before = pair.ids(prefix)
    pair.commit({"compose.yaml": compose(prefix, mark="2", kind="sick")})
    pair.sync(expect=4)
    assert pair.ids(prefix) == before
    assert namespace(pair, f"{prefix}-web-1", "net") == namespace(pair, f"{prefix}-vpn-1", "net")


def test_a_foreign_gateway_is_waited_for(site: Site, prefix: str) -> None:
    """What lives by a container of somebody else must wait for it, say so, and follow it."""
    vpn = f"{prefix}-their-vpn"
    web = f"{{image: 'limpet-test/web:v1', restart: always, network_mode: 'container:{vpn}'}}"
    site.commit({"compose.yaml": f"name: {prefix}\nservices: {{web: {web}}}\n"})
    assert f"container {vpn}, whose network it shares, is not there" in site.sync(expect=6).err
    run: dict[str, Any] = {"name": vpn, "detach": True, "network_mode": "none"}
    theirs = site.engine.client.containers.run("limpet-test/idle:v1", **run)
    for restart in (lambda: None, lambda: theirs.restart(timeout=0)):
        restart()
        site.sync()
        assert namespace(site, f"{prefix}-web-1", "net") == namespace(site, vpn, "net")
    theirs.remove(force=True)
    site.sync(expect=6)
