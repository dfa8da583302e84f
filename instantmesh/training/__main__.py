"""`python -m instantmesh.training STAGE CONFIG --data FOLDER --out FOLDER`: trains one stage, resuming from --out."""

import argparse
import logging

import torch

from instantmesh.config import read_config
from instantmesh.data.dataset import ProceduralDataset
from instantmesh.training.geometry import GeometryTrainingConfig, train_geometry


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("stage", choices=["geometry"])
    parser.add_argument("config")
    parser.add_argument("--data", required=True)
    parser.add_argument("--out", required=True)
    parser.add_argument("--minutes", type=float)
    parser.add_argument("--threads", type=int)
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    if arguments.threads:
        torch.set_num_threads(arguments.threads)
    data = ProceduralDataset.open(arguments.data)
    train_geometry(read_config(arguments.config, GeometryTrainingConfig), data, arguments.out, arguments.minutes)


if __name__ == "__main__":
    main()
