"""What cannot be opened is refused in one sentence that names it."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from khayal.checkpoint.folder import open_checkpoint
from khayal.errors import CheckpointError


@pytest.fixture
def folder(tmp_path: Path, tiny_checkpoint: Callable[[str], Path]) -> Path:
    return Path(shutil.copytree(tiny_checkpoint("wan2.1"), tmp_path / "model"))


def refused(folder: Path | str, message: str) -> None:
    with pytest.raises(CheckpointError, match=message) as caught:
        open_checkpoint(folder)
    assert str(caught.value).count("\n") == 0


def change(path: Path, **values: Any) -> None:
    path.write_text(json.dumps(json.loads(path.read_text()) | values))


def test_no_such_folder(tmp_path: Path) -> None:
    refused(tmp_path / "nowhere", "There is no folder .*nowhere. Give a checkpoint folder")


def test_a_file(tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    path.touch()
    refused(path, "model.safetensors is a file: a checkpoint is a folder")


def test_not_a_checkpoint(tmp_path: Path) -> None:
    refused(tmp_path, "is not a checkpoint: it has no model_index.json")


def test_the_original_layout_is_recognised(tmp_path: Path) -> None:
    (tmp_path / "Wan2.1_VAE.pth").touch()
    refused(tmp_path, "looks like Wan's original layout")


def test_one_level_too_high(folder: Path) -> None:
    refused(folder.parent, "Did you mean .*model")


def test_another_pipeline(folder: Path) -> None:
    change(folder / "model_index.json", _class_name="FluxPipeline")
    refused(folder, "is for a FluxPipeline")


def test_broken_json(folder: Path) -> None:
    (folder / "vae" / "config.json").write_text("{")
    refused(folder, "vae/config.json cannot be read as JSON")


@pytest.mark.parametrize("part", ["transformer", "vae", "text_encoder"])
def test_unknown_config_key(folder: Path, part: str) -> None:
    change(folder / part / "config.json", sliding_window=7)
    refused(folder, f"{part}/config.json has a key that khayal does not know: “sliding_window”")


def test_wrong_type(folder: Path) -> None:
    change(folder / "transformer" / "config.json", num_layers="two")
    refused(folder, '“num_layers” is "two": it should be of type int')


@pytest.mark.parametrize(
    ("part", "values"),
    [
        ("transformer", {"num_layers": 0}),
        ("transformer", {"num_attention_heads": -2}),
        ("transformer", {"attention_head_dim": 0}),
        ("transformer", {"ffn_dim": -80}),
        ("transformer", {"patch_size": [1, 2, 0]}),
        ("transformer", {"eps": 0.0}),
        ("text_encoder", {"vocab_size": -5}),
        ("text_encoder", {"d_kv": 0}),
        ("text_encoder", {"num_heads": 0}),
        ("vae", {"base_dim": 0}),
        ("vae", {"z_dim": -8}),
        ("vae", {"dim_mult": [1, 0]}),
        ("vae", {"patch_size": 0}),
        ("vae", {"latents_std": [0.0] * 8}),
    ],
)
def test_a_number_that_must_be_positive(folder: Path, part: str, values: dict[str, Any]) -> None:
    change(folder / part / "config.json", **values)
    (key,) = values
    refused(folder, f"{part}/config.json, “{key}” is .*: it must be positive")


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"patch_size": [2, 2, 2]}, r"“patch_size” is \[2, 2, 2\]: khayal gives each latent frame its own"),
        ({"qk_norm": "layer_norm"}, '“qk_norm” is "layer_norm": khayal can do only "rms_norm_across_heads"'),
        ({"qk_norm": None}, "“qk_norm” is null: khayal can do only"),
        ({"attention_head_dim": 15}, "“attention_head_dim” is 15: it must be even"),
        ({"ffn_dim": 10**30}, "No WanTransformer3DModel can be built from its config.json: "),
        ({"eps": float("nan")}, "cannot be read as JSON: NaN is no number"),
    ],
)
def test_a_transformer_that_khayal_does_not_have(folder: Path, values: dict[str, Any], message: str) -> None:
    change(folder / "transformer" / "config.json", **values)
    refused(folder, message)


@pytest.mark.parametrize("ratio", [0.0, 1.0, -0.5, 9.0, "high"])
def test_a_boundary_outside_of_the_noise_levels(
    tmp_path: Path, tiny_checkpoint: Callable[[str], Path], ratio: Any
) -> None:
    folder = Path(shutil.copytree(tiny_checkpoint("a14b"), tmp_path / "a14b"))
    change(folder / "model_index.json", boundary_ratio=ratio)
    refused(folder, "“boundary_ratio” is .*: it must be between 0 and 1")


def test_levels_that_are_neither_true_nor_false(folder: Path) -> None:
    change(folder / "model_index.json", expand_timesteps="false")
    refused(folder, "“expand_timesteps” is neither true nor false")


@pytest.mark.parametrize(
    ("key", "value"), [("feed_forward_proj", "relu"), ("is_decoder", True), ("model_type", "t5")]
)
def test_another_text_encoder(folder: Path, key: str, value: Any) -> None:
    change(folder / "text_encoder" / "config.json", **{key: value})
    refused(folder, f"{key}”? is")


@pytest.mark.parametrize("key", ["image_dim", "added_kv_proj_dim", "pos_embed_seq_len"])
def test_image_concatenation_by_config(folder: Path, key: str) -> None:
    change(folder / "transformer" / "config.json", **{key: 1280})
    refused(
        folder, f"“{key}” is 1280: the model needs image-concatenation I2V, which khayal does not have yet"
    )


def test_image_concatenation_by_channels(folder: Path) -> None:
    change(folder / "transformer" / "config.json", in_channels=36, out_channels=16)
    refused(folder, "reads 36 channels and makes 16: .* Use Wan-AI/Wan2.2-TI2V-5B-Diffusers")


def test_image_encoder(folder: Path) -> None:
    change(folder / "model_index.json", image_encoder=["transformers", "CLIPVisionModel"])
    refused(folder, "has an image_encoder: the model needs image-concatenation I2V")


def test_a_class_that_khayal_does_not_have(folder: Path) -> None:
    change(folder / "model_index.json", transformer=["diffusers", "WanVACETransformer3DModel"])
    refused(folder, "“transformer” is a WanVACETransformer3DModel")


def test_unknown_part(folder: Path) -> None:
    change(folder / "model_index.json", audio_encoder=["transformers", "Wav2Vec2Model"])
    refused(folder, "a part that khayal does not know: “audio_encoder”")


def test_a_part_left_out(folder: Path) -> None:
    change(folder / "model_index.json", vae=[None, None])
    refused(folder, "names no vae")


@pytest.mark.parametrize(
    ("scheduler", "message"),
    [
        (
            {"_class_name": "DPMSolverMultistepScheduler"},
            "asks for the scheduler “DPMSolverMultistepScheduler”",
        ),
        ({"_class_name": "UniPCMultistepScheduler"}, "not for a flow model: “prediction_type” is not set"),
        ({"prediction_type": "epsilon"}, '“prediction_type” is "epsilon": khayal can do only'),
        ({"solver_order": 3}, "“solver_order” is 3"),
        ({"disable_corrector": [0]}, "“disable_corrector” is \\[0\\]"),
        ({"num_train_timesteps": 0}, "“num_train_timesteps” is 0: it must be positive"),
        ({"flow_shift": 0}, "“flow_shift” is 0: it must be positive"),
        ({"flow_shift": -3.0}, "“flow_shift” is -3.0: it must be positive"),
        ({"_class_name": "FlowMatchEulerDiscreteScheduler", "shift": 0}, "“shift” is 0: it must be positive"),
        ({"flow_push": 3}, "does not know: “flow_push”"),
        ({"_class_name": "FlowMatchEulerDiscreteScheduler", "use_dynamic_shifting": True}, "is true"),
    ],
)
def test_scheduler(folder: Path, scheduler: dict, message: str) -> None:
    path = folder / "scheduler" / "scheduler_config.json"
    kept = {} if "_class_name" in scheduler else json.loads(path.read_text())
    path.write_text(json.dumps(kept | scheduler))
    refused(folder, message)


def test_euler_is_accepted(folder: Path) -> None:
    settings = {"_class_name": "FlowMatchEulerDiscreteScheduler", "shift": 7.0, "base_shift": 0.5}
    (folder / "scheduler" / "scheduler_config.json").write_text(json.dumps(settings))
    scheduler = open_checkpoint(folder).scheduler
    assert (scheduler.solver, scheduler.flow_shift) == ("euler", 7.0)


def test_weights_missing(folder: Path) -> None:
    path = folder / "transformer" / "diffusion_pytorch_model.safetensors"
    path.rename(path.with_name("diffusion_pytorch_model.fp16.safetensors"))
    refused(folder, "is missing: the folder has diffusion_pytorch_model.fp16.safetensors")


@pytest.mark.parametrize("keep", [0, 5, 200, -1])
def test_weights_truncated(folder: Path, keep: int) -> None:
    path = folder / "vae" / "diffusion_pytorch_model.safetensors"
    path.write_bytes(path.read_bytes()[:keep])
    refused(folder, "vae/diffusion_pytorch_model.safetensors is (truncated|not a safetensors file)")


def test_weights_with_bytes_left_over(folder: Path) -> None:
    path = folder / "vae" / "diffusion_pytorch_model.safetensors"
    path.write_bytes(path.read_bytes() + b"\0")
    refused(folder, "is damaged: it has .* bytes and should have")


def test_a_git_lfs_pointer(folder: Path) -> None:
    pointer = b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n"
    (folder / "vae" / "diffusion_pytorch_model.safetensors").write_bytes(pointer)
    refused(folder, "git lfs pull")


def test_broken_header(folder: Path) -> None:
    path = folder / "vae" / "diffusion_pytorch_model.safetensors"
    data = bytearray(path.read_bytes())
    data[8:12] = b"!!!!"
    path.write_bytes(data)
    refused(folder, "its header is broken")


def test_keys_missing_and_left_over(folder: Path) -> None:
    from safetensors.torch import load_file, save_file

    path = folder / "transformer" / "diffusion_pytorch_model.safetensors"
    weights = load_file(path)
    weights["blocks.0.adapter"] = weights.pop("proj_out.bias")
    save_file(weights, path)
    refused(folder, "do not fit its config.json: missing proj_out.bias and unexpected blocks.0.adapter")


def test_another_shape(folder: Path) -> None:
    change(folder / "transformer" / "config.json", ffn_dim=88)
    refused(folder, r"has the shape \(\d+(, \d+)*,?\) and should have")


def test_shards_and_their_index(folder: Path) -> None:
    path = folder / "vae" / "diffusion_pytorch_model.safetensors"
    path.rename(path.with_name("one.safetensors"))
    index = path.with_name("diffusion_pytorch_model.safetensors.index.json")
    index.write_text('{"weight_map": {"a": "../one.safetensors"}}')
    refused(folder, "has no usable weight_map")
    index.write_text('{"weight_map": {"a": "one.safetensors"}}')
    refused(folder, "names tensors that its files do not hold: a")
    index.write_text('{"weight_map": {"a": "two.safetensors"}}')
    refused(folder, "not complete: .*two.safetensors is missing")


def test_parts_that_do_not_belong_together(folder: Path, tiny_checkpoint: Callable[[str], Path]) -> None:
    shutil.rmtree(folder / "vae")
    shutil.copytree(tiny_checkpoint("ti2v") / "vae", folder / "vae")
    refused(folder, "latent channels are 8 in the one and 12 in the other")


@pytest.mark.parametrize(
    "values", [{"boundary_ratio": 0.9}, {"transformer_2": ["diffusers", "WanTransformer3DModel"]}]
)
def test_half_of_two_experts(folder: Path, values: dict) -> None:
    change(folder / "model_index.json", **values)
    refused(folder, "a second transformer and a boundary_ratio belong together")


def test_experts_of_two_shapes(tmp_path: Path, tiny_checkpoint: Callable[[str], Path]) -> None:
    folder = Path(shutil.copytree(tiny_checkpoint("a14b"), tmp_path / "a14b"))
    change(folder / "transformer_2" / "config.json", ffn_dim=88)
    refused(folder, "differ in shape")


def test_tokenizer_of_another_model(folder: Path) -> None:
    tokenizer = json.loads((folder / "tokenizer" / "tokenizer.json").read_text())
    tokenizer["model"]["vocab"] += [[f"word{i}", -9.0] for i in range(10)]
    (folder / "tokenizer" / "tokenizer.json").write_text(json.dumps(tokenizer))
    with pytest.raises(CheckpointError, match="does not belong to its text encoder"):
        open_checkpoint(folder).tokenizer()


def test_no_tokenizer(folder: Path) -> None:
    shutil.rmtree(folder / "tokenizer")
    refused(folder, "tokenizer is missing")
