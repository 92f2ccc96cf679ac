"""A small two-way grammar: the same rules write captions and read them back.

A *lexicon* gives the phrases for each value of a field. A *rule* has patterns, such as
``"{verb} {direction} slowly"``; ``[a|b]`` in a pattern stands for either. Writing picks a pattern whose
fields are exactly those to be stated; reading matches all patterns and yields the fields. A phrase or pattern
that starts with ``!`` is a held-out paraphrase: training captions never use it, though they use all of its
words, since a word that was never met cannot be understood.

Markers in Arabic phrases follow the gender of the subject (see `inflect`), and ``@`` is where the subject
stands when the verb comes first.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import product
from typing import Any

import numpy as np

Values = dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class Form:
    """What the words around a phrase ask of it: a gender, and a subject that follows the verb."""

    gender: str = ""
    subject: str = ""


FORMLESS = Form()


@lru_cache(maxsize=1 << 16)
def inflect(text: str, form: Form) -> str:
    """Resolve the markers: ``~`` ي/ت, ``#`` ه/ها, ``$`` ًا/ة, ``%`` هو/هي, ``@`` the subject."""
    is_feminine = form.gender == "f"
    for marker, masculine, feminine in (
        ("~", "ي", "ت"),
        ("#", "ه", "ها"),
        ("$", "ًا", "ة"),
        ("%", "هو", "هي"),
    ):
        text = text.replace(marker, feminine if is_feminine else masculine)
    return text.replace("@", f" {form.subject}" if form.subject else "")


def _strip(texts: Sequence[str], split: str) -> list[str]:
    """The phrases that a split may use: held-out ones only, where there are any, for "heldout".

    "plain" has one way to say each thing: the first.
    """
    kept = [t for t in texts if not t.startswith("!")]
    held = [t[1:] for t in texts if t.startswith("!")]
    if split in ("train", "plain"):
        return kept if split == "train" else kept[:1]
    return (held or kept) if split == "heldout" else kept + held


class Lexicon:
    """Phrases for each value of one field."""

    def __init__(self, phrases: Mapping[str, Sequence[str]]) -> None:
        self.phrases = {value: list(texts) for value, texts in phrases.items()}
        self._plain: dict[Form, list[tuple[str, str]]] = {}

    def accepts(self, value: Any) -> bool:
        """True where the value has phrases."""
        return isinstance(value, str) and value in self.phrases

    def write(self, value: Any, rng: np.random.Generator, split: str, form: Form) -> str:
        """One of the phrases."""
        texts = _strip(self.phrases[value], split)
        return inflect(texts[int(rng.integers(len(texts)))], form)

    def read(self, text: str, at: int, form: Form) -> Iterator[tuple[int, Any]]:
        """Every value whose phrase stands at a place, with where it ends."""
        if form.subject or form not in self._plain:
            plain = [(v, inflect(p.lstrip("!"), form)) for v, texts in self.phrases.items() for p in texts]
            if not form.subject:
                self._plain[form] = plain
        else:
            plain = self._plain[form]
        for value, phrase in plain:
            if text.startswith(phrase, at):
                yield at + len(phrase), value

    def texts(self, split: str = "all") -> Iterator[str]:
        """All phrases of a split."""
        for phrases in self.phrases.values():
            yield from _strip(phrases, split)


@dataclass(frozen=True, kw_only=True)
class Pattern:
    """One way to say a rule: literals and slots in turn, and values that it states by its wording."""

    pieces: tuple[str, ...]
    slots: tuple[tuple[str, str], ...]
    constants: tuple[tuple[str, str], ...]
    is_heldout: bool


def _compile(source: str, constants: Mapping[str, str]) -> Iterator[Pattern]:
    is_heldout = source.startswith("!")
    chunks = re.split(r"\[([^\]]*)\]", source.lstrip("!"))
    choices = [chunk.split("|") if k % 2 else [chunk] for k, chunk in enumerate(chunks)]
    for combination in product(*choices):
        parts = re.split(r"\{([^}]*)\}", "".join(combination))
        slots = tuple((name.split(":")[0], name) for name in parts[1::2])
        yield Pattern(
            pieces=tuple(parts[0::2]), slots=slots, constants=tuple(constants.items()), is_heldout=is_heldout
        )


