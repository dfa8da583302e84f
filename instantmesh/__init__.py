"""From a picture to a 3D mesh."""

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
from instantmesh.pipeline import Pipeline, Result
from instantmesh.structures import Cameras, Mesh, Views

__version__ = "0.1.0"

__all__ = [
    "CameraError",
    "Cameras",
    "CheckpointError",
    "ConfigError",
    "EmptySurfaceError",
    "ImageError",
    "InputError",
    "InstantMeshError",
    "Mesh",
    "MissingBackendError",
    "MissingFileError",
    "OutputError",
    "Pipeline",
    "Result",
    "UnknownModelError",
    "Views",
]
