"""What travels between the stations: cameras, views, meshes. Frozen, checked when they are made.

Axes, ranges and orders are those of docs/conventions.md; they are stated here and in `cameras` and nowhere else.
"""

from collections.abc import Callable
from dataclasses import dataclass
from os import PathLike
from pathlib import Path

import torch
from jaxtyping import Float, Int
from numpy.typing import NDArray
from torch import Tensor

from instantmesh.errors import CameraError, InputError
from instantmesh.files import image_files, mesh_files
from instantmesh.files.frame import Frame, Origin, Unit
from instantmesh.files.mesh_arrays import MeshArrays, TextureArrays
from instantmesh.files.texture_images import TextureFormat

ColorField = Callable[[Tensor], Tensor]
"""Points (p, 3) in world units -> sRGB colours (p, 3), about [0, 1]."""


def _require_tensors(**values: object) -> None:
    """Raises InputError for what isn't a tensor; None is left to whoever asks."""
    for name, value in values.items():
        if value is not None and not isinstance(value, Tensor):
            kind = type(value).__module__.split(".")[0]
            hint = "; torch.from_numpy makes one" if kind == "numpy" else ""
            raise InputError(f"{name} must be a tensor, got {type(value).__name__}{hint}")


def _require_finite(name: str, tensor: Tensor) -> None:
    if not bool(torch.isfinite(tensor).all()):
        raise InputError(f"{name} has values that aren't finite")


def _require_unit_range(name: str, tensor: Tensor) -> None:
    tensor = tensor.detach()
    if tensor.numel() and (float(tensor.min()) < -1e-4 or float(tensor.max()) > 1 + 1e-4):
        raise InputError(
            f"{name} must lie in [0, 1], found [{float(tensor.min()):.3g}, {float(tensor.max()):.3g}]"
            + ("" if name == "uv" else " (divide 8-bit images by 255)")
        )


@dataclass(frozen=True, eq=False)
class Cameras:
    """Pinhole cameras.

    Attributes:
        camera_to_world: (n, 4, 4) float, OpenGL axes (x right, y up, z backward).
        intrinsics: (n, 3, 3) float, normalised by the image's size.

    Raises:
        CameraError: wrong shapes, values that aren't finite, or a pose that is no rigid motion.

    Example:
        >>> cameras = Cameras(torch.eye(4)[None], torch.tensor([[[1.9, 0, 0.5], [0, 1.9, 0.5], [0, 0, 1.0]]]))
    """

    camera_to_world: Float[Tensor, "n 4 4"]
    intrinsics: Float[Tensor, "n 3 3"]

    def __post_init__(self) -> None:
        pose, k = self.camera_to_world, self.intrinsics
        _require_tensors(camera_to_world=pose, intrinsics=k)
        if pose.ndim != 3 or pose.shape[1:] != (4, 4) or k.ndim != 3 or k.shape[1:] != (3, 3):
            raise CameraError(
                f"cameras need poses (n, 4, 4) and intrinsics (n, 3, 3), got {tuple(pose.shape)} and {tuple(k.shape)}"
            )
        if len(pose) != len(k) or len(pose) == 0:
            raise CameraError(f"{len(pose)} poses and {len(k)} intrinsics: need the same number, at least one")
        if not bool(torch.isfinite(pose).all() and torch.isfinite(k).all()):
            raise CameraError("cameras have values that aren't finite")
        rotation = pose[:, :3, :3]
        identity = torch.eye(3, device=pose.device, dtype=pose.dtype)
        products = (rotation[:, :, None] * rotation[:, None]).sum(-1)  # a matrix product would follow autocast
        if not torch.allclose(products, identity.expand_as(products), atol=1e-3) or bool(
            (torch.linalg.det(rotation.float()) < 0).any()
        ):
            raise CameraError("camera_to_world must hold proper rotations (orthonormal, determinant +1)")
        if bool((k[:, 0, 0] <= 0).any() or (k[:, 1, 1] <= 0).any()):
            raise CameraError("focal lengths must be positive (normalised by the image's size)")

    def __len__(self) -> int:
        return len(self.camera_to_world)

    def __getitem__(self, index: slice | list[int] | Tensor) -> "Cameras":
        return Cameras(self.camera_to_world[index], self.intrinsics[index])

    def to(self, device: torch.device | str) -> "Cameras":
        """The same cameras on `device`."""
        return Cameras(self.camera_to_world.to(device), self.intrinsics.to(device))


