"""The whole line with the embedded model: photo in, mesh out, and every refusal on the way."""

import subprocess
import sys

import numpy as np
import pytest
import torch
import trimesh
from PIL import Image
from torch.nn.functional import interpolate

import instantmesh
from instantmesh import (
    EmptySurfaceError,
    ImageError,
    InputError,
    Mesh,
    MissingFileError,
    Pipeline,
    UnknownModelError,
    Views,
)
from instantmesh.cameras import elevations_deg, photo_camera, six_view_cameras, spherical_cameras
from instantmesh.data.object_renderer import ObjectRenderer
from instantmesh.data.procedural.unions import HELD_OUT_SEED, ProceduralSurface, random_object
from instantmesh.evaluation.metrics.defects import mesh_defects
from instantmesh.fitting.camera_search import compare_from
from instantmesh.pipeline.loading import build, named_config
from instantmesh.pipeline.reconstruction import Reconstructor
from instantmesh.render.raster import render_mesh
from tests.pipeline.plain import PLAIN, PLAIN_MESH
from tests.pipeline.two_stages import two_stages


@pytest.fixture(scope="module")
def pipeline() -> Pipeline:
    return two_stages()


@pytest.fixture(scope="module")
def photo() -> Image.Image:
    """A held-out object, cut out."""
    camera = spherical_cameras([0.0], [15.0], radius=4.0, fov_deg=30.0)
    return Image.fromarray(
        ObjectRenderer(ProceduralSurface(random_object(HELD_OUT_SEED + 6))).rgba_images(camera, 200)[0]
    )


@pytest.fixture(scope="module")
def truth() -> tuple[Views, torch.Tensor]:
    renderer = ObjectRenderer(ProceduralSurface(random_object(HELD_OUT_SEED + 6)))
    images = renderer.views(six_view_cameras(), 96)
    return Views(images.images.clamp(0, 1), six_view_cameras()), images.mask


def test_six_true_views_give_the_object(pipeline, truth):
    views, masks = truth
    mesh = pipeline.reconstruct(views, **PLAIN_MESH)
    seen = render_mesh(mesh, views.cameras, 96)
    overlap = torch.minimum(seen.mask, masks).sum() / torch.maximum(seen.mask, masks).sum()
    assert float(overlap) > 0.75
    inside = seen.mask * masks
    difference = ((seen.color - views.images).abs() * inside).sum() / (3 * inside.sum())
    plain = ((0.5 - views.images).abs() * inside).sum() / (3 * inside.sum())
    assert float(difference) < float(plain)  # colours that know more than grey does
    solid = trimesh.Trimesh(mesh.vertices.numpy(), mesh.faces.numpy(), process=False)
    assert solid.volume > 0  # faces outward


def test_any_number_of_views_and_poses(pipeline, truth):
    views, _ = truth
    assert len(pipeline.reconstruct(views[[0, 2, 4, 5]], **PLAIN_MESH).faces) > 100
    other = spherical_cameras([0.0, 75.0, 190.0], [5.0, 40.0, 0.0], radius=3.5, fov_deg=40.0)
    images = ObjectRenderer(ProceduralSurface(random_object(HELD_OUT_SEED + 6))).views(other, 50).images
    assert len(pipeline.reconstruct(Views(images.clamp(0, 1), other), **PLAIN_MESH).faces) > 100


def test_photo_to_mesh_and_seeds(pipeline, photo):
    steps: list[tuple[int, int]] = []
    state = torch.get_rng_state()
    result = pipeline(photo, seed=3, steps=4, callback=lambda done, total: steps.append((done, total)), **PLAIN)
    assert torch.equal(torch.get_rng_state(), state)  # nobody else's random numbers were touched
    assert steps == [(1, 4), (2, 4), (3, 4), (4, 4)]
    assert len(result.views) == 6
    assert result.mesh.vertex_colors is not None
    again = pipeline.generate_views(pipeline.prepare(photo), seed=3, steps=4)
    assert torch.equal(again.images, result.views.images)
    image = pipeline.prepare(photo)
    by_generator = pipeline.generate_views(image, generator=torch.Generator().manual_seed(3), steps=4)
    assert torch.equal(by_generator.images, result.views.images)
    assert not torch.equal(pipeline.generate_views(image, seed=4, steps=4).images, result.views.images)