class Rule:
    """Patterns over lexicons and other rules.

    Args:
        patterns: pattern texts, or pairs of a text and the constant values that it states.
        slots: for each slot name as written in the patterns ("colour", "colour:f") its lexicon or rule.
            What stands before the colon is the field.
    """

    def __init__(
        self,
        patterns: Sequence[str | tuple[str, Mapping[str, str]]],
        slots: Mapping[str, Lexicon | Rule],
    ) -> None:
        self.slots = dict(slots)
        self.patterns: list[Pattern] = []
        self._text = ""
        self._memo: dict[tuple[int, Form], list[tuple[int, Values]]] = {}
        for entry in patterns:
            source, constants = entry if isinstance(entry, tuple) else (entry, {})
            self.patterns += _compile(source, constants)

    def _fits(self, pattern: Pattern, values: Values) -> bool:
        constants = dict(pattern.constants)
        fields = [field for field, _ in pattern.slots]
        if set(fields) | set(constants) != set(values) or any(values[k] != c for k, c in constants.items()):
            return False
        return all(self.slots[name].accepts(values[field]) for field, name in pattern.slots)

    def accepts(self, values: Any) -> bool:
        """True where some pattern states exactly these values."""
        return isinstance(values, dict) and any(self._fits(p, values) for p in self.patterns)

    def write(self, values: Any, rng: np.random.Generator, split: str = "all", form: Form = FORMLESS) -> str:
        """A text that states exactly `values`."""
        fitting = [p for p in self.patterns if self._fits(p, values)]
        assert fitting, f"no pattern states {values}"
        wanted = [p for p in fitting if p.is_heldout] if split == "heldout" else []
        allowed = wanted or [p for p in fitting if split == "all" or not p.is_heldout]
        allowed = allowed[:1] if split == "plain" else allowed
        pattern = allowed[int(rng.integers(len(allowed)))]
        text = inflect(pattern.pieces[0], form)
        for (field, name), piece in zip(pattern.slots, pattern.pieces[1:], strict=True):
            text += self.slots[name].write(values[field], rng, split, form) + inflect(piece, form)
        return text

    def read(self, text: str, at: int = 0, form: Form = FORMLESS) -> Iterator[tuple[int, Values]]:
        """Every reading of the text from a place on: where it ends, and what it states."""
        if self._text != text:
            self._text, self._memo = text, {}
        key = (at, form)
        if key not in self._memo:
            self._memo[key] = list(self._readings(text, at, form))
        yield from self._memo[key]

    def _readings(self, text: str, at: int, form: Form) -> Iterator[tuple[int, Values]]:
        for pattern in self.patterns:
            yield from self._read_pattern(pattern, text, at, form)

    def _read_pattern(self, pattern: Pattern, text: str, at: int, form: Form) -> Iterator[tuple[int, Values]]:
        states: list[tuple[int, Values]] = [(at, dict(pattern.constants))]
        for k, piece in enumerate(pattern.pieces):
            plain = inflect(piece, form)
            states = [(i + len(plain), values) for i, values in states if text.startswith(plain, i)]
            if k == len(pattern.slots) or not states:
                break
            field, name = pattern.slots[k]
            states = [
                (end, {**values, field: value})
                for i, values in states
                for end, value in self.slots[name].read(text, i, form)
            ]
        yield from states

    def texts(self, split: str = "all") -> Iterator[str]:
        """All literal words of the patterns of a split."""
        for pattern in self.patterns:
            if split == "all" or pattern.is_heldout == (split == "heldout"):
                yield from pattern.pieces


