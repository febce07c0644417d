"""Components in captions by rules: which classes of the lexicon a caption names, where, and with what certainty.

Decisions, in this order:

- The longest term wins ("hot dog" is not a dog, "teddy bear" not a bear, "bus stop" names nothing).
- Colours and other adjectives that are also nouns ("orange", "remote", "male") name nothing before a noun.
- A noun before another noun is a modifier: it possibly names its class ("zebra enclosure"), and certainly does before a part of
  it ("bus window"). The same holds for a possessor ("a man's hat" possibly, "a dog's tail" certainly).
- Hypernyms ("fruit"), ambiguous words ("bike", "glass"), sports that imply an object ("surfing": the surfboard) and body parts
  ("a hand") are possible mentions. So are toys, statues and drawings of a class.
- A pronoun possibly names any antecedent before it, or anything ("*") if no noun precedes it. Rewriting must carry these labels
  along, because once a phrase is removed the text no longer shows the pronoun's antecedent.
- A noun that is in no list is a "*" too. Scenery and stuff ("street", "sky") name nothing.
- A negated noun is not a mention.
"""

import unicodedata

from udfs.captions.matching import WORD, Match, Parse
from udfs.captions.mentions import Mention, parse_caption
from udfs.captions.vocabulary import ANY, vocabulary

VERSION = 4  # of the rules; the word lists have their own digest
PORTIONS = frozenset({"pieces", "items", "kinds", "types", "sorts"})  # each may belong to a different class
MAX_COUNT = 50  # larger numbers are estimates, and no detector counts that far


def version() -> str:
    """Identifies a lexicon: the rules' version and a digest of the word lists."""
    return f"{VERSION}.{vocabulary().digest}"


def labels() -> tuple[str, ...]:
    """Class names of the selected lexicon, in its order; by default COCO's 80."""
    return vocabulary().labels


def attached_words(label: str) -> frozenset[str]:
    """Words, singular and plural, for parts and clothes of a ``label`` that are removed along with it ("tail", "leash").

    Words that name a class ("backpack") are excluded. The set is empty for an unknown label.
    """
    lexicon = vocabulary()
    return lexicon.parts.get(label, frozenset()) | lexicon.worn.get(label, frozenset())


def carried_labels() -> frozenset[str]:
    """Labels that are worn or carried, and so are removed along with their wearer (a tie, a bag)."""
    return vocabulary()["carried"]


def normalise(text: str) -> str:
    """Canonical form for comparing texts: NFKC, case-folded, words only, separated by single spaces."""
    folded = unicodedata.normalize("NFKC", text).casefold()
    return " ".join(WORD.findall(folded)) or folded.strip()


def find_mentions(caption: str) -> list[Mention]:
    """Find all certain and possible mentions in a caption, in text order. Linear in the caption's length.

    Returns:
        Dicts of ``phrase`` (= caption[start:end], with adjectives and "group of", without article and number), ``head`` (the
        words that name the class), ``label`` (a class, or "*" if it may be anything), ``start`` and ``end`` (character offsets),
        ``rank`` (0 is the main component; mentions of one phrase share a rank) and ``certain``. A phrase that may name
        several labels yields one dict per label.
    """
    return [dict(mention) for mention in parse_caption(caption).mentions]


def count_named(caption: str, mention: Mention) -> int:
    """The smallest count that a mention implies: "a dog" 1, "dogs" 2, "two large dogs" 2, "several dogs" 3.

    Vague quantifiers are read low ("many" 3, "hundreds" 2), because a detector does not find everyone in a crowd. Plural-only
    nouns ("scissors", "skis") count 1. ``mention`` is an element of ``find_mentions(caption)``; anything else counts 1.
    """
    parse, lexicon = parse_caption(caption), vocabulary()
    match = next((m for m in parse.matches if parse.words[m.last].end == mention["end"]), None)
    if match is None:
        return 1
    unmarked = match.term.words[-1] in lexicon["invariant"]
    if match.term.words[-1] in lexicon["singular"] and not unmarked:
        return 1
    if not match.term.plural and not unmarked:
        return 1
    return max(2 if match.term.plural else 1, min(_stated_number(parse, match), MAX_COUNT))


