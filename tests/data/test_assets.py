"""Models as surfaces: where they lie, which colours and normals rays find on them."""

from pathlib import Path

import numpy as np
import pytest
import torch
import trimesh
from PIL import Image
from trimesh.visual import TextureVisuals
from trimesh.visual.material import PBRMaterial

from instantmesh.cameras import intrinsics_from_fov, look_at_origin, project, six_view_cameras, spherical_cameras
from instantmesh.data.assets import AssetSurface, load_asset
from instantmesh.data.engines import render_with_embree
from instantmesh.data.nvdiffrast_engine import VisibilityRenderer
from instantmesh.data.object_renderer import ObjectRenderer, Surface
from instantmesh.data.views import ObjectViews
from instantmesh.errors import InputError, MissingFileError
from instantmesh.files.frame import world_to_gltf
from instantmesh.render import embree
from instantmesh.structures import Cameras, Mesh

from .made_assets import HALF, box_patches, textured_box, write_box, write_plain

AXES = torch.tensor([[4.0, 0, 0], [0, 4, 0], [-4, 0, 0], [0, -4, 0], [0, 0, 4], [0, 0, -4]])


def axis_cameras() -> Cameras:
    """From +x, +y, -x, -y, +z, -z."""
    return Cameras(look_at_origin(AXES), intrinsics_from_fov(40.0, 6))


def at(views: ObjectViews, camera: int, point: np.ndarray) -> tuple[torch.Tensor, torch.Tensor, float]:
    """Colour, normal and depth of the pixel that shows the world's `point`."""
    uv, _ = project(torch.from_numpy(point).float()[None], views.cameras[camera : camera + 1])
    column, row = (uv[0, 0] * views.images.shape[-1]).long().tolist()
    return (
        views.images[camera, :, row, column],
        views.normal[camera, :, row, column],
        float(views.depth[camera, 0, row, column]),
    )


def color_from(model: AssetSurface, camera: Cameras) -> torch.Tensor:
    """The colour in the middle of the image."""
    return ObjectRenderer(model).views(camera, 32).images[0, :, 16, 16]


def test_a_textured_box_shows_the_right_colours_from_every_side(tmp_path: Path):
    model = load_asset(write_box(tmp_path / "box.glb", scale=0.1))
    assert isinstance(model, Surface)
    views = render_with_embree(model, axis_cameras(), 96)
    for patch in box_patches():
        camera = int((AXES @ torch.from_numpy(patch.normal).float()).argmax())
        color, normal, depth = at(views, camera, patch.centre)
        np.testing.assert_allclose(color * 255, patch.color, atol=0.01)
        np.testing.assert_allclose(normal, patch.normal, atol=1e-5)
        assert depth == pytest.approx(4 - HALF @ np.abs(patch.normal), abs=1e-4)
    silhouette = views.mask.mean((1, 2, 3))
    assert float(silhouette[0]) < float(silhouette[1]) < float(silhouette[4])  # 1.2 x 0.8, 2 x 0.8, 2 x 1.2


def test_another_visibility_gives_the_same_images(tmp_path: Path):
    model = load_asset(write_box(tmp_path / "box.glb"))
    cameras = six_view_cameras()
    expected = render_with_embree(model, cameras, 48)
    views = VisibilityRenderer(model, embree.visible_faces, "cpu").views(cameras, 48)
    assert float((views.mask - expected.mask).abs().max()) <= 0.25  # one of a pixel's four rays, at an edge
    for name in ("images", "mask", "depth", "normal"):
        assert float((getattr(views, name) - getattr(expected, name)).abs().mean()) < 1e-3


def test_models_fill_the_unit_cube_with_y_up_turned_to_z(tmp_path: Path):
    box = trimesh.creation.box(extents=(1, 2, 4))  # right 1, up 2, forward 4
    box.apply_translation((10, 20, 30))
    box = trimesh.Trimesh(
        np.vstack([box.vertices, [[500.0, 0, 0]]]), box.faces, process=False
    )  # a vertex without faces
    for ending in (".stl", ".ply", ".obj", ".glb"):
        box.export(tmp_path / f"box{ending}")
        model = load_asset(tmp_path / f"box{ending}")
        used = model.vertices[model.faces.ravel()]
        np.testing.assert_allclose(used.max(0), (1, 0.25, 0.5), atol=1e-5)
        np.testing.assert_allclose(used.min(0), (-1, -0.25, -0.5), atol=1e-5)
        smaller = model.inside_ball()
        used = smaller.vertices[smaller.faces.ravel()]
        assert np.linalg.norm(used, axis=1).max() == pytest.approx(1)
        assert smaller.inside_ball() is smaller or np.allclose(smaller.inside_ball().vertices, smaller.vertices)


def test_vertex_colours_are_linear_in_glb_and_srgb_elsewhere(tmp_path: Path):
    ball = trimesh.creation.icosphere(subdivisions=2)
    colors = torch.full((len(ball.vertices), 3), 0.5)
    colors[torch.from_numpy(ball.vertices[:, 1].copy()) > 0] = torch.tensor([0.25, 0.5, 0.75])
    mesh = Mesh(torch.tensor(ball.vertices).float(), torch.tensor(ball.faces), colors)
    from_right = spherical_cameras([90.0], [0.0], 4.0, 30.0)
    for ending in (".glb", ".ply", ".obj"):
        model = load_asset(mesh.save(tmp_path / f"ball{ending}"))
        np.testing.assert_allclose(color_from(model, from_right), (0.25, 0.5, 0.75), atol=0.004)


