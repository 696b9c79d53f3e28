"""Children: limits, ends, and what comes back."""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from agent import sandbox
from agent.errors import BadInput, Failed, Interrupted, LimpetError, Problem, Stalled, Transient
from agent.sandbox import ResourceLimits, call

Run = Callable[..., tuple[dict[str, Any], bytes]]
SERVE = "import sys, os, time, json\nfrom agent import errors, sandbox\n"


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Run:
    """Calls a child whose program is the given text instead of a verb of the agent."""

    def start(code: str, request: dict[str, Any] | None = None, **how: Any) -> tuple[dict[str, Any], bytes]:
        program = tmp_path / "program.py"
        program.write_text(code)
        monkeypatch.setattr(sandbox, "command", lambda verb: [sys.executable, "-I", str(program)])
        return call("_fetch", request or {}, **{"timeout": 20, **how})

    return start


def _serve(body: str) -> str:
    indented = "\n".join(f"    {line}" for line in body.splitlines())
    return f"{SERVE}def handle(request):\n{indented}\nsys.exit(sandbox.serve(handle))\n"


def test_header_and_bytes_come_back(run: Run) -> None:
    """The answer must arrive as it was given: a JSON header, then bytes of any kind."""
    header, body = run(_serve("return {'echo': request}, (b'\\n\\0', b'\\xff' * 200_000)"), {"a": [1, "ü"]})
    assert header == {"echo": {"a": [1, "ü"]}} and body == b"\n\0" + b"\xff" * 200_000


def test_a_large_request_does_not_block(run: Run) -> None:
    """A request larger than a pipe must go through while the child already talks."""
    code = (
        f"{SERVE}sys.stderr.write('x' * 300_000)\nsys.exit(sandbox.serve(lambda r: ({{'n': "
        f"len(r['text'])}}, ())))\n"
    )
    assert run(code, {"text": "y" * 3_000_000})[0] == {"n": 3_000_000}


@pytest.mark.parametrize(
    "error",
    [
        Transient("the server is down", "wait", code="Down"),
        Stalled("no such branch", "push it", code="RefMissing"),
        Failed("it cannot start", "look", resource="container/x"),
        Interrupted("asked to stop"),
        BadInput([Problem("compose.yaml", 3, "unknown key", "remove it"), Problem("layer.yaml", 0, "empty")]),
    ],
)
def test_errors_arrive_as_what_they_were(error: LimpetError, run: Run) -> None:
    """Class, message, hint, code, resource and every problem must survive the pipe; the exit code tells the
    class.
    """
    document = json.dumps(sandbox.error_document(error))
    with pytest.raises(type(error)) as caught:
        run(f"import sys, json\nprint(json.dumps(json.loads({document!r})))\nsys.exit(75)\n")
    got = caught.value
    assert (got.message, got.hint, got.code, got.resource) == (
        error.message,
        error.hint,
        error.code,
        error.resource,
    )
    assert getattr(got, "problems", None) == getattr(error, "problems", None)


def test_an_error_of_the_child_is_raised_and_has_its_exit_code(run: Run, tmp_path: Path) -> None:
    """What the handler raises must be raised by the call."""
    with pytest.raises(Stalled) as caught:
        run(_serve("raise errors.Stalled('no', 'do it', code='X')"))
    assert (caught.value.message, caught.value.hint, caught.value.code) == ("no", "do it", "X")


def test_a_traceback_is_transient_with_its_last_line(run: Run) -> None:
    """A bug in a child must condemn nothing, and be told."""
    with pytest.raises(Transient) as caught:
        run(_serve("raise KeyError('compose')"))
    assert caught.value.code == "ChildCrashed" and "KeyError: 'compose'" in caught.value.message


def test_the_noise_of_an_exit_is_not_taken_for_the_reason(run: Run) -> None:
    """What Python says about objects it could not tidy up must not hide what went wrong."""
    code = (
        "class Bad:\n    def __del__(self):\n        raise RuntimeError('noise')\nbad = Bad()\nraise "
        "KeyError('the reason')\n"
    )
    with pytest.raises(Transient) as caught:
        run(code)
    assert "the reason" in caught.value.message


@pytest.mark.parametrize(
    ("code", "word"),
    [
        ("import os; os.kill(os.getpid(), 11)", "SIGSEGV"),
        ("import sys; sys.exit(3)", "status 3"),
        ("print('hello')", "status 0"),
        ("print('[1]')", "status 0"),
        ("import os; os._exit(0)", "status 0"),
    ],
)
def test_a_child_without_an_answer_crashed(code: str, word: str, run: Run) -> None:
    """Whatever ends a child early must be told apart from an answer."""
    with pytest.raises(Transient) as caught:
        run(code)
    assert caught.value.code == "ChildCrashed" and word in caught.value.message


