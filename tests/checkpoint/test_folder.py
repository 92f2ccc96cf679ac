"""A folder that diffusers wrote, described and loaded."""

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import pytest
import torch
from diffusers import AutoencoderKLWan, WanPipeline, WanTransformer3DModel

import checkpoints
from khayal.checkpoint.folder import open_checkpoint
from khayal.checkpoint.keys import PARTS
from khayal.errors import CheckpointError, InputError
from khayal.tasks import TASKS

Kind = Callable[[str], Path]


@pytest.fixture
def copied(tmp_path: Path, tiny_checkpoint: Kind) -> Callable[[str], Path]:
    """A copy of a tiny checkpoint that a test may change."""

    def copy(kind: str = "wan2.1") -> Path:
        return Path(shutil.copytree(tiny_checkpoint(kind), tmp_path / kind))

    return copy


def test_description(tiny_checkpoint: Kind) -> None:
    plain, ti2v, experts = (open_checkpoint(tiny_checkpoint(kind)) for kind in checkpoints.KINDS)
    assert (plain.num_experts, ti2v.num_experts, experts.num_experts) == (1, 1, 2)
    assert (plain.boundary_ratio, ti2v.boundary_ratio, experts.boundary_ratio) == (None, None, 0.875)
    assert (plain.expand_timesteps, ti2v.expand_timesteps, experts.expand_timesteps) == (False, True, False)
    assert (plain.size_multiple, ti2v.size_multiple) == (16, 32)
    assert (plain.spatial_ratio, ti2v.spatial_ratio) == (8, 16)
    assert [c.scheduler.flow_shift for c in (plain, ti2v, experts)] == [3.0, 5.0, 12.0]
    assert {c.scheduler.solver for c in (plain, ti2v, experts)} == {"unipc"}
    assert ti2v.timeline.is_causal
    assert ti2v.timeline.frames_per_latent == 4
    assert ti2v.name == "ti2v"
    assert len(experts.defaults.guidance) == 2
    files = sum(p.stat().st_size for p in tiny_checkpoint("ti2v").rglob("*.safetensors"))
    num_bytes = sum(stored.num_bytes for stored in ti2v.fetch().values())
    assert 0.9 * files < num_bytes < files
    assert ti2v.num_parameters * 4 == num_bytes


def test_tasks_follow_from_the_noise_levels(tiny_checkpoint: Kind) -> None:
    assert open_checkpoint(tiny_checkpoint("ti2v")).tasks == TASKS
    plain = open_checkpoint(tiny_checkpoint("wan2.1"))
    plain.check_task("generate")
    with pytest.raises(
        InputError, match=r"wan2.1 cannot animate: .* Use a model with a level for each frame"
    ):
        plain.check_task("animate")


def test_prompts_are_encoded_as_by_diffusers(tiny_checkpoint: Kind) -> None:
    prompt = "a red ball  bounces &amp; rolls; كرة حمراء"
    pipeline = WanPipeline.from_pretrained(tiny_checkpoint("wan2.1"))
    theirs, _ = pipeline.encode_prompt(prompt, do_classifier_free_guidance=False, max_sequence_length=512)
    checkpoint = open_checkpoint(tiny_checkpoint("wan2.1"))
    tokens = checkpoint.tokenizer().encode([prompt])
    ours = checkpoint.load_text_encoder("cpu", torch.float32)(tokens.token_ids, tokens.is_token)
    assert ours.shape == theirs.shape == (1, 512, 32)
    assert (ours - theirs).abs().max() < 1e-5


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_weights_have_the_values_and_types_of_diffusers(tiny_checkpoint: Kind, dtype: torch.dtype) -> None:
    folder = tiny_checkpoint("a14b")
    checkpoint = open_checkpoint(folder)
    for expert, name in enumerate(("transformer", "transformer_2")):
        theirs = WanTransformer3DModel.from_pretrained(folder / name, torch_dtype=dtype).state_dict()
        ours = checkpoint.load_transformer("cpu", dtype, expert).state_dict()
        assert ours.keys() == theirs.keys()
        for key, tensor in ours.items():
            assert tensor.dtype == theirs[key].dtype, key
            assert torch.equal(tensor, theirs[key]), key
    theirs = AutoencoderKLWan.from_pretrained(folder / "vae").state_dict()
    ours = checkpoint.load_autoencoder("cpu").state_dict()
    assert ours.keys() == theirs.keys()
    assert all(torch.equal(ours[key], theirs[key]) for key in ours)


def test_the_text_encoder_refuses_float16(tiny_checkpoint: Kind) -> None:
    with pytest.raises(CheckpointError, match="cannot run in float16"):
        open_checkpoint(tiny_checkpoint("ti2v")).load_text_encoder("cpu", torch.float16)


