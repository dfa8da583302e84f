"""Compare every stage with reference numbers computed by the systems' released code.

    python -m benchmarks.quality.parity --golden tests/golden

prints one line per quantity with the largest error and its tolerance, and exits 1 if any is over. Folders of the same
format with other sizes and seeds work too: all sizes come from the folder's own files.
"""

import argparse
import json
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Literal

import torch
from safetensors.torch import load_file
from torch import Tensor

from benchmarks.quality.reference_sizes import dino, lrm_triplane
from instantmesh.cameras import rays
from instantmesh.evaluation.mesh_matching import same_mesh
from instantmesh.lrm.heads import RadianceField, SurfaceField, activate_density
from instantmesh.render.volume import box_limits, render_field, stratified
from instantmesh.structures import Cameras
from instantmesh.surface.extraction import extract_flexicubes, grid_axis
from instantmesh.surface.flexicubes import flexicubes, normalise_weights
from instantmesh.surface.grid import cube_corners, surface_cubes
from instantmesh.surface.marching_cubes import extract_isosurface
from instantmesh.systems.instantmesh import InstantMesh, InstantMeshConfig
from instantmesh.training.losses import sign_change_entropy

VALUE_TOLERANCE = 1e-4  # tokens, planes, colours, densities
VERTEX_TOLERANCE = 5e-5
COLOR_TOLERANCE = 1.0  # of 255: the references are truncated to 8 bits
TOKEN_STRIDE = 8
CUBE_STRIDE = 7
GRID_SCALE = 2.1  # of the undeformed grids in flexicubes.safetensors


@dataclass(frozen=True)
class Quantity:
    """One compared quantity; `error` is infinite where two meshes aren't the same set of triangles."""

    name: str
    error: float
    tolerance: float
    note: str = ""

    @property
    def passes(self) -> bool:
        return self.error <= self.tolerance


def difference(name: str, ours: Tensor, expected: Tensor, tolerance: float = VALUE_TOLERANCE) -> Quantity:
    """The largest absolute difference."""
    if ours.numel() != expected.numel():
        return Quantity(name, float("inf"), tolerance, f"shape {tuple(ours.shape)}, expected {tuple(expected.shape)}")
    return Quantity(name, float((ours.detach().reshape(expected.shape) - expected).abs().max()), tolerance)


def relative(name: str, ours: Tensor, expected: Tensor, tolerance: float = VALUE_TOLERANCE) -> Quantity:
    """The largest difference relative to the largest expected value (gradients)."""
    scale = float(expected.abs().max().clamp(min=1e-12))
    return Quantity(name, float((ours - expected).abs().max()) / scale, tolerance)


def meshes(
    name: str, ours: tuple[Tensor, Tensor], expected: tuple[Tensor, Tensor], reversed_faces: int = 0
) -> Quantity:
    """Vertices by nearest neighbour, triangles as a set; `reversed_faces` of them may face the other way."""
    try:
        error = same_mesh(*ours, *expected, atol=VERTEX_TOLERANCE, reversed_faces=reversed_faces)
        return Quantity(name, error, VERTEX_TOLERANCE)
    except AssertionError as error:
        return Quantity(name, float("inf"), VERTEX_TOLERANCE, str(error))


def tiny_model(folder: Path, representation: Literal["mesh", "nerf"], weights: dict[str, Tensor]) -> InstantMesh:
    """The small model whose sizes `instant_tiny.config.json` gives."""
    sizes = json.loads((folder / "instant_tiny.config.json").read_text())
    config = InstantMeshConfig(
        representation=representation,
        encoder=dino(sizes["dino"], camera_modulation=True),
        triplane=lrm_triplane(sizes["lrm"]),
        samples_per_ray=sizes["rendering_samples_per_ray"],
        grid_resolution=sizes["grid_res"],
        grid_scale=sizes["grid_scale"],
    )
    model = InstantMesh(config).eval()
    official = {name.removeprefix("lrm_generator."): tensor for name, tensor in weights.items()}
    if set(official) != set(model.official_state()):
        raise SystemExit(f"{folder}: the {representation} weights don't have the expected names")
    model.load_official(official)
    return model


