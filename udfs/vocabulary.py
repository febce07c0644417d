"""The words that name components: a lexicon's YAML file, loaded once and ready to be looked up.

COCO's 80 classes are the built-in one, ``lexicons/coco.yaml``; what its sections mean is said beside them in the file. Another
detector's classes need another file and no code: its ``words:`` (those of a scene domain's definition file, or the whole of a
plain YAML file) replace the sections about classes and add to the lists of other words (colours, scenery, ...).

Which lexicon is read with is a setting. ``using`` selects it for as long as a role is at work; nothing else changes it, and
outside it is COCO's.
"""

import functools
import hashlib
import json
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

PATH = Path(__file__).parent / "lexicons" / "coco.yaml"
DOMAINS = Path(__file__).parent.parent / "scenes" / "domains"
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


class LexiconError(ValueError):
    """A lexicon's file is missing or wrong."""


@dataclass(frozen=True, eq=False)
class Vocabulary:
    """A lexicon ready for use: terms by their first two words (longest first) and sets of single lower-case words.

    One file has one object a process, which is equal to no other: results may be cached by it.
    """

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


_selected: ContextVar[Vocabulary | None] = ContextVar("lexicon", default=None)


def vocabulary() -> Vocabulary:
    """The lexicon selected by ``using``, else COCO's."""
    return _selected.get() or _make(PATH, None)


@contextmanager
def using(lexicon: str | Vocabulary) -> Iterator[Vocabulary]:
    """Read with a lexicon inside the block: a name, a file (see ``load``), or one that is loaded."""
    token = _selected.set(load(lexicon) if isinstance(lexicon, str) else lexicon)
    try:
        yield vocabulary()
    finally:
        _selected.reset(token)


def load(lexicon: str) -> Vocabulary:
    """A lexicon by the name of a scene domain or the path of a YAML file; empty: COCO's. About a second for each file's content.

    Raises:
        LexiconError: no such file, or no lexicon in it.
    """
    path = locate(lexicon)
    return _make(path, None if path == PATH else path.read_bytes())


def locate(lexicon: str) -> Path:
    """The file of a lexicon.

    Raises:
        LexiconError: there is none.
    """
    found = PATH if not lexicon else DOMAINS / f"{lexicon}.yaml"
    found = found if found.is_file() else Path(lexicon).absolute()
    if not found.is_file():
        known = ", ".join(sorted(file.stem for file in DOMAINS.glob("*.yaml")))
        raise LexiconError(f"no lexicon {lexicon!r}: the domains are {known}; or give a YAML file")
    return found


@functools.cache
def _make(path: Path, content: bytes | None) -> Vocabulary:
    """Make a lexicon: COCO's, or with the content of another file in place of its classes. Plurals take about a second."""
    data = PATH.read_bytes()
    raw = yaml.safe_load(data)
    if content is not None:
        try:
            raw = _adapt(raw, yaml.safe_load(content))
            data = json.dumps(raw, sort_keys=True).encode()  # words only: how a domain's things look makes no other lexicon
        except (yaml.YAMLError, AttributeError, TypeError) as problem:
            raise LexiconError(f"{path} is no lexicon: {' '.join(str(problem).split())}") from problem
        if not raw["labels"]:
            raise LexiconError(f"{path} is no lexicon: it has no labels under words: and no kinds")
    return _ready(raw, hashlib.sha256(data).hexdigest()[:8])


def _adapt(coco: dict[str, Any], tree: dict[str, Any]) -> dict[str, Any]:
    """COCO's words with the classes of another file. Classes of a domain that have no words are named by their own name."""
    words = tree.get("words") or ({} if "kinds" in tree else tree)
    labels = {label: {"certain": label} for label in tree.get("kinds") or {}} | words.get("labels", {})
    groups = {"animals": ""} | words.get("groups", {})
    about_classes = {name: words.get(name, type(coco[name])()) for name in _ABOUT_CLASSES}
    hypernyms = dict(words.get("hypernyms", {}))
    hypernyms["*"] = ", ".join(filter(None, [hypernyms.get("*"), coco["hypernyms"]["*"]]))
    raw = coco | about_classes | {"labels": labels, "groups": groups, "hypernyms": hypernyms}
    more = {name: str(text) for name, text in words.items() if name in coco and name not in _NOT_SETS + _ABOUT_CLASSES}
    # A domain says itself which words describe, and where its things stand: neither names a class.
    said = words.get("said", {}) if "kinds" in tree else {}
    for name, sections in (("colours", ("colours", "materials")), ("scenery", ("grounds",))):
        own = [f"{word}, {text}" for section in sections for word, text in said.get(section, {}).items()]
        own += [word for section in sections for word in tree.get(section) or () if "kinds" in tree]
        more[name] = ", ".join([more.get(name, ""), *" ".join(own).replace(",", " ").split()])
    for name, text in more.items():
        raw[name] = ", ".join(sorted(_words(coco[name]) | set(_split(text))))
    return raw


def _ready(raw: dict[str, Any], digest: str) -> Vocabulary:
    """Index the words of a lexicon."""
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
        digest=digest,
    )


_NOT_SETS = ("groups", "labels", "hypernyms", "implied", "blocked", "contexts", "numbers", "pronouns", "attachments")
_ABOUT_CLASSES = ("implied", "blocked", "contexts", "attachments", "carried")


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