def _stated_number(parse: Parse, match: Match) -> int:
    """Product of the numerals before a head ("two dozen"), inside its phrase and right before it; 1 without numerals."""
    lexicon, product = vocabulary(), 1
    for i in range(match.first - 1, max(-1, match.start - 4), -1):
        text, gap = parse.words[i].text, parse.words[i + 1].gap
        number = _number(text)
        if gap == "-" and number:
            break  # "two-story"
        if gap not in " -" or (not number and i < match.start and text not in ("of", "a", "the")):
            break
        product *= number or 1
    return product if match.head not in lexicon["pairs"] else max(1, product // 2 if "pair" in parse.texts else product)


def _number(text: str) -> int:
    """The value of a numeral, 0 for any other word. Three digits and more are years and sizes."""
    return vocabulary().numbers.get(text, int(text) if text.isdecimal() and len(text) < 3 else 0)


def is_monotone(caption: str) -> bool:
    """Whether a caption stays true when a component and the words that name it are removed.

    False for "both", "only", "alone", "each other" of two classes; for negation ("no", "without", "not", "empty", "nothing
    but"); for "all" and "every" over things; and for a number over a group that may span classes ("three animals", "two of
    them"). Vague quantifiers ("several animals") are left to the truth relation, where "animals" is a possible mention.
    A number over one class ("two people and a dog") is fine: a class is removed with all its instances.
    """
    parse = parse_caption(caption)
    if any(_breaks_monotonicity(parse, i) for i in range(len(parse.words))):
        return False
    return not any(_counts_hypernym(parse, match) for match in parse.matches)


def _breaks_monotonicity(parse: Parse, i: int) -> bool:
    """Whether word ``i``, in its context, makes the caption's truth depend on what else is in the image."""
    lexicon, words, text = vocabulary(), parse.words, parse.words[i].text
    before = words[i - 1].text if i else ""
    after = words[i + 1].text if i + 1 < len(words) else ""
    if text == "both":
        return after not in lexicon["paired"]
    if text in lexicon["breaks"]:
        return True
    if text == "no":
        return after not in lexicon["forbidden"]
    if text == "t":
        return words[i].gap == "'" and before.endswith("n")  # isn't, doesn't
    if text == "all":
        return after not in lexicon["harmless_after_all"] and before not in ("at", "and")
    if text == "just":
        opens = i == 0 and any(match.start <= 1 for match in parse.matches)  # "just bananas", and not "a dog just outside"
        return opens or bool(_number(after)) or after in ("a", "an", "the", "some")
    if text == "than":
        return before not in ("more", "less", "rather", "other")
    if text == "of":
        return after in ("them", "these", "those", "which") and (_number(before) > 1 or before in ("most", "some", "half"))
    reciprocal = text == "together" or (text == "other" and before == "each") or (text == "another" and before == "one")
    return reciprocal and _joined(parse, i)


def _counts_hypernym(parse: Parse, match: Match) -> bool:
    """Whether a numeral quantifies a hypernym: "three animals", "two pieces of fruit"."""
    spans = len(match.readings) > 2 or ANY in match.readings
    before = [word.text for word in parse.words[max(0, match.first - 2) : match.first]]
    portions = len(before) == 2 and before[0] in PORTIONS and before[1] == "of"
    if not spans or any(match.readings.values()) or not (match.term.plural or portions):
        return False
    start = min(match.start, match.first - 2) if portions else match.start
    near = (word.text for word in parse.words[max(0, start - 1) : match.first])
    return any(_number(text) > 1 and text not in vocabulary()["fuzzy"] for text in near)


def _joined(parse: Parse, i: int) -> bool:
    """Whether the two phrases before word ``i`` name different classes and are joined by "and" or "with"."""
    before = [m for m in parse.matches if m.last < i and any(m.readings.values()) and not m.negated][-2:]
    if len(before) < 2 or set(before[0].readings) == set(before[1].readings):
        return False
    between = {word.text for word in parse.words[before[0].last + 1 : before[1].start]}
    return not between.isdisjoint({"and", "with"})
