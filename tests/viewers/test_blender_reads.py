"""Blender's importers take every format as it was meant. Only where bpy is installed."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from instantmesh import backends
from instantmesh.files.colors import srgb_to_linear
from tests.files.lettered import SIZE_PX, colored_letter, textured_letter
from tests.paths import ROOT

pytestmark = pytest.mark.skipif(not backends.available("bpy"), reason="needs bpy")

TO_BLENDER = np.array([(0, 1, 0), (-1, 0, 0), (0, 0, 1)])  # there the front is -y and the viewer's right +x; z is up
AS_IT_IS = {"up": "z", "front": "-y"}  # Blender doesn't turn PLY and STL


def test_positions_textures_and_colours(tmp_path: Path):
    textured, colored = textured_letter(), colored_letter(2)
    endings = [".glb", ".obj", *([".usdz"] if backends.available("pxr") else [])]
    paths = [textured.save(tmp_path / f"textured{ending}") for ending in endings]
    paths += [colored.save(tmp_path / f"colored{ending}") for ending in endings]
    paths += [colored.save(tmp_path / "colored.ply", **AS_IT_IS), textured.save(tmp_path / "plain.stl", **AS_IT_IS)]
    command = [sys.executable, "-m", "tests.viewers.blender_reads", *paths]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, cwd=ROOT)
    assert done.returncode == 0, done.stderr
    for path, found in zip(paths, json.loads(done.stdout.splitlines()[-1]), strict=True):
        mesh = colored if path.stem == "colored" else textured
        corners = mesh.vertices[mesh.faces].numpy().astype(float)
        np.testing.assert_allclose(found["positions"], corners @ TO_BLENDER.T, atol=1e-5, err_msg=path.name)
        if path.stem == "textured":
            assert mesh.texture is not None
            uv = mesh.texture.uv.numpy() * (1, -1) + (0, 1)
            np.testing.assert_allclose(found["uv"], uv, atol=1e-6, err_msg=path.name)
            assert found["images"] == [[SIZE_PX, SIZE_PX]]
        elif path.stem == "colored":
            assert mesh.vertex_colors is not None
            linear = srgb_to_linear(mesh.vertex_colors[mesh.faces].numpy())
            np.testing.assert_allclose(found["colors"], linear, atol=0.006, err_msg=path.name)
