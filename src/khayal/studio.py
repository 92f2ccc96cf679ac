"""Studio: opens a checkpoint, runs a plan, yields frames. Where the parts meet.

studio = khayal.open("path/or/hub-id")
clip = studio.generate("a red ball bounces on the grass", seconds=4, seed=0)
clip.save("ball.mp4")
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float, UInt8
from torch import Tensor

from khayal import tasks
from khayal.checkpoint import untrained
from khayal.checkpoint.folder import Checkpoint, open_checkpoint
from khayal.clip import Clip
from khayal.components import Components, has_native_bf16, pick_device
from khayal.errors import InputError
from khayal.images import as_pixels, fit_image, open_image
from khayal.memory import (
    GB,
    Parts,
    Residence,
    Work,
    available_bytes,
    check_mode,
    choose,
    clear_shortage,
)
from khayal.model.wan_autoencoder import WanAutoencoderConfig
from khayal.sample.canvas import Canvas
from khayal.sample.denoise import denoise
from khayal.sample.guidance import Expert, Guidance, GuidedModel
from khayal.sample.solvers import SOLVERS
from khayal.settings import Settings
from khayal.tasks import Column, Plan, Request
from khayal.timeline import Timeline

UNTRAINED_NOTE = (
    "This version of khayal comes without trained weights, so the video shows noise: name a checkpoint, such"
    " as --model Wan-AI/Wan2.2-TI2V-5B-Diffusers."
)
OPEN_WORLD = "Wan-AI/Wan2.2-TI2V-5B-Diffusers"
DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16}


@dataclass(frozen=True, kw_only=True)
class Progress:
    """How far a run is.

    Attributes:
        stage: "text", "denoise" or "decode".
        step: steps of this stage that are done, of `num_steps`.
        latents: the latents as they stand, while denoising.
        notes: what the user should know before the work is done: what was cropped, left out, chosen.
    """

    stage: str
    step: int
    num_steps: int
    latents: Tensor | None = None
    notes: tuple[str, ...] = ()


OnStep = Callable[[Progress], None]
"""Called after every step; an exception that it raises stops the work and frees what it held."""


def open(
    model: str | Path | None = None, *, device: str = "auto", dtype: str = "auto", memory: str = "auto"
) -> Studio:
    """Open a checkpoint folder, or one of the hub by its id.

    Nothing but its configs is read here; weights are loaded when a task first needs them.

    Args:
        model: a diffusers folder, a hub id, or None for the model that khayal comes with.
        device: auto, cpu, cuda, cuda:1, mps…
        dtype: auto, float32 or bfloat16. auto takes bfloat16 where the device has it in hardware.
        memory: auto, high or low; the same frames come out of each.

    Raises:
        CheckpointError: where the folder is missing, broken, or of a kind that khayal cannot run.
    """
    check_machine(device, dtype, memory)  # before a download
    return Studio(open_checkpoint(model), device=device, dtype=dtype, memory=memory)


class Studio:
    """A checkpoint with the tasks that it can do. Every task takes what `khayal.tasks.Request` lists."""

    def __init__(
        self, checkpoint: Checkpoint, *, device: str = "auto", dtype: str = "auto", memory: str = "auto"
    ) -> None:
        self.checkpoint = checkpoint
        self.device, self.dtype = check_machine(device, dtype, memory)
        self.memory = memory
        # On a CPU Wan's decoder takes most of the time, and bf16 a third of it; elsewhere it stays exact.
        is_slow = self.device.type == "cpu" and isinstance(checkpoint.autoencoder, WanAutoencoderConfig)
        self._components = Components(
            checkpoint,
            device=self.device,
            dtype=self.dtype,
            autoencoder_dtype=self.dtype if is_slow else torch.float32,
        )
        self._texts: dict[str, Tensor] = {}

    @property
    def timeline(self) -> Timeline:
        """How this checkpoint counts time."""
        return self.checkpoint.timeline

    def generate(
        self,
        prompt: str,
        *,
        noise: Float[Tensor, "1 c t h w"] | None = None,
        on_step: OnStep | None = None,
        **settings: Any,
    ) -> Clip:
        """A sentence becomes a video.

        Args:
            prompt: what it shows.
            noise: starting latents instead of those drawn from the seed.
            on_step: told of every step.
            settings: the fields of `khayal.tasks.GenerateRequest`.
        """
        return self.run(tasks.GenerateRequest(prompt=prompt, **settings), noise=noise, on_step=on_step)

    def animate(
        self,
        image: str | Path | UInt8[np.ndarray, "H W 3"],
        prompt: str = "",
        *,
        noise: Float[Tensor, "1 c t h w"] | None = None,
        on_step: OnStep | None = None,
        **settings: Any,
    ) -> Clip:
        """A still comes alive: it is the first frame.

        Args:
            image: any size and format; it is fitted to the video's.
            prompt: what happens.
            noise: starting latents instead of those drawn from the seed.
            on_step: told of every step.
            settings: the fields of `khayal.tasks.AnimateRequest`.
        """
        request = tasks.AnimateRequest(image=image, prompt=prompt, **settings)
        return self.run(request, noise=noise, on_step=on_step)

    def run(
        self,
        request: Request,
        *,
        noise: Float[Tensor, "1 c t h w"] | None = None,
        on_step: OnStep | None = None,
    ) -> Clip:
        """Plan a request and make it: denoised now, decoded as its frames are asked for.

        Raises:
            InputError: for what this checkpoint cannot make, naming what it can.
            CapacityError: where memory is too short, before anything is loaded.
        """
        started = time.monotonic()
        settings = Settings.of(request, self.checkpoint, has_noise=noise is not None)
        plan = tasks.PLANNERS[type(request)](request, self.timeline, self.checkpoint.defaults.seconds)
        (columns,) = plan.canvases
        shape = self._shape(len(columns), settings)
        _check_noise(noise, shape)
        notes = [UNTRAINED_NOTE] if self.checkpoint.name == untrained.NAME else []
        media = [self._pixels(given, request, settings.size, notes) for given in plan.media]
        residence = self._reside(plan, settings, notes)
        with clear_shortage():
            if noise is None:  # drawn on the CPU, so that every device starts from the same
                noise = torch.randn(shape, generator=torch.Generator().manual_seed(settings.seed or 0))
            canvas = self._canvas(columns, media, settings)
            latents = self._denoise(canvas, plan, settings, noise, on_step=on_step, notes=notes)
        num_frames = sum(column.num_frames for column in columns if column.is_shown)
        details = {
            "task": request.task,
            "prompt": request.prompt,
            "negative": request.negative,
            "model": self.checkpoint.name,
            **asdict(settings),
            "num_frames": num_frames,
            "fps": float(self.timeline.fps),
            "memory": residence.name,
            "denoise_seconds": round(time.monotonic() - started, 3),
            "notes": notes,
        }
        clip = Clip(
            lambda: self._frames(latents, columns, residence.tile, on_step),
            fps=self.timeline.fps,
            size=settings.size,
            num_frames=num_frames,
            details=details,
        )
        return clip if request.fps is None else clip.at_fps(request.fps)

    def encode_prompt(
        self, prompt: str, notes: list[str] | None = None, *, name: str = "prompt"
    ) -> Float[Tensor, "1 l e"]:
        """The encoded prompt, zero after its end; what did not fit is said in `notes`."""
        tokens = self.checkpoint.tokenizer().encode([prompt])
        if tokens.num_dropped[0] and notes is not None:
            notes.append(
                f"The {name} is longer than the {tokens.is_token.shape[1]} tokens that this model reads:"
                f" its last {tokens.num_dropped[0]} were left out."
            )
        unknown = self.checkpoint.unknown_words(prompt)
        if unknown and notes is not None:
            told = ", ".join(f"“{word}”" for word in unknown[:8]) + ", …" * (len(unknown) > 8)
            notes.append(
                f"The model was never taught {told}: it knows a small world only. For any other, name a"
                f" checkpoint such as --model {OPEN_WORLD}."
            )
        length = int(tokens.is_token.sum())  # what is masked changes nothing, so it is not computed
        if prompt not in self._texts:
            encoder = self._components.text_encoder()
            device = next(encoder.parameters()).device
            with torch.inference_mode():
                encoded = encoder(
                    tokens.token_ids[:, :length].to(device), tokens.is_token[:, :length].to(device)
                )
            self._texts[prompt] = encoded.cpu()
        return F.pad(self._texts[prompt], (0, 0, 0, tokens.is_token.shape[1] - length))

    def encode_image(self, image: UInt8[np.ndarray, "H W 3"]) -> Float[Tensor, "1 c 1 h w"]:
        """The latent frame of a still whose sides this model can make."""
        autoencoder = self._components.autoencoder()
        frames = torch.from_numpy(image).permute(2, 0, 1)[None, :, None].float() / 127.5 - 1
        with torch.inference_mode():
            latents = autoencoder.encode(frames.to(self.device, self._components.autoencoder_dtype))
        return latents.float().cpu()

    def _reside(self, plan: Plan, settings: Settings, notes: list[str]) -> Residence:
        """Decide where the components live, by what the plan needs and the device has."""
        checkpoint, ratio = self.checkpoint, self.checkpoint.geometry.spatial_ratio
        parts = Parts(
            text=checkpoint.text,
            transformer=checkpoint.transformer,
            autoencoder=checkpoint.autoencoder,
            dtype=self.dtype,
            autoencoder_dtype=self._components.autoencoder_dtype,
            num_experts=checkpoint.num_experts,
        )
        work = Work(
            latents=(max(map(len, plan.canvases)), settings.size[1] // ratio, settings.size[0] // ratio),
            text_length=checkpoint.defaults.text_length,
            is_guided=settings.is_guided,
        )
        # What this studio holds already can be used again, or sent away.
        free = available_bytes(self.device) + self._components.held_bytes()
        residence = choose(self.memory, parts, work, self.device, available=free)
        self._components.settle(residence)
        if not residence.keeps_all:
            notes.append(f"Memory: {residence.name}, about {residence.needed / GB:.1f} GB.")
        return residence

    def _canvas(self, columns: tuple[Column, ...], media: list[np.ndarray], settings: Settings) -> Canvas:
        """The plan's table in tensors, with the latents of what the user gave."""
        latents = torch.zeros(self._shape(len(columns), settings))
        for index, column in enumerate(columns):
            if column.source is not None:
                latents[:, :, index : index + 1] = self.encode_image(media[column.source.index])
        scheduler = self.checkpoint.scheduler
        return Canvas.of(
            columns,
            latents,
            num_steps=settings.steps,
            shift=scheduler.flow_shift,
            num_levels=scheduler.num_levels,
        )

    def _shape(self, num_columns: int, settings: Settings) -> tuple[int, ...]:
        """b c t h w of a canvas."""
        geometry = self.checkpoint.geometry
        width, height = (side // geometry.spatial_ratio for side in settings.size)
        return 1, geometry.latent_channels, num_columns, height, width

    @staticmethod
    def _pixels(
        given: Any, request: Request, size: tuple[int, int], notes: list[str]
    ) -> UInt8[np.ndarray, "h w 3"]:
        """An image that the user gave, at the size of the video."""
        assert isinstance(request, tasks.AnimateRequest)
        is_path = isinstance(given, str | Path)
        image = open_image(given) if is_path else as_pixels(given)
        name = Path(given).name if is_path else "The image"
        fitted, note = fit_image(image, size, mode=request.fit, name=name)
        notes.extend([note] if note else [])
        return fitted

    def _denoise(
        self,
        canvas: Canvas,
        plan: Plan,
        settings: Settings,
        noise: Tensor,
        *,
        on_step: OnStep | None,
        notes: list[str],
    ) -> Float[Tensor, "1 c t h w"]:
        """Prompts to text, noise to latents; they stay on the CPU, where there is room for a minute."""
        tell = on_step or (lambda progress: None)
        tell(Progress(stage="text", step=0, num_steps=1, notes=tuple(notes)))
        text = torch.stack([self.encode_prompt(prompt, notes) for prompt in plan.prompts], dim=1)
        negative = None
        if settings.is_guided:
            unwanted = self.encode_prompt(plan.request.negative or "", notes, name="negative prompt")
            negative = unwanted[:, None].expand(-1, len(plan.prompts), -1, -1)
        tell(Progress(stage="text", step=1, num_steps=1, notes=tuple(notes)))
        model = GuidedModel(
            experts=self._experts(settings),
            canvas=canvas,
            text=text,
            negative=negative,
            num_levels=self.checkpoint.scheduler.num_levels,
        )
        latents = denoise(
            model,
            canvas,
            noise.detach().to(self.device, torch.float32),
            solver=SOLVERS[settings.solver](),
            on_step=lambda step, num_steps, latents: tell(
                Progress(stage="denoise", step=step, num_steps=num_steps, latents=latents)
            ),
        )
        return latents.cpu()

    def _experts(self, settings: Settings) -> list[Expert]:
        """The checkpoint's transformers, from high noise to low, each with its own guidance."""
        is_batched = self._components.residence.is_batched
        bounds = [self.checkpoint.boundary_ratio or 0.0, 0.0][: self.checkpoint.num_experts]
        return [
            Expert(
                load=partial(self._components.transformer, index),
                guidance=Guidance(scale=scale, interval=settings.guidance_interval, is_batched=is_batched),
                lowest_sigma=bound,
            )
            for index, (bound, scale) in enumerate(zip(bounds, settings.guidance, strict=True))
        ]

    def _frames(
        self,
        latents: Float[Tensor, "1 c t h w"],
        columns: tuple[Column, ...],
        tile: int | None,
        on_step: OnStep | None,
    ) -> Iterator[UInt8[np.ndarray, "f h w 3"]]:
        """Decode a few frames at a time, leaving out what is not shown.

        A column that shows fewer frames than its latent holds (a still in its chunk) shows the last ones.
        """
        autoencoder = self._components.autoencoder()
        per = autoencoder.frames_per_latent
        held = [1 if autoencoder.is_causal and index == 0 else per for index in range(len(columns))]
        is_wanted = torch.tensor(
            [
                column.is_shown and frame >= count - column.num_frames
                for column, count in zip(columns, held, strict=True)
                for frame in range(count)
            ]
        )
        num_wanted, num_made = int(is_wanted.sum()), 0
        stream = autoencoder.stream(latents.to(self.device, self._components.autoencoder_dtype), tile=tile)
        with self._components.in_use(autoencoder):
            while is_wanted.numel():
                with torch.inference_mode(), clear_shortage():  # not around the yield: it would leak
                    frames = next(stream)
                    kept = is_wanted[: frames.shape[2]]
                    is_wanted = is_wanted[frames.shape[2] :]
                    pixels = to_pixels(frames[:, :, kept.to(frames.device)])
                num_made += len(pixels)
                if len(pixels):
                    yield pixels
                if on_step is not None:
                    on_step(Progress(stage="decode", step=num_made, num_steps=num_wanted))


def to_pixels(frames: Float[Tensor, "1 3 f h w"]) -> UInt8[np.ndarray, "f h w 3"]:
    """[-1, 1] → whole levels, rounded to the nearest."""
    levels = (frames[0].float() * 0.5 + 0.5).clamp_(0, 1).mul_(255).round_().to(torch.uint8)
    pixels: np.ndarray = levels.permute(1, 2, 3, 0).cpu().contiguous().numpy()
    return pixels


def _check_noise(given: object, shape: tuple[int, ...]) -> None:
    """Refuse starting latents that are not this video's."""
    if given is None or (isinstance(given, Tensor) and given.shape == shape):
        return
    kind = f"the shape {tuple(given.shape)}" if isinstance(given, Tensor) else f"the type {type(given)}"
    raise InputError(
        f"The given noise has {kind}",
        why=f"this video's latents are a tensor of {shape}",
        fix="give noise of that shape, or change the length or the size",
    )


def check_machine(device: str, dtype: str, memory: str) -> tuple[torch.device, torch.dtype]:
    """The device and the type that are meant.

    Raises:
        InputError: where there is no such device, type or way with memory.
    """
    check_mode(memory)
    try:
        picked = pick_device(device)
        torch.empty(0, device=picked)
    except (RuntimeError, AssertionError) as error:  # torch asserts that it was built with CUDA
        raise InputError(
            f"The device “{device}” cannot be used",
            why=str(error).splitlines()[0].rstrip("."),
            fix="take auto or cpu",
        ) from error
    if dtype == "auto":
        return picked, torch.bfloat16 if has_native_bf16(picked) else torch.float32
    if dtype not in DTYPES:
        raise InputError(f"There is no dtype “{dtype}”", fix=f"take auto, {' or '.join(DTYPES)}")
    return picked, DTYPES[dtype]
