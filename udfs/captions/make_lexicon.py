"""A lexicon for the classes of another detector, as YAML to read through and mend; and what captions name that a lexicon lacks.

``make`` takes over what COCO's lexicon knows: the words of classes that it shares, their parts and clothes, and the words for
people where a class stands for all of them. Other classes get their own name, and possibly the last word of a longer one ("table"
of "coffee table"). Plurals are made when a lexicon is loaded; they stand beside each class as a comment, so that a wrong one is
seen.
"""

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import yaml

from udfs.captions.dictionary import parts_of_speech
from udfs.captions.mentions import parse_caption
from udfs.captions.vocabulary import ANY, PATH, LexiconError, plurals, vocabulary

_PEOPLE = frozenset({"person", "people", "human", "pedestrian"})  # as classes, they stand for everybody
_OTHER_READINGS = (("VERB", "a verb"), ("ADJ", "an adjective"))


@dataclass(frozen=True)
class Lacking:
    """A noun of captions that names no class: in how many captions it stands, and one of them.

    ``known``: it is in the lexicon's list of scenery and names nothing. Else it may be anything, and no text with it is sure.
    """

    noun: str
    captions: int
    known: bool
    example: str


def make(classes: Sequence[str]) -> str:
    """The YAML of a lexicon for class names as the detector spells them.

    Raises:
        LexiconError: there is no class, one is empty, or two are alike but for case and punctuation.
    """
    coco = yaml.safe_load(PATH.read_bytes())
    terms = _terms(classes)
    words = {label: _words_of(term, set(terms.values()), coco) for label, term in terms.items()}
    own = {term: label for label, term in terms.items()}
    shared = {coco_label: label for label, term in terms.items() if (coco_label := _coco_label(term)) in coco["labels"]}
    lines = [
        "# Words by which captions name the classes of a detector. Read it through: add synonyms, strike what is wrong.",
        "# certain: the term names the class. perhaps: it may. Plurals are made by rule. See udfs/captions/lexicons/coco.yaml.",
        "labels:",
    ]
    for label, (certain, perhaps) in words.items():
        # The name of a class surely names no other, as it does in COCO's lexicon, where a duck is a bird.
        mine = [[term for term in certain if own.get(term, label) == label], perhaps]
        lines.append(f"  {json.dumps(label)}:{_notes(terms[label], label not in shared.values())}")
        lines += [
            f"    {kind}: {json.dumps(', '.join(some))}" for kind, some in zip(("certain", "perhaps"), mine, strict=True) if some
        ]
    named = {word for some in words.values() for listed in some for term in listed for word in term.split()}
    return "\n".join([*lines, *_about_classes(coco, shared, named)]) + "\n"


def lacking(captions: Iterable[str]) -> list[Lacking]:
    """The nouns of captions that name no class of the selected lexicon, most frequent first. Holds a caption for each noun."""
    counts, examples, scenery = Counter[str](), dict[str, str](), vocabulary()["scenery"]
    for caption in captions:
        for noun in set(_nameless(caption)):
            counts[noun] += 1
            examples.setdefault(noun, caption)
    ranked = sorted(counts.items(), key=lambda item: (-item[1], item[0]))
    return [Lacking(noun, count, noun in scenery, examples[noun]) for noun, count in ranked]


def _nameless(caption: str) -> Iterator[str]:
    lexicon, parse = vocabulary(), parse_caption(caption)
    anything = {mention["end"] for mention in parse.mentions if mention["label"] == ANY}
    for place, word in enumerate(parse.words):
        if place in parse.owner or (word.text,) in lexicon.pronouns:
            continue
        forms = [word.text, *parts_of_speech(word.text).get("NOUN", ())]
        if known := next((form for form in forms if form in lexicon["scenery"]), ""):
            yield known
        elif word.end in anything:
            yield forms[-1]


def _terms(classes: Sequence[str]) -> dict[str, str]:
    """Each class with its name as captions would write it."""
    terms: dict[str, str] = {}
    for label in classes:
        term = " ".join("".join(letter if letter.isalnum() else " " for letter in label.casefold()).split())
        if not term:
            raise LexiconError(f"{label!r} is no name of a class")
        if term in terms.values():
            raise LexiconError(f"two classes are called {term!r}")
        terms[label] = term
    if not terms:
        raise LexiconError("there is no class to make a lexicon of")
    return terms


def _coco_label(term: str) -> str:
    return "person" if term in _PEOPLE else term


def _words_of(term: str, names: set[str], coco: dict[str, Any]) -> tuple[list[str], list[str]]:
    """What names a class surely, and what may."""
    if listed := coco["labels"].get(_coco_label(term)):
        certain, perhaps = (_split(listed.get(kind, "")) for kind in ("certain", "perhaps"))
        # "Mouse" is left as it is there: it may be the animal.
        return [*([] if term in certain or term in perhaps else [term]), *certain], perhaps
    last = term.rpartition(" ")[2]
    return [term], [last] if last not in names else []


def _notes(term: str, new: bool) -> str:
    """A comment with the plurals, and what else a single word may be."""
    notes = [", ".join(forms)] if (forms := plurals(term)) else []
    tags = parts_of_speech(term)
    if new:  # COCO's lists have dealt with theirs
        notes += [f"AMBIGUOUS: also {what}" for tag, what in _OTHER_READINGS if tag in tags and "NOUN" in tags]
    return f" # {'; '.join(notes)}" if notes else ""


def _about_classes(coco: dict[str, Any], shared: dict[str, str], named: set[str]) -> Iterator[str]:
    """The sections of COCO's lexicon about classes, as far as they concern these, under this detector's names for them.

    ``named``: all words of the classes' terms. A compound without any of them ("river bed") blocks nothing here.
    """
    groups = {f"@{name}": _split(text) for name, text in coco["groups"].items()}

    def present(names: str) -> str:
        parts = [part.strip() for part in names.replace(" @", ", @").split(",")]
        labels = [label for part in parts for label in groups.get(part, [part])]
        return ", ".join(dict.fromkeys(shared[label] for label in labels if label in shared))

    blocked = {name: _split(text) for name, text in coco["blocked"].items()}
    tree: dict[str, Any] = {
        "groups": {"animals": present("@animals")},
        "hypernyms": _merged((present(names), text) for names, text in coco["hypernyms"].items()),
        "implied": {shared[label]: text for label, text in coco["implied"].items() if label in shared},
        "blocked": {
            name: ", ".join(term for term in terms if " " in term and named & {*term.split()}) for name, terms in blocked.items()
        },
        "contexts": {
            word: {**entry, "label": shared[entry["label"]]}
            for word, entry in coco["contexts"].items()
            if entry["label"] in shared
        },
        "carried": present(coco["carried"]),
        "attachments": [{**entry, "labels": labels} for entry in coco["attachments"] if (labels := present(entry["labels"]))],
    }
    tree["blocked"] = {name: text for name, text in tree["blocked"].items() if text}
    # Single words that name nothing: without a class that they could be taken for, they are scenery.
    tree["scenery"] = ", ".join(term for terms in blocked.values() for term in terms if " " not in term)
    for name, section in tree.items():
        if section and section != {"animals": ""}:
            yield yaml.safe_dump({name: section}, sort_keys=False, allow_unicode=True, width=140).rstrip()


def _merged(pairs: Iterable[tuple[str, str]]) -> dict[str, str]:
    merged: dict[str, str] = {}
    for labels, text in pairs:
        if labels:
            merged[labels] = ", ".join(filter(None, [merged.get(labels), str(text)]))
    return merged


def _split(text: str) -> list[str]:
    return [part.strip() for part in str(text).split(",") if part.strip()]
