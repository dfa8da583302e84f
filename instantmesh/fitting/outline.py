"""A field given the outline of its photo, before its surface is extracted.

A reconstruction from a photo is a guess, but the outline in the photo isn't: along a ray beside it there is nothing,
and every ray inside it meets the object somewhere. So seen from the photo's camera,
    beside the outline      the signed distance is at least the distance to the outline's cone (which every point of the
                            object keeps from there);
    inside it               a ray on which the field is nowhere inside is moved in as a whole, until its deepest point
                            is; and a thin sheet passes through the middles of all rays, so that
                            neighbouring rays hang together. Where the middle of a ray lies, the field says;
    along the rays          things are about as deep as they are wide (Igarashi et al., "Teddy", 1999): a part of the
                            outline that a disc of radius r fits into has a round cross-section with that radius, and
                            reaches to either side of the rays' middles `depth_per_width` times as far at most. Only for
                            models that need it: a bus seen from the front is deeper than that.

How much of this is right was measured (docs/benchmarks.md): carving alone changes little, filling without the sheet
leaves gaps and ragged edges, a sheet alone is thinner than objects are, and moving rays in much further than needed
makes slabs. Small models make slabs of their own, which the bound on depth cuts off.

A density is treated as a signed distance of `-_FOLDING log(density / threshold)`.

Symbols: s rays a side, p points; lengths in world units.
"""

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn.functional import grid_sample, interpolate

from instantmesh.cameras import pixel_centres, project, rays
from instantmesh.errors import InputError
from instantmesh.structures import Cameras
from instantmesh.surface.extraction import SignedDistanceField, grid_axis
from instantmesh.surface.marching_cubes import DensityField

_GRID, _RAYS = 64, 96  # cubes a side that the field is first looked at on, and rays a side that are followed
_INSIDE = 0.02  # how far inside a ray's deepest point has to be, in terms of the way from there to the outline
_FARTHEST_MOVE = 0.3  # that a ray is moved in
_LEAST_DEPTH = 0.02  # to either side of the middle, that is always allowed
_WIDTHS = 128  # side of the image that widths are measured in
_INSIDE_WIDTH = 0.02  # signed distance over which a point counts as inside or not
_HALF_SHEET, _HALF_RIM = 0.05, 0.02  # half the sheet's thickness, and that at the outline, where grids would lose it
_SMOOTHING_RAYS = 5.0  # standard deviation, of the sheet's depth
_CERTAIN = 0.03  # fall of a ray's weight for the sheet with the signed distance of its deepest point
_FOLDING = 0.05  # world units in which a density falls to 1/e
_NOTHING = 9.0  # a signed distance beyond all others


class OutlinedSurface:
    """A field of signed distances with the outline of a photo; colours and the rest are the field's.

    Args:
        field: the guess.
        camera: the one that took the photo.
        mask: (1, s, s) of the photo's object, in [0, 1].
        grid_scale: side of the cube that the object lies in.
        depth_per_width: bound on the depth of cross-sections, see above; None sets none.

    Raises:
        InputError: not one camera, or the mask isn't square or empty.

    Example:
        >>> surface = extract_flexicubes(OutlinedSurface(field, result.photo_camera.camera, photo.mask, 2.1))
    """

    def __init__(
        self,
        field: SignedDistanceField,
        camera: Cameras,
        mask: Float[Tensor, "1 s s"],
        grid_scale: float,
        depth_per_width: float | None = None,
    ) -> None:
        self._field = field
        axis = grid_axis(_GRID, grid_scale, camera.camera_to_world.device)
        self._outline = _Outline.of(camera, mask, field.sdf_on_grid(axis), grid_scale, depth_per_width)

    def sdf_on_grid(self, axis: Float[Tensor, " n"]) -> Float[Tensor, "n n n"]:
        """Signed distance, negative inside, on axis x axis x axis."""
        return self._outline.impose(self._field.sdf_on_grid(axis), axis, axis, axis)

    def deformation(self, points: Float[Tensor, "p 3"]) -> Float[Tensor, "p 3"]:
        """The field's own."""
        return self._field.deformation(points)

    def cube_weights(self, points: Float[Tensor, "p 3"], corners: Int[Tensor, "c 8"]) -> Float[Tensor, "c 21"]:
        """The field's own."""
        return self._field.cube_weights(points, corners)

    def colors(self, points: Float[Tensor, "p 3"]) -> Float[Tensor, "p 3"]:
        """The field's own."""
        return self._field.colors(points)