def instant_mesh(folder: Path) -> Iterator[Quantity]:
    """Encoder, transformer, heads, FlexiCubes surface and regularisers of the mesh variant."""
    expected = load_file(folder / "instant_mesh_tiny.expected.safetensors")
    model = tiny_model(folder, "mesh", load_file(folder / "instant_mesh_tiny.weights.safetensors"))
    resolution, scale = model.config.grid_resolution, model.config.grid_scale
    cameras = expected["cameras"]
    images, small = expected["images"].float() / 255, expected["images_small"].float() / 255
    views = images.shape[1]
    with torch.no_grad():
        for name, batch in (("tokens", images), ("tokens_small", small)):
            tokens = model.encoder(batch, cameras).unflatten(1, (views, -1)).flatten(0, 1)
            stride = 1 if tokens.shape[1] == expected[name].shape[1] else TOKEN_STRIDE
            yield difference(f"mesh.{name}", tokens[:, ::stride], expected[name])
        yield difference("mesh.planes", model(images, cameras), expected["planes"])
        four = torch.tensor([0, 2, 4, 5])
        yield difference("mesh.planes_4views", model(images[:, four], cameras[:, four]), expected["planes_4views"])

        field = model.field(expected["planes"][0])
        assert isinstance(field, SurfaceField)
        grid = grid_points(grid_axis(resolution, scale))
        yield difference(
            "mesh.grid_vertices", grid, expected["grid_vertices"], 2e-5
        )  # the reference rounds coordinates
        yield difference("mesh.query_rgb", field.colors(expected["query_points"][0]), expected["query_rgb"])
        # The weights hold the last SDF bias lowered by the median of `sdf_raw`, which was taken before.
        lowered = expected["sdf_raw"].flatten() - expected["sdf_raw"].median()
        yield difference("mesh.sdf_raw", field.sdf_on_grid(grid_axis(resolution, scale)), lowered)
        yield difference("mesh.deformation_raw", field.deformation(grid), expected["deformation_raw"])
        cubes = surface_cubes_all(resolution)
        corners = cube_corners(cubes, (resolution + 1,) * 3)
        raw = field.cube_weights(grid, corners)
        yield difference("mesh.weight_raw", raw[::CUBE_STRIDE], expected["weight_raw"])
        yield difference("mesh.reg_weight", raw.square().mean(), expected["reg_weight"])

    yield colors("mesh.mesh_colors", field, expected)
    exact = WithReferenceZeros(field, lowered)
    for mode, triangles_per_edge in (("mesh", 2), ("train", 4)):
        surface = extract_flexicubes(exact, resolution, scale, training=mode == "train")
        reference = (expected[f"{mode}_vertices"], expected[f"{mode}_faces"])
        reversible = 6 * triangles_per_edge * int((lowered == 0).sum())
        yield meshes(f"mesh.{mode}", (surface.vertices, surface.faces), reference, reversible)
    yield difference("mesh.reg_surface", surface.l_dev.mean(), expected["reg_surface"])
    yield difference("mesh.reg_sdf_entropy", sign_change_entropy(surface.sdf_grid), expected["reg_sdf_entropy"])


class WithReferenceZeros:
    """A field whose distance is the reference's where that is zero up to rounding.

    The references' last bias is lowered by the median, so one grid point's distance is zero, and on which side of
    zero it falls, hence the surface's topology there, hangs on the order of a sum. (Where it is exactly zero the
    released FlexiCubes also turns the triangles round; those few may be reversed.)
    """

    def __init__(self, field: SurfaceField, reference: Tensor) -> None:
        self._field, self._reference = field, reference
        self.deformation, self.cube_weights, self.colors = field.deformation, field.cube_weights, field.colors

    def sdf_on_grid(self, axis: Tensor) -> Tensor:
        """Signed distance on the grid, as `SurfaceField`."""
        ours = self._field.sdf_on_grid(axis)
        reference = self._reference.reshape(ours.shape)
        return torch.where(reference.abs() < 1e-5, reference, ours)


