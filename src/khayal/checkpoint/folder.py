"""A checkpoint folder in diffusers layout: described from its JSON files, loaded part by part.

Opening reads every config and the header of every weights file, and checks that they fit, so that a broken
folder is found at once and not after minutes of work.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from pathlib import Path
from typing import Any

import torch

from khayal.checkpoint import hub, untrained
from khayal.checkpoint.configs import MissingPartError, read_json
from khayal.checkpoint.defaults import Defaults, parse_defaults, published_defaults
from khayal.checkpoint.keys import ROLES, TI2V, Part, part_of
from khayal.checkpoint.scheduler import SchedulerConfig, parse_scheduler
from khayal.checkpoint.tokenizer import Tokenizer
from khayal.checkpoint.weights import StoredWeights, check_keys, load_weights, read_weights, renamed
from khayal.errors import CheckpointError, InputError
from khayal.model.autoencoder import Autoencoder
from khayal.model.chunk_autoencoder import ChunkAutoencoderConfig
from khayal.model.text import UMT5Encoder, UMT5EncoderConfig
from khayal.model.transformer import SpacetimeTransformer, TransformerConfig
from khayal.model.wan_autoencoder import WanAutoencoderConfig
from khayal.tasks import TASKS, WHOLE_SAMPLE_TASKS
from khayal.timeline import Timeline

EMBEDDED = Path(__file__).parents[1] / "embedded"
PIPELINES = ("WanPipeline", "WanImageToVideoPipeline")
_NO_PART = ([None, None], None)


def open_checkpoint(model: str | Path | None = None) -> Checkpoint:
    """Describe a local folder, or a model of the Hugging Face hub, downloaded where it is not there yet.

    An existing folder comes first; anything else that looks like ORG/NAME is a hub id. None stands for the
    model that khayal comes with; while there is none, for one with random weights, made on first use.

    Raises:
        CheckpointError: where there is no such folder or model, or it cannot be opened.
    """
    if model is None:
        if (EMBEDDED / "model_index.json").is_file():
            return CheckpointFolder(EMBEDDED, name="khayal").describe()
        return CheckpointFolder(untrained.untrained_folder(), name=untrained.NAME).describe()
    path, name = Path(model).expanduser(), str(model)
    if path.is_dir():
        return CheckpointFolder(path).describe()
    if path.exists():
        raise CheckpointError(
            f"{path} is a file", why="a checkpoint is a folder in diffusers layout", fix=_FOLDER_HINT
        )
    if not hub.is_hub_id(name):
        raise CheckpointError(f"There is no folder {path}", fix=_FOLDER_HINT)
    cached = hub.cached(name)
    if cached is not None:
        try:
            return CheckpointFolder(cached, name=name).describe()
        except MissingPartError:
            pass  # a download that was broken off goes on below
    # The configs come first, so that a model that khayal cannot open is refused before the long part.
    CheckpointFolder(hub.download(name, hub.CONFIGS), name=name).configs()
    try:
        return CheckpointFolder(hub.download(name, hub.EVERYTHING), name=name).describe()
    except MissingPartError as error:  # without a network, the hub's library gives what it has
        raise CheckpointError(
            error.what, why=error.why, fix="connect to the hub and open it again: what arrived is kept"
        ) from error


@dataclass(frozen=True, kw_only=True)
class Checkpoint:
    """What a folder holds. Nothing is loaded yet.

    Attributes:
        name: the hub id, or the folder's name.
        transformer: the shape of each expert.
        boundary_ratio: with two experts, the level (0 to 1) from which upwards the first one works.
        expand_timesteps: whether the transformer takes a noise level for each latent frame.
        weights: the tensors on disk of "transformer", "transformer_2", "vae" and "text_encoder".
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
    weights: Mapping[str, StoredWeights] = field(repr=False)
    parts: Mapping[str, Part] = field(repr=False)

    @property
    def num_experts(self) -> int:
        return 2 if "transformer_2" in self.weights else 1

    @property
    def num_bytes(self) -> int:
        """All weights on disk."""
        return sum(stored.num_bytes for stored in self.weights.values())

    @property
    def num_parameters(self) -> int:
        return sum(stored.num_parameters for stored in self.weights.values())

    @property
    def size_multiple(self) -> int:
        """Sides of a video are multiples of this."""
        return _size_multiple(self.transformer, self.geometry)

    @property
    def spatial_ratio(self) -> int:
        """Pixels per latent, along each side."""
        return self.geometry.spatial_ratio

    @property
    def tasks(self) -> tuple[str, ...]:
        """Which of the eight tasks it can do."""
        return TASKS if self.expand_timesteps else WHOLE_SAMPLE_TASKS

    def check_task(self, task: str) -> None:
        """Raise an InputError where this checkpoint cannot do a task."""
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

    def load_transformer(
        self, device: torch.device | str, dtype: torch.dtype, expert: int = 0
    ) -> SpacetimeTransformer:
        """One expert; with two, expert 0 is the one for high noise."""
        assert 0 <= expert < self.num_experts
        role = "transformer_2" if expert else "transformer"
        transformer: Any = self._load(role, self.transformer, device, dtype)
        return transformer

    def load_autoencoder(self, device: torch.device | str, dtype: torch.dtype = torch.float32) -> Autoencoder:
        """The autoencoder; in float32 unless told otherwise, because Wan's loses detail in bfloat16."""
        autoencoder: Any = self._load("vae", self.autoencoder, device, dtype)
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
        encoder: Any = self._load("text_encoder", self.text, device, dtype)
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

    def _load(
        self, role: str, config: Any, device: torch.device | str, dtype: torch.dtype
    ) -> torch.nn.Module:
        part = self.parts[role]
        module = part.skeleton(config)
        load_weights(
            module,
            self.weights[role],
            device=device,
            dtype_of=lambda key: part.dtype_of(key, dtype),
            copies=part.copies,
        )
        return module.eval().requires_grad_(False)