@dataclass(frozen=True, eq=False)
class Views:
    """Images of one object, with the cameras that took them where they are known.

    Attributes:
        images: (n, 3, h, w) float in [0, 1], RGB on white (for TripoSR on grey, 0.5).
        cameras: n cameras; None for a system that takes its one image for the front.

    Raises:
        InputError: wrong shape or range.
        CameraError: as many cameras as images are needed.

    Example:
        >>> mesh = pipe.reconstruct(Views(images, six_view_cameras()))
    """

    images: Float[Tensor, "n 3 h w"]
    cameras: Cameras | None = None

    def __post_init__(self) -> None:
        images = self.images
        _require_tensors(images=images)
        if images.ndim != 4 or images.shape[1] != 3 or 0 in images.shape:
            raise InputError(f"views need images (n, 3, h, w), got {tuple(images.shape)}")
        if not images.is_floating_point():
            raise InputError(f"views need float images in [0, 1], got {images.dtype}")
        _require_finite("images", images)
        _require_unit_range("images", images)
        if self.cameras is not None and len(images) != len(self.cameras):
            raise CameraError(f"{len(images)} images but {len(self.cameras)} cameras")

    def __repr__(self) -> str:
        height, width = self.images.shape[2:]
        posed = "no cameras" if self.cameras is None else "cameras"
        return f"Views({len(self)} images {width} x {height}, {posed})"

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: slice | list[int] | Tensor) -> "Views":
        return Views(self.images[index], None if self.cameras is None else self.cameras[index])

    def at_camera_distance(self, factor: float) -> "Views":
        """The same images, with the cameras' distance from the origin multiplied.

        Raises:
            CameraError: these views have no cameras, and `factor` isn't 1.
        """
        if factor == 1:
            return self
        pose = self.known_cameras.camera_to_world.clone()
        pose[:, :3, 3] *= factor
        return Views(self.images, Cameras(pose, self.known_cameras.intrinsics))

    @property
    def known_cameras(self) -> Cameras:
        """The cameras.

        Raises:
            CameraError: these views have none.
        """
        if self.cameras is None:
            raise CameraError("these views have no cameras, and here they are needed: Views(images, cameras)")
        return self.cameras

    def to(self, device: torch.device | str) -> "Views":
        """The same views on `device`."""
        return Views(self.images.to(device), None if self.cameras is None else self.cameras.to(device))

    def save(self, path: str | PathLike[str], *, overwrite: bool = True) -> Path:
        """Write all views as one image, two to a row (six views: the 3 x 2 image of Zero123++; one view: itself).

        Raises:
            OutputError: unknown ending, folder not writable, or the file exists and `overwrite` is False.
        """
        tiled = image_files.tile(self.images, columns=min(len(self), 2))
        return image_files.write_image(path, tiled, overwrite=overwrite)


@dataclass(frozen=True, eq=False)
class Texture:
    """An image laid over a mesh.

    The faces' corners have places of their own in it, so vertices needn't be split where the surface was cut open.

    Attributes:
        image: (3, h, w) float in [0, 1], sRGB.
        uv: (f, 3, 2) float in [0, 1], where each face's three corners lie: (0, 0) is the image's upper left corner,
            u runs right and v down (as in glTF), the pixel (i, j) has its centre at ((j + 0.5) / w, (i + 0.5) / h).
        format: how a GLB keeps it where nothing else is asked for: "png", "jpeg" or "webp", as in the file it is from.

    Raises:
        InputError: wrong shapes or ranges, values that aren't finite.

    Example:
        >>> Texture(image=torch.rand(3, 64, 64), uv=torch.rand(len(mesh.faces), 3, 2))
    """

    image: Float[Tensor, "3 h w"]
    uv: Float[Tensor, "f 3 2"]
    format: TextureFormat = "png"

    def __post_init__(self) -> None:
        _require_tensors(image=self.image, uv=self.uv)
        if self.image.ndim != 3 or self.image.shape[0] != 3 or 0 in self.image.shape:
            raise InputError(f"a texture's image must be (3, h, w), got {tuple(self.image.shape)}")
        if self.uv.ndim != 3 or self.uv.shape[1:] != (3, 2):
            raise InputError(f"a texture's uv must be (f, 3, 2), got {tuple(self.uv.shape)}")
        for name, tensor in (("image", self.image), ("uv", self.uv)):
            _require_finite(name, tensor)
            _require_unit_range(name, tensor)

    def to(self, device: torch.device | str) -> "Texture":
        """The same texture on `device`."""
        return Texture(self.image.to(device), self.uv.to(device), self.format)


