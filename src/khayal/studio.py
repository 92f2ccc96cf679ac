"""Studio: opens a checkpoint, runs a plan, yields frames. Where the parts meet.

studio = khayal.open("path/or/hub-id")
clip = studio.generate("a red ball bounces on the grass", seconds=4, seed=0)
clip.save("ball.mp4")
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float, UInt8
from torch import Tensor

from khayal import tasks
from khayal.checkpoint.folder import Checkpoint, open_checkpoint
from khayal.clip import Clip
from khayal.components import Components, has_native_bf16, pick_device
from khayal.errors import InputError
from khayal.footage import Footage
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
from khayal.preview import OnPicture, Preview, Sketchbook
from khayal.rollout import Choices, OnStep, Progress, Rollout, Text
from khayal.settings import Settings
from khayal.sound import Sound
from khayal.tasks import Basis, Plan, Request
from khayal.timeline import Timeline

__all__ = ["OnPicture", "OnStep", "Progress", "Studio", "check_machine", "open", "to_pixels"]

OPEN_WORLD = "Wan-AI/Wan2.2-TI2V-5B-Diffusers"
DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16}


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
        self._sketchbook = Sketchbook()

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

    def extend(self, clip: str | Path | Clip, prompt: str = "", **settings: Any) -> Clip:
        """A clip goes on for `seconds`, or begins so much earlier (`backward=True`).

        Here and below, `clip` is a file or a `khayal.Clip`, and `settings` are the fields of the request
        (here `khayal.tasks.ExtendRequest`) and of `run`.
        """
        return self._do(tasks.ExtendRequest, clip=clip, prompt=prompt, **settings)

    def fill(self, clip: str | Path | Clip | None = None, prompt: str = "", **settings: Any) -> Clip:
        """What is `missing` in a clip, or all between `keyframes`; see `khayal.tasks.FillRequest`."""
        return self._do(tasks.FillRequest, clip=clip, prompt=prompt, **settings)

    def connect(
        self, first: str | Path | Clip, second: str | Path | Clip, prompt: str = "", **settings: Any
    ) -> Clip:
        """Two clips, and `seconds` between them; see `khayal.tasks.ConnectRequest`."""
        return self._do(tasks.ConnectRequest, first=first, second=second, prompt=prompt, **settings)

    def loop(self, clip: str | Path | Clip, prompt: str = "", **settings: Any) -> Clip:
        """A clip, and `seconds` that lead back to its beginning; see `khayal.tasks.LoopRequest`."""
        return self._do(tasks.LoopRequest, clip=clip, prompt=prompt, **settings)

    def remix(self, clip: str | Path | Clip, prompt: str, **settings: Any) -> Clip:
        """A clip imagined anew, by its `strength`; see `khayal.tasks.RemixRequest`."""
        return self._do(tasks.RemixRequest, clip=clip, prompt=prompt, **settings)

    def storyboard(self, shots: Sequence[tasks.Shot], prompt: str = "", **settings: Any) -> Clip:
        """Shots with the same characters and places; see `khayal.tasks.StoryboardRequest`."""
        return self._do(tasks.StoryboardRequest, shots=shots, prompt=prompt, **settings)

    def _do(self, kind: type[Request], **given: Any) -> Clip:
        how = {name: given.pop(name) for name in ("noise", "on_step", "on_picture", "keep") if name in given}
        return self.run(kind(**given), **how)

    def run(
        self,
        request: Request,
        *,
        noise: Float[Tensor, "1 c t h w"] | None = None,
        on_step: OnStep | None = None,
        on_picture: OnPicture | None = None,
        keep: Path | None = None,
    ) -> Clip:
        """Plan a request and make it: one canvas is denoised now, others and frames as they are asked for.

        Args:
            request: what is asked for.
            noise: starting latents of a single canvas, instead of those drawn from the seed. They are for
                comparisons: then all is made at once, and every frame is as the decoder gives it.
            on_step: told of every step.
            on_picture: shown now and then what the video looks like so far, for at most 2% of the time.
            keep: a folder in which finished canvases are kept, and from which they are taken.

        Raises:
            InputError: for what this checkpoint cannot make, naming what it can.
            CapacityError: where memory is too short, before anything is loaded.
        """
        started = time.monotonic()
        settings = Settings.of(request, self.checkpoint, has_noise=noise is not None)
        media = self.footage(request)
        plan = self.plan(request, media, at_once=noise is not None)
        _check_noise(noise, self._shape(len(plan.canvases[0].columns), settings))
        notes = [*plan.notes]
        trained = self.checkpoint.defaults.trained_sizes
        if trained and settings.size not in trained:
            told = " and ".join(f"{width}×{height}" for width, height in trained)
            notes.append(f"The model was trained at {told} alone, and makes other shapes less well.")
        for footage in media:
            footage.read(0, 1)  # what has to be changed is known from the first frame on
            notes += footage.notes
        residence = self._reside(plan, settings, notes)
        choices = Choices(
            settings=settings,
            noise=noise,
            tile=residence.tile,
            on_step=on_step or (lambda progress: None),
            keep=keep,
            preview=None if on_picture is None else Preview(on_picture, self._sketchbook),
        )
        with clear_shortage():
            rollout = Rollout(
                plan=plan,
                checkpoint=self.checkpoint,
                components=self._components,
                media=media,
                text=self._text(plan, settings, choices.on_step, notes),
                choices=choices,
            )
            rollout.latents(0)
        details = {
            "task": request.task,
            "prompt": request.prompt,
            "negative": request.negative,
            "model": self.checkpoint.name,
            **asdict(settings),
            "num_frames": plan.num_frames,
            "fps": float(self.timeline.fps),
            "memory": residence.name,
            "flow_shift": self.checkpoint.scheduler.flow_shift,
            "canvases": [[_told(column) for column in sketch.columns] for sketch in plan.canvases],
            "canvas_seconds": rollout.seconds,
            "originals": [str(footage.path) for footage in media if footage.path],
            "denoise_seconds": round(time.monotonic() - started, 3),
            "notes": notes,
        }
        clip = Clip(
            lambda: self._frames(rollout),
            fps=self.timeline.fps,
            size=settings.size,
            num_frames=plan.num_frames,
            details=details,
            sounds=_sounds(plan, media, self.timeline),
        )
        return clip if request.fps is None else clip.at_fps(request.fps)

    def plan(self, request: Request, media: list[Footage] | None = None, *, at_once: bool = False) -> Plan:
        """What has to be made for a request, canvas by canvas.

        Args:
            request: what is asked for.
            media: its media, where they are open already.
            at_once: True to make all on one canvas, whatever its length.
        """
        self.checkpoint.check_task(request.task)
        media = self.footage(request) if media is None else media
        seconds = request.window_seconds or self.checkpoint.defaults.seconds
        window = self.timeline.num_columns(self.timeline.num_frames(seconds), starts_strip=True)
        if not self.checkpoint.expand_timesteps:
            if request.window_seconds is not None:
                raise InputError(
                    f"{self.checkpoint.name} cannot make a video window after window",
                    why="it takes one noise level for all frames, so that none of them can be given",
                    fix="leave the window out",
                )
            window = 0
        basis = Basis(
            timeline=self.timeline,
            default_seconds=self.checkpoint.defaults.seconds,
            window=None if at_once or not window else window,
            lengths=tuple(footage.num_frames for footage in media),
        )
        return tasks.plan(request, basis)

    def footage(self, request: Request) -> list[Footage]:
        """What the user gave, at this model's rate and at the size of the result.

        Raises:
            InputError: for what cannot be read.
        """
        if not isinstance(request, tasks.MediaRequest):
            return []
        size = request.size or self.checkpoint.defaults.size
        return [
            Footage(medium, fps=self.timeline.fps, size=size, fit=request.fit) for medium in request.media
        ]

    def encode_prompt(
        self, prompt: str, notes: list[str] | None = None, *, name: str = "prompt"
    ) -> Float[Tensor, "1 l e"]:
        """The encoded prompt, zero after its end; what did not fit is said in `notes`, once."""
        tokens = self.checkpoint.tokenizer().encode([prompt])
        said = []
        if tokens.num_dropped[0]:
            said.append(
                f"The {name} is longer than the {tokens.is_token.shape[1]} tokens that this model reads:"
                f" its last {tokens.num_dropped[0]} were left out."
            )
        unknown = self.checkpoint.unknown_words(prompt)
        if unknown:
            told = ", ".join(f"“{word}”" for word in unknown[:8]) + ", …" * (len(unknown) > 8)
            said.append(
                f"The model was never taught {told}: it knows a small world only. For any other, name a"
                f" checkpoint such as --model {OPEN_WORLD}."
            )
        if notes is not None:
            notes += [note for note in said if note not in notes]
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
            latents=(
                max(len(sketch.columns) for sketch in plan.canvases),
                settings.size[1] // ratio,
                settings.size[0] // ratio,
            ),
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

    def _shape(self, num_columns: int, settings: Settings) -> tuple[int, ...]:
        """b c t h w of a canvas."""
        geometry = self.checkpoint.geometry
        width, height = (side // geometry.spatial_ratio for side in settings.size)
        return 1, geometry.latent_channels, num_columns, height, width

    def _text(self, plan: Plan, settings: Settings, tell: OnStep, notes: list[str]) -> Text:
        """The prompts of a plan, encoded."""
        tell(Progress("text", 0, 1, notes=tuple(notes)))
        prompts = torch.stack([self.encode_prompt(prompt, notes) for prompt in plan.prompts], dim=1)
        negative = None
        if settings.is_guided:
            negative = self.encode_prompt(plan.request.negative or "", notes, name="negative prompt")
        tell(Progress("text", 1, 1, notes=tuple(notes)))
        return Text(prompts=prompts, negative=negative)

    @staticmethod
    def _frames(rollout: Rollout) -> Iterator[UInt8[np.ndarray, "f h w 3"]]:
        for piece in rollout:
            yield to_pixels(piece) if isinstance(piece, Tensor) else piece


def to_pixels(frames: Float[Tensor, "1 3 f h w"]) -> UInt8[np.ndarray, "f h w 3"]:
    """[-1, 1] → whole levels, rounded to the nearest."""
    levels = (frames[0].float() * 0.5 + 0.5).clamp_(0, 1).mul_(255).round_().to(torch.uint8)
    pixels: np.ndarray = levels.permute(1, 2, 3, 0).cpu().contiguous().numpy()
    return pixels


def _sounds(plan: Plan, media: list[Footage], timeline: Timeline) -> list[Sound]:
    """What is heard where the user's own frames are shown."""
    found: list[Sound] = []
    at = 0
    for passage in plan.passages:
        if isinstance(passage, int):
            at += plan.canvases[passage].num_frames
            continue
        first, seconds, place = (
            timeline.seconds(count) for count in (passage.first_frame, passage.num_frames, at)
        )
        parts = (sound.part(first, seconds, place) for sound in media[passage.index].sounds)
        found += [part for part in parts if part is not None]
        at += passage.num_frames
    return found


def _told(column: tasks.Column) -> dict[str, Any]:
    """A column as it is recorded."""
    names = ("position", "level", "is_known", "is_shown", "is_aside", "shot")
    return {name: getattr(column, name) for name in names}


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
