"""Known good is complete on the host, and what nothing refers to any more is not kept."""

from __future__ import annotations

from agent.model import sha256
from tests.harness.site import Site


def test_nothing_is_left_after_six_releases(site: Site, prefix: str) -> None:
    """After six releases and a rejected one, the store must hold manifests and contents of the last three and
    nothing else.
    """
    site.configure(gate={"settle": "0.2s", "deadline": "20s"})
    store = site.root / "var/lib/limpet"
    service = (
        f"name: {prefix}\nservices:\n  web: {{image: 'limpet-test/idle:v1', environment: {{A: '%s'}}}}\n"
    )
    manifests: list[str] = []
    for number in range(6):
        only = {
            f"files/etc/only{n}": f"only{n}\n" if n == number else None
            for n in (number, number - 1)
            if n >= 0
        }
        site.commit({"compose.yaml": service % number, "files/etc/a": f"a{number}\n", **only})
        site.sync(real=True)
        manifests.append(site.heartbeat()["manifest_digest"])
    site.commit({"files/etc/a": "bad\n", "layer.yaml": "checks: {red: {exec: ['false'], within: 1s}}\n"})
    site.sync(expect=4)
    site.repo.revert()
    site.sync()
    wanted = {sha256(text) for n in (3, 4, 5) for text in (f"a{n}\n", f"only{n}\n")}
    assert {path.name for path in (store / "content").iterdir()} == wanted
    assert {path.stem for path in (store / "manifests").iterdir()} == set(manifests[3:])
    assert sorted(path.name for path in (site.root / "etc").iterdir() if path.name.startswith("only")) == [
        "only5"
    ]
    assert set(site.ids(prefix)) == {f"{prefix}-web-1"}