def _gone(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except OSError:
        return True


FAMILY = """
import os, signal, sys, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
if os.fork() == 0:
    os.close(1); os.close(2)
    time.sleep(60)
open({pids!r}, "w").write(f"{{os.getpid()}}")
os.rename({pids!r}, {done!r})
time.sleep(60)
"""


@pytest.mark.parametrize("how", ["timeout", "cancel"])
def test_the_whole_group_ends(how: str, run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A timeout and a cancel must end the child and its children, also those that ignore TERM."""
    monkeypatch.setattr(sandbox, "GRACE_S", 0.2)
    code = FAMILY.format(pids=str(tmp_path / "pids"), done=str(tmp_path / "done"))
    cancel = threading.Event()
    if how == "cancel":

        def when_started() -> None:
            while not (tmp_path / "done").exists():
                time.sleep(0.01)
            cancel.set()

        threading.Thread(target=when_started, daemon=True).start()
    with pytest.raises((Transient, Interrupted)) as caught:
        run(code, timeout=5.0 if how == "timeout" else 20, cancel=cancel)
    assert caught.value.code == ("ChildTimeout" if how == "timeout" else "Cancelled")
    leader = int((tmp_path / "done").read_text())
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and not all(map(_gone, _group(leader))):
        time.sleep(0.01)
    assert all(map(_gone, _group(leader)))


def _group(leader: int) -> list[int]:
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                if os.getpgid(int(entry.name)) == leader:
                    found.append(int(entry.name))
            except ProcessLookupError:
                continue
    return found


def test_limits_hold(run: Run) -> None:
    """Memory, CPU, file size, descriptors and output must be bounded, and running into them is no crash."""
    small = ResourceLimits(memory=300 * sandbox.MIB, cpu=1, files=20, file_size=1000, output=10_000)
    for body in ("x = bytearray(10**9)\nreturn {}, ()", "while True: pass", "return {}, [b'x' * 100_000]"):
        with pytest.raises(Stalled) as caught:
            run(_serve(body), limits=small)
        assert caught.value.code == "LimitExceeded", body
    write = "open('/dev/shm/limpet-test', 'ab', 0).write(b'x' * 900)"
    many = "files = [open('/dev/null') for _ in range(50)]"
    for body, word in ((f"{write}\n{write}\n{write}", "File too large"), (many, "Too many open files")):
        with pytest.raises(Transient) as crashed:
            run(_serve(body), limits=small)
        assert word in crashed.value.message
    Path("/dev/shm/limpet-test").unlink()


def test_nothing_of_the_parent_reaches_the_child(
    run: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The child must have a clean environment, no other descriptors, its own session, no way to new
    privileges.
    """
    monkeypatch.setenv("LIMPET_CANARY", "secret")
    leak = os.open(tmp_path, os.O_RDONLY)
    os.set_inheritable(leak, True)
    code = _serve(
        "return {'env': dict(os.environ), 'fds': os.listdir('/proc/self/fd'), 'sid': os.getsid(0) == "
        "os.getpid(),"
        " 'status': open('/proc/self/status').read(), 'cwd': os.getcwd(), 'umask': os.umask(0)}, ()"
    )
    header = run(code)[0]
    os.close(leak)
    assert sorted(header["env"]) == ["HOME", "LANG", "PATH"]
    assert len(header["fds"]) == 4 and header["sid"] and header["cwd"] == "/" and header["umask"] == 0o077
    assert "NoNewPrivs:\t1" in header["status"]


def test_a_child_can_be_another_user(monkeypatch: pytest.MonkeyPatch) -> None:
    """The seam for unprivileged children: user and groups of the child are the named one's only."""
    code = (
        "import os, json\nprint(json.dumps({'uid': os.getuid(), 'gid': os.getgid(), 'groups': "
        "os.getgroups()}))"
    )
    monkeypatch.setattr(sandbox, "command", lambda verb: ["/usr/bin/python3", "-I", "-c", code])
    assert call("_fetch", {}, timeout=20, user=65534)[0] == {"uid": 65534, "gid": 65534, "groups": []}


def test_a_child_that_cannot_be_started_is_transient(monkeypatch: pytest.MonkeyPatch) -> None:
    """A missing interpreter must be told, not be a crash of the parent."""
    monkeypatch.setattr(sandbox, "command", lambda verb: ["/nowhere/python"])
    with pytest.raises(Transient) as caught:
        call("_fetch", {}, timeout=20)
    assert caught.value.code == "ChildCrashed" and "No such file" in caught.value.message


def test_a_child_dies_with_its_parent(tmp_path: Path) -> None:
    """A killed pass must leave no child behind."""
    program = tmp_path / "child.py"
    program.write_text(
        _serve("open(request['file'], 'w').write(str(os.getpid()))\ntime.sleep(60)\nreturn {}, ()")
    )
    parent = tmp_path / "parent.py"
    parent.write_text(
        f"from agent import sandbox\nsandbox.command = lambda verb: [{sys.executable!r}, '-I', "
        f"{str(program)!r}]\n"
        f"sandbox.call('_fetch', {{'file': {str(tmp_path / 'pid')!r}}}, timeout=60)\n"
    )
    pid = os.posix_spawn(sys.executable, [sys.executable, "-I", str(parent)], os.environ)
    while not (tmp_path / "pid").exists() or not (tmp_path / "pid").read_text():
        time.sleep(0.01)
    child = int((tmp_path / "pid").read_text())
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    deadline = time.monotonic() + 60
    while not _gone(child) and time.monotonic() < deadline:
        time.sleep(0.01)
    assert _gone(child)


def test_the_module_is_light() -> None:
    """The resident process imports this module: only the standard library may come with it."""
    code = (
        "import sys; before = set(sys.modules); import agent.sandbox;"
        "new = {m.split('.')[0] for m in set(sys.modules) - before};"
        "print(sorted(m for m in new if m not in sys.stdlib_module_names and m != 'agent'))"
    )
    read, write = os.pipe()
    argv = [sys.executable, "-I", "-c", code]
    pid = os.posix_spawn(sys.executable, argv, os.environ, file_actions=[(os.POSIX_SPAWN_DUP2, write, 1)])
    os.close(write)
    os.waitpid(pid, 0)
    with os.fdopen(read) as output:
        assert output.read().strip() == "[]"
