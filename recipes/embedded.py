"""The embedded model, from nothing: a small world, rendered, compressed, learned.

    khayal train recipes.embedded:frames --out RUN           clips as frames: for the autoencoder
    khayal train recipes.embedded:tokenizer --out RUN        from the captions of those clips
    khayal train recipes.embedded:autoencoder --out RUN      5.1M parameters, 32 channels at 1/16
    khayal train recipes.embedded:comprehension --out RUN    the text encoder, 1.6M, on their captions
    khayal train recipes.embedded:encode --out RUN           all clips, as latents: about 60 kB each
    khayal train recipes.embedded:transformer --out RUN      9.1M parameters
    khayal train recipes.embedded:scenes --out RUN           scenes that go on, as latents
    khayal train recipes.embedded:annealed --out RUN         it settles; every third step is of such scenes
    khayal train recipes.embedded:rewording --out RUN --set model=RUN/transformer/model    more ways to say it
    khayal train recipes.embedded:binding --out RUN --set model=MODEL    its words say which is what
    khayal train recipes.embedded:columns --out RUN          moments of many scenes, a latent each
    khayal train recipes.embedded:bound --out RUN --start MODEL          and so do its pictures

`runs/embedded.sh` does all of it. The whole checkpoint is 32 MB in bfloat16. The dials of the world have to
be the same in all stages; --set dials=1 makes the smallest world.
"""

from __future__ import annotations

import itertools
import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from copy import deepcopy
from dataclasses import replace
from fractions import Fraction
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

from khayal.checkpoint.defaults import Defaults
from khayal.checkpoint.folder import open_checkpoint
from khayal.checkpoint.scheduler import SchedulerConfig
from khayal.checkpoint.tokenizer import Tokenizer
from khayal.evaluate.labels import PROBE, centred, labels_said
from khayal.model.chunk_autoencoder import ChunkAutoencoderConfig
from khayal.model.probe import ProbeLabels
from khayal.model.text import UMT5EncoderConfig
from khayal.model.transformer import TransformerConfig
from khayal.train.binding import Binding, BindingConfig
from khayal.train.comprehension import Comprehension, ComprehensionConfig, LabelledCaptions, truths_in
from khayal.train.compression import Compression, CompressionConfig
from khayal.train.config import KeepingConfig, OptimiserConfig, TrainConfig
from khayal.train.hearing import HearingConfig
from khayal.train.loss import Levels, Mixture
from khayal.train.preparing import ClipsFrom, EncodeConfig, KeepConfig, Sample, TokenizerConfig
from khayal.train.probing import share_inside
from khayal.train.rewording import PairedCaptions, Rewording, RewordingConfig
from khayal.train.shards import Beside, Crops, FrameShards, InTurn, LatentShards, ShardReader
from khayal.train.source import LatentBatch, Passage, Source
from khayal.train.text_to_video import TextToVideo, TextToVideoConfig
from khayal.world.captions import LANGUAGES, LENGTHS, caption, plan, words_for, write
from khayal.world.clips import Passage as WorldPassage
from khayal.world.clips import draw_take, render_clip
from khayal.world.draw import Request, in_turn
from khayal.world.facts import Facts, facts_of
from khayal.world.record import record
from khayal.world.redress import redressed
from khayal.world.retelling import miscast, plainly, recast, said_twice
from khayal.world.theatre import take
from khayal.world.truth import Truth
from khayal.world.workers import in_order

FPS, SECONDS, SIDE = 12, 4.0, 128
NUM_FRAMES = round(FPS * SECONDS)
SCENE_SECONDS = 2 * SECONDS
NUM_TOKENS = 1024
TEXT_WIDTH = 192
TEXT_LENGTH = 64
"""Tokens of a prompt. Wan pads a prompt with zeros and attends to them, so that length dilutes it: of 96
tokens, 75 to 90% of the attention went to the padding of captions that have 10 to 32. But with 40, half
of the detailed English captions of dial 2 lost their end, which is where the camera stands; 64 hold 99%."""
DIALS = "1233"
"""Clips of these dials in turn: what is said of a small world is met in the large one too."""
SEED = 0
CLIPS_READ_FOR_WORDS = 3000
NUM_WORDINGS = 4
"""Of each caption, drawn anew from what is known of the clip."""
MOMENTS = 8
"""Of each take, in `columns`."""
COLUMNS_AT_ONCE = 12
"""In the place of a clip, in `bound`."""
PLAYS_IN_TURN = ("company", "company", "collide", "solo")
NUM_SCENES_LENT = 1000
"""From whose captions it is known what colours have in common, and what kinds have."""
NUM_SCENES_ASKED = 32
"""With which it is recorded what the transformer asks of text."""

