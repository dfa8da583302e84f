"""Base colours of glTF materials, and what else they have that is lost here.

Source: the glTF 2.0 specification, sections 3.8 ("Texture Data") and 3.9 ("Materials"); KHR_texture_transform;
KHR_materials_pbrSpecularGlossiness.
"""

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from instantmesh.errors import InputError
from instantmesh.files.asset_images import GLTF_FORMATS, AssetImage, decode_image
from instantmesh.files.gltf.document import Document
from instantmesh.files.gltf.extensions import SPECULAR_GLOSSINESS, TEXTURE_TRANSFORM, WEBP
from instantmesh.files.texture_images import TextureFormat

Array = NDArray[np.floating]
Pixels = NDArray[np.uint8]

_CLAMP, _MIRROR = 33071, 33648


@dataclass(frozen=True)
class BaseColor:
    """What a material's triangles are coloured with.

    Attributes:
        factor: (3,) linear; None where the file says nothing.
        texture: (h, w, 3) sRGB that repeats, or None.
        uv_set: which texture coordinates it is looked up with.
        uv_matrix: (2, 3) from those to places in `texture`.
        clamped: per axis, whether the texture ends at its border.
        lost: what else the material has, in words.
        texture_format: how the file keeps the texture.
    """

    factor: Array | None
    texture: Pixels | None
    uv_set: int
    uv_matrix: Array
    clamped: tuple[bool, bool]
    lost: frozenset[str]
    texture_format: TextureFormat = "png"

    def place(self, uv: Array) -> Array:
        """Texture coordinates (v, 2) as places in `texture`."""
        placed = uv @ self.uv_matrix[:, :2].T + self.uv_matrix[:, 2]
        return np.where(self.clamped, placed.clip(0, 1 - 1e-6), placed)


