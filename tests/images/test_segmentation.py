"""Objects before backgrounds of any kind: drawn photos whose true masks are known."""

import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter

from instantmesh.errors import ImageError
from instantmesh.images.cutout import cut_out, find_object
from instantmesh.images.edges import follow_edges, foreground_colors
from instantmesh.images.segmentation import geodesic_distance_to_border, segment

HEIGHT, WIDTH = 300, 360
Y, X = np.mgrid[:HEIGHT, :WIDTH]


def disc(x: float, y: float, radius: float) -> np.ndarray:
    """Soft mask (h, w)."""
    return np.clip(radius - np.hypot(X - x, Y - y) + 0.5, 0, 1).astype(np.float32)


def floor_and_wall(rng: np.random.Generator) -> np.ndarray:
    """A wall that gets darker, a lighter floor, a soft shadow where the object stands, grain."""
    wall = 0.75 - 0.25 * X / WIDTH
    light = np.where(Y < 200, wall, 0.8 - 0.1 * X / WIDTH)
    light = gaussian_filter(light, 6) - 0.25 * np.exp(-(((X - 190) / 80) ** 2) - ((Y - 240) / 22) ** 2)
    colors = light[..., None] * np.array([1.0, 0.95, 0.88])
    return (colors + rng.normal(0, 0.008, colors.shape)).clip(0, 1)


