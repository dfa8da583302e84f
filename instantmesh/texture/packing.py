"""Flat charts to their places in a square picture, none nearer to another than a gutter.

Every chart is turned so that its bounding box is smallest and lies down, then they are dropped onto the picture like
Tetris pieces, the highest first, each where it wastes least. The scale is the largest found at which all fit.

Source: the packing of Levy et al. (2002), Least Squares Conformal Maps.
Shapes: f faces, c charts, e edges of faces (3 f). Texels have side 1; v runs down from the picture's upper side.
"""

from dataclasses import dataclass

import numpy as np

from instantmesh.mesh.triangles import Array, Indices

_ANGLES = 24  # tried between 0 and 90 degrees
_TRIALS = 9
_CHEAP_TRIALS = 5
_MANY_CHARTS = 4000
