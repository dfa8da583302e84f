"""Reconstruction systems: InstantMesh, TripoSR, OpenLRM, each one file, and the table of them."""

from instantmesh.systems import instantmesh, openlrm, triposr
from instantmesh.systems.system import (
    Field,
    FoundCheckpoint,
    Shape,
    System,
    known_systems,
    register_system,
    system_named,
    system_of,
)

for _module in (instantmesh, triposr, openlrm):
    register_system(_module.SYSTEM)

__all__ = [
    "Field",
    "FoundCheckpoint",
    "Shape",
    "System",
    "known_systems",
    "register_system",
    "system_named",
    "system_of",
]
