"""Shapes after LRM-Zero: the recipe's fractions, closed surfaces that face outwards, cuts that know their texture."""

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from instantmesh.cameras import rays, six_view_cameras
from instantmesh.data.object_renderer import Surface
from instantmesh.data.procedural.zeroverse import HELD_OUT_SEED, Recipe, build, random_recipe, random_shape
from instantmesh.data.procedural.zeroverse.booleans import difference
from instantmesh.data.procedural.zeroverse.noise import cell_hash, random_noise
from instantmesh.data.procedural.zeroverse.primitives import KINDS, primitive_mesh
from instantmesh.data.procedural.zeroverse.recipe import COUNT_WEIGHTS, RADIUS, Cut, Wires
from instantmesh.data.procedural.zeroverse.solids import Solid, concatenate
from instantmesh.data.procedural.zeroverse.textures import PATTERNS, random_texture
from instantmesh.data.procedural.zeroverse.wireframes import tubes
from instantmesh.geometry.rays import RayScene

SEEDS = range(HELD_OUT_SEED, HELD_OUT_SEED + 24)


@pytest.fixture(scope="module")
def recipes() -> list[Recipe]:
    return [random_recipe(seed) for seed in range(300)]


def volumes(vertices: np.ndarray, faces: np.ndarray, place: np.ndarray) -> np.ndarray:
    """Signed volumes of the connected parts of a closed surface, after a check that it is closed."""
    joined = place[faces]
    directed = np.concatenate([joined[:, [0, 1]], joined[:, [1, 2]], joined[:, [2, 0]]])
    forward, backward = Counter(map(tuple, directed)), Counter(map(tuple, directed[:, ::-1]))
    assert forward == backward
    assert max(forward.values()) == 1
    n = int(place.max()) + 1
    _, part = connected_components(coo_array((np.ones(len(directed)), directed.T), shape=(n, n)), directed=False)
    a, b, c = vertices[faces].astype(np.float64).transpose(1, 0, 2)
    per_part = np.bincount(part[joined[:, 0]], (a * np.cross(b, c)).sum(1) / 6)
    return per_part[np.unique(part[joined])]


def solid_of(kind: str, half_side: float, centre: tuple[float, float, float], texture: int) -> Solid:
    mesh = primitive_mesh(kind, 64, 4)
    local = mesh.points * np.float32(half_side)
    points = local + np.array(centre, np.float32)
    owner = np.full(len(mesh.faces), texture)
    return Solid(points[mesh.place], mesh.faces, mesh.vertex_normals(points), local[mesh.place], owner, mesh.place)


@pytest.mark.parametrize(
    ("kind", "volume"),
    [("cube", 8.0), ("sphere", 4 / 3 * np.pi), ("cylinder", 2 * np.pi), ("cone", 2 / 3 * np.pi),
     ("torus", 2 * np.pi**2 * 0.7 * 0.09)],
)  # fmt: skip
@pytest.mark.parametrize("cells", [1, 5])
def test_primitives_are_closed_and_have_their_volume(kind, volume, cells):
    mesh = primitive_mesh(kind, 128, cells)
    assert volumes(mesh.points, mesh.place[mesh.faces], np.arange(len(mesh.points))) == pytest.approx(
        [volume], rel=5e-3
    )
    assert np.abs(mesh.points).max() == pytest.approx(1, abs=1e-6)
    triangles_of_euler = len(mesh.points) - len(mesh.faces) // 2  # v - e + f of triangles, where e = 3 f / 2
    assert triangles_of_euler == (0 if kind == "torus" else 2)


def test_wireframes_of_cubes_have_no_diagonals():
    assert len(primitive_mesh("cube", 8, 1).edges) == 12
    assert len(primitive_mesh("cube", 8, 2).edges) == 48
    assert len(primitive_mesh("cylinder", 8, 1).edges) == 8 * 5  # two circles, the side's lines, spokes at both ends


def test_normals_are_smooth_where_the_surface_is_and_break_at_creases():
    sphere, cube, cone = (primitive_mesh(kind, 64, 3) for kind in ("sphere", "cube", "cone"))
    assert np.allclose(sphere.vertex_normals(sphere.points), sphere.points[sphere.place], atol=0.02)  # at the poles
    assert len(sphere.place) == len(sphere.points)
    assert np.allclose(np.sort(np.abs(cube.vertex_normals(cube.points)), axis=1), [0, 0, 1], atol=1e-6)
    normals = cone.vertex_normals(cone.points)
    side = normals[:, 2] > -0.9
    assert np.allclose(normals[side, 2], 1 / np.sqrt(5), atol=5e-3)  # up to the tip, which has no normal of its own
    assert np.allclose(normals[~side], [0, 0, -1], atol=1e-6)


