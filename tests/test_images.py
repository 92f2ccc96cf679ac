"""Images are opened as they are meant to be seen, and fitted without surprises."""

import numpy as np
import pytest
import torch
from PIL import Image, ImageCms

from khayal.errors import InputError
from khayal.images import as_pixels, fit_image, open_image


def quadrants(width=8, height=6):
    """Red, green, blue and grey corners."""
    image = np.zeros((height, width, 3), np.uint8)
    top, left = height // 2, width // 2
    image[:top, :left], image[:top, left:] = (200, 0, 0), (0, 200, 0)
    image[top:, :left], image[top:, left:] = (0, 0, 200), (120, 120, 120)
    return image


@pytest.mark.parametrize("suffix", ["png", "bmp", "tiff", "webp"])
def test_formats(tmp_path, suffix):
    path = tmp_path / f"x.{suffix}"
    options = {"lossless": True} if suffix == "webp" else {}
    Image.fromarray(quadrants()).save(path, **options)
    assert np.array_equal(open_image(path), quadrants())


@pytest.mark.parametrize(("orientation", "turns"), [(1, 0), (6, -1), (3, 2), (8, 1)])
def test_a_photo_is_turned_as_its_camera_was(tmp_path, orientation, turns):
    exif = Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(quadrants()).save(tmp_path / "x.png", exif=exif)
    assert np.array_equal(open_image(tmp_path / "x.png"), np.rot90(quadrants(), turns))


def test_transparency_is_white(tmp_path):
    image = np.zeros((4, 4, 4), np.uint8)
    image[:, 2:] = (10, 20, 30, 255)
    image[0, 0] = (100, 100, 100, 127)
    Image.fromarray(image).save(tmp_path / "x.png")
    opened = open_image(tmp_path / "x.png")
    assert opened[3, 0].tolist() == [255, 255, 255]
    assert opened[3, 3].tolist() == [10, 20, 30]
    assert opened[0, 0].tolist() == [178, 178, 178]
    palette = Image.fromarray(quadrants()).quantize(8)
    palette.save(tmp_path / "p.png", transparency=palette.getpixel((0, 0)))
    assert open_image(tmp_path / "p.png")[0, 0].tolist() == [255, 255, 255]


def test_grey_of_16_bits_and_cmyk(tmp_path):
    grey = (np.arange(16, dtype=np.uint16) * 4369).reshape(4, 4)
    Image.fromarray(grey).save(tmp_path / "x.png")
    assert open_image(tmp_path / "x.png")[..., 0].tolist() == (grey // 257).tolist()
    Image.fromarray(quadrants()).convert("CMYK").save(tmp_path / "x.tiff")
    assert np.abs(open_image(tmp_path / "x.tiff").astype(int) - quadrants()).max() <= 2


def test_an_embedded_profile_is_applied(tmp_path):
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    Image.fromarray(quadrants()).save(tmp_path / "x.png", icc_profile=profile)
    assert np.abs(open_image(tmp_path / "x.png").astype(int) - quadrants()).max() <= 1
    Image.fromarray(quadrants()).save(tmp_path / "broken.png", icc_profile=b"not a profile")
    assert np.array_equal(open_image(tmp_path / "broken.png"), quadrants())


def test_the_first_frame_of_an_animation(tmp_path):
    still = Image.new("RGB", (6, 6), (200, 0, 0))
    still.save(tmp_path / "x.gif", save_all=True, append_images=[Image.new("RGB", (6, 6), (0, 200, 0))])
    assert open_image(tmp_path / "x.gif")[0, 0].tolist() == [200, 0, 0]


def test_what_cannot_be_opened_is_said_in_a_sentence(tmp_path, monkeypatch):
    whole = tmp_path / "whole.png"
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (64, 64, 3), dtype=np.uint8)).save(whole)
    (tmp_path / "cut.png").write_bytes(whole.read_bytes()[:2000])
    (tmp_path / "words.jpg").write_text("not an image")
    (tmp_path / "empty.jpg").write_bytes(b"")
    for name, message in [
        ("missing.jpg", "there is no such file"),
        ("x" * 300, "there is no such file"),
        (".", "it is a folder"),
        ("cut.png", "truncated"),
        ("words.jpg", "not an image that can be read"),
        ("empty.jpg", "not an image that can be read"),
    ]:
        with pytest.raises(InputError, match=message):
            open_image(tmp_path / name)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 1000)
    with pytest.raises(InputError, match=r"too large.*179 million"):
        open_image(whole)
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 3000)  # above the bound of the warning, below the error
    assert open_image(whole).shape == (64, 64, 3)


