"""From the systems' own configuration files to ours."""

from os import PathLike
from typing import Any

from instantmesh.config import OpenLRMConfig, TripoSRConfig, ViTConfig, parse_config, read_mapping
from instantmesh.errors import ConfigError

_DINO = {"facebook/dino-vitb16": ViTConfig(camera_modulation=False)}


def _dinov2(hidden_size: int, heads: int) -> ViTConfig:
    return ViTConfig(
        hidden_size=hidden_size,
        heads=heads,
        mlp_size=4 * hidden_size,
        patch_size=14,
        trained_grid=37,
        norm_eps=1e-6,
        imagenet_normalised=False,
        position_resizing="dinov2",
        register_tokens=4,
        layer_scale=True,
        camera_modulation=False,
    )


_DINOV2 = {"dinov2_vits14_reg": _dinov2(384, 6), "dinov2_vitb14_reg": _dinov2(768, 12)}
_OPENLRM_IMAGE_SIZE_PX = {512: 224, 768: 336, 1024: 448}
"""By the transformer's width, which tells small, base and large apart; the files don't say."""


def triposr_config(path: str | PathLike[str]) -> TripoSRConfig:
    """Read TripoSR's `config.yaml`.

    Raises:
        ConfigError: unreadable, a setting is missing, or has a value that isn't known here.
    """
    values = read_mapping(path)
    backbone, decoder, renderer = (_entry(values, key, path, dict) for key in ("backbone", "decoder", "renderer"))
    tokenizer, upsampler, pictures = (
        _entry(values, key, path, dict) for key in ("tokenizer", "post_processor", "image_tokenizer")
    )
    for owner, key, known in ((decoder, "activation", "silu"), (renderer, "density_activation", "exp")):
        if _entry(owner, key, path, str) != known:
            raise ConfigError(f"{path}: {key} is {owner[key]!r}, and only {known!r} is known")
    ours = {
        "image_size_px": _entry(values, "cond_image_size", path),
        "encoder": _known(_DINO, pictures, "pretrained_model_name_or_path", path),
        "triplane": {
            "dim": _entry(backbone, "in_channels", path),
            "layers": _entry(backbone, "num_layers", path),
            "heads": _entry(backbone, "num_attention_heads", path),
            "low_res": _entry(tokenizer, "plane_size", path),
            "channels": _entry(upsampler, "out_channels", path),
        },
        "head_hidden": _entry(decoder, "n_neurons", path),
        "head_layers": _entry(decoder, "n_hidden_layers", path),
        "density_bias": _entry(renderer, "density_bias", path, float),
        "samples_per_ray": _entry(renderer, "num_samples_per_ray", path),
        "grid_scale": 2 * _entry(renderer, "radius", path, float),
    }
    return parse_config(ours, TripoSRConfig, source=str(path))


def openlrm_config(path: str | PathLike[str]) -> OpenLRMConfig:
    """Read OpenLRM's `config.json`. Errors as in `triposr_config`."""
    values = read_mapping(path)
    ours = {
        "image_size_px": _known(_OPENLRM_IMAGE_SIZE_PX, values, "transformer_dim", path),
        "encoder": _known(_DINOV2, values, "encoder_model_name", path),
        "triplane": {
            "dim": _entry(values, "transformer_dim", path),
            "layers": _entry(values, "transformer_layers", path),
            "heads": _entry(values, "transformer_heads", path),
            "low_res": _entry(values, "triplane_low_res", path),
            "channels": _entry(values, "triplane_dim", path),
        },
        "camera_size": _entry(values, "camera_embed_dim", path),
        "samples_per_ray": _entry(values, "rendering_samples_per_ray", path),
    }
    return parse_config(ours, OpenLRMConfig, source=str(path))


def _entry(values: dict[str, Any], key: str, path: str | PathLike[str], kind: type = int) -> Any:
    """A setting of this kind."""
    value = values.get(key)
    if not isinstance(value, (int, float) if kind is float else kind):
        raise ConfigError(f"{path}: {key} must be of type {kind.__name__}, found {value!r}")
    return value


def _known(table: dict[Any, Any], values: dict[str, Any], key: str, path: str | PathLike[str]) -> Any:
    """What a setting's value stands for."""
    if values.get(key) not in table:
        raise ConfigError(f"{path}: {key} is {values.get(key)!r}; known are {', '.join(map(str, table))}")
    return table[values[key]]
