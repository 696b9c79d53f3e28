"""Settings that this version cannot honour stop a pass and a dry run alike."""

from __future__ import annotations

from dataclasses import replace

import pytest

from agent.converge.preview import preview
from agent.errors import Stalled
from agent.settings.values import ConvergeSettings, Settings
from tests.fakes.passes import Passes, service


def with_setting(settings: Settings, section: str, **values: object) -> Settings:
    return replace(settings, **{section: replace(getattr(settings, section), **values)})


@pytest.mark.parametrize(
    ("section", "name", "value"),
    [
        ("source", "verify", "tip"),
        ("source", "verify", "history"),
        ("policy", "trust", "restricted"),
        ("converge", "min_age", 60.0),
    ],
)
def test_a_setting_without_effect_stops_a_dry_run(
    passes: Passes, section: str, name: str, value: object
) -> None:
    """A setting that asks for what cannot be done yet, as signatures, must not silently mean nothing."""
    context = passes.new_context()
    context.settings = with_setting(context.settings, section, **{name: value})
    with pytest.raises(Stalled) as caught:
        preview(context)
    assert caught.value.code == "Unsupported" and f"{section}.{name}" in caught.value.message


def test_a_setting_without_effect_stops_a_pass(passes: Passes) -> None:
    """Such a setting must end a pass with 78 and leave the host alone."""
    passes.host.add_image("shop/web:1", "web")
    passes.branch.push(service("shop/web:1"))
    passes.converge = ConvergeSettings(min_age=60.0)
    result = passes.run()
    assert result.exit_code == 78 and "converge.min_age" in result.reason and not passes.host.done
