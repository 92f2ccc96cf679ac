"""The probe: a small network that looks at a clip and says what it shows.

Frames are folded by threes, pixels four by four, so that all convolutions run on a 16×16 grid; between
them some channels are shifted by one step in time (Lin et al. 2018, arXiv:1811.08383). For every colour one
map of attention says where the actor of that colour is, since no two actors of a scene share a colour: what
lies under it tells the actor's kind, its motion and its direction, and where it lies is its track. Which kind
it is can be read better from close by, at full size: that is what khayal.model.look is for.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from einops import rearrange
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from khayal.model.causal_conv import RmsNorm
from khayal.model.chunk_autoencoder import Block
from khayal.model.look import Look, crops_of

FOLD = 4
"""Pixels folded into channels along each side."""
WORTH_A_LOOK = 0.02
"""How likely an actor has to be there, at least, to be looked at closely."""


@dataclass(frozen=True, kw_only=True)
class ProbeConfig:
    """What a probe can say, and its sizes; the default ones make 1.1 million parameters, the look apart.

    Attributes:
        kinds, colours, motions, directions, settings, lights, moves: the names that it knows, in its order.
        num_frames: frames that it looks at; the clip is brought to `fps` and to this length.
        side: pixels of a frame along each side, in which actors are found.
        full_side: pixels of a frame as it is given, in which they are looked at closely.
        frames_per_step: frames that are folded into one step in time.
    """

    kinds: tuple[str, ...]
    colours: tuple[str, ...]
    motions: tuple[str, ...]
    directions: tuple[str, ...]
    settings: tuple[str, ...]
    lights: tuple[str, ...]
    moves: tuple[str, ...]
    fps: int = 12
    num_frames: int = 48
    side: int = 64
    full_side: int = 128
    frames_per_step: int = 3
    width: int = 64
    deep_width: int = 128
    token_width: int = 128

    @property
    def num_steps(self) -> int:
        """Steps in time, for each of which actors are placed."""
        return self.num_frames // self.frames_per_step

    @property
    def close_steps(self) -> slice:
        """The steps at which actors are looked at closely: every other one."""
        return slice(None, None, 2)

    @property
    def close_frames(self) -> slice:
        """The frames of these steps: the middle one of each."""
        return slice(self.frames_per_step // 2, None, 2 * self.frames_per_step)


@dataclass(frozen=True, kw_only=True)
class ProbeReading:
    """What a probe says of clips: logits, except for boxes and features. `n` stands for the colours.

    Attributes:
        kinds: of the actor of each colour; the last one means that there is none.
        motions: what it does; the last one means nothing in particular.
        directions: where it goes; the last one means nowhere in particular.
        is_seen: whether the actor of each colour is in the picture at each step.
        boxes: its centre and its width and height, in shares of the frame.
        where: attention over the grid, as logarithms.
        is_cut: whether there is a cut.
        features: of the whole clip; distances between sets of clips are measured in them.
    """

    kinds: Float[Tensor, "b n kinds"]
    motions: Float[Tensor, "b n motions"]
    directions: Float[Tensor, "b n directions"]
    is_seen: Float[Tensor, "b n t"]
    boxes: Float[Tensor, "b n t 4"]
    where: Float[Tensor, "b n t h w"]
    settings: Float[Tensor, "b settings"]
    lights: Float[Tensor, "b lights"]
    moves: Float[Tensor, "b moves"]
    is_cut: Float[Tensor, "b"]
    features: Float[Tensor, "b d"]


@dataclass(frozen=True, kw_only=True)
class ProbeLabels:
    """What is true of clips, in the order of a probe's names; −1 is not asked for."""

    kinds: Int[Tensor, "b n"]
    motions: Int[Tensor, "b n"]
    directions: Int[Tensor, "b n"]
    is_seen: Bool[Tensor, "b n t"]
    boxes: Float[Tensor, "b n t 4"]
    settings: Int[Tensor, "b"]
    lights: Int[Tensor, "b"]
    moves: Int[Tensor, "b"]
    is_cut: Bool[Tensor, "b"]