@pytest.fixture
def photo() -> tuple[np.ndarray, np.ndarray]:
    """(picture (h, w, 3), true mask (h, w)): a striped ball with a white cap."""
    rng = np.random.default_rng(0)
    mask = np.maximum(disc(180, 170, 70), disc(180, 90, 34))
    stripes = np.where((X // 14) % 2 == 0, 1.0, 0.55)[..., None] * np.array([0.75, 0.2, 0.15])
    colors = np.where((Y < 105)[..., None], [0.97, 0.97, 0.95], stripes)
    picture = mask[..., None] * colors + (1 - mask[..., None]) * floor_and_wall(rng)
    return picture.astype(np.float32), mask


def overlap(first: np.ndarray, second: np.ndarray) -> float:
    a, b = first > 0.5, second > 0.5
    return float((a & b).sum() / (a | b).sum())


def test_the_object_is_found_before_a_wall_and_a_floor(photo):
    picture, mask = photo
    found = segment(picture)
    assert overlap(found.mask, mask) > 0.98
    assert found.agreement > 0.9
    assert np.array_equal(segment(picture).mask, found.mask)


def test_any_photo_is_cut_out_without_a_network(photo):
    picture, mask = photo
    found = find_object(torch.from_numpy(picture).permute(2, 0, 1))
    assert found.method == "segment"
    assert found.doubts == ()
    assert overlap(found.rgba[3].numpy(), mask) > 0.98
    assert np.abs(found.rgba[3].numpy() - mask).mean() < 0.006
    assert float(found.rgba[3][40:60, 5:30].max()) == 0
    assert float(found.rgba[3][150:190, 150:210].min()) == 1


def test_shadows_and_slow_gradients_cost_less_than_outlines(photo):
    picture, _ = photo
    distance = geodesic_distance_to_border(picture)
    assert distance.min() >= 0
    assert distance[245, 190 - 85] < 0.3 * distance[170, 180]  # in the shadow, inside the object
    assert distance[20, 20] < 0.1 * distance[170, 180]


def test_a_path_costs_the_edges_that_it_crosses():
    """One step of brightness all around: a Sobel filter spreads it over two pixels, whose gradients add up to it."""
    picture = np.full((41, 41, 3), 0.2, np.float32)
    picture[12:29, 12:29] = 0.8
    distance = geodesic_distance_to_border(picture)
    lightness = [116 * ((((v + 0.055) / 1.055) ** 2.4) ** (1 / 3)) - 16 for v in (0.2, 0.8)]
    assert distance[20, 20] == pytest.approx(lightness[1] - lightness[0] + 0.02 * 20, rel=0.05)
    assert distance[5, 20] == pytest.approx(0.02 * 5, abs=0.03)


def test_an_object_that_is_cut_off_is_said(photo, caplog):
    picture, _ = photo
    low = torch.from_numpy(picture[:, 110:250].copy()).permute(2, 0, 1)
    cut = find_object(low, "segment")
    whole = find_object(torch.from_numpy(picture).permute(2, 0, 1), "segment")
    assert whole.doubts == ()
    assert cut.doubts
    with caplog.at_level("WARNING"):
        cut_out(low, "segment")
    assert "doubtful" in caplog.text


def test_an_outline_in_the_backgrounds_colours_is_said():
    grey = torch.full((3, 120, 120), 0.5)
    grey[:, 40:80, 40:80] = 0.53
    found = find_object(grey, "segment")
    assert any("background's colours" in doubt for doubt in found.doubts)


def test_nothing_but_one_colour_is_no_object():
    with pytest.raises(ImageError, match="no foreground"):
        find_object(torch.full((3, 64, 64), 0.4), "segment")


def test_edge_pixels_get_the_share_and_the_colour_of_the_object():
    """A large picture, whose mask was decided at a quarter of its size: the outline is found again to the pixel."""
    y, x = np.mgrid[:400, :400]
    true = np.clip(120 - np.hypot(x - 200, y - 200) + 0.5, 0, 1).astype(np.float32)
    picture = true[..., None] * np.float32([0.9, 0.1, 0.1]) + (1 - true[..., None]) * np.float32([0.1, 0.3, 0.8])
    small = picture.reshape(100, 4, 100, 4, 3).mean((1, 3))
    alpha = follow_edges(picture, small, true.reshape(100, 4, 100, 4).mean((1, 3)) > 0.5)
    assert np.abs(alpha - true).mean() < 0.004
    colors = foreground_colors(picture, alpha)
    edge = (true > 0.3) & (true < 0.7)
    assert np.abs(colors[edge] - [0.9, 0.1, 0.1]).mean() < 0.08 < 0.2 < np.abs(picture[edge] - [0.9, 0.1, 0.1]).mean()


class TestAlphaMasks:
    rgb = torch.rand(3, 64, 64, generator=torch.Generator().manual_seed(0))

    def masked(self, alpha: torch.Tensor) -> torch.Tensor:
        return torch.cat([self.rgb, alpha[None]])

    def test_rounded_corners_are_a_frame(self, photo):
        picture, mask = photo
        alpha = torch.ones(HEIGHT, WIDTH)
        for rows in (slice(0, 12), slice(-12, None)):
            for columns in (slice(0, 12), slice(-12, None)):
                alpha[rows, columns] = 0
        image = torch.cat([torch.from_numpy(picture).permute(2, 0, 1), alpha[None]])
        found = find_object(image)
        assert found.method == "segment"
        assert "taken for a frame" in found.doubts[0]
        assert overlap(found.rgba[3].numpy(), mask) > 0.97

    def test_a_mask_that_is_nearly_opaque_everywhere_hides_nothing(self, photo):
        picture, mask = photo
        image = torch.cat([torch.from_numpy(picture).permute(2, 0, 1), torch.full((1, HEIGHT, WIDTH), 250 / 255)])
        found = find_object(image)
        assert found.method == "segment"
        assert found.doubts == ()
        assert overlap(found.rgba[3].numpy(), mask) > 0.98

    def test_haze_and_stray_pixels_are_taken_away(self):
        alpha = torch.full((64, 64), 0.1)
        alpha[20:44, 20:44] = 1
        alpha[2, 2] = 1
        found = find_object(self.masked(alpha))
        assert found.method == "alpha"
        assert float(found.rgba[3, 20:44, 20:44].min()) == 1
        assert float(found.rgba[3].sum()) == 24 * 24
        assert torch.equal(cut_out(self.masked(alpha), "alpha"), self.masked(alpha))

    def test_two_large_parts_both_stay(self):
        alpha = torch.zeros(64, 64)
        alpha[10:30, 10:30], alpha[40:50, 40:50] = 1, 1
        assert torch.equal(cut_out(self.masked(alpha)), self.masked(alpha))