def test_the_tied_embedding_may_be_stored_as_a_copy(copied: Kind) -> None:
    from safetensors.torch import load_file, save_file

    folder = copied("wan2.1")
    path = folder / "text_encoder" / "model.safetensors"
    weights = load_file(path)
    original = weights.pop("shared.weight")
    for stored in ({"encoder.embed_tokens.weight": original}, {"shared.weight": original.clone()}):
        weights |= stored
        save_file(weights, path, metadata={"format": "pt"})
        loaded = open_checkpoint(folder).load_text_encoder("cpu", torch.float32)
        assert torch.equal(loaded.shared.weight, original)
    weights["encoder.embed_tokens.weight"] = original + 1
    save_file(weights, path, metadata={"format": "pt"})
    with pytest.raises(CheckpointError, match="should be the same and are not"):
        open_checkpoint(folder)


def test_published_defaults() -> None:
    """The shapes of the four models; see the table in khayal.checkpoint.defaults."""
    from khayal.checkpoint.defaults import published_defaults
    from khayal.model.transformer import TransformerConfig

    def of(heads: int, layers: int, channels: int, experts: int = 1) -> object:
        config = TransformerConfig(
            num_attention_heads=heads, num_layers=layers, in_channels=channels, out_channels=channels
        )
        return published_defaults(config, num_experts=experts, size_multiple=16, has_level_per_frame=False)

    assert (of(24, 30, 48).size, of(24, 30, 48).fps, of(24, 30, 48).steps) == ((1280, 704), 24, 50)
    assert (of(12, 30, 16).size, of(12, 30, 16).fps, of(12, 30, 16).guidance) == ((832, 480), 16, (5.0,))
    assert of(40, 40, 16).size == (1280, 720)
    assert (of(40, 40, 16, 2).guidance, of(40, 40, 16, 2).steps) == ((4.0, 3.0), 40)
    assert of(16, 20, 16).size == (832, 480)


def test_khayal_json_changes_the_defaults_and_diffusers_does_not_mind(copied: Kind) -> None:
    folder = copied("ti2v")
    before = open_checkpoint(folder).defaults
    (folder / "khayal.json").write_text('{"fps": "30000/1001", "size": [64, 32], "seconds": 0.5}')
    defaults = open_checkpoint(folder).defaults
    assert defaults.fps == Fraction(30000, 1001)
    assert (defaults.size, defaults.seconds) == ((64, 32), 0.5)
    assert (defaults.steps, defaults.guidance) == (before.steps, before.guidance)
    assert defaults.trained_sizes == ()
    assert defaults.history_guidance_from is None
    assert defaults.window_guidance is None
    changed = replace(defaults, trained_sizes=((64, 32),), history_guidance_from=0.8, window_guidance=1.0)
    (folder / "khayal.json").write_text(json.dumps(changed.to_json()))
    assert open_checkpoint(folder).defaults == changed
    WanPipeline.from_pretrained(folder)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"frames": 3}, "does not know: “frames”"),
        ({"size": [64]}, "“size” is \\[64\\]: it should be of type"),
        ({"trained_sizes": [[64, 0]]}, "“trained_sizes” has \\[64, 0\\]: both must be positive"),
        ({"fps": "fast"}, "“fps” is “fast”: that is no number"),
        ({"seconds": 0}, "“seconds” is 0: it must be positive"),
        ({"history_guidance_from": 800}, "“history_guidance_from” is 800: noise levels lie between 0 and 1"),
        ({"window_guidance": -1.0}, "“window_guidance” is -1.0: a scale of guidance is a number from 0 up"),
        ({"guidance": [1.0, 2.0]}, "“guidance” has 2 values: the checkpoint has 1 expert"),
    ],
)
def test_a_wrong_khayal_json_is_refused(copied: Kind, settings: dict, message: str) -> None:
    folder = copied("ti2v")
    (folder / "khayal.json").write_text(json.dumps(settings))
    with pytest.raises(CheckpointError, match=message):
        open_checkpoint(folder)


@pytest.mark.parametrize("key", ["history_guidance_from", "window_guidance"])
def test_what_guides_given_frames_needs_a_level_for_each_of_them(copied: Kind, key: str) -> None:
    folder = copied("wan2.1")
    (folder / "khayal.json").write_text(json.dumps({key: 0.8}))
    with pytest.raises(CheckpointError, match="one noise level for the whole video"):
        open_checkpoint(folder)


def test_every_part_of_ours_is_there() -> None:
    for part in PARTS:
        assert issubclass(part.module_class, torch.nn.Module)
        part.skeleton(part.config_class())