def test_recipes_keep_to_the_paper_s_fractions(recipes):
    def near(share: float, expected: float, n: int) -> bool:
        return abs(share - expected) < 3.5 * np.sqrt(expected * (1 - expected) / n)

    counts = np.array([len(recipe.primitives) for recipe in recipes])
    for count, weight in enumerate(COUNT_WEIGHTS, start=1):
        assert near((counts == count).mean(), weight / sum(COUNT_WEIGHTS), len(recipes))
    for kind, expected in ((Cut, 0.4), (Wires, 0.2), (type(None), 0.4)):
        assert near(np.mean([isinstance(recipe.finish, kind) for recipe in recipes]), expected, len(recipes))
    primitives = [primitive for recipe in recipes for primitive in recipe.primitives]
    assert near(np.mean([p.height_field is not None for p in primitives]), 0.5, len(primitives))
    for kind in KINDS:
        assert near(np.mean([p.kind == kind for p in primitives]), 0.2, len(primitives))
    centres, sides = np.array([p.position for p in primitives]), np.array([p.half_sides for p in primitives])
    assert np.abs(centres).max() <= 1
    assert np.abs(centres).max(0).min() > 0.95
    assert np.abs(np.corrcoef(sides.T)[np.triu_indices(3, 1)]).max() < 0.12  # each axis by itself
    for primitive in primitives[:50]:
        assert np.linalg.det(primitive.rotation) == pytest.approx(1, abs=1e-5)
    assert {primitive.texture.pattern for primitive in primitives} == set(PATTERNS)


@pytest.mark.parametrize("seed", SEEDS)
def test_shapes_are_closed_face_outwards_and_fit_the_unit_sphere(seed):
    shape, recipe = random_shape(seed), random_recipe(seed)
    assert isinstance(shape, Surface)
    parts = volumes(shape.vertices, shape.faces, shape.solid.place)
    if isinstance(recipe.finish, Cut):
        assert parts.sum() > 0  # a hole that nothing leads to is a part of its own, inside out
    else:
        assert (parts > 0).all()
    assert RADIUS[0] - 1e-4 < np.linalg.norm(shape.vertices, axis=1).max() < RADIUS[1] + 1e-4
    assert np.allclose(shape.vertices.min(0), -shape.vertices.max(0), atol=1e-5)


def test_what_cameras_see_faces_them():
    origin, direction = (ray.reshape(-1, 3).numpy() for ray in rays(six_view_cameras(), 32, 32))
    for seed in SEEDS:
        shape = random_shape(seed)
        hits = RayScene(shape.vertices, shape.faces).first_hits(origin, direction)
        found = hits.face >= 0
        assert found.mean() > 0.02
        points = origin[found] + hits.distance[found, None] * direction[found]
        colors, normals = shape.shade(points, hits.face[found], hits.barycentric[found])
        assert np.allclose(np.linalg.norm(normals, axis=1), 1, atol=1e-4)
        assert ((normals * direction[found]).sum(1) < 0.1).mean() > 0.97
        assert 0 <= colors.min() <= colors.max() <= 1


def test_a_cut_carries_the_texture_of_what_was_cut_out():
    """A cube of side 2 loses an eighth of a ball at its corner (1, 1, 1)."""
    cube, ball = solid_of("cube", 1, (0, 0, 0), texture=0), solid_of("sphere", 0.8, (1, 1, 1), texture=1)
    (rest,) = difference([cube], ball)
    assert volumes(rest.vertices, rest.faces, rest.place).sum() == pytest.approx(8 - np.pi / 6 * 0.8**3, rel=2e-3)
    cut = np.unique(rest.faces[rest.texture == 1])
    assert set(np.unique(rest.texture)) == {0, 1}
    from_centre = rest.vertices[cut] - 1
    distance = np.linalg.norm(from_centre, axis=1)
    assert np.allclose(distance, 0.8, atol=3e-3)  # on the ball, but for its facets
    assert np.allclose(rest.local[cut], from_centre, atol=1e-5)  # the ball's own coordinates
    assert np.allclose(rest.normals[cut], -from_centre / distance[:, None], atol=0.03)  # into the hole
    kept = np.unique(rest.faces[rest.texture == 0])
    assert np.allclose(np.abs(rest.vertices[kept]).max(1), 1, atol=1e-5)  # on the cube
    assert np.allclose(rest.local[kept], rest.vertices[kept], atol=1e-5)


def test_differences_of_what_is_inside_and_what_is_apart():
    cube, far = solid_of("cube", 0.3, (0, 0, 0), texture=0), solid_of("cube", 0.3, (3, 0, 0), texture=1)
    rests = difference([cube, far], solid_of("sphere", 1, (0, 0, 0), texture=2))
    assert len(rests) == 1
    assert rests[0] is far


