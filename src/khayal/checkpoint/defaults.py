"""What a checkpoint does when it is not told otherwise: khayal.json, or what its authors published."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

from khayal.checkpoint.configs import parse_config
from khayal.errors import CheckpointError
from khayal.model.transformer import TransformerConfig
from khayal.timeline import nearest_size


@dataclass(frozen=True, kw_only=True)
class Defaults:
    """Length, size and sampling where the user gives none. Kept in a folder's `khayal.json`.

    Attributes:
        fps: pixel frames per second, a whole number or a fraction as text ("30000/1001").
        size: (width, height) in pixels.
        guidance: one scale for each expert, the one for high noise first.
        history_guidance_from: the lowest noise level at which guidance leads away, too, from what would be
            there without the given frames (see `khayal.sample.guidance.Guidance`); only for a model that
            was trained on levels of their own for each latent frame. None: never.
        window_guidance: the scale where a window only goes on from another one with the same prompt, so that
            its beginning tells more than the prompt does; 1 takes one model call. None: as elsewhere.
        text_length: tokens of a prompt that the transformer reads.
        words: every word that a model of a small world was taught, as its tokenizer writes them; empty
            where it may know any.
        dials: how much of khayal's world it was taught (see `khayal.world.Request`), a digit for each dial.
        trained_sizes: where it can make others, but none as well: the sizes that it was trained at.
    """

    fps: Fraction
    seconds: float
    size: tuple[int, int]
    steps: int
    guidance: tuple[float, ...]
    history_guidance_from: float | None = None
    window_guidance: float | None = None
    text_length: int = 512
    words: tuple[str, ...] = ()
    dials: str = ""
    trained_sizes: tuple[tuple[int, int], ...] = ()

    def to_json(self) -> dict[str, Any]:
        """The keys of `khayal.json`."""
        return {
            "fps": str(self.fps),
            "seconds": self.seconds,
            "size": list(self.size),
            "steps": self.steps,
            "guidance": list(self.guidance),
            **{
                key: getattr(self, key)
                for key in ("history_guidance_from", "window_guidance")
                if getattr(self, key) is not None
            },
            "text_length": self.text_length,
            **({"words": list(self.words)} if self.words else {}),
            **({"dials": self.dials} if self.dials else {}),
            **({"trained_sizes": [list(size) for size in self.trained_sizes]} if self.trained_sizes else {}),
        }


@dataclass(frozen=True, kw_only=True)
class _DefaultsFile:
    fps: int | str | None = None
    seconds: float | None = None
    size: tuple[int, int] | None = None
    steps: int | None = None
    guidance: tuple[float, ...] | None = None
    history_guidance_from: float | None = None
    window_guidance: float | None = None
    text_length: int | None = None
    words: tuple[str, ...] | None = None
    dials: str | None = None
    trained_sizes: tuple[tuple[int, int], ...] | None = None


# (heads, layers, latent channels, experts) → the published defaults, from the sample_* values of the
# configs in the Wan 2.1 and 2.2 repositories and the examples in the model cards of the diffusers folders.
_PUBLISHED: Mapping[tuple[int, int, int, int], Defaults] = {
    (24, 30, 48, 1): Defaults(fps=Fraction(24), seconds=5.0, size=(1280, 704), steps=50, guidance=(5.0,)),
    (12, 30, 16, 1): Defaults(fps=Fraction(16), seconds=5.0, size=(832, 480), steps=50, guidance=(5.0,)),
    (40, 40, 16, 1): Defaults(fps=Fraction(16), seconds=5.0, size=(1280, 720), steps=50, guidance=(5.0,)),
    (40, 40, 16, 2): Defaults(fps=Fraction(16), seconds=5.0, size=(1280, 720), steps=40, guidance=(4.0, 3.0)),
}
_SMALL_WIDTH = 1024  # transformers narrower than this are for experiments, and get small, short clips


def published_defaults(
    transformer: TransformerConfig, *, num_experts: int, size_multiple: int, has_level_per_frame: bool
) -> Defaults:
    """The defaults of a Wan architecture, or sane ones for an architecture that nobody published."""
    shape = (transformer.num_attention_heads, transformer.num_layers, transformer.in_channels, num_experts)
    if shape in _PUBLISHED and transformer.attention_head_dim == 128:
        return _PUBLISHED[shape]
    is_small = transformer.width < _SMALL_WIDTH
    return Defaults(
        fps=Fraction(24 if has_level_per_frame else 16),
        seconds=1.0 if is_small else 5.0,
        size=nearest_size((256, 144) if is_small else (832, 480), size_multiple),
        steps=20 if is_small else 50,
        guidance=(5.0,) * num_experts,
    )


def parse_defaults(data: Mapping[str, Any], *, where: Path, otherwise: Defaults) -> Defaults:
    """The defaults in a `khayal.json`; what it leaves out is taken from `otherwise`.

    Raises:
        CheckpointError: for an unknown key, or a value that makes no sense.
    """
    given = {
        key: value
        for key, value in vars(parse_config(_DefaultsFile, data, where=where)).items()
        if value is not None
    }
    if "fps" in given:
        try:
            given["fps"] = Fraction(given["fps"])
        except (ValueError, ZeroDivisionError) as error:
            raise CheckpointError(
                f"In {where}, “fps” is “{given['fps']}”", why="that is no number"
            ) from error
    defaults = Defaults(**{**vars(otherwise), **given})
    for key in ("fps", "seconds", "steps", "text_length"):
        if getattr(defaults, key) <= 0:
            raise CheckpointError(
                f"In {where}, “{key}” is {getattr(defaults, key)}", why="it must be positive"
            )
    level = defaults.history_guidance_from
    if level is not None and not 0 <= level <= 1:
        raise CheckpointError(
            f"In {where}, “history_guidance_from” is {level}", why="noise levels lie between 0 and 1"
        )
    scale = defaults.window_guidance
    if scale is not None and not 0 <= scale < float("inf"):
        raise CheckpointError(
            f"In {where}, “window_guidance” is {scale}", why="a scale of guidance is a number from 0 up"
        )
    for key, sizes in (("size", (defaults.size,)), ("trained_sizes", defaults.trained_sizes)):
        for size in sizes:
            if min(size) <= 0:
                raise CheckpointError(f"In {where}, “{key}” has {list(size)}", why="both must be positive")
    if len(defaults.guidance) != len(otherwise.guidance):
        raise CheckpointError(
            f"In {where}, “guidance” has {len(defaults.guidance)} values",
            why=f"the checkpoint has {len(otherwise.guidance)} expert(s), and each has its own",
        )
    return defaults
