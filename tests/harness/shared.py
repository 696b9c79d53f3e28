"""What one worker of a test run makes and all of its workers use.

Rules:
1. The first worker that asks makes it, the others wait for that and get its description (plain JSON).
2. Its maker takes it down in `end`, when all of the worker's own fixtures are gone and nobody uses it any
   more.
3. Who uses it holds a lock that ends with the process, so that a worker that dies is not waited for.
"""

from __future__ import annotations

import fcntl
import json
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from pathlib import Path

Description = dict[str, str]
Make = Callable[[], AbstractContextManager[Description]]

_MADE = ExitStack()


@contextmanager
def shared(directory: Path, name: str, make: Make) -> Iterator[Description]:
    """Its description, for as long as the caller uses it. `directory` belongs to the run."""
    place = directory / f"{name}.json"
    with (directory / f"{name}.users").open("w") as users:
        with (directory / f"{name}.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            fcntl.flock(users, fcntl.LOCK_SH)
            if not place.exists():
                with ExitStack() as making:
                    made = making.enter_context(make())
                    _MADE.push(making.pop_all())
                _MADE.callback(_wait_for_users, directory, name)
                place.write_text(json.dumps(made))
        yield dict(json.loads(place.read_text()))


def _wait_for_users(directory: Path, name: str) -> None:
    """From now on nobody new comes, and those who are there have gone."""
    with (directory / f"{name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        (directory / f"{name}.json").unlink()
    with (directory / f"{name}.users").open("w") as users:
        fcntl.flock(users, fcntl.LOCK_EX)


def end() -> None:
    """Takes down what this worker made; the last first."""
    _MADE.close()
