"""How captions are said in Arabic: gender agrees, nouns are definite or not, the verb may come first."""

from __future__ import annotations

from collections.abc import Mapping

from khayal.world.grammar import Clause, Language, Lexicon, Rule, Sequel

Patterns = list[str | tuple[str, dict[str, str]]]
Forms = tuple[str, ...]
"""Of an adjective: masculine, feminine, and masculine accusative (with tanwin where the word takes one)."""

_COLOURS: dict[str, list[Forms]] = {
    "red": [("أحمر", "حمراء", "أحمر")],
    "blue": [("أزرق", "زرقاء", "أزرق")],
    "green": [("أخضر", "خضراء", "أخضر")],
    "yellow": [("أصفر", "صفراء", "أصفر")],
    "orange": [("برتقالي", "برتقالية", "برتقاليًا")],
    "purple": [("بنفسجي", "بنفسجية", "بنفسجيًا"), ("أرجواني", "أرجوانية", "أرجوانيًا")],
    "white": [("أبيض", "بيضاء", "أبيض")],
    "black": [("أسود", "سوداء", "أسود")],
    "pink": [("وردي", "وردية", "ورديًا"), ("زهري", "زهرية", "زهريًا")],
    "turquoise": [("فيروزي", "فيروزية", "فيروزيًا"), ("تركوازي", "تركوازية", "تركوازيًا")],
    "brown": [("بني", "بنية", "بنيًا")],
    "grey": [("رمادي", "رمادية", "رماديًا"), ("رصاصي", "رصاصية", "رصاصيًا")],
}
_SIZES: dict[str, list[Forms]] = {"small": [("صغير", "صغيرة")], "large": [("كبير", "كبيرة")]}
_MATERIALS: dict[str, list[Forms]] = {
    "shiny": [("لامع", "لامعة")],
    "striped": [("مخطط", "مخططة")],
    "spotted": [("منقط", "منقطة")],
    "wooden": [("خشبي", "خشبية")],
}
_MASCULINE = {
    "cube": ["مكعب", "صندوق"],
    "cylinder": [],
    "cone": ["مخروط"],
    "dog": ["كلب"],
    "rabbit": ["أرنب"],
    "bird": ["عصفور", "طائر"],
    "robot": ["روبوت"],
    "balloon": ["بالون"],
}
_FEMININE = {
    "ball": ["كرة"],
    "cylinder": ["أسطوانة"],
    "ring": ["حلقة"],
    "cat": ["قطة", "هرة"],
    "car": ["سيارة"],
    "bus": ["حافلة"],
    "plane": ["طائرة"],
}
GENDERS = (
    {kind: "m" for kind, words in _MASCULINE.items() if words}
    | dict.fromkeys(_FEMININE, "f")
    | {"man": "m", "snowman": "m", "tower": "m", "woman": "f", "tree": "f"}
)


def _the(word: str) -> str:
    held = "!" if word.startswith("!") else ""
    return f"{held}ال{word.lstrip('!')}"


def _adjectives(table: Mapping[str, list[Forms]], column: int, *, is_definite: bool = False) -> Lexicon:
    return Lexicon(
        {
            name: [_the(forms[column]) if is_definite else forms[column] for forms in words]
            for name, words in table.items()
        }
    )


def _nouns(table: dict[str, list[str]], *, is_definite: bool) -> Lexicon:
    return Lexicon({k: [_the(w) if is_definite else w for w in words] for k, words in table.items() if words})


def _plain_patterns(gender: str) -> Patterns:
    noun, colour, size, material = (f"{{{name}:{gender}}}" for name in ("kind", "colour", "size", "material"))
    return [
        f"{noun} {colour}",
        f"{noun} {size} {colour}",
        f"{noun} {colour} {size}",
        f"{noun} {colour} {material}",
        f"{noun} {material} {colour}",
        f"{noun} {size} {colour} {material}",
        f"{noun} {colour} {material} {size}",
    ]


