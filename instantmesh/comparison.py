"""Several models on one photo, side by side in one image."""

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from instantmesh.errors import InstantMeshError
from instantmesh.files.image_files import to_pil
from instantmesh.hub import MODELS
from instantmesh.images import open_image
from instantmesh.images.cutout import Background
from instantmesh.images.reading import ImageSource
from instantmesh.pipeline.pipeline import Pipeline
from instantmesh.render.preview import preview_sheet

_TILE_PX = 160
_LABEL_PX = 300  # width of the text beside each row
_MARGIN_PX = 12
_FONT_PX = 15


@dataclass(frozen=True)
class Entry:
    """What one model made of the photo.

    Attributes:
        model: name or folder.
        licence: of its weights.
        preview: (3, h, w) the mesh from four sides; None where the model isn't to be had or failed.
        seconds: from photo to mesh, loading not counted.
        faces: of the mesh.
        reason: why there is no preview.
    """

    model: str
    licence: str
    preview: Float[Tensor, "3 h w"] | None = None
    seconds: float = 0.0
    faces: int = 0
    reason: str = ""


def compare(
    photo: ImageSource,
    models: Sequence[str],
    *,
    seed: int | None = None,
    background: Background = "auto",
    load: Callable[[str], Pipeline] = Pipeline.from_pretrained,
) -> Iterator[Entry]:
    """Run every model on the photo, one after the other; only one is in memory at a time.

    Args:
        photo: as in `Pipeline.__call__`.
        models: names or folders.
        seed: as in `Pipeline.__call__`.
        background: likewise.
        load: makes a pipeline of a name.

    Yields:
        One entry for each model, in order. A model that isn't to be had, or can't do it, has the reason in it.

    Raises:
        ImageError: the photo can't be read.
    """
    open_image(photo)  # a photo that no model can read is the caller's matter
    for name in models:
        licence = "; ".join(dict.fromkeys(part.licence for part in MODELS[name].parts)) if name in MODELS else "-"
        try:
            pipeline = load(name)
            start = time.perf_counter()
            result = pipeline(photo, seed=seed, background=background)
            seconds = time.perf_counter() - start
        except InstantMeshError as error:
            yield Entry(name, licence, reason=" ".join(str(error).split()))
            continue
        preview = preview_sheet(result.mesh, _TILE_PX)
        yield Entry(name, licence, preview, seconds, len(result.mesh.faces))


def comparison_sheet(photo: ImageSource, entries: Sequence[Entry]) -> Float[Tensor, "3 h w"]:
    """The photo on top; below, a row for each entry: name, time, licence, and four sides in colour and grey."""
    row_height, width = 2 * _TILE_PX + _MARGIN_PX, _LABEL_PX + 4 * _TILE_PX + 2 * _MARGIN_PX
    sheet = Image.new("RGB", (width, row_height * (1 + len(entries)) + _MARGIN_PX), "white")
    rgb = open_image(photo)
    image = to_pil(rgb[:3] * rgb[3:] + 1 - rgb[3:] if len(rgb) == 4 else rgb)
    image.thumbnail((4 * _TILE_PX, 2 * _TILE_PX))
    sheet.paste(image, (_LABEL_PX + _MARGIN_PX, _MARGIN_PX))
    _write(sheet, _MARGIN_PX, ["the photo"])
    for row, entry in enumerate(entries, start=1):
        top = row * row_height + _MARGIN_PX
        if entry.preview is None:
            _write(sheet, top, [entry.model, f"licence: {entry.licence}", f"skipped: {entry.reason}"])
            continue
        _write(sheet, top, [entry.model, f"{entry.seconds:.1f} s, {entry.faces:,} faces", f"licence: {entry.licence}"])
        sheet.paste(to_pil(entry.preview), (_LABEL_PX + _MARGIN_PX, top))
    return torch.from_numpy(np.asarray(sheet).copy()).permute(2, 0, 1).float() / 255


def _write(sheet: Image.Image, top: int, paragraphs: Sequence[str]) -> None:
    """Text in the column of labels, broken into lines."""
    draw, font = ImageDraw.Draw(sheet), ImageFont.load_default(_FONT_PX)
    lines: list[str] = []
    for paragraph in paragraphs:
        line = ""
        for word in paragraph.split():
            longer = f"{line} {word}".strip()
            if line and draw.textlength(longer, font) > _LABEL_PX - _MARGIN_PX:
                lines.append(line)
                longer = word
            line = longer
        lines.append(line)
    draw.multiline_text((_MARGIN_PX, top), "\n".join(lines[: 2 * _TILE_PX // (_FONT_PX + 4)]), "black", font)
