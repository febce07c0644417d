"""Components in captions by rules: which class of the lexicon a caption names, where, and how surely.

Decisions, in the order in which they are taken:

- The longest term wins ("hot dog" is no dog, "teddy bear" no bear, "bus stop" nothing at all).
- Colours and other words that are nouns as well ("orange", "remote", "male") name nothing before a noun.
- A noun before another noun is a modifier and names its class perhaps ("zebra enclosure"), but surely before a part of it
  ("bus window"). So does an owner ("a man's hat" perhaps, "a dog's tail" surely).
- Hypernyms ("fruit"), words of several classes ("bike", "glass"), sports that need a thing ("surfing": the surfboard) and
  parts of people ("a hand") name perhaps. Toys, statues and drawings of a class name it perhaps.
- A pronoun names perhaps what was named before it, and anything ("*") when no noun was. Rewriting has to carry these labels
  along, as a removed phrase no longer shows what the pronoun stood for.
- A noun that is in no list here is a "*" too. Scenery and stuff ("street", "sky") name nothing.
- A negated noun is no mention.
"""

import unicodedata

from udfs.caption_words import WORD, Match, Parse
from udfs.mentions import Mention, parse_caption
from udfs.vocabulary import ANY, vocabulary

VERSION = 3  # of the rules; the words have a digest of their own
PORTIONS = frozenset({"pieces", "items", "kinds", "types", "sorts"})  # each may be of another class
MOST = 50  # a larger number is an estimate, and no detector counts that far


def version() -> str:
    """What tells two lexicons apart: the rules' version and a digest of the words."""
    return f"{VERSION}.{vocabulary().digest}"


def labels() -> tuple[str, ...]:
    """The classes' names: COCO's 80, in COCO's order."""
    return vocabulary().labels


def attached_words(label: str) -> frozenset[str]:
    """Words, singular and plural, for what is part of or worn by a ``label`` and goes with it ("tail", "leash").

    Words of classes are left out ("backpack"), and there are none for an unknown label.
    """
    words = vocabulary()
    return words.parts.get(label, frozenset()) | words.worn.get(label, frozenset())


def carried_labels() -> frozenset[str]:
    """Labels that are worn, so that they go when their wearer goes (a tie, a bag)."""
    return vocabulary()["carried"]


def normalise(text: str) -> str:
    """The form in which two texts are the same text: NFKC, case folded, words only, one space between them."""
    folded = unicodedata.normalize("NFKC", text).casefold()
    return " ".join(WORD.findall(folded)) or folded.strip()


def find_mentions(caption: str) -> list[Mention]:
    """Find all that a caption names, surely or perhaps, in order of place. Linear in the caption's length.

    Returns:
        Dicts of ``phrase`` (= caption[start:end], with adjectives and "group of", without article and number), ``head`` (the
        words that name it), ``label`` (a class, or "*" when it may be anything), ``start`` and ``end`` (offsets in the str),
        ``rank`` (0 is the main thing; mentions of one phrase share a rank) and ``certain``. A phrase that may name several
        labels is one dict each.
    """
    return [dict(mention) for mention in parse_caption(caption).mentions]


def count_named(caption: str, mention: Mention) -> int:
    """The least number of things that a mention states: "a dog" 1, "dogs" 2, "two large dogs" 2, "several dogs" 3.

    Fuzzy words are read low ("many" 3, "hundreds" 2), as a detector does not find all of a crowd. Pairs that are one thing
    ("scissors", "skis") are 1. ``mention`` is one of ``find_mentions(caption)``; anything else is 1.
    """
    parse, known = parse_caption(caption), vocabulary()
    match = next((m for m in parse.matches if parse.words[m.last].end == mention["end"]), None)
    if match is None:
        return 1
    bare = match.term.words[-1] in known["invariant"]
    if match.term.words[-1] in known["singular"] and not bare:
        return 1
    if not match.term.plural and not bare:
        return 1
    return max(2 if match.term.plural else 1, min(_stated_number(parse, match), MOST))


