"""Several models on one photo: what runs is shown, what doesn't says why."""

import numpy as np
import pytest
import torch
from PIL import Image

from instantmesh import Pipeline
from instantmesh.comparison import Entry, compare, comparison_sheet
from instantmesh.errors import ImageError


@pytest.fixture
def photo() -> Image.Image:
    rgba = np.zeros((48, 64, 4), np.uint8)
    rgba[12:36, 16:48] = (200, 40, 40, 255)
    return Image.fromarray(rgba)


def few_steps(name: str):
    pipeline = Pipeline.from_pretrained(name, device="cpu", local_files_only=True)
    return lambda photo, **values: pipeline(photo, steps=2, **values)


def test_models_that_are_here_run_and_others_say_why(photo, tmp_path, monkeypatch):
    monkeypatch.setenv("INSTANTMESH_CACHE", str(tmp_path))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    tiny, triposr, unknown = compare(photo, ["tiny", "triposr", "tinny"], seed=1, load=few_steps)
    assert (tiny.model, tiny.licence) == ("tiny", "Apache-2.0")
    assert tiny.preview is not None
    assert tiny.faces > 0
    assert tiny.seconds > 0
    assert triposr.preview is None
    assert "neither here nor to be downloaded" in triposr.reason
    assert triposr.licence == "MIT"
    assert "did you mean tiny" in unknown.reason


def test_a_photo_nobody_can_read_is_an_error():
    with pytest.raises(ImageError, match="no file"):
        next(compare("nowhere.png", ["tiny"]))


def test_the_sheet_has_a_row_for_each_model(photo):
    red = torch.zeros(3, 320, 640)
    red[0] = 1
    entries = [Entry("first", "MIT", red, 1.5, 1000), Entry("second", "-", reason="not here " * 40)]
    sheet = comparison_sheet(photo, entries)
    assert sheet.shape == (3, 3 * 332 + 12, 300 + 640 + 24)
    assert torch.equal(sheet[:, 332 + 12 : 332 + 12 + 320, 312 : 312 + 640], red)
    text = 1 - sheet[:, :, :300].mean(0)
    for row in range(3):
        assert float(text[row * 332 : (row + 1) * 332].sum()) > 50  # something is written
    assert float((1 - sheet[:, 2 * 332 + 12 :, 312:]).sum()) == 0  # nothing was made by the second