def grid_points(axis: Tensor) -> Tensor:
    """All points axis x axis x axis, x slowest."""
    return torch.cartesian_prod(axis, axis, axis)


def surface_cubes_all(resolution: int) -> Tensor:
    """Positions of all cubes of the grid, x slowest."""
    index = torch.arange(resolution)
    return torch.cartesian_prod(index, index, index)


@torch.no_grad()
def colors(name: str, field: SurfaceField | RadianceField, expected: dict[str, Tensor]) -> Quantity:
    """8-bit colours at the reference's own vertices."""
    ours = field.colors(expected["mesh_vertices"]).clamp(0, 1) * 255
    return difference(name, ours.floor(), expected["mesh_colors"].float(), COLOR_TOLERANCE)


def instant_nerf(folder: Path) -> Iterator[Quantity]:
    """Field, marching-cubes surface and volume rendering of the NeRF variant."""
    expected = load_file(folder / "instant_nerf_tiny.expected.safetensors")
    model = tiny_model(folder, "nerf", load_file(folder / "instant_nerf_tiny.weights.safetensors"))
    field = model.field(expected["planes"][0])
    assert isinstance(field, RadianceField)
    with torch.no_grad():
        rgb, raw_density = field(expected["query_points"][0])
        yield difference("nerf.query_rgb", rgb, expected["query_rgb"])
        yield difference("nerf.query_sigma", activate_density(raw_density), expected["query_sigma"])
        resolution = expected["grid_sigma"].shape[-1]
        density = field.density_on_grid(*[torch.linspace(-1, 1, resolution)] * 3)
        yield difference("nerf.grid_sigma", density, expected["grid_sigma"])
    threshold = float(expected["mesh_threshold"])
    mesh = extract_isosurface(field.density_on_grid, field.colors, resolution, 1.0, threshold)
    yield surface_distance("nerf.mesh", mesh.vertices, expected["mesh_vertices"])
    yield colors("nerf.mesh_colors", field, expected)
    yield from volume_rendering(field, model.config.samples_per_ray, expected)


