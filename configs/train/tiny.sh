#!/usr/bin/env bash
# Trains the embedded model from nothing: bash configs/train/tiny.sh RUNS. Interrupted, it goes on where it was.
set -euo pipefail
runs=${1:?usage: bash configs/train/tiny.sh FOLDER}

instantmesh data procedural "$runs/data" --objects 35000 --thin-parts 11000
instantmesh train tiny-geometry data.folder="$runs/data" -o "$runs/geometry"
instantmesh train tiny-rendering data.folder="$runs/data" start="$runs/geometry" -o "$runs/rendering"
instantmesh train tiny-vae data.folder="$runs/data" -o "$runs/vae"
instantmesh train tiny-multiview data.folder="$runs/data" vae="$runs/vae/vae" -o "$runs/multiview"
mkdir -p "$runs/tiny"
cp -r "$runs/rendering/reconstruction" "$runs/multiview/multiview" "$runs/tiny/"
