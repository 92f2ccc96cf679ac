"""Still images: opened as they are meant to be seen, and fitted to a size."""

from __future__ import annotations

import io
import os
import warnings
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import UInt8

from khayal.errors import InputError

BACKDROP = 255
"""What is transparent is shown on white, in images and in videos."""

_FORMATS_HINT = "give a PNG, JPEG, WebP, AVIF, TIFF, BMP or GIF that other programs can open"


def open_image(path: str | Path) -> UInt8[np.ndarray, "h w 3"]:
    """An image as it is meant to be seen, in sRGB.

    Turned as its EXIF tag says, transparency over white, 16 bits reduced to 8, an embedded colour profile
    applied, the first frame of an animation.

    Raises:
        InputError: the file is missing, is not an image, is cut short, or has more than about 179 million
            pixels (Pillow's bound against decompression bombs).
    """
    from PIL import Image, ImageOps

    path = Path(path)
    if not os.path.isfile(path):  # False, where Path.is_file raises, for names that cannot be
        why = "it is a folder" if os.path.isdir(path) else "there is no such file"
        raise InputError(f"The image {path} cannot be opened", why=why, fix="give the path of an image file")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Pillow's remarks on large images and odd metadata
            with Image.open(path) as image:
                image.load()
                return _as_srgb(ImageOps.exif_transpose(image))
    except Image.UnidentifiedImageError as error:
        raise InputError(
            f"The image {path} cannot be opened", why="it is not an image that can be read", fix=_FORMATS_HINT
        ) from error
    except Image.DecompressionBombError as error:
        raise InputError(
            f"The image {path} is too large",
            why="it has more than 179 million pixels",
            fix="make it smaller first",
        ) from error
    except (OSError, ValueError, SyntaxError, EOFError, OverflowError) as error:
        raise InputError(
            f"The image {path} cannot be opened", why=str(error).rstrip("."), fix=_FORMATS_HINT
        ) from error


def as_pixels(given: Any, name: str = "The image") -> UInt8[np.ndarray, "h w 3"]:
    """An image that is in memory, as uint8 sRGB.

    A Pillow image is turned, composited and given its profile as `open_image` does. An array is uint8:
    `h w 3` as it is, `h w 4` over white, `h w` grey.

    Args:
        given: the image.
        name: what to call it in the sentence.

    Raises:
        InputError: it is something else, or empty.
    """
    from PIL import Image, ImageOps

    if isinstance(given, Image.Image):
        if 0 in given.size:
            raise InputError(f"{name} is empty", why=f"it has {given.width}×{given.height} pixels")
        try:
            return _as_srgb(ImageOps.exif_transpose(given))
        except (OSError, ValueError, SyntaxError, EOFError) as error:  # Pillow reads pixels when asked
            raise InputError(f"{name} cannot be read", why=str(error).rstrip(".")) from error
    if not isinstance(given, np.ndarray):
        raise InputError(
            f"{name} cannot be a {type(given).__name__}",
            fix="give the path of a file, a Pillow image, or a uint8 array of height × width × 3",
        )
    is_image = given.ndim == 2 or (given.ndim == 3 and given.shape[2] in (3, 4))
    if given.dtype != np.uint8 or not is_image or not given.size:
        raise InputError(
            f"{name} cannot be an array of shape {given.shape} and type {given.dtype}",
            fix="give uint8 values from 0 to 255, of height × width × 3",
        )
    if given.ndim == 2:
        return np.repeat(given[..., None], 3, axis=2)
    # a copy where it cannot be written: torch warns of such arrays
    return over_backdrop(given) if given.shape[2] == 4 else np.require(given, requirements=["C", "W"])


def fit_image(
    image: UInt8[np.ndarray, "h w 3"],
    size: tuple[int, int],
    *,
    mode: str = "crop",
    name: str = "The image",
) -> tuple[UInt8[np.ndarray, "H W 3"], str]:
    """An image at exactly `size`, resampled with an antialiased Lanczos filter.

    Args:
        image: the pixels.
        size: (width, height) that is wanted.
        mode: "crop" fills the size and loses what sticks out, equally on both sides; "pad" keeps the whole
            image, in the middle of black.
        name: what to call the image in the sentence.

    Returns:
        The fitted image, and a sentence that says what was done to it; "" where nothing had to be.

    Raises:
        InputError: the mode is none of the two.
    """
    if mode not in ("crop", "pad"):
        raise InputError(f"“{mode}” is no way to fit an image", fix="choose crop or pad")
    height, width = image.shape[:2]
    if (width, height) == size:
        return image, ""
    fitted, scale, is_whole = (_filled if mode == "crop" else _padded)(image, size)
    deeds = ["scaled"] if abs(scale - 1) > 1e-9 else []
    if not is_whole:
        deeds.append("cropped" if mode == "crop" else "padded")
    done = " and ".join(deeds or ["scaled"])
    return fitted, f"{name} {width}×{height} was {done} to {size[0]}×{size[1]}."