class CheckpointFolder:
    """A folder on disk, read piece by piece.

    Raises:
        CheckpointError: where it is not a checkpoint that khayal can open.
    """

    def __init__(self, path: Path, *, name: str | None = None) -> None:
        self.path = path
        self.name = name or path.resolve().name
        index = path / "model_index.json"
        if not index.is_file():
            raise CheckpointError(
                f"{path} is not a checkpoint", why="it has no model_index.json", fix=_layout_hint(path)
            )
        self.index = read_json(index)
        self._check_index(index)

    def configs(self) -> dict[str, Any]:
        """The parsed config of every part that has weights.

        Raises:
            CheckpointError: where a file is missing, or asks for what khayal does not have.
        """
        configs = {}
        for role, part in self.parts().items():
            where = self.path / role / "config.json"
            data = read_json(where)
            if role.startswith("transformer"):
                _refuse_image_concatenation(data, where=where)
            configs[role] = part.parse(data, where=where)
        self._check_agreement(configs)
        return configs

    def parts(self) -> dict[str, Part]:
        """The parts that model_index.json names."""
        where = self.path / "model_index.json"
        return {
            role: part_of(role, self.index[role][1], where=where)
            for role in ROLES
            if self.index.get(role) not in _NO_PART
        }

    def describe(self) -> Checkpoint:
        """Read everything but the weights themselves, and check that it fits together."""
        parts, configs = self.parts(), self.configs()
        weights = {}
        for role, part in parts.items():
            stored = weights[role] = read_weights(self.path / role, part.stem)
            check_keys(part.skeleton(configs[role]), stored.folder, renamed(stored, part.copies))
        where = self.path / "scheduler" / "scheduler_config.json"
        scheduler = parse_scheduler(read_json(where), where=where)
        if not (self.path / "tokenizer").is_dir():
            raise MissingPartError(self.path / "tokenizer")
        return Checkpoint(
            name=self.name,
            path=self.path,
            transformer=configs["transformer"],
            autoencoder=configs["vae"],
            text=configs["text_encoder"],
            scheduler=scheduler,
            boundary_ratio=self.index.get("boundary_ratio"),
            expand_timesteps=bool(self.index.get("expand_timesteps")),
            defaults=self._defaults(configs),
            weights=weights,
            parts=parts,
        )

    def _defaults(self, configs: Mapping[str, Any]) -> Defaults:
        transformer = configs["transformer"]
        autoencoder: Any = self.parts()["vae"].skeleton(configs["vae"])
        published = published_defaults(
            transformer,
            num_experts=2 if "transformer_2" in configs else 1,
            size_multiple=_size_multiple(transformer, autoencoder),
            has_level_per_frame=bool(self.index.get("expand_timesteps")),
        )
        where = self.path / "khayal.json"
        return (
            parse_defaults(read_json(where), where=where, otherwise=published)
            if where.exists()
            else published
        )

    def _check_index(self, where: Path) -> None:
        known = {*ROLES, "tokenizer", "scheduler", "boundary_ratio", "expand_timesteps"}
        if self.index.get("_class_name") not in PIPELINES:
            raise CheckpointError(
                f"{where} is for a {self.index.get('_class_name')}",
                why="khayal opens Wan text-to-video checkpoints and its own",
                fix=f"use for example {TI2V}",
            )
        for key, value in self.index.items():
            if key.startswith("image_") and value not in _NO_PART:
                raise _image_concatenation(f"{where} has an {key}")
            if key not in known and not key.startswith("_") and value not in _NO_PART:
                raise CheckpointError(f"{where} has a part that khayal does not know: “{key}”")
        needed = {*ROLES, "tokenizer", "scheduler"} - {"transformer_2"}
        for role in (*ROLES, "tokenizer", "scheduler"):
            entry = self.index.get(role)
            if entry in _NO_PART and role not in needed:
                continue
            if not isinstance(entry, list) or len(entry) != 2 or not isinstance(entry[1], str):
                raise CheckpointError(f"{where} names no {role}", fix="use a complete diffusers folder")
        boundary = self.index.get("boundary_ratio")
        if (self.index.get("transformer_2") not in _NO_PART) != (boundary is not None):
            raise CheckpointError(
                f"{where} contradicts itself",
                why="a second transformer and a boundary_ratio belong together, and it has only one of them",
            )
        if boundary is not None and not (isinstance(boundary, float) and 0 < boundary < 1):
            raise CheckpointError(
                f"In {where}, “boundary_ratio” is {boundary}", why="it must be between 0 and 1"
            )

    def _check_agreement(self, configs: Mapping[str, Any]) -> None:
        transformer, vae = configs["transformer"], configs["vae"]
        if configs.get("transformer_2", transformer) != transformer:
            raise CheckpointError(
                f"The two transformers in {self.path} differ in shape", why="khayal runs experts of one shape"
            )
        latent_channels = self.parts()["vae"].skeleton(vae).latent_channels
        pairs = (
            ("latent channels", "autoencoder", transformer.in_channels, latent_channels),
            ("text width", "text encoder", transformer.text_dim, configs["text_encoder"].d_model),
        )
        for what, other, ours, theirs in pairs:
            if ours != theirs:
                raise CheckpointError(
                    f"The transformer and the {other} in {self.path} do not belong together",
                    why=f"the {what} are {ours} in the one and {theirs} in the other",
                )


