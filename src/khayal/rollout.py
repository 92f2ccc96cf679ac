"""One run of a plan: its canvases one after the other, each when its frames are asked for.

What a canvas needs of an earlier one depends on the autoencoder. Latents of chunks stand alone and are
taken as they are; a causal one has its frames decoded and encoded again, so these few frames are kept until
nobody needs them any more. So memory does not grow with the length of the video, but for the latents.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float, UInt8
from safetensors.torch import load_file, save_file
from torch import Tensor

from khayal.checkpoint.folder import Checkpoint
from khayal.components import Components
from khayal.footage import Footage
from khayal.joins import pinned, steadied
from khayal.memory import clear_shortage
from khayal.model.autoencoder import Autoencoder
from khayal.preview import Colours, Preview, column_to_show, decoded
from khayal.sample.canvas import Canvas
from khayal.sample.denoise import Watched, denoise
from khayal.sample.guidance import Expert, Guidance, GuidedModel
from khayal.sample.solvers import SOLVERS
from khayal.settings import Settings
from khayal.tasks import Column, Made, Media, Plan, Sketch, Source

WARM_UP = 2
"""Latent frames of stillness before a causal encoding that begins inside a video; they are dropped."""

_SEED_STEP = 1_000_003


@dataclass(frozen=True)
class Progress:
    """How far a run is.

    Attributes:
        stage: "text", "denoise" or "decode".
        step: steps of this stage that are done, of `num_steps`; those of all windows together.
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


@dataclass(frozen=True, kw_only=True)
class Choices:
    """What one run is made with.

    Attributes:
        settings: of sampling.
        noise: starting latents of the only canvas, or None for those of the seed. Whoever gives them compares
            programs: then all frames are as the decoder gives them.
        tile: side of the decoder's tiles in latents, or None.
        on_step: told of every step.
        keep: a folder where finished canvases are kept, and taken from.
        preview: shows the video while it forms, or None.
    """

    settings: Settings
    noise: Float[Tensor, "1 c t h w"] | None = None
    tile: int | None = None
    on_step: OnStep = lambda progress: None
    keep: Path | None = None
    preview: Preview | None = None


@dataclass(frozen=True, kw_only=True)
class Text:
    """The encoded prompts of a plan, 1 s l e, and what to keep away from, where guidance asks for it."""

    prompts: Float[Tensor, "1 s l e"]
    negative: Float[Tensor, "1 l e"] | None

    def of(self, shots: Sequence[int]) -> tuple[Tensor, Tensor | None]:
        """Those of some shots."""
        negative = self.negative
        if negative is not None:
            negative = negative[:, None].expand(-1, len(shots), -1, -1)
        return self.prompts[:, list(shots)], negative