def test_photos_of_every_kind_are_the_same_photo(pipeline, photo, tmp_path):
    photo.save(tmp_path / "photo.png")
    array = np.asarray(photo)
    tensor = torch.from_numpy(array.copy()).permute(2, 0, 1)
    views = [
        pipeline.generate_views(pipeline.prepare(source), seed=1, steps=2).images
        for source in (photo, tmp_path / "photo.png", array, tensor, tensor.float() / 255)
    ]
    for other in views[1:]:
        torch.testing.assert_close(other, views[0], atol=1e-4, rtol=0)


def test_camera_distance_scale_moves_the_cameras(pipeline, photo):
    small = pipeline(photo, seed=3, steps=2, camera_distance_scale=0.9, **PLAIN)
    assert float(small.views.cameras.camera_to_world[0, :3, 3].norm()) == pytest.approx(4.0)
    with pytest.raises(InputError, match="scale"):
        pipeline(photo, seed=3, steps=2, camera_distance_scale=-1.0)


def test_results_are_saved(pipeline, photo, tmp_path):
    result = pipeline(photo, seed=3, steps=2, **PLAIN)
    for name in ("m.glb", "m.obj", "m.ply", "m.stl"):
        loaded = trimesh.load_mesh(result.mesh.save(tmp_path / name))
        assert len(loaded.faces) == len(result.mesh.faces)
    with Image.open(result.views.save(tmp_path / "views.png")) as image:
        assert image.size == (128, 192)
    with Image.open(instantmesh.save_preview(result.mesh, tmp_path / "preview.png")) as image:
        assert image.size == (1024, 512)


def test_bad_photos(pipeline):
    with pytest.raises(ImageError):
        pipeline(Image.new("RGBA", (64, 64), (255, 0, 0, 0)))
    with pytest.raises(ImageError):
        pipeline(np.zeros((1, 1, 3), np.uint8))
    with pytest.raises(ImageError):
        pipeline("nowhere.png")


def test_bad_arguments(pipeline, photo):
    with pytest.raises(InputError, match="not both"):
        pipeline(photo, seed=1, generator=torch.Generator())
    with pytest.raises(InputError):
        pipeline(photo, steps=0)
    with pytest.raises(InputError, match="did you mean 'seed'"):
        pipeline(photo, sed=0)
    for wrong in ({"target_faces": 3}, {"min_component_area": 2.0}):
        with pytest.raises(InputError, match=r"4 faces|share"):
            pipeline(photo, callback=lambda *_: pytest.fail("found too late"), **wrong)


def test_bad_models(tmp_path, monkeypatch):
    with pytest.raises(UnknownModelError, match="did you mean tiny"):
        Pipeline.from_pretrained("tinny")
    with pytest.raises(MissingFileError, match=r"instant_mesh_base\.ckpt"):
        Pipeline.from_pretrained("instant-mesh-base", cache_dir=tmp_path, local_files_only=True)
    with pytest.raises(MissingFileError, match="no model folder"):
        Pipeline.from_pretrained(tmp_path)
    with pytest.raises(InputError, match="device"):
        Pipeline.from_pretrained("tiny", device="cuda:9" if not torch.cuda.is_available() else "nowhere")
    with pytest.raises(InputError, match="dtype"):
        Pipeline.from_pretrained("tiny", dtype="int8")


def test_meshes_are_finished(pipeline, truth, monkeypatch):
    views, _ = truth
    raw = pipeline.reconstructor(views)
    debris = 0.01 * raw.vertices[:4] + 0.9
    dirty = Mesh(
        torch.cat([raw.vertices, debris]),
        torch.cat([raw.faces, len(raw.vertices) + torch.tensor([[0, 1, 2], [1, 2, 3]])]),
        torch.cat([raw.vertex_colors, raw.vertex_colors[:4]]),
    )
    monkeypatch.setattr(pipeline.reconstructor, "extract", lambda field, resolution=None: dirty)
    assert len(pipeline.reconstruct(views, min_component_area=0.0, **PLAIN_MESH).faces) == len(dirty.faces)
    mesh = pipeline.reconstruct(views, **PLAIN_MESH)
    assert torch.equal(mesh.vertices, raw.vertices)
    assert torch.equal(mesh.faces, raw.faces)