def test_images_in_memory():
    image = quadrants()
    assert np.array_equal(as_pixels(image), image)
    assert as_pixels(image[:, ::-1]).flags.c_contiguous
    alpha = np.dstack([image, np.zeros(image.shape[:2], np.uint8)])
    assert (as_pixels(alpha) == 255).all()
    grey = as_pixels(image[..., 0])
    assert grey.shape == image.shape
    assert np.array_equal(grey[..., 2], image[..., 0])
    assert np.array_equal(as_pixels(Image.fromarray(image)), image)
    assert (as_pixels(Image.fromarray(alpha)) == 255).all()
    exif = Image.Exif()
    exif[0x0112] = 3
    turned = Image.fromarray(image)
    turned.info["exif"] = exif.tobytes()
    assert np.array_equal(as_pixels(turned), np.rot90(image, 2))


def test_an_array_that_cannot_be_written_is_copied_so_that_torch_does_not_warn():
    image = quadrants()
    image.flags.writeable = False
    pixels = as_pixels(image)
    assert np.array_equal(torch.from_numpy(pixels).numpy(), image)
    rgba = np.asarray(Image.new("RGBA", (4, 4)))
    for given in (rgba, rgba[..., 0], Image.new("RGBA", (4, 4)), Image.new("I;16", (4, 4))):
        torch.from_numpy(as_pixels(given))


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        (None, "The image cannot be a NoneType. Give the path"),
        ([[1, 2, 3]], "cannot be a list"),
        (np.zeros((4, 4, 3)), r"shape \(4, 4, 3\) and type float64. Give uint8"),
        (np.zeros((4, 4, 3), np.uint16), "type uint16"),
        (np.zeros((4, 4, 2), np.uint8), r"shape \(4, 4, 2\)"),
        (np.zeros((1, 4, 4, 3), np.uint8), r"shape \(1, 4, 4, 3\)"),
        (np.zeros((0, 4, 3), np.uint8), r"shape \(0, 4, 3\)"),
        (Image.new("RGB", (0, 4)), "The image is empty"),
    ],
)
def test_what_is_no_image_is_refused_in_a_sentence(given, sentence):
    with pytest.raises(InputError, match=sentence):
        as_pixels(given)


def test_fitting_says_what_it_did():
    image = quadrants(80, 60)
    same, said = fit_image(image, (80, 60))
    assert same is image
    assert said == ""
    for size, mode, deeds in [
        ((40, 30), "crop", "scaled"),
        ((60, 60), "crop", "cropped"),
        ((32, 32), "crop", "scaled and cropped"),
        ((100, 60), "pad", "padded"),
        ((64, 64), "pad", "scaled and padded"),
        ((160, 120), "pad", "scaled"),
        ((1, 1), "crop", "scaled and cropped"),
        ((4, 600), "pad", "scaled and padded"),
    ]:
        fitted, said = fit_image(image, size, mode=mode, name="photo.jpg")
        assert fitted.shape == (size[1], size[0], 3)
        assert said == f"photo.jpg 80×60 was {deeds} to {size[0]}×{size[1]}."
    with pytest.raises(InputError, match="“stretch”"):
        fit_image(image, (8, 8), mode="stretch")


def test_cropping_keeps_the_middle_and_padding_keeps_all():
    image = quadrants(80, 60)
    cropped, _ = fit_image(image, (60, 60))
    assert np.array_equal(cropped, image[:, 10:70])
    padded, _ = fit_image(image, (100, 60), mode="pad")
    assert np.array_equal(padded[:, 10:90], image)
    assert not padded[:, :10].any()
    assert not padded[:, 90:].any()


def test_shrinking_does_not_alias():
    stripes = np.zeros((64, 64, 3), np.uint8)
    stripes[:, ::2] = 255
    shrunk, _ = fit_image(stripes, (16, 16))
    assert np.abs(shrunk.astype(int) - 128).max() < 12
