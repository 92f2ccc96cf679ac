"""Order and content of what a trainer reads, and that stages can be stopped and continued."""

import itertools
import json
from dataclasses import replace
from pathlib import Path

import moving_shapes
import numpy as np
import pytest
import tiny
import torch

from khayal.errors import InputError
from khayal.model.chunk_autoencoder import ChunkAutoencoder
from khayal.train import shards
from khayal.train.loop import Sitting
from khayal.train.parts import load_part
from khayal.train.preparing import encode_clips, keep_frames
from khayal.train.shards import Beside, Crops, FrameShards, InTurn, LatentShards
from khayal.train.source import Epochs, LatentBatch, Prepared, Reading, Source
from khayal.train.text_to_video import extent_of

QUIET = Sitting(is_shown=False)


def reading(start: int = 0, rows: range = range(4), seed: int = 0) -> Reading:
    return Reading(seed=seed, batch_size=4, rows=rows, start=start)


def test_every_sample_comes_once_in_an_epoch() -> None:
    order = Epochs(10, seed=3)
    epochs = [[order[epoch * 10 + place] for place in range(10)] for epoch in range(3)]
    assert all(sorted(epoch) == list(range(10)) for epoch in epochs)
    assert epochs[0] != epochs[1]
    whole = list(itertools.chain(*epochs))
    again = Epochs(10, seed=3)
    assert [again[place] for place in reversed(range(30))] == whole[::-1]


def test_a_batch_depends_on_its_step_alone(prepared: Path) -> None:
    source = LatentShards(prepared / "encode")
    assert isinstance(source, Source)
    first = list(itertools.islice(source.batches(reading()), 9))
    later = next(source.batches(reading(start=8)))
    assert torch.equal(first[8].latents, later.latents)
    assert first[8].passages == later.passages
    half = next(source.batches(reading(start=8, rows=range(2, 4))))
    assert torch.equal(half.latents, later.latents[2:])
    assert not torch.equal(next(source.batches(reading(seed=1))).latents, first[0].latents)


def test_sources_in_turn_go_on_anywhere(prepared: Path, tmp_path: Path) -> None:
    clips = LatentShards(prepared / "encode")
    config = tiny.encode(prepared)
    encode_clips(replace(config, num_clips=4, still_columns=(), mirrored=None), tmp_path / "encode", QUIET)
    others = LatentShards(tmp_path / "encode")
    both = InTurn((clips, others), turns=(0, 1, 0))
    assert isinstance(both, Source)
    assert len(both) == len(clips) + len(others)
    whole = list(itertools.islice(both.batches(reading()), 8))
    assert [batch.stills is None for batch in whole] == [False, True, False, False, True, False, False, True]
    for which, source in ((False, clips), (True, others)):
        own = [batch for batch in whole if (batch.stills is None) == which]
        for found, wanted in zip(own, source.batches(reading()), strict=False):
            assert torch.equal(found.latents, wanted.latents), "each is read in its own order, none left out"
    for start in range(8):
        assert torch.equal(next(both.batches(reading(start=start))).latents, whole[start].latents)


def test_packs_stand_beside_clips_in_a_step(prepared: Path) -> None:
    clips, others = (LatentShards(prepared / "encode") for _ in range(2))
    beside = Beside(clips, others, share=0.25, pack=3)
    assert isinstance(beside, Source)
    own = next(beside.batches(reading(start=5, rows=range(1))))
    wanted = next(clips.batches(Reading(seed=0, batch_size=1, rows=range(1), start=5)))
    assert torch.equal(own.latents, wanted.latents)
    whole = next(others.batches(Reading(seed=0, batch_size=9, rows=range(9), start=5)))
    packs = [next(beside.batches(reading(start=5, rows=rows))) for rows in (range(1, 2), range(2, 4))]
    assert [len(pack.passages) for pack in packs] == [3, 6]
    assert torch.equal(torch.cat([pack.latents for pack in packs]), whole.latents)
    with pytest.raises(InputError, match="cannot be computed at once"):
        next(beside.batches(reading(rows=range(2))))
    with pytest.raises(InputError, match="no room"):
        next(beside.batches(Reading(seed=0, batch_size=1, rows=range(1))))