def test_fewer_faces_and_solids(pipeline, photo):
    full = pipeline(photo, seed=3, steps=2, **PLAIN)
    small = pipeline(photo, seed=3, steps=2, **{**PLAIN, "target_faces": 1000, "watertight": True})
    assert len(full.mesh.faces) > 2000
    assert len(small.mesh.faces) == pytest.approx(1000, abs=20)
    assert [str(step).split(":")[0] for step in small.steps] == ["cleaned", "simplified", "watertight"]
    assert [str(step).split(":")[0] for step in full.steps] == ["cleaned"]
    assert instantmesh.report(small.mesh).watertight
    field = pipeline.reconstructor.encode(full.views)  # its colours, read where the full mesh is nearest
    expected = field.colors(small.mesh.vertices).clamp(0, 1)
    assert float((small.mesh.vertex_colors - expected).abs().mean()) < 0.02


def test_a_field_without_a_surface(pipeline, truth):
    head = pipeline.reconstructor.model.head.net_sdf[-1]
    with torch.no_grad():
        head.bias += 100
        try:
            with pytest.raises(EmptySurfaceError):
                pipeline.reconstruct(truth[0], **PLAIN_MESH)
        finally:
            head.bias -= 100


def test_reconstruction_alone(truth):
    pipeline = Pipeline(None, two_stages().reconstructor)
    assert isinstance(pipeline.reconstruct(truth[0], **PLAIN_MESH), Mesh)
    with pytest.raises(InputError, match="loaded without one"):
        pipeline(Image.new("RGBA", (64, 64), (255, 0, 0, 255)))


def test_the_embedded_model_reconstructs_from_the_photo_itself(photo, truth):
    pipeline = Pipeline.from_pretrained("tiny", device="cpu")
    assert pipeline.multiview is None
    result = pipeline(photo, resolution=32, **PLAIN)
    assert len(result.views) == 1
    assert torch.equal(result.views.images[0], result.photo)
    camera = result.posed.known_cameras
    assert torch.allclose(camera.camera_to_world, photo_camera(float(elevations_deg(camera))).camera_to_world)
    seen = render_mesh(result.mesh, camera, 96).mask[0, 0]
    outline = 1 - interpolate(result.photo[None], (96, 96), mode="area")[0].amin(0)
    overlap = ((seen > 0.5) & (outline > 0.1)).sum() / ((seen > 0.5) | (outline > 0.1)).sum()
    assert float(overlap) > 0.7
    assert isinstance(pipeline.reconstruct(truth[0], **PLAIN_MESH), Mesh)  # as many views as there are
    with pytest.raises(InputError, match="multiview=True"):
        pipeline.generate_views(result.photo)


def test_photos_of_sides_become_one_mesh():
    """Four photos whose cameras aren't told, each cropped by itself, are nearer to the truth than one."""
    pipeline = Pipeline.from_pretrained("tiny", device="cpu")
    sides = {"front": (0.0, 20.0), 90: (90.0, 5.0), "back": (180.0, 12.0), "right": (270.0, 0.0)}
    renderer = ObjectRenderer(ProceduralSurface(random_object(HELD_OUT_SEED + 6)))
    cameras = {side: spherical_cameras([a], [e], 4.0 + e / 20, 30.0) for side, (a, e) in sides.items()}
    photos = {side: renderer.rgba_images(camera, 128)[0] for side, camera in cameras.items()}
    result = pipeline.from_photos(photos, resolution=32, **PLAIN_MESH)
    assert len(result.views) == len(result.side_cameras) == 4
    assert result.photo_camera is result.side_cameras[0]
    for camera, (azimuth, _) in zip(result.side_cameras, sides.values(), strict=True):
        assert (camera.azimuth_deg - azimuth + 180) % 360 - 180 == pytest.approx(0, abs=26)
    alone = pipeline(photos["front"], resolution=32, **PLAIN)
    exact = renderer.views(spherical_cameras([45.0, 200.0], [15.0, 15.0], 4.0, 30.0), 96).mask[:, 0] > 0.5

    def overlap(mesh: Mesh) -> float:
        seen = render_mesh(mesh, spherical_cameras([45.0, 200.0], [15.0, 15.0], 4.0, 30.0), 96).mask[:, 0] > 0.5
        return float((seen & exact).sum() / (seen | exact).sum())

    assert overlap(result.mesh) > overlap(alone.mesh)
    for wrong, words in (({"front": photos["front"]}, "two or more"), ({"under": photos["front"]}, "no side")):
        with pytest.raises(InputError, match=words):
            pipeline.from_photos(wrong)


