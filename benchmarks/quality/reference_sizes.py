"""Sizes in the references' configuration files as our configurations, for the parity checks."""

from typing import Any

from instantmesh.config import TriplaneConfig, ViTConfig


def dino(sizes: dict[str, Any], *, camera_modulation: bool) -> ViTConfig:
    """InstantMesh's and TripoSR's encoder."""
    return ViTConfig(
        hidden_size=sizes["hidden_size"],
        layers=sizes["num_hidden_layers"],
        heads=sizes["num_attention_heads"],
        mlp_size=sizes["intermediate_size"],
        patch_size=sizes["patch_size"],
        trained_grid=sizes["image_size"] // sizes["patch_size"],
        norm_eps=sizes["layer_norm_eps"],
        camera_modulation=camera_modulation,
    )


def lrm_triplane(sizes: dict[str, Any]) -> TriplaneConfig:
    """InstantMesh's and OpenLRM's triplane transformer."""
    return TriplaneConfig(
        dim=sizes["transformer_dim"],
        layers=sizes["transformer_layers"],
        heads=sizes["transformer_heads"],
        low_res=sizes["triplane_low_res"],
        channels=sizes["triplane_dim"],
    )
