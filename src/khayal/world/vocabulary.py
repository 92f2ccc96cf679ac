"""The closed lists of everything that a scene may hold, each with the dial level that admits it.

A *dial* of 1 is a small world (two kinds of actor, three motions); 5 is everything. Words for these names
live with the grammars (`english`, `arabic`); here are only the names that the truth uses.
"""

from __future__ import annotations

from dataclasses import dataclass

MAX_DIAL = 5


@dataclass(frozen=True, kw_only=True)
class Kind:
    """A kind of actor.

    Attributes:
        size: full extent in metres of a medium one: along its heading, across it, and up.
        motions: what it can do, besides standing still.
        level: the lowest dial setting that admits it.
        is_object: True where MuJoCo moves it; False where its motion is animated.
    """

    size: tuple[float, float, float]
    motions: tuple[str, ...]
    level: int
    is_object: bool = False


KINDS: dict[str, Kind] = {
    "ball": Kind(
        size=(0.9, 0.9, 0.9),
        motions=("bounce", "roll", "hit", "throw", "swing", "spin"),
        level=1,
        is_object=True,
    ),
    "cube": Kind(
        size=(0.85, 0.85, 0.85), motions=("slide", "fall", "hit", "swing", "spin"), level=1, is_object=True
    ),
    "cylinder": Kind(
        size=(0.75, 0.75, 0.95), motions=("roll", "slide", "fall", "spin"), level=2, is_object=True
    ),
    "cone": Kind(size=(0.95, 0.95, 1.1), motions=("slide", "fall", "spin"), level=2, is_object=True),
    "ring": Kind(size=(1.05, 0.3, 1.05), motions=("roll", "fall", "spin"), level=2, is_object=True),
    "tower": Kind(size=(0.6, 0.6, 1.8), motions=("topple",), level=4, is_object=True),
    "man": Kind(
        size=(0.5, 0.75, 1.75), motions=("walk", "run", "hop", "turn", "wave", "push", "circle"), level=3
    ),
    "woman": Kind(
        size=(0.5, 0.75, 1.65), motions=("walk", "run", "hop", "turn", "wave", "push", "circle"), level=3
    ),
    "dog": Kind(size=(1.45, 0.5, 1.1), motions=("walk", "run", "hop", "turn", "push", "circle"), level=3),
    "cat": Kind(size=(1.25, 0.42, 0.95), motions=("walk", "run", "hop", "turn", "circle"), level=3),
    "robot": Kind(size=(0.6, 0.95, 1.5), motions=("walk", "turn", "wave", "spin", "push", "circle"), level=3),
    "car": Kind(size=(1.9, 0.95, 0.95), motions=("drive", "circle"), level=3),
    "bird": Kind(size=(0.95, 1.5, 0.7), motions=("fly", "hop", "circle"), level=3),
    "rabbit": Kind(size=(0.8, 0.5, 1.15), motions=("hop", "turn"), level=4),
    "bus": Kind(size=(2.3, 0.95, 1.25), motions=("drive",), level=4),
    "plane": Kind(size=(1.8, 1.9, 0.65), motions=("fly", "circle"), level=4),
    "balloon": Kind(size=(0.8, 0.8, 1.5), motions=("float",), level=4),
    "snowman": Kind(size=(0.85, 1.0, 1.5), motions=("hop", "turn", "wave", "spin"), level=4),
    "tree": Kind(size=(1.3, 1.3, 2.0), motions=("sway",), level=4),
}

# Red, green, blue in [0, 1]: the paint before light falls on it.
COLOURS: dict[str, tuple[float, float, float]] = {
    "red": (0.86, 0.07, 0.07),
    "blue": (0.08, 0.22, 0.88),
    "green": (0.08, 0.58, 0.14),
    "yellow": (0.98, 0.84, 0.06),
    "orange": (0.98, 0.45, 0.03),
    "purple": (0.45, 0.10, 0.66),
    "white": (0.95, 0.95, 0.95),
    "black": (0.06, 0.06, 0.07),
    "pink": (0.98, 0.45, 0.66),
    "turquoise": (0.05, 0.78, 0.76),
    "brown": (0.42, 0.22, 0.09),
    "grey": (0.47, 0.47, 0.49),
}
COLOUR_LEVELS = dict.fromkeys(("red", "blue", "green", "yellow"), 1) | dict.fromkeys(
    ("orange", "purple", "white", "black", "pink", "turquoise", "brown", "grey"), 2
)

