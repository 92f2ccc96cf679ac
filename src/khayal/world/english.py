"""How captions are said in English."""

from __future__ import annotations

import re

from khayal.world.grammar import Clause, Either, Language, Lexicon, Rule

COLOURS = Lexicon(
    {
        "red": ["red"],
        "blue": ["blue"],
        "green": ["green"],
        "yellow": ["yellow"],
        "orange": ["orange"],
        "purple": ["purple", "violet"],
        "white": ["white"],
        "black": ["black"],
        "pink": ["pink"],
        "turquoise": ["turquoise", "cyan", "teal"],
        "brown": ["brown"],
        "grey": ["grey", "gray"],
    }
)
SIZES = Lexicon({"small": ["small", "little", "tiny"], "large": ["large", "big", "huge"]})
MATERIALS = Lexicon(
    {
        "shiny": ["shiny", "glossy"],
        "striped": ["striped"],
        "spotted": ["spotted", "dotted"],
        "wooden": ["wooden"],
    }
)
KINDS = Lexicon(
    {
        "ball": ["ball", "sphere"],
        "cube": ["cube", "box"],
        "cylinder": ["cylinder"],
        "cone": ["cone"],
        "ring": ["ring", "hoop"],
        "dog": ["dog", "puppy"],
        "cat": ["cat", "kitten"],
        "rabbit": ["rabbit", "bunny"],
        "bird": ["bird"],
        "robot": ["robot"],
        "car": ["car", "automobile"],
        "bus": ["bus"],
        "plane": ["plane", "aeroplane", "airplane", "aircraft"],
        "balloon": ["balloon"],
    }
)
# Each verb as "he …" and as "he is …".
VERBS: dict[str, list[tuple[str, str]]] = {
    "bounce": [
        ("bounces", "bouncing"),
        ("drops and bounces", "dropping and bouncing"),
        ("bounces up and down", "bouncing up and down"),
        ("springs up and down", "springing up and down"),
        ("!drops and bounces up and down", "!dropping and bouncing up and down"),
    ],
    "roll": [
        ("rolls", "rolling"),
        ("rolls along the ground", "rolling along the ground"),
        ("rolls along", "rolling along"),
        ("trundles", "trundling"),
        ("!rolls over the ground", "!rolling over the ground"),
    ],
    "slide": [
        ("slides", "sliding"),
        ("glides", "gliding"),
        ("slips along the ground", "slipping along the ground"),
        ("skids", "skidding"),
        ("!slides along the ground", "!sliding along the ground"),
    ],
    "fall": [
        ("falls", "falling"),
        ("falls to the ground", "falling to the ground"),
        ("tumbles down", "tumbling down"),
        ("drops", "dropping"),
        ("falls to the floor", "falling to the floor"),
        ("!drops to the ground", "!dropping to the ground"),
    ],
    "throw": [
        ("is thrown through the air", "being thrown through the air"),
        ("is tossed through the air", "being tossed through the air"),
        ("flies in a wide arc", "flying in a wide arc"),
        ("is thrown", "being thrown"),
        ("sails through the air", "sailing through the air"),
        ("!is thrown in a wide arc", "!being thrown in a wide arc"),
    ],
    "swing": [
        ("swings on a rope", "swinging on a rope"),
        ("swings back and forth", "swinging back and forth"),
        ("swings like a pendulum", "swinging like a pendulum"),
        ("hangs on a rope and swings", "hanging on a rope and swinging"),
        ("!swings back and forth on a rope", "!swinging back and forth on a rope"),
    ],
    "topple": [
        ("topples over", "toppling over"),
        ("falls over", "falling over"),
        ("collapses", "collapsing"),
        ("comes tumbling down", "coming tumbling down"),
        ("falls apart", "falling apart"),
        ("!topples to the ground", "!toppling to the ground"),
    ],
    "walk": [
        ("walks", "walking"),
        ("strolls", "strolling"),
        ("walks along", "walking along"),
        ("!strolls along", "!strolling along"),
    ],
    "run": [
        ("runs", "running"),
        ("dashes", "dashing"),
        ("sprints", "sprinting"),
        ("races along", "racing along"),
        ("!runs along", "!running along"),
    ],
    "hop": [
        ("hops", "hopping"),
        ("jumps", "jumping"),
        ("leaps", "leaping"),
        ("hops along", "hopping along"),
        ("!jumps along", "!jumping along"),
    ],
    "fly": [
        ("flies", "flying"),
        ("soars", "soaring"),
        ("flies through the sky", "flying through the sky"),
        ("!soars through the sky", "!soaring through the sky"),
    ],
    "float": [
        ("floats", "floating"),
        ("drifts", "drifting"),
        ("floats in the air", "floating in the air"),
        ("hovers", "hovering"),
        ("!drifts in the air", "!drifting in the air"),
    ],
    "spin": [
        ("spins", "spinning"),
        ("spins around", "spinning around"),
        ("rotates", "rotating"),
        ("twirls", "twirling"),
        ("spins in place", "spinning in place"),
        ("!rotates in place", "!rotating in place"),
    ],
    "drive": [
        ("drives", "driving"),
        ("drives along", "driving along"),
        ("rides along", "riding along"),
        ("!drives along the ground", "!driving along the ground"),
    ],
    "turn": [
        ("turns around", "turning around"),
        ("turns round", "turning round"),
        ("faces about", "facing about"),
        ("!turns about", "!turning about"),
    ],
    "wave": [
        ("waves", "waving"),
        ("waves a hand", "waving a hand"),
        ("waves hello", "waving hello"),
        ("waves goodbye", "waving goodbye"),
        ("!waves hello with a hand", "!waving hello with a hand"),
    ],
    "circle": [
        ("goes round in a circle", "going round in a circle"),
        ("moves in a circle", "moving in a circle"),
        ("circles", "circling"),
        ("goes around in circles", "going around in circles"),
        ("!moves round in a circle", "!moving round in a circle"),
    ],
    "sway": [
        ("sways", "swaying"),
        ("sways in the wind", "swaying in the wind"),
        ("sways gently", "swaying gently"),
        ("sways in the breeze", "swaying in the breeze"),
        ("!sways gently in the wind", "!swaying gently in the wind"),
    ],
    "stand": [
        ("stays still", "staying still"),
        ("does not move", "staying put"),
        ("stays where it is", "staying in place"),
        ("rests", "resting"),
        ("stands still", "standing still"),
        ("stands", "standing"),
        ("sits", "sitting"),
        ("!sits still", "!sitting still"),
    ],
}
HITS = [
    ("hits", "hitting"),
    ("bumps into", "bumping into"),
    ("crashes into", "crashing into"),
    ("knocks into", "knocking into"),
    ("collides with", "colliding with"),
]
PUSHES = [("pushes", "pushing"), ("shoves", "shoving")]
DIRECTIONS = Lexicon(
    {
        "left": [
            "to the left",
            "towards the left",
            "leftwards",
            "left",
            "toward the left",
            "!to the left side",
        ],
        "right": [
            "to the right",
            "towards the right",
            "rightwards",
            "right",
            "toward the right",
            "!to the right side",
        ],
        "toward": [
            "towards the camera",
            "towards the viewer",
            "closer to us",
            "toward the camera",
            "!closer to the camera",
        ],
        "away": [
            "away from the camera",
            "into the distance",
            "away from the viewer",
            "away",
            "!away into the distance",
        ],
        "up": ["upwards", "up into the air", "up", "upward", "!up into the sky"],
        "down": ["downwards", "down towards the ground", "down", "downward", "!down to the ground"],
    }
)
ORIGINS = Lexicon({"right": ["the left", "the left side"], "left": ["the right", "the right side"]})
SPEEDS = Lexicon(
    {
        "slow": ["slowly", "at a slow pace", "very slowly", "!at slow speed"],
        "fast": ["quickly", "fast", "at high speed", "rapidly", "very fast", "!at a fast pace"],
    }
)
ADVERBS = Lexicon({"slow": ["slowly"], "fast": ["quickly", "swiftly"]})
SETTINGS = Lexicon(
    {
        "meadow": [
            "in a meadow",
            "on the grass",
            "in a green field",
            "on a lawn",
            "on grass",
            "in the grass",
            "on a meadow",
            "!on the grass of a meadow",
        ],
        "snow": [
            "in a snowy field",
            "on the snow",
            "in a field of snow",
            "on snow",
            "in the snow",
            "in a snowy landscape",
            "!on a snowy field",
        ],
        "room": [
            "in a room with a wooden floor",
            "on a wooden floor",
            "indoors",
            "in a room",
            "in the room",
            "inside a house",
            "on the floor",
            "!inside a house with a wooden floor",
        ],
        "beach": [
            "on a beach",
            "on a sandy beach",
            "by the sea",
            "on the seashore",
            "on the beach",
            "at the beach",
            "on the sand",
            "!on the sand by the sea",
        ],
        "courtyard": [
            "in a stone courtyard",
            "in a courtyard paved with stone",
            "in a courtyard",
            "in the courtyard",
            "on stone tiles",
            "!in the stone courtyard",
        ],
        "desert": [
            "in the desert",
            "among desert dunes",
            "on desert sand",
            "in a desert",
            "among sand dunes",
            "!on the sand of the desert",
        ],
        "street": [
            "on a city street",
            "in the street",
            "on a paved street in the city",
            "on the street",
            "on a street",
            "in the city",
            "on the road",
            "on a road",
            "!on a road in the city",
        ],
        "stage": [
            "on a stage",
            "on a theatre stage",
            "on a stage with red curtains",
            "on the stage",
            "in a theatre",
            "!on the stage of a theatre",
        ],
        "forest": [
            "in a forest",
            "in the woods",
            "among the trees of a forest",
            "in the forest",
            "among the trees",
            "!among the trees in the woods",
        ],
        "playground": [
            "in a playground",
            "on the tiles of a playground",
            "on a playground",
            "in the playground",
            "on the playground",
            "!on the tiles of the playground",
        ],
    }
)
LIGHTS = Lexicon(
    {
        "day": [
            "in daylight",
            "by day",
            "in broad daylight",
            "on a sunny day",
            "in the sunshine",
            "during the day",
            "!on a day of sunshine",
        ],
        "morning": [
            "in the morning",
            "in the morning light",
            "early in the morning",
            "at dawn",
            "at sunrise",
            "!early in the morning light",
        ],
        "sunset": [
            "at sunset",
            "in the light of the setting sun",
            "at dusk",
            "in the evening",
            "in the evening light",
            "!in the evening sun",
        ],
        "night": ["at night", "by night", "in the dark of night", "in the dark", "!during the night"],
        "lamp": [
            "by lamplight",
            "in warm lamplight",
            "in the light of a lamp",
            "under a lamp",
            "!in the warm light of a lamp",
        ],
        "spotlight": [
            "under a spotlight",
            "in the beam of a spotlight",
            "in a spotlight",
            "in the spotlight",
            "!in the light of a spotlight",
        ],
    }
)
RELATIONS = Lexicon(
    {
        "left_of": ["to the left of", "on the left of", "left of"],
        "right_of": ["to the right of", "on the right of", "right of"],
        "in_front_of": ["in front of"],
        "behind": ["behind", "at the back of"],
    }
)
MOVES = Lexicon(
    {
        "still": ["stays still", "does not move", "is fixed", "stands still", "!stays fixed"],
        "pan_left": ["pans left", "pans to the left", "turns to the left", "turns left", "!pans leftwards"],
        "pan_right": [
            "pans right",
            "pans to the right",
            "turns to the right",
            "turns right",
            "!pans rightwards",
        ],
        "orbit_left": [
            "orbits to the left",
            "circles around to the left",
            "orbits left",
            "!circles to the left",
        ],
        "orbit_right": [
            "orbits to the right",
            "circles around to the right",
            "orbits right",
            "!circles to the right",
        ],
        "zoom_in": ["zooms in", "moves closer", "pushes in", "comes closer", "moves in", "!zooms closer"],
        "zoom_out": ["zooms out", "moves back", "pulls back", "moves away", "!zooms back"],
        "crane_up": ["cranes up", "rises", "moves up", "goes up", "!rises up"],
        "crane_down": ["cranes down", "sinks", "moves down", "goes down", "!sinks down"],
    }
)
FRAMINGS = Lexicon(
    {
        "front": ["a view from the front", "a frontal shot"],
        "wide": ["a wide shot", "a long shot"],
        "close": ["a close-up", "a close shot"],
        "side": ["a view from the side", "a side view"],
        "above": ["a view from above", "a bird's-eye view", "a top-down shot"],
    }
)


