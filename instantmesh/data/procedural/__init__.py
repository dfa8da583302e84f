"""Shapes from seeds, which need no assets and no download: exact unions with signed distances, and LRM-Zero's."""
