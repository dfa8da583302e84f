"""Views to mesh: a reconstruction model and the surface extraction that belongs to it."""

from collections.abc import Sequence
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from instantmesh.errors import InputError
from instantmesh.fitting.outline import OutlinedDensity, OutlinedSurface
from instantmesh.lrm.model import ReconstructionModel
from instantmesh.lrm.precision import lower_products
from instantmesh.render.turntable import RayRenderer
from instantmesh.structures import Cameras, Mesh, Views
from instantmesh.surface.extraction import SignedDistanceField
from instantmesh.systems import Field, Shape, system_of


class Reconstructor:
    """Views to a coloured mesh in the world frame, with a model of any system.

    Attributes:
        model: the network, on the device where the work is done.
        dtype: of the matrix products in encoder and transformer. Below float32 the model's weights are changed to it,
            see `lrm.precision`; fields and meshes are computed in float32 in any case.

    Example:
        >>> mesh = pipe.reconstructor(views, resolution=128)
    """

    def __init__(self, model: ReconstructionModel, dtype: torch.dtype = torch.float32) -> None:
        self.model: ReconstructionModel = model.eval()
        self.dtype: torch.dtype = dtype
        if dtype != torch.float32:
            lower_products(model, dtype)

    def compile(self, **options: Any) -> None:
        """Compile encoder and transformer. The first result for a number of views takes longer, by seconds to minutes.

        Args:
            options: of `torch.compile`.
        """
        for network in (self.model.encoder, self.model.transformer):
            network.compile(**options)

    @property
    def device(self) -> torch.device:
        """Where the work is done. The head is always there; encoder and transformer may be offloaded (`offloading`)."""
        return next(self.model.get_submodule("head").parameters()).device

    @property
    def networks(self) -> list[nn.Module]:
        """The large networks, which are called one after the other."""
        return [self.model.encoder, self.model.transformer]

    def move_small_modules(self, device: torch.device) -> None:
        """Put everything but `networks` on a device."""
        for part in self.model.children():
            if part not in self.networks:
                part.to(device)

    def encode(self, views: Views) -> Field:
        """The field that the views show. Images of any size are resized to the model's own.

        Raises:
            InputError: more views than the system takes.
            CameraError: cameras are missing, or given where the system uses none.
        """
        return self.encode_batch([views])[0]

    @torch.no_grad()
    def encode_batch(self, batch: Sequence[Views]) -> list[Field]:
        """The fields of several objects, each with as many views as the others, encoded together. Errors as above."""
        for views in batch:
            if self.model.single_view and len(views) != 1:
                raise InputError(f"{self.model.system} reconstructs from one view, got {len(views)}")
        dtype = next(self.model.parameters()).dtype
        conditioning = [self.model.camera_conditioning(views.cameras) for views in batch]
        given = [x.to(self.device, dtype) for x in conditioning if x is not None]
        images = torch.stack([self.model.resize(views.images.to(self.device, dtype)) for views in batch])
        with torch.autocast(self.device.type, self.dtype, enabled=self.dtype != torch.float32):
            planes = self.model(images, torch.stack(given) if given else None)
        return [self.model.field(x.float()) for x in planes]

    def outlined(self, field: Field, camera: Cameras, mask: Float[Tensor, "1 s s"]) -> Shape:
        """A field with the outline of the photo that a camera took, for `extract`; see `fitting.outline`.

        Args:
            field: what `encode` returned.
            camera: the one camera of the photo.
            mask: the photo's object, in [0, 1].
        """
        config, camera = self.model.config, camera.to(self.device)
        if isinstance(field, SignedDistanceField):
            return OutlinedSurface(field, camera, mask, config.grid_scale, config.depth_per_width)
        scale, threshold = config.grid_scale, config.density_threshold
        return OutlinedDensity(field, camera, mask, scale, threshold, config.depth_per_width)

    def extract(self, field: Shape, resolution: int | None = None) -> Mesh:
        """The mesh of a field, by FlexiCubes or marching cubes.

        Args:
            field: what `encode` or `outlined` returned.
            resolution: of the grid along each axis; the model's own by default.

        Raises:
            EmptySurfaceError: the field has no surface inside the grid.
        """
        config = self.model.config
        return system_of(config).extract(field, config, resolution or config.grid_resolution, self.device)

    def ray_renderer(self, field: Field, samples: int = 128) -> RayRenderer | None:
        """What renders rays of a field by volume rendering, as its system does; None for signed distances.

        Args:
            field: what `encode` returned.
            samples: along each ray.
        """
        return system_of(self.model.config).ray_renderer(field, self.model.config, samples)

    def __call__(self, views: Views, resolution: int | None = None) -> Mesh:
        """`encode`, then `extract`."""
        return self.extract(self.encode(views), resolution)