def _noun_phrases(*, is_definite: bool) -> Rule:
    slots: dict[str, Lexicon | Rule] = {
        "colour:accusative": _adjectives(_COLOURS, 2),
        "colour:leaves": _adjectives(_COLOURS, 1),
        "colour:blocks": _adjectives(_COLOURS, 1, is_definite=True),
        "size:body:m": Lexicon({"small": ["صغير الحجم"], "large": ["كبير الحجم"]}),
        "size:body:f": Lexicon({"small": ["صغيرة الحجم"], "large": ["كبيرة الحجم"]}),
        "size:definite:m": Lexicon({"small": ["الصغير"], "large": ["الكبير"]}),
        "size:definite:f": Lexicon({"small": ["الصغيرة"], "large": ["الكبيرة"]}),
    }
    for column, (gender, nouns) in enumerate((("m", _MASCULINE), ("f", _FEMININE))):
        slots[f"kind:{gender}"] = _nouns(nouns, is_definite=is_definite)
        slots[f"colour:{gender}"] = _adjectives(_COLOURS, column, is_definite=is_definite)
        slots[f"size:{gender}"] = _adjectives(_SIZES, column, is_definite=is_definite)
        slots[f"material:{gender}"] = _adjectives(_MATERIALS, column, is_definite=is_definite)
    dressed: dict[str, list[str]]
    if is_definite:
        dressed = {
            "man": ["الرجل {size}الذي يرتدي قميصًا {colour:accusative}"],
            "woman": ["المرأة {size}التي ترتدي فستانًا {colour:accusative}"],
            "snowman": ["رجل الثلج {size}الذي يضع وشاحًا {colour:accusative}"],
            "tree": ["الشجرة {size}التي أوراقها {colour:leaves}"],
            "tower": ["برج المكعبات {colour:blocks}"],
        }
    else:
        dressed = {
            "man": ["رجل {size}يرتدي قميصًا {colour:accusative}", "رجل {size}بقميص {colour:m}"],
            "woman": ["امرأة {size}ترتدي فستانًا {colour:accusative}", "امرأة {size}بفستان {colour:m}"],
            "snowman": ["رجل ثلج {size}يضع وشاحًا {colour:accusative}", "رجل ثلج {size}بوشاح {colour:m}"],
            "tree": ["شجرة {size}أوراقها {colour:leaves}", "شجرة {size}ذات أوراق {colour:leaves}"],
            "tower": ["برج من المكعبات {colour:blocks}"],
        }
    patterns: Patterns = [*_plain_patterns("m"), *_plain_patterns("f")]
    for kind, texts in dressed.items():
        slot = f"{{size:{'definite' if is_definite else 'body'}:{GENDERS[kind]}}} "
        for text in texts:
            for size in ("", slot) if "{size}" in text else ("",):
                patterns.append((text.replace("{size}", size), {"kind": kind}))
    return Rule(patterns, slots)


A_THING, THE_THING = _noun_phrases(is_definite=False), _noun_phrases(is_definite=True)

