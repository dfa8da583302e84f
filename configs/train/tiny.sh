#!/usr/bin/env bash
# Trains the embedded model from nothing: bash configs/train/tiny.sh RUNS. Interrupted, it goes on where it was.
set -euo pipefail
runs=${1:?usage: bash configs/train/tiny.sh FOLDER}
configs=$(dirname "$0")

instantmesh data procedural "$runs/data" --objects 35000 --slender 11000
instantmesh train "$configs/tiny-geometry.yaml" data="$runs/data" -o "$runs/geometry"
instantmesh train "$configs/tiny-rendering.yaml" data="$runs/data" start="$runs/geometry" -o "$runs/rendering"
instantmesh train "$configs/tiny-vae.yaml" data="$runs/data" -o "$runs/vae"
instantmesh train "$configs/tiny-multiview.yaml" data="$runs/data" vae="$runs/vae/vae" -o "$runs/multiview"
mkdir -p "$runs/tiny"
cp -r "$runs/rendering/reconstruction" "$runs/multiview/multiview" "$runs/tiny/"
