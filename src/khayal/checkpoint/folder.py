"""A checkpoint folder in diffusers layout, described from its JSON files.

Opening reads every config and the header of every weights file, and checks that they fit, so that a broken
folder is found at once and not after minutes of work. Of a model that is still on the hub the configs come
alone, so that what it cannot do is found before hours of download.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from khayal.checkpoint import hub
from khayal.checkpoint.configs import MissingPartError, read_json
from khayal.checkpoint.contents import Checkpoint, size_multiple
from khayal.checkpoint.defaults import Defaults, parse_defaults, published_defaults
from khayal.checkpoint.keys import ROLES, TI2V, Part, part_of
from khayal.checkpoint.scheduler import parse_scheduler
from khayal.errors import CheckpointError

EMBEDDED = Path(__file__).parents[1] / "embedded"
PIPELINES = ("WanPipeline", "WanImageToVideoPipeline")
_NO_PART = ([None, None], None)


def open_checkpoint(model: str | Path | None = None) -> Checkpoint:
    """Describe a local folder, or a model of the Hugging Face hub.

    An existing folder comes first; anything else that looks like ORG/NAME is a hub id. Of a model that is not
    on this machine the configs come alone, and its weights on the first load. None stands for the model that
    khayal comes with.

    Raises:
        CheckpointError: where there is no such folder or model, or it cannot be opened.
    """
    if model is None:
        return CheckpointFolder(EMBEDDED, name="khayal").describe()
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
    if cached is not None and (cached / "model_index.json").is_file():
        try:
            return CheckpointFolder(cached, name=name).describe()
        except MissingPartError:
            pass  # a download that was broken off goes on when the weights are needed
    return CheckpointFolder(hub.download(name, hub.CONFIGS), name=name).describe(is_remote=True)


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
                f"{name or path} is not a checkpoint",
                why="it has no model_index.json",
                fix=_layout_hint(path, self.name),
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
            if role.startswith("transformer") and configs[role].patch_size[0] != 1:
                raise CheckpointError(
                    f"In {where}, “patch_size” is {list(configs[role].patch_size)}",
                    why="khayal gives each latent frame its own noise level, so a patch cannot span several",
                )
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

    def describe(self, *, is_remote: bool = False) -> Checkpoint:
        """Read everything but the weights themselves, and check that it fits together.

        Args:
            is_remote: the weights are still on the hub, and are looked at when they come.
        """
        configs = self.configs()
        where = self.path / "scheduler" / "scheduler_config.json"
        scheduler = parse_scheduler(read_json(where), where=where)
        if not (self.path / "tokenizer").is_dir():
            raise MissingPartError(self.path / "tokenizer")
        checkpoint = Checkpoint(
            name=self.name,
            path=self.path,
            transformer=configs["transformer"],
            autoencoder=configs["vae"],
            text=configs["text_encoder"],
            scheduler=scheduler,
            boundary_ratio=self.index.get("boundary_ratio"),
            expand_timesteps=bool(self.index.get("expand_timesteps")),
            defaults=self._defaults(configs),
            parts=self.parts(),
            is_remote=is_remote,
        )
        if is_remote:
            for role, part in checkpoint.parts.items():
                part.skeleton(configs[role])
        else:
            checkpoint.fetch()
        return checkpoint

    def _defaults(self, configs: Mapping[str, Any]) -> Defaults:
        transformer = configs["transformer"]
        autoencoder: Any = self.parts()["vae"].skeleton(configs["vae"])
        has_level_per_frame = bool(self.index.get("expand_timesteps"))
        published = published_defaults(
            transformer,
            num_experts=2 if "transformer_2" in configs else 1,
            size_multiple=size_multiple(transformer, autoencoder),
            has_level_per_frame=has_level_per_frame,
        )
        where = self.path / "khayal.json"
        if not where.exists():
            return published
        defaults = parse_defaults(read_json(where), where=where, otherwise=published)
        for key in ("history_guidance_from", "window_guidance"):
            if getattr(defaults, key) is not None and not has_level_per_frame:
                raise CheckpointError(
                    f"In {where}, “{key}” is given",
                    why="this model takes one noise level for the whole video, so no frame can be given",
                    fix="take the key out",
                )
        return defaults

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
        if not isinstance(self.index.get("expand_timesteps"), bool | None):
            raise CheckpointError(f"In {where}, “expand_timesteps” is neither true nor false")
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


def _layout_hint(path: Path, name: str) -> str:
    """Say what the folder, or the model of the hub, seems to be instead."""
    is_original = hub.is_hub_id(name) or any(path.glob("*.safetensors"))
    if any(path.glob("*.pth")) or (re.search("Wan2", name) and is_original):
        return "this looks like Wan's original layout: use the repository whose name ends in -Diffusers"
    inside = sorted(child.name for child in path.iterdir() if (child / "model_index.json").is_file())
    if inside:
        return f"did you mean {path / inside[0]}?"
    return _FOLDER_HINT