def test_the_photos_elevation_can_be_said(photo):
    pipeline = Pipeline.from_pretrained("tiny", device="cpu")
    meshes = []
    for elevation_deg in (0, 40.0):
        result = pipeline(photo, elevation_deg=elevation_deg, resolution=32, **PLAIN)
        camera = photo_camera(float(elevation_deg))
        assert torch.equal(result.posed.known_cameras.camera_to_world, camera.camera_to_world)
        meshes.append(result.mesh)
        assert compare_from(camera, result.mesh, result.photo, result.photo_mask).iou > 0.6
    assert len(meshes[0].vertices) != len(meshes[1].vertices)
    with pytest.raises(InputError, match="elevation_deg"):
        pipeline(photo, elevation_deg=95)


def test_the_photo_is_blended_into_a_texture_and_generated_views_are_not(pipeline, photo):
    alone = Pipeline(None, Pipeline.from_pretrained("tiny", device="cpu").reconstructor)
    options = {"resolution": 32, "texture_size": 256, "target_faces": 1000, "fit_photo": False}

    def error(**more) -> float:
        result = alone(photo, **options, **more)
        seen = render_mesh(result.mesh, result.posed.known_cameras, 128)
        true = interpolate(result.photo[None], (128, 128), mode="bicubic", antialias=True)
        both = (seen.mask > 0.99) & (true.amin(1, keepdim=True) < 0.95)
        return float((seen.color - true).square().mean(1, keepdim=True)[both].mean())

    assert error() < 0.7 * error(blend_views=False)
    textures = [
        pipeline(photo, seed=0, steps=2, **options, **more).mesh.texture for more in ({}, {"blend_views": False})
    ]
    assert torch.equal(textures[0].image, textures[1].image)


def test_results_are_finished_and_true_to_their_photo(photo):
    """By default: the photo's outline and pixels, a texture, and no defect that a census would count."""
    pipeline = Pipeline.from_pretrained("tiny", device="cpu")
    result, guess = pipeline(photo), pipeline(photo, **PLAIN)
    assert mesh_defects(result.mesh).classes() == ()
    assert result.mesh.texture is not None
    assert result.mesh.texture.image.shape == (3, 1024, 1024)
    assert len(result.mesh.faces) <= 10_000
    assert result.photo_camera is not None
    camera = result.posed.known_cameras
    assert torch.equal(result.photo_camera.camera.camera_to_world, camera.camera_to_world)
    assert result.photo_mask is not None

    def psnr(mesh: Mesh) -> float:
        seen = render_mesh(mesh, camera, 256, antialias=False).color
        true = interpolate(result.photo[None], (256, 256), mode="area")
        return float(-10 * (seen - true).square().mean().log10())

    assert result.photo_camera.iou > 0.93
    assert compare_from(camera, guess.mesh, result.photo, result.photo_mask).iou < result.photo_camera.iou
    assert psnr(result.mesh) > psnr(guess.mesh) + 3
    assert guess.photo_camera is None


def test_the_photos_camera_is_looked_for_where_it_is_not_known(pipeline, photo, truth, monkeypatch):
    """True views stand for generated ones; the photo was taken from elevation 15."""
    monkeypatch.setattr(pipeline, "input_views", lambda images, settings: [truth[0]] * len(images))
    result = pipeline(photo, **{**PLAIN, "fit_photo": True})
    assert result.photo_camera is not None
    assert result.photo_camera.elevation_deg == pytest.approx(15, abs=8)
    assert result.photo_camera.iou > 0.93
    assert "photo" in str(result.steps[-1])


def test_an_outline_that_is_not_known_or_does_not_fit_is_left_alone(pipeline, photo, truth, monkeypatch, caplog):
    monkeypatch.setattr(pipeline, "input_views", lambda images, settings: [truth[0]] * len(images))
    noise = torch.rand(3, 64, 64, generator=torch.Generator().manual_seed(0))
    kept = pipeline(noise, background="keep", **{**PLAIN, "fit_photo": True})
    assert kept.photo_camera is None
    assert "outline isn't known" in caplog.text
    cross = torch.zeros(4, 90, 90)
    cross[3, 43:47] = cross[3, :, 43:47] = cross[0] = 1
    other = pipeline(cross, **{**PLAIN, "fit_photo": True})
    assert other.photo_camera is not None
    assert other.photo_camera.iou < 0.75
    assert "too little to fit" in caplog.text
    plain = pipeline(cross, **PLAIN)
    assert torch.equal(other.mesh.vertices, plain.mesh.vertices)