@torch.no_grad()
def volume_rendering(field: RadianceField, samples: int, expected: dict[str, Tensor]) -> Iterator[Quantity]:
    """Images with the references' fixed draws."""
    cameras = Cameras(expected["render_c2w"], expected["render_K"])
    height, width = expected["render_rgb"].shape[-2:]
    images = render_field(field, cameras, height, width, samples)
    yield difference("nerf.render_rgb", images.color, expected["render_rgb"])
    yield difference("nerf.render_weight", images.weight, expected["render_weight"])
    # The references' depth is clamped to the range of all samples of the call, which lifts what is nearly empty.
    origins, directions = rays(cameras, height, width)
    near, far = box_limits(origins.flatten(0, 1), directions.flatten(0, 1))
    hit = near < far
    nearest = float(stratified(near[hit], far[hit], torch.full((int(hit.sum()), samples // 2), 0.5)).min())
    yield difference("nerf.render_depth", images.depth.clamp(min=nearest), expected["render_depth"])
    for name, crop in crops(expected):
        part = render_field(field, cameras, height, width, samples, crop=crop)
        yield difference(f"nerf.{name}", part.color, expected[name])


def crops(expected: dict[str, Tensor]) -> Iterator[tuple[str, tuple[int, int, int, int]]]:
    """Names `render_rgb_crop_TOP_LEFT_HEIGHT_WIDTH` and the four numbers in them."""
    for name in expected:
        if name.startswith("render_rgb_crop_"):
            top, left, height, width = map(int, name.split("_")[3:])
            yield name, (top, left, height, width)


def surface_distance(name: str, ours: Tensor, expected: Tensor) -> Quantity:
    """Every vertex lies on a grid edge in any marching cubes; interior vertices of ambiguous cells may differ, so
    what is compared is how far 99 % of the expected vertices are from one of ours."""
    from scipy.spatial import KDTree

    distance = torch.from_numpy(KDTree(ours.numpy()).query(expected.numpy())[0])
    return Quantity(name, float(distance.quantile(0.99)), VERTEX_TOLERANCE, "99 % of vertices")


def flexicubes_cases(folder: Path) -> Iterator[Quantity]:
    """FlexiCubes on given fields: inference, training, plain, and gradients."""
    data = load_file(folder / "flexicubes.safetensors")
    for case in sorted({name.split(".")[0] for name in data}):
        x, sdf, weight = (data[f"{case}.{name}"].clone().requires_grad_() for name in ("x", "sdf", "weight"))
        side = round(len(sdf) ** (1 / 3))
        inside = (sdf < 0).reshape(side, side, side)
        cubes = surface_cubes(inside)
        corners = cube_corners(cubes, inside.shape)
        rows = (cubes * torch.tensor([(side - 1) ** 2, side - 1, 1])).sum(1)
        resolution = side - 1
        plain = grid_points(grid_axis(resolution, GRID_SCALE))
        for mode in ("eval", "train", "plain"):
            points = plain if mode == "plain" else x
            weights = None if mode == "plain" else normalise_weights(weight[rows])
            mesh = flexicubes(points, sdf, cubes, corners, weights, training=mode == "train")
            expected = (data[f"{case}.{mode}.vertices"], data[f"{case}.{mode}.faces"])
            yield meshes(f"flexicubes.{case}.{mode}", (mesh.vertices, mesh.faces), expected)
            if f"{case}.{mode}.L_dev" in data:
                ours, theirs = mesh.l_dev.sort().values, data[f"{case}.{mode}.L_dev"].flatten().sort().values
                yield difference(f"flexicubes.{case}.{mode}.L_dev", ours, theirs)
            if mode == "train":
                (mesh.vertices.square().sum() + mesh.l_dev.sum()).backward()
        for name, tensor in (("x", x), ("sdf", sdf), ("weight", weight)):
            assert tensor.grad is not None
            yield relative(f"flexicubes.{case}.grad_{name}", tensor.grad, data[f"{case}.grad_{name}"])


def zero123plus(folder: Path) -> Iterator[Quantity]:
    """The multiview stage; its networks need diffusers and transformers, which take a while to import."""
    from benchmarks.quality.parity_multiview import compare

    for name, ours, expected, tolerance in compare(folder):
        yield difference(f"zero123plus.{name}", ours, expected, VALUE_TOLERANCE if tolerance is None else tolerance)


def single_view(folder: Path, system: Literal["triposr", "openlrm"]) -> Iterator[Quantity]:
    """A single-view system."""
    from benchmarks.quality import parity_single_view

    for name, ours, expected in getattr(parity_single_view, system)(folder):
        yield difference(f"{system}.{name}", ours, expected)


def main() -> int:
    """Print the table; 0 if every quantity is within its tolerance, else 1."""
    parser = argparse.ArgumentParser(description="Compare every stage with reference numbers.")
    parser.add_argument("--golden", type=Path, required=True, help="folder with the reference files")
    folder = parser.parse_args().golden
    parts = {
        "instant_mesh_tiny.expected.safetensors": instant_mesh,
        "instant_nerf_tiny.expected.safetensors": instant_nerf,
        "flexicubes.safetensors": flexicubes_cases,
        "zero123plus_tiny.expected.safetensors": zero123plus,
        "triposr_tiny.expected.safetensors": partial(single_view, system="triposr"),
        "openlrm_tiny.expected.safetensors": partial(single_view, system="openlrm"),
    }
    found = [part for name, part in parts.items() if (folder / name).is_file()]
    if not found:
        print(f"{folder} holds none of: {', '.join(parts)}", file=sys.stderr)
        return 1
    failures = 0
    for part in found:
        for quantity in part(folder):
            failures += not quantity.passes
            verdict = "ok  " if quantity.passes else "FAIL"
            print(f"{verdict} {quantity.name:32} {quantity.error:10.2e}  <= {quantity.tolerance:.0e}  {quantity.note}")
    print(f"{failures} over tolerance" if failures else "all within tolerance")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
