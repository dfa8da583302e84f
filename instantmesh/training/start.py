"""Where a reconstruction stage starts from."""

from pathlib import Path

from instantmesh.errors import MissingFileError
from instantmesh.hub import read_checkpoint
from instantmesh.lrm.instantmesh import InstantMesh


def start_reconstruction(model: InstantMesh, start: str) -> None:
    """Fill `model` with the tensors of a checkpoint file, or of a model folder or run (`reconstruction/` inside it).

    Raises:
        MissingFileError: there is no such file.
        CheckpointError: it is of a model of other sizes.
    """
    path = Path(start)
    if path.is_dir():
        path = next(
            (p for p in (path / "reconstruction" / "model.safetensors", path / "model.safetensors") if p.is_file()),
            path / "reconstruction" / "model.safetensors",
        )
    if not path.is_file():
        raise MissingFileError(f"no checkpoint to start from: {path}")
    model.load_official({name: tensor.float().clone() for name, tensor in read_checkpoint(path).items()})
