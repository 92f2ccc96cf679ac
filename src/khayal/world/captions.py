"""Captions of a clip, a span or a shot, in English and Arabic, at three lengths; and what a caption states.

A caption is planned from the facts (`plan`), written by a grammar (`write`) and can be read back (`read`).
What is read is a set of *claims*; the claims of a caption are those of its plan, and all of them are true of
the clip (`are_true`). Needs no MuJoCo.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from khayal.errors import InputError
from khayal.world.arabic import ARABIC
from khayal.world.english import ENGLISH
from khayal.world.facts import Deed, Facts, View, Who
from khayal.world.grammar import Language, Values

LANGUAGES: dict[str, Language] = {"en": ENGLISH, "ar": ARABIC}
LENGTHS = ("short", "medium", "detailed")
MAX_VIEWS = 4

Claim = tuple[Any, ...]
Plan = tuple[tuple[str, Values], ...]


@dataclass(frozen=True, kw_only=True)
class Caption:
    """A text and what it states."""

    text: str
    claims: frozenset[Claim]


def words(language: str) -> frozenset[str]:
    """Every word that captions in a language can hold."""
    return LANGUAGES[language].words()


def words_for(field: str) -> frozenset[str]:
    """Every phrase that says a "colour" or a "kind" in captions of any language, as it is written there."""
    found = set[str]()
    for language in LANGUAGES.values():
        for name, phrases in language.lexicons():
            if name.partition(":")[0] == field:
                told = [phrase.lstrip("!") for texts in phrases.phrases.values() for phrase in texts]
                found.update(before + phrase for before in ("", *language.proclitics) for phrase in told)
    return frozenset(found)


def _name(who: Who, length: str = "short") -> Values:
    values: Values = {"kind": who.kind, "colour": who.colour}
    if length == "detailed":
        if who.size != "medium":
            values["size"] = who.size
        if who.material != "plain":
            values["material"] = who.material
    return values


def _deed_values(deed: Deed, facts: Facts, length: str, language: Language) -> Values:
    values: Values = {"motion": deed.motion}
    if deed.target is not None:
        values["target"] = _name(facts.actors[deed.target])
    if deed.event:
        values["event"] = deed.event
    if deed.direction and length != "short":
        values["direction"] = deed.direction
    if deed.speed and length == "detailed":
        values["speed"] = deed.speed
    return values


def _clause(facts: Facts, number: int, length: str, most: int, language: Language) -> Values | None:
    deeds = [d for d in facts.deeds if d.actor == number][:most]
    if not deeds:
        return None
    told = {f"d{k + 1}": _deed_values(d, facts, length, language) for k, d in enumerate(deeds)}
    return {"who": _name(facts.actors[number], length), "deeds": told}


def plan(facts: Facts, length: str, rng: np.random.Generator, language: Language = ENGLISH) -> Plan:
    """Which sentences, and what each states. A short caption has one clause, a medium one all actors."""
    if length not in LENGTHS:
        raise InputError(f"A caption is not “{length}”", fix=f"choose one of {', '.join(LENGTHS)}")
    most = 1 if length == "short" else 3
    clauses = [c for k in range(len(facts.actors)) if (c := _clause(facts, k, length, most, language))]
    place: Values = {"setting": facts.setting}
    if length != "short" or rng.random() < 0.25:
        place["light"] = facts.light
    sentences: list[tuple[str, Values]] = []
    if length == "short":
        # The one clause of a short caption goes to somebody who does something.
        clauses.sort(key=lambda c: c["deeds"]["d1"]["motion"] == "stand")
        main: Values = {"clauses": {"c1": clauses[0]}} if clauses else {}
        if clauses and rng.random() < 0.8:
            main["place"] = place
        sentences.append(("main", main) if clauses else ("place", {"place": place}))
        return tuple(sentences)
    sentences += _body(clauses, place, length, rng)
    if length == "detailed":
        sentences += [
            (
                "relation",
                {
                    "name": r.name,
                    "actor": _name(facts.actors[r.actor]),
                    "other": _name(facts.actors[r.other]),
                },
            )
            for r in facts.relations
        ]
        sentences += _views(facts)
    elif len(facts.views) == 1 and rng.random() < 0.5:
        sentences += _views(facts)
    return tuple(sentences)


def _body(
    clauses: list[Values], place: Values, length: str, rng: np.random.Generator
) -> list[tuple[str, Values]]:
    """One sentence with everybody in it, or one for each; the place inside the first or by itself."""
    apart = length == "detailed" and len(clauses) > 1 and rng.random() < 0.4
    groups = [[c] for c in clauses] if apart else [clauses[:4]]
    sentences: list[tuple[str, Values]] = []
    for group in groups:
        if group:
            sentences.append(("main", {"clauses": {f"c{k + 1}": c for k, c in enumerate(group)}}))
    if sentences and rng.random() < 0.75:
        sentences[0][1]["place"] = place
    else:
        sentences.insert(0 if rng.random() < 0.3 else len(sentences), ("place", {"place": place}))
    return sentences


def _view_values(view: View, facts: Facts) -> Values:
    values: Values = {"framing": view.framing, "move": view.move}
    if view.subject is not None:
        values["subject"] = _name(facts.actors[view.subject])
    return values


def _views(facts: Facts) -> list[tuple[str, Values]]:
    views = [_view_values(v, facts) for v in facts.views[:MAX_VIEWS]]
    if not views:
        return []
    if len(views) == 1:
        view = views[0]
        if view["framing"] == "front" or view["move"] == "follow":
            del view["framing"]
            if view["move"] != "follow":
                view.pop("subject", None)
            elif "subject" not in view:
                return []
        return [("view", view)]
    for view in views:
        if view["move"] == "still":
            del view["move"]
        if view["framing"] != "close":
            view.pop("subject", None)
    return [("views", {f"v{k + 1}": v for k, v in enumerate(views)})]


def write(plan: Plan, language: str, rng: np.random.Generator, split: str = "train") -> str:
    """Say a plan in a language; `split` chooses between everyday and held-out paraphrases.

    "plain" says it in the one way that was there first, whatever the dice.
    """
    tongue = LANGUAGES[language]
    text = " ".join(tongue.sentences[sort].write(values, rng, split) + "." for sort, values in plan)
    return tongue.finish(text)


def caption(
    facts: Facts, language: str, length: str, rng: np.random.Generator, split: str = "train"
) -> Caption:
    """One caption of what the facts are about."""
    planned = plan(facts, length, rng, LANGUAGES[language])
    return Caption(text=write(planned, language, rng, split), claims=claims(planned))


def read(text: str, language: str) -> frozenset[Claim]:
    """What a caption states.

    Raises:
        InputError: a sentence that the grammar cannot read, named.
    """
    tongue = LANGUAGES[language]
    found: list[tuple[str, Values]] = []
    for sentence in tongue.unfinish(text).split("."):
        if not sentence.strip():
            continue
        plain = sentence.strip()
        for sort, rule in tongue.sentences.items():
            reading = next((values for end, values in rule.read(plain) if end == len(plain)), None)
            if reading is not None:
                found.append((sort, reading))
                break
        else:
            raise InputError(
                f"The world's grammar cannot read “{plain}”", fix="use its words and its word order"
            )
    return claims(tuple(found))


def claims(plan: Plan) -> frozenset[Claim]:
    """What a plan states, as flat tuples; an actor is named by its kind and colour."""
    found: set[Claim] = set()
    for sort, values in plan:
        if "place" in values:
            found |= {(name, value) for name, value in values["place"].items()}
        if sort == "main":
            for clause in values["clauses"].values():
                found |= _clause_claims(clause)
        elif sort == "relation":
            found.add(("relation", _key(values["actor"]), values["name"], _key(values["other"])))
        elif sort == "view":
            found.add(_view_claim(0, values))
        elif sort == "views":
            found |= {_view_claim(k, values[name]) for k, name in enumerate(sorted(values))}
    return frozenset(found)


def _key(who: Values) -> str:
    return f"{who['colour']} {who['kind']}"


def _clause_claims(clause: Values) -> set[Claim]:
    who = clause["who"]
    found: set[Claim] = {("actor", _key(who), who.get("size"), who.get("material"))}
    for order, name in enumerate(sorted(clause["deeds"])):
        deed = clause["deeds"][name]
        target = _key(deed["target"]) if "target" in deed else None
        found.add(
            (
                "deed",
                _key(who),
                order,
                deed["motion"],
                deed.get("direction"),
                deed.get("speed"),
                target,
                deed.get("event"),
            )
        )
    return found


def _view_claim(order: int, view: Values) -> Claim:
    subject = _key(view["subject"]) if "subject" in view else None
    return ("view", order, view.get("framing"), view.get("move"), subject)


def are_true(stated: frozenset[Claim], facts: Facts) -> bool:
    """True where every claim agrees with the facts; what a claim leaves open (None) agrees with anything."""
    keys = [f"{who.colour} {who.kind}" for who in facts.actors]
    known: list[Claim] = [("setting", facts.setting), ("light", facts.light)]
    known += [("actor", key, w.size, w.material) for key, w in zip(keys, facts.actors, strict=True)]
    counts: dict[int, int] = {}
    for deed in facts.deeds:
        order = counts[deed.actor] = counts.get(deed.actor, -1) + 1
        target = keys[deed.target] if deed.target is not None else None
        known.append(
            ("deed", keys[deed.actor], order, deed.motion, deed.direction, deed.speed, target, deed.event)
        )
    known += [("relation", keys[r.actor], r.name, keys[r.other]) for r in facts.relations]
    for order, view in enumerate(facts.views):
        known.append(
            ("view", order, view.framing, view.move, keys[view.subject] if view.subject is not None else None)
        )
    return all(any(_agrees(claim, fact) for fact in known) for claim in stated)


def _agrees(claim: Claim, fact: Claim) -> bool:
    return len(claim) == len(fact) and all(c is None or c == f for c, f in zip(claim, fact, strict=True))
