"""Matrix products in half precision, and what stays in float32."""

import torch
from torch import nn

from instantmesh.lrm.model import ReconstructionModel


def lower_products(model: ReconstructionModel, dtype: torch.dtype) -> None:
    """Keep the weights of the encoder's and the transformer's linear layers and convolutions in `dtype`.

    Under `torch.autocast` of that type the model computes what it does with float32 weights, bit for bit, from half the
    memory. Norms, the sum that runs from block to block, and the heads keep float32.
    """
    for part in (model.encoder, model.transformer):
        for layer in part.modules():
            if isinstance(layer, nn.Linear | nn.Conv2d):
                layer.to(dtype)
