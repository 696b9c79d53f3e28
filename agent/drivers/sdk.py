"""Loads the docker SDK, when something is to be done and not before.

The SDK imports paramiko for `ssh://` addresses, a third of its own time, and does without when it is not
there. Only unix sockets are spoken to here, so it is kept from it.
"""

from __future__ import annotations

import importlib
import sys
import threading
import warnings

_lock = threading.Lock()
_loaded = False


def import_sdk() -> None:
    """After this, `docker` can be imported at no cost, by any thread."""
    global _loaded
    with _lock:
        if _loaded:
            return
        hidden = "paramiko" not in sys.modules
        if hidden:
            sys.modules["paramiko"] = None  # type: ignore[assignment]
        warnings.filterwarnings(
            "ignore", module=r"docker\.credentials"
        )  # of a missing helper: an error of ours
        try:
            importlib.import_module("docker.api.client")
        finally:
            if hidden:
                del sys.modules["paramiko"]
        _loaded = True