class Steps(nn.Module):
    """Norm, SiLU, convolution over time, added to the input."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.conv = nn.Conv1d(width, width, 5, padding=2)

    def forward(self, x: Float[Tensor, "b t d"]) -> Float[Tensor, "b t d"]:
        y = F.silu(self.norm(x)).transpose(1, 2)
        return x + self.conv(y).transpose(1, 2)


class Head(nn.Sequential):
    """A hidden layer, then one answer for each name."""

    def __init__(self, width: int, num_names: int) -> None:
        super().__init__(nn.LayerNorm(width), nn.Linear(width, num_names))


class Probe(nn.Module):
    """Clips in [-1, 1] → what they show.

    Attributes:
        look: what names the kinds of actors that were found, or None where they are named without.
    """

    def __init__(self, config: ProbeConfig, look: Look | None = None) -> None:
        super().__init__()
        self.config, self.look = config, look
        width, deep, token = config.width, config.deep_width, config.token_width
        self.stem = nn.Conv2d(3 * config.frames_per_step * FOLD**2, width, 3, padding=1)
        self.fine = Block(width)
        self.down = nn.Conv2d(4 * width, deep, 1)
        self.deep = Block(deep)
        self.up = nn.Conv2d(deep, 4 * width, 1)
        self.last = Block(width)
        self.norm = RmsNorm(width, 2)
        self.where = nn.Conv2d(width, len(config.colours), 1)
        self.what = nn.Conv2d(width, token, 1)
        self.around = nn.Conv2d(deep, 32, 1)
        self.scene_token = nn.Linear(32 * 16, token)
        self.scene_steps = nn.Sequential(Steps(token), Steps(token))
        self.actor_token = nn.Linear(2 * token + 5, token)
        self.actor_steps = nn.Sequential(Steps(token), Steps(token))
        self.seen = nn.Linear(token + 1, 1)
        self.box = nn.Linear(token, 4)
        self.actor = nn.Linear(4 * token, token)
        self.scene = nn.Linear(2 * token, token)
        self.kinds = Head(token, len(config.kinds) + 1)
        self.motions = Head(token, len(config.motions) + 1)
        self.directions = Head(token, len(config.directions) + 1)
        self.settings = Head(token, len(config.settings))
        self.lights = Head(token, len(config.lights))
        self.moves = Head(token, len(config.moves))
        self.cut = Head(token, 1)
        nn.init.zeros_(self.box.weight)

    def forward(self, frames: Float[Tensor, "b 3 f h w"]) -> ProbeReading:
        """Read clips of the config's length. The maps may compute in bfloat16, the rest does not."""
        maps, deep = self._maps(resized(frames, self.config.side).to(self.stem.weight.dtype))
        around = F.adaptive_avg_pool2d(self.around(deep), 4).float()
        around = rearrange(around, "(b t) c h w -> b t (c h w)", b=len(frames))
        scenes = self.scene_steps(self.scene_token(around))
        where, tokens, places, strength = self._actors(maps, scenes)
        tokens = self.actor_steps(tokens.flatten(0, 1)).unflatten(0, tokens.shape[:2])
        is_seen = self.seen(torch.cat((tokens, strength), dim=-1))[..., 0]
        corrections = self.box(tokens)
        centres, sizes = places + 0.1 * corrections[..., :2], corrections[..., 2:].sigmoid()
        scene = F.silu(self.scene(torch.cat((scenes.mean(1), scenes.amax(1)), dim=-1)))
        actors = self._clips_of(tokens, is_seen, scene)
        kinds = self.kinds(actors)
        is_there = 1 - kinds.softmax(-1)[..., -1:]
        boxes = torch.cat((centres, sizes), dim=-1)
        if self.look is not None:
            kinds = self._named(self.look, frames.float(), kinds, boxes, is_seen)
        return ProbeReading(
            kinds=kinds,
            motions=self.motions(actors),
            directions=self.directions(actors),
            is_seen=is_seen,
            boxes=boxes,
            where=where,
            settings=self.settings(scene),
            lights=self.lights(scene),
            moves=self.moves(scene),
            is_cut=self.cut(scene)[:, 0],
            features=torch.cat((scene, (actors * is_there).sum(1)), dim=-1),
        )

    def _named(self, look: Look, frames: Tensor, kinds: Tensor, boxes: Tensor, is_seen: Tensor) -> Tensor:
        """Kinds as they are seen from close by; whether there is an actor at all is not judged again."""
        is_there = 1 - kinds.softmax(-1)[..., -1]
        clips, colours = (is_there > WORTH_A_LOOK).nonzero(as_tuple=True)
        if len(clips) == 0:
            return kinds
        steps = self.config.close_steps
        moments = frames[:, :, self.config.close_frames].transpose(1, 2)[clips]
        crops = crops_of(moments, boxes[clips, colours, steps])
        seen = look(crops, colours, is_seen[clips, colours, steps].sigmoid()).log_softmax(-1)
        named = kinds.clone()
        named[clips, colours, :-1] = seen + kinds[clips, colours, :-1].logsumexp(-1, keepdim=True)
        return named

    def _clips_of(self, tokens: Tensor, is_seen: Tensor, scene: Tensor) -> Float[Tensor, "b n d"]:
        """Each colour's whole clip: its own steps, where it is seen, and what is around them."""
        weight = is_seen.sigmoid()[..., None] + 1e-3
        mean = (tokens * weight).sum(2) / weight.sum(2)
        counted = mean * weight.mean(2)
        others = counted.sum(1, keepdim=True) - counted
        told = (mean, tokens.amax(2), others, scene[:, None].expand(-1, mean.shape[1], -1))
        return F.silu(self.actor(torch.cat(told, dim=-1)))

    def _maps(self, frames: Tensor) -> tuple[Tensor, Tensor]:
        """What is where: at 1/4 of the size (one image for each step in time), and at 1/8."""
        steps = frames.shape[2] // self.config.frames_per_step
        sizes = {"i": self.config.frames_per_step, "j": FOLD, "k": FOLD}
        images = rearrange(frames, "b c (t i) (h j) (w k) -> (b t) (c i j k) h w", **sizes)
        x = self.stem(images.contiguous(memory_format=torch.channels_last))
        x = self.fine(shifted(x, steps))
        deep = self.deep(shifted(self.down(F.pixel_unshuffle(x, 2)), steps))
        x = self.last(shifted(x + F.pixel_shuffle(self.up(deep), 2), steps))
        return self.norm.activated(x), deep

    def _actors(self, maps: Tensor, scenes: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """For every colour and step: attention (logarithms), a token, the centre, and how strong it is."""
        b = len(scenes)
        logits = rearrange(self.where(maps), "(b t) n h w -> b n t h w", b=b).float()
        h, w = logits.shape[-2:]
        flat = logits.flatten(-2)
        strength = flat.logsumexp(-1, keepdim=True)
        where = flat - strength
        share = where.exp()
        what = rearrange(self.what(maps), "(b t) d h w -> b t (h w) d", b=b).float()
        under = torch.einsum("bntp,btpd->bntd", share, what)
        y, x = torch.meshgrid(_centres(h, share), _centres(w, share), indexing="ij")
        grid = torch.stack((x.flatten(), y.flatten()), dim=-1)
        places = share @ grid
        spread = (share @ grid.square() - places.square()).clamp(min=1e-6).sqrt()
        context = scenes[:, None].expand(-1, under.shape[1], -1, -1)
        told = (under, context, places, spread, strength / 8)
        tokens = self.actor_token(torch.cat(told, dim=-1))
        return where.unflatten(-1, (h, w)), tokens, places, strength / 8


def resized(frames: Float[Tensor, "b c f h w"], side: int) -> Float[Tensor, "b c f side side"]:
    """Each pixel the mean of those that it covers."""
    if frames.shape[-2:] == (side, side):
        return frames
    images = F.interpolate(frames.transpose(1, 2).flatten(0, 1), size=(side, side), mode="area")
    return images.unflatten(0, (len(frames), -1)).transpose(1, 2)


def _centres(count: int, like: Tensor) -> Float[Tensor, "n"]:
    return (torch.arange(count, device=like.device, dtype=like.dtype) + 0.5) / count


def shifted(x: Float[Tensor, "n c h w"], num_steps: int) -> Float[Tensor, "n c h w"]:
    """An eighth of the channels comes from the step before, another one from the step after."""
    steps = x.unflatten(0, (-1, num_steps))
    part = x.shape[1] // 8
    before = F.pad(steps[:, :-1, :part], (0, 0, 0, 0, 0, 0, 1, 0))
    after = F.pad(steps[:, 1:, part : 2 * part], (0, 0, 0, 0, 0, 0, 0, 1))
    mixed = torch.cat((before, after, steps[:, :, 2 * part :]), dim=2)
    return mixed.flatten(0, 1).contiguous(memory_format=torch.channels_last)
