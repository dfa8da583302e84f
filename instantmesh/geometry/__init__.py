"""The geometry kernel: triangles, edges, rays, distances and samples of surfaces, on plain arrays."""
