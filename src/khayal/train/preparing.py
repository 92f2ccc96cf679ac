"""The stages before a training: clips kept as frames, clips encoded to latents, a tokenizer.

What is there already is not made again, so a stage that was stopped goes on where it was.
"""

from __future__ import annotations

import hashlib
import itertools
import json
import math
import re
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from khayal.errors import InputError
from khayal.model.autoencoder import Autoencoder
from khayal.parallel import join_processes
from khayal.train.loop import Outcome, Sitting
from khayal.train.parts import load_part
from khayal.train.shards import ShardWriter, write_whole
from khayal.train.source import Passage


@dataclass(frozen=True, kw_only=True)
class Sample:
    """A clip with its captions; the first passage is of the whole.

    Attributes:
        truth: what else is known of it.
        focus: how much of each place in its latents shows what the clip is about, up to 255 for all of it.
    """

    frames: UInt8[np.ndarray, "f h w 3"]
    passages: tuple[Passage, ...]
    truth: Mapping[str, Any] | None = None
    focus: UInt8[np.ndarray, "t h2 w2"] | None = None

    def to_json(self) -> dict[str, Any]:
        """What stands beside its tensors."""
        told: dict[str, Any] = {"passages": [passage.to_json() for passage in self.passages]}
        return told if self.truth is None else told | {"truth": self.truth}


SPECIAL = ("<pad>", "</s>", "<unk>")
SPELLING = "abcdefghijklmnopqrstuvwxyz0123456789ابتثجحخدذرزسشصضطظعغفقكلمنهويءآأؤإئةى.,;:!?'\"-"
SPELLED = -30.0
"""The score of a letter: any known word, however rare, is better than its letters."""

ENCODED_AT_ONCE = 16

ClipsFrom = Callable[[int], Iterator[Sample]]
"""Gives the clips number n, n + 1, …; the same ones for the same n."""


@dataclass(frozen=True, kw_only=True)
class KeepConfig:
    """Clips kept as they are: what an autoencoder trains on.

    Attributes:
        clips: where they come from.
        name: what they are, so that a folder is not continued with others.
        num_clips: how many.
        per_shard: clips in a file.
        minutes: stop after so long, with what there is.
    """

    clips: ClipsFrom
    name: str
    num_clips: int
    per_shard: int = 8
    minutes: float | None = None


@dataclass(frozen=True, kw_only=True)
class EncodeConfig:
    """Clips encoded to latents: what a transformer trains on.

    Attributes:
        num_frames: length of each clip.
        autoencoder: the folder of the one that encodes.
        still_columns: latent frames whose last pixel frame is encoded by itself too; −1 is the last one.
        mirrored: gives the mirror image of a clip with its captions, or None where they would be wrong.
        part: "k/n" is the k-th of n processes that share the shards between them.
    """

    clips: ClipsFrom
    name: str
    num_frames: int
    autoencoder: Path
    num_clips: int
    still_columns: tuple[int, ...] = (0, -1)
    mirrored: Callable[[Sample], Sample | None] | None = None
    per_shard: int = 64
    part: str = "1/1"
    minutes: float | None = None


@dataclass(frozen=True, kw_only=True)
class TokenizerConfig:
    """A tokenizer made from captions.

    Attributes:
        texts: what it learns from.
        num_tokens: at most so many.
        extends: the folder of one whose tokens keep their numbers; new words come after them.
    """

    texts: Callable[[], Iterable[str]]
    num_tokens: int = 2048
    extends: Path | None = None


def keep_frames(config: KeepConfig, folder: Path, sitting: Sitting) -> Outcome:
    """Write clips as uint8 frames, with their captions, in shards."""
    writer = ShardWriter(folder, {"schema": "khayal.frames/1", "clips": config.name, "per": config.per_shard})

    def tensors(samples: list[Sample]) -> dict[str, Tensor]:
        frames = torch.from_numpy(np.stack([sample.frames for sample in samples]))
        return {"frames": frames} | _focus_of(samples)

    return _fill(config, writer, tensors, lambda sample: [sample], sitting)


