"""Processes that die take no other's work with them."""

from pathlib import Path

import pytest

from instantmesh.data.worker_pool import WorkerDied, run_in_processes

from .workers import square_or_die


@pytest.mark.slow
def test_who_kills_its_process_twice_is_told_from_the_others(tmp_path: Path):
    outcomes = run_in_processes(square_or_die, [(number, tmp_path) for number in (0, 5, 3, -1)], workers=1)
    assert next(outcomes) == ((0, tmp_path), 0)
    assert next(outcomes) == ((5, tmp_path), 25)
    item, outcome = next(outcomes)
    assert item[0] == 3
    assert isinstance(outcome, WorkerDied)
    with pytest.raises(ValueError, match="a fault"):  # what the function raises stops the work
        next(outcomes)
