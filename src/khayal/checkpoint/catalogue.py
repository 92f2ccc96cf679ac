"""The models that khayal knows by name, and those on this machine: what `khayal models` lists."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

from khayal.checkpoint import hub
from khayal.checkpoint.configs import read_json
from khayal.checkpoint.defaults import published_defaults
from khayal.checkpoint.folder import EMBEDDED, PIPELINES, Checkpoint, CheckpointFolder
from khayal.errors import CheckpointError
from khayal.footprint import num_parameters
from khayal.model.chunk_autoencoder import ChunkAutoencoderConfig
from khayal.model.text import UMT5EncoderConfig
from khayal.model.transformer import TransformerConfig
from khayal.model.wan_autoencoder import WanAutoencoderConfig
from khayal.tasks import TASKS, WHOLE_SAMPLE_TASKS


@dataclass(frozen=True, kw_only=True)
class Shape:
    """The configs of a model's parts, from which its memory can be estimated."""

    transformer: TransformerConfig
    autoencoder: WanAutoencoderConfig | ChunkAutoencoderConfig
    text: UMT5EncoderConfig
    num_experts: int


@dataclass(frozen=True, kw_only=True)
class Entry:
    """One model of the list.

    Attributes:
        name: what `--model` takes: a hub id, or a folder.
        path: where it is, or None where it would be downloaded.
        num_parameters: of all its parts.
        num_bytes: on disk; for a model that is not here, about what the download weighs.
        fps: frames per second that it makes.
        size: (width, height) that it makes by default.
        tasks: which of the eight the model is able to do; this khayal may not make all of them yet.
        shape: the configs of its parts.
    """

    name: str
    path: Path | None
    num_parameters: int
    num_bytes: int
    fps: Fraction
    seconds: float
    size: tuple[int, int]
    tasks: tuple[str, ...]
    shape: Shape


@dataclass(frozen=True, kw_only=True)
class Broken:
    """A checkpoint on this machine that cannot be opened, and why."""

    name: str
    path: Path
    problem: str


UMT5_XXL = UMT5EncoderConfig(
    vocab_size=256384, d_model=4096, d_kv=64, d_ff=10240, num_layers=24, num_heads=64
)
_WAN_2_1 = WanAutoencoderConfig()
_WAN_2_2 = WanAutoencoderConfig(
    base_dim=160,
    decoder_base_dim=256,
    z_dim=48,
    is_residual=True,
    in_channels=12,
    out_channels=12,
    patch_size=2,
    scale_factor_spatial=16,
    latents_mean=(0.0,) * 48,  # a folder brings its own; they do not matter for sizes
    latents_std=(1.0,) * 48,
)
_1_3B = TransformerConfig(num_attention_heads=12, num_layers=30, ffn_dim=8960)
_5B = TransformerConfig(num_attention_heads=24, num_layers=30, ffn_dim=14336, in_channels=48, out_channels=48)
_14B = TransformerConfig()
# The published folders hold float32, but for the text encoder of the 2.2 ones, which is in bfloat16.
_KNOWN = (
    ("Wan-AI/Wan2.2-TI2V-5B-Diffusers", _5B, _WAN_2_2, 1, True, 2),
    ("Wan-AI/Wan2.1-T2V-1.3B-Diffusers", _1_3B, _WAN_2_1, 1, False, 4),
    ("Wan-AI/Wan2.1-T2V-14B-Diffusers", _14B, _WAN_2_1, 1, False, 4),
    ("Wan-AI/Wan2.2-T2V-A14B-Diffusers", _14B, _WAN_2_1, 2, False, 2),
)


def known_models() -> list[Entry]:
    """The published models that khayal opens by their hub id, without asking the network."""
    entries = []
    for name, transformer, autoencoder, num_experts, expand_timesteps, text_bytes in _KNOWN:
        num_text = num_parameters(UMT5_XXL)
        num_other = num_experts * num_parameters(transformer) + num_parameters(autoencoder)
        defaults = published_defaults(
            transformer,
            num_experts=num_experts,
            size_multiple=32 if autoencoder is _WAN_2_2 else 16,
            has_level_per_frame=expand_timesteps,
        )
        entries.append(
            Entry(
                name=name,
                path=hub.cached(name),
                num_parameters=num_text + num_other,
                num_bytes=text_bytes * num_text + 4 * num_other,
                fps=defaults.fps,
                seconds=defaults.seconds,
                size=defaults.size,
                tasks=TASKS if expand_timesteps else WHOLE_SAMPLE_TASKS,
                shape=Shape(
                    transformer=transformer, autoencoder=autoencoder, text=UMT5_XXL, num_experts=num_experts
                ),
            )
        )
    return entries


def local_models(folders: Iterable[Path] = (), *, cache: Path | None = None) -> list[Entry | Broken]:
    """The checkpoints on this machine: khayal's own, those in the hub's cache, those in `folders`.

    Args:
        folders: checkpoints, or folders whose children are looked at.
        cache: another place than the hub's usual one.

    Raises:
        CheckpointError: where one of `folders` is not there.
    """
    found: dict[Path, str] = {}
    if (EMBEDDED / "model_index.json").is_file():
        found[EMBEDDED] = "khayal"
    for name, path in hub.cached_models(cache=cache):
        found.setdefault(path, name)
    for folder in folders:
        if not folder.is_dir():
            raise CheckpointError(f"There is no folder {folder}")
        try:
            children = sorted(folder.iterdir())
        except OSError as error:
            raise CheckpointError(f"The folder {folder} cannot be listed", why=str(error)) from error
        for path in (folder, *children):
            found.setdefault(path, str(path))
    return [_looked_at(path, name) for path, name in found.items() if _is_candidate(path)]


def entry_of(checkpoint: Checkpoint) -> Entry:
    """The line of a checkpoint that is on this machine."""
    defaults = checkpoint.defaults
    return Entry(
        name=checkpoint.name,
        path=checkpoint.path,
        num_parameters=checkpoint.num_parameters,
        num_bytes=sum(stored.num_bytes for stored in checkpoint.fetch().values()),
        fps=defaults.fps,
        seconds=defaults.seconds,
        size=defaults.size,
        tasks=checkpoint.tasks,
        shape=Shape(
            transformer=checkpoint.transformer,
            autoencoder=checkpoint.autoencoder,
            text=checkpoint.text,
            num_experts=checkpoint.num_experts,
        ),
    )


def _is_candidate(path: Path) -> bool:
    """Whether a folder is a video checkpoint of this kind: others in a cache are not ours to list."""
    index = path / "model_index.json"
    try:
        return index.is_file() and read_json(index).get("_class_name") in PIPELINES
    except CheckpointError:
        return True  # broken, and said so
    except OSError:  # a folder of somebody else, which we may not look into
        return False


def _looked_at(path: Path, name: str) -> Entry | Broken:
    try:
        return entry_of(CheckpointFolder(path, name=name).describe())
    except CheckpointError as error:
        return Broken(name=name, path=path, problem=str(error))
