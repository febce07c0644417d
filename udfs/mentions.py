"""From words to mentions: which class each term of a caption names here, how surely, and what pronouns may stand for."""

import functools
from typing import Any

from udfs.caption_words import (
    NEGATORS,
    REACH,
    Match,
    Parse,
    clean_noun,
    is_adjective,
    longest_matches,
    loose_noun,
    parts_of_speech,
    phrase_start,
    possessed,
    split,
)
from udfs.vocabulary import ANY, Term, Vocabulary, vocabulary

Mention = dict[str, Any]

_ARTICLES = frozenset({"a", "an", "any", "the"})
_ALTERNATIVES = _ARTICLES | {"or"}


def parse_caption(caption: str) -> Parse:
    """Words, terms and mentions of a caption; shared and not to be changed."""
    return _parse_caption(caption, vocabulary())


@functools.lru_cache(maxsize=512)
def _parse_caption(caption: str, known: Vocabulary) -> Parse:
    # The lexicon is the selected one, and here only to tell cached results apart.
    parse = Parse(split(caption))
    parse.keep(longest_matches(parse.words))
    parse.keep([match for match in parse.matches if not _only_describes(parse, match)])
    _read_in_context(parse)
    for match in parse.matches:
        match.start = phrase_start(parse, match)
    _negate(parse)
    for match in parse.matches:
        _soften(parse, match)
    found = [_mention(caption, parse, match) for match in parse.matches if not match.negated]
    mentions = [one for some in found for one in some] + _unknown_nouns(caption, parse)
    mentions += _pronouns(caption, parse, mentions)
    parse.mentions = _ranked(mentions, parse)
    return parse


def _only_describes(parse: Parse, match: Match) -> bool:
    """Whether a term describes the noun after it: "orange cat", "baby elephant", "couple of dogs", "woman surfer"."""
    words, known, head = parse.words, vocabulary(), match.head
    following = parse.following(match.last)
    after = parse.owner.get(match.last + 1) if following else None
    if head == "orange" and _is_colour(parse, match):
        return True
    if after and "person" in match.readings:
        young = head in known["kin"] or head in ("child", "kid", "boy", "girl")
        if young and not known.group("animals").isdisjoint(after.readings):
            return True
        if after.readings.get("person") and not match.term.plural:
            return True
    if after and set(match.readings) == set(after.readings) and not match.term.plural:
        return True  # "flat screen television"
    if len(match.term.words) > 1:
        return False
    if head == "glasses" and match.first and (following is None or following.text != "of"):
        return words[match.first - 1].text in known["eyewear"] and "wine" not in parse.texts
    if following is None:
        return False
    if following.text == "of":
        return head in known["measures"] and not _of_number(parse, match.last + 2)
    if head in ("couple", "pair") and after and after.term.plural:
        return True
    if following.text.endswith("ed") and match.last + 2 in parse.owner:
        after = parse.owner[match.last + 2]  # "an orange spotted cat"
    if following.text in ("left", "right") and match.last + 2 < len(words) and words[match.last + 2].text == "of":
        return False  # "a navy tie left of a sock"
    return head in known["adjectival"] and ((after is not None and after.term.noun) or loose_noun(following.text))


def _of_number(parse: Parse, i: int) -> bool:
    """Whether word ``i`` is a number that counts no noun after it ("family of four")."""
    if i >= len(parse.words) or parse.words[i].text not in vocabulary().numbers:
        return False
    following = parse.following(i)
    return following is None or not (i + 1 in parse.owner or loose_noun(following.text))


def _is_colour(parse: Parse, match: Match) -> bool:
    """Whether "orange" is a colour here: beside another one ("orange and white"), or after "in", "bright" and the like."""
    known, texts, i = (
        vocabulary(),
        [word.text for word in parse.words[max(0, match.first - 2) : match.last + 3]],
        min(2, match.first),
    )
    colours, joined = known["colours"], ("and", "or", "with")
    before, after = texts[:i][::-1], texts[i + 1 :]
    return any(
        bool(side) and (side[0] in colours or (len(side) == 2 and side[0] in joined and side[1] in colours))
        for side in (before, after)
    ) or (bool(before) and before[0] in known["before_colour"])


