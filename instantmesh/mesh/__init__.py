"""Finishing: from the surface that came out of a field to a mesh that people can use."""