class Clause(Rule):
    """A subject and what it does: the form of the deeds follows the subject.

    Args:
        subject: the rule that names the subject; `gender` tells the gender of what it stated.
        deeds: the rule for what is done.
        may_invert: True where the verb may come first (Arabic).
        join: what stands between subject and deeds.
    """

    def __init__(
        self,
        subject: Rule,
        deeds: Rule,
        genders: Mapping[str, str],
        *,
        may_invert: bool = False,
        join: str = " ",
    ) -> None:
        super().__init__([], {"who": subject, "deeds": deeds})
        self.genders, self.may_invert, self.join = dict(genders), may_invert, join

    def accepts(self, values: Any) -> bool:
        return isinstance(values, dict) and set(values) == {"who", "deeds"}

    def _gender(self, who: Values) -> str:
        return self.genders.get(str(who["kind"]), "")

    def write(self, values: Any, rng: np.random.Generator, split: str = "all", form: Form = FORMLESS) -> str:
        who = self.slots["who"].write(values["who"], rng, split, form)
        gender = self._gender(values["who"])
        if self.may_invert and split != "plain" and rng.random() < 0.5:
            # Only the first deed's verb carries the subject: later ones follow a "then".
            return self.slots["deeds"].write(values["deeds"], rng, split, Form(gender=gender, subject=who))
        return who + self.join + self.slots["deeds"].write(values["deeds"], rng, split, Form(gender=gender))

    def _readings(self, text: str, at: int, form: Form) -> Iterator[tuple[int, Values]]:
        for end, who in self.slots["who"].read(text, at, form):
            if text.startswith(self.join, end):
                for last, deeds in self.slots["deeds"].read(
                    text, end + len(self.join), Form(gender=self._gender(who))
                ):
                    yield last, {"who": who, "deeds": deeds}
        if self.may_invert:
            for place in (m.end() for m in re.finditer(" ", text[at : at + 80])):
                for end, who in self.slots["who"].read(text, at + place, form):
                    inside = Form(gender=self._gender(who), subject=text[at + place : end])
                    for last, deeds in self.slots["deeds"].read(text, at, inside):
                        if last >= end:
                            yield last, {"who": who, "deeds": deeds}

    def texts(self, split: str = "all") -> Iterator[str]:
        yield self.join


class Sequel(Rule):
    """A rule that is read and written without the subject of the form: what comes after a "then"."""

    def __init__(self, rule: Lexicon | Rule) -> None:
        super().__init__([], {"rule": rule})

    def accepts(self, values: Any) -> bool:
        return self.slots["rule"].accepts(values)

    def write(self, values: Any, rng: np.random.Generator, split: str = "all", form: Form = FORMLESS) -> str:
        return self.slots["rule"].write(values, rng, split, Form(gender=form.gender))

    def _readings(self, text: str, at: int, form: Form) -> Iterator[tuple[int, Values]]:
        yield from self.slots["rule"].read(text, at, Form(gender=form.gender))


class Either(Rule):
    """Several rules that state the same fields in different ways."""

    def __init__(self, *rules: Rule) -> None:
        super().__init__([], {str(k): rule for k, rule in enumerate(rules)})

    def accepts(self, values: Any) -> bool:
        return any(rule.accepts(values) for rule in self.slots.values())

    def write(self, values: Any, rng: np.random.Generator, split: str = "all", form: Form = FORMLESS) -> str:
        fitting = [rule for rule in self.slots.values() if rule.accepts(values)]
        fitting = fitting[:1] if split == "plain" else fitting
        return fitting[int(rng.integers(len(fitting)))].write(values, rng, split, form)

    def _readings(self, text: str, at: int, form: Form) -> Iterator[tuple[int, Values]]:
        for rule in self.slots.values():
            yield from rule.read(text, at, form)


@dataclass(frozen=True, kw_only=True)
class Language:
    """One language: how sentences of each sort are made, finished and split.

    Attributes:
        sentences: rules by sort: "main", "place", "relation", "view", "views".
        finish: what is done to the sentences once they are joined (capitals, articles).
        unfinish: undoes `finish` before reading.
        proclitics: words that are written as one with the next.
    """

    name: str
    sentences: Mapping[str, Rule]
    finish: Callable[[str], str]
    unfinish: Callable[[str], str]
    proclitics: tuple[str, ...] = ()

    def words(self, split: str = "all") -> frozenset[str]:
        """Every word that a caption of a split can hold in this language."""
        found: set[str] = set()
        for _, part in self._parts():
            for text in part.texts(split):
                for gender in ("m", "f"):
                    found |= set(re.findall(r"[^\s.,;،]+", self.unfinish(inflect(text, Form(gender=gender)))))
        return frozenset(found)

    def lexicons(self) -> Iterator[tuple[str, Lexicon]]:
        """All of them, by the slot in which each stands."""
        for name, part in self._parts():
            if isinstance(part, Lexicon):
                yield name, part

    def _parts(self) -> Iterator[tuple[str, Lexicon | Rule]]:
        """Every part of the grammar once, by the slot where it was found."""
        seen: set[int] = set()
        stack: list[tuple[str, Lexicon | Rule]] = list(self.sentences.items())
        while stack:
            name, part = stack.pop()
            if id(part) in seen:
                continue
            seen.add(id(part))
            yield name, part
            if isinstance(part, Rule):
                stack += part.slots.items()
