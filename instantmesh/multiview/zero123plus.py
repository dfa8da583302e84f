"""Zero123++ (arXiv 2310.15110): one image of an object becomes six views, sampled as one 3 x 2 image.

Every denoising step is two passes of the UNet (`reference_attention`); the prompt is the empty one, to which the
image's CLIP embedding is added token by token with the checkpoint's ramping coefficients.

Symbols: c latent channels; h x w latents of the tiled image, k x l of the condition; t prompt tokens of d channels.
n samples are denoised at a time, in batches of b = 2 n: n without their condition (negative), then n with it.
"""

from collections.abc import Callable, Sequence
from os import PathLike
from typing import Any, Literal

import torch
from diffusers import AutoencoderKL, DiffusionPipeline, EulerAncestralDiscreteScheduler, UNet2DConditionModel
from diffusers.models.autoencoders.vae import DiagonalGaussianDistribution
from diffusers.pipelines.pipeline_utils import ImagePipelineOutput
from jaxtyping import Float, Shaped
from PIL import Image
from torch import Tensor
from transformers import CLIPTextModel, CLIPTokenizer, CLIPVisionModelWithProjection

from instantmesh.errors import InputError
from instantmesh.files.image_files import to_pil
from instantmesh.multiview.latent_space import decode_views
from instantmesh.multiview.noise import NoiseSource
from instantmesh.multiview.pretrained import load_components
from instantmesh.multiview.reference_attention import Memory, install_reference_attention, recall, remember
from instantmesh.multiview.solvers import Solver, make_scheduler

ROWS, COLUMNS = 3, 2


