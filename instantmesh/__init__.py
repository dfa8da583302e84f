"""From a photo to a 3D mesh."""

from instantmesh.cameras import cameras_from_matrices, orbit_cameras, six_view_cameras, spherical_cameras
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
from instantmesh.finishing import Finished, FinishingOptions, finish
from instantmesh.fitting.camera_search import PhotoCamera, find_camera
from instantmesh.images.cutout import cut_out
from instantmesh.inspection import report
from instantmesh.lrm.model import ReconstructionModel
from instantmesh.mesh.clean import CleanReport, clean
from instantmesh.mesh.reading import read_mesh
from instantmesh.mesh.report import MeshReport
from instantmesh.mesh.simplify import SimplifyReport, simplify
from instantmesh.mesh.watertight import WatertightReport, make_watertight
from instantmesh.multiview.generator import MultiviewGenerator
from instantmesh.multiview.rig import Rig
from instantmesh.pipeline.options import PhotoOptions, ReconstructionOptions, SamplingOptions, StreamOptions
from instantmesh.pipeline.outcome import Outcome
from instantmesh.pipeline.pipeline import Pipeline
from instantmesh.pipeline.reconstruction import Reconstructor
from instantmesh.pipeline.result import Result
from instantmesh.render.preview import save_preview
from instantmesh.render.turntable import turntable
from instantmesh.structures import Cameras, Mesh, Texture, Views
from instantmesh.systems import Field, System, register_system
from instantmesh.texture.bake import TextureReport, bake
from instantmesh.texture.photo_colors import PhotoReport, PosedPhoto, project_photo
from instantmesh.viewer.page import save_page, show
from instantmesh.views.files import read_views, write_views
from instantmesh.views.normalization import normalize_views

__version__ = "0.1.0"

__all__ = [
    "CameraError",
    "Cameras",
    "CheckpointError",
    "CleanReport",
    "ConfigError",
    "EmptySurfaceError",
    "Field",
    "Finished",
    "FinishingOptions",
    "ImageError",
    "InputError",
    "InstantMeshError",
    "Mesh",
    "MeshReport",
    "MissingBackendError",
    "MissingFileError",
    "MultiviewGenerator",
    "Outcome",
    "OutputError",
    "PhotoCamera",
    "PhotoOptions",
    "PhotoReport",
    "Pipeline",
    "PosedPhoto",
    "ReconstructionModel",
    "ReconstructionOptions",
    "Reconstructor",
    "Result",
    "Rig",
    "SamplingOptions",
    "SimplifyReport",
    "StreamOptions",
    "System",
    "Texture",
    "TextureReport",
    "UnknownModelError",
    "Views",
    "WatertightReport",
    "bake",
    "cameras_from_matrices",
    "clean",
    "cut_out",
    "find_camera",
    "finish",
    "make_watertight",
    "normalize_views",
    "orbit_cameras",
    "project_photo",
    "read_mesh",
    "read_views",
    "register_system",
    "report",
    "save_page",
    "save_preview",
    "show",
    "simplify",
    "six_view_cameras",
    "spherical_cameras",
    "turntable",
    "write_views",
]