PROMPTS = (
    "a red ball bounces on the grass",
    "a blue cube slides to the left on the snow",
    "a green box slides on a wooden floor, the camera stays still",
    "كرة صفراء تتدحرج على الثلج",
)

AUTOENCODER = ChunkAutoencoderConfig(latent_channels=32, widths=(96, 160, 224))
TEXT_ENCODER = UMT5EncoderConfig(
    vocab_size=NUM_TOKENS, d_model=TEXT_WIDTH, d_kv=32, d_ff=2 * TEXT_WIDTH, num_layers=3, num_heads=6
)
TRANSFORMER = TransformerConfig(
    patch_size=(1, 1, 1),
    num_attention_heads=4,
    attention_head_dim=64,
    in_channels=AUTOENCODER.latent_channels,
    out_channels=AUTOENCODER.latent_channels,
    text_dim=TEXT_WIDTH,
    ffn_dim=1024,
    num_layers=8,
)
SHIFT, SHIFT_BESIDE_KNOWN, SHIFT_ALONE = 10.0, 4.0, 4.0
MIXTURE = {
    "shared": 0.38,  # what text is learned from
    "prefix": 0.17,
    "stills": 0.10,
    "suffix": 0.06,
    "ends": 0.08,
    "joined": 0.03,
    "middle": 0.03,
    "independent": 0.03,
    "images": 0.03,
    "anchors": 0.08,
    "shots": 0.01,
}
DEFAULTS = Defaults(
    fps=Fraction(FPS),
    seconds=SECONDS,
    size=(SIDE, SIDE),
    steps=6,
    guidance=(3.0,),
    history_guidance_from=0.8,
    window_guidance=1.0,
    text_length=TEXT_LENGTH,
    trained_sizes=((SIDE, SIDE),),
)


def frames(run: Path, dials: str = DIALS, clips: int = 400, workers: int = 2) -> KeepConfig:
    """Clips as frames, 2.4 MB each."""
    return KeepConfig(clips=world(dials, workers), name=f"world dials {dials} seed {SEED}", num_clips=clips)


def tokenizer(run: Path, extends: str = "") -> TokenizerConfig:
    """From the captions of the rendered clips, and every word of the world beside them.

    With `extends`, the words that another tokenizer lacks come after its own.
    """

    def texts() -> Iterator[str]:
        from khayal.world import words

        for language in ("en", "ar"):
            yield from sorted(words(language))
        for path in sorted((run / "frames").glob("*.jsonl")):
            for line in path.read_text(encoding="utf-8").splitlines():
                for passage in json.loads(line)["passages"]:
                    yield from passage["texts"].values()

    return TokenizerConfig(texts=texts, num_tokens=NUM_TOKENS, extends=Path(extends) if extends else None)


def autoencoder(run: Path, batch: int = 8, side: int = 64, motion: float = 1.0) -> TrainConfig:
    """Crops of 16 frames; on two CPU cores a step takes about a fifth of a second.

    After 40 seconds of it, Muon for the kernels had 20.5 dB (at 4e-3; 20.0 at 1e-2, 20.4 at 1.5e-3), AdamW
    at 1e-3 had 17.5, though it made a third more steps.
    """
    return TrainConfig(
        objective=partial(Compression, CompressionConfig(autoencoder=AUTOENCODER, motion_weight=motion)),
        source=lambda: FrameShards(run / "frames", Crops(num_frames=16, side=side)),
        batch_size=batch,
        minutes=90,
        seed=SEED,
        optimiser=OptimiserConfig(decay_share=0.3),
        averages=(0.999,),
    )


def decoder(run: Path, batch: int = 8, side: int = 64, rate: float = 4e-3) -> TrainConfig:
    """The decoder learns on while the encoder, and so all latents, stay as they are."""
    shape = CompressionConfig(decoder_of=run / "autoencoder" / "model", motion_weight=1.0)
    optimiser = OptimiserConfig(matrix_learning_rate=rate, learning_rate=rate / 4, decay_share=0.6)
    config = autoencoder(run, batch, side)
    return replace(config, objective=partial(Compression, shape), optimiser=optimiser, minutes=30)


