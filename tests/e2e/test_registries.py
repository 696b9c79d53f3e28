"""Registries with a login, a CA of their own and mirrors, by what the settings say of them."""

from __future__ import annotations

import secrets
from pathlib import Path
from typing import Any

from tests.harness import images
from tests.harness.engine import Engine
from tests.harness.gitrepo import GitRepo
from tests.harness.gitserver import HttpsRemote
from tests.harness.hosts import HostNetwork, host
from tests.harness.registry import registry
from tests.harness.site import Site
from tests.harness.tls import Authority

COMPOSE = "name: {app}\nservices:\n  web:\n    image: {image}\n"
TOKEN = f"canary-{secrets.token_hex(8)}"
LOGIN = ("robot", TOKEN)


def own(prefix: str) -> images.Image:
    return images.make(f"{prefix}/web:1", images.KINDS["web"], "one", {"prefix": prefix})


def told(root: Path) -> str:
    """All that Limpet has written: state, journal, history, heartbeat, caches."""
    files = [
        path
        for place in ("var/lib/limpet", "run/limpet")
        for path in (root / place).rglob("*")
        if path.is_file()
    ]
    return "\n".join(path.read_bytes().decode("latin-1") for path in files)


def test_token_and_mirror(site: Site, prefix: str, tmp_path: Path) -> None:
    """With the token of its table an image must come, by a mirror with its own token too; a wrong one must be
    said and stall, and neither may be in anything that Limpet says or writes.
    """
    with (
        registry(tmp_path / "private", login=LOGIN) as private,
        registry(tmp_path / "mirror", login=LOGIN) as mirror,
    ):
        ref = private.push(own(prefix), f"{prefix}/web:1")
        site.commit({"compose.yaml": COMPOSE.format(app=prefix, image=ref)})
        table: dict[str, Any] = {"username": "robot", "token_file": "/etc/limpet/token"}
        site.configure(engine={"registries": {private.address: table}})
        said = []
        for token, exit_code in ((f"wrong-{TOKEN}", 78), (TOKEN, 0)):
            (site.root / "etc/limpet/token").write_text(f"{token}\n")
            said.append(site.sync(expect=exit_code, real=True))
            said.append(site.limpet("status"))
        assert "token_file" in said[0].err
        assert site.engine.client.images.get(ref).id == own(prefix).id
        copy = mirror.push(images.image("web", "v2"), f"proxy/{prefix}/web:2")
        tables = {private.address: {**table, "mirrors": [f"{mirror.address}/proxy"]}, mirror.address: table}
        site.configure(engine={"registries": tables})
        site.commit({"compose.yaml": COMPOSE.format(app=prefix, image=f"{private.address}/{prefix}/web:2")})
        said.append(site.sync())
        assert site.container(f"{prefix}-web-1")["Image"] == images.image("web", "v2").id
        found = site.engine.client.api.images()
        names = [
            name for image in found for name in [*(image["RepoTags"] or ()), *(image["RepoDigests"] or ())]
        ]
        assert f"{private.address}/{prefix}/web:2" in names
        assert not [name for name in names if name.startswith(copy.partition("/")[0])]
        assert TOKEN not in f"{said} {told(site.root)}"
        site.engine.remove_all(prefix)


def test_own_ca(engine: Engine, host_net: HostNetwork, repo: GitRepo, tmp_path: Path) -> None:
    """A registry whose CA nobody knows must be refused with the remedy, and work when the settings name its
    CA.
    """
    authority = Authority(tmp_path / "authority")
    with (
        registry(tmp_path / "registry", bind=host_net.gateway, login=LOGIN, tls=authority) as private,
        HttpsRemote(repo, tmp_path / "https", bind=host_net.gateway) as git,
        host(engine, host_net, "private-01", "trixie") as machine,
    ):
        machine.put(
            "/etc/docker/daemon.json", '{"shutdown-timeout": 3}'
        )  # no network is trusted without a certificate
        machine.restart("docker")
        machine.install_limpet()
        ref = private.push(images.image("web"), "team/web:1")
        repo.commit({"compose.yaml": COMPOSE.format(app="shop", image=ref)}, "first")
        machine.put("/etc/limpet/token", TOKEN, 0o600)
        machine.put("/etc/limpet/registry-ca.crt", authority.ca_file.read_bytes())
        table = {"username": "robot", "token_file": "/etc/limpet/token"}
        machine.configure(git, engine={"registries": {private.address: table}})
        refused = machine.limpet("sync")
        assert refused.code == 78 and "ca_file" in refused.err
        machine.configure(
            git, engine={"registries": {private.address: {**table, "ca_file": "/etc/limpet/registry-ca.crt"}}}
        )
        done = machine.limpet("sync")
        assert done.code == 0, done
        assert machine.engine.client.api.inspect_container("shop-web-1")["State"]["Running"]
        assert machine.read(f"/etc/docker/certs.d/{private.address}/ca.crt").startswith("# written by Limpet")
        assert machine.limpet("doctor").out.count("WRONG    credentials") == 0
