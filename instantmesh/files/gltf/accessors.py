"""Arrays of numbers in a glTF file: of all component types, interleaved, normalised and sparse.

Source: the glTF 2.0 specification, section 3.6.2 ("Accessors").
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from instantmesh.files.gltf.document import Document

_TYPES: dict[int, np.dtype] = {
    5120: np.dtype("<i1"),
    5121: np.dtype("<u1"),
    5122: np.dtype("<i2"),
    5123: np.dtype("<u2"),
    5125: np.dtype("<u4"),
    5126: np.dtype("<f4"),
}
_WIDTHS = {"SCALAR": 1, "VEC2": 2, "VEC3": 3, "VEC4": 4, "MAT4": 16}
_MOST_NUMBERS = 1 << 28


def read_accessor(document: Document, index: Any) -> NDArray:
    """The elements (n, width) of an accessor: integers as they are, normalised ones as floats.

    Raises:
        InputError: a type that there isn't, or data that isn't there.
    """
    accessor = document.item("accessors", index)
    dtype, width = _layout(document, accessor, index)
    count = document.whole(accessor.get("count"))
    if count * width > _MOST_NUMBERS:
        raise document.fault(f"accessors[{index}] asks for {count:,} elements")
    if accessor.get("bufferView") is None:
        values = np.zeros((count, width), dtype)
    else:
        offset = document.whole(accessor.get("byteOffset"), 0)
        values = _elements(document, accessor["bufferView"], offset, count, width, dtype)
    if accessor.get("sparse") is not None:
        values = _replaced(document, document.mapping(accessor["sparse"]), values)
    return normalised(values) if accessor.get("normalized") is True else values


def normalised(values: NDArray) -> NDArray:
    """Integers as the shares of one that they stand for: in [0, 1], or [-1, 1] if they have a sign."""
    if not np.issubdtype(values.dtype, np.integer):
        return values
    return np.maximum(values.astype(np.float64) / np.iinfo(values.dtype).max, -1.0)


def _layout(document: Document, accessor: dict[str, Any], index: Any) -> tuple[np.dtype, int]:
    component, kind = accessor.get("componentType"), accessor.get("type")
    if component not in _TYPES or kind not in _WIDTHS:
        raise document.fault(f"accessors[{index}] has the type {kind!r} of {component!r}")
    return _TYPES[component], _WIDTHS[kind]


def _elements(document: Document, view: Any, offset: int, count: int, width: int, dtype: np.dtype) -> NDArray:
    data, stride = document.view(view)
    size = width * dtype.itemsize
    stride = size if stride is None else max(stride, size)
    if count == 0:
        return np.zeros((0, width), dtype)
    if offset + stride * (count - 1) + size > len(data):
        raise document.fault(f"bufferViews[{view}] is too short for {count:,} elements")
    strided = np.ndarray((count, width), dtype, data, offset, (stride, dtype.itemsize))
    return strided.copy()


def _replaced(document: Document, sparse: dict[str, Any], values: NDArray) -> NDArray:
    """The values, with those put in place that a sparse accessor lists."""
    count = document.whole(sparse.get("count"))
    where, what = document.mapping(sparse.get("indices")), document.mapping(sparse.get("values"))
    index_type = _TYPES.get(where.get("componentType", 0))
    if index_type is None or count > len(values):
        raise document.fault("a sparse accessor has indices of a type that there isn't, or too many")
    offsets = [document.whole(part.get("byteOffset"), 0) for part in (where, what)]
    indices = _elements(document, where.get("bufferView"), offsets[0], count, 1, index_type)[:, 0].astype(np.int64)
    if count and int(indices.max()) >= len(values):
        raise document.fault("a sparse accessor replaces an element that there isn't")
    values[indices] = _elements(document, what.get("bufferView"), offsets[1], count, values.shape[1], values.dtype)
    return values
