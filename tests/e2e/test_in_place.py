"""What somebody changed of a running container is put back in place, on the real Engine."""

from __future__ import annotations

from tests.harness.site import Site, on_both_engines

pytestmark = on_both_engines


def test_what_somebody_changed(site: Site, prefix: str) -> None:
    """A restart policy, limits and networks that somebody changed must be in the plan and be put back by the
    next pass, and the container run on.
    """
    web = "image: 'limpet-test/idle:v1', init: true, restart: always, mem_limit: 64m, cpu_shares: 512"
    compose = f"name: {prefix}\nservices: {{web: {{{web}}}}}\n"
    site.commit({"compose.yaml": compose})
    site.sync()
    assert "nothing to do" in site.sync().out
    before, name = site.ids(prefix), f"{prefix}-web-1"
    api = site.engine.client.api
    api.update_container(
        name,
        restart_policy={"Name": "on-failure"},
        mem_limit="32m",
        memswap_limit="64m",
        cpu_shares=100,
    )
    extra = api.create_network(f"{prefix}_extra")["Id"]
    api.connect_container_to_network(name, extra)
    api.disconnect_container_from_network(name, f"{prefix}_default")
    plan = site.limpet("plan").out
    for words in ("is not attached to", "its restart policy changed by hand", "mem_limit", f"{prefix}_extra"):
        assert words in plan, plan
    assert "1 of them to repair drift" in site.sync().out
    assert site.ids(prefix) == before
    there = site.engine.client.containers.get(name)
    host, networks = there.attrs["HostConfig"], there.attrs["NetworkSettings"]["Networks"]
    assert host["RestartPolicy"]["Name"] == "always" and set(networks) == {f"{prefix}_default"}
    assert (host["Memory"], host["CpuShares"]) == (64 << 20, 512)
    assert "nothing to do" in site.sync().out
    api.remove_network(extra)


def test_what_cannot_be_taken_back(site: Site, prefix: str) -> None:
    """A limit that the Engine cannot take back must go with a new container."""
    web = "image: 'limpet-test/idle:v1', init: true, restart: always"
    site.commit({"compose.yaml": f"name: {prefix}\nservices: {{web: {{{web}}}}}\n"})
    site.sync()
    before, name = site.ids(prefix), f"{prefix}-web-1"
    api = site.engine.client.api
    api.update_container(name, mem_limit="64m", memswap_limit="128m")
    assert "mem_limit, memswap_limit was set by hand" in site.limpet("plan").out
    site.sync()
    assert site.ids(prefix) != before
    assert site.engine.client.containers.get(name).attrs["HostConfig"]["Memory"] == 0
    assert "nothing to do" in site.sync().out
