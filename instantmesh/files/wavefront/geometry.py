"""The lines of an OBJ file as arrays.

Source: Wavefront, "Object Files (.obj)", appendix B1 of the Advanced Visualizer manual; vertex colours as MeshLab and
ZBrush write them, behind the coordinates.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from instantmesh.errors import InputError

Array = NDArray[np.floating]

_UNREAD = {
    "l": "points and lines",
    "p": "points and lines",
    "curv": "free-form curves and surfaces",
    "curv2": "free-form curves and surfaces",
    "surf": "free-form curves and surfaces",
}


@dataclass(frozen=True)
class ObjGeometry:
    """What an OBJ file's lines say.

    Attributes:
        vertices: (v, 3).
        colors: (v, 3) sRGB in [0, 1], or None.
        uv: (t, 2), v up.
        normals: (n, 3).
        corners: (f, 3, 3) for each triangle and corner the vertex, the texture place and the normal; -1 for none.
        material: (f,) index into `materials`; -1 for none.
        materials: names, as they are first used.
        libraries: what follows `mtllib`, in order.
        lost: what is there besides triangles, in words.
    """

    vertices: Array
    colors: Array | None
    uv: Array
    normals: Array
    corners: NDArray[np.int64]
    material: NDArray[np.int64]
    materials: list[str]
    libraries: list[str]
    lost: frozenset[str]


def read_geometry(path: Path) -> ObjGeometry:
    """Read the file; polygons become fans of triangles.

    Raises:
        InputError: a line isn't made of numbers, or a face has a corner that isn't there.
    """
    rows: dict[str, list[str]] = {"v": [], "vt": [], "vn": []}
    polygons: list[str] = []
    material_of: list[int] = []
    materials: dict[str, int] = {}
    libraries, lost, material = [], set(), -1
    for key, rest in statements(path):
        if key in rows:
            rows[key].append(rest)
        elif key == "f":
            rest = rest.partition("#")[0]
            polygons.append(_counted_from_the_start(rest, rows) if "-" in rest else rest)
            material_of.append(material)
        elif key == "usemtl":
            material = materials.setdefault(rest, len(materials))
        elif key == "mtllib":
            libraries.append(rest)
        elif key in _UNREAD:
            lost.add(_UNREAD[key])
    try:
        vertices, colors = _vertices(rows["v"])
        uv, normals = _columns(rows["vt"], 2), _columns(rows["vn"], 3)
        corners, polygon = _triangles(polygons)
    except (ValueError, OverflowError) as error:
        raise InputError(f"{path} can't be read as OBJ: {error}") from error
    _check(path, corners, (len(vertices), len(uv), len(normals)))
    of_triangles = np.array(material_of, dtype=np.int64)[polygon]
    return ObjGeometry(
        vertices, colors, uv, normals, corners, of_triangles, list(materials), libraries, frozenset(lost)
    )


def statements(path: Path) -> Iterator[tuple[str, str]]:
    """Keyword and values of each line of an OBJ or MTL file; a backslash at its end joins a line with the next."""
    data = path.read_bytes()
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError:  # of old programs
        text = data.decode("latin-1")
    for line in text.replace("\\\r\n", " ").replace("\\\n", " ").splitlines():
        key, _, values = line.strip().replace("\t", " ").partition(" ")
        yield key, values.strip()


def _vertices(lines: list[str]) -> tuple[Array, Array | None]:
    """Places and colours; colours above 1 are 8-bit values."""
    if not any(len(line.split(maxsplit=6)) >= 6 for line in lines[:1] + lines[-1:]):
        return _columns(lines, 3), None
    values = _columns(lines, 6)
    colors = values[:, 3:]
    return values[:, :3], (colors / 255 if np.nanmax(colors, initial=0) > 1 else colors).clip(0, 1)


def _columns(lines: list[str], count: int) -> Array:
    """(lines, count) numbers; texture places may have one fewer, which is 0, and colours may be missing, which is 1."""
    words = [line.split() for line in lines]
    if any(len(row) < count for row in words):
        fill = ["0"] * 2 if count == 2 else ["nan"] * 3 + ["1"] * 3
        words = [row + fill[len(row) : count] if row else fill[:count] for row in words]
    values = np.array([row[:count] for row in words], dtype=np.float64).reshape(-1, count)
    return values


def _counted_from_the_start(corners: str, rows: dict[str, list[str]]) -> str:
    """A face whose negative numbers count back from the lines before it."""
    counts = [len(rows[key]) for key in ("v", "vt", "vn")]
    words = []
    for word in corners.split():
        numbers = word.split("/")
        back = [
            str(count + 1 + int(number)) if number.startswith("-") and number[1:].isdecimal() else number
            for number, count in zip(numbers, counts, strict=False)
        ]
        words.append("/".join(back))
    return " ".join(words)


def _triangles(polygons: list[str]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """(f, 3, 3) corners counted from 0, and which line each triangle comes from."""
    words = [polygon.split() for polygon in polygons]
    sizes = np.array([len(row) for row in words], dtype=np.int64)
    corners = _corner_numbers([word for row in words for word in row])
    starts = np.cumsum(sizes) - sizes
    triangles, lines = [np.zeros((0, 3), np.int64)], [np.zeros(0, np.int64)]
    for second in range(1, int(sizes.max(initial=0)) - 1):
        long_enough = np.flatnonzero(sizes > second + 1)
        first = starts[long_enough]
        triangles.append(np.stack([first, first + second, first + second + 1], axis=1))
        lines.append(long_enough)
    line = np.concatenate(lines)
    order = np.argsort(line, kind="stable")
    return corners[np.concatenate(triangles)[order]], line[order]


def _corner_numbers(words: Sequence[str]) -> NDArray[np.int64]:
    """(c, 3) vertex, texture place and normal of `v`, `v/t`, `v//n` and `v/t/n`, counted from 0; -1 for none."""
    numbers = np.full((len(words), 3), -1, np.int64)
    slashes = np.array([word.count("/") for word in words], dtype=np.int64)
    if len(words) and (slashes == slashes[0]).all() and slashes[0] <= 2 and not any("//" in word for word in words):
        width = int(slashes[0]) + 1
        numbers[:, :width] = np.array(" ".join(words).replace("/", " ").split(), np.int64).reshape(-1, width) - 1
        return numbers
    for row, word in enumerate(words):
        for column, number in enumerate(word.split("/")[:3]):
            if number:
                numbers[row, column] = int(number) - 1
    return numbers


def _check(path: Path, corners: NDArray[np.int64], counts: tuple[int, int, int]) -> None:
    if not len(corners):
        return
    for column, (count, name) in enumerate(zip(counts, ("vertices", "texture places", "normals"), strict=True)):
        low, high = int(corners[..., column].min()), int(corners[..., column].max())
        if high >= count or low < (0 if name == "vertices" else -1):
            wrong = high + 1 if high >= count else low + 1
            raise InputError(f"{path} can't be read as OBJ: a face asks for number {wrong} of {count:,} {name}")
