"""The parity benchmark passes on the reference numbers, and fails when they are changed."""

import shutil
import subprocess
import sys
from pathlib import Path

from safetensors.torch import load_file, save_file

from tests.paths import ROOT


def parity(folder: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "benchmarks.quality.parity", "--golden", str(folder)]
    return subprocess.run(command, capture_output=True, text=True, cwd=ROOT)


def test_parity_with_the_released_code(golden_folder):
    done = parity(golden_folder)
    assert done.returncode == 0, done.stdout + done.stderr
    for quantity in ("mesh.tokens", "mesh.mesh", "nerf.render_rgb", "flexicubes.noise.grad_x", "zero123plus.pipe"):
        assert quantity in done.stdout


def test_parity_notices_a_change(golden_folder, tmp_path):
    for path in golden_folder.glob("instant_*"):
        shutil.copy(path, tmp_path)
    expected = load_file(tmp_path / "instant_nerf_tiny.expected.safetensors")
    expected["query_rgb"] += 2e-4
    save_file(expected, tmp_path / "instant_nerf_tiny.expected.safetensors")
    done = parity(tmp_path)
    assert done.returncode == 1
    assert "FAIL nerf.query_rgb" in done.stdout
    assert "1 over tolerance" in done.stdout


def test_parity_needs_something_to_compare(tmp_path):
    assert parity(tmp_path).returncode == 1
