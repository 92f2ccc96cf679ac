"""Captions state what is true, and can be read back; Arabic agrees in gender."""

import numpy as np
import pytest

from khayal.errors import InputError
from khayal.world.captions import (
    LANGUAGES,
    LENGTHS,
    are_true,
    caption,
    claims,
    plan,
    read,
    words,
    words_for,
    write,
)
from khayal.world.clips import spans, tell
from khayal.world.draw import Request
from khayal.world.facts import Facts, facts_of
from khayal.world.grammar import Form, Lexicon, Rule
from khayal.world.heldout import is_combination_heldout
from khayal.world.record import record
from khayal.world.retelling import miscast, said_twice
from khayal.world.theatre import take
from khayal.world.truth import Truth


@pytest.fixture(scope="module")
def truths() -> list[Truth]:
    """Scenes of every dial setting."""
    return [record(take(Request(dial=1 + k % 5, split="all"), 31, k)) for k in range(15)]


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("length", LENGTHS)
def test_every_caption_reads_back_to_what_it_states_and_is_true(
    truths: list[Truth], language: str, length: str
) -> None:
    for k, truth in enumerate(truths):
        told = facts_of(truth)
        for split in ("train", "heldout"):
            written = caption(told, language, length, np.random.default_rng(k), split)
            assert read(written.text, language) == written.claims
            assert are_true(written.claims, told)


def test_a_false_caption_is_found_out(truths: list[Truth]) -> None:
    told = facts_of(truths[0])
    other = next(t for t in truths if t.setting != truths[0].setting)
    stated = caption(facts_of(other), "en", "medium", np.random.default_rng(0)).claims
    assert not are_true(stated, told)


def test_shots_and_spans_have_captions_of_their_own() -> None:
    request = Request(seconds=16.0, split="all", play="solo")
    truth = next(t for t in (record(take(request, 5, k)) for k in range(20)) if len(t.shots) > 2)
    told = tell(truth)
    assert sum(p.kind == "shot" for p in told) == len(truth.shots)
    edges = spans(truth)
    assert edges[0] == 0
    assert edges[-1] == truth.num_frames
    assert sum(p.kind == "span" for p in told) == len(edges) - 1
    for passage in told:
        for language, texts in passage.texts.items():
            assert set(texts) == set(LENGTHS)
            assert are_true(read(texts["detailed"], language), facts_of(truth, passage.start, passage.end))


def test_a_detailed_caption_names_what_a_short_one_leaves_out(truths: list[Truth]) -> None:
    told = facts_of(max(truths, key=lambda t: len(t.actors)))
    stated = [claims(plan(told, length, np.random.default_rng(0))) for length in LENGTHS]
    assert len(stated[0]) < len(stated[1]) < len(stated[2])
    assert any(claim[0] == "view" for claim in stated[2])


def test_paraphrases_vary(truths: list[Truth]) -> None:
    told = facts_of(truths[4])
    rng = np.random.default_rng(0)
    assert len({caption(told, "en", "detailed", rng).text for _ in range(20)}) > 15
    assert len({caption(told, "ar", "detailed", rng).text for _ in range(20)}) > 15


@pytest.mark.parametrize(
    ("good", "bad"),
    [
        ("تتدحرج كرة حمراء إلى اليسار.", "يتدحرج كرة حمراء إلى اليسار."),
        ("مكعب أزرق لا يتحرك.", "مكعب زرقاء لا يتحرك."),
        ("سيارة خضراء تسير ببطء.", "سيارة خضراء يسير ببطء."),
        ("يدور روبوت أحمر حول نفسه.", "يدور روبوت أحمر حول نفسها."),
        ("الكرة الحمراء أمام المكعب الأزرق.", "الكرة حمراء أمام المكعب الأزرق."),
    ],
)
def test_arabic_agrees_in_gender_and_definiteness(good: str, bad: str) -> None:
    assert read(good, "ar")
    with pytest.raises(InputError, match="cannot read"):
        read(bad, "ar")


def test_english_articles() -> None:
    assert not any(word == "an" for word in words("en")), "“an” is made from “a” when a text is finished"
    assert read("An orange ball rolls to the left.", "en") == read("An orange ball rolls leftwards.", "en")