class OutlinedDensity:
    """A radiance field with the outline of a photo; colours are the field's.

    Args:
        field: the guess.
        camera: the one that took the photo.
        mask: (1, s, s) of the photo's object, in [0, 1].
        grid_scale: side of the cube that the object lies in.
        threshold: density at the surface.
        depth_per_width: bound on the depth of cross-sections, see above; None sets none.

    Raises:
        InputError: not one camera, or the mask isn't square or empty.
    """

    def __init__(
        self,
        field: DensityField,
        camera: Cameras,
        mask: Float[Tensor, "1 s s"],
        grid_scale: float,
        threshold: float,
        depth_per_width: float | None = None,
    ) -> None:
        self._field, self._threshold = field, threshold
        axis = grid_axis(_GRID, grid_scale, camera.camera_to_world.device)
        distance = self._as_distance(field.density_on_grid(axis, axis, axis))
        self._outline = _Outline.of(camera, mask, distance, grid_scale, depth_per_width)

    def density_on_grid(
        self, x: Float[Tensor, " nx"], y: Float[Tensor, " ny"], z: Float[Tensor, " nz"]
    ) -> Float[Tensor, "nx ny nz"]:
        """Density on the grid x x y x z, indexed [x, y, z]."""
        distance = self._outline.impose(self._as_distance(self._field.density_on_grid(x, y, z)), x, y, z)
        return self._threshold * torch.exp(-distance / _FOLDING)

    def colors(self, points: Float[Tensor, "p 3"]) -> Float[Tensor, "p 3"]:
        """The field's own."""
        return self._field.colors(points)

    def _as_distance(self, density: Tensor) -> Tensor:
        return (-_FOLDING * (density.clamp(min=1e-30) / self._threshold).log()).clamp(max=_NOTHING)


@dataclass(frozen=True, eq=False)
class _Outline:
    """An outline, and what a field has along the rays inside it.

    Attributes:
        camera: the one that took the photo.
        maps: (4, s, s) way to the outline in shares of the image's side, negative beside it; radius there of the
            largest disc inside it, in the same unit; the signed distance of each ray's deepest point; the depth of its
            middle.
        depth_per_width: bound on the depth of cross-sections, or None.
    """

    camera: Cameras
    maps: Float[Tensor, "4 s s"]
    depth_per_width: float | None

    @classmethod
    def of(
        cls,
        camera: Cameras,
        mask: Tensor,
        grid: Float[Tensor, "n n n"],
        grid_scale: float,
        depth_per_width: float | None,
    ) -> "_Outline":
        if len(camera) != 1:
            raise InputError(f"a photo has one camera, got {len(camera)}")
        if mask.ndim != 3 or mask.shape[1] != mask.shape[2] or not bool((mask > 0.5).any()):
            raise InputError(f"a photo's mask must be (1, s, s) and not empty, got {tuple(mask.shape)}")
        camera = camera.to(grid.device)
        way = _way_to_outline(mask).to(grid)
        deepest, middle = _along_rays(grid, camera, grid_scale / 2)
        centres = pixel_centres(_RAYS, _RAYS).to(grid)[None]
        way_of_rays = _read(way[None], centres.flatten(1, 2)[0])[0].view(_RAYS, _RAYS)
        middle = _smoothed(middle, torch.exp(-deepest.clamp(min=-_HALF_SHEET) / _CERTAIN) * (way_of_rays > -0.02))
        maps = [_width(mask).to(grid), deepest, middle]
        larger = [interpolate(x[None, None], way.shape, mode="bilinear", align_corners=False)[0, 0] for x in maps]
        return cls(camera, torch.stack([way, *larger]), depth_per_width)

    def impose(self, distance: Float[Tensor, "nx ny nz"], x: Tensor, y: Tensor, z: Tensor) -> Float[Tensor, "nx ny nz"]:
        """A field's signed distances on the grid x x y x z, with the outline."""
        slabs = []
        for at, values in zip(x, distance, strict=True):  # one after the other, so that memory stays small
            points = torch.cartesian_prod(at[None], y, z)
            slabs.append(self._impose(values.flatten(), points).view_as(values))
        return torch.stack(slabs)

    def _impose(self, distance: Float[Tensor, " p"], points: Float[Tensor, "p 3"]) -> Float[Tensor, " p"]:
        uv, depth = (tensor[0] for tensor in project(points, self.camera))
        way, width, deepest, middle = _read(self.maps, uv)
        per_share = depth / self.camera.intrinsics[0, 1, 1]
        way, width = way * per_share, width * per_share
        off_middle = (depth - middle).abs()
        missing = deepest + _INSIDE * way  # by which the ray's deepest point isn't inside
        filled = distance - missing.clamp(0, _FARTHEST_MOVE)
        if self.depth_per_width is not None:
            round_depth = (way * (2 * width - way)).clamp(min=0).sqrt()
            filled = torch.maximum(filled, off_middle - self.depth_per_width * round_depth - _LEAST_DEPTH)
        inside = torch.minimum(filled, off_middle - (way + _HALF_RIM).clamp(max=_HALF_SHEET))
        return torch.where(way > 0, inside, torch.maximum(distance, -way))