def _read_in_context(parse: Parse) -> None:
    """Settle ambiguous terms by the rest of the caption."""
    known, texts = vocabulary(), parse.texts
    named = {label for match in parse.matches for label in match.readings}
    animals = named & known.group("animals")
    plush = not texts.isdisjoint(known["plush"])
    people = any("person" in match.readings and match.head not in known["body"] for match in parse.matches)
    for match in parse.matches:
        head = match.head
        if len(match.term.words) == 1:
            label, hints = known.contexts.get(head) or known.contexts.get(head.removesuffix("s"), ("", frozenset()))
            if label and not texts.isdisjoint(hints):
                match.readings = {label: True}
        if head == "orange":
            before = parse.words[match.first - 1].text if match.first else ""
            match.readings = {"orange": before in known["determiners"] or before in known["orange_before"]}
        if plush and "bear" in match.readings:
            match.readings = dict.fromkeys(("bear", "teddy bear"), False)
        if animals and head in known["kin"] and "person" in match.readings:
            match.readings = {"person": False, **dict.fromkeys(sorted(animals), False)}
        if animals and head in known["body"] and not people and head not in known["human"]:
            match.readings = {}


def _negate(parse: Parse) -> None:
    """Mark what a caption denies: "no dog", "without a dog or a cat", "not a dog"."""
    words = parse.words
    for match in parse.matches:
        i = match.start - 1
        article = i >= 0 and words[i].text in _ARTICLES
        i -= article
        if i >= 0 and words[i].text in ("or", "nor"):
            while i > 0 and match.start - i < REACH and (words[i].text in _ALTERNATIVES or loose_noun(words[i].text)):
                i -= 1
        match.negated = i >= 0 and (words[i].text in NEGATORS or (article and words[i].text == "not"))


def _soften(parse: Parse, match: Match) -> None:
    """Make readings uncertain where the word is a verb, a modifier, an owner, or the name of a likeness."""
    known, labels = vocabulary(), set(match.readings)
    living = labels & (known.group("animals") | {"person"})
    likeness = {word.text for word in parse.words[match.start : match.first]} & known["depicted"]
    if "stuffed" in likeness and living - {"person"}:
        match.readings.setdefault("teddy bear", False)
    parts = frozenset[str]().union(*(known.parts.get(label, frozenset()) for label in labels))
    owned = possessed(parse.words, match.last)
    if (
        (likeness and (living or likeness & known["toys"]))
        or (owned and parse.words[owned].text not in parts)
        or _depicted(parse, match)
        or _modifies(parse, match, labels, parts)
        or _is_verb(parse, match)
    ):
        match.readings = dict.fromkeys(match.readings, False)


def _depicted(parse: Parse, match: Match) -> bool:
    """ "A statue of a horse"."""
    words, i = parse.words, match.start - 1
    if i > 0 and words[i].text in ("a", "an", "the", "two"):
        i -= 1
    return i > 0 and words[i].text == "of" and words[i - 1].text.removesuffix("s") in vocabulary()["depiction_of"]


def _modifies(parse: Parse, match: Match, labels: set[str], parts: frozenset[str]) -> bool:
    """ "Zebra enclosure", "horse statue", but not "bus window"."""
    known, following = vocabulary(), parse.following(match.last)
    if following is None or following.text in parts:
        return False
    if following.text in known["depictions"]:
        return True
    if match.term.plural or labels == {"person"} or following.text in known["verbs"]:
        return False
    after = parse.owner.get(match.last + 1)
    return clean_noun(following.text) or (after is not None and after.term.noun and bool(after.readings))


def _is_verb(parse: Parse, match: Match) -> bool:
    """ "A man skis", "he bowls", "going to ski"."""
    known, words, i = vocabulary(), parse.words, match.first
    if len(match.term.words) > 1 or i == 0 or words[i].gap != " ":
        return False
    if match.head in known["verbs"]:
        subject = parse.owner.get(i - 1)
        agent = subject is not None and not subject.term.plural and subject.term.noun
        return agent or words[i - 1].text in ("who", "he", "she")
    infinitive = words[i - 1].text == "to" and match.head + "s" in known["verbs"]
    return infinitive and i > 1 and words[i - 2].text not in ("next", "close", "attached", "tied")


