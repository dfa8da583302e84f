"""Images: of meshes (rasterised, differentiable), of radiance fields (volume rendering), previews."""
