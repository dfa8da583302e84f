"""Measures: metrics against true meshes and images, baselines that need no learning, the protocol, the report."""