def _noun_phrases(article: str) -> Rule:
    patterns: list[str | tuple[str, dict[str, str]]] = [
        f"{article} {size}{material}{{colour}} {{kind}}"
        for size in ("", "{size} ")
        for material in ("", "{material} ")
    ]
    dressed = {
        "man": "man [in a {colour} shirt|wearing a {colour} shirt|with a {colour} shirt]",
        "woman": "woman [in a {colour} dress|wearing a {colour} dress|with a {colour} dress]",
        "snowman": "snowman [with|in|wearing] a {colour} hat and scarf",
        "tree": "tree [with {colour} leaves|with {colour} foliage]",
        "tower": "[tower of {colour} blocks|stack of {colour} blocks|tower of three {colour} cubes]",
    }
    for kind, text in dressed.items():
        for size in ("", "{size} "):
            patterns.append((f"{article} {size}{text}", {"kind": kind}))
            if kind in ("tree", "tower"):
                patterns.append((f"{article} {size}{{colour}} {kind}", {"kind": kind}))
    return Rule(patterns, {"colour": COLOURS, "size": SIZES, "material": MATERIALS, "kind": KINDS})


A_THING, THE_THING = _noun_phrases("a"), _noun_phrases("the")


def _deed(form: int, come: str, move: str) -> Rule:
    """What is done: form 0 is "he …", form 1 "he is …"."""
    slots: dict[str, Lexicon | Rule] = {
        "motion": Lexicon({name: [pair[form] for pair in verbs] for name, verbs in VERBS.items()}),
        "motion:hit": Lexicon({"hit": [pair[form] for pair in HITS]}),
        "motion:push": Lexicon({"push": [pair[form] for pair in PUSHES]}),
        "direction": DIRECTIONS,
        "direction:from": ORIGINS,
        "speed": SPEEDS,
        "speed:adverb": ADVERBS,
        "target": Either(A_THING, THE_THING),
    }
    frame = "[the frame|view|the picture]"
    patterns: list[str | tuple[str, dict[str, str]]] = [
        "{motion}",
        "{motion} {direction}",
        "{motion} {speed}",
        "{speed:adverb} {motion}",
        "{motion} {direction} {speed}",
        "{motion} {speed} {direction}",
        "{speed:adverb} {motion} {direction}",
        "{motion:hit} {target}",
        f"{move} {{direction}} and {{motion:hit}} {{target}}",
        "{motion:push} {target}",
        "{motion:push} {target} {direction}",
    ]
    for speed in ("", "{speed} "):
        patterns += [
            (f"{{motion}} {speed}into {frame} from {{direction:from}}", {"event": "enter"}),
            (f"{{motion}} {speed}out of {frame} {{direction}}", {"event": "leave"}),
            (f"{{motion}} {speed}into {frame}", {"event": "enter"}),
            (f"{{motion}} {speed}out of {frame}", {"event": "leave"}),
        ]
        for direction in ("", "{direction} "):
            hidden = f"{{motion}} {speed}{direction}behind {{target}} and {come} out on the other side"
            patterns.append((hidden, {"event": "hide"}))
    return Rule(patterns, slots)


