"""What is measured of clips: real ones, what the autoencoder makes of them, and those of the model."""

from __future__ import annotations

import hashlib
import itertools
import json
import os
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import UInt8
from torch import Tensor

from khayal.errors import OutputError
from khayal.evaluate.making import Maker
from khayal.evaluate.reading import fingerprint, read, read_thirds
from khayal.evaluate.scenes import SEED, SEED_OF_OTHERS, SEED_OF_PHYSICS, Casting, Played, about, played
from khayal.evaluate.store import PER_FILE, Collected, Tensors, collect, settle
from khayal.images import png_bytes
from khayal.model.probe import Probe

NUM_PICTURED, FRAMES_PICTURED = 8, 6
FRAMES_COMPARED = 4
"""Frames of each clip that are compared pixel by pixel."""

Show = Callable[[str, int, int], None]
"""Told of what is being measured, how many clips are done, and of how many."""


@dataclass(frozen=True, kw_only=True)
class Bench:
    """What measures: the model, the probe, where measurements are kept, and who is told."""

    maker: Maker
    probe: Probe
    folder: Path
    cache: Path
    num_workers: int
    show: Show

    def measure_real(self, name: str, casting: Casting, count: int, *, is_returned: bool) -> None:
        """Render scenes; keep what the probe reads in them and, where asked for, in their reconstructions."""
        stores = [self.real(name)] + ([self.returned(name)] if is_returned else [])
        todo: dict[int, range] = {}
        for store in stores:
            todo |= {clips.start: clips for clips in store.missing(count)}
        numbers = [number for start in sorted(todo) for number in todo[start]]
        total, done = count, count - len(numbers)
        self.show(f"real clips, {name}", done, total)
        with closing(played(casting, numbers, self.num_workers)) as stream:  # type: ignore[type-var]
            for start in sorted(todo):
                clips = todo[start]
                rendered = list(itertools.islice(stream, len(clips)))
                frames = torch.from_numpy(np.stack([one.frames for one in rendered]))
                if clips in list(self.real(name).missing(count)):
                    self._keep_real(name, clips, rendered, frames, len(casting.dials))
                if is_returned and clips in list(self.returned(name).missing(count)):
                    self._keep_returned(name, clips, frames)
                done += len(clips)
                self.show(f"real clips, {name}", done, total)

    def _keep_real(
        self, name: str, clips: range, rendered: Sequence[Played], frames: Tensor, num_dials: int
    ) -> None:
        lines = [about(one, number, num_dials) for one, number in zip(rendered, clips, strict=True)]
        tensors = read(self.probe, frames, self.maker.fps)
        tensors |= self._thirds(frames, lines)
        self._picture(self.cache, f"real-{name}", clips, frames)
        self.real(name).write(clips, tensors, lines)

    def _keep_returned(self, name: str, clips: range, frames: Tensor) -> None:
        maker = self.maker
        parts = [maker.decode(maker.encode(some)) for some in frames.split(maker.at_once)]
        returned = torch.cat(parts)
        tensors = read(self.probe, returned, maker.fps) | likeness(frames, returned)
        self.returned(name).write(clips, tensors, [{} for _ in clips])

    def measure_made(self, name: str, count: int) -> None:
        """Make clips of the prompts of as many scenes, with seeds 0, 1, …; keep what the probe reads."""
        lines = self.real(name).lines(count)

        def make(clips: range) -> tuple[Tensors, list[dict[str, Any]]]:
            told = [lines[number] for number in clips]
            frames = self.maker.make([line["text"] for line in told], list(clips))
            self._picture(self.folder, f"made-{name}", clips, frames)
            tensors = read(self.probe, frames, self.maker.fps)
            return tensors | self._thirds(frames, told), [{"seed": number} for number in clips]

        stage = f"clips of the model, {name}"
        collect(self.made(name), count, make, tell=lambda done: self.show(stage, done, count))

    def _thirds(self, frames: UInt8[Tensor, "b f h w 3"], lines: Sequence[dict[str, Any]]) -> Tensors:
        """Kinds early and late in clips whose scene has a moving camera; zeros for the others."""
        is_moving = torch.tensor([line["move"] not in ("", "still") for line in lines])
        config = self.probe.config
        shape = (len(lines), len(config.colours), len(config.kinds) + 1)
        found = {"early_kinds": torch.zeros(shape), "late_kinds": torch.zeros(shape)}
        if is_moving.any():
            for key, values in read_thirds(self.probe, frames[is_moving], self.maker.fps).items():
                found[key][is_moving] = values
        return found

    def _picture(self, folder: Path, name: str, clips: range, frames: Tensor) -> None:
        for number in clips:
            self.picture(folder, name, number, frames[number - clips.start])

    def picture(self, folder: Path, name: str, number: int, frames: UInt8[Tensor, "f h w 3"]) -> None:
        """Keep some frames of one clip beside one another, of the first clips."""
        if number < NUM_PICTURED:
            path = folder / "pictures" / f"{name}-{number}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(png_bytes(strip(frames)))

    def real(self, name: str) -> Collected:
        """Of rendered clips; kept for all models of one size."""
        return Collected(self.cache / f"real-{name}")

    def returned(self, name: str) -> Collected:
        """Of reconstructions of the same clips; kept for all models with one autoencoder."""
        return Collected(self.cache / f"decoded-{name}-{self.maker.fingerprint('vae')}")

    def made(self, name: str) -> Collected:
        """Of the model's clips of the same scenes' prompts."""
        return Collected(self.folder / f"made-{name}")