def test_a_plain_material_and_a_factor_over_a_texture(tmp_path: Path):
    plain, white = trimesh.creation.box(), trimesh.creation.box()
    plain.visual = TextureVisuals(material=PBRMaterial(baseColorFactor=[255, 0, 128, 255]))
    white.apply_translation((3, 0, 0))
    trimesh.Scene([plain, white]).export(tmp_path / "two.glb")
    model = load_asset(tmp_path / "two.glb")
    left = Cameras(look_at_origin(torch.tensor([[0.0, -4, 0]])), intrinsics_from_fov(30.0, 1))
    np.testing.assert_allclose(color_from(model, left), (1, 0, 0.7354), atol=0.002)  # factors are linear
    box = textured_box()
    box.visual.material.baseColorFactor = [128, 255, 255, 255]
    box.export(tmp_path / "tinted.glb")
    views = render_with_embree(load_asset(tmp_path / "tinted.glb"), axis_cameras(), 96)
    patch = box_patches()[0]
    np.testing.assert_allclose(at(views, 0, patch.centre)[0], (0.7354, 0, 0), atol=0.002)


def test_textures_repeat(tmp_path: Path):
    halves = Image.fromarray(np.array([[(255, 0, 0), (0, 0, 255)]], np.uint8).repeat(8, 0).repeat(8, 1))
    corners = np.array([(0, -1, -1), (0, 1, -1), (0, 1, 1), (0, -1, 1)], float)
    uv = (corners[:, 1:] + 1) / 2 + (7, -3)
    visual = TextureVisuals(uv=uv, material=PBRMaterial(baseColorTexture=halves))
    quad = trimesh.Trimesh(world_to_gltf(corners), [[0, 1, 2], [0, 2, 3]], visual=visual, process=False)
    quad.export(tmp_path / "quad.glb")
    views = render_with_embree(load_asset(tmp_path / "quad.glb"), axis_cameras()[:1], 32)
    assert views.images[0, :, 16, 12].tolist() == pytest.approx([1, 0, 0], abs=1e-3)
    assert views.images[0, :, 16, 20].tolist() == pytest.approx([0, 0, 1], abs=1e-3)


def test_normals_are_the_file_s_where_it_has_some_and_face_the_camera(tmp_path: Path):
    ball = trimesh.creation.icosphere(subdivisions=1)
    ball.export(tmp_path / "flat.glb", include_normals=False)
    ball.export(tmp_path / "smooth.glb", include_normals=True)
    ball.invert()  # the same ball with its faces turned inside out
    ball.export(tmp_path / "inverted.glb", include_normals=False)
    camera = spherical_cameras([20.0], [30.0], 4.0, 30.0)
    flat, smooth, inverted = (
        render_with_embree(load_asset(tmp_path / f"{name}.glb"), camera, 64) for name in ("flat", "smooth", "inverted")
    )
    torch.testing.assert_close(inverted.normal, flat.normal, atol=1e-5, rtol=0)
    radial = torch.nn.functional.normalize(positions(flat), dim=0)
    inside = flat.mask[0, 0] == 1
    error = [float((1 - (views.normal[0] * radial).sum(0))[inside].mean()) for views in (flat, smooth)]
    assert error[1] < 0.1 * error[0]
    assert error[0] < 0.1
    facing = (smooth.normal[0] * (camera.camera_to_world[0, :3, 3, None, None] - positions(smooth))).sum(0)
    assert float(facing[inside].min()) > -0.2


def positions(views: ObjectViews) -> torch.Tensor:
    """World points (3, s, s) of the first view's pixels, from its depth."""
    size = views.depth.shape[-1]
    axis = ((torch.arange(size) + 0.5) / size - 0.5) / views.cameras.intrinsics[0, 0, 0]
    up, right = torch.meshgrid(-axis, axis, indexing="ij")
    local = torch.stack([right, up, -torch.ones_like(up)]) * views.depth[0]
    pose = views.cameras.camera_to_world[0]
    return torch.einsum("ij,jhw->ihw", pose[:3, :3], local) + pose[:3, 3, None, None]


def test_a_model_of_one_colour_gets_light(tmp_path: Path):
    model = load_asset(write_plain(tmp_path / "box.stl"))
    views = render_with_embree(model, axis_cameras(), 32)
    top, bottom = views.images[4, :, 16, 16], views.images[5, :, 16, 16]
    assert float(top.mean()) > float(bottom.mean()) + 0.3
    assert float(top.std()) < 1e-6


def test_files_that_are_no_models_are_refused(tmp_path: Path):
    with pytest.raises(MissingFileError, match="nowhere"):
        load_asset(tmp_path / "nowhere.glb")
    whole = write_box(tmp_path / "box.glb").read_bytes()
    for name, content, message in (
        ("empty.glb", b"", "can't be read"),
        ("cut.glb", whole[: len(whole) // 2], "can't be read"),
        ("text.stl", b"hello", "broken|can't be read|no triangles"),
        ("points.ply", b"ply\nformat ascii 1.0\nelement vertex 1\nproperty float x\nend_header\n1\n", "ply"),
        ("point.obj", b"v 1 1 1\nv 1 1 1\nv 1 1 1\nf 1 2 3\n", "one point|no triangles"),
        ("nan.obj", b"v nan 1 1\nv 1 0 1\nv 0 1 1\nf 1 2 3\n", "nan"),
        ("model.blend", b"x", "unknown mesh ending"),
    ):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(InputError, match=message):
            load_asset(tmp_path / name)
    box = write_box(tmp_path / "damaged.glb").read_bytes()
    start = box.index(b"\x89PNG")
    (tmp_path / "damaged.glb").write_bytes(box[: start + 40] + bytes(60) + box[start + 100 :])
    with pytest.raises(InputError, match="texture is missing or can't be read"):  # and not a grey model
        load_asset(tmp_path / "damaged.glb")
