"""Wavefront OBJ as other people write it: geometry, materials, and the parts that they make."""
