"""Sentences about a scene: a ``Tale`` is the content and form of a sentence, and ``realise`` puts it into words.

A tale has phrases in two groups, connected by a ``Join`` ("a cup and a vase", "a cup to the left of a vase"), in a ``Frame``
("there is ... on the grass"). A dual text is the same tale, realised without some of its phrases (``dual_texts``): if one group
is empty the join is left out, and if both are, only the ground remains. Frames, joins and relation words that training never
sees are marked as held out.
"""

from dataclasses import dataclass, replace

from jobs.scenes.meaning import ANY, MANY, Fact, Item, Meaning, meaning
from jobs.scenes.vocabulary import bare, plural

COUNTS = ("no", "a", "two", "three", "four", "five", "six", "seven", "eight")


@dataclass(frozen=True)
class Phrase:
    """Things that are named together. ``labels``: one for each thing; none if the phrase denies it ("no cup")."""

    labels: tuple[str, ...]
    name: str  # a label, "@fruit", "*"
    noun: str  # singular
    number: str = ""  # "": the count; "some", "several", "a pair of", ...: if it fits the count; "mass"
    adjectives: tuple[tuple[str, str, str], ...] = ()  # (kind, meaning, word)
    after: bool = False  # "a cup that is red", with exactly one adjective; a held-out form

    @property
    def certain(self) -> bool:
        """Whether the phrase names its class for certain."""
        return self.name != ANY and not self.name.startswith("@")

    @property
    def is_plural(self) -> bool:
        """Whether it takes a plural verb."""
        return len(self.labels) > 1 and self.number != "mass"

    @property
    def item(self) -> Item:
        """What the phrase says."""
        count = len(self.labels)
        if self.number == "mass" or (count > 1 and self.number in ("some", "several", "bare")):
            count = MANY
        described = {kind: value for kind, value, _ in self.adjectives}
        return Item(self.name, count, **described)

    def words(self) -> tuple[list[str], list[str], list[str]]:
        """(determiner, adjectives and noun, what follows), in words."""
        count, described = len(self.labels), [word for _, _, word in self.adjectives]
        tail = ["that", "are" if self.is_plural else "is", *described] if self.after else []
        noun = self.noun if count < 2 or self.number == "mass" else plural(self.noun)
        core = " ".join([*([] if self.after else described), noun]).split()
        if self.number == "mass":
            return ["some"], core, tail
        if count == 1:
            return [article(core[0])], core, tail
        fits = {"bare": "", "some": "some", "several": "several" if count > 2 else "some"}
        fits |= {"a pair of": "a pair of", "a couple of": "a couple of"} if count == 2 else {}
        determiner = fits.get(self.number, COUNTS[count] if count < len(COUNTS) else "several")
        return determiner.split(), core, tail


@dataclass(frozen=True)
class Frame:
    """A sentence around the things, X, and the place, P, if it is named; {is}, {sits}, {lies}, {there_is} agree with X."""

    name: str
    pattern: str
    heldout: bool = False
    place: bool = False  # whether the place must be named
    exclusive: bool = False

    @property
    def bare(self) -> bool:
        """Whether a join with its own verb fits in."""
        return self.name == "plain"


FRAMES = (
    Frame("plain", "{X} {P}"),
    Frame("there", "there {there_is} {X} {P}"),
    Frame("photo", "a photo of {X} {P}"),
    Frame("picture", "a picture of {X} {P}"),
    Frame("is", "{X} {is} {P}", place=True),
    Frame("sitting", "{X} sitting {P}", place=True),
    Frame("standing", "{X} standing {P}", place=True),
    Frame("here", "here {there_is} {X} {P}", heldout=True),
    Frame("lies", "{X} {lies} {P}", heldout=True, place=True),
    Frame("image", "an image of {X} {P}", heldout=True),
    Frame("close_up", "a close up of {X} {P}", heldout=True),
    Frame("shows", "this picture shows {X} {P}", heldout=True),
    Frame("seen", "{X} can be seen {P}", heldout=True, place=True),
    Frame("sits", "{X} {sits} {P}", heldout=True, place=True),
    Frame("fronted", "{P} there {there_is} {X}", heldout=True, place=True),
    Frame("inverted", "{P} {is} {X}", heldout=True, place=True),
)
LIMITS = (
    Frame("only", "only {X} {P}", exclusive=True),
    Frame("nothing_but", "nothing but {X} {P}", exclusive=True),
    Frame("there_only", "there {there_is} only {X} {P}", exclusive=True),
    Frame("just", "just {X} {P}", heldout=True, exclusive=True),
    Frame("alone", "{X} alone {P}", heldout=True, exclusive=True),
)


