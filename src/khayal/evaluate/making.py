"""Clips from a checkpoint, several at a time: the same ones that `khayal "…" --seed n` makes."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Float, UInt8
from torch import Tensor

from khayal.checkpoint.contents import Checkpoint
from khayal.checkpoint.folder import open_checkpoint
from khayal.components import Components, has_native_bf16, pick_device
from khayal.errors import InputError
from khayal.flow import schedule
from khayal.joins import steadied
from khayal.model.autoencoder import Autoencoder
from khayal.sample.canvas import Canvas
from khayal.sample.denoise import denoise
from khayal.sample.guidance import Expert, Guidance, GuidedModel
from khayal.sample.solvers import SOLVERS


@dataclass
class Maker:
    """A checkpoint that makes clips of its own length, size and settings.

    Attributes:
        at_once: clips that are made together.
    """

    checkpoint: Checkpoint
    device: torch.device
    at_once: int = 8
    components: Components = field(init=False)

    def __post_init__(self) -> None:
        self.release()

    def release(self) -> None:
        """Let go of what is loaded; it is loaded again when it is needed."""
        dtype = torch.bfloat16 if has_native_bf16(self.device) else torch.float32
        self.components = Components(
            self.checkpoint, device=self.device, dtype=dtype, autoencoder_dtype=torch.float32
        )

    @classmethod
    def open(cls, model: str | Path | None, device: str = "auto") -> Maker:
        """Open a checkpoint to evaluate.

        Raises:
            CheckpointError: it cannot be opened.
            InputError: it makes single images only.
        """
        checkpoint = open_checkpoint(model)
        maker = cls(checkpoint, pick_device(device))
        if maker.num_frames < checkpoint.timeline.frames_per_latent + 1:
            raise InputError(
                f"{checkpoint.name} cannot be evaluated",
                why="by its khayal.json it makes single images, and motion is what is measured",
                fix="take a checkpoint that makes clips",
            )
        return maker

    @property
    def num_frames(self) -> int:
        """Frames of a clip."""
        return self.checkpoint.timeline.num_frames(self.checkpoint.defaults.seconds)

    @property
    def size(self) -> tuple[int, int]:
        """Width and height of a clip."""
        return self.checkpoint.defaults.size

    @property
    def fps(self) -> float:
        """Frames per second."""
        return float(self.checkpoint.timeline.fps)

    @property
    def columns(self) -> tuple[int, ...]:
        """Pixel frames of each latent frame."""
        return self.checkpoint.timeline.frames_per_column(self.num_frames)

    def shape(self, count: int) -> tuple[int, int, int, int, int]:
        """b c t h w of the latents of some clips."""
        geometry = self.checkpoint.geometry
        width, height = (side // geometry.spatial_ratio for side in self.size)
        return count, geometry.latent_channels, len(self.columns), height, width

    def autoencoder(self) -> Autoencoder:
        """The checkpoint's, on its device."""
        return self.components.autoencoder()

    @torch.inference_mode()
    def encode(self, frames: UInt8[Tensor, "b f H W 3"]) -> Float[Tensor, "b c t h w"]:
        """Latents of clips, on the CPU."""
        pixels = frames.to(self.device).permute(0, 4, 1, 2, 3).float() / 127.5 - 1
        return self.autoencoder().encode(pixels).float().cpu()

    @torch.inference_mode()
    def decode(self, latents: Float[Tensor, "b c t h w"]) -> UInt8[Tensor, "b f H W 3"]:
        """Clips of latents, as they would be written to a file."""
        frames = torch.cat(list(self.pieces(latents)), dim=2)
        levels = (frames.float() * 0.5 + 0.5).clamp_(0, 1).mul_(255).round_().to(torch.uint8)
        return levels.permute(0, 2, 3, 4, 1).cpu()

    def pieces(self, latents: Float[Tensor, "b c t h w"]) -> Iterator[Float[Tensor, "b 3 f H W"]]:
        """Decoded frames in [-1, 1], a few at a time, as a rollout shows them."""
        autoencoder = self.autoencoder()
        frames = autoencoder.stream(latents.to(self.device))
        return frames if autoencoder.is_causal else steadied(frames, autoencoder.frames_per_latent)

    def make(
        self,
        prompts: Sequence[str],
        seeds: Sequence[int],
        *,
        known: Float[Tensor, "b c k h w"] | None = None,
    ) -> UInt8[Tensor, "b f H W 3"]:
        """One clip for each prompt.

        Args:
            seeds: of the noise of each.
            known: latents of the first k columns, which are continued.
        """
        made = []
        for start in range(0, len(prompts), self.at_once):
            part = slice(start, start + self.at_once)
            noise = torch.cat(
                [torch.randn(self.shape(1), generator=torch.Generator().manual_seed(s)) for s in seeds[part]]
            )
            some = self._sample(prompts[part], noise, known[part] if known is not None else None)
            made.append(self.decode(some))
        return torch.cat(made)

    def _sample(
        self, prompts: Sequence[str], noise: Tensor, known: Tensor | None
    ) -> Float[Tensor, "b c t h w"]:
        checkpoint, defaults = self.checkpoint, self.checkpoint.defaults
        canvas, noise = self._canvas(noise.shape, known), noise.to(self.device)
        is_guided = any(scale != 1 for scale in defaults.guidance)
        model = GuidedModel(
            experts=self._experts(),
            canvas=canvas,
            text=self.text(prompts)[:, None],
            noise=noise,
            negative=self.text([""])[:, None].expand(len(prompts), -1, -1, -1) if is_guided else None,
            num_levels=checkpoint.scheduler.num_levels,
        )
        solver = SOLVERS[checkpoint.scheduler.solver]()
        return denoise(model, canvas, noise, solver=solver).float().cpu()

    def _canvas(self, shape: Sequence[int], known: Tensor | None) -> Canvas:
        defaults, scheduler = self.checkpoint.defaults, self.checkpoint.scheduler
        count, num_columns = 0 if known is None else known.shape[2], len(self.columns)
        latents = torch.zeros(*shape)
        if known is not None:
            latents[:, :, :count] = known
        falling = schedule(defaults.steps, shift=scheduler.flow_shift, num_levels=scheduler.num_levels)
        sigmas = falling[:, None].repeat(1, num_columns)
        sigmas[:, :count] = 0
        is_known = torch.arange(num_columns) < count
        return Canvas(
            latents=latents,
            is_known=is_known,
            is_given=is_known,
            is_shown=torch.ones(num_columns, dtype=torch.bool),
            sigmas=sigmas,
            positions=torch.arange(num_columns).float(),
            shots=torch.zeros(num_columns, dtype=torch.int64),
            frames_per_column=self.columns,
        )

    def _experts(self) -> list[Expert]:
        checkpoint = self.checkpoint
        bounds = [checkpoint.boundary_ratio or 0.0, 0.0][: checkpoint.num_experts]
        return [
            Expert(
                load=partial(self.components.transformer, index),
                guidance=Guidance(scale=scale, history_from=checkpoint.defaults.history_guidance_from),
                lowest_sigma=bound,
            )
            for index, (bound, scale) in enumerate(zip(bounds, checkpoint.defaults.guidance, strict=True))
        ]

    @torch.inference_mode()
    def text(self, prompts: Sequence[str]) -> Float[Tensor, "b l e"]:
        """Encoded prompts, zero after their ends."""
        tokens = self.checkpoint.tokenizer().encode(list(prompts))
        length = int(
            tokens.is_token.sum(dim=1).max()
        )  # what is masked changes nothing, so it is not computed
        encoder = self.components.text_encoder()
        device = next(encoder.parameters()).device
        is_token = tokens.is_token[:, :length].to(device)
        encoded = encoder(tokens.token_ids[:, :length].to(device), is_token)
        encoded = encoded * is_token[..., None]
        return F.pad(encoded, (0, 0, 0, tokens.is_token.shape[1] - length))

    @property
    def sampling(self) -> dict[str, Any]:
        """How a clip is sampled: the same weights make others with other defaults."""
        defaults, scheduler = self.checkpoint.defaults, self.checkpoint.scheduler
        return {
            "steps": defaults.steps,
            "guidance": list(defaults.guidance),
            "history_guidance_from": defaults.history_guidance_from,
            "window_guidance": defaults.window_guidance,
            "solver": scheduler.solver,
            "flow_shift": scheduler.flow_shift,
        }

    def fingerprint(self, *parts: str) -> str:
        """Of the weights of some parts of the checkpoint, or of all of them."""
        digest = hashlib.sha256()
        for part in parts or ("transformer", "transformer_2", "text_encoder", "vae"):
            for path in sorted((self.checkpoint.path / part).glob("*.safetensors")):
                digest.update(path.read_bytes())
        return digest.hexdigest()[:12]
