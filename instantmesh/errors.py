"""Every error this package raises on purpose. Catch `InstantMeshError` to catch them all."""


class InstantMeshError(Exception):
    """Base of the package's errors; its message is written for the person who made the call."""


class InputError(InstantMeshError, ValueError):
    """An argument has the wrong shape, range, type or number."""


class ImageError(InputError):
    """An image can't be read, is too small, or has no foreground."""


class CameraError(InputError):
    """Cameras are malformed or don't match the images."""


class ConfigError(InstantMeshError, ValueError):
    """A configuration file has an unknown key or a value out of range."""


class UnknownModelError(InstantMeshError, LookupError):
    """No model goes by that name."""


class MissingFileError(InstantMeshError, FileNotFoundError):
    """A file that is needed is neither on disk nor to be downloaded."""


class CheckpointError(InstantMeshError):
    """A checkpoint is unsafe, damaged, or belongs to another model."""


class MissingBackendError(InstantMeshError, ImportError):
    """An optional package is needed and not installed."""


class EmptySurfaceError(InstantMeshError):
    """The field has no surface inside the grid."""


class OutputError(InstantMeshError, OSError):
    """A result can't be written where it was asked for."""