VERBS = {
    "bounce": ["~رتد@ عن الأرض", "~سقط@ و~رتد", "~نط@ صعودًا وهبوطًا", "~نط@", "!~رتد@ صعودًا وهبوطًا"],
    "roll": ["~تدحرج@", "~تدحرج@ على الأرض", "!~تدحرج@ فوق الأرض"],
    "slide": ["~نزلق@", "~تزلق@ على الأرض", "~نساب@", "~تزلق@", "!~نزلق@ على الأرض"],
    "fall": ["~سقط@ على الأرض", "~هوي@ إلى الأرض", "~سقط@", "~قع@ على الأرض", "!~سقط@ إلى الأرض"],
    "throw": ["~ُقذف@ في الهواء", "~ُرمى@ في الهواء", "~ُقذف@", "!~ُرمى@ إلى الأعلى في الهواء"],
    "swing": ["~تأرجح@ على حبل", "~تأرجح@ ذهابًا وإيابًا", "~تأرجح@", "!~تأرجح@ على حبل ذهابًا وإيابًا"],
    "topple": ["~نهار@", "~تهاوى@", "!~نهار@ على الأرض"],
    "walk": ["~مشي@", "~تمشى@", "!~مشي@ على الأرض"],
    "run": ["~ركض@", "~جري@", "~عدو@", "!~ركض@ على الأرض"],
    "hop": ["~قفز@", "~ثب@", "!~قفز@ على الأرض"],
    "fly": ["~طير@", "~حلق@", "~طير@ في السماء", "!~حلق@ في السماء"],
    "float": ["~طفو@ في الهواء", "~سبح@ في الهواء", "~طفو@"],
    "spin": ["~دور@ حول نفس#", "~لف@ حول نفس#", "~لف@ في مكان#", "!~دور@ في مكان#"],
    "drive": ["~سير@", "~نطلق@", "!~سير@ على الأرض"],
    "turn": ["~ستدير@ إلى الخلف", "~لتفت@ إلى الخلف", "~ستدير@", "!~ستدير@ نحو الخلف"],
    "wave": ["~لوح@ بيد#", "~لوح@ مرحب$", "~لوح@", "!~لوح@ بيد# مرحب$"],
    "circle": ["~دور@ في دائرة", "~تحرك@ في دائرة", "!~سير@ في دائرة"],
    "sway": ["~تمايل@", "~تمايل@ مع الريح", "~هتز@ برفق", "~هتز@ مع الريح", "!~تمايل@ برفق"],
    "stand": ["~قف@ بلا حراك", "لا ~تحرك@", "~بقى@ في مكان#", "~قف@", "~جلس@", "!~قف@ في مكان#"],
}
DIRECTIONS = Lexicon(
    {
        "left": ["إلى اليسار", "نحو اليسار", "يسارًا", "لليسار", "!باتجاه اليسار"],
        "right": ["إلى اليمين", "نحو اليمين", "يمينًا", "لليمين", "!باتجاه اليمين"],
        "toward": ["نحو الكاميرا", "باتجاه الكاميرا", "!إلى الكاميرا"],
        "away": ["بعيدًا عن الكاميرا", "مبتعد$ عن الكاميرا", "بعيدًا"],
        "up": ["إلى الأعلى", "نحو الأعلى", "للأعلى", "!باتجاه الأعلى"],
        "down": ["إلى الأسفل", "نحو الأسفل", "للأسفل", "!باتجاه الأسفل"],
    }
)
ORIGINS = Lexicon({"right": ["اليسار", "جهة اليسار"], "left": ["اليمين", "جهة اليمين"]})
SPEEDS = Lexicon({"slow": ["ببطء", "على مهل", "ببطء شديد"], "fast": ["بسرعة", "مسرع$", "بسرعة كبيرة"]})
SETTINGS = Lexicon(
    {
        "meadow": ["في مرج أخضر", "على العشب", "فوق العشب", "في حقل أخضر", "في المرج", "!فوق مرج أخضر"],
        "snow": ["في حقل من الثلج", "على الثلج", "فوق الثلج", "وسط الثلج", "!وسط حقل من الثلج"],
        "room": [
            "في غرفة أرضيتها خشبية",
            "على أرضية خشبية",
            "داخل غرفة",
            "في غرفة",
            "في الغرفة",
            "داخل المنزل",
            "!داخل غرفة أرضيتها خشبية",
        ],
        "beach": ["على الشاطئ", "على شاطئ رملي", "قرب البحر", "على شاطئ البحر", "!على الشاطئ قرب البحر"],
        "courtyard": ["في فناء حجري", "في ساحة حجرية", "في فناء", "في الفناء", "!وسط ساحة حجرية"],
        "desert": [
            "في الصحراء",
            "بين كثبان الصحراء",
            "على رمال الصحراء",
            "وسط الصحراء",
            "على الرمال",
            "!وسط كثبان الصحراء",
        ],
        "street": [
            "في شارع المدينة",
            "في شارع بين المباني",
            "في الشارع",
            "في شارع",
            "على الطريق",
            "في المدينة",
            "!في شارع وسط المدينة",
        ],
        "stage": [
            "على خشبة المسرح",
            "على المسرح أمام ستار أحمر",
            "على المسرح",
            "في المسرح",
            "!على خشبة المسرح أمام ستار أحمر",
        ],
        "forest": ["في الغابة", "بين أشجار الغابة", "في غابة", "بين الأشجار", "!وسط أشجار الغابة"],
        "playground": ["في ملعب الأطفال", "في ساحة اللعب", "في الملعب", "في ملعب", "!وسط ملعب الأطفال"],
    }
)
LIGHTS = Lexicon(
    {
        "day": ["في وضح النهار", "نهارًا", "في النهار", "تحت الشمس"],
        "morning": ["في الصباح الباكر", "في ضوء الصباح", "صباحًا", "في الصباح", "!في ضوء الصباح الباكر"],
        "sunset": ["عند الغروب", "في ضوء الغروب", "وقت الغروب", "في المساء", "مساءً", "!في ضوء المساء"],
        "night": ["ليلًا", "في الليل", "في الظلام", "!وقت الليل"],
        "lamp": ["في ضوء المصباح", "تحت ضوء مصباح دافئ", "تحت المصباح", "!في ضوء مصباح دافئ"],
        "spotlight": ["تحت بقعة ضوء", "في ضوء كشاف المسرح", "تحت الكشاف", "!تحت كشاف المسرح"],
    }
)
RELATIONS = Lexicon(
    {
        "left_of": ["إلى يسار", "على يسار"],
        "right_of": ["إلى يمين", "على يمين"],
        "in_front_of": ["أمام"],
        "behind": ["خلف", "وراء"],
    }
)
# A camera move as a sentence, and inside the description of a shot ("in which …").
_MOVES = {
    "still": (["الكاميرا ثابتة", "لا تتحرك الكاميرا"], ["لا تتحرك فيها الكاميرا"]),
    "pan_left": (
        ["تستدير الكاميرا إلى اليسار", "تلتفت الكاميرا إلى اليسار"],
        ["تستدير فيها الكاميرا إلى اليسار"],
    ),
    "pan_right": (
        ["تستدير الكاميرا إلى اليمين", "تلتفت الكاميرا إلى اليمين"],
        ["تستدير فيها الكاميرا إلى اليمين"],
    ),
    "orbit_left": (["تدور الكاميرا حول المشهد إلى اليسار"], ["تدور فيها الكاميرا حول المشهد إلى اليسار"]),
    "orbit_right": (["تدور الكاميرا حول المشهد إلى اليمين"], ["تدور فيها الكاميرا حول المشهد إلى اليمين"]),
    "zoom_in": (["تقترب الكاميرا", "تدنو الكاميرا"], ["تقترب فيها الكاميرا"]),
    "zoom_out": (["تبتعد الكاميرا", "تتراجع الكاميرا"], ["تبتعد فيها الكاميرا"]),
    "crane_up": (["ترتفع الكاميرا", "تصعد الكاميرا"], ["ترتفع فيها الكاميرا"]),
    "crane_down": (["تنخفض الكاميرا", "تهبط الكاميرا"], ["تنخفض فيها الكاميرا"]),
}
MOVES = Lexicon({name: texts[0] for name, texts in _MOVES.items()})
MOVES_WITHIN = Lexicon({name: texts[1] for name, texts in _MOVES.items()})
FRAMINGS = Lexicon(
    {
        "front": ["لقطة من الأمام", "لقطة أمامية"],
        "wide": ["لقطة واسعة", "لقطة عامة"],
        "close": ["لقطة قريبة", "لقطة مقربة"],
        "side": ["لقطة من الجانب", "لقطة جانبية"],
        "above": ["لقطة من الأعلى", "لقطة علوية"],
    }
)


