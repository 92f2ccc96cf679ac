"""Requests refuse what nobody could make; plans are tables."""

import importlib.util
import math
import subprocess
import sys
from fractions import Fraction

import numpy as np
import pytest

import khayal.tasks
from khayal.errors import InputError
from khayal.tasks import AnimateRequest, GenerateRequest, Media, animate, generate
from khayal.timeline import Timeline

WAN = Timeline(fps=Fraction(24), is_causal=True)
OWN = Timeline(fps=Fraction(12))


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"prompt": "  "}, "prompt is empty"),
        ({"prompt": "a" * 32_001}, "32,001 characters"),
        ({"negative": "a" * 32_001}, "negative prompt"),
        ({"seconds": -1}, "seconds cannot be -1"),
        ({"seconds": math.nan}, "seconds cannot be nan"),
        ({"seconds": math.inf}, "seconds cannot be inf"),
        ({"seconds": 1e9}, "seconds cannot be"),
        ({"seconds": 1, "num_frames": 5}, "Both seconds and num_frames"),
        ({"num_frames": 0}, "num_frames cannot be 0"),
        ({"fps": 0}, "fps cannot be 0"),
        ({"steps": 0}, "steps cannot be 0"),
        ({"guidance": -1}, "guidance cannot be -1"),
        ({"guidance": (4.0, math.nan)}, "guidance cannot be nan"),
        ({"guidance_interval": (0.8, 0.2)}, "guidance interval"),
        ({"size": (0, 64)}, "width cannot be 0"),
        ({"size": (64, 10**6)}, "height cannot be"),
        ({"seed": -1}, "seed cannot be -1"),
        ({"solver": "magic"}, "no solver “magic”"),
    ],
)
def test_bad_values_get_one_sentence(settings, said):
    with pytest.raises(InputError, match=said) as error:
        GenerateRequest(**{"prompt": "a ball", **settings})
    assert "\n" not in str(error.value)


@pytest.fixture(scope="module")
def unchecked():
    """khayal.tasks as users import it: the tests' own checker of types would speak first."""
    spec = importlib.util.spec_from_file_location("unchecked_tasks", khayal.tasks.__file__)
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"seconds": "4"}, "seconds must be a number, not '4'"),
        ({"steps": 2.5}, "steps must be a whole number, not 2.5"),
        ({"steps": True}, "steps must be a whole number"),
        ({"seed": 1.5}, "seed must be a whole number"),
        ({"num_frames": 81.0}, "num_frames must be a whole number"),
        ({"size": ()}, "size must be two numbers"),
        ({"size": "64x64"}, "size must be two numbers"),
        ({"size": (64.5, 64)}, "width must be a whole number"),
        ({"guidance_interval": 0.5}, "guidance_interval must be two numbers"),
        ({"prompt": None}, "prompt is no text"),
        ({"negative": 3}, "negative prompt is no text"),
    ],
)
def test_values_of_another_kind_get_one_sentence_too(settings, said, unchecked):
    with pytest.raises(InputError, match=said):
        unchecked.GenerateRequest(**{"prompt": "a ball", **settings})


def test_lists_are_as_good_as_tuples_and_numpy_as_good_as_python(unchecked):
    request = unchecked.GenerateRequest(
        prompt="a ball", size=[64, 32], guidance=[4.0, 3.0], steps=np.int64(3)
    )
    assert request.size == (64, 32)
    assert request.guidance == (4.0, 3.0)


def test_an_image_needs_no_prompt_but_a_way_to_fit():
    assert AnimateRequest(image="a.png").prompt == ""
    with pytest.raises(InputError, match="cannot be fitted by “stretch”"):
        AnimateRequest(image="a.png", fit="stretch")


def test_generate_falls_everywhere():
    plan = generate(GenerateRequest(prompt="a ball", seconds=1), WAN, 5)
    (columns,) = plan.canvases
    assert [column.num_frames for column in columns] == [1, 4, 4, 4, 4, 4, 4]
    assert [column.position for column in columns] == list(range(7))
    assert not any(column.is_known for column in columns)
    assert all(column.level == 1 and column.source is None for column in columns)


@pytest.mark.parametrize("timeline", [WAN, OWN])
def test_animate_knows_the_first_column_only(timeline):
    plan = animate(AnimateRequest(image="a.png", seconds=1), timeline, 5)
    (columns,) = plan.canvases
    first, *rest = columns
    assert first.is_known
    assert (first.level, first.num_frames, first.source) == (0.0, 1, Media(index=0))
    assert plan.media == ("a.png",)
    assert not any(column.is_known for column in rest)
    assert {column.num_frames for column in rest} == {4}


def test_a_number_of_frames_that_cannot_be_names_the_nearest():
    with pytest.raises(InputError, match=r"cannot make 80 frames: its clips have 4k\+1\. Ask for 81"):
        generate(GenerateRequest(prompt="a ball", num_frames=80), WAN, 5)
    with pytest.raises(InputError, match=r"its clips have 4k, or 1\. Ask for 8"):
        generate(GenerateRequest(prompt="a ball", num_frames=9), OWN, 5)


def test_tasks_import_without_torch():
    code = "import sys, khayal.tasks; sys.exit('torch' in sys.modules or 'numpy' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)
