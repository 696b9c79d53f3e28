"""Random histories as data: rounds of events that end in a pass each. A history is printed as a literal, and
`replay` takes it.

An event is a tuple, its name first. What an event is about is a number that chooses among what there is at
that moment; an event for which there is nothing does nothing. So a history can be cut anywhere and is still
one.
"""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

from tests.histories.releases import CHANGES, releases, stacks
from tests.properties.strategies import APP_FILES, HOST_PATHS

Event = tuple[Any, ...]
Round = tuple[list[Event], Event]

BAD = {
    "sick:1": "sick",
    "stuck:1": "stuck",
    "crash:1": "crash",
    "wont:1": "wont-start",
    "fail:1": "fail-once",
}
SPOILT = (*BAD, "loop", "hook", "check", "external")
HERE = st.integers(0, 7)
PATHS = (*APP_FILES, *HOST_PATHS)

RELEASES = st.one_of(releases(), stacks())
TWEAKS = (
    *("image", "content", "rename", "drop", "network", "port", "lender", "data"),
    *("rename-service", "rename-app", *CHANGES),
)
PUSHES = st.one_of(
    st.tuples(st.just("push"), RELEASES),
    st.tuples(st.just("spoil"), HERE, st.sampled_from(SPOILT)),
    st.tuples(st.just("tweak"), st.sampled_from(TWEAKS), HERE),
    st.tuples(st.just("revert"), st.integers(0, 3)),
    st.just(("recommit",)),
)
DRIFT = st.tuples(
    st.just("drift"),
    st.sampled_from(
        ("stop", "vanish", "disconnect", "pause", "edit", "delete", "chmod", "network", "unlabelled-restart")
    ),
    HERE,
)
INTRUSIONS = st.tuples(st.just("intrude"), st.sampled_from(("name", "port", "network", "file", "link")), HERE)
WORLD = st.one_of(
    st.just(("reboot",)),
    st.just(("reboot",)),
    st.just(("leave",)),
    st.just(("rewrite",)),
    st.tuples(st.just("outage"), st.sampled_from(("source", "registry", "docker"))),
    st.tuples(
        st.just("time"), st.sampled_from(("pass", "jump")), st.sampled_from((25.0, 4000.0, 3e8, -60.0, -3e8))
    ),
    st.tuples(st.just("order"), st.sampled_from(("retry", "suspend", "resume", "freeze", "rollback")), HERE),
)
OUTSIDE = st.one_of(
    st.tuples(
        st.just("outside"), st.sampled_from(("process", "proxy", "device", "vpn", "vpn-restarts")), HERE
    ),
    st.tuples(st.just("lender"), st.sampled_from(("crash", "stop", "vanish", "restart")), HERE),
    st.tuples(st.just("ail"), HERE, st.integers(1, 9)),
    st.tuples(st.just("ail"), HERE, st.just(0)),
    st.just(("heal",)),
)
EVENTS = st.one_of(PUSHES, PUSHES, DRIFT, INTRUSIONS, WORLD, OUTSIDE, OUTSIDE)
PASSES = st.one_of(
    st.just(("pass",)),
    st.just(("pass",)),
    st.tuples(st.just("killed"), st.integers(1, 40)),
    st.tuples(st.just("killed"), st.integers(1, 40)),
    st.tuples(st.just("power"), st.integers(1, 160)),
    st.tuples(st.just("trouble"), st.integers(1, 30)),
    st.tuples(st.just("docker"), st.integers(1, 30)),
    st.tuples(st.just("docker-restarts"), st.integers(1, 4)),
    st.tuples(st.just("docker-restarts"), st.integers(1, 30)),
    st.tuples(st.just("full"), st.integers(1, 20)),
    st.tuples(st.just("asked-to-stop"), st.integers(1, 30)),
    st.tuples(st.just("cut-off"), st.integers(1, 3)),
    st.tuples(st.just("newer"), st.integers(1, 4), PUSHES),
)
ROUNDS = st.tuples(st.lists(EVENTS, max_size=3), PASSES)


@st.composite
def histories(draw: st.DrawFn, most: int = 8) -> list[Round]:
    """A first release, good nearly always, and what happens then."""
    first: Round = (
        [("push", draw(RELEASES))],
        draw(st.one_of(st.just(("pass",)), st.just(("pass",)), PASSES)),
    )
    return [first, *draw(st.lists(ROUNDS, min_size=2, max_size=most))]