class Zero123PlusPipeline(DiffusionPipeline):
    """The six views of Zero123++ with current diffusers and transformers, under the official components' names.

    Args:
        ramping_coefficients: one for each prompt token.
        tile_size_px: side of a view by default; 320 in the official model.
    """

    vae: AutoencoderKL
    text_encoder: CLIPTextModel
    tokenizer: CLIPTokenizer
    unet: UNet2DConditionModel
    scheduler: EulerAncestralDiscreteScheduler
    vision_encoder: CLIPVisionModelWithProjection
    feature_extractor_clip: Any
    feature_extractor_vae: Any

    def __init__(
        self,
        vae: AutoencoderKL,
        text_encoder: CLIPTextModel,
        tokenizer: CLIPTokenizer,
        unet: UNet2DConditionModel,
        scheduler: EulerAncestralDiscreteScheduler,
        vision_encoder: CLIPVisionModelWithProjection,
        feature_extractor_clip: Any,
        feature_extractor_vae: Any,
        ramping_coefficients: Sequence[float] = (),
        tile_size_px: int = 320,
    ) -> None:
        super().__init__()
        self.register_modules(
            vae=vae,
            text_encoder=text_encoder,
            tokenizer=tokenizer,
            unet=unet,
            scheduler=make_scheduler("euler-ancestral", scheduler),
            vision_encoder=vision_encoder,
            feature_extractor_clip=feature_extractor_clip,
            feature_extractor_vae=feature_extractor_vae,
        )
        self.register_to_config(ramping_coefficients=list(ramping_coefficients), tile_size_px=tile_size_px)
        install_reference_attention(unet)
        self._remember, self._recall = remember, recall

    @classmethod
    def from_pretrained(  # pyright: ignore[reportIncompatibleMethodOverride]
        cls,
        pretrained_model_name_or_path: str | PathLike[str],
        *,
        torch_dtype: torch.dtype = torch.float32,
        white_background_unet: str | PathLike[str] | None = None,
        cache_dir: str | PathLike[str] | None = None,
        local_files_only: bool = False,
    ) -> "Zero123PlusPipeline":
        """Load a folder in the layout of `sudo-ai/zero123plus-v1.2`; code in it is never run.

        Args:
            pretrained_model_name_or_path: a local folder, or a repository's name on the Hugging Face hub.
            torch_dtype: of all networks.
            white_background_unet: InstantMesh's `diffusion_pytorch_model.bin`, instead of the folder's UNet weights.
            cache_dir: where downloads are kept; None is Hugging Face's own cache (files put by hand: docs/models.md).
            local_files_only: never use the network.

        Raises:
            MissingFileError: the folder lacks a part, or the repository can't be downloaded.
            CheckpointError: a file is damaged or belongs to another model.
        """
        return cls(
            **load_components(
                pretrained_model_name_or_path, torch_dtype, white_background_unet, cache_dir, local_files_only
            )
        )

    def compile(self, **options: Any) -> None:
        """Compile both passes of the UNet at the sizes they are called with.

        The first sample of a size then takes minutes, those that follow are faster; the numbers are the same within
        rounding.

        Args:
            options: of `torch.compile`; `mode="reduce-overhead"` records CUDA graphs.
        """
        if self._execution_device.type == "cuda":
            self.unet.to(memory_format=torch.channels_last)  # pyright: ignore[reportCallIssue]
        compiled = torch.compile(remember, dynamic=False, **options)

        def remember_anew(*arguments: Any) -> Memory:
            torch.compiler.cudagraph_mark_step_begin()  # from here on earlier steps' memory may be written over
            return compiled(*arguments)

        self._remember, self._recall = remember_anew, torch.compile(recall, dynamic=False, **options)

    @torch.no_grad()
    def __call__(
        self,
        image: Image.Image | Sequence[Image.Image],
        num_inference_steps: int = 75,
        guidance_scale: float = 4.0,
        generator: torch.Generator | Sequence[torch.Generator] | None = None,
        width: int | None = None,
        height: int | None = None,
        output_type: Literal["pil", "pt", "latent"] = "pil",
        callback_on_step_end: Callable[[DiffusionPipeline, int, Tensor, dict[str, Tensor]], dict[str, Tensor]]
        | None = None,
        solver: Solver | None = None,
        reference_every: int = 1,
    ) -> ImagePipelineOutput:
        """Generate the six views of the object in `image`, or of each of several, which are sampled together.

        Args:
            image: the object, cut out and centred; RGB on white, or RGBA, which is laid on white. Or n of them.
            num_inference_steps: denoising steps.
            guidance_scale: how far predictions are moved from unconditional to conditional (1: conditional).
            generator: fixes every random draw, see `NoiseSource`; one for each image, whose views are then
                those that it would get alone, but for rounding.
            width: of the tiled image in pixels, two tiles; None is the model's own.
            height: likewise, three tiles.
            output_type: "pil", n PIL images; "pt", (n, 3, height, width) in [0, 1]; "latent", their latents.
            callback_on_step_end: diffusers' convention: called with (pipeline, step, timestep, {"latents": ...}) and
                may return other latents.
            solver: see `solvers`; None is the pipeline's `scheduler`, Euler's ancestral steps unless you put another
                there.
            reference_every: how many steps share one reference pass. 1 is exact; above, steps look at the image with
                the noise of an earlier one.

        Raises:
            InputError: a size or number the model can't do, or a generator on another device.
        """
        if reference_every < 1:
            raise InputError(f"reference_every must be at least 1, got {reference_every}")
        tile: int = self.config["tile_size_px"]
        width = COLUMNS * tile if width is None else width
        height = ROWS * tile if height is None else height
        device = self._execution_device
        scheduler = self.scheduler if solver is None else make_scheduler(solver, self.scheduler)
        photos = [on_white(x) for x in ([image] if isinstance(image, Image.Image) else image)]
        generators = list(generator) if isinstance(generator, Sequence) else [generator] * len(photos)
        self._check(len(photos), num_inference_steps, width, height, generators)
        noise = NoiseSource(generators)
        prompt = self.encode_prompt(photos)
        condition = self.encode_condition(photos, noise)
        scheduler.set_timesteps(num_inference_steps, device=device)
        scheduler.set_begin_index(0)  # otherwise it looks for each timestep on the device, and the host waits
        shape = (self.unet.config["in_channels"], height // self._vae_factor, width // self._vae_factor)
        latents = noise.initial(shape, device) * scheduler.init_noise_sigma
        memory: Memory = {}
        with self.progress_bar(total=num_inference_steps) as progress:  # pyright: ignore[reportCallIssue]
            for step, timestep in enumerate(scheduler.timesteps):
                if step % reference_every == 0:
                    memory = self.reference(scheduler, condition, timestep, prompt, noise)
                prediction = self.predict(scheduler, latents, timestep, prompt, memory, guidance_scale)
                latents = noise.step(scheduler, prediction, timestep, latents)
                if callback_on_step_end is not None:
                    latents = callback_on_step_end(self, step, timestep, {"latents": latents}).get("latents", latents)
                progress.update()
        return self._output(latents, output_type)

    def encode_prompt(self, photos: Sequence[Image.Image]) -> Float[Tensor, "b t d"]:
        """Prompt embeddings: n times without an image, then with each of n RGB images."""
        empty = self._empty_prompt()
        pixels = self.feature_extractor_clip(list(photos), return_tensors="pt").pixel_values
        embeddings = self.vision_encoder(pixels.to(empty)).image_embeds
        ramping = torch.tensor(self.config["ramping_coefficients"]).to(empty)
        if len(ramping) != empty.shape[1]:
            raise InputError(f"the model has {len(ramping)} ramping coefficients for {empty.shape[1]} prompt tokens")
        return torch.cat([empty.expand(len(photos), -1, -1), empty + embeddings[:, None] * ramping[:, None]])

    def _empty_prompt(self) -> Float[Tensor, "1 t d"]:
        ids = self.tokenizer("", padding="max_length", max_length=self.tokenizer.model_max_length, return_tensors="pt")
        return self.text_encoder(ids.input_ids.to(self._execution_device)).last_hidden_state

    def encode_condition(self, photos: Sequence[Image.Image], noise: NoiseSource) -> Float[Tensor, "b c k l"]:
        """The VAE's raw latents: n of a zero image, then of each of n RGB images."""
        vae = self._exact_vae()
        pixels = self.feature_extractor_vae(list(photos), return_tensors="pt").pixel_values
        pixels = pixels.to(device=self._execution_device, dtype=vae.dtype)
        # one by one: it takes less memory, and an image this large leaves no device idle
        zero, *posteriors = (
            vae.encode(x, return_dict=False)[0].parameters for x in (torch.zeros_like(pixels[:1]), *pixels.split(1))
        )
        negative, positive = (
            noise.from_posterior(DiagonalGaussianDistribution(x))
            for x in (zero.expand(len(posteriors), -1, -1, -1), torch.cat(posteriors))
        )
        return torch.cat([negative, positive]).float()

    def reference(
        self,
        scheduler: Any,
        condition: Float[Tensor, "b c k l"],
        timestep: Shaped[Tensor, ""],
        prompt: Float[Tensor, "b t d"],
        noise: NoiseSource,
    ) -> Memory:
        """What the UNet remembers of the condition with fresh noise of this timestep."""
        noised = scheduler.add_noise(condition, noise.reference(condition), timestep[None])
        noised = scheduler.scale_model_input(noised, timestep)
        dtype = self.unet.dtype
        return self._remember(self.unet, noised.to(dtype), timestep, prompt.to(dtype))

    def predict(
        self,
        scheduler: Any,
        latents: Float[Tensor, "n c h w"],
        timestep: Shaped[Tensor, ""],
        prompt: Float[Tensor, "b t d"],
        memory: Memory,
        guidance_scale: float,
    ) -> Float[Tensor, "n c h w"]:
        """The guided v-prediction of one step, float32 like the latents; the UNet computes in its own dtype."""
        sample = scheduler.scale_model_input(latents, timestep).repeat(2, 1, 1, 1)
        dtype = self.unet.dtype
        predicted = self._recall(self.unet, sample.to(dtype), timestep, prompt.to(dtype), memory)
        negative, positive = predicted.float().chunk(2)
        return negative + guidance_scale * (positive - negative)

    def _exact_vae(self) -> AutoencoderKL:
        """The VAE, in float32 where it asks for it: its activations overflow float16."""
        if self.vae.dtype == torch.float16 and self.vae.config["force_upcast"]:
            self.vae.to(torch.float32)  # pyright: ignore[reportArgumentType, reportCallIssue]
        return self.vae

    def _output(self, latents: Float[Tensor, "n c h w"], output_type: str) -> ImagePipelineOutput:
        images: Any = latents
        if output_type != "latent":  # one by one, as they are encoded
            images = torch.cat([decode_views(self._exact_vae(), x) for x in latents.split(1)])
        if output_type == "pil":
            images = [to_pil(x) for x in images]
        self.maybe_free_model_hooks()
        return ImagePipelineOutput(images=images)

    @property
    def _vae_factor(self) -> int:
        return 2 ** (len(self.vae.config["block_out_channels"]) - 1)

    def _check(
        self, photos: int, steps: int, width: int, height: int, generators: Sequence[torch.Generator | None]
    ) -> None:
        factor = self._vae_factor
        if photos < 1 or len(generators) != photos:
            raise InputError(f"an image or more are needed, and as many generators, got {photos} and {len(generators)}")
        if steps < 1:
            raise InputError(f"num_inference_steps must be at least 1, got {steps}")
        if min(width, height) < 1 or width % (COLUMNS * factor) or height % (ROWS * factor):
            raise InputError(
                f"width must be a multiple of {COLUMNS * factor} and height of {ROWS * factor}, got {width} x {height}"
            )
        for generator in generators:
            if generator is not None and generator.device.type not in ("cpu", self._execution_device.type):
                raise InputError(f"the generator is on {generator.device}, the model on {self._execution_device}")


def on_white(image: Image.Image) -> Image.Image:
    """An RGB image: transparency is laid on white."""
    rgba = image.convert("RGBA")
    return Image.alpha_composite(Image.new("RGBA", rgba.size, "white"), rgba).convert("RGB")
