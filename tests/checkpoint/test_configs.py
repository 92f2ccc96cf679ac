"""The config files of the published folders are read without complaint."""

from pathlib import Path
from typing import Any

import pytest

from khayal.checkpoint.catalogue import UMT5_XXL
from khayal.checkpoint.configs import parse_config
from khayal.checkpoint.keys import ROLES, part_of
from khayal.checkpoint.scheduler import SchedulerConfig, parse_scheduler
from khayal.errors import CheckpointError

WHERE = Path("config.json")

# As transformers 4 writes it for google/umt5-xxl.
UMT5_CONFIG: dict[str, Any] = {
    "_name_or_path": "google/umt5-xxl",
    "architectures": ["UMT5EncoderModel"],
    "classifier_dropout": 0.0,
    "d_ff": 10240,
    "d_kv": 64,
    "d_model": 4096,
    "decoder_start_token_id": 0,
    "dense_act_fn": "gelu_new",
    "dropout_rate": 0.1,
    "eos_token_id": 1,
    "feed_forward_proj": "gated-gelu",
    "initializer_factor": 1.0,
    "is_encoder_decoder": True,
    "is_gated_act": True,
    "layer_norm_epsilon": 1e-06,
    "model_type": "umt5",
    "num_decoder_layers": 24,
    "num_heads": 64,
    "num_layers": 24,
    "output_past": True,
    "pad_token_id": 0,
    "relative_attention_max_distance": 128,
    "relative_attention_num_buckets": 32,
    "scalable_attention": True,
    "tie_word_embeddings": False,
    "tokenizer_class": "T5Tokenizer",
    "torch_dtype": "bfloat16",
    "transformers_version": "4.48.0",
    "use_cache": True,
    "vocab_size": 256384,
}

# As diffusers 0.33 writes it for Wan 2.1.
SCHEDULER_CONFIG: dict[str, Any] = {
    "_class_name": "UniPCMultistepScheduler",
    "_diffusers_version": "0.33.0.dev0",
    "beta_end": 0.02,
    "beta_schedule": "linear",
    "beta_start": 0.0001,
    "disable_corrector": [],
    "dynamic_thresholding_ratio": 0.995,
    "final_sigmas_type": "zero",
    "flow_shift": 3.0,
    "lower_order_final": True,
    "num_train_timesteps": 1000,
    "predict_x0": True,
    "prediction_type": "flow_prediction",
    "rescale_betas_zero_snr": False,
    "sample_max_value": 1.0,
    "solver_order": 2,
    "solver_p": None,
    "solver_type": "bh2",
    "steps_offset": 0,
    "thresholding": False,
    "timestep_spacing": "linspace",
    "trained_betas": None,
    "use_beta_sigmas": False,
    "use_exponential_sigmas": False,
    "use_flow_sigmas": True,
    "use_karras_sigmas": False,
}


def test_text_encoder() -> None:
    part = part_of("text_encoder", "UMT5EncoderModel", where=WHERE)
    assert part.parse(UMT5_CONFIG, where=WHERE) == UMT5_XXL


def test_scheduler() -> None:
    scheduler = parse_scheduler(SCHEDULER_CONFIG, where=WHERE)
    assert scheduler == SchedulerConfig(solver="unipc", flow_shift=3.0, num_levels=1000)


@pytest.mark.parametrize("solver", ["unipc", "euler"])
def test_schedulers_come_back(solver: Any) -> None:
    scheduler = SchedulerConfig(solver=solver, flow_shift=8.0, num_levels=500)
    assert parse_scheduler(scheduler.to_json(), where=WHERE) == scheduler


def test_the_autoencoder_of_ti2v_has_a_key_without_effect() -> None:
    part = part_of("vae", "AutoencoderKLWan", where=WHERE)
    part.parse({"_class_name": "AutoencoderKLWan", "clip_output": False}, where=WHERE)


@pytest.mark.parametrize("role", ROLES)
def test_defaults_come_back(role: str) -> None:
    for name in ROLES[role]:
        part = part_of(role, name, where=WHERE)
        config = part.config_class()
        assert part.parse(part.to_json(config), where=WHERE) == config


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("eps", True),
        ("eps", "1e-6"),
        ("patch_size", [1, 2]),
        ("patch_size", 2),
        ("num_layers", 2.5),
        ("num_layers", None),
    ],
)
def test_values_of_another_type(key: str, value: Any) -> None:
    from khayal.model.transformer import TransformerConfig

    with pytest.raises(CheckpointError, match=f"“{key}” is .*: it should be of type"):
        parse_config(TransformerConfig, {key: value}, where=WHERE)
