"""A broken history, made short and told."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

from tests.histories.steps import Round

PATIENCE = 60.0  # seconds for making it shorter


class Broken(Exception):
    """A history that broke a rule."""

    def __init__(self, what: str, rounds: list[Round], story: list[str]) -> None:
        super().__init__(what)
        self.rounds, self.story = rounds, story

    def __str__(self) -> str:
        literal = "".join(f"    {one!r},\n" for one in self.rounds)
        story = "\n".join(self.story)
        return f"{self.args[0]}\n\n{story}\n\nthe same again: replay([\n{literal}], red_port)"


def shortest(find: Callable[[], None], replay: Callable[[list[Round]], None]) -> None:
    """Runs `find`; when it finds a broken history, the shortest one that is broken too is raised instead."""
    try:
        find()
        return
    except Broken as found:
        broken = found
    until, shorter = time.monotonic() + PATIENCE, True
    while shorter:
        shorter = False
        for rounds in _shorter(broken.rounds):
            if time.monotonic() > until:
                raise broken
            try:
                replay(rounds)
            except Broken as other:
                broken, shorter = other, True
                break
    raise broken


def _shorter(rounds: list[Round]) -> Iterator[list[Round]]:
    """Without one round, without one event, with an ordinary pass: each once."""
    for at, (events, how) in enumerate(rounds):
        yield [*rounds[:at], *rounds[at + 1 :]]
        for number in range(len(events)):
            yield [*rounds[:at], ([*events[:number], *events[number + 1 :]], how), *rounds[at + 1 :]]
        if how != ("pass",):
            yield [*rounds[:at], (events, ("pass",)), *rounds[at + 1 :]]
