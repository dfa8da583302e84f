"""What the tests let other processes do."""

import os
import signal
from pathlib import Path


def square_or_die(job: tuple[int, Path]) -> int:
    """The square; 3 kills its process every time, 5 the first time, a negative number raises."""
    number, folder = job
    first_time = not (folder / str(number)).exists()
    (folder / str(number)).touch()
    if number == 3 or (number == 5 and first_time):
        os.kill(os.getpid(), signal.SIGKILL)
    if number < 0:
        raise ValueError("a fault of the function")
    return number**2