_FOLDER_HINT = f"give a checkpoint folder in diffusers layout, or a hub id such as {TI2V}"


@lru_cache(maxsize=2)  # UMT5's takes a second or two
def _open_tokenizer(folder: Path, length: int) -> Tokenizer:
    return Tokenizer(folder, length=length)


def _size_multiple(transformer: TransformerConfig, autoencoder: Autoencoder) -> int:
    return autoencoder.spatial_ratio * max(transformer.patch_size[1:])


def _image_concatenation(what: str) -> CheckpointError:
    return CheckpointError(
        what,
        why="the model needs image-concatenation I2V, which khayal does not have yet",
        fix=f"use {TI2V}, which animates images by their noise level",
    )


def _refuse_image_concatenation(data: Mapping[str, Any], *, where: Path) -> None:
    for key in ("image_dim", "added_kv_proj_dim", "pos_embed_seq_len"):
        if data.get(key) is not None:
            raise _image_concatenation(f"In {where}, “{key}” is {data[key]}")
    channels, out_channels = data.get("in_channels", 16), data.get("out_channels", 16)
    if out_channels is not None and channels != out_channels:
        raise _image_concatenation(
            f"In {where}, the transformer reads {channels} channels and makes {out_channels}"
        )


def _layout_hint(path: Path) -> str:
    """Say what the folder seems to be instead."""
    if any(path.glob("*.pth")) or (re.search("Wan2", path.name) and any(path.glob("*.safetensors"))):
        return "this looks like Wan's original layout: use the repository whose name ends in -Diffusers"
    inside = sorted(child.name for child in path.iterdir() if (child / "model_index.json").is_file())
    if inside:
        return f"did you mean {path / inside[0]}?"
    return _FOLDER_HINT
