"""Views to mesh: the reconstruction model and the surface extraction that belongs to it."""

import torch
from torch.nn.functional import interpolate

from instantmesh.cameras import camera_vector
from instantmesh.lrm.heads import RadianceField, SurfaceField
from instantmesh.lrm.instantmesh import InstantMesh
from instantmesh.structures import Mesh, Views
from instantmesh.surface.extraction import extract_flexicubes
from instantmesh.surface.marching_cubes import extract_isosurface


class SparseViewReconstructor:
    """Any number of posed views to a coloured mesh, with a model of the InstantMesh family.

    Attributes:
        model: the network, on the device where the work is done.
    """

    def __init__(self, model: InstantMesh) -> None:
        self.model = model.eval()

    @property
    def device(self) -> torch.device:
        """Where the model's weights are."""
        return next(self.model.parameters()).device

    @torch.no_grad()
    def encode(self, views: Views) -> SurfaceField | RadianceField:
        """The field that the views show. Pictures of any size are resized to the model's own."""
        size_px = self.model.config.image_size_px
        dtype = next(self.model.parameters()).dtype
        images = views.images.to(self.device, dtype)
        if images.shape[-2:] != (size_px, size_px):
            images = interpolate(images, (size_px, size_px), mode="bicubic", antialias=True).clamp(0, 1)
        cameras = camera_vector(views.cameras).to(self.device, dtype)
        return self.model.field(self.model(images[None], cameras[None])[0].float())

    def extract(self, field: SurfaceField | RadianceField, resolution: int | None = None) -> Mesh:
        """The mesh of a field, by FlexiCubes or marching cubes.

        Args:
            field: what `encode` returned.
            resolution: of the grid along each axis; the model's own by default.

        Raises:
            EmptySurfaceError: the field has no surface inside the grid.
        """
        config = self.model.config
        resolution = resolution or config.grid_resolution
        if isinstance(field, SurfaceField):
            surface = extract_flexicubes(field, resolution, config.grid_scale, device=self.device)
            return Mesh(surface.vertices, surface.faces, surface.colors)
        return extract_isosurface(
            field.density_on_grid,
            field.colors,
            resolution,
            config.grid_scale / 2,
            config.density_threshold,
            device=self.device,
        )

    def __call__(self, views: Views, resolution: int | None = None) -> Mesh:
        """`encode`, then `extract`."""
        return self.extract(self.encode(views), resolution)
