"""Loads the docker SDK, when there is something to do and not before.

The SDK imports paramiko for `ssh://` addresses, which takes a third of its own time, and does without it when
it is not there. Only unix sockets are used here, so paramiko is hidden from the SDK.
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
        # The SDK warns about a missing credential helper, which is an error of ours.
        warnings.filterwarnings("ignore", module=r"docker\.credentials")
        try:
            importlib.import_module("docker.api.client")
        finally:
            if hidden:
                del sys.modules["paramiko"]
        _loaded = True
