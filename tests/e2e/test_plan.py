"""`limpet plan` says what the next pass does, and then exactly that happens."""

from __future__ import annotations

import json
import re

import jsonschema
import pytest

from tests.harness.site import Site

COMPOSE = (
    "name: {app}\nservices:\n  web:\n    image: limpet-test/{web}\n  db: {{image: 'limpet-test/idle:v1'}}\n"
)


@pytest.fixture
def changed(site: Site, prefix: str) -> Site:
    """A converged site with a commit that is not applied yet: one service, one host file."""
    site.commit(
        {"compose.yaml": COMPOSE.format(app=prefix, web="web:v1"), "files/etc/app.conf": "workers = 4\n"}
    )
    site.sync()
    site.commit(
        {"compose.yaml": COMPOSE.format(app=prefix, web="web:v2"), "files/etc/app.conf": "workers = 8\n"},
        "More workers",
    )
    return site


def test_plan_is_what_happens(changed: Site, prefix: str) -> None:
    """Every operation that the plan lists must be done by the pass, with the same cause, and no other."""
    planned = json.loads(changed.limpet("plan", "--json", real=True).out)
    wanted = sorted(
        f"{a['verb']} {a['resource']}: {a['cause']}" for a in planned["actions"] if a["stage"] == "apply"
    )
    said = changed.sync().err.splitlines()
    done = [line for line in said if re.match(r"[a-z]+ (container|file|network|volume)/", line)]
    assert wanted and set(wanted) <= set(done)
    assert all(line.startswith(f"remove container/{prefix}-web-1") for line in done if line not in wanted)


def test_plan_shows_causes_and_differences(changed: Site, prefix: str) -> None:
    """The text must name what changes, why, and show the difference of a text file."""
    planned = changed.limpet("plan")
    assert planned.code == 2
    assert f"replace container/{prefix}-web-1: image limpet-test/web:v1 -> limpet-test/web:v2" in planned.out
    assert "-workers = 4" in planned.out and "+workers = 8" in planned.out
    assert "More workers" in planned.out and "db-1" not in planned.out


def test_plan_json_follows_its_schema(changed: Site) -> None:
    """`plan --json` must be what `limpet schema plan` describes, and agree with the text."""
    planned = changed.limpet("plan", "--json")
    assert planned.code == 2
    jsonschema.validate(json.loads(planned.out), json.loads(changed.limpet("schema", "plan").out))
    assert json.loads(planned.out)["revision"] == f"main@sha1:{changed.repo.head()}"


def test_heartbeat_follows_its_schema(changed: Site) -> None:
    """The heartbeat of a real pass must be what `limpet schema heartbeat` describes."""
    jsonschema.validate(changed.heartbeat(), json.loads(changed.limpet("schema", "heartbeat").out))


def test_nothing_to_do(changed: Site) -> None:
    """After the pass the plan must be empty, exit 0."""
    changed.sync()
    planned = changed.limpet("plan")
    assert (planned.code, planned.out.splitlines()[-1]) == (0, "nothing to do")
