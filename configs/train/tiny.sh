#!/usr/bin/env bash
# Trains the embedded model from nothing: bash configs/train/tiny.sh RUNS. Interrupted, it goes on where it was.
set -euo pipefail
runs=${1:?usage: bash configs/train/tiny.sh FOLDER}
configs=$(dirname "$0")

python -m instantmesh.data.dataset "$runs/data" --objects 24000
python -m instantmesh.training geometry "$configs/tiny-geometry.yaml" --data "$runs/data" --out "$runs/geometry"
python -m instantmesh.training rendering "$configs/tiny-rendering.yaml" --data "$runs/data" \
  --start "$runs/geometry/reconstruction/model.safetensors" --out "$runs/rendering"
python -m instantmesh.training.multiview vae "$configs/tiny-vae.yaml" --pictures "$runs/data/pictures.npy" --out "$runs/vae"
python -m instantmesh.training.multiview unet "$configs/tiny-multiview.yaml" --pictures "$runs/data/pictures.npy" \
  --vae "$runs/vae/vae" --out "$runs/unet"
mkdir -p "$runs/tiny"
cp -r "$runs/rendering/reconstruction" "$runs/tiny/"
cp -r "$runs/unet/pipeline" "$runs/tiny/multiview"
