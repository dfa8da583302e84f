"""Weights that a reconstruction stage takes over from another model.

Stage 1 starts from OpenLRM's triplane transformer and DINO's vision transformer, stage 2 from stage 1: its signed
distance is stage 1's density, negated and moved, so that the surface is there before the first step.
"""

import logging
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor, nn

from instantmesh import hub
from instantmesh.errors import CheckpointError, MissingFileError
from instantmesh.lrm.heads import RadianceHead, SurfaceHead, raw_density
from instantmesh.lrm.official import dino_names, from_official, names_of_sizes, to_official
from instantmesh.pipeline.loading import find_reconstruction
from instantmesh.systems.instantmesh import InstantMesh, InstantMeshConfig
from instantmesh.systems.openlrm import OpenLRM

_log = logging.getLogger("instantmesh.training")

_FILES = ("reconstruction/model.safetensors", "model.safetensors")
_OPENLRM_MARK = "pos_embed"
_RADIANCE_MARK = "synthesizer.decoder.net.0.weight"
_NEW_IN_ENCODER = ("camera_embedding.", "ray_embedding.")
_MODULATION = ".modulation."
_OF_BLOCKS = re.compile(r"\.encoder\.layer\.|^transformer\.layers\.")
_LAST_IN_BRANCH = re.compile(r"\.output\.dense\.|\.out_proj\.|\.mlp\.3\.")  # of what a block adds to its input


@dataclass(frozen=True)
class Transfer:
    """Names of the model's tensors: what was taken over, and what keeps its random start."""

    taken: tuple[str, ...]
    new: tuple[str, ...]


def start_from(model: InstantMesh, start: str) -> None:
    """Fill a model from a checkpoint of its own kind, or a smaller one (`grown`).

    A radiance field also from an OpenLRM model (`take_openlrm`), a surface also from a radiance field
    (`take_radiance_field`).

    Raises:
        MissingFileError: there is no such file.
        CheckpointError: it doesn't fit.
    """
    tensors = checkpoint_tensors(start)
    config = model.config
    assert isinstance(config, InstantMeshConfig)
    if config.representation == "nerf" and _OPENLRM_MARK in tensors:
        transfer = take_openlrm(model, tensors)
        taken, new = len(transfer.taken), len(transfer.new)
        _log.info("%d tensors are OpenLRM's; %d start anew: %s", taken, new, _parts(transfer.new))
    elif config.representation == "mesh" and _RADIANCE_MARK in tensors:
        with torch.device("meta"):
            radiance = InstantMesh(config.model_copy(update={"representation": "nerf"}))
        _check(radiance, tensors, start)
        radiance.load_official(tensors)
        take_radiance_field(model, radiance)
    else:
        theirs, tensors = tensors, grown(model, tensors)
        if len(tensors) > len(theirs):
            new = tuple(name for name in tensors if name not in theirs)
            _log.info("%s has fewer blocks; %d tensors start anew: %s", start, len(new), _blocks(new))
        _check(model, tensors, start)
        model.load_state_dict(from_official(tensors, model.state_dict(), model.names))


def checkpoint_tensors(start: str) -> dict[str, Tensor]:
    """The tensors, in float32, of a checkpoint file, a model folder or finished run, or a model of `hub.MODELS`.

    Raises:
        MissingFileError: there is no such file.
        CheckpointError: it is damaged.
    """
    path = Path(start).expanduser()
    if not path.exists() and start in hub.MODELS:
        path = find_reconstruction(start).path
    if path.is_dir():
        path = next((path / name for name in _FILES if (path / name).is_file()), path / _FILES[0])
    if not path.is_file():
        raise MissingFileError(f"no checkpoint to start from: {path}")
    return {name: tensor.float() for name, tensor in hub.load_official(path).items()}


def take_openlrm(model: InstantMesh, official: Mapping[str, Tensor]) -> Transfer:
    """Copy an OpenLRM model's triplane transformer, and its upsampler and head where their shapes agree.

    What has no place is left out: its encoder, its cameras' modulation of the transformer, and its last blocks if
    the model has fewer. (OpenLRM's large models have the width of InstantMesh's.)

    Args:
        model: to fill in place.
        official: an OpenLRM checkpoint.

    Raises:
        CheckpointError: a tensor of the transformer is missing there or of another shape.
    """
    state = {name: tensor for name, tensor in model.state_dict().items() if not name.startswith("encoder.")}
    names = names_of_sizes(OpenLRM.official_names, *_widths(official))
    taken: dict[str, Tensor] = {}
    for part in ("transformer.", "upsampler.", "head."):
        ours = {name: tensor for name, tensor in state.items() if name.startswith(part)}
        expected = to_official(ours, names)
        if part == "transformer.":
            found = {name: tensor for name, tensor in official.items() if name in expected}
            hub.check_state_dict(found, {name: tuple(x.shape) for name, x in expected.items()})
        elif any(name not in official or official[name].shape != x.shape for name, x in expected.items()):
            continue
        taken |= from_official(official, ours, names)
    return _take(model, taken)


def _widths(official: Mapping[str, Tensor]) -> tuple[int, int]:
    """Of an OpenLRM checkpoint's transformer and of its encoder; (0, 1) where it has no such layers."""
    query = official.get("transformer.layers.0.self_attn.out_proj.weight")
    patches = official.get("encoder.model.cls_token")
    return (0, 1) if query is None or patches is None else (query.shape[0], patches.shape[-1])


