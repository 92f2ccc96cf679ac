"""The transformer of a checkpoint, trained further on packed data; its text encoder stays as it is."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor, nn

from khayal.checkpoint.contents import Checkpoint
from khayal.checkpoint.folder import open_checkpoint
from khayal.checkpoint.keys import part_for
from khayal.checkpoint.save import save_weights, write_json
from khayal.data.files import fingerprint
from khayal.data.texts import padded
from khayal.errors import CheckpointError, InputError, OutputError
from khayal.model.transformer import SpacetimeTransformer
from khayal.train.denoising import Denoising, TextToVideoConfig, inside
from khayal.train.loss import Levels, Mixture
from khayal.train.parts import rebuilt
from khayal.train.source import LatentBatch
from khayal.train.text_to_video import preview_prompts

WHOLE_SAMPLE_PATTERNS = {"shared": 0.96, "images": 0.04}
"""What a model with one noise level for all frames can learn (Wan 2.1)."""


class FineTuning(Denoising):
    """Learns the velocity, from a checkpoint's own weights; captions were encoded when they were packed.

    Args:
        checkpoint: what is trained further; the parts that are not trained are taken from it.
        changes: fields of the configuration other than the checkpoint's: prompts, caption_dropout…

    Raises:
        CheckpointError: it has two experts, which are trained apart.
    """

    def __init__(self, checkpoint: Checkpoint, **changes: Any) -> None:
        if checkpoint.num_experts > 1:
            raise CheckpointError(
                f"{checkpoint.name} cannot be fine-tuned",
                why="it has two experts, one for high and one for low noise",
                fix="use a model with one transformer",
            )
        checkpoint.fetch()
        super().__init__(config_of(checkpoint, **changes))
        self.checkpoint = checkpoint
        self.transformer = checkpoint.load_transformer("cpu", torch.float32).train().requires_grad_(True)

    @cached_property
    def _encoder(self) -> str:
        return fingerprint(self.checkpoint.path / "text_encoder")

    def encode_captions(self, captions: Sequence[str], batch: LatentBatch) -> Float[Tensor, "n l e"]:
        """See `Denoising`.

        Raises:
            InputError: the data was packed without texts, or with those of another text encoder.
        """
        if batch.texts is None or batch.texts.encoder != self._encoder:
            raise InputError(
                "The captions are not encoded for this model",
                why="they are of another text encoder" if batch.texts and batch.texts.encoder else "",
                fix=f"pack the media with it: khayal data pack --model {self.checkpoint.name}",
            )
        texts = [batch.texts.read(caption) for caption in captions]
        return padded(texts, self.config.text_length).to(batch.latents.device)

    def blocks(self) -> Sequence[nn.Module]:
        """See `Objective`."""
        return list(self.transformer.blocks)

    def units(self) -> Sequence[nn.Module]:
        """The blocks, and what computes in float32 beside them."""
        return [*self.blocks(), self.transformer.condition_embedder.time_embedder]

    def export(self, folder: Path, weights: Mapping[str, Tensor], batches: Iterator[LatentBatch]) -> None:
        """The checkpoint's folder with another transformer, in bfloat16; the rest is linked or copied."""
        trained = inside(weights, "transformer")
        module = rebuilt(SpacetimeTransformer, self.config.transformer, trained, torch.bfloat16)
        draft, old = (folder.with_name(f".{folder.name}.{end}") for end in ("part", "old"))
        try:
            for left in (draft, old):
                shutil.rmtree(left, ignore_errors=True)
            left_out = shutil.ignore_patterns("transformer", ".*", "*.md", "assets", "examples")
            shutil.copytree(self.checkpoint.path, draft, ignore=left_out, copy_function=_link)
            part = part_for(module)
            write_json(draft / "transformer" / "config.json", part.to_json(self.config.transformer))
            save_weights(draft / "transformer", part.stem, module.state_dict())
            if folder.exists():
                os.rename(folder, old)
            os.rename(draft, folder)
        except OSError as error:
            raise OutputError(f"The checkpoint {folder} could not be written", why=str(error)) from error
        shutil.rmtree(old, ignore_errors=True)

    def preview(self, model: Path, out: Path, device: torch.device) -> list[Path]:
        """The prompts as users would see them."""
        return preview_prompts(self.config.prompts, model, out, device)


def config_of(checkpoint: Checkpoint, **changes: Any) -> TextToVideoConfig:
    """What a checkpoint is, as a configuration of training: whole clips, its own shift of the levels."""
    levels = Levels(shift=checkpoint.scheduler.flow_shift)
    whole = Mixture(levels=levels, weights=WHOLE_SAMPLE_PATTERNS)
    its_own: dict[str, Any] = {
        "transformer": checkpoint.transformer,
        "text": checkpoint.text,
        "tokenizer": checkpoint.path / "tokenizer",
        "autoencoder": checkpoint.path / "vae",
        "defaults": checkpoint.defaults,
        "scheduler": checkpoint.scheduler,
        "mixture": Mixture(levels=levels) if checkpoint.expand_timesteps else whole,
        "short_share": 0.0,
    }
    return TextToVideoConfig(**(its_own | changes))


def fine_tuning(model: str | Path | None, **changes: Any) -> FineTuning:
    """The objective of a recipe: a folder or a hub id, opened when the run begins."""
    return FineTuning(open_checkpoint(model), **changes)


def _link(source: str, target: str) -> None:
    """The same file under another name where the disk can, else a copy: text encoders have gigabytes."""
    try:
        os.link(os.path.realpath(source), target)
    except OSError:
        shutil.copyfile(source, target)