def _filled(image: np.ndarray, size: tuple[int, int]) -> tuple[np.ndarray, float, bool]:
    """The middle of the image filling `size`, its scale, and whether nothing was lost."""
    from PIL import Image

    height, width = image.shape[:2]
    scale = max(size[0] / width, size[1] / height)
    kept = size[0] / scale, size[1] / scale
    left, top = (width - kept[0]) / 2, (height - kept[1]) / 2
    box = (max(left, 0.0), max(top, 0.0), min(left + kept[0], width), min(top + kept[1], height))
    fitted = Image.fromarray(image).resize(size, Image.Resampling.LANCZOS, box=box)
    return np.array(fitted), scale, width - kept[0] < 0.5 and height - kept[1] < 0.5


def _padded(image: np.ndarray, size: tuple[int, int]) -> tuple[np.ndarray, float, bool]:
    """The whole image in the middle of black, its scale, and whether it needed no black."""
    from PIL import Image

    height, width = image.shape[:2]
    scale = min(size[0] / width, size[1] / height)
    inner = max(1, round(width * scale)), max(1, round(height * scale))
    fitted = Image.new("RGB", size)
    corner = (size[0] - inner[0]) // 2, (size[1] - inner[1]) // 2
    fitted.paste(Image.fromarray(image).resize(inner, Image.Resampling.LANCZOS), corner)
    return np.array(fitted), scale, inner == size


def grid(
    images: list[UInt8[np.ndarray, "_ _ 3"]], columns: int, *, gap: int = 4
) -> UInt8[np.ndarray, "h w 3"]:
    """Images of one size side by side, in rows of `columns`, on white."""
    height, width = images[0].shape[:2]
    rows = -(-len(images) // columns)
    columns = min(columns, len(images))
    shape = rows * (height + gap) + gap, columns * (width + gap) + gap, 3
    sheet = np.full(shape, BACKDROP, dtype=np.uint8)
    for index, image in enumerate(images):
        top, left = gap + index // columns * (height + gap), gap + index % columns * (width + gap)
        sheet[top : top + height, left : left + width] = image
    return sheet


def shrink(image: UInt8[np.ndarray, "h w 3"], width: int) -> UInt8[np.ndarray, "H W 3"]:
    """The image at most `width` pixels wide, its shape kept."""
    from PIL import Image

    if image.shape[1] <= width:
        return image
    height = max(1, round(image.shape[0] * width / image.shape[1]))
    return np.array(Image.fromarray(image).resize((width, height), Image.Resampling.LANCZOS))


def png_bytes(image: UInt8[np.ndarray, "h w 3"]) -> bytes:
    """The image as a png file."""
    from PIL import Image

    buffer = io.BytesIO()
    Image.fromarray(image).save(buffer, "PNG")
    return buffer.getvalue()


def over_backdrop(image: UInt8[np.ndarray, "h w 4"]) -> UInt8[np.ndarray, "h w 3"]:
    """Straight-alpha RGBA over `BACKDROP`."""
    alpha = image[..., 3:].astype(np.uint16)
    mixed = image[..., :3] * alpha + BACKDROP * (255 - alpha)
    return ((mixed + 127) // 255).astype(np.uint8)


def _as_srgb(image: Any) -> UInt8[np.ndarray, "h w 3"]:
    """A loaded Pillow image of any mode as 8-bit sRGB over the backdrop."""
    if image.mode in ("I", "F") or image.mode.startswith("I;16"):
        grey = np.asarray(image, dtype=np.float64)
        grey = grey / 257 if grey.max(initial=0) > 255 else grey
        return np.repeat(np.clip(grey + 0.5, 0, 255).astype(np.uint8)[..., None], 3, axis=2)
    if image.has_transparency_data:
        return over_backdrop(np.asarray(image.convert("RGBA")))
    return np.array(_profiled(image).convert("RGB"))


def _profiled(image: Any) -> Any:
    """The colours that an embedded profile means (phones store Display P3), in sRGB."""
    from PIL import ImageCms

    profile = image.info.get("icc_profile")
    if not profile or image.mode not in ("RGB", "CMYK", "L"):
        return image
    try:
        embedded = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        return ImageCms.profileToProfile(image, embedded, ImageCms.createProfile("sRGB"), outputMode="RGB")
    except (ImageCms.PyCMSError, OSError):  # a broken profile says nothing about the pixels
        return image
