"""The commands that are connected to the daemon: those that wait for the next pass, and those that watch the
pass that runs. Nothing here blocks.
"""

from __future__ import annotations

import selectors
from collections.abc import Callable

from agent.daemon.control import Client, Listener
from agent.report.progress import Event


class Clients:
    """All connected clients. `wanted` is called when one asks for a pass."""

    def __init__(self, selector: selectors.BaseSelector, wanted: Callable[[Client], None]) -> None:
        self.waiting: list[Client] = []  # for the next pass
        self.watching: list[Client] = []  # the pass that runs
        self._selector = selector
        self._wanted = wanted

    def listen(self, listener: Listener) -> None:
        """From now on clients are accepted."""
        self._selector.register(listener.socket, selectors.EVENT_READ, lambda mask: self._accept(listener))

    def pass_begins(self) -> None:
        """Those that waited watch from now on."""
        self.watching, self.waiting = self.watching + self.waiting, []

    def show(self, event: Event) -> None:
        """Tells an event to all that watch."""
        for client in self.watching:
            self.tell(client, event)

    def pass_ends(self, result: Event) -> None:
        """Tells the result to all that watch, and lets them go."""
        self.show(result)
        self.watching = []

    def tell(self, client: Client, event: Event) -> None:
        """Tells an event to one client; a result is the last one."""
        client.send(event, last="result" in event)
        self._refresh(client)

    def _accept(self, listener: Listener) -> None:
        client = listener.accept()
        if client:
            self._selector.register(
                client.socket, selectors.EVENT_READ, lambda mask: self._served(client, mask)
            )

    def _served(self, client: Client, mask: int) -> None:
        if mask & selectors.EVENT_WRITE:
            client.flush()
        request = client.receive() if mask & selectors.EVENT_READ and not client.closed else None
        if isinstance(request, dict) and request.get("verb") == "sync" and client not in self.watching:
            self._wanted(client)
        elif request is not None:
            client.close()
        self._refresh(client)

    def _refresh(self, client: Client) -> None:
        """Forgets a client that is gone, and waits for its socket when bytes wait for it."""
        if client.closed:
            self._forget(client)
            return
        mask = selectors.EVENT_READ | (selectors.EVENT_WRITE if client.pending else 0)
        key = self._selector.get_key(client.socket)
        if key.events != mask:
            self._selector.modify(client.socket, mask, key.data)

    def _forget(self, client: Client) -> None:
        self.waiting = [other for other in self.waiting if other is not client]
        self.watching = [other for other in self.watching if other is not client]
        for key in list(self._selector.get_map().values()):
            if key.fileobj is client.socket:
                self._selector.unregister(key.fileobj)
