"""How often extraction has to wait for a GPU, told on a CPU by the operations that need values there."""

from collections import Counter
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode

from instantmesh.config import TriplaneConfig, ViTConfig
from instantmesh.lrm.heads import SurfaceField
from instantmesh.surface.extraction import extract_flexicubes, grid_axis
from instantmesh.systems.instantmesh import InstantMesh, InstantMeshConfig

WAITING = {
    "aten::nonzero",
    "aten::_unique2",
    "aten::repeat_interleave",
    "aten::bincount",
    "aten::masked_select",
    "aten::_local_scalar_dense",
    "aten::is_nonzero",
    "aten::equal",
    "aten::lift_fresh",  # of constants, which are copied to the device
}


class Waits(TorchDispatchMode):
    """Counts operations whose results' sizes or values the host needs."""

    def __init__(self) -> None:
        super().__init__()
        self.counts: Counter[str] = Counter()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        name = func._schema.name
        if name in WAITING:
            self.counts[name] += 1
        return func(*args, **(kwargs or {}))


def test_extraction_waits_for_sizes_alone():
    torch.manual_seed(0)
    encoder = ViTConfig(hidden_size=12, layers=1, heads=1, mlp_size=12)
    triplane = TriplaneConfig(dim=16, layers=1, heads=1, low_res=4, channels=8)
    model = InstantMesh(InstantMeshConfig(representation="mesh", encoder=encoder, triplane=triplane))
    model.requires_grad_(False)
    field = model.field(torch.randn(3, 8, 8, 8))
    assert isinstance(field, SurfaceField)
    last = model.head.get_parameter("net_sdf.6.bias")
    last -= field.sdf_on_grid(grid_axis(16, 2.1)).median()
    extract_flexicubes(field, 16)  # makes the tables
    with Waits() as waits:
        surface = extract_flexicubes(field, 16)
    assert len(surface.faces) > 100
    # crossed cubes, their points, crossings, dual vertices, quads; besides, one look at the grid's extremes
    assert waits.counts == {"aten::nonzero": 3, "aten::_unique2": 1, "aten::repeat_interleave": 1}
