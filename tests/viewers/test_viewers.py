"""The golden test of export: a lettered object through every format, looked at with others' eyes.

The Khronos validator and three.js come from npm (`npm ci --prefix tests/viewers`), the browser is Chromium. Where they
are missing the tests are skipped.
"""

import json
import shutil
import subprocess
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from scipy import ndimage

from instantmesh import backends
from instantmesh.cameras import spherical_cameras
from instantmesh.render.raster import render_mesh
from instantmesh.structures import Mesh
from tests.files.lettered import colored_letter, textured_letter
from tests.files.small import asymmetric_mesh

HERE = Path(__file__).parent
NODE = shutil.which("node")
BROWSER = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
SIZE_PX, FOV_DEG = 512, 30.0
CAMERAS = spherical_cameras([25.0, 200.0, 300.0], [20.0, -10.0, 50.0], 3.2, FOV_DEG)
AXES = {"x": (1, 0, 0), "y": (0, 1, 0), "z": (0, 0, 1), "-y": (0, -1, 0), "-x": (-1, 0, 0)}

PACKAGES = json.loads((HERE / "package.json").read_text())["dependencies"]

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        NODE is None or not all((HERE / "node_modules" / name / "package.json").is_file() for name in PACKAGES),
        reason="needs node and `npm ci --prefix tests/viewers`",
    ),
]


@dataclass(frozen=True)
class Case:
    """A file, and how it must look.

    Attributes:
        mesh: in the world frame, centred, its longest side 1.
        file: its name; the ending is the format.
        axes: of the file, where the world's x (front), y and z (up) go.
        options: of `Mesh.save`. size, lift: what those options make of the mesh.
        has_colors: or only a shape.
    """

    mesh: Mesh
    file: str
    axes: tuple[str, str, str] = ("z", "x", "y")
    options: dict[str, Any] = field(default_factory=dict)
    size: float = 1.0
    lift: float = 0.0
    has_colors: bool = True
    steps_off: float = 2.0  # of 255, that a colour may be

    def write(self, folder: Path) -> dict[str, Any]:
        """Save the mesh, of another size and off its place before; what the viewer's page must know."""
        elsewhere = replace(self.mesh, vertices=self.mesh.vertices * 0.7 + torch.tensor([0.3, -0.2, 0.1]))
        elsewhere.save(folder / self.file, **self.options)
        material = Path(self.file).with_suffix(".mtl")
        to_file = np.eye(4)
        to_file[:3, :3] = np.array([AXES[axis] for axis in self.axes]).T
        return {
            "file": f"/models/{self.file}",
            "material": f"/models/{material}" if (folder / material).is_file() else None,
            "cameras": [(to_file @ camera).ravel().tolist() for camera in CAMERAS.camera_to_world.double().numpy()],
            "fovDeg": FOV_DEG,
            "sizePx": SIZE_PX,
            "images": self.images,
        }

    @property
    def images(self) -> list[str]:
        return [f"{self.file}_{index}.png" for index in range(len(CAMERAS))]


CASES = [
    Case(textured_letter(), "textured.glb"),
    Case(textured_letter(), "as_jpeg.glb", options={"texture_format": "jpeg"}, steps_off=24.0),
    Case(textured_letter(), "as_webp.glb", options={"texture_format": "webp"}, steps_off=24.0),
    Case(textured_letter(), "the textured.obj"),
    Case(colored_letter(), "colored.glb"),
    Case(colored_letter(), "colored.obj"),
    Case(colored_letter(), "colored.ply"),
    Case(textured_letter(), "plain.stl", has_colors=False),
    Case(
        textured_letter(),
        "to_the_left.glb",
        ("-x", "z", "y"),
        {"front": "-x", "size_m": 0.8, "origin": "bottom"},
        0.8,
        0.4,
    ),
    Case(colored_letter(), "z_up.ply", ("x", "y", "z"), {"up": "z", "size_m": None, "origin": "center"}, 0.7),
    Case(textured_letter(), "as_blender.stl", ("-y", "x", "z"), {"up": "z", "front": "-y"}, has_colors=False),
]
if backends.available("pxr"):
    CASES += [
        Case(textured_letter(), "textured.usdz"),
        Case(colored_letter(), "colored.usdz", has_colors=False),  # three.js shows the first vertex's colour only
    ]


