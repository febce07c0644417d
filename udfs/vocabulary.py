"""The words that name components: a lexicon's YAML file, loaded once and ready to be looked up.

A lexicon is a file in ``udfs/lexicons``; COCO's 80 classes are the built-in one. Everything about words is in the file, so that
another detector's classes need another file and no code. What the sections mean is said beside them in the file.
"""

import functools
import hashlib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

PATH = Path(__file__).parent / "lexicons" / "coco.yaml"
ANY = "*"  # the label of a mention that may name anything


@dataclass(frozen=True)
class Term:
    """A word or compound and what it names.

    ``readings`` are (label, certain) in the file's order; none at all for a blocked compound. ``plural``: the form means two or
    more. ``noun`` is False for words that only imply a thing ("surfing").
    """

    words: tuple[str, ...]
    readings: tuple[tuple[str, bool], ...]
    plural: bool = False
    noun: bool = True


@dataclass(frozen=True)
class Vocabulary:
    """A lexicon ready for use: terms by their first two words (longest first) and sets of single lower-case words."""

    labels: tuple[str, ...]
    terms: dict[tuple[str, ...], tuple[Term, ...]]
    groups: dict[str, tuple[str, ...]]
    contexts: dict[str, tuple[str, frozenset[str]]]
    numbers: dict[str, int]
    pronouns: dict[tuple[str, ...], str]
    parts: dict[str, frozenset[str]]
    worn: dict[str, frozenset[str]]
    sets: dict[str, frozenset[str]] = field(repr=False)
    digest: str = ""

    def __getitem__(self, name: str) -> frozenset[str]:
        """Return one of the file's plain word sets, such as ``colours``."""
        return self.sets[name]

    def group(self, name: str) -> frozenset[str]:
        """Return one of the file's groups of labels, such as ``animals``."""
        return self.sets[f"@{name}"]


@functools.cache
def vocabulary(path: Path = PATH) -> Vocabulary:
    """Read a lexicon. About a second the first time, as plurals are made."""
    data = path.read_bytes()
    raw = yaml.safe_load(data)
    groups = {name: tuple(_split(text)) for name, text in raw["groups"].items()}
    labels = tuple(raw["labels"])
    readings: dict[tuple[str, ...], dict[str, bool]] = {}
    nouns: set[tuple[str, ...]] = set()
    for label, kinds in raw["labels"].items():
        for kind, certain in (("certain", True), ("perhaps", False)):
            for term in _split(kinds.get(kind, "")):
                words = tuple(term.replace("'s", " s").split())
                readings.setdefault(words, {}).setdefault(label, certain)
                nouns.add(words)
    for names, text in raw["hypernyms"].items():
        for term in _split(text):
            words = tuple(term.split())
            for label in _expand(names, groups):
                readings.setdefault(words, {}).setdefault(label, False)
            nouns.add(words)
    for label, text in raw["implied"].items():
        for term in _split(text):
            readings.setdefault(tuple(term.split()), {}).setdefault(label, False)
    for text in raw["blocked"].values():
        for term in _split(text):
            words = tuple(term.replace("'s", " s").split())
            readings.setdefault(words, {})
            nouns.add(words)
    parts, worn = (_attached(raw["attachments"], kind, labels, groups) for kind in ("parts", "worn"))
    sets = {name: _words(raw[name]) for name in raw if name not in _NOT_SETS}
    sets["attached"] = frozenset(word for words in (*parts.values(), *worn.values()) for word in words)
    sets |= {f"@{name}": frozenset(members) for name, members in groups.items()}
    return Vocabulary(
        labels=labels,
        terms=_index(readings, nouns, raw),
        groups=groups,
        contexts={word: (c["label"], frozenset(_split(c["words"]))) for word, c in raw["contexts"].items()},
        numbers=dict(raw["numbers"]),
        pronouns={tuple(term.split()): kind for kind, text in raw["pronouns"].items() for term in _split(text)},
        parts=parts,
        worn=worn,
        sets=sets,
        digest=hashlib.sha256(data).hexdigest()[:8],
    )


_NOT_SETS = ("groups", "labels", "hypernyms", "implied", "blocked", "contexts", "numbers", "pronouns", "attachments")


@functools.cache
def plurals(term: str) -> tuple[str, ...]:
    """Return the plurals of a noun or compound ("tennis ball" -> "tennis balls"): by table, by rule for unknown words."""
    # lemminflect rather than inflect: its tables load in half a second, where importing inflect takes more than three.
    import lemminflect

    *before, last = term.split()
    forms = lemminflect.getInflection(last, "NNS")
    return tuple(" ".join([*before, form]) for form in forms if form != last)


def _looks_plural(word: str) -> bool:
    import lemminflect

    lemmas = lemminflect.getAllLemmas(word).get("NOUN", ())
    return bool(lemmas) and word not in lemmas


def _index(
    readings: dict[tuple[str, ...], dict[str, bool]], nouns: set[tuple[str, ...]], raw: dict[str, Any]
) -> dict[tuple[str, ...], tuple[Term, ...]]:
    singular, listed = _words(raw["singular"]), _words(raw["plural"])
    table: dict[tuple[str, ...], Term] = {}
    for words, labels in readings.items():
        last = words[-1]
        is_plural = last in listed or (last not in singular and _looks_plural(last))
        table[words] = Term(words, tuple(labels.items()), is_plural, words in nouns)
    for words in nouns:
        if words[-1] in singular | listed or table[words].plural or "of" in words:
            continue
        for last in plurals(words[-1]):
            found = table[words].readings or _may_be_verb(words[:-1], last, table)
            table.setdefault((*words[:-1], last), Term((*words[:-1], last), found, True))
    index: dict[tuple[str, ...], list[Term]] = {}
    for words, term in table.items():
        index.setdefault(words[:2], []).append(term)
    return {first: tuple(sorted(terms, key=lambda t: -len(t.words))) for first, terms in index.items()}


# Plurals of blocked compounds that are as often what the first thing does: "a bus stops".
_VERBS = frozenset(["docks", "jumps", "parks", "passes", "runs", "shows", "stands", "stops"])


def _may_be_verb(before: tuple[str, ...], last: str, table: dict[tuple[str, ...], Term]) -> tuple[tuple[str, bool], ...]:
    """Perhaps-readings of such a plural: those of the words before it."""
    if before not in table or last not in _VERBS:
        return ()
    return tuple((label, False) for label, _ in table[before].readings)


def _attached(
    entries: list[dict[str, str]], kind: str, labels: tuple[str, ...], groups: dict[str, tuple[str, ...]]
) -> dict[str, frozenset[str]]:
    found: dict[str, set[str]] = {label: set() for label in labels}
    for entry in entries:
        words = {form for word in _split(entry[kind]) for form in (word, *plurals(word))}
        for label in _expand(entry["labels"], groups):
            found[label] |= words
    return {label: frozenset(words) for label, words in found.items()}


def _expand(names: str, groups: dict[str, tuple[str, ...]]) -> list[str]:
    parts = names.replace(" @", ", @").split(",")
    return [label for part in parts for label in groups.get(part.strip().removeprefix("@"), (part.strip(),)) if label]


def _split(text: str) -> list[str]:
    return [part.strip() for part in str(text).split(",") if part.strip()]


def _words(text: str) -> frozenset[str]:
    return frozenset(_split(text) if "," in text else text.split())
