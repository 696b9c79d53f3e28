"""The hidden verb of the render child: the request is on stdin, the manifest and contents on stdout."""

from __future__ import annotations

import argparse

from agent.sandbox import serve


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds no arguments: everything is in the request."""


def run(args: argparse.Namespace) -> int:
    from agent.render.child import handle_render

    return serve(handle_render)