def encode(
    run: Path,
    dials: str = DIALS,
    clips: int = 6000,
    workers: int = 2,
    mirrored: bool = True,
    part: str = "1/1",
) -> EncodeConfig:
    """Clips as latents, each also as its mirror image; with --minutes, as many as there is time for.

    The first are those of `frames`, which need not be rendered again. Several processes can share the
    work: part=2/4 makes the second quarter.
    """
    return EncodeConfig(
        clips=kept(run / "frames", otherwise=world(dials, workers)),
        name=f"world dials {dials} seed {SEED}",
        num_frames=NUM_FRAMES,
        autoencoder=run / "autoencoder" / "model",
        num_clips=clips,
        mirrored=mirror if mirrored else None,
        part=part,
    )


def scenes(run: Path, dials: str = "12", clips: int = 400, workers: int = 2) -> EncodeConfig:
    """Scenes twice as long as what the model makes at once, as latents: what a longer video is learned from.

    In clips of four seconds something happens throughout. A video that goes on has to know as well what
    comes after: that a ball which has rolled away is not replaced by another.
    """
    return EncodeConfig(
        clips=world(dials, workers, SCENE_SECONDS),
        name=f"world dials {dials} seed {SEED}, {SCENE_SECONDS:g} s",
        num_frames=round(FPS * SCENE_SECONDS),
        autoencoder=run / "autoencoder" / "model",
        num_clips=clips,
        mirrored=mirror,
    )


def columns(run: Path, dial: int = 2, takes: int = 4000, workers: int = 2) -> EncodeConfig:
    """Moments of scenes, four frames each, as latents: which of two is what can be seen in any of them.

    A clip is twelve of them that show the same two actors. Here each take is shown in eight moments, in other
    colours and another place each time.
    """
    return EncodeConfig(
        clips=moments(dial, workers),
        name=f"moments of dial {dial} seed {SEED}",
        num_frames=AUTOENCODER.frames_per_latent,
        autoencoder=run / "autoencoder" / "model",
        num_clips=takes * MOMENTS,
        still_columns=(),
        mirrored=mirror,
    )


def comprehension(run: Path, batch: int = 128, rate: float = 2e-3, of: str = "") -> TrainConfig:
    """The text encoder, on captions of the scenes of `encode`, recast anew each time, and what they say.

    AdamW, since UMT5's attention has neither a scale nor norms: with Muon at 8e-3 its logits grew to between
    16 and 180, and which kind belongs to which colour could hardly be read from what came out. How much an
    encoder that is there tells is measured with --set of=MODEL, a checkpoint, which stays as it is.
    """
    shape = ComprehensionConfig(
        text=TEXT_ENCODER,
        tokenizer=(Path(of) if of else run) / "tokenizer",
        names=PROBE,
        text_length=DEFAULTS.text_length,
        text_encoder=Path(of) / "text_encoder" if of else None,
    )
    return TrainConfig(
        objective=partial(Comprehension, shape, SEED),
        source=lambda: LabelledCaptions([run / "frames", run / "encode"], recast_and_told),
        batch_size=batch,
        minutes=12,
        seed=SEED,
        optimiser=OptimiserConfig(matrices="adamw", learning_rate=rate, warmup_steps=20, decay_share=0.5),
        averages=(0.98,),
    )


def binding(
    run: Path, model: str = "src/khayal/embedded", batch: int = 64, rate: float = 5e-4, lent: float = 1.0
) -> TrainConfig:
    """The text encoder of a model that is there learns which is what; `bound` teaches it to its transformer.

    `run` holds clips with their truth.
    """
    folders = [run / "frames", run / "encode", run / "probe_clips"]
    tellers = [recast_and_told(told) for told in truths_in(folders, NUM_SCENES_LENT)]
    shape = BindingConfig(
        model=Path(model),
        classes=(words_for("colour"), words_for("kind")),
        scenes=tuple(tell(np.random.default_rng([SEED, k]))[0] for k, tell in enumerate(tellers)),
        lent=lent,
        text_length=TEXT_LENGTH,
    )
    return replace(
        comprehension(run, batch, rate),
        objective=partial(Binding, shape, SEED),
        source=lambda: LabelledCaptions(folders, recast_and_told, times=more_of_several),
    )