def _deeds(form: int, come: str, move: str) -> Rule:
    deed = _deed(form, come, move)
    return Rule(
        [
            "{d1}",
            "{d1}, then {d2}",
            "{d1} and then {d2}",
            "first {d1}, then {d2}",
            "{d1}, then {d2}, and finally {d3}",
            "{d1}, then {d2}, and then {d3}",
        ],
        {"d1": deed, "d2": deed, "d3": deed},
    )


FINITE = Clause(A_THING, _deeds(0, "comes", "moves"), {})
PROGRESSIVE = Clause(A_THING, _deeds(1, "coming", "moving"), {}, join=" is ")
FRAGMENT = Clause(A_THING, _deeds(1, "coming", "moving"), {})
DEFINITE = Clause(THE_THING, _deeds(0, "comes", "moves"), {})
CLAUSE = Either(FINITE, PROGRESSIVE, DEFINITE)
CLAUSES = Rule(
    [
        "{c1}",
        "{c1} while {c2}",
        "{c1}, while {c2}",
        "{c1} as {c2}",
        "{c1}, and {c2}",
        "{c1}, {c2}, and {c3}",
        "{c1}; {c2}; {c3}",
        "{c1}, {c2}, {c3}, and {c4}",
        "{c1}; {c2}; {c3}; {c4}",
    ],
    {f"c{k}": CLAUSE for k in range(1, 5)},
)
PLACE = Rule(
    ["{setting}", "{setting} {light}", "{light} {setting}", "{setting}, {light}"],
    {"setting": SETTINGS, "light": LIGHTS},
)

