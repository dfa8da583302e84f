"""Models by name: where their files lie, under which licence, and how they are read."""

from instantmesh.hub.checkpoints import check_state_dict, identify, load_official, read_checkpoint
from instantmesh.hub.download import asset_folder, cache_folder, fetch_file, fetch_part, fetch_snapshot, is_cached
from instantmesh.hub.notices import announce
from instantmesh.hub.registry import MODELS, Model, ModelPart, RemoteFile, resolve

__all__ = [
    "MODELS",
    "Model",
    "ModelPart",
    "RemoteFile",
    "announce",
    "asset_folder",
    "cache_folder",
    "check_state_dict",
    "fetch_file",
    "fetch_part",
    "fetch_snapshot",
    "identify",
    "is_cached",
    "load_official",
    "read_checkpoint",
    "resolve",
]
