"""Training of the embedded reconstruction model: batches, losses, their gradients, and that a small run learns."""

import numpy as np
import pytest
import torch
from torch import nn

from instantmesh.cameras import camera_vector, photo_camera, project, six_view_cameras
from instantmesh.config import read_config
from instantmesh.data.object_renderer import ObjectRenderer
from instantmesh.data.procedural.unions import ProceduralSurface, random_object
from instantmesh.hub import read_checkpoint
from instantmesh.systems.instantmesh import InstantMesh, InstantMeshConfig
from instantmesh.training import losses
from instantmesh.training.config import LoopConfig
from instantmesh.training.embedded.geometry import GeometryStage
from instantmesh.training.embedded.geometry_batches import GeometryConfig, GeometrySource, rotated_camera_vectors
from instantmesh.training.embedded.mirrored_photos import MirroredPhotos
from instantmesh.training.embedded.photo_frame import into_frames
from instantmesh.training.embedded.rendering import RenderingConfig, RenderingSource, RenderingStage
from instantmesh.training.loop import train
from instantmesh.training.multiview_batches import on_white
from instantmesh.training.preview import reconstruction_images
from instantmesh.training.schedule import OptimiserConfig
from instantmesh.training.transfer import grown

SETTINGS = {"data": {"folder": ""}, "loop": LoopConfig(batch_size=4, log_steps=1)}


def optimiser(steps: int, **values: float) -> OptimiserConfig:
    return OptimiserConfig(**{"learning_rate": 3e-3, "steps": steps, "warmup_steps": 2, "algorithm": "muon", **values})


def geometry(model: InstantMeshConfig, steps: int = 1, **changes: object) -> GeometryConfig:
    return GeometryConfig(stage="geometry", model=model, optimiser=optimiser(steps), **SETTINGS, **changes)


def test_batches_turn_images_cameras_and_geometry_together(small_data, small_model):
    config = geometry(small_model, camera_noise=0.0, subset_probability=0.0, free_rotation_probability=1.0)
    batch = GeometrySource(small_data, config).batch(np.arange(3), np.random.default_rng(0))
    still = camera_vector(six_view_cameras())
    for index in range(3):
        angle = batch.frames[index, 0]
        cos, sin = angle.cos(), angle.sin()
        turn = torch.tensor([[cos, -sin, 0], [sin, cos, 0], [0, 0, 1]])
        row = int(batch.rows[index])
        points = torch.from_numpy(small_data.samples.points[row].astype(np.float32))
        torch.testing.assert_close(batch.points[index], points @ turn.T, atol=1e-5, rtol=0)
        position = still[:, [3, 7, 11]] @ turn.T
        torch.testing.assert_close(batch.cameras[index][:, [3, 7, 11]], position, atol=1e-5, rtol=0)


def test_photos_come_with_the_geometry_in_their_cameras_frame(small_data, small_model):
    """What the photo shows lies where the camera of its elevation sees the moved points: in the silhouette, about."""
    config = geometry(small_model, camera_noise=0.0, photo_probability=1.0)
    batch = GeometrySource(small_data, config).batch(np.arange(4), np.random.default_rng(1))
    assert batch.images.shape == (4, 1, 3, 32, 32)
    assert not torch.allclose(batch.cameras[0], batch.cameras[1])
    for index in range(4):
        row = int(batch.rows[index])
        photos = on_white(torch.from_numpy(small_data.images[[row]][:, small_data.query_places]))[0][0]
        query = int((photos - batch.images[index]).abs().sum((1, 2, 3)).argmin())
        camera = photo_camera(float(small_data.query_elevations[row, query]))
        torch.testing.assert_close(batch.cameras[index], camera_vector(camera))
        uv, _ = project(batch.surface_points[index], camera)
        low, high = uv[0].amin(0), uv[0].amax(0)
        size, reach = float((high - low).max()), float(batch.surface_points[index].abs().max())
        assert size == pytest.approx(0.85, abs=0.05) or (size < 0.85 and reach == pytest.approx(0.98, abs=0.06))
        assert float(((low + high) / 2 - 0.5).abs().max()) < 0.04
        scale = batch.frames[index, 4]
        distances = torch.from_numpy(small_data.samples.distances[batch.rows[index]].astype(np.float32))
        torch.testing.assert_close(batch.distances[index], scale * distances)


