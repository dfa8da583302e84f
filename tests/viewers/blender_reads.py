"""What Blender's importers make of files: python -m tests.viewers.blender_reads FILE ... prints JSON, one entry a file.

Run by the tests as a process of its own: Blender brings its own USD, and keeps one scene for the whole process.
"""

import json
import sys
from typing import Any

from instantmesh import backends

bpy: Any = backends.load("bpy")


def read(path: str) -> dict[str, Any]:
    """Positions (f, 3, 3) of the triangles' corners in Blender's world, their uv and linear colours where it has any,
    and the sizes of the images."""
    bpy.ops.wm.read_factory_settings(use_empty=True)
    ending = path.rsplit(".", 1)[1]
    if ending == "glb":
        bpy.ops.import_scene.gltf(filepath=path)
    else:
        {
            "obj": bpy.ops.wm.obj_import,
            "ply": bpy.ops.wm.ply_import,
            "stl": bpy.ops.wm.stl_import,
            "usdz": bpy.ops.wm.usd_import,
        }[ending](filepath=path)
    (thing,) = (each for each in bpy.data.objects if each.type == "MESH")
    mesh = thing.data
    mesh.calc_loop_triangles()
    corners = [list(triangle.loops) for triangle in mesh.loop_triangles]
    uv = mesh.uv_layers.active
    colors = mesh.color_attributes.active_color

    def color(corner: int) -> list[float]:
        index = corner if colors.domain == "CORNER" else mesh.loops[corner].vertex_index
        return list(colors.data[index].color)[:3]

    return {
        "positions": [
            [list(thing.matrix_world @ mesh.vertices[mesh.loops[c].vertex_index].co) for c in three]
            for three in corners
        ],
        "uv": None if uv is None else [[list(uv.uv[c].vector) for c in three] for three in corners],
        "colors": None if colors is None else [[color(c) for c in three] for three in corners],
        "images": [list(image.size) for image in bpy.data.images],
    }


if __name__ == "__main__":
    sys.stdout.write("\n" + json.dumps([read(path) for path in sys.argv[1:]]) + "\n")