@dataclass(frozen=True)
class Join:
    """How the second group follows the first. {A}, {B}: the groups; {r}: the relation's words; {it}: the first group.

    ``turned``: the relation's subject is the second group. ``verb``: the join makes a sentence by itself.
    """

    name: str
    pattern: str
    heldout: bool = False
    related: bool = False
    turned: bool = False
    verb: bool = False
    comma: bool = False  # a comma before "and"

    @property
    def pronoun(self) -> bool:
        """Whether a pronoun stands for the first group."""
        return "{it}" in self.pattern


JOINS = (
    Join("and", "{A} and {B}"),
    Join("with", "{A} with {B}"),
    Join("relation", "{A} {r} {B}", related=True),
    Join("pronoun", "{A} and {B} {r} {it}", related=True, turned=True),
    Join("says", "{A} {is} {r} {B}", related=True, verb=True),
    Join("oxford", "{A} and {B}", heldout=True, comma=True),
    Join("along_with", "{A} along with {B}", heldout=True),
    Join("as_well_as", "{A} as well as {B}", heldout=True),
    Join("that", "{A} that {is} {r} {B}", heldout=True, related=True),
    Join("with_pronoun", "{A} with {B} {r} {it}", heldout=True, related=True, turned=True),
    Join("turned", "{r} {B} {is} {A}", heldout=True, related=True, verb=True),
    Join("two_sentences", "there {there_is} {A} {P} . {they} {is} {r} {B}", heldout=True, related=True, verb=True),
)
RELATION_WORDS = {  # by relation: (words, whether held out)
    "left of": (("to the left of", False), ("left of", False), ("on the left side of", True)),
    "right of": (("to the right of", False), ("right of", False), ("on the right side of", True)),
    "in front of": (("in front of", False),),
    "behind": (("behind", False),),
    "on": (("on top of", False), ("on", False), ("atop", True)),
    "above": (("above", False), ("over", True)),
    "below": (("below", False), ("under", True)),
    "next to": (("next to", False), ("beside", False), ("near", True), ("by", True)),
    "touching": (("touching", True),),
}


@dataclass(frozen=True)
class Tale:
    """The content and form of a sentence. A denied phrase is in ``second``."""

    frame: Frame
    join: Join
    first: tuple[Phrase, ...]
    second: tuple[Phrase, ...] = ()
    relation: str = ""
    relation_words: tuple[str, bool] = ("", False)
    ground: str = ""
    place: str = ""  # "on the grass"
    style: str = "A."  # "A" or "a": capital or not; ".": a full stop

    @property
    def phrases(self) -> tuple[Phrase, ...]:
        """All phrases."""
        return (*self.first, *self.second)

    @property
    def heldout(self) -> bool:
        """Whether training never sees a sentence of this form."""
        joined = self.first and self.second
        return (
            self.frame.heldout
            or any(phrase.after for phrase in self.phrases)
            or bool(joined and (self.join.heldout or self.relation_words[1]))
        )

    @property
    def form(self) -> str:
        """The name of the sentence's form."""
        after = "that" if any(phrase.after for phrase in self.phrases) else ""
        join = self.join.name if self.second else ""
        parts = [self.frame.name, join, self.relation_words[0], after, "place" if self.place else ""]
        return "/".join(part for part in parts if part)

    @property
    def meaning(self) -> Meaning:
        """What the sentence says."""
        facts: list[Fact] = []
        if self.relation:
            pairs = [(a.item, b.item) for a in self.first for b in self.second]
            facts = [(b, self.relation, a) if self.join.turned else (a, self.relation, b) for a, b in pairs]
        return meaning([phrase.item for phrase in self.phrases], facts, self.ground, self.frame.exclusive)


def without(tale: Tale, removed: frozenset[str]) -> Tale:
    """The tale without the things of some labels; a group word ("some fruit") stays for the things that remain of it."""
    first, second = (tuple(kept for phrase in group if (kept := _less(phrase, removed))) for group in (tale.first, tale.second))
    if first and second:
        return replace(tale, first=first, second=second)
    return replace(tale, first=first or second, second=(), relation="", join=JOINS[0])


def _less(phrase: Phrase, removed: frozenset[str]) -> Phrase | None:
    labels = tuple(label for label in phrase.labels if label not in removed)
    if len(labels) == len(phrase.labels):
        return phrase
    return replace(phrase, labels=labels) if labels else None


