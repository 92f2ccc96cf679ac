"""Flow matching with a noise level for each latent frame, over a mixture of tables that covers every task.

A *pattern* draws one training canvas: which latent frames of a clip stand on it, where in time, which of
them are known and how noisy each is. The model learns the velocity of the columns that are not known, and
so learns every task at once. Sources: rectified flow (arXiv:2209.03003), independent levels (diffusion
forcing, arXiv:2407.01392), the shifted logit-normal levels of SD3 (arXiv:2403.03206).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import torch
from jaxtyping import Bool, Float, Float64, Int64
from torch import Tensor

from khayal.errors import InputError
from khayal.flow import noised, velocity
from khayal.train.chance import Chance

Dice = np.random.Generator


@dataclass(frozen=True, kw_only=True)
class Levels:
    """How noise levels are drawn.

    Attributes:
        shift: above 1, more of them are high.
        shift_beside_known: the same for columns on a canvas where some are known, which tell more of the
            scene than a text does; None takes `shift`.
        shift_alone: the same for a column that is alone on its canvas, which tells less of the scene than
            the columns of a clip do together; None takes `shift`.
        uniform_share: share drawn evenly, so that no level is never seen.
        known_clean_share: how often known columns are clean; else they are slightly noised, and say so.
        most_known: the highest level of a known column.
        least_scored: columns below it leave the loss: their noise cannot be seen, so it cannot be learned.
    """

    shift: float = 2.0
    shift_beside_known: float | None = None
    shift_alone: float | None = None
    uniform_share: float = 0.1
    known_clean_share: float = 0.5
    most_known: float = 0.15
    least_scored: float = 0.02

    def draw(self, dice: Dice, count: int, shift: float | None = None) -> Float64[np.ndarray, "count"]:
        """Levels for `count` columns, each by itself."""
        shift = shift or self.shift
        bell = 1 / (1 + np.exp(-dice.normal(size=count)))
        bell = shift * bell / (1 + (shift - 1) * bell)
        return np.where(dice.random(count) < self.uniform_share, dice.random(count), bell)

    def shared(self, dice: Dice, num_columns: int) -> float:
        """One level for all columns that fall together."""
        return float(self.draw(dice, 1, self.shift_alone if num_columns == 1 else None)[0])

    def beside_known(self, dice: Dice) -> float:
        """One level for all columns that fall together beside known ones."""
        return float(self.draw(dice, 1, self.shift_beside_known)[0])

    def known(self, dice: Dice) -> float:
        """One level for the known columns of a canvas."""
        return 0.0 if dice.random() < self.known_clean_share else float(dice.uniform(0, self.most_known))


@dataclass(frozen=True, kw_only=True)
class Extent:
    """What there is to draw from in a clip.

    Attributes:
        num_columns: its latent frames, t.
        still_columns: the latent frames whose last pixel frame is there as a still too.
        shot_of_column: the shot that each latent frame belongs to; empty stands for a single shot.
    """

    num_columns: int
    still_columns: tuple[int, ...] = ()
    shot_of_column: tuple[int, ...] = ()

    @property
    def num_shots(self) -> int:
        return max(self.shot_of_column, default=0) + 1


@dataclass(frozen=True, kw_only=True)
class Table:
    """One training canvas.

    Attributes:
        columns: what stands in each column: latent frame i of the clip, or its still number i − t.
        positions: where in time each column stands, in latent frames.
        is_known: True where a column keeps its level and is not learned.
        sigmas: the noise level of each column.
        shots: which of the clip's shots' captions each column reads; None where all read the clip's.
        is_other: True where a column is of the clip's neighbour in the batch; None where none is.
    """

    columns: Int64[np.ndarray, "t"]
    positions: Float64[np.ndarray, "t"]
    is_known: Bool[np.ndarray, "t"]
    sigmas: Float64[np.ndarray, "t"]
    shots: Int64[np.ndarray, "t"] | None = None
    is_other: Bool[np.ndarray, "t"] | None = None

    @classmethod
    def of(cls, is_known: np.ndarray, level: float | np.ndarray, known_level: float) -> Table:
        """All latent frames of a clip at their own places."""
        places = np.arange(len(is_known))
        return cls(
            columns=places,
            positions=places.astype(np.float64),
            is_known=is_known,
            sigmas=np.where(is_known, known_level, level),
        )


def shared(extent: Extent, levels: Levels, dice: Dice) -> Table:
    """generate, remix: every column at one level."""
    level = levels.shared(dice, extent.num_columns)
    return Table.of(np.zeros(extent.num_columns, dtype=bool), level, 0.0)


def independent(extent: Extent, levels: Levels, dice: Dice) -> Table:
    """Every column at a level of its own: whatever table a task may bring."""
    t = extent.num_columns
    return Table.of(np.zeros(t, dtype=bool), levels.draw(dice, t), 0.0)


def prefix(extent: Extent, levels: Levels, dice: Dice) -> Table:
    """extend forward: the first columns are known."""
    t = extent.num_columns
    return Table.of(np.arange(t) < dice.integers(1, t), levels.beside_known(dice), levels.known(dice))


def suffix(extent: Extent, levels: Levels, dice: Dice) -> Table:
    """extend backward: the last columns are known."""
    t = extent.num_columns
    return Table.of(np.arange(t) >= dice.integers(1, t), levels.beside_known(dice), levels.known(dice))


def ends(extent: Extent, levels: Levels, dice: Dice) -> Table:
    """fill, connect, loop: both ends are known, at least one column between them is not."""
    t = extent.num_columns
    first, end = np.sort(dice.choice(np.arange(1, t), size=2, replace=False))
    places = np.arange(t)
    return Table.of((places < first) | (places >= end), levels.beside_known(dice), levels.known(dice))


def joined(extent: Extent, levels: Levels, dice: Dice) -> Table:
    """connect: both ends are known, of two clips; somewhere between them one gives way to the other.

    Not where a known column meets a new one, if there is room: what is made should go on from what is known.
    """
    table = ends(extent, levels, dice)
    new = np.flatnonzero(~table.is_known)
    cut = int(dice.integers(new[0] + 1, new[-1] + 1)) if len(new) > 1 else int(new[0] + dice.integers(2))
    return _with(table, is_other=np.arange(extent.num_columns) >= cut)


def middle(extent: Extent, levels: Levels, dice: Dice) -> Table:
    """A keyframe or a stretch in the middle is known; what comes before and after is not."""
    t = extent.num_columns
    first, end = np.sort(dice.choice(np.arange(1, t), size=2, replace=False))
    places = np.arange(t)
    return Table.of((places >= first) & (places < end), levels.beside_known(dice), levels.known(dice))


def stills(extent: Extent, levels: Levels, dice: Dice) -> Table:
    """animate: the first column is a known still; connect: so is, half of the time, the last one.

    Without stills in the source, the first latent frame stands for one (as in a causal autoencoder).
    """
    t = extent.num_columns
    is_known = np.arange(t) == 0
    if dice.random() < 0.5 and (t - 1 in extent.still_columns or not extent.still_columns):
        is_known[t - 1] = t > 2
    table = Table.of(is_known, levels.beside_known(dice), levels.known(dice))
    columns = [
        t + extent.still_columns.index(place) if is_known[place] and place in extent.still_columns else place
        for place in range(t)
    ]
    return _with(table, columns=np.array(columns))


def images(extent: Extent, levels: Levels, dice: Dice) -> Table:
    """A single frame: one of the stills, or the first latent frame where there are none."""
    t = extent.num_columns
    choice = t + int(dice.integers(len(extent.still_columns))) if extent.still_columns else 0
    table = Table.of(np.zeros(1, dtype=bool), levels.shared(dice, 1), 0.0)
    return _with(table, columns=np.array([choice]))


NUM_ANCHORS = 2
MAX_STRETCH = 180


def anchors(extent: Extent, levels: Levels, dice: Dice) -> Table:
    """A minute: a window whose beginning is known, and two known columns from long before.

    Half of the time nothing of the window is known, as in a new shot of the same scene (storyboard). Half of
    the time the gap is stretched at random, so that a model trained on seconds has met the gaps of minutes.
    """
    window = extent.num_columns // 2
    start = int(dice.integers(NUM_ANCHORS, extent.num_columns - window + 1))
    before = np.sort(dice.choice(start, size=NUM_ANCHORS, replace=False))
    columns = np.concatenate((before, np.arange(start, start + window)))
    num_tail = 0 if dice.random() < 0.5 else int(dice.integers(1, window))
    is_known = np.arange(len(columns)) < NUM_ANCHORS + num_tail
    table = Table.of(is_known, levels.beside_known(dice), levels.known(dice))
    positions = columns.astype(np.float64)
    if dice.random() < 0.5:
        positions[NUM_ANCHORS:] += int(dice.integers(1, MAX_STRETCH + 1))
    return _with(table, columns=columns, positions=positions)


def shots(extent: Extent, levels: Levels, dice: Dice) -> Table:
    """storyboard: the shots before a cut are known, and every column reads the caption of its own shot.

    A clip without cuts is all noised, and reads its own caption.
    """
    t = extent.num_columns
    of_column = np.array(extent.shot_of_column or (0,) * t)
    first_new = int(dice.integers(1, extent.num_shots)) if extent.num_shots > 1 else 0
    level = levels.beside_known(dice) if first_new else levels.shared(dice, t)
    table = Table.of(of_column < first_new, level, levels.known(dice))
    return _with(table, shots=of_column)


@dataclass(frozen=True)
class Pattern:
    """How a canvas is drawn.

    Attributes:
        draw: one canvas of one sample.
        keeps_shape: True where it has the clip's own number of columns and one caption, so that it can
            stand in one batch with others that have.
    """

    draw: Callable[[Extent, Levels, Dice], Table]
    keeps_shape: bool = True


PATTERNS: Mapping[str, Pattern] = {
    "shared": Pattern(shared),
    "prefix": Pattern(prefix),
    "suffix": Pattern(suffix),
    "ends": Pattern(ends),
    "joined": Pattern(joined),
    "middle": Pattern(middle),
    "stills": Pattern(stills),
    "independent": Pattern(independent),
    "images": Pattern(images, keeps_shape=False),
    "anchors": Pattern(anchors, keeps_shape=False),
    "shots": Pattern(shots, keeps_shape=False),
}
MIXTURE: Mapping[str, float] = {
    "shared": 0.42,
    "prefix": 0.12,
    "stills": 0.08,
    "suffix": 0.05,
    "ends": 0.05,
    "joined": 0.02,
    "middle": 0.04,
    "independent": 0.10,
    "images": 0.04,
    "anchors": 0.04,
    "shots": 0.04,
}
_LEAST_COLUMNS = {
    "shared": 1,
    "independent": 1,
    "images": 1,
    "shots": 1,
    "prefix": 2,
    "suffix": 2,
    "stills": 2,
}
_LEAST_FOR_OTHERS = 4


@dataclass(frozen=True, kw_only=True)
class Mixture:
    """How often each pattern is drawn; the weights need not sum to one.

    Raises:
        InputError: a name that is no pattern, or weights that are not positive.
    """

    weights: Mapping[str, float] = field(default_factory=lambda: dict(MIXTURE))
    levels: Levels = field(default_factory=Levels)

    def __post_init__(self) -> None:
        for name, weight in self.weights.items():
            if name not in PATTERNS:
                raise InputError(f"There is no pattern “{name}”", fix=f"take some of {', '.join(PATTERNS)}")
            if weight < 0:
                raise InputError(f"The weight of “{name}” is {weight:g}", fix="give 0 or more")
        if sum(self.weights.values()) <= 0:
            raise InputError("No pattern has a weight", fix="give one of them a positive weight")

    def draw(self, extents: Sequence[Extent], chance: Chance) -> tuple[str, list[Table]]:
        """The canvases of one step, and what they are: a pattern that changes the shape, or "levels".

        Patterns of the clip's own shape are drawn for each sample; one that changes the shape is drawn for
        a whole step, which keeps the share of each.
        """
        usable = {
            name: weight
            for name, weight in self.weights.items()
            if extents[0].num_columns >= _LEAST_COLUMNS.get(name, _LEAST_FOR_OTHERS)
        } or {"shared": 1.0}
        chosen = _pick(usable, chance.dice(_FOR_STEP))
        alike = {name: weight for name, weight in usable.items() if PATTERNS[name].keeps_shape}
        tables = []
        for row, extent in zip(chance.rows, extents, strict=True):
            dice = chance.dice(_FOR_TABLE, row)
            name = _pick(alike, dice) if PATTERNS[chosen].keeps_shape else chosen
            tables.append(PATTERNS[name].draw(extent, self.levels, dice))
        return ("levels" if PATTERNS[chosen].keeps_shape else chosen), tables


_FOR_STEP, _FOR_TABLE = 1, 2


def _pick(weights: Mapping[str, float], dice: Dice) -> str:
    total = np.cumsum(list(weights.values()))
    return list(weights)[int(np.searchsorted(total, dice.random() * total[-1], side="right"))]


def _with(table: Table, **changes: np.ndarray) -> Table:
    return Table(**{**vars(table), **changes})


@dataclass(frozen=True, kw_only=True)
class Canvases:
    """The tables of a batch in tensors, on the device of the model, `is_scored` and `num_scored` apart.

    Attributes:
        clean: what stands in each column.
        is_scored: True where a column counts in the loss.
        num_scored: how many there are.
        weights: how much each place counts in the loss, or None where all count alike.
    """

    clean: Float[Tensor, "b c t h w"]
    sigmas: Float[Tensor, "b t"]
    positions: Float[Tensor, "#b t"]
    is_scored: Bool[Tensor, "b t"]
    num_scored: int
    weights: Float[Tensor, "b 1 t h w"] | None = None

    def weighed(self) -> Canvases:
        """The same, with what was the last channel as weights: so they went wherever the latents went."""
        return replace(self, clean=self.clean[:, :-1], weights=self.clean[:, -1:])


def arrange(
    tables: Sequence[Table],
    latents: Float[Tensor, "b c t h w"],
    stills: Float[Tensor, "b c k h w"] | None,
    *,
    least_scored: float,
) -> Canvases:
    """Put what each table names in its place.

    Clips are neighbours two by two, so that processes with an even share of a batch pair them alike; one
    that is left over is its own.
    """
    device = latents.device
    columns = np.stack([table.columns for table in tables])
    everything = latents if stills is None else torch.cat((latents, stills), dim=2)
    if columns.shape[1] == latents.shape[2] and (columns == np.arange(columns.shape[1])).all():
        clean = latents
    else:
        rows = torch.arange(len(tables), device=device)[:, None]
        clean = everything.transpose(1, 2)[rows, torch.from_numpy(columns).to(device)].transpose(1, 2)
    if any(table.is_other is not None for table in tables):
        nowhere = np.zeros(columns.shape[1], dtype=bool)
        is_other = np.stack([nowhere if table.is_other is None else table.is_other for table in tables])
        neighbours = torch.arange(len(tables), device=device).bitwise_xor(1).clamp(max=len(tables) - 1)
        chosen = torch.from_numpy(is_other).to(device)[:, None, :, None, None]
        clean = torch.where(chosen, clean[neighbours], clean)
    positions = np.stack([table.positions for table in tables])
    if (positions == positions[:1]).all():
        positions = positions[:1]
    sigmas = np.stack([table.sigmas for table in tables])
    is_scored = ~np.stack([table.is_known for table in tables]) & (sigmas >= least_scored)
    return Canvases(
        clean=clean,
        sigmas=torch.from_numpy(sigmas).float().to(device),
        positions=torch.from_numpy(positions).float(),
        is_scored=torch.from_numpy(is_scored).to(device),
        num_scored=int(is_scored.sum()),
    )


def as_timesteps(sigmas: Float[Tensor, "b t"], num_levels: int = 1000) -> Float[Tensor, "b t"]:
    """The levels as the model counts them: truncated to whole numbers, as in sampling."""
    return (sigmas * num_levels).trunc()


def noise_canvases(canvases: Canvases, noise: Float[Tensor, "b c t h w"]) -> Float[Tensor, "b c t h w"]:
    """Every column at its own level."""
    return noised(canvases.clean, noise, column_levels(canvases.sigmas, canvases.clean))


def column_levels(sigmas: Float[Tensor, "b t"], like: Tensor) -> Float[Tensor, "b 1 t 1 1"]:
    """One value for each latent frame of each sample, shaped to broadcast over `b c t h w`."""
    return sigmas.to(like)[:, None, :, None, None]


def flow_matching_loss(
    predicted: Float[Tensor, "b c t h w"], canvases: Canvases, noise: Float[Tensor, "b c t h w"]
) -> Float[Tensor, ""]:
    """Mean squared error of the velocity in each scored column, summed over them.

    Known columns give no gradient, whatever is predicted for them. The caller divides by the number of
    scored columns in the whole batch, over all processes.
    """
    errors = (predicted - velocity(canvases.clean, noise)).square()
    if canvases.weights is not None:
        errors = errors * canvases.weights
    return torch.where(canvases.is_scored, errors.mean(dim=(1, 3, 4)), 0.0).sum()