def test_mirrored_photos_show_the_mirrored_object(small_data, small_model):
    """Half of the photos and their geometry are mirrored together; six views are left alone."""
    config = geometry(small_model, camera_noise=0.0, photo_probability=1.0)
    source = GeometrySource(small_data, config)
    plain = source.batch(np.arange(4), np.random.default_rng(1))
    batch = MirroredPhotos(source).batch(np.arange(4), np.random.default_rng(1))
    flipped = [not torch.equal(a, b) for a, b in zip(batch.images, plain.images, strict=True)]
    assert 0 < sum(flipped) < 4
    mirror = torch.tensor([1.0, -1.0, 1.0])
    for index, is_flipped in enumerate(flipped):
        sign, image = (mirror, plain.images[index].flip(-1)) if is_flipped else (torch.ones(3), plain.images[index])
        torch.testing.assert_close(batch.images[index], image)
        for name in ("points", "surface_points", "surface_normals"):
            torch.testing.assert_close(getattr(batch, name)[index], sign * getattr(plain, name)[index])
        uv, _ = project(batch.surface_points[index], photo_camera())  # the mirrored object is seen in its photo
        pixels = (uv[0].clamp(0, 0.999) * 32).long()
        assert float((batch.images[index, 0].mean(0)[pixels[:, 1], pixels[:, 0]] < 0.999).float().mean()) > 0.8
    config = geometry(small_model, camera_noise=0.0)
    six = MirroredPhotos(GeometrySource(small_data, config)).batch(np.arange(4), np.random.default_rng(1))
    torch.testing.assert_close(
        six.images, GeometrySource(small_data, config).batch(np.arange(4), np.random.default_rng(1)).images
    )


def test_true_images_follow_into_a_photos_frame(small_data, small_model):
    config = rendering(small_model).model_copy(update={"photo_probability": 1.0})
    batch = RenderingSource(small_data, config).batch(np.arange(4), np.random.default_rng(0))
    for k, index in enumerate(batch.rendered.tolist()):
        truth, frame = batch.targets[k], batch.frames[index : index + 1]
        surface = ProceduralSurface(random_object(int(small_data.seeds[batch.rows[index]])))
        surface.vertices = into_frames(torch.from_numpy(surface.vertices)[None], frame)[0].numpy()
        seen = ObjectRenderer(surface).views(truth.cameras, 32)
        assert float((seen.mask - truth.mask).abs().mean()) < 2e-3
        assert float((seen.depth - truth.depth).abs().mean()) < 2e-2


def test_a_grown_model_starts_as_the_small_one(small_model):
    """One more block in the encoder and two in the transformer add nothing at first: the same planes, which learn."""
    torch.manual_seed(0)
    small = InstantMesh(small_model)
    encoder = small_model.encoder.model_copy(update={"layers": 2})
    triplane = small_model.triplane.model_copy(update={"layers": small_model.triplane.layers + 2})
    large = InstantMesh(small_model.model_copy(update={"encoder": encoder, "triplane": triplane}))
    large.load_official(grown(large, small.official_state()))
    images, cameras = torch.rand(1, 6, 3, 32, 32), camera_vector(six_view_cameras())[None]
    planes = large(images, cameras)
    torch.testing.assert_close(planes, small(images, cameras))
    planes.square().sum().backward()
    for block in (large.encoder.blocks[-1], large.transformer.blocks[-1]):
        assert float(block.mlp[2].weight.grad.abs().max()) > 0
    finer = small_model.encoder.model_copy(update={"trained_grid": 6})
    wider = InstantMesh(small_model.model_copy(update={"image_size_px": 48, "encoder": finer}))
    wider.load_official(grown(wider, small.official_state()))
    assert wider.encoder.position_embedding.shape == (1, 37, 32)


def test_previews_can_be_drawn_while_products_are_in_bfloat16(small_model):
    torch.manual_seed(0)
    model, images = InstantMesh(small_model), torch.rand(6, 3, 32, 32)
    with torch.autocast("cpu", torch.bfloat16):
        shown = reconstruction_images(model, images, camera_vector(six_view_cameras()))
    assert shown["input"].shape == (3, 64, 96)
    assert all(torch.isfinite(image).all() for image in shown.values())


def test_thirds_of_a_turn_carry_the_rig_into_itself():
    still = camera_vector(six_view_cameras())
    turned = rotated_camera_vectors(six_view_cameras(), torch.tensor([2 * torch.pi / 3]))[0]
    torch.testing.assert_close(turned, still.roll(-2, dims=0), atol=1e-5, rtol=0)


def test_normal_loss_is_signed():
    true = torch.zeros(1, 3, 2, 2)
    true[:, 2] = 1
    mask = torch.ones(1, 1, 2, 2)
    assert float(losses.normal_loss(true, true, mask)) == pytest.approx(0)
    assert float(losses.normal_loss(-true, true, mask)) == pytest.approx(2)


