"""Tensor names: ours, and those of the systems' official checkpoints.

A table lists (pattern of our name, the official name) pairs; the first pattern that matches a name's start renames it,
and names that match nothing are the same in both. Tensors that the official layout keeps in one (query, key, value)
have one official name between them.
"""

import re
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

Names = Sequence[tuple[str, str]]

LRM_TRANSFORMER_NAMES: Names = (
    (r"transformer\.blocks\.(\d+)\.cross_attention\.out\.", r"transformer.layers.\1.cross_attn.out_proj."),
    (r"transformer\.blocks\.(\d+)\.cross_attention\.([qkv])\w+\.", r"transformer.layers.\1.cross_attn.\2_proj_"),
    (r"transformer\.blocks\.(\d+)\.self_attention\.out\.", r"transformer.layers.\1.self_attn.out_proj."),
    (r"transformer\.blocks\.(\d+)\.self_attention\.[qkv]\w+\.", r"transformer.layers.\1.self_attn.in_proj_"),
    (r"transformer\.blocks\.(\d+)\.mlp\.2\.", r"transformer.layers.\1.mlp.3."),
    (r"transformer\.blocks\.", r"transformer.layers."),
)


def names_of_sizes(names: Names, dim: int, context_dim: int) -> Names:
    """The table for a transformer of width `dim` that looks at tokens of width `context_dim`.

    `torch.nn.MultiheadAttention` keeps query, key and value in one tensor where all of them have one width, as in
    OpenLRM's base models, and in three otherwise.
    """
    if dim != context_dim:
        return names
    return tuple((ours, theirs.replace(r"cross_attn.\2_proj_", "cross_attn.in_proj_")) for ours, theirs in names)


def dino_names(prefix: str) -> Names:
    """Names of an encoder that is the Transformers library's ViT under `prefix`."""
    layer = prefix + r"encoder.layer.\1."
    return (
        (r"encoder\.cls_token", prefix + "embeddings.cls_token"),
        (r"encoder\.position_embedding", prefix + "embeddings.position_embeddings"),
        (r"encoder\.patch_embedding\.", prefix + "embeddings.patch_embeddings.projection."),
        (r"encoder\.norm\.", prefix + "layernorm."),
        (r"encoder\.blocks\.(\d+)\.attention\.out\.", layer + "attention.output.dense."),
        (r"encoder\.blocks\.(\d+)\.attention\.(\w+)\.", layer + r"attention.attention.\2."),
        (r"encoder\.blocks\.(\d+)\.norm1\.", layer + "layernorm_before."),
        (r"encoder\.blocks\.(\d+)\.norm2\.", layer + "layernorm_after."),
        (r"encoder\.blocks\.(\d+)\.mlp\.0\.", layer + "intermediate.dense."),
        (r"encoder\.blocks\.(\d+)\.mlp\.2\.", layer + "output.dense."),
    )


def official_name(name: str, names: Names) -> str:
    """The official name of the tensor our model calls `name`."""
    for pattern, replacement in names:
        new, count = re.subn("^" + pattern, replacement, name)
        if count:
            return new
    return name


def to_official(state: Mapping[str, Tensor], names: Names) -> dict[str, Tensor]:
    """Our state dict under the official names; tensors that the official layout keeps in one are joined."""
    groups = _official_groups(state, names)
    return {name: torch.cat(parts) if len(parts) > 1 else parts[0] for name, parts in groups.items()}


def official_shapes(state: Mapping[str, Tensor], names: Names) -> dict[str, tuple[int, ...]]:
    """The shapes of `to_official`'s tensors.

    Nothing is joined: on the meta device torch would import its compiler for that, for several seconds.
    """
    groups = _official_groups(state, names)
    return {name: (sum(len(x) for x in parts), *parts[0].shape[1:]) for name, parts in groups.items()}


def _official_groups(state: Mapping[str, Tensor], names: Names) -> dict[str, list[Tensor]]:
    groups: dict[str, list[Tensor]] = {}
    for name, tensor in state.items():  # state dicts list query, key, value in this order
        groups.setdefault(official_name(name, names), []).append(tensor)
    return groups


def from_official(official: Mapping[str, Tensor], state: Mapping[str, Tensor], names: Names) -> dict[str, Tensor]:
    """Values under the names of `state`, whose shapes tell what belongs where, from a dict with the official names."""
    values, used = {}, dict.fromkeys(official, 0)
    for name, tensor in state.items():
        source = official_name(name, names)
        start = used[source]
        values[name] = official[source][start : start + tensor.shape[0]]
        used[source] = start + tensor.shape[0]
    return values