def _stated_number(parse: Parse, match: Match) -> int:
    """The product of the numbers before a head ("two dozen"), in its phrase and right before it; 1 if there is none."""
    known, product = vocabulary(), 1
    for i in range(match.first - 1, max(-1, match.start - 4), -1):
        text, joint = parse.words[i].text, parse.words[i + 1].gap
        number = _number(text)
        if joint == "-" and number:
            break  # "two-story"
        if joint not in " -" or (not number and i < match.start and text not in ("of", "a", "the")):
            break
        product *= number or 1
    return product if match.head not in known["pairs"] else max(1, product // 2 if "pair" in parse.texts else product)


def _number(text: str) -> int:
    """The number that a word says, 0 for none. Long digits are years and sizes."""
    return vocabulary().numbers.get(text, int(text) if text.isdecimal() and len(text) < 3 else 0)


def is_monotone(caption: str) -> bool:
    """Whether a caption stays true when something that it names goes and the words for it go too.

    False for "both", "only", "alone", "each other" of two classes, for all that denies ("no", "without", "not", "empty",
    "nothing but"), for "all" and "every" over things, and for a number over a group that may span classes ("three animals",
    "two of them"). Fuzzy numbers ("several animals") are left to the truth relation, for which "animals" names perhaps.
    A number over one class ("two people and a dog") is fine: a class goes with all its instances.
    """
    parse = parse_caption(caption)
    if any(_breaks(parse, i) for i in range(len(parse.words))):
        return False
    return not any(_counts_a_group(parse, match) for match in parse.matches)


def _breaks(parse: Parse, i: int) -> bool:
    """Whether word ``i``, where it stands, ties the caption's truth to what else is there."""
    known, words, text = vocabulary(), parse.words, parse.words[i].text
    before = words[i - 1].text if i else ""
    after = words[i + 1].text if i + 1 < len(words) else ""
    if text == "both":
        return after not in known["paired"]
    if text in known["breaks"]:
        return True
    if text == "no":
        return after not in known["forbidden"]
    if text == "t":
        return words[i].gap == "'" and before.endswith("n")  # isn't, doesn't
    if text == "all":
        return after not in known["harmless_after_all"] and before not in ("at", "and")
    if text == "just":
        opens = i == 0 and any(match.start <= 1 for match in parse.matches)  # "just bananas", and not "a dog just outside"
        return opens or bool(_number(after)) or after in ("a", "an", "the", "some")
    if text == "than":
        return before not in ("more", "less", "rather", "other")
    if text == "of":
        return after in ("them", "these", "those", "which") and (_number(before) > 1 or before in ("most", "some", "half"))
    joint = text == "together" or (text == "other" and before == "each") or (text == "another" and before == "one")
    return joint and _joined(parse, i)


def _counts_a_group(parse: Parse, match: Match) -> bool:
    """A number over a word that may name several classes: "three animals", "two pieces of fruit"."""
    spans = len(match.readings) > 2 or ANY in match.readings
    before = [word.text for word in parse.words[max(0, match.first - 2) : match.first]]
    portions = len(before) == 2 and before[0] in PORTIONS and before[1] == "of"
    if not spans or any(match.readings.values()) or not (match.term.plural or portions):
        return False
    start = min(match.start, match.first - 2) if portions else match.start
    near = (word.text for word in parse.words[max(0, start - 1) : match.first])
    return any(_number(text) > 1 and text not in vocabulary()["fuzzy"] for text in near)


def _joined(parse: Parse, i: int) -> bool:
    """Whether the two phrases before word ``i`` are of different classes and joined by "and" or "with"."""
    before = [m for m in parse.matches if m.last < i and any(m.readings.values()) and not m.negated][-2:]
    if len(before) < 2 or set(before[0].readings) == set(before[1].readings):
        return False
    between = {word.text for word in parse.words[before[0].last + 1 : before[1].start]}
    return not between.isdisjoint({"and", "with"})