@dataclass(frozen=True, eq=False)
class Mesh:
    """A triangle mesh in the project's world frame (+z up, front at +x).

    Attributes:
        vertices: (v, 3) float, world units.
        faces: (f, 3) int64, counter-clockwise seen from outside.
        vertex_colors: (v, 3) float in [0, 1], sRGB, or None.
        texture: laid over the faces, or None. Where there is one, it is what is shown and written.

    Raises:
        InputError: wrong shapes, values that aren't finite, indices out of range.

    Example:
        >>> Mesh(torch.eye(3), torch.tensor([[0, 1, 2]])).save("triangle.ply")
    """

    vertices: Float[Tensor, "v 3"]
    faces: Int[Tensor, "f 3"]
    vertex_colors: Float[Tensor, "v 3"] | None = None
    texture: Texture | None = None

    def __post_init__(self) -> None:
        _require_tensors(vertices=self.vertices, faces=self.faces, vertex_colors=self.vertex_colors)
        if self.vertices.ndim != 2 or self.vertices.shape[1] != 3:
            raise InputError(f"vertices must be (v, 3), got {tuple(self.vertices.shape)}")
        if self.faces.ndim != 2 or self.faces.shape[1] != 3 or self.faces.is_floating_point():
            raise InputError(f"faces must be integers (f, 3), got {tuple(self.faces.shape)} {self.faces.dtype}")
        _require_finite("vertices", self.vertices)
        if self.faces.numel() and (int(self.faces.min()) < 0 or int(self.faces.max()) >= len(self.vertices)):
            raise InputError(f"faces name vertices outside 0..{len(self.vertices) - 1}")
        if self.vertex_colors is not None:
            if self.vertex_colors.shape != self.vertices.shape:
                raise InputError(
                    f"vertex_colors must be {tuple(self.vertices.shape)}, got {tuple(self.vertex_colors.shape)}"
                )
            _require_finite("vertex_colors", self.vertex_colors)
            _require_unit_range("vertex_colors", self.vertex_colors)
        if self.texture is not None and len(self.texture.uv) != len(self.faces):
            raise InputError(f"the texture has places for {len(self.texture.uv)} faces, the mesh has {len(self.faces)}")

    def __repr__(self) -> str:
        colors = "no colours" if self.vertex_colors is None else "vertex colours"
        if self.texture is not None:
            height, width = self.texture.image.shape[1:]
            colors = f"texture {width} x {height}"
        return f"Mesh({len(self.vertices):,} vertices, {len(self.faces):,} faces, {colors})"

    def to(self, device: torch.device | str) -> "Mesh":
        """The same mesh on `device`."""
        colors = None if self.vertex_colors is None else self.vertex_colors.to(device)
        texture = None if self.texture is None else self.texture.to(device)
        return Mesh(self.vertices.to(device), self.faces.to(device), colors, texture)

    def vertex_normals(self) -> Float[Tensor, "v 3"]:
        """Unit normals per vertex: the area-weighted mean of its faces' normals (differentiable)."""
        a, b, c = self.vertices[self.faces].unbind(1)
        face_normals = torch.linalg.cross(b - a, c - a)
        total = torch.zeros_like(self.vertices)
        for corner in range(3):
            total = total.index_add(0, self.faces[:, corner], face_normals)
        return torch.nn.functional.normalize(total, dim=-1, eps=1e-12)

    def _repr_html_(self) -> str:
        """What notebooks show for a mesh that is a cell's value: a viewer to turn it in.

        They ask for this method by its name, so it is the one that reaches up to a later station.
        """
        from instantmesh.viewer.page import notebook_html

        return notebook_html(self)

    def save(
        self,
        path: str | PathLike[str],
        *,
        up: str = "y",
        front: str | None = None,
        size_m: float | None = 1.0,
        origin: Origin | None = "center",
        unit: Unit = "m",
        texture_format: TextureFormat | None = None,
        overwrite: bool = True,
    ) -> Path:
        """Write the mesh as `.glb`, `.obj`, `.ply`, `.stl` or `.usdz`, whole or not at all.

        GLB, OBJ (with `<stem>.mtl` and `<stem>_texture.png` beside it) and USDZ carry the texture; PLY gets its colours
        at the vertices; STL has no colours. `size_m=None, origin=None` keeps the world's units and place.

        Args:
            path: where to; the ending chooses the format. USDZ needs usd-core.
            up: the axis that points up: "y" (glTF's, and the only one for GLB and USDZ), "z", "x", "-x", "-y", "-z".
            front: the axis that the front looks along. None takes the one after `up` in x, y, z, x: "z" for "y", as in
                glTF; "x" for "z", which is the world's own frame.
            size_m: how long the longest side of the bounding box becomes, in metres; None keeps the world's units.
            origin: the bounding box's "center", or the centre of its "bottom"; None keeps the world's.
            unit: what 1 stands for in the file, "m" or "mm"; for printing, whose programs take STL's numbers for
                millimetres, though the file doesn't say. GLB and USDZ are in metres.
            texture_format: of the texture in a GLB: "png", or "jpeg" or "webp", which are smaller and not exact. None
                takes the texture's own.
            overwrite: whether existing files may be replaced.

        Raises:
            InputError: no triangles; axes that aren't perpendicular; no such axis, size, origin or unit.
            OutputError: unknown ending, `up`, `unit` or `texture_format` not possible there, folder not writable, or
                the file exists and `overwrite` is False.
            MissingBackendError: USDZ without usd-core.
        """
        frame = Frame(up, front, size_m, origin, unit)
        return mesh_files.write_mesh(path, self._arrays(), frame, texture_format=texture_format, overwrite=overwrite)

    def _arrays(self) -> MeshArrays:
        def array(tensor: Tensor) -> NDArray:
            return tensor.detach().cpu().numpy()

        texture = None
        if self.texture is not None:
            image = (self.texture.image.clamp(0, 1) * 255).round().to(torch.uint8).permute(1, 2, 0)
            texture = TextureArrays(array(image), array(self.texture.uv.clamp(0, 1)), self.texture.format)
        colors = None if self.vertex_colors is None else array(self.vertex_colors)
        return MeshArrays(array(self.vertices), array(self.faces), array(self.vertex_normals()), colors, texture)
