"""Chamfer distance and F-score between sets of points."""

import torch
from jaxtyping import Float
from torch import Tensor

from instantmesh.errors import InputError


def nearest_distances(
    a: Float[Tensor, "n 3"], b: Float[Tensor, "m 3"]
) -> tuple[Float[Tensor, " n"], Float[Tensor, " m"]]:
    """Distance from each point of `a` to its nearest in `b`, and from each of `b` to its nearest in `a`.

    Raises:
        InputError: one of the sets is empty.
    """
    from scipy.spatial import KDTree  # here, so that importing the package stays fast

    if not len(a) or not len(b):
        raise InputError("distances need at least one point in each set")
    points_a, points_b = a.detach().cpu().numpy(), b.detach().cpu().numpy()
    a_to_b, _ = KDTree(points_b).query(points_a)
    b_to_a, _ = KDTree(points_a).query(points_b)
    return torch.as_tensor(a_to_b), torch.as_tensor(b_to_a)


def chamfer_distance(a_to_b: Float[Tensor, " n"], b_to_a: Float[Tensor, " m"]) -> float:
    """Mean of both directions' mean nearest distances, not squared."""
    return float(a_to_b.mean() + b_to_a.mean()) / 2


def f_score(a_to_b: Float[Tensor, " n"], b_to_a: Float[Tensor, " m"], threshold: float) -> float:
    """Harmonic mean of precision and recall: the shares of points nearer than `threshold` to the other set.

    Source: Knapitsch et al., Tanks and Temples (2017), eq. 4-6.
    """
    precision = float((a_to_b < threshold).double().mean())
    recall = float((b_to_a < threshold).double().mean())
    return 2 * precision * recall / (precision + recall) if precision + recall else 0.0
