"""Finishing as a whole: the order of its steps, and options refused before work."""

from dataclasses import replace

import pytest

from instantmesh import (
    CleanReport,
    InputError,
    Mesh,
    SimplifyReport,
    TextureReport,
    WatertightReport,
    finish,
    finishing,
    report,
)
from instantmesh.finishing import Finishing
from tests.mesh.shapes import joined, ring, sphere


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"min_component_area": 1.5}, "min_component_area is a share"),
        ({"largest_hole": -0.1}, "largest_hole is a share"),
        ({"target_faces": 3}, "has 4 faces"),
        ({"texture_size": 16}, "texture_size must be"),
    ],
)
def test_what_can_t_be_is_refused_at_once(options: dict[str, float], message: str) -> None:
    with pytest.raises(InputError, match=message):
        Finishing(**options)  # pyright: ignore[reportArgumentType]


def test_steps_come_in_their_order_and_say_what_they_did() -> None:
    mesh = joined(ring(), sphere(radius=0.02, centre=(2.0, 0, 0)))
    done = finish(mesh, min_component_area=0.03, target_faces=500, watertight=True, texture_size=128)
    assert [type(step) for step in done.steps] == [CleanReport, SimplifyReport, WatertightReport, TextureReport]
    assert str(done).count("\n") == 3
    assert done.mesh.texture is not None
    assert done.mesh.texture.image.shape == (3, 128, 128)
    assert len(done.mesh.faces) <= 500
    found = report(done.mesh)
    assert (found.components, found.watertight, found.euler_number) == (1, True, 0)


def test_a_texture_is_made_anew_at_its_own_size() -> None:
    textured = finish(ring(), texture_size=128).mesh
    again = finish(textured, target_faces=300).mesh
    assert again.texture is not None
    assert again.texture.image.shape == (3, 128, 128)
    assert len(again.texture.uv) == len(again.faces) <= 300


@pytest.mark.parametrize(("own_px", "size_px"), [(16, 64), (200, 200), (2100, 2048)])
def test_sizes_that_nobody_gave_are_possible_ones(own_px: int, size_px: int, monkeypatch: pytest.MonkeyPatch) -> None:
    mesh = finish(ring(), texture_size=64).mesh
    assert mesh.texture is not None
    image = mesh.texture.image.mean((1, 2), keepdim=True).expand(3, own_px, own_px)
    asked: list[int] = []

    def no_bake(mesh: Mesh, original: Mesh, size: int, **_: object) -> None:
        asked.append(size)
        raise InterruptedError

    monkeypatch.setattr(finishing, "bake", no_bake)
    with pytest.raises(InterruptedError):
        finish(replace(mesh, texture=replace(mesh.texture, image=image)))
    assert asked == [size_px]


def test_all_parts_and_the_format_of_the_texture_stay() -> None:
    mesh = joined(ring(), sphere(0.02, centre=(0.0, 0.0, 2.0)))
    textured = finish(mesh, texture_size=128).mesh
    assert textured.texture is not None
    assert textured.texture.format == "png"
    again = finish(replace(textured, texture=replace(textured.texture, format="jpeg"))).mesh
    assert again.texture is not None
    assert again.texture.format == "jpeg"
    assert report(again).components == 2
