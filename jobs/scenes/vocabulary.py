"""The vocabulary of a domain: how captions name its classes, colours, materials, sizes and grounds.

It is the ``words:`` section of the definition file, in the form of a lexicon (``udfs/captions/lexicons/coco.yaml``): ``labels``
with ``certain`` words, ``hypernyms``. What only captions need is under ``said``: ``nouns`` (what captions call a label, if not
all of its certain words), ``colours``, ``materials``, ``sizes`` and ``grounds`` (words for a name of the domain; empty: captions
never mention it) and ``mass`` (hypernyms that are not counted). Anything that is not listed is called by its own name.
"""

import functools
import re
from dataclasses import dataclass
from typing import Any

from jobs.scenes.domain import Domain, DomainError

Forms = dict[tuple[str, ...], tuple[str, bool]]  # tokens of a noun: (label, whether it is plural)
_UNSAID = {"plain": "", "medium": ""}
_SAID = ("nouns", "colours", "materials", "sizes", "grounds", "mass")
TOKEN = re.compile(r"[^\W_]+(?:['\u2019]s)?|[,.!?;:&]")


@dataclass(frozen=True)
class Vocabulary:
    """Words by their meaning; all nouns are singular."""

    nouns: dict[str, tuple[str, ...]]  # by label
    hypernyms: dict[str, tuple[str, ...]]  # by noun: the labels that it can stand for
    mass: frozenset[str]
    colours: dict[str, tuple[str, ...]]
    materials: dict[str, tuple[str, ...]]
    sizes: dict[str, tuple[str, ...]]
    grounds: dict[str, tuple[str, ...]]  # by name: whole phrases, "on the grass"

    @functools.cached_property
    def forms(self) -> Forms:
        """Every form of every noun, as tokens, with the label it names; for hypernyms "@" and the noun."""
        table: Forms = {}
        certain = [(noun, label) for label, nouns in self.nouns.items() for noun in nouns]
        for noun, label in [*certain, *((noun, f"@{noun}") for noun in self.hypernyms)]:
            table.setdefault(tokens(noun), (label, False))
            table.setdefault(tokens(plural(noun)), (label, True))
        return table

    @functools.cached_property
    def adjectives(self) -> dict[tuple[str, ...], tuple[str, str]]:
        """Adjectives, as tokens, with their kind and meaning: ("colour", "red")."""
        kinds = (("colour", self.colours), ("material", self.materials), ("size", self.sizes))
        return {tokens(word): (kind, name) for kind, table in kinds for name, words in table.items() for word in words}

    @functools.cached_property
    def places(self) -> dict[tuple[str, ...], str]:
        """Names of grounds by their words, as tokens without preposition and article."""
        return {tokens(bare(phrase)): name for name, phrases in self.grounds.items() for phrase in phrases}


def words_of(domain: Domain) -> Vocabulary:
    """The vocabulary of a domain; read once and cached.

    Raises:
        DomainError: ``words.said`` has an unknown section or name.
    """
    entry = _cache.get(id(domain))
    if entry is None:
        # The domain is kept alive with its vocabulary, so that no other object can get the same id.
        entry = _cache[id(domain)] = (domain, _read(domain))
    return entry[1]


_cache: dict[int, tuple[Domain, Vocabulary]] = {}


def tokens(text: str) -> tuple[str, ...]:
    """The words and punctuation marks of a text, in lower case."""
    return tuple(TOKEN.findall(text.lower()))


def bare(phrase: str) -> str:
    """A place without preposition and article: "on the grass" -> "grass"."""
    return re.sub(r"^(?:(?:on|in|at|upon|over|across)\s+)?(?:(?:the|a|an|some)\s+)?", "", phrase.strip(), flags=re.IGNORECASE)


@functools.cache
def plural(noun: str) -> str:
    """The plural of a noun or compound: "cups", "potted plants", "pieces of fruit", "pairs of scissors"."""
    import lemminflect

    head, of, rest = noun.partition(" of ")
    *before, last = head.split()
    forms = lemminflect.getInflection(last, "NNS") or (f"{last}s",)
    return " ".join([*before, forms[0]]) + of + rest


def split(text: Any) -> tuple[str, ...]:
    """The entries of a comma-separated list."""
    return tuple(part.strip() for part in str(text or "").split(",") if part.strip())


def _read(domain: Domain) -> Vocabulary:
    raw, said = domain.words, dict(domain.words.get("said", {}))
    if unknown := set(said) - set(_SAID):
        raise DomainError(f"words.said: unknown key {sorted(unknown)[0]!r}; choose from {', '.join(_SAID)}")
    nouns: dict[str, tuple[str, ...]] = {label: (label,) for label in domain.kinds}
    for label in domain.kinds:
        words = split(said.get("nouns", {}).get(label)) or split(raw.get("labels", {}).get(label, {}).get("certain"))
        nouns[label] = words or nouns[label]
    groups = {f"@{name}": split(members) for name, members in raw.get("groups", {}).items()}
    hypernyms: dict[str, tuple[str, ...]] = {}
    groups["*"] = tuple(domain.kinds)
    for names, text in raw.get("hypernyms", {}).items():
        labels = [label for name in split(names) for label in groups.get(name, (name,)) if label in domain.kinds]
        for noun in split(text):
            hypernyms[noun] = tuple(dict.fromkeys((*hypernyms.get(noun, ()), *labels)))
    return Vocabulary(
        nouns=nouns,
        hypernyms={noun: labels for noun, labels in hypernyms.items() if labels},
        mass=frozenset(split(said.get("mass"))),
        colours=_table("colours", said, tuple(domain.colours)),
        materials=_table("materials", said, tuple(domain.materials)),
        sizes=_table("sizes", said, ("small", "medium", "large")),
        grounds={name: phrases or (f"on the {name}",) for name, phrases in _grounds(said, tuple(domain.grounds)).items()},
    )


def _grounds(said: dict[str, Any], names: tuple[str, ...]) -> dict[str, tuple[str, ...]]:
    return {name: words if name in said.get("grounds", {}) else () for name, words in _table("grounds", said, names).items()}


def _table(section: str, said: dict[str, Any], names: tuple[str, ...]) -> dict[str, tuple[str, ...]]:
    entries = dict(said.get(section, {}))
    if unknown := set(entries) - set(names):
        raise DomainError(f"words.said.{section}: the domain has no {sorted(unknown)[0]!r}; it has {', '.join(names)}")
    return {name: split(entries.get(name, _UNSAID.get(name, name))) for name in names}
