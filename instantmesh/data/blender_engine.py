"""Images by Blender's path tracer Cycles, on the CPU: materials as the file has them, under a white sky.

Colour and coverage come from Blender, depth and normals from Embree's rays at the same triangles. Blender keeps one
scene for the whole process, so it is called in processes that do nothing else (`worker_pool`).
"""

import math
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from PIL import Image
from torch import Tensor

from instantmesh import backends
from instantmesh.data.assets import AssetSurface
from instantmesh.data.object_renderer import Array, ObjectRenderer
from instantmesh.data.views import ObjectViews
from instantmesh.errors import InputError
from instantmesh.files.frame import Frame, world_to_gltf
from instantmesh.files.mesh_arrays import MeshArrays
from instantmesh.files.mesh_files import write_mesh
from instantmesh.structures import Cameras

_SAMPLES = 32  # paths a pixel, before denoising
_TO_WORLD = np.array([[0.0, -1, 0], [1, 0, 0], [0, 0, 1]])  # Blender reads a glTF's front (+z) as -y; ours is +x
_MIN_COMMON = 0.95


def render_with_blender(asset: AssetSurface, cameras: Cameras, size_px: int) -> ObjectViews:
    """Lit images of an asset with its materials.

    Raises:
        MissingBackendError: bpy isn't installed.
        InputError: Blender can't read the file, or shows another shape than its triangles have.
    """
    bpy = backends.load("bpy")
    geometry = ObjectRenderer(asset, two_sided=True).views(cameras, size_px)
    with tempfile.TemporaryDirectory() as folder, _quiet():
        scene = _empty_scene(bpy, size_px)
        if asset.source.suffix.lower() in (".glb", ".gltf"):
            _import(bpy, asset.source, asset.scale * _TO_WORLD, -asset.scale * asset.centre)
        else:
            for part in _write_parts(asset, Path(folder)):
                _import(bpy, part, _TO_WORLD, np.zeros(3))
        images = [_image(bpy, scene, cameras[i : i + 1], Path(folder) / "view.png") for i in range(len(cameras))]
    color, mask = torch.stack(images).split([3, 1], dim=1)
    common = float((mask * geometry.mask).sum() / mask.sum().clamp(min=1e-6))
    if common < _MIN_COMMON:
        raise InputError(f"{asset.source}: only {common:.0%} of Blender's image are its triangles; is it animated?")
    inside = (mask > 0) & (geometry.mask > 0)
    return ObjectViews(
        color * mask + 1 - mask,
        mask,
        geometry.depth * inside,
        geometry.normal / geometry.mask.clamp(min=1e-6) * mask * inside,
        cameras,
    )


def _empty_scene(bpy: Any, size_px: int) -> Any:
    """Nothing but a white sky, and Cycles set up for transparent images without a film's look."""
    bpy.ops.wm.read_factory_settings(use_empty=True)
    scene = bpy.context.scene
    scene.render.engine = "CYCLES"
    scene.cycles.device = "CPU"
    scene.cycles.samples = _SAMPLES
    scene.cycles.seed = 0
    scene.cycles.use_denoising = True
    scene.render.threads_mode = "FIXED"
    scene.render.threads = 1  # the pool has a process for every processor
    scene.render.resolution_x = scene.render.resolution_y = size_px
    scene.render.resolution_percentage = 100
    scene.render.film_transparent = True
    scene.render.image_settings.file_format = "PNG"
    scene.render.image_settings.color_mode = "RGBA"
    scene.view_settings.view_transform = "Standard"
    scene.world = bpy.data.worlds.new("sky")
    scene.world.node_tree.nodes["Background"].inputs["Color"].default_value = (1, 1, 1, 1)
    scene.camera = bpy.data.objects.new("camera", bpy.data.cameras.new("camera"))
    scene.collection.objects.link(scene.camera)
    return scene


def _import(bpy: Any, path: Path, linear: Array, offset: Array) -> None:
    """Add a glTF file's objects, moved by p -> linear @ p + offset; its lights and cameras are left out."""
    from mathutils import Matrix  # comes with bpy

    before = set(bpy.data.objects)
    try:
        bpy.ops.import_scene.gltf(filepath=str(path))
    except RuntimeError as error:
        raise InputError(f"Blender can't read {path} ({str(error).strip()})") from error
    motion = np.eye(4)
    motion[:3, :3], motion[:3, 3] = linear, offset
    for new in set(bpy.data.objects) - before:
        if new.type in ("LIGHT", "CAMERA"):
            bpy.data.objects.remove(new)
        elif new.parent is None:
            new.matrix_world = Matrix(motion.tolist()) @ new.matrix_world


def _write_parts(asset: AssetSurface, folder: Path) -> Iterator[Path]:
    """The asset as GLB files, for formats that Blender reads in other ways than this package.

    One for each texture, and one for what has vertex colours.
    """
    import trimesh
    from trimesh.visual import TextureVisuals
    from trimesh.visual.material import PBRMaterial

    for index in np.unique(asset.texture_index):
        faces = asset.faces[asset.texture_index == index]
        path = folder / f"part{index}.glb"
        if index < 0:
            arrays = MeshArrays(asset.vertices, faces, colors=asset.colors)
            write_mesh(path, arrays, Frame(size_m=None, origin=None))
        else:
            texture = Image.fromarray(asset.textures[index])
            material = PBRMaterial(baseColorTexture=texture, metallicFactor=0.0, roughnessFactor=1.0)
            visual = TextureVisuals(uv=asset.uv * (1, -1) + (0, 1), material=material)
            trimesh.Trimesh(world_to_gltf(asset.vertices), faces, visual=visual, process=False).export(path)
        yield path


def _image(bpy: Any, scene: Any, camera: Cameras, path: Path) -> Float[Tensor, "4 s s"]:
    """RGBA in [0, 1], straight alpha, from one camera."""
    from mathutils import Matrix

    k = camera.intrinsics[0]
    scene.camera.matrix_world = Matrix(camera.camera_to_world[0].tolist())
    scene.camera.data.angle = 2 * math.atan(0.5 / float(k[0, 0]))
    scene.camera.data.shift_x, scene.camera.data.shift_y = 0.5 - float(k[0, 2]), float(k[1, 2]) - 0.5
    scene.render.filepath = str(path)
    bpy.ops.render.render(write_still=True)
    with Image.open(path) as image:
        return torch.from_numpy(np.asarray(image.convert("RGBA"), dtype=np.float32) / 255).permute(2, 0, 1)


@contextmanager
def _quiet() -> Iterator[None]:
    """Blender reports every image on the process's standard output, past Python."""
    kept, nowhere = os.dup(1), os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 1)
    try:
        yield
    finally:
        os.dup2(kept, 1)
        os.close(kept)
        os.close(nowhere)
