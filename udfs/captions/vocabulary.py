"""Lexicons: the words that name components, loaded once from a YAML file and indexed for look-up.

The built-in lexicon, ``lexicons/coco.yaml``, covers COCO's 80 classes; comments in the file explain its sections. The classes of
another detector need another file, but no code: its ``words:`` (in a scene domain's definition file, or the whole of a plain
YAML file) replace the sections about classes and extend the lists of other words (colours, scenery, ...).

The lexicon is a setting. ``using`` selects one while a role runs; outside it the COCO lexicon applies.
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

from udfs.captions.dictionary import parts_of_speech
from udfs.errors import DualsetError

PATH = Path(__file__).parent / "lexicons" / "coco.yaml"
DOMAINS = Path(__file__).parent / "domains"
ANY = "*"  # the label of a mention that may name anything


@dataclass(frozen=True)
class Term:
    """A word or compound with its readings.

    ``readings`` are (label, certain) in the file's order; empty for a blocked compound. ``plural``: the form denotes two or
    more. ``noun`` is False for words that only imply an object ("surfing").
    """

    words: tuple[str, ...]
    readings: tuple[tuple[str, bool], ...]
    plural: bool = False
    noun: bool = True


class LexiconError(DualsetError, ValueError):
    """A lexicon file is missing or invalid."""


@dataclass(frozen=True, eq=False)
class Vocabulary:
    """An indexed lexicon: terms by their first two words (longest first) and sets of single lower-case words.

    Each file yields one object per process, compared by identity, so results may be cached by it.
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
    """The lexicon selected by ``using``, else the COCO lexicon."""
    return _selected.get() or _cached(PATH, None)


@contextmanager
def using(lexicon: str | Vocabulary) -> Iterator[Vocabulary]:
    """Select a lexicon inside the block: a name or file (see ``load``), or a loaded lexicon."""
    token = _selected.set(load(lexicon) if isinstance(lexicon, str) else lexicon)
    try:
        yield vocabulary()
    finally:
        _selected.reset(token)


def load(lexicon: str) -> Vocabulary:
    """Load the lexicon of a scene domain (by name) or of a YAML file (by path); empty: COCO. Takes about a second, then cached.

    Raises:
        LexiconError: the file does not exist or holds no lexicon.
    """
    path = locate(lexicon)
    return _cached(path, None if path == PATH else path.read_bytes())


def locate(lexicon: str) -> Path:
    """The file of a lexicon.

    Raises:
        LexiconError: no such domain or file.
    """
    path = PATH if not lexicon else DOMAINS / f"{lexicon}.yaml"
    path = path if path.is_file() else Path(lexicon).absolute()
    if not path.is_file():
        known = ", ".join(sorted(file.stem for file in DOMAINS.glob("*.yaml")))
        raise LexiconError(f"no lexicon {lexicon!r}: the domains are {known}; or give a YAML file")
    return path


@functools.cache
def _cached(path: Path, content: bytes | None) -> Vocabulary:
    """The COCO lexicon, or COCO's with its classes replaced by the content of another file. Plurals take about a second."""
    data = PATH.read_bytes()
    raw = yaml.safe_load(data)
    if content is not None:
        try:
            raw = _adapt(raw, yaml.safe_load(content))
            data = json.dumps(raw, sort_keys=True).encode()  # words only: a domain's shapes do not change its lexicon
        except (yaml.YAMLError, AttributeError, TypeError) as problem:
            raise LexiconError(f"{path} is no lexicon: {' '.join(str(problem).split())}") from problem
        if not raw["labels"]:
            raise LexiconError(f"{path} is no lexicon: it has no labels under words: and no kinds")
    return _indexed(raw, hashlib.sha256(data).hexdigest()[:8])


