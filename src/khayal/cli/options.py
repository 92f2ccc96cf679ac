"""Options that several commands share, and how their values are read."""

from __future__ import annotations

import re
import sys
from collections.abc import Callable
from fractions import Fraction
from typing import Any

import click

from khayal.errors import InputError
from khayal.tasks import SOLVERS


class Size(click.ParamType):
    """WIDTHxHEIGHT in pixels; × and * do as well."""

    name = "WxH"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[int, int]:
        if isinstance(value, tuple):
            return value  # click may ask twice
        match = re.fullmatch(r"\s*(\d{1,9})\s*[xX×*]\s*(\d{1,9})\s*", value)
        if match is None:
            raise InputError(f"“{value}” is not a size", fix="write width x height in pixels: 1280x704")
        return int(match[1]), int(match[2])


class Rate(click.ParamType):
    """Frames per second: 24, 23.976 or 24000/1001."""

    name = "F"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        try:
            return float(Fraction(value)) if "/" in str(value) else float(value)
        except (ValueError, ZeroDivisionError, OverflowError):
            raise InputError(
                f"“{value}” is not a frame rate", fix="write a number: 24, or 24000/1001"
            ) from None


class Scales(click.ParamType):
    """One guidance scale, or one for each expert: 5, or 4,3."""

    name = "G"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> float | tuple[float, ...]:
        try:
            scales = tuple(float(scale) for scale in str(value).split(","))
        except ValueError:
            raise InputError(f"“{value}” is not a guidance scale", fix="write a number, such as 5") from None
        return scales[0] if len(scales) == 1 else scales


_MODEL = click.option(
    "--model",
    "-m",
    metavar="M",
    envvar="KHAYAL_MODEL",
    show_envvar=True,
    show_default="the one that khayal comes with",
    help="A checkpoint folder or a hub id; see khayal models.",
)

_FROM_MODEL = "the model's"

_SHAPE = (
    click.option(
        "--size",
        type=Size(),
        metavar="WxH",
        show_default=_FROM_MODEL,
        help="Width and height in pixels, such as 1280x704.",
    ),
    click.option(
        "--fps",
        type=Rate(),
        metavar="F",
        show_default=_FROM_MODEL,
        help="Frames per second; other than the model's are resampled.",
    ),
)

_SAMPLING = (
    click.option(
        "--seed", type=int, metavar="N", help="The same seed makes the same video; drawn if not given."
    ),
    click.option(
        "--steps",
        type=int,
        metavar="N",
        show_default=_FROM_MODEL,
        help="Denoising steps: more are finer and slower.",
    ),
    click.option(
        "--guidance",
        type=Scales(),
        metavar="G",
        show_default=_FROM_MODEL,
        help="How strongly the prompt is followed; 1 is fastest. Two experts may take two: 4,3.",
    ),
    click.option("--negative", metavar="TEXT", help="What to keep away from."),
    click.option(
        "--solver",
        type=click.Choice(SOLVERS),
        show_default=_FROM_MODEL,
        help="How the steps are made.",
    ),
    click.option(
        "--variations",
        type=click.IntRange(1, 1000),
        default=1,
        show_default=True,
        metavar="N",
        help="Make N videos, with seeds that follow one another.",
    ),
)

_MACHINE = (
    click.option(
        "--device", default="auto", show_default=True, metavar="D", help="auto, cpu, cuda, cuda:1, mps."
    ),
    click.option("--dtype", default="auto", show_default=True, metavar="T", help="auto, float32, bfloat16."),
    click.option(
        "--memory",
        type=click.Choice(["auto", "high", "low"]),
        default="auto",
        show_default=True,
        help="low needs least memory and is slower; auto picks by an estimate.",
    ),
)

_RESULT = (
    click.option(
        "--out",
        "-o",
        metavar="FILE",
        help="mp4, webm, gif, png by extension, or a folder/ of pngs. By default a new file here, named "
        "after the prompt and the seed.",
    ),
    click.option(
        "--resume",
        is_flag=True,
        help="Keep every finished window beside --out until the video is complete; after an interruption the "
        "same command goes on from there.",
    ),
    click.option(
        "--report",
        metavar="DIR",
        help="Write a page with the noise table of each canvas, a contact sheet and the timings.",
    ),
    click.option("--json", "as_json", is_flag=True, help="Print the result as one JSON object."),
)

_ENHANCE = click.option(
    "--enhance",
    metavar="URL",
    is_flag=False,
    flag_value="",
    envvar="KHAYAL_ENHANCE",
    help="Expand the prompt first: by an OpenAI-compatible chat endpoint, such as http://localhost:8080/v1 "
    "(its key from KHAYAL_ENHANCE_KEY, its model from KHAYAL_ENHANCE_MODEL), or without URL by khayal's own "
    "grammar, for khayal's own model.",
)

TOTAL = "Total length; 0 makes one image."

fit_option = click.option(
    "--fit",
    type=click.Choice(["crop", "pad"]),
    default="crop",
    show_default=True,
    help="Pictures of another shape are cropped, or padded with black.",
)


def making_options(
    seconds: str | None = TOTAL, *, default: str = _FROM_MODEL
) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """The options of a command that makes a video, in the order in which help shows them.

    Args:
        seconds: what `--seconds` means to it, or None where it has none.
        default: what it is when nobody says.
    """
    length = click.option("--seconds", "-s", type=float, metavar="S", show_default=default, help=seconds)
    first = (_MODEL,) if seconds is None else (_MODEL, length)

    def decorate(command: Callable[..., Any]) -> Callable[..., Any]:
        for option in reversed((*first, *_SHAPE, *_SAMPLING, _ENHANCE, *_MACHINE, *_RESULT)):
            command = option(command)
        return command

    return decorate


class Span(click.ParamType):
    """START-END in seconds."""

    name = "A-B"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[float, float]:
        match = re.fullmatch(rf"\s*{_NUMBER}\s*(?:-|–|\.\.)\s*{_NUMBER}\s*s?\s*", str(value))
        if match is None:
            raise InputError(f"“{value}” is not a span", fix="write its start and end in seconds: 1.0-2.5")
        return float(match[1]), float(match[2])


class Keyframe(click.ParamType):
    """SECOND=IMAGE."""

    name = "S=IMAGE"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[float, str]:
        match = re.fullmatch(rf"\s*{_NUMBER}\s*s?\s*=(.+)", str(value), re.DOTALL)
        if match is None:
            raise InputError(
                f"“{value}” is not a keyframe", fix="write its second and its image: 2.5=photo.jpg"
            )
        return float(match[1]), match[2]


class Strength(click.ParamType):
    """A word, or a number up to 1."""

    name = "HOW"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> str | float:
        try:
            return float(value)
        except ValueError:
            return str(value)


_NUMBER = r"(\d{1,9}(?:\.\d*)?|\.\d+)"


def prompt_of(words: tuple[str, ...]) -> str:
    """The words of the command line as one prompt; a single “-” reads it from stdin.

    Raises:
        InputError: the bytes are no text.
    """
    try:
        prompt = sys.stdin.read() if words == ("-",) else " ".join(words)
        prompt.encode()  # bytes that are no text arrive as lone surrogates
    except UnicodeError:
        raise InputError("The prompt is not text", why="it is not valid UTF-8") from None
    return prompt.strip()