def encode_clips(config: EncodeConfig, folder: Path, sitting: Sitting) -> Outcome:
    """Write clips as normalised latents in float16, with their captions, in shards."""
    device = join_processes(sitting.device).device
    autoencoder: Any = load_part(config.autoencoder, "vae", torch.float32).to(device)
    columns = columns_of(autoencoder, config.num_frames)
    at = tuple(place % len(columns) for place in config.still_columns)
    content = {
        "schema": "khayal.latents/1",
        "clips": config.name,
        "per": config.per_shard,
        "autoencoder": fingerprint(config.autoencoder),
        "still_columns": at,
        "frames_per_column": columns,
        "is_mirrored": config.mirrored is not None,
    }
    last_frames = [sum(columns[: place + 1]) - 1 for place in at]

    def tensors(samples: list[Sample]) -> dict[str, Tensor]:
        latents, stills = [], []
        for start in range(0, len(samples), ENCODED_AT_ONCE):
            some = samples[start : start + ENCODED_AT_ONCE]
            frames = torch.stack([_on(device, sample.frames) for sample in some])
            pixels = frames.permute(0, 4, 1, 2, 3).float() / 127.5 - 1
            latents.append(_encoded(autoencoder, pixels))
            alone = [_encoded(autoencoder, pixels[:, :, f : f + 1]) for f in last_frames]
            stills.append(torch.cat(alone, dim=2) if alone else latents[-1][:, :, :0])
        found = {"latents": torch.cat(latents)} | _focus_of(samples)
        if at:
            found["stills"] = torch.cat(stills)
        return found

    def versions(sample: Sample) -> list[Sample]:
        other = config.mirrored(sample) if config.mirrored else None
        return [sample] if other is None else [sample, other]

    return _fill(config, ShardWriter(folder, content), tensors, versions, sitting)


def _focus_of(samples: list[Sample]) -> dict[str, Tensor]:
    """The focus of all of them, where all have one."""
    focus = [sample.focus for sample in samples if sample.focus is not None]
    return {"focus": torch.from_numpy(np.stack(focus))} if len(focus) == len(samples) else {}


def _on(device: torch.device, frames: UInt8[np.ndarray, "f h w 3"]) -> Tensor:
    """Frames on a device, where those of a mirror image, a view from right to left, are turned."""
    if frames.strides[2] < 0:
        return torch.from_numpy(frames[:, :, ::-1]).to(device).flip(2)
    return torch.from_numpy(frames).to(device)


@torch.inference_mode()
def _encoded(autoencoder: Autoencoder, pixels: Float[Tensor, "b 3 f H W"]) -> Float[Tensor, "b c t h w"]:
    return autoencoder.encode(pixels).to("cpu", torch.float16)


