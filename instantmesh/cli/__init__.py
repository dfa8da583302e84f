"""The command line."""

from instantmesh.cli.commands import app, main

__all__ = ["app", "main"]
