"""Who makes the meshes that are evaluated: a model of this library, a baseline, or another system's files."""

from pathlib import Path
from typing import Protocol, runtime_checkable

from instantmesh.errors import InputError, MissingFileError
from instantmesh.evaluation.baselines import silhouette_ball, visual_hull
from instantmesh.evaluation.inputs import Inputs
from instantmesh.evaluation.true_meshes import read_in_world, turned
from instantmesh.files.asset_files import ASSET_ENDINGS
from instantmesh.pipeline.pipeline import Pipeline
from instantmesh.structures import Mesh

VISUAL_HULL, SILHOUETTE_BALL = "visual-hull", "silhouette-ball"
BASELINES = (VISUAL_HULL, SILHOUETTE_BALL)


@runtime_checkable
class EvaluatedSystem(Protocol):
    """Makes a mesh of an object from views of it."""

    def reconstruct(self, given: Inputs, seed: int) -> Mesh:
        """A mesh in the world frame, its front where the true object has it.

        Raises:
            InstantMeshError: there is no result.
        """
        ...


class PipelineSystem:
    """A model of this library."""

    def __init__(self, pipeline: Pipeline) -> None:
        self._pipeline = pipeline
        pipeline.set_progress_bar_config(disable=True)

    def reconstruct(self, given: Inputs, seed: int) -> Mesh:
        """From a photo by the whole pipeline, from views by its reconstruction."""
        if given.pose is None:
            return self._pipeline.reconstruct(given.views).to("cpu")
        mesh = self._pipeline(given.photo(), seed=seed).mesh.to("cpu")
        return turned(mesh, given.pose.azimuth_deg)  # the pipeline's front is where the photo was taken from


class VisualHull:
    """The baseline of views, see `baselines.visual_hull`."""

    def reconstruct(self, given: Inputs, seed: int) -> Mesh:
        """The hull of the views' masks."""
        return visual_hull(given.views, given.masks)


class SilhouetteBall:
    """The baseline of one photo, see `baselines.silhouette_ball`."""

    def reconstruct(self, given: Inputs, seed: int) -> Mesh:
        """A ball of the first view's silhouette."""
        return silhouette_ball(given.views.images[0], given.masks[0], given.views.known_cameras[0:1])


def load_system(model: str, device: str) -> EvaluatedSystem:
    """A baseline by name, or a model by name or folder.

    Raises:
        InstantMeshError: as `Pipeline.from_pretrained`.
    """
    if model == VISUAL_HULL:
        return VisualHull()
    if model == SILHOUETTE_BALL:
        return SilhouetteBall()
    return PipelineSystem(Pipeline.from_pretrained(model, device=device))


class ResultFiles:
    """Meshes that some system has made: <folder>/<name>.<ending>, or one mesh in <folder>/<name>/.

    Args:
        folder: of the results.
        up: the files' axis that points up.
        front: the files' axis that the object's front looks along; None takes the one after `up`.

    Raises:
        MissingFileError: no such folder.
        InputError: no mesh in it.
    """

    def __init__(self, folder: Path, up: str = "y", front: str | None = None) -> None:
        if not folder.is_dir():
            raise MissingFileError(f"no folder {folder} with results")
        self.folder, self.up, self.front = folder, up, front
        if not any(path.suffix.lower() in ASSET_ENDINGS for path in folder.rglob("*")):
            raise InputError(
                f"{folder} holds no meshes; looked for <object>{{{','.join(ASSET_ENDINGS)}}} and <object>/*"
            )

    def find(self, name: str) -> Path | None:
        """The mesh file of the result `name`, if there is one.

        Raises:
            InputError: several files may be meant.
        """
        beside = [path for ending in ASSET_ENDINGS if (path := self.folder / f"{name}{ending}").is_file()]
        inside = sorted(p for p in (self.folder / name).glob("*") if p.suffix.lower() in ASSET_ENDINGS)
        found = beside or inside
        if len(found) > 1:
            raise InputError(f"several results for {name}: {found[0]} and {found[1]}")
        return found[0] if found else None

    def read(self, path: Path) -> Mesh:
        """A result in the world frame.

        Raises:
            InputError: it can't be read, or holds no triangles.
        """
        return read_in_world(path, self.up, self.front)