def article(word: str) -> str:
    """ "a" or "an", by the sound at the start of a word."""
    low = word.lower()
    vowel = low[:1] in "aeiou" and not low.startswith(("uni", "use", "one", "eu"))
    return "an" if vowel or low.startswith(("hour", "honest", "heir")) else "a"


def realise(tale: Tale) -> tuple[str, list[tuple[int, int, Phrase]]]:
    """The sentence, and the span of each phrase in it: (start, end, phrase); a pronoun has the phrases it refers to.

    A tale without phrases and without a ground gives an empty text.
    """
    pattern = _pattern(tale)
    words: list[tuple[str, Phrase | None]] = []
    for slot in pattern.split():
        words += _slot(slot, tale)
    return _spell(words, tale.style)


def _pattern(tale: Tale) -> str:
    if not tale.phrases:
        ground = f"the {bare(tale.place)}" if " the " in f" {tale.place} " else f"a {bare(tale.place)}"
        frame = tale.frame.pattern if tale.frame.pattern.endswith("of {X} {P}") else "{X}"
        return frame.replace("{P}", "").replace("{X}", ground) if tale.place else ""
    if not tale.second:
        return tale.frame.pattern.replace("{X}", "{A}").replace("{P}", tale.place)
    if tale.join.verb:
        pattern = tale.join.pattern if "{P}" in tale.join.pattern else f"{tale.join.pattern} {{P}}"
        return pattern.replace("{P}", tale.place)
    return tale.frame.pattern.replace("{X}", tale.join.pattern).replace("{P}", tale.place)


def _slot(slot: str, tale: Tale) -> list[tuple[str, Phrase | None]]:
    if slot == "{A}":
        open_list = bool(tale.second) and tale.join.name in ("and", "oxford")
        return _list(tale.first, tale.join.comma, open_list)
    if slot == "{B}":
        return _list(tale.second, tale.join.comma)
    if slot == "{r}":
        return [(word, None) for word in tale.relation_words[0].split()]
    if slot in ("{it}", "{they}"):
        word = ("them" if slot == "{it}" else "they") if _many(tale.first) else "it"
        return [(word, Phrase(tuple(label for p in tale.first for label in p.labels), ANY, word))]
    if slot == "{there_is}":
        return [("are" if tale.phrases[0].is_plural else "is", None)]
    if slot in _VERBS:
        subject = tale.phrases if "{A} and {B}" in tale.join.pattern else tale.first
        return [(_VERBS[slot][_many(subject)], None)]
    return [(slot, None)]


_VERBS = {"{is}": ("is", "are"), "{sits}": ("sits", "sit"), "{lies}": ("lies", "lie")}


def _many(phrases: tuple[Phrase, ...]) -> bool:
    return len(phrases) > 1 or phrases[0].is_plural


def _list(phrases: tuple[Phrase, ...], comma: bool, continues: bool = False) -> list[tuple[str, Phrase | None]]:
    """ "a, b and c"; ``continues``: "a, b" (with a comma at the end if ``comma``), because "and c" follows."""
    words: list[tuple[str, Phrase | None]] = []
    for i, phrase in enumerate(phrases):
        last = i == len(phrases) - 1 and not continues
        if i:
            words += [(",", None)] if not last or (comma and i > 1) else []
            words += [("and", None)] if last else []
        determiner, core, tail = phrase.words()
        words += [(word, None) for word in determiner] + [(word, phrase) for word in core] + [(word, None) for word in tail]
    return [*words, (",", None)] if continues and comma and len(phrases) > 1 else words


def _spell(words: list[tuple[str, Phrase | None]], style: str) -> tuple[str, list[tuple[int, int, Phrase]]]:
    """Join words with blanks, capitals and full stops; adjacent words of a phrase are its span."""
    text, spans, before = "", list[tuple[int, int, Phrase]](), None
    capital = style[0] == "A"
    for word, phrase in words:
        text += "" if not text or word in ",." else " "
        if phrase is not None and phrase is before and word:
            spans[-1] = (spans[-1][0], len(text) + len(word), phrase)
        elif phrase is not None:
            spans.append((len(text), len(text) + len(word), phrase))
        text += word[:1].upper() + word[1:] if capital else word
        capital, before = word == "." and style[0] == "A", phrase
    return (text + "." if text and style.endswith(".") else text), spans
