"""The processes of a group: started by the leader on its own machine, or there already because `torchrun` started all.

A follower that was started by the leader reads its orders from a pipe, and ends when that closes: it cannot outlive the leader, however
that ends. The leader looks after each follower in a thread that waits for its end.
"""

from __future__ import annotations

import json
import logging
import os
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from datetime import timedelta

import torch
from torch._C._distributed_c10d import PrefixStore, Store, TCPStore

from generator_service.parallel import device_of
from generator_service.tier import Tier
from generator_service.watchdog import DeviceLostError

log = logging.getLogger(__name__)
LOADING = timedelta(hours=2)
END_S = 10.0
# From the loss of a follower to the end of a process that waits for it on the device, where nothing can tell it.
HANG_S = 20.0
LOST_CODE = 3
Lost = Callable[[], None]


class Crew:
    """``store`` is the one that all can reach. ``lost`` is called, once and in a thread of its own, when a follower ends that was not
    told to; ``leave`` ends this process where that did not within ``hang_s``. A follower has ``end_s`` to end by itself."""

    def __init__(
        self,
        store: Store,
        processes: int,
        children: Sequence[subprocess.Popen[bytes]],
        lost: Lost,
        bell: Store | None,
        *,
        end_s: float = END_S,
        hang_s: float = HANG_S,
        leave: Callable[[int], None] = os._exit,
    ) -> None:
        self.store, self.processes, self._bell = store, processes, bell
        self._children, self._lost = list(children), lost
        self._end_s, self._hang_s, self._leave = end_s, hang_s, leave
        self._ending = threading.Event()
        self._gone = threading.Event()
        for rank, child in enumerate(children, 1):
            threading.Thread(target=self._watch, args=(rank, child), name=f"follower {rank}", daemon=True).start()

    @classmethod
    def started(cls, tiers: Sequence[Tier], device: torch.device, threads: int, lost: Lost) -> Crew:
        """Starts a follower for every process but this one, with ``tiers`` to load."""
        processes = _processes(tiers)
        # Nobody but these processes is to reach them: torch would listen on every address of the machine.
        for library in ("GLOO", "NCCL"):
            os.environ.setdefault(f"{library}_SOCKET_IFNAME", "lo")
        store = _listening()
        children = []
        for rank in range(1, processes):
            child = subprocess.Popen([sys.executable, "-m", "generator_service.follower"], stdin=subprocess.PIPE)
            orders = {
                "port": store.port,
                "rank": rank,
                "processes": processes,
                "device": str(device_of(rank, device)),
                "threads": threads,
                "tiers": [tier.model_dump(mode="json") for tier in tiers],
            }
            if child.stdin is not None:
                child.stdin.write(json.dumps(orders).encode() + b"\n")
                child.stdin.flush()
            children.append(child)
        return cls(store, processes, children, lost, TCPStore("127.0.0.1", store.port, is_master=False))

    @classmethod
    def found(cls, tiers: Sequence[Tier], lost: Lost, environment: Mapping[str, str] = os.environ) -> Crew:
        """The processes of `torchrun`, which ends all when one ends. Raises ``ValueError`` where they are not as many as the tiers say."""
        return cls(meeting(environment), check(tiers, environment), (), lost, None)

    @property
    def whole(self) -> bool:
        """Whether every follower is there."""
        return not self._gone.is_set()

    def alive(self) -> None:
        """Raises `DeviceLostError` when a follower is gone."""
        if self._gone.is_set():
            raise DeviceLostError("a process of the group is gone")

    def wait_for(self, what: str, patience: timedelta = LOADING) -> None:
        """Until every follower said ``what`` (see `say`). Raises `DeviceLostError` when one ended before that."""
        self.store.wait([key(what, rank) for rank in range(1, self.processes)], patience)
        self.alive()

    def end(self) -> None:
        """Every follower was told to end: those that do not are killed."""
        self._ending.set()
        for child in self._children:
            if child.stdin is not None:
                child.stdin.close()
        for child in self._children:
            try:
                child.wait(self._end_s)
            except subprocess.TimeoutExpired:
                child.kill()
                child.wait()

    def _watch(self, rank: int, child: subprocess.Popen[bytes]) -> None:
        code = child.wait()
        if self._ending.is_set() or self._gone.is_set():
            return
        self._gone.set()
        # Whoever waits for it to be there need not wait longer, nor for those that ended with it and have no turn here. A store is for
        # one caller at a time, and ours may be waiting in it.
        if self._bell is not None:
            for what in ("here", "ready"):
                for each in range(1, self.processes):
                    say(self._bell, what, each)
        log.critical("process %d of the group ended with code %d: the group cannot go on", rank, code)
        self._lost()
        if not self._ending.wait(self._hang_s):
            log.critical("the device still waits for that process: this one ends at once")
            self._leave(LOST_CODE)


def check(tiers: Sequence[Tier], environment: Mapping[str, str] = os.environ) -> int:
    """How many processes `torchrun` started. Raises ``ValueError`` where ``tiers``, those that are parallel, want another number."""
    processes = _processes(tiers) if tiers else 1
    started = int(environment.get("WORLD_SIZE", "1"))
    if processes != started:
        raise ValueError(f"torchrun started {started} processes, and the tiers want {processes}")
    return processes


def say(store: Store, what: str, rank: int) -> None:
    """For `Crew.wait_for`."""
    store.set(key(what, rank), "")


def key(what: str, rank: int) -> str:
    """Under which the process ``rank`` said ``what``."""
    return f"{what}/{rank}"


def meeting(environment: Mapping[str, str] = os.environ) -> Store:
    """The store of `torchrun`'s processes."""
    own = environment.get("TORCHELASTIC_USE_AGENT_STORE") != "True" and environment["RANK"] == "0"
    store = TCPStore(environment["MASTER_ADDR"], int(environment["MASTER_PORT"]), is_master=own, wait_for_workers=False)
    # Workers that were started again must not meet what those before them said.
    return PrefixStore(f"reelgate/{environment.get('TORCHELASTIC_RESTART_COUNT', '0')}", store)


def _listening() -> TCPStore:
    """A store on a free port of this machine's own address."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        return TCPStore(
            "127.0.0.1", port, is_master=True, wait_for_workers=False, master_listen_fd=os.dup(server.fileno())
        )


def _processes(tiers: Sequence[Tier]) -> int:
    found = {tier.parallel.processes for tier in tiers if tier.parallel is not None}
    if len(found) != 1:
        raise ValueError(f"the parallel tiers of one service want one number of processes, not {sorted(found)}")
    return found.pop()