def strip(frames: UInt8[Tensor, "f h w 3"]) -> UInt8[np.ndarray, "h w2 3"]:
    """Some frames of a clip beside one another."""
    places = torch.linspace(0, len(frames) - 1, FRAMES_PICTURED).round().long()
    strips: np.ndarray = torch.cat(list(frames[places]), dim=1).contiguous().numpy()
    return strips


def likeness(real: UInt8[Tensor, "b f h w 3"], returned: UInt8[Tensor, "b f h w 3"]) -> Tensors:
    """PSNR (dB, over all frames) and SSIM (mean over some) of each clip."""
    from skimage.metrics import peak_signal_noise_ratio, structural_similarity

    places = torch.linspace(0, real.shape[1] - 1, min(FRAMES_COMPARED, real.shape[1])).long().tolist()
    psnr, ssim = [], []
    for one, other in zip(real.numpy(), returned.numpy(), strict=True):
        psnr.append(float(peak_signal_noise_ratio(one, other, data_range=255)))
        each = [structural_similarity(one[f], other[f], channel_axis=-1, data_range=255) for f in places]
        ssim.append(float(np.mean(each)))
    return {"psnr": torch.tensor(psnr), "ssim": torch.tensor(ssim)}


def cache_folder(casting: Casting) -> Path:
    """Where measurements of real clips are kept for the next evaluation.

    Raises:
        OutputError: the cache folder cannot be written.
    """
    try:
        caches = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    except RuntimeError as error:
        raise OutputError(
            "There is no place for measurements", why=str(error), fix="set XDG_CACHE_HOME to a folder"
        ) from error
    kept = asdict(casting)
    settings = {name: kept[name] for name in ("size", "fps", "num_frames", "dials")}
    settings |= {"seeds": (SEED, SEED_OF_OTHERS, SEED_OF_PHYSICS), "per_file": PER_FILE}
    settings |= {"probe": fingerprint(), "world": _fingerprint_of_world()}
    digest = hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()[:12]
    folder = caches / "khayal" / "evaluate" / digest
    settle(folder, settings)
    return folder


def _fingerprint_of_world() -> str:
    """Of the code that makes scenes: another world needs other measurements."""
    import khayal.world

    digest = hashlib.sha256()
    for path in sorted(Path(khayal.world.__path__[0]).glob("*.py")):
        digest.update(path.read_bytes())
    return digest.hexdigest()[:12]