_VIEW = Rule(
    [
        "{framing}",
        "{framing} in which the camera {move}",
        ("[a close-up of|a close shot of] {subject}", {"framing": "close"}),
        ("[a close-up of|a close shot of] {subject} in which the camera {move}", {"framing": "close"}),
    ],
    {"framing": FRAMINGS, "move": MOVES, "subject": THE_THING},
)

ENGLISH_SENTENCES = {
    "main": Rule(
        [
            "{clauses}",
            "{clauses} {place}",
            "{place}, {clauses}",
            "{clauses:fragment} {place}",
            "{clauses:fragment}",
            "[we see|there is] {clauses:fragment} {place}",
            "[we see|there is] {clauses:fragment}",
            "see how {clauses} {place}",
            "!{place} we see how {clauses}",
            "!{place} there is {clauses:fragment}",
        ],
        {"clauses": CLAUSES, "clauses:fragment": Rule(["{c1}"], {"c1": FRAGMENT}), "place": PLACE},
    ),
    "place": Rule(
        ["[the scene is set|it all happens|we are|it takes place] {place}", "!this all takes place {place}"],
        {"place": PLACE},
    ),
    "relation": Rule(
        ["{actor} is {name} {other}"], {"actor": THE_THING, "name": RELATIONS, "other": THE_THING}
    ),
    "view": Rule(
        [
            "the camera {move}",
            "[it is|this is] {framing}, and the camera {move}",
            "[seen in|shown in] {framing}; the camera {move}",
            ("the camera follows {subject}", {"move": "follow"}),
            ("the camera tracks {subject}", {"move": "follow"}),
            ("[it is|this is] a close-up of {subject}, and the camera {move}", {"framing": "close"}),
        ],
        {"framing": FRAMINGS, "move": MOVES, "subject": THE_THING},
    ),
    "views": Rule(
        [
            "the clip [opens with|begins with] {v1} and cuts to {v2}",
            "first {v1}, then {v2}",
            "the clip [opens with|begins with] {v1}, cuts to {v2}, then to {v3}",
            "the clip [opens with|begins with] {v1}, cuts to {v2}, then to {v3}, and then to {v4}",
        ],
        {f"v{k}": _VIEW for k in range(1, 5)},
    ),
}


def _finish(text: str) -> str:
    text = re.sub(r"\ba (?=[aeiou])", "an ", text)
    return re.sub(r"(^|\. )([a-z])", lambda m: m.group(1) + m.group(2).upper(), text)


def _unfinish(text: str) -> str:
    return re.sub(r"\ban (?=[aeiou])", "a ", text.lower())


ENGLISH = Language(name="en", sentences=ENGLISH_SENTENCES, finish=_finish, unfinish=_unfinish)
