"""khayal and diffusers on the same weights, in turn, each run in a process of its own.

    python benchmarks/against_diffusers.py [--json] [--repeats 3] [--device cpu|cuda]

On a CPU the checkpoint has the shape of Wan 2.2 TI2V-5B cut down in width (6 heads of 128, 8 layers; an
autoencoder of base 48). On a GPU it has the full size, and diffusers runs eager and compiled.

Three sections:

- steps: denoising with guidance, same type, same number of steps: seconds for each step;
- decode: 81 frames of 256×256 from the same latents, same type;
- clip: from prompt to 8-bit frames, khayal's own best settings against diffusers' defaults.

Memory is the highest above the loaded model (resident set on a CPU, allocated on a GPU). A figure is the
median of the repeats; both programs take turns, so that a noisy machine disturbs both. Exits 1 where a
target is missed.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

PROMPT = "a red ball bounces on the green grass while the sun goes down behind the hills"
NEGATIVE = "blurred, static, worst quality"
SEED = 0


@dataclass(frozen=True, kw_only=True)
class Size:
    """What is run on a device."""

    size: tuple[int, int]
    num_frames: int
    steps: int
    dtype: str
    num_heads: int = 24
    num_layers: int = 30
    base_dim: int = 160
    decoder_base_dim: int = 256
    text_dim: int = 4096
    text_layers: int = 24


SIZES = {
    "cpu": Size(
        size=(256, 256),
        num_frames=81,
        steps=5,
        dtype="float32",
        num_heads=6,
        num_layers=8,
        base_dim=48,
        decoder_base_dim=48,
        text_dim=512,
        text_layers=4,
    ),
    "cuda": Size(size=(1280, 704), num_frames=121, steps=10, dtype="bfloat16"),
}
TARGETS = {  # (section, figure) → khayal / diffusers at most
    ("steps", "seconds"): 0.90,
    ("decode", "seconds"): 0.75,
    ("decode", "memory"): 0.50,
    ("clip", "seconds"): 0.50,
}
LEAST_PSNR = {"steps": 60.0, "decode": 60.0, "clip": 40.0}


def make_checkpoint(folder: Path, size: Size) -> None:
    """A TI2V checkpoint of random weights, written by diffusers and transformers."""
    from diffusers import AutoencoderKLWan, UniPCMultistepScheduler, WanPipeline, WanTransformer3DModel
    from transformers import PreTrainedTokenizerFast, UMT5Config, UMT5EncoderModel

    sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
    import checkpoints

    torch.manual_seed(SEED)
    dtype = getattr(torch, size.dtype)
    vocab_size = checkpoints.make_tokenizer(folder / "tokenizer")
    text = UMT5Config(
        vocab_size=vocab_size,
        d_model=size.text_dim,
        d_kv=64,
        num_heads=size.text_dim // 64,
        d_ff=size.text_dim * 5 // 2,
        num_layers=size.text_layers,
    )
    width = size.num_heads * 128
    transformer = {
        "num_attention_heads": size.num_heads,
        "attention_head_dim": 128,
        "in_channels": 48,
        "out_channels": 48,
        "text_dim": size.text_dim,
        "ffn_dim": width * 14 // 3,
        "num_layers": size.num_layers,
    }
    autoencoder = {
        "base_dim": size.base_dim,
        "decoder_base_dim": size.decoder_base_dim,
        "z_dim": 48,
        "is_residual": True,
        "patch_size": 2,
        "in_channels": 12,
        "out_channels": 12,
        "scale_factor_spatial": 16,
        "latents_mean": [0.0] * 48,
        "latents_std": [1.0] * 48,
    }
    WanPipeline(
        tokenizer=PreTrainedTokenizerFast.from_pretrained(folder / "tokenizer"),
        text_encoder=UMT5EncoderModel(text).to(dtype),
        vae=AutoencoderKLWan(**autoencoder),
        transformer=WanTransformer3DModel(**transformer).to(dtype),
        scheduler=UniPCMultistepScheduler(
            prediction_type="flow_prediction", use_flow_sigmas=True, flow_shift=5.0
        ),
        expand_timesteps=True,
    ).save_pretrained(folder)


class Meter:
    """Seconds, and the highest memory above where it was made."""

    def __init__(self, device: str) -> None:
        self.device = device
        self.floor = self._now()
        if device == "cpu":
            Path("/proc/self/clear_refs").write_text("5")  # resets the high-water mark
        else:
            torch.cuda.reset_peak_memory_stats()
        self.started = time.perf_counter()

    def read(self) -> dict[str, float]:
        """{"seconds", "memory" in MB}."""
        if self.device != "cpu":
            torch.cuda.synchronize()
        seconds = time.perf_counter() - self.started
        peak = _status("VmHWM") if self.device == "cpu" else torch.cuda.max_memory_allocated() / 2**20
        return {"seconds": seconds, "memory": peak - self.floor}

    def _now(self) -> float:
        if self.device == "cpu":
            return _status("VmRSS")
        torch.cuda.synchronize()
        return torch.cuda.memory_allocated() / 2**20


def _status(key: str) -> float:
    """A line of /proc/self/status, in MB."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(key + ":"):
            return int(line.split()[1]) / 1024
    raise LookupError(key)


