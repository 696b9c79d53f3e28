"""A container with a MAC address of its own keeps it, on the real Engine."""

from __future__ import annotations

from tests.harness.site import Site, on_both_engines

pytestmark = on_both_engines
MAC = "02:42:ac:77:00:01"
COMPOSE = """\
name: {app}
services:
  web: {{image: 'limpet-test/{kind}:v1', mac_address: '{mac}'}}
networks: {{default: {{internal: {internal}}}}}
"""


def test_its_network_is_made_anew(site: Site, prefix: str) -> None:
    """A fixed MAC address must be there after a release that re-created the network, after the way back from
    one, and when somebody took the container off its network or the network away.
    """
    web, network = f"{prefix}-web-1", f"{prefix}_default"

    def release(internal: str, kind: str = "idle", expect: int = 0) -> None:
        site.commit({"compose.yaml": COMPOSE.format(app=prefix, mac=MAC, internal=internal, kind=kind)})
        site.sync(expect=expect)
        assert mac() == MAC

    def mac() -> str:
        assert site.container(web)["State"]["Running"]
        return str(site.container(web)["NetworkSettings"]["Networks"][network]["MacAddress"])

    release("false")
    release("true")
    release("false", kind="crash", expect=4)
    networks = site.engine.client.networks
    for take_away in (False, True):
        networks.get(network).disconnect(web, force=True)
        if take_away:
            networks.get(network).remove()
        site.sync(expect=4)
        assert mac() == MAC
    release("false")
    assert "nothing to do" in site.sync().out
