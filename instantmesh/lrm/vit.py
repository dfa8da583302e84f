"""The image encoder: a vision transformer of DINO's or DINOv2's kind, whose blocks a camera can modulate.

Symbols: b objects, v views, n = b v images, t tokens of one view (CLS first, then patches row-major), d hidden size.
"""

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.functional import interpolate, normalize, silu

from instantmesh.config import ViTConfig
from instantmesh.errors import InputError
from instantmesh.lrm.attention import Attention, fourier_features, mlp, modulated, random_values, run_block

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)
_RAY_DEPTHS = (-0.7, 0.0, 0.7)  # around the point of the ray nearest to the camera's distance from the origin


class LayerScale(nn.Module):
    """A learned factor for each channel of a residual branch (CaiT, arXiv 2103.17239)."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.gamma = nn.Parameter(torch.ones(dim))

    def forward(self, x: Float[Tensor, "... d"]) -> Float[Tensor, "... d"]:
        return self.gamma * x


class ViTBlock(nn.Module):
    """Pre-norm block; under a camera LN(x) becomes LN(x) (1 + scale) + shift, both from the camera's embedding."""

    def __init__(self, config: ViTConfig) -> None:
        super().__init__()
        d = config.hidden_size
        self.norm1 = nn.LayerNorm(d, config.norm_eps)
        self.attention = Attention(d, config.heads, qkv_bias=True, out_bias=True)
        self.scale1 = LayerScale(d) if config.layer_scale else nn.Identity()
        self.norm2 = nn.LayerNorm(d, config.norm_eps)
        self.mlp = mlp(d, config.mlp_size)
        self.scale2 = LayerScale(d) if config.layer_scale else nn.Identity()
        self.modulation = nn.Linear(d, 4 * d) if config.camera_modulation else None
        if self.modulation is not None:  # training starts from the unmodulated transformer
            nn.init.zeros_(self.modulation.weight)
            nn.init.zeros_(self.modulation.bias)

    def forward(self, x: Float[Tensor, "n t d"], camera: Float[Tensor, "n d"] | None) -> Float[Tensor, "n t d"]:
        first = second = None
        if self.modulation is not None:
            assert camera is not None
            shift1, scale1, shift2, scale2 = self.modulation(silu(camera))[:, None].chunk(4, dim=-1)
            first, second = (shift1, scale1), (shift2, scale2)
        h = modulated(self.norm1(x), first)
        x = x + self.scale1(self.attention(h, h))
        return x + self.scale2(self.mlp(modulated(self.norm2(x), second)))