def more_of_several(told: Mapping[str, Any]) -> int:
    """Scenes with several kinds come four times as often: of a third of all clips they become two thirds."""
    return 4 if len({actor["kind"] for actor in told["actors"]}) > 1 else 1


def recast_and_told(told: Mapping[str, Any]) -> Callable[[np.random.Generator], tuple[str, ProbeLabels]]:
    """A way to caption a scene, recast each time, with the labels of what the caption says."""
    facts, dial = facts_of(Truth.from_json(dict(told))), told["dial"]

    def one(dice: np.random.Generator) -> tuple[str, ProbeLabels]:
        language, length = str(dice.choice(list(LANGUAGES))), str(dice.choice(LENGTHS))
        said = caption(recast(facts, dial, dice), language, length, dice)
        return said.text, labels_said(said.claims)

    return one


def transformer(
    run: Path,
    batch: int = 32,
    matrices: str = "muon",
    rate: float = 8e-3,
    dials: str = DIALS,
    compiled: bool = False,
    focus: float = 4.0,
    short: float = 0.25,
    micro: int = 2,
) -> TrainConfig:
    """The transformer, a token for every latent; patches of 2×2, a quarter of the tokens, suit a CPU better.

    Two CPU cores see 3.0 canvases a second two at a time, 2.8 one at a time, and 2.0 sixteen at a time. A
    GPU wants all of a step at once: micro=0.

    With those, over 200 steps of 8 clips, on the same batches and noise, the last 20 losses were 0.44 for
    Muon at 8e-3, 0.49 at 4e-3, 0.58 at 2e-3; AdamW alone had 0.58 at 2.4e-3, 0.61 at 1.2e-3, 0.69 at 6e-4.
    """
    shape = replace(learns(run, dials), focus_weight=focus, short_share=short)
    return TrainConfig(
        objective=partial(TextToVideo, shape, SEED),
        source=lambda: LatentShards(run / "encode"),
        batch_size=batch,
        micro_batch_size=micro or None,
        minutes=360,
        seed=SEED,
        optimiser=OptimiserConfig(
            matrices=matrices,  # type: ignore[arg-type]
            matrix_learning_rate=rate,
            decay_share=0.3,
        ),
        keeping=KeepingConfig(full_minutes=3),
        is_compiled=compiled,
    )


def annealed(
    run: Path,
    batch: int = 16,
    rate: float = 1.5e-3,
    dials: str = DIALS,
    compiled: bool = False,
    micro: int = 2,
    share: float = 0.25,
) -> TrainConfig:
    """A transformer that was trained at the full rate goes on at a falling one; see --start.

    Every third step is of `scenes`, where they are there. What is exported lies a part of the way: from 1,024
    clips and 384 scenes, 375 steps taught the embedded model what its 20,000 clips had not (scenes that go
    on: the loss fell by 3 to 6% half of the way), but at levels above 0.9 it began to know them by heart:
    on held-out actors the loss rose by 1% a quarter, by 4% half, and by 12% all of the way.
    """
    config = transformer(run, batch, rate=rate, dials=dials, compiled=compiled, micro=micro)
    shape = replace(
        learns(run, dials), short_share=0.0, window_columns=NUM_FRAMES // AUTOENCODER.frames_per_latent
    )

    def source() -> Source[LatentBatch]:
        clips, folder = LatentShards(run / "encode"), run / "scenes"
        return InTurn((clips, LatentShards(folder)), turns=(0, 0, 1)) if folder.exists() else clips

    return replace(
        config,
        objective=partial(TextToVideo, shape, SEED),
        source=source,
        minutes=60,
        optimiser=replace(config.optimiser, learning_rate=rate / 4, warmup_steps=20, decay_share=0.9),
        averages=(0.95,),
        interpolation=share,
    )


