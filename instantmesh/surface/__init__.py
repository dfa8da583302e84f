"""From fields to meshes: FlexiCubes and marching cubes."""
