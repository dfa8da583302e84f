"""`python -m instantmesh.training STAGE CONFIG --data FOLDER --out FOLDER`: trains one stage, resuming from --out.

geometry: the warm-up of the reconstruction model; rendering: its stage 2, starting from `--start` (a run's checkpoint).
Both leave a model folder's `reconstruction/` in --out.
"""

import argparse
import logging

import torch

from instantmesh.config import read_config
from instantmesh.data.dataset import ProceduralDataset
from instantmesh.errors import InputError, InstantMeshError
from instantmesh.hub import read_checkpoint
from instantmesh.training.export import export_reconstruction
from instantmesh.training.geometry import GeometryTrainingConfig, train_geometry
from instantmesh.training.rendering import RenderingTrainingConfig, train_rendering


def main() -> None:
    """Command line: train one stage of a reconstruction model."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("stage", choices=["geometry", "rendering"])
    parser.add_argument("config")
    parser.add_argument("--data", required=True, help="folder written by `python -m instantmesh.data.dataset`")
    parser.add_argument("--out", required=True, help="folder of checkpoints, log and the finished model")
    parser.add_argument("--start", help="model.safetensors that stage rendering starts from")
    parser.add_argument("--minutes", type=float, help="stop early; the same command goes on later")
    parser.add_argument("--threads", type=int)
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    if arguments.threads:
        torch.set_num_threads(arguments.threads)
    try:
        _train(arguments)
    except InstantMeshError as error:
        raise SystemExit(f"error: {error}") from error


def _train(arguments: argparse.Namespace) -> None:
    data = ProceduralDataset.open(arguments.data)
    if arguments.stage == "geometry":
        config = read_config(arguments.config, GeometryTrainingConfig)
        model = train_geometry(config, data, arguments.out, arguments.minutes)
    else:
        if arguments.start is None:
            raise InputError("stage rendering needs --start: the warm-up's reconstruction/model.safetensors")
        config = read_config(arguments.config, RenderingTrainingConfig)
        model = train_rendering(config, data, read_checkpoint(arguments.start), arguments.out, arguments.minutes)
    export_reconstruction(model, arguments.out)


if __name__ == "__main__":
    main()