def _way_to_outline(mask: Float[Tensor, "1 s s"]) -> Float[Tensor, "s s"]:
    """From each pixel's centre, in shares of the side; negative beside the object."""
    from scipy.ndimage import distance_transform_edt

    inside = np.asarray(mask[0].detach().cpu() > 0.5)
    padded = np.pad(inside, 1)  # what reaches the image's edge ends there
    way = np.asarray(distance_transform_edt(padded)) - np.asarray(distance_transform_edt(~padded))
    way = way[1:-1, 1:-1]
    return torch.from_numpy((way - 0.5 * np.sign(way)) / len(inside)).float()


def _width(mask: Float[Tensor, "1 s s"]) -> Float[Tensor, "w w"]:
    """Radius of the largest disc inside the outline that covers each place, in shares of the side."""
    from scipy.ndimage import distance_transform_edt, gaussian_filter

    small = interpolate(mask[None].float().cpu(), (_WIDTHS, _WIDTHS), mode="area")[0, 0].numpy()
    inside = small > min(0.5, float(small.max()) / 2)  # thin parts at this size, too
    way = np.asarray(distance_transform_edt(np.pad(inside, 1)))[1:-1, 1:-1]
    radius = way.copy()
    for r in range(1, int(way.max()) + 1):
        covered = np.asarray(distance_transform_edt(way < r)) < r + 0.5
        radius[covered & inside] = np.maximum(radius[covered & inside], r)
    around = np.asarray(gaussian_filter(radius * inside, 2.0)) / np.maximum(gaussian_filter(inside * 1.0, 2.0), 1e-6)
    return torch.from_numpy(np.where(inside, np.maximum(around, way / 2), around) / _WIDTHS).float()


def _along_rays(
    grid: Float[Tensor, "n n n"], camera: Cameras, half_side: float
) -> tuple[Float[Tensor, "s s"], Float[Tensor, "s s"]]:
    """The least value of the grid along each ray, and the mean depth of what is inside, or is nearest to it."""
    origins, directions = (tensor[0] for tensor in rays(camera, _RAYS, _RAYS))
    forward = -camera.camera_to_world[0, :3, 2]
    per_depth = directions / (directions @ forward)[:, None]
    centre = -float(camera.camera_to_world[0, :3, 3] @ forward)
    reach = half_side * 3**0.5
    deepest = torch.full((len(origins),), _NOTHING, device=grid.device)
    weight, total = torch.full_like(deepest, 1e-20), torch.full_like(deepest, 1e-20 * centre)
    volume = grid[None, None]
    for depth in torch.linspace(centre - reach, centre + reach, 2 * len(grid)).tolist():
        place = (origins + depth * per_depth) / half_side
        value = grid_sample(volume, place.flip(-1)[None, None, None], align_corners=True)[0, 0, 0, 0]
        value = torch.where((place.abs() <= 1).all(1), value, _NOTHING)
        deepest = torch.minimum(deepest, value)
        inside = torch.sigmoid(-value / _INSIDE_WIDTH)
        weight, total = weight + inside, total + depth * inside
    return deepest.view(_RAYS, _RAYS), (total / weight).view(_RAYS, _RAYS)


def _smoothed(values: Float[Tensor, "s s"], weights: Float[Tensor, "s s"]) -> Float[Tensor, "s s"]:
    """Means around every place; the values themselves where no weight is near."""
    from scipy.ndimage import gaussian_filter

    total, weight = (
        torch.from_numpy(np.asarray(gaussian_filter(x.double().cpu().numpy(), _SMOOTHING_RAYS))).to(values)
        for x in (values * weights, weights)
    )
    return torch.where(weight > 1e-6, total / weight.clamp(min=1e-9), values)


def _read(maps: Float[Tensor, "c s s"], uv: Float[Tensor, "p 2"]) -> Float[Tensor, "c p"]:
    """Bilinear values at normalised pixel coordinates; beyond the image, those of its edge."""
    return grid_sample(maps[None], (2 * uv - 1)[None, None], padding_mode="border", align_corners=False)[0, :, 0]