def latents_shape(size: Size) -> tuple[int, ...]:
    """Of TI2V-5B's autoencoder: 4×16×16."""
    return (1, 48, (size.num_frames - 1) // 4 + 1, size.size[1] // 16, size.size[0] // 16)


def noise(size: Size) -> torch.Tensor:
    """The same for both."""
    return torch.randn(latents_shape(size), generator=torch.Generator().manual_seed(SEED))


def per_step(marks: list[float]) -> float:
    """The median time between two steps; what comes before the first is not counted."""
    return statistics.median(b - a for a, b in itertools.pairwise(marks))


def run_khayal(section: str, folder: Path, size: Size, device: str) -> tuple[dict[str, float], np.ndarray]:
    """One section in khayal."""
    import khayal

    if section == "decode":
        from khayal.checkpoint.folder import open_checkpoint

        autoencoder = open_checkpoint(folder).load_autoencoder(device, torch.float32)
        latents = noise(size).to(device)
        with torch.inference_mode():
            list(autoencoder.stream(latents[:, :, :2, :2, :2]))
            meter, frames = Meter(device), []
            for part in autoencoder.stream(latents):
                frames.append(_eight_bits(part))
            return meter.read(), np.concatenate(frames)
    dtype = size.dtype if section == "steps" else "auto"
    studio = khayal.open(folder, device=device, dtype=dtype, memory="high")
    marks: list[float] = []

    def on_step(progress: khayal.studio.Progress) -> None:
        if progress.stage == "denoise":
            marks.append(_clock(device))

    given = {"negative": NEGATIVE, "size": size.size, "guidance": 5.0, "solver": "unipc"}
    small = {**given, "size": (64, 64), "steps": 1, "num_frames": 5}
    list(studio.generate(PROMPT, **small))  # loads, and warms up
    studio._texts.clear()
    meter = Meter(device)
    clip = studio.generate(
        PROMPT, num_frames=size.num_frames, steps=size.steps, noise=noise(size), on_step=on_step, **given
    )
    if section == "steps":
        figures = meter.read()
        return {**figures, "seconds": per_step(marks)}, clip.frames
    frames = clip.frames
    return meter.read(), frames


def run_diffusers(
    section: str, folder: Path, size: Size, device: str, *, is_compiled: bool
) -> tuple[dict[str, float], np.ndarray]:
    """One section in diffusers, as its documentation shows it."""
    from diffusers import AutoencoderKLWan, WanPipeline

    vae = AutoencoderKLWan.from_pretrained(folder / "vae", torch_dtype=torch.float32)
    if section == "decode":
        vae = vae.to(device)
        latents = noise(size).to(device)
        with torch.no_grad():
            vae.decode(latents[:, :, :2, :2, :2])
            meter = Meter(device)
            frames = _eight_bits(vae.decode(latents, return_dict=False)[0])
            return meter.read(), frames
    pipeline = WanPipeline.from_pretrained(folder, vae=vae, torch_dtype=getattr(torch, size.dtype)).to(device)
    pipeline.set_progress_bar_config(disable=True)
    if is_compiled:
        pipeline.transformer = torch.compile(pipeline.transformer)
    marks: list[float] = []

    def on_step(*args: object) -> dict[str, object]:
        marks.append(_clock(device))
        return {}

    given = {"prompt": PROMPT, "negative_prompt": NEGATIVE, "guidance_scale": 5.0, "output_type": "np"}
    shape = {"width": size.size[0], "height": size.size[1], "num_frames": size.num_frames}
    small = shape if is_compiled else {"width": 64, "height": 64, "num_frames": 5}
    pipeline(**given, **small, num_inference_steps=1)
    meter = Meter(device)
    if section == "steps":
        latents = pipeline(
            **{**given, "output_type": "latent"},
            **shape,
            num_inference_steps=size.steps,
            latents=noise(size),
            callback_on_step_end=on_step,
        ).frames
        figures = {**meter.read(), "seconds": per_step(marks)}
        with torch.no_grad():
            return figures, _eight_bits(vae.decode(latents.float(), return_dict=False)[0])
    frames = pipeline(**given, **shape, num_inference_steps=size.steps, latents=noise(size)).frames[0]
    frames = (frames * 255).round().astype(np.uint8)
    return meter.read(), frames


def _clock(device: str) -> float:
    if device != "cpu":
        torch.cuda.synchronize()
    return time.perf_counter()


def _eight_bits(frames: torch.Tensor) -> np.ndarray:
    levels = (frames[0].float() * 0.5 + 0.5).clamp(0, 1).mul(255).round().to(torch.uint8)
    return levels.permute(1, 2, 3, 0).cpu().numpy()


def in_process(program: str, section: str, folder: Path, device: str) -> dict[str, float]:
    """Run one section of one program in a process of its own."""
    command = [sys.executable, __file__, "--device", device, "--run", program, section, str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env={**os.environ})
    if done.returncode:
        raise SystemExit(f"{program} failed in {section}:\n{done.stderr[-3000:]}")
    figures: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return figures


def psnr(one: np.ndarray, other: np.ndarray) -> float:
    """Of 8-bit frames; identical ones count as 99 dB."""
    error = np.square(one.astype(np.float64) - other).mean()
    return 99.0 if error == 0 else float(10 * np.log10(255**2 / error))


def compare(folder: Path, device: str, repeats: int) -> list[dict[str, object]]:
    """One row for each section and rival."""
    rivals = ["diffusers"] if device == "cpu" else ["diffusers", "diffusers compiled"]
    rows: list[dict[str, object]] = []
    for section in ("steps", "decode", "clip"):
        names = [*(rivals if section != "decode" else rivals[:1]), "khayal"]
        seen: dict[str, list[dict[str, float]]] = {name: [] for name in names}
        for _ in range(repeats):
            for name in names:
                seen[name].append(in_process(name, section, folder, device))
        medians = {
            name: {key: statistics.median(run[key] for run in runs) for key in ("seconds", "memory")}
            for name, runs in seen.items()
        }
        ours = np.load(folder / f"khayal {section}.npy")
        for rival in names[:-1]:
            row: dict[str, object] = {"section": section, "rival": rival}
            for key in ("seconds", "memory"):
                row[f"khayal {key}"] = medians["khayal"][key]
                row[f"rival {key}"] = medians[rival][key]
                row[f"{key} ratio"] = statistics.median(
                    mine[key] / theirs[key] for mine, theirs in zip(seen["khayal"], seen[rival], strict=True)
                )
            row["psnr"] = psnr(ours, np.load(folder / f"{rival} {section}.npy"))
            row["missed"] = [
                f"{figure} ≤ {most}"
                for (where, figure), most in TARGETS.items()
                if where == section and row[f"{figure} ratio"] > most and rival == "diffusers"
            ] + [f"PSNR ≥ {LEAST_PSNR[section]}"] * (
                device == "cpu" and row["psnr"] < LEAST_PSNR[section]  # type: ignore[operator]
            )
            rows.append(row)
    return rows


def show(rows: list[dict[str, object]], device: str) -> None:
    """The rows as a Markdown table."""
    size = SIZES[device]
    print(
        f"{size.num_frames} frames of {size.size[0]}×{size.size[1]}, {size.steps} steps, guidance 5, {device}"
    )
    print("| | seconds (khayal / other) | ratio | memory MB (khayal / other) | ratio | PSNR dB |")
    print("|---|---|---|---|---|---|")
    for row in rows:
        print(
            f"| {row['section']}, {row['rival']} | {row['khayal seconds']:.2f} / {row['rival seconds']:.2f} "
            f"| {row['seconds ratio']:.2f} | {row['khayal memory']:.0f} / {row['rival memory']:.0f} "
            f"| {row['memory ratio']:.2f} | {row['psnr']:.1f} |"
        )
    for row in rows:
        for missed in row["missed"]:  # type: ignore[attr-defined]
            print(f"missed: {row['section']} against {row['rival']}: {missed}")


def main() -> int:
    """Compare, or (as a child process) run one section."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--device", choices=sorted(SIZES), default="cpu")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--json", action="store_true", help="one JSON line instead of a table")
    parser.add_argument("--run", nargs=3, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    size = SIZES[arguments.device]
    if arguments.run:
        program, section, folder = arguments.run
        if program == "khayal":
            figures, frames = run_khayal(section, Path(folder), size, arguments.device)
        else:
            figures, frames = run_diffusers(
                section, Path(folder), size, arguments.device, is_compiled=program.endswith("compiled")
            )
        np.save(Path(folder) / f"{program} {section}.npy", frames)
        print(json.dumps(figures))
        return 0
    with tempfile.TemporaryDirectory() as folder:
        make_checkpoint(Path(folder), size)
        rows = compare(Path(folder), arguments.device, arguments.repeats)
    if arguments.json:
        print(json.dumps(rows))
    else:
        show(rows, arguments.device)
    return 1 if any(row["missed"] for row in rows) else 0


if __name__ == "__main__":
    sys.exit(main())