class ViT(nn.Module):
    """Images, and cameras where they modulate it (InstantMesh, section 3.2), to tokens."""

    def __init__(self, config: ViTConfig) -> None:
        super().__init__()
        d = config.hidden_size
        self.config = config
        self.gradient_checkpointing = False
        self.patch_embedding = nn.Conv2d(3, d, config.patch_size, stride=config.patch_size)
        self.cls_token = nn.Parameter(random_values(1, 1, d, std=0.02))
        self.register_tokens = (
            nn.Parameter(random_values(1, config.register_tokens, d, std=0.02)) if config.register_tokens else None
        )
        self.position_embedding = nn.Parameter(random_values(1, 1 + config.trained_grid**2, d, std=0.02))
        self.camera_embedding = (
            nn.Sequential(nn.Linear(16, d), nn.SiLU(), nn.Linear(d, d)) if config.camera_modulation else None
        )
        self.ray_embedding = (
            nn.Linear(3 * len(_RAY_DEPTHS) * (1 + 2 * config.ray_octaves), d) if config.ray_octaves else None
        )
        self.blocks = nn.ModuleList(ViTBlock(config) for _ in range(config.layers))
        self.norm = nn.LayerNorm(d, config.norm_eps)

    def forward(
        self, images: Float[Tensor, "b v 3 height width"], cameras: Float[Tensor, "b v 16"] | None = None
    ) -> Float[Tensor, "b vt d"]:
        """Tokens of all views, view after view; registers have done their work and aren't among them.

        Args:
            images: RGB in [0, 1]; height and width multiples of the patch size, otherwise free.
            cameras: the 16 numbers of `instantmesh.cameras.camera_vector`, where the configuration uses cameras.

        Raises:
            InputError: the images don't divide into patches.
        """
        b, v, _, height, width = images.shape
        patch = self.config.patch_size
        if height % patch or width % patch:
            raise InputError(f"a {width} x {height} image doesn't divide into patches of {patch} pixels")
        pixels = images.flatten(0, 1)
        if self.config.imagenet_normalised:
            mean, std = (images.new_tensor(values).view(3, 1, 1) for values in (IMAGENET_MEAN, IMAGENET_STD))
            pixels = (pixels - mean) / std
        x = self.patch_embedding(pixels)
        h, w = x.shape[-2:]
        x = x.flatten(2).transpose(1, 2)
        vectors = None if cameras is None else cameras.flatten(0, 1)
        if self.ray_embedding is not None:
            assert vectors is not None
            x = x + self.ray_embedding(fourier_features(ray_points(vectors, h, w), self.config.ray_octaves))
        x = self._with_extra_tokens(x + self._patch_positions(h, w))
        camera = None if self.camera_embedding is None else self.camera_embedding(vectors)
        for block in self.blocks:
            x = run_block(block, x, camera, gradient_checkpointing=self.gradient_checkpointing)
        tokens = self.norm(x)
        if self.register_tokens is not None:
            tokens = torch.cat([tokens[:, :1], tokens[:, 1 + self.config.register_tokens :]], dim=1)
        return tokens.unflatten(0, (b, v)).flatten(1, 2)

    def _with_extra_tokens(self, patches: Float[Tensor, "n p d"]) -> Float[Tensor, "n q d"]:
        """CLS, which has a position, and registers, which have none, before the patches."""
        first = [self.cls_token + self.position_embedding[:, :1]]
        if self.register_tokens is not None:
            first.append(self.register_tokens)
        return torch.cat([*(token.expand(len(patches), -1, -1) for token in first), patches], dim=1)

    def _patch_positions(self, h: int, w: int) -> Float[Tensor, "1 hw d"]:
        """Position embeddings of h x w patches.

        DINO's own code resizes them by a scale factor with 0.1 added; DINOv2's, for its models with registers, by size
        and antialiased.
        """
        n = self.config.trained_grid
        patches = self.position_embedding[:, 1:]
        if (h, w) == (n, n):
            return patches
        grid = patches.transpose(1, 2).unflatten(-1, (n, n))
        if self.config.position_resizing == "dino":
            factors = ((h + 0.1) / n, (w + 0.1) / n)
            grid = interpolate(grid, scale_factor=factors, mode="bicubic", align_corners=False)
        else:
            grid = interpolate(grid, (h, w), mode="bicubic", align_corners=False, antialias=True)
        return grid.flatten(2).transpose(1, 2)


def ray_points(cameras: Float[Tensor, "n 16"], h: int, w: int) -> Float[Tensor, "n hw 9"]:
    """Three world points on the central ray of each of h x w patches: before, at and behind the origin's distance."""
    pose, (fx, fy, cx, cy) = cameras[:, :12].unflatten(-1, (3, 4)), cameras[:, 12:].unbind(-1)
    v, u = torch.meshgrid(
        (torch.arange(h, device=cameras.device) + 0.5) / h,
        (torch.arange(w, device=cameras.device) + 0.5) / w,
        indexing="ij",
    )
    x = (u.reshape(1, -1) - cx[:, None]) / fx[:, None]
    y = -(v.reshape(1, -1) - cy[:, None]) / fy[:, None]
    direction = normalize(torch.stack([x, y, -torch.ones_like(x)], dim=-1), dim=-1) @ pose[:, :, :3].mT
    origin = pose[:, None, :, 3]
    distance = origin.norm(dim=-1, keepdim=True)
    return torch.cat([origin + (distance + depth) * direction for depth in _RAY_DEPTHS], dim=-1)
