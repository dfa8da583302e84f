"""A film of an object that turns once, from a mesh or from a radiance field."""

from collections.abc import Callable
from os import PathLike
from pathlib import Path

import torch
from jaxtyping import Float
from torch import Tensor

from instantmesh.cameras import crop_cameras, orbit_cameras, project, rays
from instantmesh.errors import InputError
from instantmesh.files.video import VideoFrame, check_video, write_video
from instantmesh.geometry.bounds import to_unit_sphere
from instantmesh.render.shading import render_shaded
from instantmesh.render.volume import RayValues
from instantmesh.structures import Cameras, Mesh

RayRenderer = Callable[[Tensor, Tensor], RayValues]
"""origins (p, 3) and unit directions (p, 3) of rays -> what they see"""


def turntable(
    shown: Mesh | RayRenderer | None,
    path: str | PathLike[str],
    *,
    frames: int = 120,
    size_px: int = 512,
    fps: int = 30,
    elevation_deg: float = 20.0,
    device: torch.device | str = "cpu",
    callback: Callable[[int, int], None] | None = None,
    overwrite: bool = True,
) -> Path:
    """Film an object from a camera that goes around it once; the film loops.

    Args:
        shown: a mesh, centred and scaled to fill the image, in its own colours and a soft light; or a radiance field
            by volume rendering, `Result.ray_renderer`, as it stands in [-1, 1]^3 (slow without a GPU). None, which is
            what systems with signed distances have there, is refused.
        path: .mp4 (H.264), .webm (VP9; both need PyAV) or .gif.
        frames: how many.
        size_px: of a side; even, except for GIF.
        fps: frames a second.
        elevation_deg: of the camera, which starts in front of the object and goes counter-clockwise seen from above.
        device: where the radiance field lives; a mesh is rendered where it is.
        callback: called after each frame with (frames done, frames in all).
        overwrite: whether an existing file may be replaced.

    Raises:
        InputError: the mesh has no faces; there is no radiance field; a number of frames, size or rate that can't be.
        OutputError: unknown ending, folder not writable, or the file exists and `overwrite` is False.
        MissingBackendError: MP4 or WebM without PyAV.

    Example:
        >>> instantmesh.turntable(result.mesh, "turning.mp4")
    """
    if shown is None:
        raise InputError("this system has signed distances, no radiance field that could be filmed: pass the mesh")
    if frames < 2:
        raise InputError(f"a turntable needs at least 2 frames, got {frames}")
    if isinstance(shown, Mesh) and not len(shown.faces):
        raise InputError("the mesh has no faces: there is nothing to show")
    check_video(path, fps, size_px)
    render = _of_mesh(shown) if isinstance(shown, Mesh) else _of_field(shown, device)
    cameras = orbit_cameras(frames, elevation_deg)

    def frame(index: int) -> VideoFrame:
        image = render(cameras[index : index + 1], size_px)
        return (image * 255).round().to(torch.uint8).permute(1, 2, 0).contiguous().cpu().numpy()

    return write_video(path, frame, frames, fps, callback=callback, overwrite=overwrite)


def _of_mesh(mesh: Mesh) -> Callable[[Cameras, int], Float[Tensor, "3 h w"]]:
    mesh = to_unit_sphere(mesh)
    used = mesh.vertices[mesh.faces.flatten().unique()].detach()

    def render(camera: Cameras, size_px: int) -> Float[Tensor, "3 h w"]:
        """Only the box around the object is rendered."""
        uv = project(used, camera.to(used.device))[0][0] * size_px
        left, top = ((uv.amin(0) - 1).floor().clamp(0, size_px - 1)).int().tolist()
        right, bottom = ((uv.amax(0) + 1).ceil().clamp(1, size_px)).int().tolist()
        height, width = bottom - top, right - left
        window = crop_cameras(camera, left / size_px, top / size_px, width / size_px, height / size_px)
        part = render_shaded(mesh, window, height, width).color()[0]
        whole = part.new_ones(3, size_px, size_px)
        whole[:, top:bottom, left:right] = part
        return whole

    return render


def _of_field(
    ray_renderer: RayRenderer, device: torch.device | str
) -> Callable[[Cameras, int], Float[Tensor, "3 h w"]]:
    def render(camera: Cameras, size_px: int) -> Float[Tensor, "3 h w"]:
        with torch.no_grad():
            origins, directions = (ray[0] for ray in rays(camera.to(device), size_px, size_px))
            return ray_renderer(origins, directions).color.clamp(0, 1).T.unflatten(1, (size_px, size_px))

    return render