def _deed() -> Rule:
    motions = Lexicon(VERBS)
    patterns: Patterns = [
        "{motion}",
        "{motion} {direction}",
        "{motion} {speed}",
        "{motion} {direction} {speed}",
        "{motion} {speed} {direction}",
        ("[~صطدم@ ب|~رتطم@ ب]{target}", {"motion": "hit"}),
        ("~تحرك@ {direction} و[~صطدم|~رتطم] ب{target}", {"motion": "hit"}),
        ("~دفع@ {target}", {"motion": "push"}),
        ("~دفع@ {target} {direction}", {"motion": "push"}),
    ]
    for speed in ("", " {speed}"):
        patterns += [
            (f"~دخل@ المشهد من {{direction:from}} و% {{motion:later}}{speed}", {"event": "enter"}),
            (f"~خرج@ من المشهد {{direction}} و% {{motion:later}}{speed}", {"event": "leave"}),
            (f"~دخل@ المشهد و% {{motion:later}}{speed}", {"event": "enter"}),
            (f"~خرج@ من المشهد و% {{motion:later}}{speed}", {"event": "leave"}),
        ]
        for direction in ("", " {direction}"):
            hidden = f"{{motion}}{speed}{direction} خلف {{target}} ثم ~ظهر من الجهة الأخرى"
            patterns.append((hidden, {"event": "hide"}))
    return Rule(
        patterns,
        {
            "motion": motions,
            "motion:later": Sequel(motions),
            "direction": DIRECTIONS,
            "direction:from": ORIGINS,
            "speed": SPEEDS,
            "target": THE_THING,
        },
    )


