"""Data sets of true meshes as they are downloaded: which objects a folder holds, and which of them lack their mesh.

Layout          an object's folder, and its mesh there                          frame
gso             <object>/meshes/model.obj, materials/textures/texture.png       z up, front -y
omniobject3d    [raw_scans/]<category>/<object>/Scan/Scan.obj                   y up, front z
toys4k          [toys4k_obj_files/]<category>/<object>/mesh.obj                 y up, front z
ycb             <object>/google_16k/textured.obj (or tsdf, poisson)             z up, front x
plain           any 3D file at any depth                                        y up, front z

The frames are what most objects of a set have; scanned objects have no labelled front.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path

from instantmesh.data.asset_names import find_assets
from instantmesh.errors import InputError, MissingFileError
from instantmesh.evaluation.true_meshes import load_mesh_in_world
from instantmesh.files.asset_files import ASSET_ENDINGS
from instantmesh.structures import Mesh


@dataclass(frozen=True)
class EvaluationObject:
    """A true object on disk.

    Attributes:
        name: unique in its data set.
        mesh: its file.
        up: the file's axis that points up, as in `instantmesh.files.frame.Frame`.
        front: the file's axis that the front looks along.
        category: of the data set's own classes; "" where it has none.
        textures: folder of the images that the mesh's material names without a path; None where they lie beside it.
        renderings: folder with `transforms.json` and the data set's own renderings, or None.
        turn_deg: how far the object is turned about the up axis, counter-clockwise seen from above, before anything
            else: some published lists do so.
    """

    name: str
    mesh: Path
    up: str = "y"
    front: str = "z"
    category: str = ""
    textures: Path | None = None
    renderings: Path | None = None
    turn_deg: float = 0.0

    def read(self) -> Mesh:
        """The true mesh: in the world frame, bounding box centred, farthest vertex at radius 1.

        Raises:
            MissingFileError: no such file.
            InputError: it can't be read, holds no triangles or isn't finite.
        """
        return load_mesh_in_world(self.mesh, self.up, self.front, self.textures, self.turn_deg)


@dataclass(frozen=True)
class ObjectSet:
    """Objects to evaluate on.

    Attributes:
        layout: the layout's name.
        objects: by name.
        missing: name and reason of every object that should be there and isn't.
    """

    layout: str
    objects: tuple[EvaluationObject, ...]
    missing: tuple[tuple[str, str], ...] = ()

    def with_frame(self, up: str | None, front: str | None) -> "ObjectSet":
        """The same objects, their files in another frame; None keeps the layout's axis."""
        changed = [replace(obj, up=up or obj.up, front=front or obj.front) for obj in self.objects]
        return replace(self, objects=tuple(changed))


@dataclass(frozen=True)
class Layout:
    """How a data set lies on disk.

    Attributes:
        name: of the layout.
        roots: folders below the data folder in which `folders` may match; "." is the data folder itself.
        folders: glob of the objects' folders below a root.
        meshes: below an object's folder; the first one that exists is taken.
        up: the files' axis that points up.
        front: the files' axis that the front looks along.
        textures: below an object's folder, or "".
        renderings: below the data folder or its parent: where <category>/<object>/render/transforms.json may lie.
    """

    name: str
    roots: tuple[str, ...]
    folders: str
    meshes: tuple[str, ...]
    up: str
    front: str
    textures: str = ""
    renderings: tuple[str, ...] = ()

    @property
    def has_categories(self) -> bool:
        """Whether objects lie in folders of their categories."""
        return "/" in self.folders

    def looked_for(self) -> str:
        """What an object looks like, for messages."""
        return f"{self.name}: {self.folders}/{self.meshes[0]}"


_YCB_MESHES = ("google_16k/textured.obj", "tsdf/textured.obj", "poisson/textured.obj")

LAYOUTS = (
    Layout("gso", (".",), "*", ("meshes/model.obj",), "z", "-y", textures="materials/textures"),
    Layout(
        "omniobject3d",
        ("raw_scans", "raw/raw_scans", "."),
        "*/*",
        ("Scan/Scan.obj",),
        "y",
        "z",
        renderings=("blender_renders", "blender_renders_24_views", "."),
    ),
    Layout(
        "ycb", (".", "ycb"), "[0-9]*", tuple(f"{m}/textured.obj" for m in ("google_16k", "tsdf", "poisson")), "z", "x"
    ),
    Layout("toys4k", ("toys4k_obj_files", "."), "*/*", ("mesh.obj",), "y", "z"),
)
PLAIN = "plain"
LAYOUT_NAMES = (*(layout.name for layout in LAYOUTS), PLAIN)


def find_objects(data: Path, layout: str | None = None) -> ObjectSet:
    """The objects in a data set's folder.

    Args:
        data: the folder as it was downloaded and unpacked.
        layout: one of `LAYOUT_NAMES`; None takes the first that finds an object.

    Raises:
        MissingFileError: no such folder.
        InputError: unknown layout, or no object in it; the message says which files were looked for.
    """
    if not data.is_dir():
        raise MissingFileError(f"no folder {data}")
    if layout is not None and layout not in LAYOUT_NAMES:
        raise InputError(f"unknown layout {layout!r}; use one of {', '.join(LAYOUT_NAMES)}")
    candidates = [candidate for candidate in LAYOUTS if layout in (None, candidate.name)]
    for candidate in candidates:
        found = _find(data, candidate)
        if found.objects:
            return found
    if layout in (None, PLAIN) and _has_assets(data):
        return ObjectSet(PLAIN, tuple(EvaluationObject(asset.name, asset.path) for asset in find_assets([data])))
    looked_for = [candidate.looked_for() for candidate in candidates]
    if layout in (None, PLAIN):
        looked_for.append(f"{PLAIN}: any of {', '.join('*' + ending for ending in ASSET_ENDINGS)}")
    raise InputError(f"{data} holds no objects; looked for " + "; ".join(looked_for))


def _find(data: Path, layout: Layout) -> ObjectSet:
    """The layout's objects below its first root that has any."""
    for root in layout.roots:
        folders = sorted(p for p in (data / root).glob(layout.folders) if p.is_dir() and not p.name.startswith("."))
        meshes = {folder: _first_file(folder, layout.meshes) for folder in folders}
        objects = [_object(data, layout, folder, mesh) for folder, mesh in meshes.items() if mesh is not None]
        if objects:
            reason = f"no {layout.meshes[0]}"
            missing = [(folder.name, reason) for folder, mesh in meshes.items() if mesh is None]
            return ObjectSet(layout.name, tuple(sorted(objects, key=lambda o: o.name)), tuple(missing))
    return ObjectSet(layout.name, ())


def _object(data: Path, layout: Layout, folder: Path, mesh: Path) -> EvaluationObject:
    category = folder.parent.name if layout.has_categories else ""
    textures = folder / layout.textures
    renderings = [
        place / root / category / folder.name / "render" for place in (data, data.parent) for root in layout.renderings
    ]
    return EvaluationObject(
        folder.name,
        mesh,
        layout.up,
        layout.front,
        category,
        textures if layout.textures and textures.is_dir() else None,
        next((place for place in renderings if (place / "transforms.json").is_file()), None),
    )


def _first_file(folder: Path, names: Iterable[str]) -> Path | None:
    return next((folder / name for name in names if (folder / name).is_file()), None)


def _has_assets(data: Path) -> bool:
    return any(path.suffix.lower() in ASSET_ENDINGS for path in data.rglob("*"))
