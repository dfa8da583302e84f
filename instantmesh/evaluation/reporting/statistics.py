"""Means over objects with intervals, and paired differences of two evaluations.

An object that was reconstructed several times (photos, seeds) counts once, with the mean of its items: the intervals
are about other objects like these, not about other noise.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from instantmesh.errors import InputError
from instantmesh.evaluation.metric_names import known
from instantmesh.evaluation.records import EvaluationRecord

RESAMPLES = 10_000
_CONFIDENCE = 0.95


@dataclass(frozen=True)
class Estimate:
    """A mean over objects.

    Attributes:
        mean: of them.
        low: end of its bootstrapped 95 % interval.
        high: its other end.
        objects: how many.
    """

    mean: float
    low: float
    high: float
    objects: int


@dataclass(frozen=True)
class Difference:
    """How two evaluations differ in one metric, over the objects that both have.

    Attributes:
        first: mean of the first evaluation.
        second: of the second.
        difference: second less first, with its interval.
        second_is_larger: share of the objects where the second is larger; ties count half.
    """

    first: float
    second: float
    difference: Estimate
    second_is_larger: float

    @property
    def is_certain(self) -> bool:
        """Whether the interval leaves out zero."""
        return self.difference.low > 0 or self.difference.high < 0


def estimate(values: Sequence[float], seed: int = 0) -> Estimate:
    """Mean and percentile interval of values, one an object.

    Args:
        values: at least one.
        seed: of the resampling; the same values in the same order give the same interval.

    Raises:
        InputError: there are none.
    """
    array = np.asarray(values, np.float64)
    if not len(array):
        raise InputError("there is no mean of nothing")
    means = array[_resamples(len(array), seed)].mean(1)
    tail = 100 * (1 - _CONFIDENCE) / 2
    low, high = np.percentile(means, [tail, 100 - tail])
    return Estimate(float(array.mean()), float(low), float(high), len(array))


def object_values(
    records: Sequence[EvaluationRecord], *, leave_out_failures: bool = False, unambiguous: bool = False
) -> dict[str, dict[str, float]]:
    """By metric and object: the mean over the object's items. Objects that are damaged are left out.

    Args:
        records: of one evaluation.
        leave_out_failures: whether items that failed are left out, instead of counting as results that aren't there.
        unambiguous: whether items whose rotation can't be told are left out.
    """
    collected: dict[str, dict[str, list[float]]] = {}
    for record in records:
        if record.status == "damaged" or (leave_out_failures and record.status == "failed"):
            continue
        if unambiguous and record.ambiguous:
            continue
        numbers = {**record.numbers, "generation_s": record.generation_s}
        for name in known(numbers):
            value = numbers[name]
            if value is not None:
                collected.setdefault(name, {}).setdefault(record.object, []).append(value)
    return {
        name: {key: float(np.mean(values)) for key, values in objects.items()} for name, objects in collected.items()
    }


def estimates(values: Mapping[str, Mapping[str, float]], seed: int = 0) -> dict[str, Estimate]:
    """Of every metric, given its values by object."""
    return {name: estimate(list(values[name].values()), seed) for name in known(values)}


def differences(
    first: Mapping[str, Mapping[str, float]], second: Mapping[str, Mapping[str, float]], seed: int = 0
) -> dict[str, Difference]:
    """Of every metric that both evaluations have, over the objects that both have.

    Raises:
        InputError: they have no object in common.
    """
    found = {}
    for name in known(set(first) & set(second)):
        objects = [key for key in first[name] if key in second[name]]
        if objects:
            a, b = (np.array([values[name][key] for key in objects]) for values in (first, second))
            larger = float(((b > a) + 0.5 * (b == a)).mean())
            found[name] = Difference(float(a.mean()), float(b.mean()), estimate((b - a).tolist(), seed), larger)
    if not found:
        raise InputError("the two evaluations have no object in common")
    return found


def _resamples(count: int, seed: int) -> NDArray[np.int64]:
    return np.random.default_rng(seed).integers(count, size=(RESAMPLES, count))
