"""From a photo to views of its object by diffusion."""