def _fill(
    config: KeepConfig | EncodeConfig,
    writer: ShardWriter,
    tensors: Callable[[list[Sample]], dict[str, Tensor]],
    versions: Callable[[Sample], list[Sample]],
    sitting: Sitting,
) -> Outcome:
    """Make the shards that are missing, in order, until all are there or the time is up."""
    num_shards = -(-config.num_clips // config.per_shard)
    limits = [minutes for minutes in (config.minutes, sitting.minutes) if minutes is not None]
    end = time.monotonic() + 60 * min(limits, default=float("inf"))
    mine = shared_by(config.part if isinstance(config, EncodeConfig) else "1/1", num_shards)
    missing = [number for number in writer.missing(num_shards) if number in mine]
    for begin, numbers in _runs(missing):
        clips = config.clips(begin * config.per_shard)
        try:
            for number in numbers:
                if time.monotonic() >= end:
                    return Outcome(step=number, is_finished=config.minutes is not None, model=writer.folder)
                taken = itertools.islice(
                    clips, min(config.per_shard, config.num_clips - number * config.per_shard)
                )
                samples = [version for clip in taken for version in versions(clip)]
                lines = [sample.to_json() for sample in samples]
                writer.write(number, tensors(samples), lines)
                if sitting.is_shown:
                    _say(f"shard {number + 1} of {num_shards}")
        finally:
            if isinstance(clips, Iterator) and hasattr(clips, "close"):
                clips.close()  # stops the processes that render
    return Outcome(step=num_shards, is_finished=True, model=writer.folder)


def shared_by(part: str, count: int) -> range:
    """The k-th of n even stretches of `count` numbers, of a part "k/n".

    Raises:
        InputError: there is no such part.
    """
    found = re.fullmatch(r"(\d+)/(\d+)", part)
    k, n = (int(found[1]), int(found[2])) if found else (0, 0)
    if not 1 <= k <= n:
        raise InputError(f"There is no part “{part}”", fix="write 1/4 for the first of four")
    return range(count * (k - 1) // n, count * k // n)


def _runs(numbers: list[int]) -> Iterator[tuple[int, list[int]]]:
    """Stretches of consecutive numbers, with their first."""
    for _, group in itertools.groupby(enumerate(numbers), key=lambda pair: pair[1] - pair[0]):
        stretch = [number for _, number in group]
        yield stretch[0], stretch


def _say(sentence: str) -> None:
    from rich.console import Console

    Console(stderr=True, highlight=False).print(sentence)


def columns_of(autoencoder: Autoencoder, num_frames: int) -> tuple[int, ...]:
    """Pixel frames in each latent frame of a clip.

    Raises:
        InputError: the clip's length is not one that whole latents can hold.
    """
    per = autoencoder.frames_per_latent
    count, rest = divmod(num_frames - autoencoder.is_causal, per)
    if rest:
        raise InputError(
            f"Clips of {num_frames} frames cannot be encoded",
            why=f"this autoencoder takes {per}k{' + 1' * autoencoder.is_causal}",
        )
    return (1,) * autoencoder.is_causal + (per,) * count


def fingerprint(folder: Path) -> str:
    """Of the weights of a part, so that latents of two autoencoders are never mixed."""
    digest = hashlib.sha256()
    for path in sorted(folder.glob("*.safetensors")):
        digest.update(path.read_bytes())
    return digest.hexdigest()[:16]


def make_tokenizer(config: TokenizerConfig, folder: Path, sitting: Sitting) -> Outcome:
    """A unigram tokenizer whose tokens are the words of the captions, blind to capitals.

    In a small world every word deserves a vector of its own; training a unigram model on so little text
    would cut them up. A word that it does not know is spelled in letters. The files are those of a
    checkpoint folder.
    """
    from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors

    # Arabic is written with and without its vowels, hamzas and dots: all of them are one word here.
    normalizer = normalizers.Sequence(
        [
            normalizers.NFKC(),
            normalizers.Lowercase(),
            normalizers.Replace(Regex("[\u064b-\u0652\u0640]"), ""),
            normalizers.Replace(Regex("[أإآ]"), "ا"),
            normalizers.Replace("ى", "ي"),
            normalizers.Replace("ة", "ه"),
        ]
    )
    cut = pre_tokenizers.Sequence(
        [
            pre_tokenizers.WhitespaceSplit(),
            pre_tokenizers.Punctuation("isolated"),
            pre_tokenizers.Metaspace(replacement="▁", prepend_scheme="always"),
        ]
    )
    counts: Counter[str] = Counter()
    for text in config.texts():
        counts.update(word for word, _ in cut.pre_tokenize_str(normalizer.normalize_str(text)))
    if config.extends is None:
        letters = sorted({letter for word in counts for letter in word} | set("▁" + SPELLING))
        vocabulary = [(token, 0.0) for token in SPECIAL] + [(letter, SPELLED) for letter in letters]
    else:
        told = json.loads((config.extends / "tokenizer.json").read_text(encoding="utf-8"))
        vocabulary = [(token, score) for token, score in told["model"]["vocab"]]
    known, total = {token for token, _ in vocabulary}, counts.total()
    new = [(word, count) for word, count in counts.most_common() if len(word) > 1 and word not in known]
    if len(vocabulary) + len(new) > config.num_tokens and config.extends is not None:
        raise InputError(
            f"There is no room for {len(new)} new words",
            why=f"the model has {config.num_tokens} tokens, and {len(vocabulary)} are taken",
            fix="train a model with more tokens",
        )
    room = config.num_tokens - len(vocabulary)
    vocabulary += [(word, math.log(count / total)) for word, count in new[:room]]
    tokenizer = Tokenizer(models.Unigram(vocabulary, unk_id=SPECIAL.index("<unk>")))
    tokenizer.normalizer, tokenizer.pre_tokenizer = normalizer, cut
    tokenizer.decoder = decoders.Metaspace(replacement="▁", prepend_scheme="always")
    tokenizer.post_processor = processors.TemplateProcessing(
        single="$A </s>", pair="$A </s> $B </s>", special_tokens=[("</s>", 1)]
    )
    tokenizer.add_special_tokens(list(SPECIAL))
    settings = {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "eos_token": "</s>",
        "pad_token": "<pad>",
        "unk_token": "<unk>",
    }
    folder.mkdir(parents=True, exist_ok=True)
    write_whole(folder / "tokenizer_config.json", (json.dumps(settings, indent=2) + "\n").encode())
    write_whole(folder / "tokenizer.json", tokenizer.to_str(pretty=True).encode())
    return Outcome(step=tokenizer.get_vocab_size(), is_finished=True, model=folder)
