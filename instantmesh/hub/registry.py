"""The models this library knows, as data. A new model is an entry here and a file in configs/model."""

import difflib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from instantmesh.errors import UnknownModelError

Role = Literal["embedded", "reconstruction", "unet", "diffusion"]


@dataclass(frozen=True)
class RemoteFile:
    """A file of a hub repository: its path there and its size, rounded."""

    path: str
    size_bytes: int


@dataclass(frozen=True)
class ModelPart:
    """Files of one origin and licence.

    Attributes:
        role: what the pipeline uses them for.
        licence: of these weights, which may differ from the code's.
        repo: the Hugging Face repository, or None for files that come with the package.
        files: the repository's files that are needed, empty for embedded ones.
    """

    role: Role
    licence: str
    repo: str | None = None
    files: tuple[RemoteFile, ...] = ()

    @property
    def size_bytes(self) -> int:
        """To download, rounded; 0 for embedded files."""
        return sum(file.size_bytes for file in self.files)

    @property
    def source(self) -> str:
        """Where the files come from, for people."""
        return f"https://huggingface.co/{self.repo}" if self.repo else "comes with the package"


@dataclass(frozen=True)
class Model:
    """A model by its public name.

    Attributes:
        name: as users type it; its configuration is configs/model/<name>.yaml.
        description: one line.
        system: name of the reconstruction system, see `instantmesh.systems`.
        parts: what it is made of.
        fingerprint: shapes of tensors that tell its reconstruction weights from every other model's.
    """

    name: str
    description: str
    system: str
    parts: tuple[ModelPart, ...]
    fingerprint: Mapping[str, tuple[int, ...]] = field(default_factory=dict)

    @property
    def size_bytes(self) -> int:
        """To download in all, rounded."""
        return sum(part.size_bytes for part in self.parts)

    def part(self, role: Role) -> ModelPart:
        """The part with this role; KeyError where the model has none."""
        for part in self.parts:
            if part.role == role:
                return part
        raise KeyError(f"{self.name} has no part {role!r}")


_INSTANTMESH = "TencentARC/InstantMesh"
_WHITE_UNET = ModelPart("unet", "Apache-2.0", _INSTANTMESH, (RemoteFile("diffusion_pytorch_model.bin", 1_730_000_000),))
# The UNet's own weights aren't among the files: the white-background ones take their place.
_ZERO123PLUS = ModelPart(
    "diffusion",
    "CC BY-NC 4.0 (weights: no commercial use), code Apache-2.0",
    "sudo-ai/zero123plus-v1.2",
    (
        RemoteFile("model_index.json", 3_000),
        RemoteFile("scheduler/scheduler_config.json", 1_000),
        RemoteFile("unet/config.json", 2_000),
        RemoteFile("vae/config.json", 1_000),
        RemoteFile("vae/diffusion_pytorch_model.safetensors", 167_000_000),
        RemoteFile("vision_encoder/config.json", 1_000),
        RemoteFile("vision_encoder/model.safetensors", 1_264_000_000),
        RemoteFile("text_encoder/config.json", 1_000),
        RemoteFile("text_encoder/model.safetensors", 681_000_000),
        RemoteFile("tokenizer/tokenizer_config.json", 1_000),
        RemoteFile("tokenizer/vocab.json", 1_060_000),
        RemoteFile("tokenizer/merges.txt", 525_000),
        RemoteFile("feature_extractor_clip/preprocessor_config.json", 1_000),
        RemoteFile("feature_extractor_vae/preprocessor_config.json", 1_000),
    ),
)


def _instantmesh(kind: Literal["mesh", "nerf"], size: Literal["base", "large"]) -> Model:
    channels = {"base": 40, "large": 80}[size]
    first_layer = {"mesh": "synthesizer.decoder.net_sdf.0.weight", "nerf": "synthesizer.decoder.net.0.weight"}[kind]
    weights = RemoteFile(f"instant_{kind}_{size}.ckpt", {"base": 1_250_000_000, "large": 1_510_000_000}[size])
    surface = {"mesh": "FlexiCubes mesh", "nerf": "triplane NeRF"}[kind]
    return Model(
        name=f"instant-{kind}-{size}",
        description=f"InstantMesh (arXiv 2404.07191), {surface}, {size}; six views by Zero123++ v1.2",
        system="instantmesh",
        parts=(ModelPart("reconstruction", "Apache-2.0", _INSTANTMESH, (weights,)), _WHITE_UNET, _ZERO123PLUS),
        fingerprint={"transformer.deconv.weight": (1024, channels, 2, 2), first_layer: (64, 3 * channels)},
    )


_TRIPOSR = Model(
    name="triposr",
    description="TripoSR (arXiv 2403.02151), triplane NeRF from one view",
    system="triposr",
    parts=(ModelPart("reconstruction", "MIT", "stabilityai/TripoSR", (RemoteFile("model.ckpt", 1_680_000_000),)),),
    fingerprint={"tokenizer.embeddings": (3, 1024, 32, 32), "post_processor.upsample.weight": (1024, 40, 2, 2)},
)


def _openlrm(data: Literal["obj", "mix"], size: Literal["small", "base", "large"]) -> Model:
    trained_on = {"obj": "Objaverse", "mix": "Objaverse and MVImgNet"}[data]
    size_bytes = {"small": 446_000_000, "base": 1_040_000_000, "large": 1_810_000_000}[size]
    dim, channels = {"small": (512, 32), "base": (768, 48), "large": (1024, 80)}[size]
    repo = f"zxhezexin/openlrm-{data}-{size}-1.1"
    return Model(
        name=f"openlrm-{data}-{size}-1.1",
        description=f"OpenLRM 1.1 (LRM, arXiv 2311.04400), triplane NeRF from one view, {size}; data: {trained_on}",
        system="openlrm",
        parts=(
            ModelPart(
                "reconstruction",
                "CC BY-NC 4.0 (weights: no commercial use), code Apache-2.0",
                repo,
                (RemoteFile("model.safetensors", size_bytes),),
            ),
        ),
        fingerprint={"pos_embed": (1, 3072, dim), "upsampler.weight": (dim, channels, 2, 2)},
    )


_ALL = (
    Model(
        name="tiny",
        description="A small model, from one photo or six views, to try everything on without a download",
        system="instantmesh",
        parts=(ModelPart("embedded", "Apache-2.0"),),
    ),
    _instantmesh("mesh", "large"),
    _instantmesh("mesh", "base"),
    _instantmesh("nerf", "large"),
    _instantmesh("nerf", "base"),
    _TRIPOSR,
    *(_openlrm(data, size) for data in ("obj", "mix") for size in ("small", "base", "large")),
)

MODELS: Mapping[str, Model] = {model.name: model for model in _ALL}


def resolve(name: str) -> Model:
    """The model called `name`.

    Raises:
        UnknownModelError: there is none; the message names the nearest ones.
    """
    if name in MODELS:
        return MODELS[name]
    near = difflib.get_close_matches(name.lower().replace("_", "-"), MODELS, n=2, cutoff=0.5)
    guess = f"; did you mean {' or '.join(near)}?" if near else "."
    raise UnknownModelError(f"there is no model {name!r}{guess} Known models: {', '.join(MODELS)}")