DEED = _deed()
DEEDS = Rule(
    [
        "{d1}",
        "{d1} ثم {d2}",
        "{d1}، ثم {d2}",
        "{d1}، وبعد ذلك {d2}",
        "{d1}، ثم {d2}، ثم {d3}",
        "{d1} ثم {d2}، وأخيرًا {d3}",
    ],
    {"d1": DEED, "d2": Sequel(DEED), "d3": Sequel(DEED)},
)
CLAUSE = Clause(A_THING, DEEDS, GENDERS, may_invert=True)
CLAUSES = Rule(
    [
        "{c1}",
        "{c1}، بينما {c2}",
        "{c1} بينما {c2}",
        "{c1}، و{c2}",
        "{c1}، و{c2}، و{c3}",
        "{c1}، بينما {c2}، و{c3}",
        "{c1}، و{c2}، و{c3}، و{c4}",
    ],
    {f"c{k}": CLAUSE for k in range(1, 5)},
)
PLACE = Rule(
    ["{setting}", "{setting} {light}", "{light} {setting}", "{setting}، {light}"],
    {"setting": SETTINGS, "light": LIGHTS},
)
_VIEW = Rule(
    [
        "{framing}",
        "{framing} {move}",
        ("[لقطة قريبة تُظهر|لقطة مقربة تُظهر] {subject}", {"framing": "close"}),
        ("[لقطة قريبة تُظهر|لقطة مقربة تُظهر] {subject} و{move}", {"framing": "close"}),
    ],
    {"framing": FRAMINGS, "move": MOVES_WITHIN, "subject": THE_THING},
)

ARABIC_SENTENCES = {
    "main": Rule(
        [
            "{clauses}",
            "{clauses} {place}",
            "{place}، {clauses}",
            "نرى كيف {clauses} {place}",
            "!{place} نرى كيف {clauses}",
        ],
        {"clauses": CLAUSES, "place": PLACE},
    ),
    "place": Rule(["[المشهد|تدور الأحداث|نحن|يحدث ذلك] {place}", "!يجري ذلك {place}"], {"place": PLACE}),
    "relation": Rule(
        ["[|نرى ]{actor} {name} {other}"], {"actor": THE_THING, "name": RELATIONS, "other": THE_THING}
    ),
    "view": Rule(
        [
            "{move}",
            "[هذه|نشاهد] {framing}، و{move}",
            ("[تتابع|تلاحق] الكاميرا {subject}", {"move": "follow"}),
            ("[هذه|نشاهد] لقطة قريبة تُظهر {subject}، و{move}", {"framing": "close"}),
        ],
        {"framing": FRAMINGS, "move": MOVES, "subject": THE_THING},
    ),
    "views": Rule(
        [
            "[يبدأ|يُفتتح] المقطع ب{v1} ثم ينتقل إلى {v2}",
            "[يبدأ|يُفتتح] المقطع ب{v1}، ثم ينتقل إلى {v2}، ثم إلى {v3}",
            "[يبدأ|يُفتتح] المقطع ب{v1}، ثم ينتقل إلى {v2}، ثم إلى {v3}، ثم إلى {v4}",
        ],
        {f"v{k}": _VIEW for k in range(1, 5)},
    ),
}


ARABIC = Language(name="ar", sentences=ARABIC_SENTENCES, finish=str, unfinish=str, proclitics=("و", "ب"))
