"""A checkpoint of the Wan family, or khayal's own, trained further on your videos.

    khayal data pack clips/ --out shards/ --model Wan-AI/Wan2.2-TI2V-5B-Diffusers
    khayal train recipes.finetune:transformer --data shards/ --out runs/out/mine

The result is runs/out/mine/transformer/model, a checkpoint folder. Give both commands the same model:
--set model=FOLDER. All weights of the transformer are trained: for the 5B that is about 120 GB on the GPU.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path

from khayal.checkpoint.keys import TI2V
from khayal.train.config import KeepingConfig, OptimiserConfig, TrainConfig
from khayal.train.finetune import fine_tuning
from khayal.train.packed import no_data


def transformer(
    run: Path,
    model: str = TI2V,
    batch: int = 1,
    steps: int = 2000,
    rate: float = 1e-5,
    prompt: str = "",
    recomputed: bool = True,
    seed: int = 0,
) -> TrainConfig:
    """AdamW at a low rate; captions left empty in a tenth of the samples, so that guidance still works.

    Args:
        prompt: what previews show; they take as long as any video of this model.
        recomputed: less memory for a third more time.
    """
    return TrainConfig(
        objective=partial(fine_tuning, model, prompts=(prompt,) if prompt else ()),
        source=no_data,
        batch_size=batch,
        num_steps=steps,
        seed=seed,
        optimiser=OptimiserConfig(matrices="adamw", learning_rate=rate, betas=(0.9, 0.95)),
        averages=(0.999,),
        keeping=KeepingConfig(full_minutes=30.0, num_full=1),
        is_recomputed=recomputed,
    )