class Materials:
    """The materials of a document; images are decoded once."""

    def __init__(self, document: Document) -> None:
        self._document = document
        self._images: dict[int, AssetImage] = {}
        self._mirrored: dict[tuple[int, bool, bool], Pixels] = {}

    def base_color(self, index: int | None) -> BaseColor:
        """The colour of a material; without one, nothing is known of it.

        Raises:
            InputError: there is no such material, or its image can't be read.
        """
        document = self._document
        if index is None:
            return BaseColor(None, None, 0, np.eye(2, 3), (False, False), frozenset())
        material = document.item("materials", index)
        pbr = document.mapping(material.get("pbrMetallicRoughness"))
        factor, info = pbr.get("baseColorFactor"), pbr.get("baseColorTexture")
        lost = self._lost(material, pbr)
        glossy = document.mapping(material.get("extensions")).get(SPECULAR_GLOSSINESS)
        if factor is None and info is None and glossy is not None:
            diffuse = document.mapping(glossy)
            factor, info = diffuse.get("diffuseFactor"), diffuse.get("diffuseTexture")
        rgba = None if factor is None else np.array(document.numbers(factor, 4, []))
        if rgba is not None and rgba[3] < 1 and material.get("alphaMode", "OPAQUE") != "OPAQUE":
            lost |= {"transparency"}
        shines = material.get("emissiveTexture"), document.numbers(material.get("emissiveFactor"), 3, [0.0] * 3)
        if info is None and (rgba is None or not rgba[:3].any()) and any(shines[1]):  # light is all there is to see
            rgba, info = np.array([*shines[1], 1.0]), shines[0]
        elif any(shines[1]):
            lost |= {"emission"}
        rgb = None if rgba is None else rgba[:3].clip(0, 1)
        if info is None:
            return BaseColor(rgb, None, 0, np.eye(2, 3), (False, False), frozenset(lost))
        return self._textured(document.mapping(info), rgb, lost, material)

    def _textured(
        self, info: dict[str, Any], factor: Array | None, lost: set[str], material: dict[str, Any]
    ) -> BaseColor:
        document = self._document
        texture = document.item("textures", info.get("index"))
        image = self._image(self._source(texture))
        pixels = image.pixels
        if image.shrunk_from_px is not None:
            lost = lost | {f"texture's full size ({image.shrunk_from_px} pixels)"}
        if image.has_alpha and material.get("alphaMode", "OPAQUE") != "OPAQUE":
            lost = lost | {"transparency"}
        sampler = document.item("samplers", texture["sampler"]) if texture.get("sampler") is not None else {}
        modes = [sampler.get(axis) for axis in ("wrapS", "wrapT")]
        matrix, uv_set = _placement(document, info)
        mirrored = (modes[0] == _MIRROR, modes[1] == _MIRROR)
        if any(mirrored):
            matrix = matrix / np.where(mirrored, 2.0, 1.0)[:, None]
            pixels = self._with_mirrors(pixels, mirrored)
        clamped = (modes[0] == _CLAMP, modes[1] == _CLAMP)
        plain = factor is None or bool((factor > 0.999).all())
        shown = None if plain else factor
        return BaseColor(shown, pixels, uv_set, matrix, clamped, frozenset(lost), image.format)

    def _source(self, texture: dict[str, Any]) -> int:
        """The index of a texture's image, the one in WebP if there is one."""
        webp = self._document.mapping(texture.get("extensions")).get(WEBP)
        source = texture.get("source") if webp is None else self._document.mapping(webp).get("source")
        if source is None:
            raise self._document.fault("a texture has no image in a format that is read here (PNG, JPEG, WebP)")
        return self._document.whole(source)

    def _image(self, index: int) -> AssetImage:
        if index not in self._images:
            image = self._document.item("images", index)
            uri = image.get("uri")
            if image.get("bufferView") is not None:
                data, _ = self._document.view(image["bufferView"])
            elif isinstance(uri, str):
                data = self._document.resource(uri)
            else:
                raise self._document.fault(f"images[{index}] has no data")
            try:
                self._images[index] = decode_image(data, GLTF_FORMATS)
            except InputError as error:
                what = f"a texture is missing or can't be read (images[{index}]: {error})"
                raise self._document.fault(what) from error
        return self._images[index]

    def _with_mirrors(self, pixels: Pixels, axes: tuple[bool, bool]) -> Pixels:
        """An image beside its mirror image, which repeats as the image alone is mirrored."""
        key = (id(pixels), *axes)
        if key not in self._mirrored:
            doubled = pixels
            if axes[0]:
                doubled = np.concatenate([doubled, doubled[:, ::-1]], axis=1)
            if axes[1]:
                doubled = np.concatenate([doubled, doubled[::-1]], axis=0)
            self._mirrored[key] = doubled
        return self._mirrored[key]

    def _lost(self, material: dict[str, Any], pbr: dict[str, Any]) -> set[str]:
        found = set()
        if material.get("normalTexture") is not None:
            found.add("normal maps")
        if pbr.get("metallicRoughnessTexture") is not None or pbr.get("metallicFactor", 0) not in (0, 0.0):
            found.add("metalness and roughness")
        names = self._document.mapping(material.get("extensions"))
        if "KHR_materials_transmission" in names or "KHR_materials_volume" in names:
            found.add("transmission")
        return found


def _placement(document: Document, info: dict[str, Any]) -> tuple[Array, int]:
    """(2, 3) from texture coordinates to places in the image, and which set they come from.

    Angles turn coordinates counter-clockwise as an image is looked at, that is with v down.
    """
    uv_set = document.whole(info.get("texCoord"), 0)
    transform = document.mapping(info.get("extensions")).get(TEXTURE_TRANSFORM)
    if transform is None:
        return np.eye(2, 3), uv_set
    given = document.mapping(transform)
    offset, scale = (document.numbers(given.get(k), 2, [d] * 2) for k, d in (("offset", 0.0), ("scale", 1.0)))
    angle = document.numbers([given.get("rotation", 0.0)], 1, [])[0]
    cos, sin = math.cos(angle), math.sin(angle)
    matrix = np.array([[cos * scale[0], sin * scale[1], offset[0]], [-sin * scale[0], cos * scale[1], offset[1]]])
    return matrix, document.whole(given.get("texCoord"), uv_set)
