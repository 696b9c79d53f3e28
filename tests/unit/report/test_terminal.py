"""What a terminal shows of progress."""

from __future__ import annotations

import io

from rich.console import Console

from agent.report.terminal import Terminal


def test_a_terminal_keeps_the_steps_and_forgets_what_moved() -> None:
    """On a terminal the steps must stay as they were said, markup characters and all."""
    stream = io.StringIO()
    terminal = Terminal(
        Console(file=stream, force_terminal=True, width=80, color_system=None, highlight=False)
    )
    terminal.step("pulling [2] images")
    terminal.pull("busybox:1", 500, 1500)
    terminal.pull("busybox:1", 1500, 1500)
    terminal.pull("nginx", 10, 0)
    terminal.wait("web [starting]")
    terminal.wait("web [healthy]")
    terminal.detail("web [bold]")
    terminal.step("done")
    terminal.close()
    text = stream.getvalue()
    assert "pulling [2] images" in text and "web [bold]" in text and "busybox:1" in text
    assert text.rstrip().endswith("done")
