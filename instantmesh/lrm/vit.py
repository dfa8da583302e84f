"""The image encoder: a vision transformer whose blocks a camera can modulate.

Symbols: b objects, v views, t tokens of one view (CLS first, then patches row-major), d hidden size.
"""

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.functional import interpolate, normalize, silu

from instantmesh.config import ViTConfig
from instantmesh.errors import InputError
from instantmesh.lrm.attention import Attention, fourier_features, mlp

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)
_RAY_DEPTHS = (-0.7, 0.0, 0.7)  # around the point of the ray nearest to the camera's distance from the origin


class ModulatedBlock(nn.Module):
    """Pre-norm block; LN(x) becomes LN(x) (1 + scale) + shift, both from the camera embedding."""

    def __init__(self, config: ViTConfig) -> None:
        super().__init__()
        d = config.hidden_size
        self.norm1 = nn.LayerNorm(d, config.norm_eps)
        self.attention = Attention(d, config.heads, qkv_bias=True, out_bias=True)
        self.norm2 = nn.LayerNorm(d, config.norm_eps)
        self.mlp = mlp(d, config.mlp_size)
        self.modulation = nn.Linear(d, 4 * d)
        nn.init.zeros_(self.modulation.weight)  # training starts from the unmodulated transformer
        nn.init.zeros_(self.modulation.bias)

    def forward(self, x: Float[Tensor, "n t d"], camera: Float[Tensor, "n d"]) -> Float[Tensor, "n t d"]:
        shift1, scale1, shift2, scale2 = self.modulation(silu(camera))[:, None].chunk(4, dim=-1)
        h = self.norm1(x) * (1 + scale1) + shift1
        x = x + self.attention(h, h)
        return x + self.mlp(self.norm2(x) * (1 + scale2) + shift2)


class CameraViT(nn.Module):
    """DINO ViT with camera modulation (InstantMesh, section 3.2): pictures and cameras to tokens."""

    def __init__(self, config: ViTConfig) -> None:
        super().__init__()
        d = config.hidden_size
        self.config = config
        self.patch_embedding = nn.Conv2d(3, d, config.patch_size, stride=config.patch_size)
        self.cls_token = nn.Parameter(torch.randn(1, 1, d) * 0.02)
        self.position_embedding = nn.Parameter(torch.randn(1, 1 + config.trained_grid**2, d) * 0.02)
        self.camera_embedding = nn.Sequential(nn.Linear(16, d), nn.SiLU(), nn.Linear(d, d))
        self.ray_embedding = (
            nn.Linear(3 * len(_RAY_DEPTHS) * (1 + 2 * config.ray_octaves), d) if config.ray_octaves else None
        )
        self.blocks = nn.ModuleList(ModulatedBlock(config) for _ in range(config.layers))
        self.norm = nn.LayerNorm(d, config.norm_eps)

    def forward(
        self, images: Float[Tensor, "b v 3 height width"], cameras: Float[Tensor, "b v 16"]
    ) -> Float[Tensor, "b vt d"]:
        """Tokens of all views, view after view.

        Args:
            images: RGB in [0, 1]; height and width multiples of the patch size, otherwise free.
            cameras: the 16 numbers of `instantmesh.cameras.camera_vector`.

        Raises:
            InputError: the pictures don't divide into patches.
        """
        b, v, _, height, width = images.shape
        patch = self.config.patch_size
        if height % patch or width % patch:
            raise InputError(f"a {width} x {height} picture doesn't divide into patches of {patch} pixels")
        mean, std = (images.new_tensor(values).view(3, 1, 1) for values in (IMAGENET_MEAN, IMAGENET_STD))
        x = self.patch_embedding((images.flatten(0, 1) - mean) / std)
        h, w = x.shape[-2:]
        x = x.flatten(2).transpose(1, 2)
        vectors = cameras.flatten(0, 1)
        if self.ray_embedding is not None:
            x = x + self.ray_embedding(fourier_features(ray_points(vectors, h, w), self.config.ray_octaves))
        x = torch.cat([self.cls_token.expand(len(x), -1, -1), x], dim=1) + self._positions(h, w)
        camera = self.camera_embedding(vectors)
        for block in self.blocks:
            x = block(x, camera)
        return self.norm(x).unflatten(0, (b, v)).flatten(1, 2)

    def _positions(self, h: int, w: int) -> Tensor:
        """Position embeddings resized as DINO's own code did: by a scale factor with 0.1 added, not by size."""
        n = self.config.trained_grid
        if (h, w) == (n, n):
            return self.position_embedding
        cls, patches = self.position_embedding[:, :1], self.position_embedding[:, 1:]
        patches = interpolate(
            patches.transpose(1, 2).unflatten(-1, (n, n)),
            scale_factor=((h + 0.1) / n, (w + 0.1) / n),
            mode="bicubic",
            align_corners=False,
        )
        return torch.cat([cls, patches.flatten(2).transpose(1, 2)], dim=1)


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
