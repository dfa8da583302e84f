"""What an evaluation is: everything that decides its numbers, stated once and kept beside them."""

from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from instantmesh.errors import InputError
from instantmesh.evaluation.alignment import AlignmentMethod
from instantmesh.evaluation.datasets.object_lists import draw, first_of_each_category, listed
from instantmesh.evaluation.datasets.objects import ObjectSet, find_objects
from instantmesh.evaluation.inputs import IMAGE, PhotoPose, given_cameras
from instantmesh.evaluation.scoring import ScoringProtocol
from instantmesh.evaluation.view_sets import check_view_set


@dataclass(frozen=True)
class ObjectSelection:
    """Which true objects.

    Attributes:
        data: the data set's folder.
        layout: one of `LAYOUT_NAMES`; None finds out.
        up: the files' axis that points up; None has the layout's.
        front: the files' axis that objects look along; None has the layout's.
        objects: so many, drawn by seed; None for all.
        draw_seed: of the draw.
        object_list: a list's file, or the name of a published one.
        per_category: the first so many of each category by name.
    """

    data: str
    layout: str | None = None
    up: str | None = None
    front: str | None = None
    objects: int | None = None
    draw_seed: int = 0
    object_list: str | None = None
    per_category: int | None = None

    def find(self) -> ObjectSet:
        """The objects.

        Raises:
            MissingFileError: no such folder.
            InputError: no objects there, several ways to choose them, or a way that doesn't fit.
        """
        if sum(way is not None for way in (self.objects, self.object_list, self.per_category)) > 1:
            raise InputError("choose objects in one way: by number, by list, or by category")
        found = find_objects(Path(self.data), self.layout).with_frame(self.up, self.front)
        if self.object_list is not None:
            return listed(found, self.object_list)
        if self.per_category is not None:
            return first_of_each_category(found, self.per_category)
        return found if self.objects is None else draw(found, self.objects, self.draw_seed)


@dataclass(frozen=True)
class GivenInputs:
    """What the system is given.

    Attributes:
        given: "image", "six-views", or a rig's JSON file.
        azimuths_deg: of the photos, each an item of its own.
        elevations_deg: of the photos: one for all, or as many as azimuths.
        seeds: each item is made with seeds 0, 1, ...
    """

    given: str = IMAGE
    azimuths_deg: tuple[float, ...] = (0.0,)
    elevations_deg: tuple[float, ...] = (10.0,)
    seeds: int = 1

    def poses(self) -> list[PhotoPose | None]:
        """The photos' poses; one None where views are given.

        Raises:
            InputError: numbers that don't fit together.
        """
        if self.seeds < 1:
            raise InputError(f"seeds must be 1 or more, got {self.seeds}")
        if given_cameras(self.given) is not None:
            return [None]
        elevations = self.elevations_deg
        if len(elevations) == 1:
            elevations = elevations * len(self.azimuths_deg)
        if not self.azimuths_deg or len(elevations) != len(self.azimuths_deg):
            raise InputError(f"{len(self.azimuths_deg)} azimuths but {len(self.elevations_deg)} elevations")
        return [PhotoPose(*pose) for pose in zip(self.azimuths_deg, elevations, strict=True)]


@dataclass(frozen=True)
class EvaluationSettings:
    """An evaluation of a model, or of results that are there.

    Attributes:
        selection: the true objects.
        inputs: what the model is given; of `results` the photo that they were made from, whose view is scored apart.
        protocol: how results are scored.
        model: name or folder of a model, or a baseline's name; None where there are results.
        results: folder of another system's meshes, or None.
        results_up: the results' axis that points up.
        results_front: the results' axis that the front looks along; None takes the one after up.
        name: of the system in tables; None takes the model's, or the results' folder's.
        leave_out_failures: means over results that are there, instead of counting failures against the system.

    Example:
        >>> settings = EvaluationSettings(ObjectSelection("GSO"), model="tiny")
    """

    selection: ObjectSelection
    inputs: GivenInputs = field(default_factory=GivenInputs)
    protocol: ScoringProtocol = field(default_factory=ScoringProtocol)
    model: str | None = None
    results: str | None = None
    results_up: str = "y"
    results_front: str | None = None
    leave_out_failures: bool = False
    name: str | None = None

    @property
    def system(self) -> str:
        """What is evaluated, for tables."""
        if self.name is not None:
            return self.name
        return Path(self.results).name if self.results is not None else str(self.model)

    def check(self) -> None:
        """Refuse what can't be, before any work.

        Raises:
            InputError: neither or both of a model and results, no such view set, poses that don't fit.
        """
        if (self.model is None) == (self.results is None):
            raise InputError("give either a model or a folder of results")
        if self.protocol.views is not None:
            check_view_set(self.protocol.views)
        self.inputs.poses()

    def record(self) -> dict[str, Any]:
        """What settings.json and reports say."""
        protocol = self.protocol
        return {
            "system": self.system,
            **{name: value for name, value in asdict(self).items() if name != "protocol"},
            "protocol": {
                **asdict(protocol),
                "alignment": protocol.alignment.value,
                "points": protocol.sample_count,
            },
        }

    @classmethod
    def from_record(cls, record: dict[str, Any]) -> "EvaluationSettings":
        """The inverse of `record`, also after it went through JSON.

        Raises:
            InputError: it is no such record.
        """
        try:
            values = {name: value for name, value in record.items() if name != "system"}
            inputs, protocol = values["inputs"], values["protocol"]
            angles = {name: tuple(inputs[name]) for name in ("azimuths_deg", "elevations_deg")}
            alignment, perceptual = AlignmentMethod(protocol["alignment"]), tuple(protocol["perceptual"])
            return cls(
                **{
                    **values,
                    "selection": ObjectSelection(**values["selection"]),
                    "inputs": GivenInputs(**{**inputs, **angles}),
                    "protocol": ScoringProtocol(**{**protocol, "alignment": alignment, "perceptual": perceptual}),
                }
            )
        except (KeyError, TypeError, ValueError) as error:
            raise InputError(f"no settings of an evaluation ({type(error).__name__}: {error})") from error
