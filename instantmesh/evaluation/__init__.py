"""Measures: metrics against true meshes and pictures, baselines that need no learning, the protocol, the report."""