def bound(
    run: Path,
    batch: int = 4,
    rate: float = 2e-3,
    contrast: float = 0.2,
    share: float = 0.5,
    dials: str = DIALS,
    compiled: bool = False,
    micro: int = 1,
    english: float = 1.0,
    way: float = 0.8,
    seed: int = SEED,
) -> TrainConfig:
    """A transformer that is there learns from the words of `binding` which of two is what; see --start.

    Which colour goes with which kind can be seen in any moment, so most of what it learns from are single
    latent frames: twelve of them, each of another scene, cost as much as one clip, and as much again with
    the captions that are nearly true. A `share` of each step is of clips, so that it does not forget how
    things move. English is read no more often than Arabic: twice as often, as the transformer was trained,
    61% of the kinds in English prompts for two were right, and 42% in Arabic ones. Exported is a part of
    the `way`: a fifth of the weights that saw more clips makes sharper pictures, and binds no worse.

    On a GPU: batch=32, micro=8; no micro-batch can be of both. A run that goes on from another one needs
    another seed: with the same one it meets the same moments in the same noise, and knows them.
    """
    config = transformer(run, batch, rate=rate, dials=dials, compiled=compiled, micro=micro, short=0.0)
    shape = learns(run, dials, english=english)
    shape = replace(shape, focus_weight=4.0, short_share=0.0, contrast_weight=contrast)
    return replace(
        config,
        objective=partial(TextToVideo, shape, SEED),
        source=lambda: Beside(
            LatentShards(run / "encode"), LatentShards(run / "columns"), share=share, pack=COLUMNS_AT_ONCE
        ),
        minutes=60,
        seed=seed,
        optimiser=replace(config.optimiser, learning_rate=rate / 4, warmup_steps=20, decay_share=0.6),
        averages=(0.99,),
        interpolation=way,
    )


def rewording(
    run: Path,
    model: str = "src/khayal/embedded",
    batch: int = 64,
    rate: float = 1.5e-3,
    dials: str = DIALS,
) -> TrainConfig:
    """New wordings for a model that is there: its text encoder alone learns, from what is true of clips.

    `run` holds clips with their truth, and a tokenizer that extends the model's.
    """
    folders = [run / "frames", run / "encode", run / "probe_clips"]
    facts = [facts_of(Truth.from_json(dict(told))) for told in truths_in(folders)]
    dial = max(map(int, dials))
    shape = RewordingConfig(
        hearing=hearing(model, facts[:NUM_SCENES_ASKED]),
        tokenizer=run / "tokenizer",
        text_length=TEXT_LENGTH,
        words=words_said(facts, run / "tokenizer"),
        prompts=PROMPTS,
    )
    return TrainConfig(
        objective=partial(Rewording, shape, SEED),
        source=lambda: PairedCaptions([partial(said_twice, known, dial) for known in facts]),
        batch_size=batch,
        minutes=20,
        seed=SEED,
        optimiser=OptimiserConfig(matrices="adamw", learning_rate=rate, warmup_steps=50, decay_share=0.6),
        averages=(0.99,),
    )