def _adapt(coco: dict[str, Any], tree: dict[str, Any]) -> dict[str, Any]:
    """COCO's word lists with the classes of another file. A domain's class without words is named by its label."""
    words = tree.get("words") or ({} if "kinds" in tree else tree)
    labels = {label: {"certain": label} for label in tree.get("kinds") or {}} | words.get("labels", {})
    groups = {"animals": ""} | words.get("groups", {})
    about_classes = {name: words.get(name, type(coco[name])()) for name in _CLASS_SECTIONS}
    hypernyms = dict(words.get("hypernyms", {}))
    hypernyms["*"] = ", ".join(filter(None, [hypernyms.get("*"), coco["hypernyms"]["*"]]))
    raw = coco | about_classes | {"labels": labels, "groups": groups, "hypernyms": hypernyms}
    additions = {
        name: str(text) for name, text in words.items() if name in coco and name not in _STRUCTURED_SECTIONS + _CLASS_SECTIONS
    }
    # A domain declares its own adjectives and grounds; neither names a class.
    described = words.get("said", {}) if "kinds" in tree else {}
    for name, sections in (("colours", ("colours", "materials")), ("scenery", ("grounds",))):
        listed = [f"{word}, {text}" for section in sections for word, text in described.get(section, {}).items()]
        listed += [word for section in sections for word in tree.get(section) or () if "kinds" in tree]
        additions[name] = ", ".join([additions.get(name, ""), *" ".join(listed).replace(",", " ").split()])
    for name, text in additions.items():
        raw[name] = ", ".join(sorted(_words(coco[name]) | set(_split(text))))
    return raw


def _indexed(raw: dict[str, Any], digest: str) -> Vocabulary:
    """Index a lexicon's words."""
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
    sets = {name: _words(raw[name]) for name in raw if name not in _STRUCTURED_SECTIONS}
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


_STRUCTURED_SECTIONS = ("groups", "labels", "hypernyms", "implied", "blocked", "contexts", "numbers", "pronouns", "attachments")
_CLASS_SECTIONS = ("implied", "blocked", "contexts", "attachments", "carried")


@functools.cache
def plurals(term: str) -> tuple[str, ...]:
    """Plurals of a noun or compound ("tennis ball" -> "tennis balls"): from a table, by rule for unknown words."""
    # lemminflect rather than inflect: its tables load in half a second, where importing inflect takes more than three.
    import lemminflect

    *before, last = term.split()
    forms = lemminflect.getInflection(last, "NNS")
    return tuple(" ".join([*before, form]) for form in forms if form != last)


def _looks_plural(word: str) -> bool:
    lemmas = parts_of_speech(word).get("NOUN", ())
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
            plural_readings = table[words].readings or _may_be_verb(words[:-1], last, table)
            table.setdefault((*words[:-1], last), Term((*words[:-1], last), plural_readings, True))
    index: dict[tuple[str, ...], list[Term]] = {}
    for words, term in table.items():
        index.setdefault(words[:2], []).append(term)
    return {first: tuple(sorted(terms, key=lambda t: -len(t.words))) for first, terms in index.items()}


# Plurals of blocked compounds that are as often verbs: "a bus stops".
_VERBS = frozenset(["docks", "jumps", "parks", "passes", "runs", "shows", "stands", "stops"])


def _may_be_verb(before: tuple[str, ...], last: str, table: dict[tuple[str, ...], Term]) -> tuple[tuple[str, bool], ...]:
    """Uncertain readings of such a plural: those of the words before it."""
    if before not in table or last not in _VERBS:
        return ()
    return tuple((label, False) for label, _ in table[before].readings)


def _attached(
    entries: list[dict[str, str]], kind: str, labels: tuple[str, ...], groups: dict[str, tuple[str, ...]]
) -> dict[str, frozenset[str]]:
    attached: dict[str, set[str]] = {label: set() for label in labels}
    for entry in entries:
        words = {form for word in _split(entry[kind]) for form in (word, *plurals(word))}
        for label in _expand(entry["labels"], groups):
            attached[label] |= words
    return {label: frozenset(words) for label, words in attached.items()}


def _expand(names: str, groups: dict[str, tuple[str, ...]]) -> list[str]:
    parts = names.replace(" @", ", @").split(",")
    return [label for part in parts for label in groups.get(part.strip().removeprefix("@"), (part.strip(),)) if label]


def _split(text: str) -> list[str]:
    return [part.strip() for part in str(text).split(",") if part.strip()]


def _words(text: str) -> frozenset[str]:
    return frozenset(_split(text) if "," in text else text.split())
