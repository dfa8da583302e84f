"""Pages that show a mesh: one HTML text with everything in it, drawn by WebGL.

Nothing is asked of a network, so pages work in notebooks, from disk and by mail. What travels: places of 16 bit,
faces, places in the texture or 8-bit colours, deflated; and the texture as PNG or, where that is smaller, as JPEG.
Browsers since 2023 show it (WebGL 2, DecompressionStream).

Shapes: v vertices, f faces.
"""

import base64
import html
import io
import json
import sys
import tempfile
import webbrowser
import zlib
from importlib.resources import files
from os import PathLike
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from instantmesh import backends
from instantmesh.errors import InputError, OutputError
from instantmesh.files.atomic import write_bytes
from instantmesh.files.image_files import to_pil
from instantmesh.geometry.bounds import to_unit_sphere
from instantmesh.render.raster import PLAIN_COLOR
from instantmesh.structures import Mesh, Texture

_JPEG_QUALITY = 95


def viewer_html(mesh: Mesh) -> str:
    """A page that shows the mesh: drag to turn it, scroll or pinch to come nearer, double-click to go back.

    Its colours, or without light differences its shape in grey, or its faces; whatever its size and place.

    Raises:
        InputError: it has no faces.
    """
    if not len(mesh.faces):
        raise InputError("the mesh has no faces: there is nothing to show")
    placed = to_unit_sphere(mesh)
    faces = placed.faces.detach().cpu().numpy()
    parts = [faces.astype("<u4"), _sixteen_bit(placed.vertices.detach().cpu().numpy() / 2 + 0.5)]
    if mesh.texture is not None:
        parts.append(_sixteen_bit(mesh.texture.uv.detach().cpu().numpy()))
    else:
        parts.append(_colors(mesh))
    model = {
        "vertices": len(placed.vertices),
        "faces": len(faces),
        "data": _base64(zlib.compress(b"".join(part.tobytes() for part in parts), level=6)),
        "texture": None if mesh.texture is None else _image(mesh.texture),
    }
    page = files("instantmesh.viewer").joinpath("viewer.html").read_text(encoding="utf-8")
    return page.replace("$MODEL", json.dumps(model))


def notebook_html(mesh: Mesh, height_px: int = 480) -> str:
    """`viewer_html` in a frame, for a notebook's output.

    Raises:
        InputError: it has no faces.
    """
    page = html.escape(viewer_html(mesh))
    style = f"width: 100%; height: {height_px}px; border: 0"
    return f'<div><iframe sandbox="allow-scripts" srcdoc="{page}" style="{style}"></iframe></div>'


def save_page(mesh: Mesh, path: str | PathLike[str], *, overwrite: bool = True) -> Path:
    """Write `viewer_html` to a file.

    Raises:
        InputError: it has no faces.
        OutputError: the ending isn't .html, folder not writable, or the file exists and `overwrite` is False.

    Example:
        >>> instantmesh.save_page(mesh, "mesh.html")
    """
    if Path(path).suffix.lower() != ".html":
        raise OutputError(f"{Path(path).name}: a page's name ends with .html")
    return write_bytes(path, viewer_html(mesh).encode(), overwrite=overwrite)


def show(mesh: Mesh) -> None:
    """Show the mesh in the notebook that this runs in, or else in the browser; no network is needed.

    Args:
        mesh: of any size, in any place.

    Raises:
        InputError: it has no faces.
        OutputError: no browser could be started.

    Example:
        >>> instantmesh.show(result.mesh)
    """
    if _in_notebook():
        display = backends.load("IPython.display")
        display.display(display.HTML(notebook_html(mesh)))
        return
    with tempfile.NamedTemporaryFile(prefix="instantmesh-", suffix=".html", delete=False) as file:
        file.write(viewer_html(mesh).encode())  # stays: the browser reads it after we are gone
    page = Path(file.name)
    if not webbrowser.open(page.as_uri()):
        raise OutputError(f"no browser could be started here; the page is {page}")


def _in_notebook() -> bool:
    """Whether Python runs as a notebook's kernel. IPython in a terminal is none."""
    ipython = sys.modules.get("IPython")
    shell = None if ipython is None else ipython.get_ipython()
    return getattr(shell, "kernel", None) is not None


def _sixteen_bit(shares: NDArray[np.floating]) -> NDArray[np.uint16]:
    """Numbers in [0, 1] as integers, little-endian as browsers have them."""
    return (shares.clip(0, 1) * 65535).round().astype("<u2")


def _colors(mesh: Mesh) -> NDArray[np.uint8]:
    """(v, 3) sRGB of 8 bit."""
    if mesh.vertex_colors is None:
        return np.full((len(mesh.vertices), 3), round(PLAIN_COLOR * 255), np.uint8)
    return (mesh.vertex_colors.detach().cpu().numpy().clip(0, 1) * 255).round().astype(np.uint8)


def _image(texture: Texture) -> str:
    """A data URL: PNG or, where it is smaller, JPEG with colours at full resolution: charts mustn't run together."""
    image, png, jpeg = to_pil(texture.image), io.BytesIO(), io.BytesIO()
    image.save(png, "PNG")
    image.save(jpeg, "JPEG", quality=_JPEG_QUALITY, subsampling=0)
    kind, data = min(("png", png.getvalue()), ("jpeg", jpeg.getvalue()), key=lambda file: len(file[1]))
    return f"data:image/{kind};base64,{_base64(data)}"


def _base64(data: bytes) -> str:
    return base64.b64encode(data).decode("ascii")
