"""Processes that die take no other's work with them."""

from pathlib import Path

import pytest

from instantmesh.data.worker_pool import WorkerDied, run_in_processes

from .workers import square_or_die


def test_who_kills_its_process_twice_is_told_from_the_others(tmp_path: Path):
    jobs = [(number, tmp_path) for number in (0, 5, 1, 3)]
    outcomes = [(job[0], outcome) for job, outcome in run_in_processes(square_or_die, jobs, workers=1)]
    assert [number for number, _ in outcomes] == [0, 5, 1, 3]
    assert [outcome for _, outcome in outcomes[:3]] == [0, 25, 1]
    assert isinstance(outcomes[3][1], WorkerDied)


def test_what_the_function_raises_stops_the_work(tmp_path: Path):
    with pytest.raises(ValueError, match="a fault"):
        list(run_in_processes(square_or_die, [(1, tmp_path), (-1, tmp_path)], workers=1))
