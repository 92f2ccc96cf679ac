"""How many samples at once train fastest: the embedded transformer, forward and backward.

    python benchmarks/micro_batches.py [--json] [--sizes 16,2,1] [--seconds 20] [--repeats 2] [--device cpu]

Sizes are measured in turn, several times over, since machines are noisy; what counts is the ratio to the
first one. The optimiser's step, which is the same for all, is left out. Latents and text are random.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from pathlib import Path

import torch

import khayal
from khayal.model.transformer import SpacetimeTransformer
from khayal.train.parts import load_part

COLUMNS, SIDE = 12, 8


def rate(transformer: SpacetimeTransformer, size: int, seconds: float, device: torch.device) -> float:
    """Canvases a second."""
    config = transformer.config
    shape = (size, config.in_channels, COLUMNS, SIDE, SIDE)
    latents, wanted = torch.randn(2, *shape, device=device)
    text = torch.randn(size, 1, 64, config.text_dim, device=device)
    levels = torch.full((size, COLUMNS), 700.0, device=device)
    count, begin = 0, 0.0
    for step in range(1 << 30):
        context = transformer.prepare(
            text,
            shots=torch.zeros(1, COLUMNS, dtype=torch.int64),
            positions=torch.arange(COLUMNS)[None].float(),
            size=(SIDE, SIDE),
            keep_text=False,
        )
        (transformer(latents, levels, context) - wanted).square().mean().backward()
        for parameter in transformer.parameters():
            parameter.grad = None
        if device.type == "cuda":
            torch.cuda.synchronize()
        now = time.perf_counter()
        if step == 0:  # the first one warms up
            begin = now
            continue
        count += size
        if now - begin >= seconds:
            return count / (now - begin)
    raise AssertionError("the loop ends by time")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--sizes", default="16,2,1")
    parser.add_argument("--seconds", type=float, default=20.0)
    parser.add_argument("--repeats", type=int, default=2)
    parser.add_argument("--device", default="cpu")
    given = parser.parse_args()
    device = torch.device(given.device)
    folder = Path(khayal.__file__).parent / "embedded" / "transformer"
    transformer = load_part(folder, "transformer", torch.bfloat16).to(device).requires_grad_(True)
    assert isinstance(transformer, SpacetimeTransformer)
    sizes = [int(size) for size in given.sizes.split(",")]
    rates: dict[int, list[float]] = {size: [] for size in sizes}
    for _ in range(given.repeats):
        for size in sizes:
            rates[size].append(rate(transformer, size, given.seconds, device))
    found = {size: statistics.median(values) for size, values in rates.items()}
    if given.json:
        print(json.dumps({"canvases_per_second": found, "threads": torch.get_num_threads()}))
        return
    for size, value in found.items():
        print(f"{size:>4} at once: {value:.2f} canvases/s, {value / found[sizes[0]]:.2f}×")


if __name__ == "__main__":
    main()
