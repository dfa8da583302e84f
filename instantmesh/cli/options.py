"""Options that several commands share: names, help and defaults, stated once."""

from enum import Enum
from pathlib import Path
from typing import Annotated

import typer


class MeshFormat(str, Enum):
    """Endings a mesh can be written with."""

    glb = "glb"
    obj = "obj"
    ply = "ply"
    stl = "stl"
    usdz = "usdz"


class Origin(str, Enum):
    """What of the mesh lies at the file's origin."""

    CENTER = "center"
    BOTTOM = "bottom"


class CameraConvention(str, Enum):
    """Axes of a camera."""

    OPENGL = "opengl"
    OPENCV = "opencv"


class CameraPoses(str, Enum):
    """Which way matrices of cameras lead."""

    CAMERA_TO_WORLD = "camera_to_world"
    WORLD_TO_CAMERA = "world_to_camera"


class LengthUnit(str, Enum):
    """What 1 stands for in a file."""

    M = "m"
    MM = "mm"


class TextureFormat(str, Enum):
    """How a GLB's texture is written."""

    png = "png"
    jpeg = "jpeg"
    webp = "webp"


class MemoryMode(str, Enum):
    """Which networks are on a GPU at the same time."""

    AUTO = "auto"
    HIGH = "high"
    LOW = "low"
    MINIMAL = "minimal"


class Background(str, Enum):
    """How the object is told from its background."""

    auto = "auto"
    alpha = "alpha"
    key = "key"
    matting = "matting"
    segment = "segment"
    keep = "keep"


Out = Annotated[Path, typer.Option("--out", "-o", help="Folder for the results; made where it is missing.")]
OutFile = Annotated[Path, typer.Option("--out", "-o", help="File to write; the ending chooses the format.")]
ModelName = Annotated[str, typer.Option("--model", "-m", help="A name of `instantmesh models`, or a folder.")]
Format = Annotated[MeshFormat, typer.Option("--format", "-f", help="The mesh file's format.")]
Device = Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:1, ...")]
Memory = Annotated[MemoryMode, typer.Option(help="Of a GPU: all networks stay there, one stage's, or one alone.")]
CacheDir = Annotated[Path | None, typer.Option(help="Where downloads are kept instead of the usual cache.")]
LocalOnly = Annotated[bool, typer.Option("--local-files-only", help="Never use the network.")]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace results that exist.")]
BackgroundOption = Annotated[Background, typer.Option("--background", help="How the object is cut out.")]

ConventionOption = Annotated[
    CameraConvention | None,
    typer.Option("--convention", help="Axes of the cameras: opengl (y up, z backward) or opencv (y down, z forward)."),
]
PosesOption = Annotated[CameraPoses | None, typer.Option("--poses", help="Which way the cameras' matrices lead.")]
Normalize = Annotated[
    bool, typer.Option("--normalize", help="Move the cameras so that the object stands at the origin, 2 long.")
]

Resolution = Annotated[int | None, typer.Option(min=2, help="Of the extraction grid, along each axis.")]
MinComponentArea = Annotated[
    float, typer.Option(min=0, max=1, help="Loose parts stay from this share of the largest one's area; 0: all stay.")
]
TargetFaces = Annotated[int, typer.Option(min=0, help="Simplify to about this many faces; 0: all stay.")]
Watertight = Annotated[bool, typer.Option("--watertight", help="Make a solid that can be printed.")]
IfWatertight = Annotated[
    bool | None, typer.Option("--watertight/--open", help="Insist on a solid, or none; by default where it can be.")
]
TextureSize = Annotated[
    int, typer.Option(min=0, help="Give the mesh a texture with sides of this many texels; 0: colours at vertices.")
]
TextureFormatOption = Annotated[
    TextureFormat | None,
    typer.Option(
        "--texture-format",
        help="Of a GLB's texture; jpeg and webp are smaller, and not exact. By default that of a file read, else png.",
    ),
]
BlendViews = Annotated[
    bool | None,
    typer.Option(
        help="Put the views' finer detail into the texture; by default those of given views and of the photo itself."
    ),
]

MeshFile = Annotated[Path, typer.Argument(help="A mesh: .glb, .gltf, .obj, .ply, .stl, .off or .usdz.")]
Up = Annotated[str, typer.Option(help="The axis that points up in the file: y, z, -y, ... (GLB and USDZ: y).")]
Front = Annotated[str | None, typer.Option(help="The axis that the front looks along; z where y is up.")]
SizeM = Annotated[float, typer.Option(min=0, help="Length of the longest side in the file, in metres.")]
UnitOption = Annotated[
    LengthUnit, typer.Option("--unit", help="Of the file's numbers: mm for printing (STL, OBJ, PLY; GLB and USDZ: m).")
]
KeptSizeM = Annotated[
    float | None, typer.Option(help="Length of the longest side in the file, in metres; otherwise it stays.")
]
OriginOption = Annotated[Origin, typer.Option("--origin", help="What lies at the file's origin.")]
KeptOrigin = Annotated[
    Origin | None, typer.Option("--origin", help="What lies at the file's origin; otherwise it stays.")
]