@dataclass(kw_only=True)
class Rollout:
    """Iterate over it for the frames of the result, in [-1, 1] or, where they are the user's own, as pixels.

    Attributes:
        plan: what is made.
        checkpoint, components: what makes it.
        media: what the plan's media are.
        text: what the prompts say.
        seconds: how long each canvas took to be denoised.
    """

    plan: Plan
    checkpoint: Checkpoint
    components: Components
    media: Sequence[Footage]
    text: Text
    choices: Choices
    seconds: dict[int, float] = field(default_factory=dict)
    _latents: dict[int, Tensor] = field(default_factory=dict, init=False)
    _frames: dict[tuple[int, int], Tensor] = field(default_factory=dict, init=False)

    def __iter__(self) -> Iterator[Float[Tensor, "1 3 f h w"] | UInt8[np.ndarray, "f h w 3"]]:
        num_made = 0
        for passage in self.plan.passages:
            if isinstance(passage, int):
                pieces: Iterator[Tensor | np.ndarray] = self._shown(passage)
            else:
                pieces = self.media[passage.index].frames(passage.first_frame, passage.num_frames)
            for piece in pieces:
                num_made += piece.shape[2] if isinstance(piece, Tensor) else len(piece)
                yield piece
                self._tell("decode", num_made, self.plan.num_frames)

    def latents(self, number: int) -> Float[Tensor, "1 c t h w"]:
        """The clean latents of a canvas, on the CPU; made when first asked for, after those before it."""
        for earlier in range(number + 1):
            if earlier not in self._latents:
                is_kept = self._is_kept(earlier)
                self._latents[earlier] = self._loaded(earlier) if is_kept else self._made(earlier)
        return self._latents[number]

    def canvas(self, number: int) -> Canvas:
        """A canvas before it is denoised, with the latents of all that is known."""
        sketch = self.plan.canvases[number]
        shots = sorted({column.shot for column in sketch.columns})
        columns = [replace(column, shot=shots.index(column.shot)) for column in sketch.columns]
        scheduler = self.checkpoint.scheduler
        return Canvas.of(
            columns,
            self._known_latents(number),
            num_steps=self.choices.settings.steps,
            shift=scheduler.flow_shift,
            num_levels=scheduler.num_levels,
        )

    def shape(self, number: int) -> tuple[int, ...]:
        """b c t h w of a canvas."""
        geometry = self.checkpoint.geometry
        width, height = (side // geometry.spatial_ratio for side in self.choices.settings.size)
        return 1, geometry.latent_channels, len(self.plan.canvases[number].columns), height, width

    def _made(self, number: int) -> Tensor:
        """Noise to latents; they stay on the CPU, where there is room for a minute."""
        canvas = self.canvas(number)
        started = time.monotonic()
        settings, scheduler = self.choices.settings, self.checkpoint.scheduler
        text, negative = self.text.of(sorted({c.shot for c in self.plan.canvases[number].columns}))
        noise = self._noise(number).detach().to(self.components.device, torch.float32)
        model = Watched(
            GuidedModel(
                experts=self._experts(number),
                canvas=canvas,
                text=text,
                noise=noise,
                negative=negative,
                num_levels=scheduler.num_levels,
            )
        )
        done, num_canvases = len(self.seconds), len(self.plan.canvases)
        preview = self.choices.preview
        if preview is not None:
            if self.components.residence.keeps_all:  # it is needed later anyway, and for the pictures now
                self._learn_colours(self.components.autoencoder())
            preview.start()

        def on_step(step: int, num_steps: int, latents: Tensor) -> None:
            self._tell("denoise", done * num_steps + step, num_canvases * num_steps, latents)
            if preview is not None:
                preview.after(step, num_steps, latents, lambda is_sharp: self._drawn(canvas, model, is_sharp))

        with clear_shortage():
            latents = denoise(
                model,
                canvas,
                noise,
                solver=SOLVERS[settings.solver](),
                on_step=on_step,
            ).cpu()
        self.seconds[number] = time.monotonic() - started
        if self.choices.keep is not None:
            path = self._path(number)
            part = path.with_suffix(".part")
            save_file({"latents": latents.contiguous()}, part)
            part.replace(path)
        return latents

    def _drawn(self, canvas: Canvas, model: Watched, is_sharp: bool) -> UInt8[np.ndarray, "h w 3"] | None:
        """What the canvas looks like so far; None where it cannot be seen without reloading parts."""
        column = column_to_show(canvas)
        latent = canvas.finish(model.clean())[:, :, column : column + 1]
        if is_sharp:
            if not self.components.residence.keeps_all:
                return None
            autoencoder = self.components.autoencoder()
            return decoded(autoencoder, latent.to(self.components.autoencoder_dtype), self.choices.tile)
        colours = self.choices.preview.book.colours if self.choices.preview is not None else None
        return None if colours is None else colours.drawn(latent)

    def _noise(self, number: int) -> Tensor:
        """Drawn on the CPU, so that every device starts from the same; another one for each canvas."""
        if self.choices.noise is not None:
            return self.choices.noise
        seed = ((self.choices.settings.seed or 0) + number * _SEED_STEP) % 2**63
        return torch.randn(self.shape(number), generator=torch.Generator().manual_seed(seed))

    def _experts(self, number: int) -> list[Expert]:
        """The checkpoint's transformers, from high noise to low, each with its own guidance."""
        settings, components = self.choices.settings, self.components
        scales = settings.window_guidance if self.plan.canvases[number].goes_on else settings.guidance
        is_batched = components.residence.is_batched
        bounds = [self.checkpoint.boundary_ratio or 0.0, 0.0][: self.checkpoint.num_experts]
        return [
            Expert(
                load=partial(components.transformer, index),
                guidance=Guidance(
                    scale=scale,
                    interval=settings.guidance_interval,
                    history_from=self.checkpoint.defaults.history_guidance_from,
                    is_batched=is_batched,
                ),
                lowest_sigma=bound,
            )
            for index, (bound, scale) in enumerate(zip(bounds, scales, strict=True))
        ]

    # what is known

    def _known_latents(self, number: int) -> Tensor:
        """Latents of every column that has a source; columns whose frames follow are encoded together."""
        pieces: list[Tensor] = []
        empty = torch.zeros(self.shape(number))[:, :, :1]
        for run in _runs(self.plan.canvases[number].columns):
            source = run[0].source
            if source is None:
                pieces += [empty] * len(run)
            elif isinstance(source, Made) and not self.checkpoint.geometry.is_causal:
                pieces += [self._latent_at(column.source) for column in run]  # type: ignore[arg-type]
            else:
                pieces.append(self._encoded([column.source for column in run if column.source]))
        return torch.cat(pieces, dim=2)

    def _latent_at(self, source: Source) -> Tensor:
        """The latent of a chunk of an earlier canvas."""
        places = [p for p, c in enumerate(self.plan.canvases[source.index].columns) if not c.is_aside]
        place = places[source.first_frame // self.checkpoint.geometry.frames_per_latent]
        return self.latents(source.index)[:, :, place : place + 1]

    def _encoded(self, sources: Sequence[Source]) -> Tensor:
        """Latents of frames in a row. Inside a video a causal encoder is shown the first of them before."""
        pixels = torch.cat([self._pixels(source) for source in sources], dim=2)
        drop = 0
        if self.checkpoint.geometry.is_causal and sources[0].num_frames > 1:
            num_still = 1 + (WARM_UP - 1) * self.checkpoint.geometry.frames_per_latent
            pixels = torch.cat((pixels[:, :, :1].expand(-1, -1, num_still, -1, -1), pixels), dim=2)
            drop = WARM_UP
        autoencoder = self.components.autoencoder()
        with torch.inference_mode(), clear_shortage():
            latents = autoencoder.encode(pixels.to(self.components.device, self.components.autoencoder_dtype))
        return latents.float().cpu()[:, :, drop:]

    def _pixels(self, source: Source) -> Float[Tensor, "1 3 f h w"]:
        """Frames by their name, in [-1, 1]."""
        if isinstance(source, Media):
            frames = torch.from_numpy(self.media[source.index].read(source.first_frame, source.num_frames))
            return frames.permute(3, 0, 1, 2)[None].float() / 127.5 - 1
        wanted = [(source.index, source.first_frame + index) for index in range(source.num_frames)]
        if any(frame not in self._frames for frame in wanted):
            for _ in self._shown(source.index):
                pass
        return torch.stack([self._frames[frame] for frame in wanted], dim=1)[None]

    # frames

    def _shown(self, number: int) -> Iterator[Float[Tensor, "1 3 f h w"]]:
        """What a canvas shows, decoded a few frames at a time.

        A column that shows fewer frames than its latent holds (a still in its chunk) shows the last ones.
        """
        sketch = self.plan.canvases[number]
        latents = self.latents(number)[:, :, [not column.is_aside for column in sketch.columns]]
        pins = {} if self.choices.noise is not None else self._pins(sketch)
        self._forget(number)
        is_wanted = self._is_wanted(sketch)
        autoencoder = self.components.autoencoder()
        device, dtype = self.components.device, self.components.autoencoder_dtype
        self._learn_colours(autoencoder)
        frames = autoencoder.stream(latents.to(device, dtype), tile=self.choices.tile)
        if self.choices.noise is None and not autoencoder.is_causal:
            frames = steadied(frames, autoencoder.frames_per_latent)
        frames = pinned(frames, pins)
        index = 0
        with self.components.in_use(autoencoder):
            while index < len(is_wanted):
                with torch.inference_mode(), clear_shortage():  # not around the yield: it would leak
                    piece = next(frames)
                    for offset, frame in enumerate(piece[0].unbind(1)):
                        if (number, index + offset) in self._readers:
                            self._frames[number, index + offset] = frame.float().cpu()
                    kept = is_wanted[index : index + piece.shape[2]].to(piece.device)
                    index += piece.shape[2]
                    piece = piece[:, :, kept]
                if piece.shape[2]:
                    yield piece

    def _learn_colours(self, autoencoder: Autoencoder) -> None:
        """While it is at hand: where parts take turns on the device, for the pictures of later runs."""
        preview = self.choices.preview
        if preview is None or preview.book.colours is not None:
            return
        device, dtype = self.components.device, self.components.autoencoder_dtype
        preview.book.colours = Colours.of(autoencoder, device=device, dtype=dtype)

    def _is_wanted(self, sketch: Sketch) -> Tensor:
        geometry, strip = self.checkpoint.geometry, sketch.strip
        per = geometry.frames_per_latent
        held = [1 if geometry.is_causal and index == 0 else per for index in range(len(strip))]
        return torch.tensor(
            [
                column.is_shown and frame >= count - column.num_frames
                for column, count in zip(strip, held, strict=True)
                for frame in range(count)
            ]
        )

    def _pins(self, sketch: Sketch) -> dict[int, Tensor]:
        return {pin.frame: self._pixels(pin.source)[0, :, 0] for pin in sketch.pins}

    @cached_property
    def _readers(self) -> dict[tuple[int, int], list[tuple[int, bool]]]:
        """Which canvases read a frame of another, and whether they do so for its pixels, not its latents."""
        readers: dict[tuple[int, int], list[tuple[int, bool]]] = {}
        is_causal = self.checkpoint.geometry.is_causal
        for number, sketch in enumerate(self.plan.canvases):
            sources = [(column.source, False) for column in sketch.columns] if is_causal else []
            for source, for_pixels in [*sources, *((pin.source, True) for pin in sketch.pins)]:
                if isinstance(source, Made):
                    for frame in range(source.first_frame, source.first_frame + source.num_frames):
                        readers.setdefault((source.index, frame), []).append((number, for_pixels))
        return readers

    def _forget(self, current: int) -> None:
        """Let go of frames that only canvases read whose latents are there."""
        self._frames = {
            frame: pixels
            for frame, pixels in self._frames.items()
            if any(
                reader not in self._latents or (for_pixels and reader >= current)
                for reader, for_pixels in self._readers[frame]
            )
        }

    # finished canvases on disk

    def _path(self, number: int) -> Path:
        assert self.choices.keep is not None
        return self.choices.keep / f"canvas-{number:04d}.safetensors"

    def _is_kept(self, number: int) -> bool:
        return self.choices.keep is not None and self._path(number).is_file()

    def _loaded(self, number: int) -> Tensor:
        self.seconds[number] = 0.0
        num_steps = self.choices.settings.steps
        self._tell("denoise", len(self.seconds) * num_steps, len(self.plan.canvases) * num_steps)
        return load_file(self._path(number))["latents"]

    def _tell(self, stage: str, step: int, num_steps: int, latents: Tensor | None = None) -> None:
        self.choices.on_step(Progress(stage, step, num_steps, latents))


def _runs(columns: Sequence[Column]) -> list[list[Column]]:
    """Columns grouped where the frames that they are made from follow one another."""
    runs: list[list[Column]] = []
    for column in columns:
        before = runs[-1][-1] if runs else None
        if before is not None and _follows(before, column):
            runs[-1].append(column)
        else:
            runs.append([column])
    return runs


def _follows(before: Column, column: Column) -> bool:
    one, other = before.source, column.source
    if one is None or other is None:
        return one is other
    return (
        type(one) is type(other)
        and one.index == other.index
        and one.first_frame + one.num_frames == other.first_frame
        and before.is_aside == column.is_aside
        and other.num_frames > 1
    )
