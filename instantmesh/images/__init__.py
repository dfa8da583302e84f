"""An image from anywhere becomes a square RGB tensor of one object on white."""

from instantmesh.images.cutout import cut_out
from instantmesh.images.framing import composite, crop_to_foreground, resize
from instantmesh.images.photo import Photo, prepare, prepare_photo
from instantmesh.images.reading import open_image

__all__ = ["Photo", "composite", "crop_to_foreground", "cut_out", "open_image", "prepare", "prepare_photo", "resize"]
