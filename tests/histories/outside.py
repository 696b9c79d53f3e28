"""What others do on the host of a history: processes take ports, networks and devices come and go, the
containers of somebody else end, health checks fail for a while, and containers by which others live are
started again.
"""

from __future__ import annotations

from contextlib import suppress
from typing import Any

from agent.errors import Failed
from agent.kinds import claims
from agent.kinds.lenders import concerned
from tests.fakes.host import RUNNING, FakeHost
from tests.fakes.passes import Passes
from tests.histories.branch import HistoryBranch, pick
from tests.histories.releases import DEVICE, PROXY, VPN


class Outside:
    """The part of a world that others bring about. `ailing`: there is a container whose health check fails
    and will not get better by itself.
    """

    host: Any  # FakeHost, or one derived from it
    branch: HistoryBranch
    passes: Passes
    strangers: list[str]

    def furnish_outside(self) -> None:
        """As it is when nothing is in the way: what others bring is there, and what they take is free."""
        host: FakeHost = self.host
        host.ports_of_others.clear()
        host.missing_devices.clear()
        if PROXY not in host.networks:
            host.add_foreign_network(PROXY)
        if host.find(VPN) is None:
            host.add_foreign_container(VPN)
        self._heal()

    def missing(self) -> list[str]:
        """What is in the way of somebody, or lacks."""
        host: FakeHost = self.host
        found = [*host.ports_of_others, *host.missing_devices]
        found += [PROXY] if PROXY not in host.networks else []
        lent = host.find(VPN)
        return found + ([VPN] if lent is None or lent.seen.owned or lent.seen.state not in RUNNING else [])

    def hindrances(self) -> list[str]:
        """All because of which a pass may refuse something."""
        state = self.passes.state
        stopped = [str(name) for name in (*state.suspended, *state.flapping.quarantined)]
        return [*self.missing(), *self.strangers, *self.ailing(), *stopped]

    def pin(self) -> str:
        state = self.passes.state
        return state.pin.commit if state.pin else ""

    def ailing(self) -> list[str]:
        """Containers whose health check fails now, whatever the release is."""
        return [at.seen.name for at in self.host.containers.values() if at.ailment]

    # --- events ---

    def _outside(self, what: str, number: int) -> str:
        return str(getattr(self, f"_outside_{what.replace('-', '_')}")(number))

    def _outside_process(self, number: int) -> str:
        port = claims.port("tcp", "", 80 + number % 2)
        if port in self.host.ports_of_others:
            self.host.ports_of_others.discard(port)
            return f"{port} is free"
        if claims.clashing([port], [held for at in self.host.containers.values() for held in at.seen.ports]):
            return ""
        self.host.ports_of_others.add(port)
        return f"a process holds {port}"

    def _outside_proxy(self, number: int) -> str:
        if PROXY not in self.host.networks:
            self.host.add_foreign_network(PROXY)
            return f"the network {PROXY} is there"
        running = (at.seen for at in self.host.containers.values() if at.seen.state in RUNNING)
        if any(PROXY in seen.networks for seen in running):
            return ""
        del self.host.networks[PROXY]
        return f"the network {PROXY} is gone"

    def _outside_device(self, number: int) -> str:
        if DEVICE in self.host.missing_devices:
            self.host.missing_devices.clear()
            return f"{DEVICE} is there"
        self.host.missing_devices.add(DEVICE)
        return f"{DEVICE} is gone"

    def _outside_vpn(self, number: int) -> str:
        there = self.host.find(VPN)
        if there is None:
            self.host.add_foreign_container(VPN)
            return f"the container {VPN} runs"
        self.host.vanish(VPN)
        return f"the container {VPN} is gone"

    def _outside_vpn_restarts(self, number: int) -> str:
        if self.host.find(VPN) is None:
            return ""
        self.host.crash(VPN)
        return f"the container {VPN} is started again"

    def _lender(self, how: str, number: int) -> str:
        """Something happens to a container by which others live."""
        host: FakeHost = self.host
        names = concerned([self.branch.manifest])
        ours = {at.seen.name for at in host.containers.values() if at.seen.owned and at.seen.state in RUNNING}
        name = pick(names & ours, number)
        if name is None:
            return ""
        with suppress(Failed):  # a start may fail, when somebody has taken its port
            match how:
                case "crash":
                    host.crash(name)
                case "stop":
                    host.stop_by_hand(name)
                case "vanish":
                    host.vanish(name)
                case "restart":
                    host._container_restart(None, name)
        return f"{name}: {how}"

    def _ail(self, number: int, looks: int) -> str:
        """A health check fails for so many looks; 0: until somebody mends it. What is just being judged is
        left alone: its health is its own.
        """
        host: FakeHost = self.host
        known = (at for at in host.containers.values() if at.seen.owned and at.seen.state == "running")
        name = pick([at.seen.name for at in known if at.seen.health == "healthy"], number)
        if name is None or self.passes.state.attempt is not None:
            return ""
        host.ail(name, *["unhealthy"] * max(looks, 1), *(["healthy"] if looks else []))
        return f"{name} is unhealthy {f'for {looks} looks' if looks else 'until somebody mends it'}"

    def _heal(self) -> str:
        for at in self.host.containers.values():
            at.ailment = ()
        self.host.tick()
        return "all health checks pass again"