def take_dino(model: InstantMesh, official: Mapping[str, Tensor]) -> Transfer:
    """Copy a DINO vision transformer (`facebook/dino-vitb16` in the Transformers library's layout) into the encoder.

    The cameras' embedding and modulation are new; the modulation starts at zero, so the encoder starts as DINO.

    Raises:
        CheckpointError: a tensor of the encoder is missing there or of another shape.
    """
    ours = {
        name: tensor
        for name, tensor in model.state_dict().items()
        if name.startswith("encoder.")
        and _MODULATION not in name
        and not name.removeprefix("encoder.").startswith(_NEW_IN_ENCODER)
    }
    expected = to_official(ours, dino_names(""))
    found = {name: tensor for name, tensor in official.items() if name in expected}
    hub.check_state_dict(found, {name: tuple(x.shape) for name, x in expected.items()})
    return _take(model, from_official(official, ours, dino_names("")))


@torch.no_grad()
def grown(model: InstantMesh, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """A smaller model's tensors, made to fit a model for larger images, or with more blocks.

    Position embeddings of patches are interpolated. The additional blocks of the encoder and of the triplane
    transformer come last, and begin by passing on what they get: what they would add is multiplied by zero.

    Args:
        model: with random weights; only its shapes and those of the additional blocks count.
        tensors: under their official names. What isn't smaller is left as it is, and checked by `start_from`.
    """
    result = dict(tensors)
    for name, ours in model.official_state().items():
        theirs = result.get(name)
        if theirs is None and _OF_BLOCKS.search(name):
            result[name] = torch.zeros_like(ours) if _LAST_IN_BRANCH.search(name) else ours.clone()
        elif theirs is not None and theirs.shape != ours.shape and name.endswith("position_embeddings"):
            result[name] = _interpolated_positions(theirs, ours.shape[1])
    return result


def _interpolated_positions(positions: Tensor, count: int) -> Tensor:
    """Position embeddings (1, 1 + n^2, d) of a CLS token and n x n patches for another number of patches."""
    side, wanted = int((positions.shape[1] - 1) ** 0.5), int((count - 1) ** 0.5)
    grid = positions[:, 1:].transpose(1, 2).unflatten(-1, (side, side))
    grid = torch.nn.functional.interpolate(grid, (wanted, wanted), mode="bicubic", align_corners=False)
    return torch.cat([positions[:, :1], grid.flatten(2).transpose(1, 2)], dim=1)


@torch.no_grad()
def take_radiance_field(model: InstantMesh, radiance: InstantMesh) -> None:
    """Copy stage 1's model into stage 2's, of the same sizes, whose head becomes that of `surface_from_density`."""
    assert isinstance(radiance.head, RadianceHead)
    assert isinstance(model.head, SurfaceHead)
    surface_from_density(model.head, radiance.head, model.config.density_threshold)
    shared = {name: x for name, x in radiance.state_dict().items() if not name.startswith("head.")}
    _take(model, shared)


@torch.no_grad()
def surface_from_density(surface: SurfaceHead, radiance: RadianceHead, threshold: float) -> None:
    """Make the signed distance zero just where the density is `threshold`, negative where it is larger.

    The signed distance is tau - (raw density): the density's net with its last layer negated, w = -w_d and
    b = tau - b_d. The threshold is one of the density softplus(raw - 1), as marching cubes uses it, so tau is the raw
    number that stands for it: 10.99995 for 10. With tau = 10 the surface would be that of the density 9.0001. Colours
    are the same net's colour rows. Deformation and cube weights stay as they are.
    """
    net = radiance.net
    for head in (surface.net_sdf, surface.net_rgb):
        for ours, theirs in zip(list(head)[:-1], list(net)[:-1], strict=True):
            ours.load_state_dict(theirs.state_dict())
    last, sdf, rgb = net[-1], surface.net_sdf[-1], surface.net_rgb[-1]
    assert isinstance(last, nn.Linear)
    assert isinstance(sdf, nn.Linear)
    assert isinstance(rgb, nn.Linear)
    sdf.weight.copy_(-last.weight[:1])
    sdf.bias.copy_(raw_density(threshold) - last.bias[:1])
    rgb.weight.copy_(last.weight[1:])
    rgb.bias.copy_(last.bias[1:])


def _take(model: InstantMesh, values: Mapping[str, Tensor]) -> Transfer:
    model.load_state_dict(dict(values), strict=False)
    return Transfer(tuple(values), tuple(name for name in model.state_dict() if name not in values))


def _check(model: InstantMesh, tensors: Mapping[str, Tensor], start: str) -> None:
    try:
        hub.check_state_dict(tensors, {name: tuple(x.shape) for name, x in model.official_state().items()})
    except CheckpointError as error:
        raise CheckpointError(f"can't start from {start}: {error}") from error


def _blocks(names: tuple[str, ...]) -> str:
    """The blocks of tensors, in order."""
    found = (re.search(r"\w+\.layers?\.\d+", name) for name in names)
    return ", ".join(dict.fromkeys(match[0] for match in found if match))


def _parts(names: tuple[str, ...]) -> str:
    """The modules of tensors, two levels deep."""
    return ", ".join(sorted({".".join(name.split(".")[:2]) for name in names}))
