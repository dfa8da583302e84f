"""From an image to a 3D mesh."""

from instantmesh.errors import (
    CameraError,
    CheckpointError,
    ConfigError,
    EmptySurfaceError,
    ImageError,
    InputError,
    InstantMeshError,
    MissingBackendError,
    MissingFileError,
    OutputError,
    UnknownModelError,
)
from instantmesh.finishing import Finished, finish
from instantmesh.mesh.clean import CleanReport, clean
from instantmesh.mesh.reading import read_mesh
from instantmesh.mesh.report import MeshReport, report
from instantmesh.mesh.simplify import SimplifyReport, simplify
from instantmesh.mesh.watertight import WatertightReport, make_watertight
from instantmesh.pipeline.pipeline import Pipeline
from instantmesh.pipeline.result import Result
from instantmesh.structures import Cameras, Mesh, Texture, Views
from instantmesh.texture.bake import TextureReport, bake

__version__ = "0.1.0"

__all__ = [
    "CameraError",
    "Cameras",
    "CheckpointError",
    "CleanReport",
    "ConfigError",
    "EmptySurfaceError",
    "Finished",
    "ImageError",
    "InputError",
    "InstantMeshError",
    "Mesh",
    "MeshReport",
    "MissingBackendError",
    "MissingFileError",
    "OutputError",
    "Pipeline",
    "Result",
    "SimplifyReport",
    "Texture",
    "TextureReport",
    "UnknownModelError",
    "Views",
    "WatertightReport",
    "bake",
    "clean",
    "finish",
    "make_watertight",
    "read_mesh",
    "report",
    "simplify",
]