def _mention(caption: str, parse: Parse, match: Match) -> list[Mention]:
    begin, end = parse.words[match.start].start, parse.words[match.last].end
    shared = {"phrase": caption[begin:end], "head": caption[parse.words[match.first].start : end]}
    place = {"start": begin, "end": end, "rank": 0}
    return [{**shared, "label": label, **place, "certain": certain} for label, certain in match.readings.items()]


def _unknown_nouns(caption: str, parse: Parse) -> list[Mention]:
    """Nouns that are in no list: each may be anything. Names ("New York") and denied nouns are left out."""
    known, found = vocabulary(), []
    for i, word in enumerate(parse.words):
        if i in parse.owner or len(word.text) < 3 or word.gap == "'" or not word.text.isalpha() or _is_known(word.text, known):
            continue
        before, following = parse.words[i - 1].text if i else "", parse.following(i)
        modifier = following is not None and (i + 1 in parse.owner or loose_noun(following.text))
        if modifier or (word.capital and before) or before in NEGATORS:
            continue
        tags = parts_of_speech(word.text)
        if set(tags) == {"NOUN"} or (not tags and (before in known["determiners"] or is_adjective(before))):
            match = Match(i, i, Term((word.text,), ()), {ANY: False})
            match.start = phrase_start(parse, match)
            found += _mention(caption, parse, match)
    return found


@functools.lru_cache(maxsize=65536)
def _is_known(text: str, known: Vocabulary) -> bool:
    """Whether a word is known to name none of the classes."""
    forms = {text, *parts_of_speech(text).get("NOUN", ())}
    lists = ("scenery", "stop", "determiners", "measures", "colours", "attached", "breaks")
    abstract = text.endswith(("tion", "sion", "ness", "ment", "ship", "ism", "ance", "ence", "ility", "ology")) and len(text) > 7
    return abstract or any(forms & known[name] for name in lists) or text in known.numbers or (text,) in known.pronouns


def _pronouns(caption: str, parse: Parse, mentions: list[Mention]) -> list[Mention]:
    """Pronouns, each naming perhaps the labels named before it that it fits; anything, if no noun stands before it."""
    known, words, found = vocabulary(), parse.words, []
    waiting = sorted(mentions, key=lambda m: m["end"], reverse=True)
    before: dict[str, bool] = {}
    noun = False
    i = 0
    while i < len(words):
        pair = tuple(word.text for word in words[i : i + 2])
        size = 2 if len(pair) == 2 and pair in known.pronouns else 1
        kind = known.pronouns.get(pair[:size])
        while waiting and waiting[-1]["end"] <= words[i].start:
            before[waiting.pop()["label"]] = False
        if kind and i not in parse.owner and not (size == 1 and _is_determiner(parse, i)):
            fitting = {label: False for label in before if label != ANY and (label != "person" or kind != "thing")}
            if kind == "person":
                fitting = {label: False for label in ("person", *fitting) if label == "person" or label in known.group("animals")}
            readings = fitting or ({} if noun else {ANY: False})
            found += _mention(caption, parse, Match(i, i + size - 1, Term(pair[:size], ()), readings, i))
        noun = noun or (words[i].text not in known["stop"] and "NOUN" in parts_of_speech(words[i].text))
        i += size
    return found


def _is_determiner(parse: Parse, i: int) -> bool:
    """ "One dog", "another man", "one of": no pronoun."""
    following = parse.following(i)
    if parse.words[i].text not in ("one", "another", "ones") or following is None:
        return False
    return i + 1 in parse.owner or following.text == "of" or loose_noun(following.text)


def _ranked(mentions: list[Mention], parse: Parse) -> list[Mention]:
    """Rank phrases by place; what a caption opens with behind a preposition ("In a bowl ...") comes after what follows it."""
    ordered = sorted(mentions, key=lambda m: (m["start"], m["end"]))
    spans = list(dict.fromkeys((m["start"], m["end"]) for m in ordered))
    fronted = bool(parse.words) and parse.words[0].text in vocabulary()["opening"]
    order = [*spans[1:2], *spans[:1], *spans[2:]] if fronted else spans
    rank = {span: place for place, span in enumerate(order)}
    return [{**m, "rank": rank[m["start"], m["end"]]} for m in ordered]
