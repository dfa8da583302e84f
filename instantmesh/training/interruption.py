"""Ctrl-C during training: the step in progress is finished and a checkpoint written, then the run stops."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

from instantmesh.errors import InstantMeshError


class TrainingInterrupted(InstantMeshError):
    """Ctrl-C stopped the run after a checkpoint; the same command goes on."""


class Interruption:
    """Whether Ctrl-C was pressed."""

    requested = False

    def request(self, _signal: int, _frame: FrameType | None) -> None:
        """Remember it. A second Ctrl-C stops at once, as it does outside training."""
        self.requested = True
        signal.signal(signal.SIGINT, signal.default_int_handler)


@contextmanager
def catching_interruption() -> Iterator[Interruption]:
    """Catch Ctrl-C inside the block, in the main thread; other threads aren't told of it."""
    interruption = Interruption()
    if threading.current_thread() is not threading.main_thread():
        yield interruption
        return
    before = signal.signal(signal.SIGINT, interruption.request)
    try:
        yield interruption
    finally:
        signal.signal(signal.SIGINT, before)


def ignore_interruption(_worker: int) -> None:
    """For loader processes, which the terminal interrupts as well: the training process decides when they end."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