def test_latents_are_those_of_the_clips(prepared: Path) -> None:
    autoencoder = load_part(prepared / "autoencoder" / "model", "vae", torch.float32)
    assert isinstance(autoencoder, ChunkAutoencoder)
    source = LatentShards(prepared / "encode")
    number = sum(len(moving_shapes.clip(k).passages) == 1 for k in range(tiny.NUM_CLIPS))
    assert len(source) == tiny.NUM_CLIPS + number  # clips without a cut are there mirrored too
    found = {}
    for step in range(len(source) // 2):
        batch = next(source.batches(reading(start=step, rows=range(4))))
        for row, passages in enumerate(batch.passages):
            found[json.dumps([p.to_json() for p in passages])] = batch, row
    clip = moving_shapes.clip(3)
    batch, row = found[json.dumps([p.to_json() for p in clip.passages])]
    pixels = torch.from_numpy(clip.frames).permute(3, 0, 1, 2)[None] / 127.5 - 1
    torch.testing.assert_close(
        batch.latents[row].float(), autoencoder.encode(pixels)[0], atol=2e-3, rtol=2e-3
    )
    assert batch.still_columns == (0, 3)
    assert batch.stills is not None
    still = autoencoder.encode(pixels[:, :, 3:4])[0]
    torch.testing.assert_close(batch.stills[row][:, :1].float(), still, atol=2e-3, rtol=2e-3)
    assert extent_of(batch, row).shot_of_column == (0, 0, 1, 1)  # the cut is in the third latent frame


def test_latents_have_about_unit_variance(prepared: Path) -> None:
    batch: LatentBatch = next(LatentShards(prepared / "encode").batches(reading()))
    assert 0.3 < batch.latents.std() < 3


def test_large_sets_are_read_from_the_disk(prepared: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    held = next(LatentShards(prepared / "encode").batches(reading()))
    monkeypatch.setattr(shards, "HELD_IN_MEMORY", 0)
    read = next(LatentShards(prepared / "encode").batches(reading()))
    assert torch.equal(held.latents, read.latents)


def test_processes_share_the_clips(prepared: Path, tmp_path: Path) -> None:
    config = tiny.encode(prepared)
    for part in ("2/2", "1/2"):
        assert encode_clips(replace(config, part=part), tmp_path, QUIET).is_finished
    for path in (prepared / "encode").glob("shard-*"):
        assert (tmp_path / path.name).read_bytes() == path.read_bytes()
    with pytest.raises(InputError, match="no part “3/2”"):
        encode_clips(replace(config, part="3/2"), tmp_path / "odd", QUIET)


def test_crops_are_the_same_for_the_same_step(prepared: Path) -> None:
    source = FrameShards(prepared / "frames", Crops(num_frames=8, side=16, still_share=0.5))
    crops = next(source.batches(reading(start=5))).frames
    assert crops.shape == (4, 3, 8, 16, 16)
    assert crops.dtype == torch.uint8
    assert crops.min() < crops.max()
    assert torch.equal(crops, next(source.batches(reading(start=5))).frames)
    drawn = torch.cat([b.frames for b in itertools.islice(source.batches(reading()), 10)])
    is_still = (drawn.diff(dim=2) == 0).flatten(1).all(dim=1)
    assert 8 < int(is_still.sum()) < 40
    with pytest.raises(InputError, match="too large"):
        FrameShards(prepared / "frames", Crops(num_frames=8, side=64))


def test_a_stopped_stage_makes_what_is_missing(prepared: Path, tmp_path: Path) -> None:
    config = tiny.frames(tmp_path)
    stopped = keep_frames(config, tmp_path, replace(QUIET, minutes=0.0))
    assert (stopped.step, stopped.is_finished) == (0, False)
    assert keep_frames(config, tmp_path, QUIET).is_finished
    middle = tmp_path / "shard-000001.safetensors"
    before = middle.read_bytes()
    middle.unlink()
    keep_frames(config, tmp_path, QUIET)
    assert middle.read_bytes() == before == (prepared / "frames" / middle.name).read_bytes()
    ended = keep_frames(replace(config, num_clips=99, minutes=1e-9), tmp_path / "short", QUIET)
    assert ended.is_finished


def test_shards_of_two_kinds_are_not_mixed(prepared: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot be continued"):
        encode_clips(replace(tiny.encode(prepared), name="others"), prepared / "encode", QUIET)
    with pytest.raises(InputError, match="no shards"):
        LatentShards(tmp_path)


def test_a_thread_that_prepares_keeps_order_and_tells_errors() -> None:
    def numbers():
        yield from range(5)
        raise InputError("The disk is gone")

    prepared = Prepared(numbers())
    assert [next(prepared) for _ in range(5)] == list(range(5))
    with pytest.raises(InputError, match="disk"):
        next(prepared)
    prepared.close()
    endless = Prepared(itertools.count())
    assert next(endless) == 0
    endless.close()


def test_a_mirrored_clip_says_so() -> None:
    sample = moving_shapes.clip(1)
    other = moving_shapes.mirrored(sample)
    assert other is not None
    assert np.array_equal(other.frames[:, :, ::-1], sample.frames)
