#!/usr/bin/env bash
# Trains the embedded model from nothing: bash configs/train/tiny.sh RUNS ASSETS. Interrupted, it goes on where it was.
# ASSETS lists one file of a 3D asset a line, or is a folder of them.
set -euo pipefail
runs=${1:?usage: bash configs/train/tiny.sh RUNS ASSETS}
assets=${2:?usage: bash configs/train/tiny.sh RUNS ASSETS}

instantmesh data procedural "$runs/data" --objects 35000 --thin-parts 11000
instantmesh train tiny-geometry data.folder="$runs/data" -o "$runs/geometry"
instantmesh train tiny-rendering data.folder="$runs/data" start="$runs/geometry" -o "$runs/rendering"
instantmesh data procedural "$runs/photos" --objects 12000 --thin-parts 7000 --first-seed 100000 \
  --assets "$assets" --variations 6 --more-queries 3
instantmesh train tiny-photo data.folder="$runs/photos" start="$runs/rendering" -o "$runs/photo"
instantmesh train tiny-vae data.folder="$runs/data" -o "$runs/vae"
instantmesh train tiny-multiview data.folder="$runs/data" vae="$runs/vae/vae" -o "$runs/multiview"
mkdir -p "$runs/tiny"
cp -r "$runs/photo/reconstruction" "$runs/multiview/multiview" "$runs/tiny/"