def test_cut_shapes_show_their_cuts():
    seeds = [seed for seed in SEEDS if isinstance(random_recipe(seed).finish, Cut)]
    assert len(seeds) >= 5
    for seed in seeds:
        recipe, shape = random_recipe(seed), random_shape(seed)
        of_cutter = np.flatnonzero(shape.solid.texture == len(recipe.primitives))
        middle = np.full((len(of_cutter), 3), 1 / 3)
        colors, _ = shape.shade(np.zeros_like(middle), of_cutter, middle)
        local = shape.solid.local[shape.faces[of_cutter]].mean(1)
        pattern = recipe.finish.primitive.texture(local)
        assert len(of_cutter) > 0
        assert np.isclose(colors, pattern, atol=1e-3).mean() > 0.97  # but where rounding crosses a pattern's edge


def test_a_tube_is_a_closed_prism_around_its_edge():
    points = np.array([(0, 0, 0), (0.3, -0.2, 1), (2, 2, 2)], np.float32)
    tube = tubes(points, points, np.array([[0, 1], [2, 2]]), radius=0.05, texture=7)  # the second edge has no length
    length = float(np.linalg.norm(points[1]))
    hexagon = 1.5 * np.sqrt(3) * 0.05**2
    assert volumes(tube.vertices, tube.faces, tube.place) == pytest.approx(
        [hexagon * (length + 2 * 0.05 / 3)], rel=1e-4
    )
    assert (tube.texture == 7).all()
    along = np.clip(tube.vertices @ points[1] / length**2, 0, 1)
    assert np.allclose(np.linalg.norm(tube.vertices - along[:, None] * points[1], axis=1), 0.05, atol=1e-5)
    ends = {tuple(row) for row in tube.local.tolist()}
    assert ends == {tuple(points[0].tolist()), tuple(points[1].tolist())}


def test_concatenation_keeps_solids_apart():
    cube, ball = solid_of("cube", 1, (0, 0, 0), texture=0), solid_of("sphere", 0.8, (1, 1, 1), texture=1)
    both = concatenate([cube, ball])
    assert volumes(both.vertices, both.faces, both.place) == pytest.approx([8, 4 / 3 * np.pi * 0.8**3], rel=5e-3)


def test_textures_vary_and_depend_on_place_alone():
    points = np.random.default_rng(0).uniform(-1, 1, (2000, 3)).astype(np.float32)
    means, patterns = [], set()
    for seed in range(60):
        texture = random_texture(np.random.default_rng(seed))
        colors = texture(points)
        assert colors.shape == points.shape
        assert 0 <= colors.min() <= colors.max() <= 1
        assert (
            np.array_equal(colors[::7], texture(points[::7]))
            or np.isclose(colors[::7], texture(points[::7])).mean() > 0.99
        )
        if texture.pattern != "solid":
            assert np.ptp(colors, axis=0).max() > 0.02
        means.append(colors.mean(0))
        patterns.add(texture.pattern)
    assert patterns == set(PATTERNS)
    assert np.std(means, axis=0).min() > 0.1


def test_noise_has_its_spread_and_frequency():
    rng = np.random.default_rng(0)
    points = rng.uniform(-50, 50, (20_000, 3)).astype(np.float32)
    for octaves in (1, 3):
        noise = random_noise(rng, frequency=3.0, octaves=octaves)
        value = noise(points)
        assert value.mean() == pytest.approx(0, abs=0.03)
        assert value.std() == pytest.approx(0.5, abs=0.03)
    smooth = random_noise(rng, frequency=3.0)
    slope = (smooth(points + np.float32(0.01) * np.eye(3, dtype=np.float32)[0]) - smooth(points)) / 0.01
    assert np.sqrt((slope**2).mean() * 3) == pytest.approx(3 * 0.5, rel=0.5)
    numbers = cell_hash(np.indices((20, 20, 20)).reshape(3, -1).T - 10, salt=5)
    assert len(np.unique(numbers)) > 0.99 * len(numbers)
    assert (numbers / 2**31).mean() == pytest.approx(0.5, abs=0.02)
    assert 0 <= numbers.min() <= numbers.max() < 2**31


def test_height_fields_move_surfaces_along_their_normals(recipes):
    primitive = next(
        p for r in recipes for p in r.primitives if p.kind == "sphere" and p.height_field and not p.height_field.ridged
    )
    mesh = primitive_mesh("sphere", 40, 12)
    heights = primitive.height_field(mesh.points)
    assert 0.2 * primitive.height_field.height < heights.std() < primitive.height_field.height
    shape = build(Recipe((primitive,), None, radius=1.0))
    radius = np.linalg.norm(shape.solid.local / primitive.half_sides, axis=1)
    assert np.corrcoef(radius, (1 + heights)[mesh.place])[0, 1] > 0.999
    flat = build(Recipe((replace(primitive, height_field=None),), None, radius=1.0))
    assert np.ptp(np.linalg.norm(flat.solid.local / primitive.half_sides, axis=1)) < 1e-5