def test_sign_change_entropy_counts_crossing_edges_only():
    sdf = torch.full((3, 3, 3), 2.0)
    assert float(losses.sign_change_entropy(sdf)) == 0
    sdf[1, 1, 1] = -1.0
    bce = nn.functional.binary_cross_entropy_with_logits
    one, zero = torch.tensor(1.0), torch.tensor(0.0)
    expected = float(bce(-one, one) + bce(2 * one, zero))  # six equal edges
    assert float(losses.sign_change_entropy(sdf)) == pytest.approx(expected, rel=1e-5)


def test_a_small_run_learns_and_its_export_loads_back(small_data, small_model, tmp_path):
    config = geometry(small_model, 50)
    torch.manual_seed(0)
    stage, source = GeometryStage(config), GeometrySource(small_data, config)
    samples = np.arange(4)

    def distance_loss() -> float:
        with torch.no_grad():
            return float(stage(source.batch(samples, np.random.default_rng(0)))["sdf"])

    before = distance_loss()
    stage.load_state_dict(train(stage, source, config.optimiser, config.loop, tmp_path / "run"))
    assert distance_loss() < 0.8 * before
    stage.export(tmp_path)
    read = read_config(tmp_path / "reconstruction" / "config.yaml", InstantMeshConfig)
    assert read == small_model
    other = InstantMesh(read)
    tensors = read_checkpoint(tmp_path / "reconstruction" / "model.safetensors")
    other.load_official({name: x.float() for name, x in tensors.items()})
    batch = source.batch(samples, np.random.default_rng(1))
    planes = stage.model(batch.images, batch.cameras)
    torch.testing.assert_close(other(batch.images, batch.cameras), planes, atol=2e-2, rtol=2e-2)
    further = GeometryStage(geometry(small_model, start=str(tmp_path)))
    torch.testing.assert_close(further.model(batch.images, batch.cameras), planes, atol=2e-2, rtol=2e-2)


def rendering(model: InstantMeshConfig) -> RenderingConfig:
    return RenderingConfig(
        stage="rendering",
        model=model,
        optimiser=optimiser(1),
        target_size_px=32,
        perceptual="image-gradients",
        **SETTINGS,
    )


def test_true_images_are_turned_with_their_objects(small_data, small_model):
    """A third of a turn of the object: the image is the one from a third less, its normals turned."""
    config = rendering(small_model).model_copy(update={"free_rotation_probability": 0.0})
    batch = RenderingSource(small_data, config).batch(np.arange(4), np.random.default_rng(0))
    assert batch.rendered.tolist() == sorted(set(batch.rendered.tolist()))
    for k, index in enumerate(batch.rendered.tolist()):
        truth, angle = batch.targets[k], batch.frames[index, 0]
        surface = ProceduralSurface(random_object(int(small_data.seeds[batch.rows[index]])))
        cos, sin = float(angle.cos()), float(angle.sin())
        turn = np.array([[cos, -sin, 0], [sin, cos, 0], [0, 0, 1]], np.float32)
        surface.vertices = surface.vertices @ turn.T
        seen = ObjectRenderer(surface).views(truth.cameras, 32)
        assert float((seen.mask - truth.mask).abs().mean()) < 2e-3
        assert float((seen.depth - truth.depth).abs().mean()) < 2e-2


def test_rendering_losses_reach_every_part_of_the_model(small_data, small_model):
    config = rendering(small_model)
    torch.manual_seed(0)
    stage = RenderingStage(config)
    batch = RenderingSource(small_data, config).batch(np.arange(2), np.random.default_rng(0))
    empty = stage(batch)
    for _ in range(40):  # until there is a surface to render
        stage.zero_grad()
        points = GeometryStage.forward(stage, batch)
        torch.stack(list(points.values())).sum().backward()
        with torch.no_grad():
            for p in stage.parameters():
                p -= 0.0 if p.grad is None else 3e-3 * p.grad.sign()
    stage.zero_grad()
    parts = stage(batch)
    assert parts.keys() == empty.keys()  # whether or not there was a surface
    without_points = [loss for name, loss in parts.items() if name not in ("sdf", "color", "slope", "hue")]
    torch.stack(without_points).sum().backward()
    model = stage.model
    for name, parameter in model.named_parameters():
        assert parameter.grad is not None, name
        assert bool(torch.isfinite(parameter.grad).all()), name
    last_layers = [f"head.net_{name}.6.weight" for name in ("sdf", "rgb", "deformation", "weight")]
    for name in (*last_layers, "encoder.patch_embedding.weight"):
        assert float(model.get_parameter(name).grad.abs().max()) > 0, name
