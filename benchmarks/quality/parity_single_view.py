"""TripoSR and OpenLRM against reference numbers of their released code, for parity.py."""

import json
from collections.abc import Iterator
from itertools import product
from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import Tensor
from torch.nn.functional import normalize

from benchmarks.quality.reference_sizes import dino, lrm_triplane
from instantmesh.cameras import intrinsics_from_fov, rays, spherical_cameras
from instantmesh.config import TriplaneConfig, ViTConfig
from instantmesh.lrm.heads import RadianceField
from instantmesh.lrm.model import ReconstructionModel
from instantmesh.render.even_volume import render_rays_evenly
from instantmesh.systems.openlrm import OpenLRM, OpenLRMConfig
from instantmesh.systems.triposr import TripoSR, TripoSRConfig

ELEVATION_DEG, DISTANCE, FOV_DEG = 10.0, 1.9, 40.0  # of the references' images

Comparison = tuple[str, Tensor, Tensor]
"""name, our values, the reference's"""


def _fill(model: ReconstructionModel, path: Path) -> None:
    """Take the weights over; every name must be known."""
    weights = load_file(path)
    used = {name: x for name, x in weights.items() if not name.startswith(model.unused_official)}
    if set(used) != set(model.official_state()):
        raise SystemExit(f"{path} doesn't have the expected names")
    model.load_official(used)
    model.eval()


def triposr_model(folder: Path) -> TripoSR:
    """The small TripoSR whose sizes `triposr_tiny.config.json` gives."""
    sizes = json.loads((folder / "triposr_tiny.config.json").read_text())
    config = sizes["cfg"]
    backbone, decoder, renderer = config["backbone"], config["decoder"], config["renderer"]
    model = TripoSR(
        TripoSRConfig(
            image_size_px=config["cond_image_size"],
            encoder=dino(sizes["dino"], camera_modulation=False),
            triplane=TriplaneConfig(
                dim=backbone["in_channels"],
                layers=backbone["num_layers"],
                heads=backbone["num_attention_heads"],
                low_res=config["tokenizer"]["plane_size"],
                channels=config["post_processor"]["out_channels"],
            ),
            head_hidden=decoder["n_neurons"],
            head_layers=decoder["n_hidden_layers"],
            density_bias=renderer["density_bias"],
            samples_per_ray=renderer["num_samples_per_ray"],
            grid_scale=2 * renderer["radius"],
        )
    )
    _fill(model, folder / "triposr_tiny.weights.safetensors")
    return model


@torch.no_grad()
def triposr(folder: Path) -> Iterator[Comparison]:
    """Planes of an image of another size, the field, and images of it."""
    model, expected = triposr_model(folder), load_file(folder / "triposr_tiny.expected.safetensors")
    image = expected["image"].permute(2, 0, 1)[None].float() / 255
    yield "scene_codes", model(model.resize(image)[None]), expected["scene_codes"]
    field = model.field(expected["scene_codes"][0])
    color, density = field.radiance(expected["query_points"])
    yield "query_color", color, expected["query_color"]
    yield "query_density (relative)", density / expected["query_density_act"], torch.ones_like(density)
    for index, image in enumerate(expected["render_rgb"]):
        yield f"render_rgb[{index}]", _closest_image(model, field, expected["render_rgb"], index), image


def _closest_image(model: TripoSR, field: RadianceField, images: Tensor, index: int) -> Tensor:
    """Our image from the reference's camera.

    With exactly three views the released code's cameras are degenerate: its cross products run over the views instead
    of the coordinates, and "right" and "up" are left as rounding noise along z, normalised: each 0, z or -z. Which is
    found by trying.
    """
    n, height, width, _ = images.shape

    def render(origins: Tensor, directions: Tensor) -> Tensor:
        half_side = model.config.grid_scale / 2
        seen = render_rays_evenly(field.radiance, origins, directions, model.config.samples_per_ray, half_side)
        return seen.color.reshape(height, width, 3)

    cameras = spherical_cameras([360.0 * index / n], [ELEVATION_DEG], DISTANCE, FOV_DEG)
    if n != 3:
        origins, directions = rays(cameras, height, width)
        return render(origins[0], directions[0])
    position, forward = cameras.camera_to_world[0, :3, 3], -cameras.camera_to_world[0, :3, 2]
    focal = float(intrinsics_from_fov(FOV_DEG, 1)[0, 0, 0])
    x, y = (((torch.arange(side) + 0.5) / side - 0.5) / focal for side in (width, height))
    vertical = torch.tensor([0.0, 0.0, 1.0])
    tries = []
    for right, up in product((-1, 0, 1), repeat=2):
        along_z = right * x[None, :] - up * y[:, None]
        directions = normalize(forward + along_z.reshape(-1, 1) * vertical, dim=-1)
        tries.append(render(position.expand_as(directions), directions))
    return min(tries, key=lambda ours: float((ours - images[index]).abs().max()))


def openlrm_model(folder: Path) -> OpenLRM:
    """The small OpenLRM whose sizes `openlrm_tiny.config.json` gives."""
    sizes = json.loads((folder / "openlrm_tiny.config.json").read_text())
    config, vit = sizes["cfg"], sizes["dinov2"]
    model = OpenLRM(
        OpenLRMConfig(
            image_size_px=load_file(folder / "openlrm_tiny.expected.safetensors")["image"].shape[-1],
            encoder=ViTConfig(
                hidden_size=vit["embed_dim"],
                layers=vit["depth"],
                heads=vit["num_heads"],
                mlp_size=vit["mlp_ratio"] * vit["embed_dim"],
                patch_size=vit["patch_size"],
                trained_grid=vit["img_size"] // vit["patch_size"],
                norm_eps=1e-6,
                imagenet_normalised=False,
                position_resizing="dinov2",
                register_tokens=vit["num_register_tokens"],
                layer_scale=True,
                camera_modulation=False,
            ),
            triplane=lrm_triplane(config),
            camera_size=config["camera_embed_dim"],
            samples_per_ray=config["rendering_samples_per_ray"],
        )
    )
    _fill(model, folder / "openlrm_tiny.weights.safetensors")
    return model


@torch.no_grad()
def openlrm(folder: Path) -> Iterator[Comparison]:
    """Tokens, planes, and the field, whose frame is the world's and not the reference's."""
    model, expected = openlrm_model(folder), load_file(folder / "openlrm_tiny.expected.safetensors")
    images = expected["image"].float()[:, None] / 255
    yield "tokens", model.encoder(images), expected["tokens"]
    yield "planes", model(images, expected["camera"][:, None]), expected["planes"]
    for planes, points, rgb, sigma in zip(
        expected["planes"], expected["query_points"], expected["query_rgb"], expected["query_sigma"], strict=True
    ):
        x, y, z = points.unbind(-1)
        color, density = model.field(planes).radiance(torch.stack([-y, x, z], dim=-1))
        yield "query_rgb", color, rgb
        yield "query_sigma", density, sigma