BLOCKED = ("nvdiffrast", "kaolin", "xformers", "gradio", "ray", "bpy", "rembg", "torchvision")
BLOCKER = f"import sys; sys.modules.update(dict.fromkeys({BLOCKED!r}))\n"  # None there makes an import fail


def run_python(code: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-W", "error::UserWarning:instantmesh", "-c", code], capture_output=True, text=True
    )


def test_the_blocker_blocks():
    assert "import of rembg halted" in run_python(BLOCKER + "import rembg").stderr


def test_the_embedded_model_runs_without_optional_packages():
    code = BLOCKER + (
        "import instantmesh, torch\n"
        "heavy = {'diffusers', 'transformers', 'trimesh', 'scipy', 'skimage'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
        "pipe = instantmesh.Pipeline.from_pretrained('tiny', device='cpu')\n"
        "x = torch.ones(4, 64, 64); x[3] = 0; x[0, 16:48, 16:48] = 0.2; x[3, 16:48, 16:48] = 1\n"
        "try: pipe.reconstruct(x)\n"
        "except instantmesh.InputError as error: assert 'Views' in str(error)\n"
        "print(len(pipe(x, seed=0, steps=2).mesh.faces))\n"
    )
    done = run_python(code)
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) > 0


def test_public_names():
    assert set(instantmesh.__all__) <= set(dir(instantmesh))


def test_textures_show_the_field_and_the_views_detail(pipeline, truth):
    """From true views, a textured mesh of few faces is nearer to the object's colours than the full one."""
    views, mask = truth
    plain = pipeline.reconstruct(views, **PLAIN_MESH)
    textured = pipeline.reconstruct(views, target_faces=2000, texture_size=512)
    assert textured.texture.image.shape == (3, 512, 512)
    assert len(textured.faces) <= 2000
    assert textured.vertex_colors is not None

    def error(mesh: Mesh) -> float:
        seen = render_mesh(mesh, six_view_cameras(), 96)
        both = (seen.mask > 0.99) & (mask > 0.99)
        return float((seen.color - views.images).square().mean(1, keepdim=True)[both].mean())

    assert error(textured) < 0.8 * error(plain)


def test_a_result_reports_and_is_filmed(pipeline, photo, tmp_path):
    result = pipeline(photo, seed=0, steps=2, **PLAIN)
    of_mesh = instantmesh.report(result.mesh).warnings
    moved = Views(result.posed.images.roll(12, dims=-1), result.posed.cameras)  # sideways in every view: impossible
    of_both = instantmesh.report(result.mesh, moved).warnings
    assert of_both[: len(of_mesh)] == of_mesh
    assert "the views disagree" in of_both[len(of_mesh)]
    film = instantmesh.turntable(result.mesh, tmp_path / "film.gif", frames=3, size_px=32)
    with Image.open(film) as frames:
        assert (frames.n_frames, frames.size) == (3, (32, 32))
    with pytest.raises(InputError, match="no radiance field"):
        instantmesh.turntable(result.ray_renderer, tmp_path / "field.gif")
    assert "<iframe" in result.mesh._repr_html_()


def test_rays_see_the_field_of_radiance_systems(pipeline):
    torch.manual_seed(0)
    for name in ("triposr", "instant-nerf-base"):
        config = named_config(name)
        small = build(
            config.model_copy(
                update={
                    "encoder": config.encoder.model_copy(update={"layers": 1}),
                    "triplane": config.triplane.model_copy(update={"layers": 1}),
                }
            )
        )
        reconstructor = Reconstructor(small.requires_grad_(False))
        field = small.field(torch.randn(3, config.triplane.channels, 64, 64))
        seen = reconstructor.ray_renderer(field, samples=16)(torch.tensor([[3.0, 0, 0]]), torch.tensor([[-1.0, 0, 0]]))
        assert seen.color.shape == (1, 3)
        assert 0 < float(seen.weight) <= 1 + 1e-5
