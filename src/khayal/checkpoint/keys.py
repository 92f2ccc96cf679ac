"""The parts of a folder: which class of ours each part's class name stands for, and how its keys load."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from importlib import import_module
from pathlib import Path
from typing import Any

import torch
from torch import nn

from khayal.checkpoint.configs import UMT5_POSITIVE, UMT5_REQUIRED, UMT5_WITHOUT_EFFECT, parse_config
from khayal.errors import CheckpointError
from khayal.model.skeleton import without_weights

TI2V = "Wan-AI/Wan2.2-TI2V-5B-Diffusers"


@dataclass(frozen=True, kw_only=True)
class Part:
    """How one class of a diffusers folder is read and written.

    Attributes:
        library: the first half of its entry in model_index.json.
        class_name: the second half.
        home: where our class and its config are, as "module:Class:Config".
        stem: the name of the weights' file without its suffix.
        in_float32: key parts that stay in float32 whatever the dtype; diffusers keeps the same.
        copies: keys that a file may hold in place of, or beside, another one with the same values.
        without_effect: config keys that are known and do not matter.
        required: config keys for which khayal can do the listed values only.
        positive: config keys whose numbers must be above zero.
        even: config keys whose numbers must be even.
        written: config keys for other readers, beside our own fields.
        not_written: our own fields that other readers do not know.
    """

    library: str
    class_name: str
    home: str
    stem: str = "diffusion_pytorch_model"
    in_float32: frozenset[str] = frozenset()
    copies: Mapping[str, str] = field(default_factory=dict)
    without_effect: frozenset[str] = frozenset()
    required: Mapping[str, tuple[Any, ...]] = field(default_factory=dict)
    positive: frozenset[str] = frozenset()
    even: frozenset[str] = frozenset()
    written: Mapping[str, Any] = field(default_factory=dict)
    not_written: frozenset[str] = frozenset()

    @property
    def module_class(self) -> type[nn.Module]:
        module, name, _ = self.home.split(":")
        kind: type[nn.Module] = getattr(import_module(module), name)
        return kind

    @property
    def config_class(self) -> type[Any]:
        module, _, name = self.home.split(":")
        kind: type[Any] = getattr(import_module(module), name)
        return kind

    def parse(self, data: Mapping[str, Any], *, where: Path) -> Any:
        """The config of this part, from the keys of its config.json."""
        return parse_config(
            self.config_class,
            data,
            where=where,
            without_effect=self.without_effect,
            required=self.required,
            positive=self.positive,
            even=self.even,
        )

    def to_json(self, config: Any) -> dict[str, Any]:
        """The keys of config.json, as the other readers of such a folder write them."""
        fields = {key: value for key, value in asdict(config).items() if key not in self.not_written}
        name = {} if self.library == "transformers" else {"_class_name": self.class_name}
        return {**name, **self.written, **fields}

    def skeleton(self, config: Any) -> nn.Module:
        """The module without weights, on the meta device: its shapes, at no cost.

        Raises:
            CheckpointError: for a config that no module can be built from.
        """
        try:
            with without_weights():
                return self.module_class(config)
        except (ArithmeticError, LookupError, RuntimeError, TypeError, ValueError) as error:
            raise CheckpointError(
                f"No {self.class_name} can be built from its config.json",
                why=str(error).splitlines()[0] if str(error) else type(error).__name__,
            ) from error

    def dtype_of(self, key: str, dtype: torch.dtype) -> torch.dtype:
        """The dtype in which a tensor is loaded where `dtype` is asked for."""
        return torch.float32 if self.in_float32 & set(key.split(".")) else dtype


_TRANSFORMER_SIZES = """
patch_size num_attention_heads attention_head_dim in_channels out_channels text_dim freq_dim ffn_dim
num_layers eps rope_max_seq_len
"""
_TRANSFORMER_POSITIVE = frozenset(_TRANSFORMER_SIZES.split())
_WAN_AUTOENCODER_SIZES = """
base_dim decoder_base_dim z_dim dim_mult num_res_blocks latents_std in_channels out_channels patch_size
scale_factor_temporal scale_factor_spatial
"""
_WAN_AUTOENCODER_POSITIVE = frozenset(_WAN_AUTOENCODER_SIZES.split())
PARTS = (
    Part(
        library="diffusers",
        class_name="WanTransformer3DModel",
        home="khayal.model.transformer:SpacetimeTransformer:TransformerConfig",
        in_float32=frozenset({"time_embedder", "scale_shift_table", "norm1", "norm2", "norm3"}),
        required={"qk_norm": ("rms_norm_across_heads",)},
        positive=_TRANSFORMER_POSITIVE,
        even=frozenset({"attention_head_dim", "freq_dim"}),
    ),
    Part(
        library="diffusers",
        class_name="AutoencoderKLWan",
        home="khayal.model.wan_autoencoder:WanAutoencoder:WanAutoencoderConfig",
        not_written=frozenset({"clip_output"}),
        positive=_WAN_AUTOENCODER_POSITIVE,
    ),
    Part(
        library="khayal",
        class_name="ChunkAutoencoder",
        home="khayal.model.chunk_autoencoder:ChunkAutoencoder:ChunkAutoencoderConfig",
        positive=frozenset({"latent_channels", "frames_per_latent", "unshuffle", "widths", "latents_std"}),
    ),
    Part(
        library="transformers",
        class_name="UMT5EncoderModel",
        home="khayal.model.text:UMT5Encoder:UMT5EncoderConfig",
        stem="model",
        copies={"encoder.embed_tokens.weight": "shared.weight"},
        without_effect=UMT5_WITHOUT_EFFECT,
        required=UMT5_REQUIRED,
        positive=UMT5_POSITIVE,
        even=frozenset({"relative_attention_num_buckets"}),
        written={"architectures": ["UMT5EncoderModel"], "model_type": "umt5"},
    ),
)
ROLES = {
    "transformer": ("WanTransformer3DModel",),
    "transformer_2": ("WanTransformer3DModel",),
    "vae": ("AutoencoderKLWan", "ChunkAutoencoder"),
    "text_encoder": ("UMT5EncoderModel",),
}


def part_of(role: str, class_name: str, *, where: Path) -> Part:
    """The part for a role and the class that model_index.json gives it.

    Raises:
        CheckpointError: for a class that khayal does not have.
    """
    for part in PARTS:
        if part.class_name == class_name and class_name in ROLES[role]:
            return part
    raise CheckpointError(
        f"In {where}, “{role}” is a {class_name}",
        why=f"khayal has {' and '.join(ROLES[role])} for it",
        fix=f"use a Wan text-to-video checkpoint, for example {TI2V}",
    )


def part_for(module: nn.Module) -> Part:
    """The part that a module of ours is."""
    for part in PARTS:
        if part.home.split(":")[1] == type(module).__name__:
            return part
    raise AssertionError(f"{type(module).__name__} is not a part of a checkpoint")
