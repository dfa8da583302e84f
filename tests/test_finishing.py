"""Finishing as a whole: the order of its steps, wishes refused before work, methods of the mesh."""

import pytest
import torch

from instantmesh import CleanReport, InputError, Mesh, SimplifyReport, WatertightReport, finish
from instantmesh.finishing import Finishing
from tests.mesh.shapes import joined, ring, sphere


@pytest.mark.parametrize(
    ("wishes", "message"),
    [
        ({"keep_components": 1.5}, "keep_components is a share"),
        ({"largest_hole": -0.1}, "largest_hole is a share"),
        ({"target_faces": 3}, "has 4 faces"),
    ],
)
def test_what_can_t_be_is_refused_at_once(wishes: dict[str, float], message: str) -> None:
    with pytest.raises(InputError, match=message):
        Finishing(**wishes)  # pyright: ignore[reportArgumentType]


def test_steps_come_in_their_order_and_say_what_they_did() -> None:
    mesh = joined(ring(), sphere(radius=0.02, centre=(2.0, 0, 0)))
    done = mesh.finish(target_faces=500, watertight=True)
    assert [type(step) for step in done.steps] == [CleanReport, SimplifyReport, WatertightReport]
    assert str(done).count("\n") == 2
    assert len(done.mesh.faces) <= 500
    report = done.mesh.report()
    assert (report.components, report.watertight, report.euler_number) == (1, True, 0)


def test_the_method_is_the_function() -> None:
    mesh = ring()
    by_method, by_function = mesh.finish(target_faces=400).mesh, finish(mesh, target_faces=400).mesh
    assert isinstance(by_method, Mesh)
    assert torch.equal(by_method.vertices, by_function.vertices)
    assert torch.equal(by_method.faces, by_function.faces)
