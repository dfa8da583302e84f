"""A glTF file's JSON and its bytes. Nothing outside the file's folder is opened.

Source: the glTF 2.0 specification, sections 3.6 ("Binary Data Storage") and 4 ("GLB File Format").
"""

import base64
import binascii
import json
import struct
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import unquote

from instantmesh.errors import InputError

_LARGEST_JSON = 1 << 28
_JSON, _BINARY = b"JSON", b"BIN\0"


class Document:
    """The document of a .glb or .gltf file.

    Attributes:
        path: of the file.

    Raises:
        InputError: it isn't glTF 2.0.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._binary: bytes | None = None
        content = self._parsed()
        if not isinstance(content, dict):
            raise self.fault("its JSON isn't an object")
        self._content: dict[str, Any] = content
        version = self.mapping(content.get("asset")).get("version")
        if not str(version).startswith("2"):
            raise self.fault(f"it is glTF {version}; version 2 is read")
        self._buffers: dict[int, bytes] = {}

    def fault(self, what: str) -> InputError:
        """An error about this file."""
        return InputError(f"{self.path} can't be read as glTF: {what}")

    def get(self, key: str) -> Any:
        """A member of the document; None where it is missing."""
        return self._content.get(key)

    def names(self, key: str) -> list[str]:
        """The strings of a list."""
        return [name for name in self.list_of(self._content.get(key)) if isinstance(name, str)]

    def item(self, key: str, index: Any) -> dict[str, Any]:
        """An element of one of the document's lists: an accessor, a mesh, ...

        Raises:
            InputError: there is none of that index.
        """
        found = self.list_of(self._content.get(key))
        if isinstance(index, bool) or not isinstance(index, int) or not 0 <= index < len(found):
            raise self.fault(f"there is no {key}[{index}]")
        return self.mapping(found[index])

    def list_of(self, value: Any) -> list[Any]:
        """A list, empty where nothing is given.

        Raises:
            InputError: it is something else.
        """
        if value is None:
            return []
        if not isinstance(value, list):
            raise self.fault(f"a list is needed where it has {str(value)[:40]!r}")
        return value

    def mapping(self, value: Any) -> dict[str, Any]:
        """A JSON object, empty where nothing is given. Raises InputError as `list_of`."""
        if value is None:
            return {}
        if not isinstance(value, dict):
            raise self.fault(f"an object is needed where it has {str(value)[:40]!r}")
        return value

    def whole(self, value: Any, default: int | None = None) -> int:
        """A whole number of at least 0. Raises InputError as `list_of`."""
        value = default if value is None else value
        if isinstance(value, bool) or not isinstance(value, int) or value < 0:
            raise self.fault(f"a whole number is needed where it has {value!r}")
        return value

    def numbers(self, value: Any, count: int, default: list[float]) -> list[float]:
        """As many finite numbers. Raises InputError as `list_of`."""
        found = self.list_of(value) if value is not None else default
        if len(found) != count or not all(
            isinstance(x, (int, float)) and not isinstance(x, bool) and abs(x) < 1e30 for x in found
        ):
            raise self.fault(f"{count} numbers are needed where it has {str(found)[:40]}")
        return [float(x) for x in found]

    def view(self, index: Any) -> tuple[bytes, int | None]:
        """The bytes of a buffer view, and its stride if it has one.

        Raises:
            InputError: it reaches beyond its buffer.
        """
        view = self.item("bufferViews", index)
        buffer = self._buffer(self.whole(view.get("buffer")))
        start, length = self.whole(view.get("byteOffset"), 0), self.whole(view.get("byteLength"))
        if start + length > len(buffer):
            raise self.fault(f"bufferViews[{index}] reaches beyond its buffer of {len(buffer):,} bytes")
        stride = view.get("byteStride")
        return buffer[start : start + length], None if stride is None else self.whole(stride)

    def resource(self, uri: str) -> bytes:
        """The bytes that a URI names: data in itself, or a file in this file's folder.

        Raises:
            InputError: damaged data, or a place outside the folder.
            MissingFileError: no such file.
        """
        if uri.startswith("data:"):
            head, comma, data = uri.partition(",")
            if not comma:
                raise self.fault("a data URI has no data")
            try:
                return base64.b64decode(data, validate=True) if head.endswith(";base64") else unquote(data).encode()
            except (binascii.Error, ValueError) as error:
                raise self.fault(f"a data URI is damaged ({error})") from error
        return self.inside(uri).read_bytes()

    def inside(self, uri: str) -> Path:
        """The file of a relative URI. Raises as `resource`."""
        name = PurePosixPath(unquote(uri))
        if "://" in uri or name.is_absolute() or ".." in name.parts:
            raise self.fault(f"it asks for {uri!r}, which isn't in its folder; copy it there")
        found = self.path.parent / name
        if not found.is_file():
            raise InputError(f"{self.path} needs the file {name}, which isn't there")
        return found

    def _buffer(self, index: int) -> bytes:
        if index not in self._buffers:
            buffer = self.item("buffers", index)
            uri = buffer.get("uri")
            if isinstance(uri, str):
                self._buffers[index] = self.resource(uri)
            elif index == 0 and self._binary is not None:
                self._buffers[index] = self._binary
            else:
                raise self.fault(f"buffers[{index}] has no data")
        return self._buffers[index]

    def _parsed(self) -> Any:
        try:
            data = self.path.read_bytes()
            if data[:4] != b"glTF":
                if len(data) > _LARGEST_JSON:
                    raise self.fault("its JSON is too large")
                return json.loads(data)
            length, kind = struct.unpack_from("<I4s", data, 12)
            if kind != _JSON or length > _LARGEST_JSON:
                raise self.fault("its first part isn't JSON")
            start = 20 + length
            if len(data) >= start + 8:
                binary_length, kind = struct.unpack_from("<I4s", data, start)
                if kind == _BINARY:
                    self._binary = data[start + 8 : start + 8 + binary_length]
            return json.loads(data[20:start])
        except (OSError, ValueError, struct.error, RecursionError) as error:
            raise self.fault(str(error)) from error