SIZES: dict[str, float] = {"small": 0.72, "medium": 1.0, "large": 1.35}
MATERIALS: dict[str, int] = {"plain": 1, "shiny": 3, "striped": 2, "spotted": 3, "wooden": 4}

# Settings and the lights that each can stand in; the first is the usual one.
SETTINGS: dict[str, tuple[str, ...]] = {
    "meadow": ("day", "morning", "sunset", "night"),
    "snow": ("day", "morning", "sunset", "night"),
    "room": ("day", "lamp"),
    "beach": ("day", "sunset", "morning"),
    "courtyard": ("day", "sunset", "night"),
    "desert": ("sunset", "day", "night"),
    "street": ("night", "day", "sunset"),
    "stage": ("spotlight",),
    "forest": ("morning", "day"),
    "playground": ("day", "sunset"),
}
SETTING_LEVELS = {"meadow": 1, "snow": 1, "room": 1, "beach": 2, "courtyard": 2} | dict.fromkeys(
    ("desert", "street", "stage", "forest", "playground"), 3
)
LIGHTS: dict[str, int] = {"day": 1, "morning": 3, "sunset": 2, "night": 3, "lamp": 3, "spotlight": 3}

MOTIONS: dict[str, int] = {
    "bounce": 1,
    "roll": 1,
    "slide": 1,
    "fall": 2,
    "spin": 2,
    "hit": 2,
    "walk": 3,
    "run": 3,
    "hop": 3,
    "fly": 3,
    "drive": 3,
    "turn": 3,
    "push": 3,
    "wave": 3,
    "throw": 4,
    "swing": 4,
    "topple": 4,
    "float": 4,
    "sway": 4,
    "circle": 4,
    "stand": 2,
}
TRAVELLING = ("roll", "slide", "walk", "run", "hop", "fly", "drive", "push", "throw", "hit", "float")
SPEEDS: dict[str, float] = {"slow": 0.62, "normal": 1.0, "fast": 1.55}
HAS_SPEED = ("roll", "slide", "walk", "hop", "fly", "drive", "spin", "circle", "float")
DIRECTIONS = ("left", "right", "toward", "away", "up", "down")

EVENTS: dict[str, int] = {"none": 1, "enter": 4, "leave": 4, "hide": 4}

CAMERA_MOVES: dict[str, int] = {
    "still": 1,
    "pan_left": 2,
    "pan_right": 2,
    "zoom_in": 2,
    "zoom_out": 2,
    "orbit_left": 3,
    "orbit_right": 3,
    "crane_up": 3,
    "crane_down": 3,
    "follow": 4,
}
FRAMINGS: dict[str, int] = {"front": 1, "wide": 4, "close": 4, "side": 4, "above": 4}

RELATIONS = ("left_of", "right_of", "in_front_of", "behind")

MAX_ACTORS = {1: 1, 2: 2, 3: 2, 4: 3, 5: 4}
MAX_SETUPS = {1: 1, 2: 1, 3: 1, 4: 3, 5: 4}


def admitted(levels: dict[str, int], dial: int) -> tuple[str, ...]:
    """Names in `levels` that a dial setting admits, in their order."""
    return tuple(name for name, level in levels.items() if level <= dial)


def kinds_at(dial: int) -> tuple[str, ...]:
    """Kinds of actor that a dial setting admits."""
    return tuple(name for name, kind in KINDS.items() if kind.level <= dial)


def motions_of(kind: str, dial: int) -> tuple[str, ...]:
    """What a kind can do at a dial setting, besides standing still."""
    return tuple(motion for motion in KINDS[kind].motions if MOTIONS[motion] <= dial)
