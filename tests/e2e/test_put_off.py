"""What is refused of a release comes in later with a gate and a way back, on the real Engine."""

from __future__ import annotations

from tests.harness.site import Site, on_both_engines

pytestmark = on_both_engines

HEALTH = "healthcheck: {{test: [CMD, '{0}'], interval: 1s, retries: 1, start_period: 0s}}"


def compose(app: str, more: str, api: str) -> str:
    return (
        f"name: {app}\nservices:\n"
        f"  web: {{image: 'limpet-test/idle:v1', init: true, {more}}}\n"
        f"  api: {{image: 'limpet-test/idle:v1', init: true, environment: {{E: '{api}'}}}}\n"
    )


def test_the_rest_has_a_gate(site: Site, prefix: str, free_port: int) -> None:
    """A new form that waited for its port and is not healthy must be rolled back to the very container that
    was there; the part of the commit that did not wait stays.
    """
    site.commit({"compose.yaml": compose(prefix, "environment: {E: '1'}", "1")})
    site.sync()
    old = site.ids(prefix)
    sick = f"ports: ['{free_port}:80'], {HEALTH.format('false')}"
    site.commit({"compose.yaml": compose(prefix, sick, "2")})
    with site.holding(free_port):
        for _ in range(2):
            assert f"port {free_port}/tcp is held by a process of the host" in site.sync(expect=6).err
        part = site.ids(prefix)
        assert part[f"{prefix}-web-1"] == old[f"{prefix}-web-1"]
        assert part[f"{prefix}-api-1"] != old[f"{prefix}-api-1"]
    assert "its health check fails" in site.sync(expect=4).err
    assert site.ids(prefix) == part
    assert all(site.engine.client.containers.get(id).status == "running" for id in part.values())


def test_a_directory_makes_way_before_the_gate(site: Site, prefix: str) -> None:
    """A tracked directory that becomes a file, in a commit whose container is not healthy, must be back, with
    the container that mounts it.
    """

    def commit(health: str, **files: str) -> None:
        more = f"volumes: ['./conf:/conf'], {HEALTH.format(health)}"
        site.commit({"compose.yaml": compose(prefix, more, "1"), **files})

    commit("true", **{"conf/a": "a\n", "conf/sub/b": "b\n"})
    site.sync()
    old = site.ids(prefix)
    commit("false", conf="a file\n")
    site.sync(expect=4)
    assert site.ids(prefix) == old
    web = site.engine.client.containers.get(old[f"{prefix}-web-1"])
    assert web.exec_run("cat /conf/a /conf/sub/b").output == b"a\nb\n"
    commit("true", conf="a file\n")
    site.sync()
    web = site.engine.client.containers.get(site.ids(prefix)[f"{prefix}-web-1"])
    assert web.exec_run("cat /conf").output == b"a file\n"
    assert "nothing to do" in site.sync().out