def hearing(model: str, facts: Sequence[Facts]) -> HearingConfig:
    """What the transformer of a model hears, recorded while it makes videos of these scenes."""
    return HearingConfig(
        model=Path(model),
        scenes=tuple(plainly(known, seed) for seed, known in enumerate(facts)),
        size=(SIDE // 16, SIDE // 16),
        num_columns=NUM_FRAMES // AUTOENCODER.frames_per_latent,
    )


def words_said(facts: Sequence[Facts], tokenizer: Path) -> tuple[str, ...]:
    """The words that captions of some scenes hold, as the tokenizer writes them."""
    dice, said = np.random.default_rng(SEED), set[str]()
    for known, language, length in itertools.product(facts, LANGUAGES, LENGTHS):
        for _ in range(NUM_WORDINGS):
            said.update(write(plan(known, length, dice), language, dice).split())
    found = Tokenizer(tokenizer).words(" ".join(sorted(said)))
    return tuple(sorted({piece for _, pieces in found for piece in pieces}))


def learns(
    run: Path,
    dials: str,
    *,
    tokenizer: Path | None = None,
    text_encoder: Path | None = None,
    english: float = 2.0,
) -> TextToVideoConfig:
    """What the transformer learns, and on which mixture; its text is read by what `run` has, or by these.

    English captions come `english` times as often as those of another language.
    """
    tokenizer = tokenizer or run / "tokenizer"
    often = {"en": english}
    return TextToVideoConfig(
        transformer=TRANSFORMER,
        text=TEXT_ENCODER,
        tokenizer=tokenizer,
        autoencoder=run / ("decoder" if (run / "decoder.done").exists() else "autoencoder") / "model",
        # Twelve frames show one scene: at a level of 0.9 it can still be guessed without the text (the loss
        # with the right, with no and with a wrong caption was 0.392, 0.392, 0.395; at 1 it was 0.66, 0.86,
        # 0.85). What follows the text is learned above that, where shift 2 draws one level in fifty.
        mixture=Mixture(
            weights=MIXTURE,
            levels=Levels(shift=SHIFT, shift_beside_known=SHIFT_BESIDE_KNOWN, shift_alone=SHIFT_ALONE),
        ),
        scheduler=SchedulerConfig(flow_shift=SHIFT),
        defaults=replace(DEFAULTS, words=words_taught(run, tokenizer), dials=dials),
        caption_weights={
            f"{language}/{length}/{number}": (0.5 if length == "short" else 1.0) * often.get(language, 1.0)
            for language, length, number in itertools.product(LANGUAGES, LENGTHS, range(NUM_WORDINGS))
        },
        text_encoder=text_encoder or run / "comprehension" / "model",
        prompts=PROMPTS,
    )


def world(dials: str, workers: int, seconds: float = SECONDS) -> ClipsFrom:
    """The physics world's training clips, rendered as they are asked for: each dial in its turn."""

    def clips(start: int) -> Iterator[Sample]:
        return in_order(partial(rendered, dials, seconds), range(start, 1 << 62), workers)

    return clips


def rendered(dials: str, seconds: float, number: int) -> Sample:
    """One clip with all that is said of it; whoever renders it does that too."""
    dial, index = in_turn(dials, number)
    request = Request(size=(SIDE, SIDE), seconds=seconds, fps=FPS, dial=dial)
    clip = render_clip(request, SEED, index, is_segmented=False)
    return Sample(
        frames=clip.frames,
        passages=tuple(worded(passage, clip.truth) for passage in clip.captions),
        truth=clip.truth.to_json(),
        focus=focus_of(clip.truth),
    )


def moments(dial: int, workers: int) -> ClipsFrom:
    """Moments of the world's takes, `MOMENTS` of each."""

    def clips(start: int) -> Iterator[Sample]:
        first, within = divmod(start, MOMENTS)
        takes = in_order(partial(redressed_moments, dial), range(first, 1 << 62), workers)
        return itertools.islice(itertools.chain.from_iterable(takes), within, None)

    return clips


def redressed_moments(dial: int, number: int) -> list[Sample]:
    """One take of the world, at several moments, in other colours and another place each time.

    Three in four show more than one actor. Captions say nothing of the camera's move: a moment shows none,
    and would teach that those words mean nothing.
    """
    play = PLAYS_IN_TURN[number % len(PLAYS_IN_TURN)]
    request = Request(size=(SIDE, SIDE), seconds=SECONDS, fps=FPS, dial=dial, play=play)
    taken = take(request, SEED + 1, number)  # other scenes than those of `encode`
    dice, per = np.random.default_rng([SEED, number, 47]), AUTOENCODER.frames_per_latent
    samples = []
    for moment in range(MOMENTS):
        dressed = redressed(taken, dice)
        start = per * int(dice.integers(NUM_FRAMES // per))
        facts = replace(facts_of(record(dressed)), views=())
        nearly = miscast(facts, dial, np.random.default_rng([SEED, number, moment, 53]))
        texts, others = {}, {}
        for language, length in itertools.product(LANGUAGES, LENGTHS):
            others[f"{language}/{length}/0"] = caption(nearly, language, length, deepcopy(dice)).text
            texts[f"{language}/{length}/0"] = caption(facts, language, length, dice).text
        boxes = dressed.boxes[start : start + per, :, :4].swapaxes(0, 1)
        samples.append(
            Sample(
                frames=draw_take(dressed, range(start, start + per)),
                passages=(
                    Passage(kind="clip", start=0, end=per, texts=texts),
                    Passage(kind="other", start=0, end=per, texts=others),
                ),
                focus=focus_in(boxes),
            )
        )
    return samples


def kept(folder: Path, otherwise: ClipsFrom) -> ClipsFrom:
    """Clips that were kept as frames, whose truth stays there, and then others."""

    def clips(start: int) -> Iterator[Sample]:
        reader = ShardReader(folder) if folder.exists() else None
        num_kept = len(reader) if reader else 0
        for number in range(start, num_kept):
            assert reader is not None
            line = reader.line(number)
            if reader.has("focus"):
                focus = reader.part("focus", number).numpy()
            else:  # a folder that was begun before they were kept
                focus = focus_of(Truth.from_json(line["truth"]))
            yield Sample(
                frames=reader.part("frames", number).numpy(),
                passages=tuple(Passage(**told) for told in line["passages"]),
                focus=focus,
            )
        yield from otherwise(max(start, num_kept))

    return clips


def words_of(folder: Path, tokenizer: Path) -> tuple[str, ...]:
    """The words of the captions in a folder of shards, as the tokenizer writes them; none without shards.

    The grammar is closed: a few thousand clips, with a score of captions each, say all there is to say.
    """
    paths = sorted(folder.glob("*.jsonl"))
    lines = [line for path in paths for line in path.read_text(encoding="utf-8").splitlines()]
    words = set[str]()
    for line in lines[:: max(1, len(lines) // CLIPS_READ_FOR_WORDS)]:
        for passage in json.loads(line)["passages"]:
            words.update(" ".join(passage["texts"].values()).split())
    if not words:
        return ()
    found = Tokenizer(tokenizer).words(" ".join(sorted(words)))
    return tuple(sorted({piece for _, pieces in found for piece in pieces}))


def words_taught(run: Path, tokenizer: Path) -> tuple[str, ...]:
    """The words of the clips and moments of a run, and those that the checkpoint of `binding` knows."""
    before = run / "binding" / "model"
    known = open_checkpoint(before).defaults.words if before.exists() else ()
    said = (words_of(run / name, tokenizer) for name in ("encode", "columns"))
    return tuple(sorted({*known, *itertools.chain.from_iterable(said)}))


def worded(told: WorldPassage, truth: Truth) -> Passage:
    """A passage with several wordings of each of its captions: names end in /0, /1, …

    A prompt for a longer video is often about how it begins, and so is every other wording.
    """
    begun = facts_of(truth, told.start, min(told.end, told.start + NUM_FRAMES))
    whole = facts_of(truth, told.start, told.end)
    texts = {}
    for place, (language, length) in enumerate(itertools.product(LANGUAGES, LENGTHS)):
        dice = np.random.default_rng([truth.seed, truth.index, told.start, told.end, 31, place])
        for number in range(NUM_WORDINGS):
            facts = begun if number % 2 and begun.actors else whole
            text = caption(facts, language, length, dice, truth.split).text
            texts[f"{language}/{length}/{number}"] = text
    return Passage(kind=told.kind, start=told.start, end=told.end, texts=texts)


def focus_of(truth: Truth) -> np.ndarray:
    """Where in the latents actors are, t h w: the share of each place that their boxes cover, times 255.

    Of 4k+1 frames the first is a latent of its own.
    """
    return focus_in(np.stack([np.array(actor.box) for actor in truth.frames.actors]))


def focus_in(corners: np.ndarray) -> np.ndarray:
    """The same of boxes: actor, frame, and left, top, right, bottom in 0…1."""
    grid, per = SIDE // 16, AUTOENCODER.frames_per_latent
    boxes = np.stack([centred(of_actor) for of_actor in corners])
    shares = share_inside(torch.from_numpy(boxes)[None], grid, grid)[0].amax(dim=0)
    shares = torch.cat((shares[:1].expand(-len(shares) % per, grid, grid), shares))
    by_latent = shares.unflatten(0, (-1, per)).amax(dim=1).numpy()
    focus: np.ndarray = (by_latent * 255).round().astype(np.uint8)
    return focus


_SIDES = {"left": "right", "Left": "Right", "يسار": "يمين"}
_SIDES |= {other: side for side, other in _SIDES.items()}
_SIDE = re.compile("|".join(_SIDES))


def mirror(sample: Sample) -> Sample:
    """The mirror image. Left and right change places in its captions, which name no other direction."""
    passages = tuple(
        Passage(
            kind=passage.kind,
            start=passage.start,
            end=passage.end,
            texts={name: mirrored_text(text) for name, text in passage.texts.items()},
        )
        for passage in sample.passages
    )
    return Sample(
        frames=sample.frames[:, :, ::-1],
        passages=passages,
        focus=None if sample.focus is None else np.ascontiguousarray(sample.focus[:, :, ::-1]),
    )


def mirrored_text(text: str) -> str:
    """The same caption of the mirror image."""
    return _SIDE.sub(lambda found: _SIDES[found[0]], text)
