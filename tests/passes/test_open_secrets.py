"""A key that others may read is told in each pass, and stops none."""

from __future__ import annotations

from dataclasses import replace

from agent.converge.context import Context
from agent.converge.preview import preview
from tests.fakes.passes import Passes, service


def test_a_key_that_others_may_read_is_told(passes: Passes) -> None:
    """The dry run and each pass must name the setting and the command, and follow the branch all the same;
    once the mode is right, no more.
    """
    key = passes.paths.host("/etc/key")
    key.write_text("secret")
    key.chmod(0o644)
    plain = passes.new_context

    def with_key() -> Context:
        context = plain()
        source = replace(context.settings.source, ssh_key="/etc/key")
        context.settings = replace(context.settings, source=source)
        return context

    passes.new_context = with_key  # type: ignore[method-assign]
    passes.host.add_image("shop/web:1", "web")
    passes.branch.push(service("shop/web:1"))
    told = f"source.ssh_key: {key} is open to others (mode 0644): chmod 600 {key}"
    assert told in preview(passes.new_context()).warnings
    for _ in range(2):
        assert passes.run().exit_code == 0
        assert passes.heartbeat()["warnings"] == [told]
    key.chmod(0o600)
    assert passes.run().exit_code == 0
    assert passes.heartbeat()["warnings"] == []