@pytest.fixture(scope="module")
def looked_at(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder with all images of all cases: one start of the browser for all."""
    if BROWSER is None:
        pytest.skip("needs Chromium")
    folder = tmp_path_factory.mktemp("viewers")
    (folder / "jobs.json").write_text(json.dumps([case.write(folder) for case in CASES]))
    if run_node("look.mjs", BROWSER, str(folder)) == "no browser":
        pytest.skip(f"{BROWSER} doesn't start")
    return folder


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.file)
def test_three_js_shows_what_we_show(case: Case, looked_at: Path):
    shown = Mesh(
        case.mesh.vertices * case.size + torch.tensor([0, 0, case.lift]),
        case.mesh.faces,
        case.mesh.vertex_colors,
        case.mesh.texture,
    )
    ours = render_mesh(shown, CAMERAS, SIZE_PX, antialias=False)
    for index, name in enumerate(case.images):
        theirs = np.asarray(Image.open(looked_at / name)).astype(float) / 255
        mask, expected = ours.mask[index, 0].numpy() > 0.5, ours.color[index].permute(1, 2, 0).numpy()
        seen = theirs[..., 3] > 0.5
        assert (mask & seen).sum() / (mask | seen).sum() > 0.99
        if not case.has_colors:
            continue
        # Texels are blended in linear light there and in sRGB here, so the letters' edges don't count.
        compared = mask & seen & (steps(ours.depth[index]) < 0.05) & (steps(ours.color[index]) < 0.05)
        difference = np.abs(theirs[..., :3] - expected)
        assert compared.sum() > 0.3 * mask.sum()
        assert difference[compared].max() < (case.steps_off + 0.01) / 255
        assert difference[mask & seen].mean() < 0.02  # but letters must be where they are


def steps(image: torch.Tensor) -> np.ndarray:
    """How much an image (c, h, w) changes around every pixel."""
    array = image.numpy()
    return (ndimage.maximum_filter(array, (1, 7, 7)) - ndimage.minimum_filter(array, (1, 7, 7))).max(0)


def test_the_khronos_validator_has_nothing_to_say(tmp_path: Path):
    meshes = {"texture": textured_letter(), "colors": colored_letter(2), "plain": asymmetric_mesh(colored=False)}
    flat = Mesh(torch.eye(4, 3), torch.tensor([[0, 1, 2], [0, 0, 1]]))  # one face without area, and a loose vertex
    broken = tmp_path / "broken.glb"
    paths = [mesh.save(tmp_path / f"{name}.glb") for name, mesh in {**meshes, "flat": flat}.items()]
    broken.write_bytes(paths[0].read_bytes().replace(b'"VEC2"', b'"VEC9"'))
    jpeg, webp = (textured_letter().save(tmp_path / f"{name}.glb", texture_format=name) for name in ("jpeg", "webp"))
    said = json.loads(run_node("validate.mjs", *map(str, [*paths, jpeg, webp, broken])))
    *found, of_jpeg, of_webp, of_broken = said
    *clean, (hint,) = found
    assert of_jpeg == []
    assert all("EXT_texture_webp" in line or "UNUSED" in line or "webp" in line for line in of_webp), of_webp
    assert clean == [[]] * len(meshes)
    assert hint.startswith("ACCESSOR_INDEX_TRIANGLE_DEGENERATE")  # no error: a hint, and all it has to say of that mesh
    assert any("VEC9" in line for line in of_broken)


def run_node(script: str, *arguments: str) -> str:
    done = subprocess.run([str(NODE), str(HERE / script), *arguments], capture_output=True, text=True, timeout=240)
    assert done.returncode == 0, done.stderr
    return done.stdout
