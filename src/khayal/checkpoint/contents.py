"""What a checkpoint holds, and how its parts are loaded."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any

import torch

from khayal.checkpoint import hub
from khayal.checkpoint.configs import MissingPartError
from khayal.checkpoint.defaults import Defaults
from khayal.checkpoint.keys import TI2V, Part
from khayal.checkpoint.scheduler import SchedulerConfig
from khayal.checkpoint.tokenizer import Tokenizer
from khayal.checkpoint.weights import StoredWeights, check_keys, load_weights, read_weights, renamed
from khayal.errors import CheckpointError, InputError
from khayal.footprint import num_parameters
from khayal.model.autoencoder import Autoencoder
from khayal.model.chunk_autoencoder import ChunkAutoencoderConfig
from khayal.model.text import UMT5Encoder, UMT5EncoderConfig
from khayal.model.transformer import SpacetimeTransformer, TransformerConfig
from khayal.model.wan_autoencoder import WanAutoencoderConfig
from khayal.tasks import TASKS, WHOLE_SAMPLE_TASKS
from khayal.timeline import Timeline


@dataclass(frozen=True, kw_only=True)
class Checkpoint:
    """What a folder holds, by its configs. Nothing is loaded yet.

    Attributes:
        name: the hub id, or the folder's name.
        transformer: the shape of each expert.
        boundary_ratio: with two experts, the level (0 to 1) from which upwards the first one works.
        expand_timesteps: whether the transformer takes a noise level for each latent frame.
        parts: what "transformer", "transformer_2", "vae" and "text_encoder" are.
        is_remote: whether its weights are still on the hub; the first load downloads them all.
    """

    name: str
    path: Path
    transformer: TransformerConfig
    autoencoder: WanAutoencoderConfig | ChunkAutoencoderConfig
    text: UMT5EncoderConfig
    scheduler: SchedulerConfig
    boundary_ratio: float | None
    expand_timesteps: bool
    defaults: Defaults
    parts: Mapping[str, Part] = field(repr=False)
    is_remote: bool = False

    @property
    def num_experts(self) -> int:
        return 2 if "transformer_2" in self.parts else 1

    @property
    def num_parameters(self) -> int:
        """Of all parts, by their configs."""
        return sum(num_parameters(self._config(role)) for role in self.parts)

    @property
    def size_multiple(self) -> int:
        """Sides of a video are multiples of this."""
        return size_multiple(self.transformer, self.geometry)

    @property
    def spatial_ratio(self) -> int:
        """Pixels per latent, along each side."""
        return self.geometry.spatial_ratio

    @property
    def tasks(self) -> tuple[str, ...]:
        """Which of the eight tasks the model is able to do; this khayal may not make all of them yet."""
        return TASKS if self.expand_timesteps else WHOLE_SAMPLE_TASKS

    def check_task(self, task: str) -> None:
        """Raise an InputError where this model is not able to do a task."""
        if task not in self.tasks:
            raise InputError(
                f"{self.name} cannot {task}",
                why="it takes one noise level for all frames, so that none of them can be given",
                fix=f"use a model with a level for each frame, for example {TI2V}",
            )

    @cached_property
    def geometry(self) -> Autoencoder:
        """The autoencoder without weights, for its ratios."""
        autoencoder: Any = self.parts["vae"].skeleton(self.autoencoder)
        return autoencoder

    @property
    def timeline(self) -> Timeline:
        """How this checkpoint counts time, at its own frame rate."""
        autoencoder = self.geometry
        return Timeline(
            fps=self.defaults.fps,
            frames_per_latent=autoencoder.frames_per_latent,
            is_causal=autoencoder.is_causal,
        )

    def fetch(self) -> Mapping[str, StoredWeights]:
        """The tensors on disk of every part, checked against the configs; downloaded first if need be.

        Loading does this by itself. Whoever wants the download at another moment calls it then.

        Raises:
            CheckpointError: where they cannot be downloaded, are damaged, or do not fit the configs.
        """
        return self._weights

    def load_transformer(
        self, device: torch.device | str, dtype: torch.dtype, expert: int = 0
    ) -> SpacetimeTransformer:
        """One expert; with two, expert 0 is the one for high noise."""
        assert 0 <= expert < self.num_experts
        transformer: Any = self._load("transformer_2" if expert else "transformer", device, dtype)
        return transformer

    def load_autoencoder(self, device: torch.device | str, dtype: torch.dtype = torch.float32) -> Autoencoder:
        """The autoencoder; in float32 unless told otherwise, because Wan's loses detail in bfloat16."""
        autoencoder: Any = self._load("vae", device, dtype)
        return autoencoder

    def load_text_encoder(self, device: torch.device | str, dtype: torch.dtype) -> UMT5Encoder:
        """The text encoder, in float32 or bfloat16.

        Raises:
            CheckpointError: for float16, whose range UMT5 leaves.
        """
        if dtype == torch.float16:
            raise CheckpointError(
                "The text encoder cannot run in float16",
                why="its activations leave the range of float16",
                fix="load it in bfloat16 or float32",
            )
        encoder: Any = self._load("text_encoder", device, dtype)
        return encoder

    def tokenizer(self) -> Tokenizer:
        """Prompts → the token numbers that the text encoder reads."""
        tokenizer = _open_tokenizer(self.path / "tokenizer", self.defaults.text_length)
        if tokenizer.num_ids > self.text.vocab_size:
            raise CheckpointError(
                f"The tokenizer in {self.path} does not belong to its text encoder",
                why=f"it has {tokenizer.num_ids} tokens and the encoder {self.text.vocab_size}",
            )
        return tokenizer

    def unknown_words(self, prompt: str) -> tuple[str, ...]:
        """Words of a prompt that the model was never taught; none where it may know any."""
        known = frozenset(self.defaults.words)
        if not known:
            return ()
        words = self.tokenizer().words(prompt)
        return tuple(dict.fromkeys(word for word, pieces in words if not known.issuperset(pieces)))

    @cached_property
    def _weights(self) -> Mapping[str, StoredWeights]:
        if self.is_remote:  # of the commit whose configs were read, whatever its owner did since
            hub.download(self.name, hub.EVERYTHING, revision=self.path.name)
        try:
            return {role: self._stored(role) for role in self.parts}
        except MissingPartError as error:
            if not self.is_remote:
                raise
            raise CheckpointError(  # without a network, the hub's library gives what it has
                error.what, why=error.why, fix="connect to the hub and try again: what arrived is kept"
            ) from error

    def _stored(self, role: str) -> StoredWeights:
        part = self.parts[role]
        stored = read_weights(self.path / role, part.stem)
        check_keys(part.skeleton(self._config(role)), stored.folder, renamed(stored, part.copies))
        return stored

    def _config(self, role: str) -> Any:
        return {"vae": self.autoencoder, "text_encoder": self.text}.get(role, self.transformer)

    def _load(self, role: str, device: torch.device | str, dtype: torch.dtype) -> torch.nn.Module:
        part, stored = self.parts[role], self.fetch()[role]
        module = part.skeleton(self._config(role))
        load_weights(
            module,
            stored,
            device=device,
            dtype_of=lambda key: part.dtype_of(key, dtype),
            copies=part.copies,
        )
        return module.eval().requires_grad_(False)


def size_multiple(transformer: TransformerConfig, autoencoder: Autoencoder) -> int:
    """Pixels: what both sides of a video are multiples of."""
    return autoencoder.spatial_ratio * math.lcm(*transformer.patch_size[1:])


@lru_cache(maxsize=2)  # UMT5's takes a second or two
def _open_tokenizer(folder: Path, length: int) -> Tokenizer:
    return Tokenizer(folder, length=length)