def test_heldout_phrases_are_kept_from_training() -> None:
    rule = Rule(["{colour}", "!of a {colour} hue"], {"colour": Lexicon({"red": ["red", "!scarlet"]})})
    rng = np.random.default_rng(0)
    trained = {rule.write({"colour": "red"}, rng, "train") for _ in range(50)}
    assert trained == {"red"}
    assert {rule.write({"colour": "red"}, rng, "heldout") for _ in range(50)} == {"of a scarlet hue"}
    assert dict(enumerate(rule.read("of a scarlet hue", 0, Form())))[0][1] == {"colour": "red"}


@pytest.mark.parametrize("language", LANGUAGES)
def test_heldout_phrases_are_made_of_words_that_training_uses(language: str) -> None:
    """A word that was never met cannot be understood: it would measure nothing."""
    assert LANGUAGES[language].words("heldout") <= LANGUAGES[language].words("train")
    assert LANGUAGES[language].words("all") == LANGUAGES[language].words("train")


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_plain_caption_is_the_same_whatever_the_dice(truths: list[Truth], language: str) -> None:
    told = facts_of(truths[2])
    planned = plan(told, "detailed", np.random.default_rng(0))
    plain = {write(planned, language, np.random.default_rng(seed), "plain") for seed in range(10)}
    assert len(plain) == 1
    assert are_true(read(plain.pop(), language), told)


def test_the_same_is_said_twice_and_nothing_of_it_is_held_out(truths: list[Truth]) -> None:
    dice, seen = np.random.default_rng(0), set[str]()
    for truth in truths:
        for _ in range(20):
            said, meant = said_twice(facts_of(truth), 3, dice)
            seen.add(said)
            stated = read(meant, "en")
            assert read(said, "ar" if said > "\u0600" else "en") == stated
            settings = {claim[1] for claim in stated if claim[0] == "setting"}
            for _, key, _, motion, *_ in (claim for claim in stated if claim[0] == "deed"):
                colour, _, kind = key.partition(" ")
                assert not any(is_combination_heldout(kind, colour, motion, place) for place in settings)
    assert len(seen) > 0.9 * 20 * len(truths)


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_word_of_a_caption_is_in_the_vocabulary(truths: list[Truth], language: str) -> None:
    known = words(language)
    tongue = LANGUAGES[language]
    for k, truth in enumerate(truths):
        text = caption(facts_of(truth), language, "detailed", np.random.default_rng(k), "all").text
        plain = tongue.unfinish(text)
        for mark in ".,;،":
            plain = plain.replace(mark, " ")
        for word in plain.split():
            # Arabic writes "and" and "with" onto the next word.
            assert word in known or (language == "ar" and word[1:] in known), word


def test_an_unknown_length_is_refused(truths: list[Truth]) -> None:
    told: Facts = facts_of(truths[0])
    with pytest.raises(InputError, match="Choose"):
        plan(told, "endless", np.random.default_rng(0))


def test_what_is_nearly_true_is_false_of_kinds_alone_and_not_held_out(truths: list[Truth]) -> None:
    dice, exchanged = np.random.default_rng(0), 0
    for truth in truths * 8:
        facts = facts_of(truth)
        nearly = miscast(facts, 3, dice)
        kinds, others = ([actor.kind for actor in told.actors] for told in (facts, nearly))
        assert [a.colour for a in nearly.actors] == [a.colour for a in facts.actors]
        assert nearly.deeds == facts.deeds
        if kinds != others:
            doing = [[d.motion for d in nearly.deeds if d.actor == k] for k in range(len(kinds))]
            for actor, motions in zip(nearly.actors, doing, strict=True):
                for motion in motions or ["stand"]:
                    assert not is_combination_heldout(actor.kind, actor.colour, motion, nearly.setting)
        exchanged += kinds != others and sorted(kinds) == sorted(others)
    assert exchanged > 3


def test_words_for_a_field_are_those_of_all_languages() -> None:
    assert {"red", "violet", "حمراء", "الحمراء"} <= words_for("colour")
    assert {"ball", "hoop", "كرة", "الكرة", "وكرة", "بالكرة"} <= words_for("kind")
    assert not words_for("colour") & words_for("kind")
