"""From matched terms to mentions: which class a term names in context, with what certainty, and what pronouns may refer to."""

import functools
from typing import Any

from udfs.captions.dictionary import parts_of_speech
from udfs.captions.matching import (
    NEGATORS,
    REACH,
    Match,
    Parse,
    is_adjective,
    is_only_noun,
    longest_matches,
    may_be_nominal,
    phrase_start,
    possessed_index,
    split,
)
from udfs.captions.vocabulary import ANY, Term, Vocabulary, vocabulary

Mention = dict[str, Any]

_ARTICLES = frozenset({"a", "an", "any", "the"})
_SINGULAR = frozenset({"a", "an", "one", "another", "each", "every", "this", "that"})
_LEGWEAR = frozenset({"pants", "shorts", "slacks", "tights", "briefs"})  # plurals that one has one of
_GROWN = frozenset({"male", "female", "adult", "individual"})
_ABOUT_THEM = frozenset({"both", "all", "each", "upside", "alone", "asleep", "awake"})
_ALTERNATIVES = _ARTICLES | {"or"}


def parse_caption(caption: str) -> Parse:
    """Words, terms and mentions of a caption. The result is cached and shared: do not modify it."""
    return _parse_caption(caption, vocabulary())


@functools.lru_cache(maxsize=512)
def _parse_caption(caption: str, lexicon: Vocabulary) -> Parse:
    # The lexicon is always the selected one; as a parameter it is part of the cache key.
    parse = Parse(split(caption))
    parse.keep(longest_matches(parse.words))
    parse.keep([match for match in parse.matches if not _only_describes(parse, match)])
    _read_in_context(parse)
    for match in parse.matches:
        match.start = phrase_start(parse, match)
    _negate(parse)
    for match in parse.matches:
        _make_uncertain(parse, match)
    named = [mention for match in parse.matches if not match.negated for mention in _mention(caption, parse, match)]
    mentions = named + _unknown_nouns(caption, parse)
    mentions += _pronouns(caption, parse, mentions)
    parse.mentions = _ranked(mentions, parse)
    return parse


def _only_describes(parse: Parse, match: Match) -> bool:
    """Whether a term only modifies the noun after it: "orange cat", "baby elephant", "couple of dogs", "woman surfer"."""
    words, lexicon, head = parse.words, vocabulary(), match.head
    following = parse.following(match.last)
    after = parse.owner.get(match.last + 1) if following else None
    if head == "orange" and _is_colour(parse, match):
        return True
    if "person" in match.readings and following and _acts(parse, match, following.text):
        return False
    if after and "person" in match.readings:
        young = head in lexicon["kin"] or head in ("child", "kid", "boy", "girl")
        if young and not lexicon.group("animals").isdisjoint(after.readings):
            return True
        if after.readings.get("person") and not match.term.plural:
            return True
    if after and set(match.readings) == set(after.readings) and not match.term.plural:
        return True  # "flat screen television"
    if len(match.term.words) > 1:
        return False
    if head == "glasses" and match.first and (following is None or following.text != "of"):
        return words[match.first - 1].text in lexicon["eyewear"] and "wine" not in parse.texts
    if following is None:
        return False
    if following.text == "of":
        return head in lexicon["measures"] and not _is_bare_number(parse, match.last + 2)
    if head in ("couple", "pair") and after and after.term.plural:
        return True
    if following.text.endswith("ed") and match.last + 2 in parse.owner:
        after = parse.owner[match.last + 2]  # "an orange spotted cat"
    if following.text in ("left", "right") and match.last + 2 < len(words) and words[match.last + 2].text == "of":
        return False  # "a navy tie left of a sock"
    if head not in lexicon["adjectival"] or ("person" in match.readings and after is None and _may_act(following.text)):
        return False
    return (after is not None and after.term.noun) or may_be_nominal(following.text)


def _is_inside(text: str) -> bool:
    """Whether a word may stand between a determiner and its noun."""
    lexicon = vocabulary()
    function_word = text in lexicon["stop"] or text in lexicon["determiners"]
    return not function_word and (text.endswith("ed") or may_be_nominal(text))


def _may_act(text: str) -> bool:
    """Whether the word after a person may be what the person does: "the child climbs", but also "the baby clothes"."""
    inflected = text.endswith("s") and any(lemma != text for lemma in parts_of_speech(text).get("VERB", ()))
    return inflected and text not in _LEGWEAR


def _acts(parse: Parse, match: Match, following: str) -> bool:
    """Whether the word after a person is surely what the person does, or how: "a boy pets", "a male surfing", "a child both".

    After "a" and a singular, a word in "s" can only be a verb.
    """
    if following in _ABOUT_THEM:
        return True
    if following.endswith("ing") and (after := parse.owner.get(match.last + 1)) is not None:
        last = parse.following(after.last)  # not "a female walking stick"
        return match.head in _GROWN and len(after.term.words) == 1 and (last is None or not may_be_nominal(last.text))
    return _determiner(parse, match.first) in _SINGULAR and not match.term.plural and _may_act(following)


def _determiner(parse: Parse, first: int) -> str:
    """The word before the adjectives of the noun at word ``first``: its determiner, if it has one."""
    words, i = parse.words, first - 1
    while i > 0 and first - i < REACH and i not in parse.owner and words[i].gap in " -," and _is_inside(words[i].text):
        i -= 1
    return words[i].text if i >= 0 else ""


def _is_bare_number(parse: Parse, i: int) -> bool:
    """Whether word ``i`` is a numeral without a noun after it ("family of four", "family of 7 poses")."""
    if i >= len(parse.words) or not (parse.words[i].text in vocabulary().numbers or parse.words[i].text.isdecimal()):
        return False
    following = parse.following(i)
    return following is None or not (i + 1 in parse.owner or (may_be_nominal(following.text) and not _may_act(following.text)))


def _is_colour(parse: Parse, match: Match) -> bool:
    """Whether "orange" is a colour here: next to another colour ("orange and white"), or after "in", "bright" and the like."""
    lexicon, texts, i = (
        vocabulary(),
        [word.text for word in parse.words[max(0, match.first - 2) : match.last + 3]],
        min(2, match.first),
    )
    colours, joined = lexicon["colours"], ("and", "or", "with")
    before, after = texts[:i][::-1], texts[i + 1 :]
    return any(
        bool(side) and (side[0] in colours or (len(side) == 2 and side[0] in joined and side[1] in colours))
        for side in (before, after)
    ) or (bool(before) and before[0] in lexicon["before_colour"])


def _read_in_context(parse: Parse) -> None:
    """Disambiguate terms by the rest of the caption."""
    lexicon, texts = vocabulary(), parse.texts
    labels = {label for match in parse.matches for label in match.readings}
    animals = labels & lexicon.group("animals")
    plush = not texts.isdisjoint(lexicon["plush"])
    people = any("person" in match.readings and match.head not in lexicon["body"] for match in parse.matches)
    for match in parse.matches:
        head = match.head
        if len(match.term.words) == 1:
            label, hints = lexicon.contexts.get(head) or lexicon.contexts.get(head.removesuffix("s"), ("", frozenset()))
            if label and not texts.isdisjoint(hints):
                match.readings = {label: True}
        if head == "orange":
            before = parse.words[match.first - 1].text if match.first else ""
            match.readings = {"orange": before in lexicon["determiners"] or before in lexicon["orange_before"]}
        if plush and "bear" in match.readings:
            match.readings = dict.fromkeys(("bear", "teddy bear"), False)
        if animals and head in lexicon["kin"] and "person" in match.readings:
            match.readings = {"person": False, **dict.fromkeys(sorted(animals), False)}
        if animals and head in lexicon["body"] and not people and head not in lexicon["human"]:
            match.readings = {}


def _negate(parse: Parse) -> None:
    """Mark negated matches: "no dog", "without a dog or a cat", "not a dog"."""
    words = parse.words
    for match in parse.matches:
        i = match.start - 1
        article = i >= 0 and words[i].text in _ARTICLES
        i -= article
        if i >= 0 and words[i].text in ("or", "nor"):
            while i > 0 and match.start - i < REACH and (words[i].text in _ALTERNATIVES or may_be_nominal(words[i].text)):
                i -= 1
        match.negated = i >= 0 and (words[i].text in NEGATORS or (article and words[i].text == "not"))


def _make_uncertain(parse: Parse, match: Match) -> None:
    """Make the readings of verbs, modifiers, possessors and depictions uncertain."""
    lexicon, labels = vocabulary(), set(match.readings)
    living = labels & (lexicon.group("animals") | {"person"})
    likeness = {word.text for word in parse.words[match.start : match.first]} & lexicon["depicted"]
    if "stuffed" in likeness and living - {"person"}:
        match.readings.setdefault("teddy bear", False)
    parts = frozenset[str]().union(*(lexicon.parts.get(label, frozenset()) for label in labels))
    owned = possessed_index(parse.words, match.last)
    if (
        (likeness and (living or likeness & lexicon["toys"]))
        or (owned and parse.words[owned].text not in parts)
        or _depicted(parse, match)
        or _modifies(parse, match, labels, parts)
        or _is_verb(parse, match)
        or _may_describe(parse, match)
    ):
        match.readings = dict.fromkeys(match.readings, False)


def _may_describe(parse: Parse, match: Match) -> bool:
    """ "The baby clothes", "child seats", but not "a child seats": after "a" what follows can only be a verb."""
    following = parse.following(match.last)
    if following is None or match.last + 1 in parse.owner or match.head not in vocabulary()["adjectival"]:
        return False
    ambiguous = _may_act(following.text) and may_be_nominal(following.text)
    return len(match.term.words) == 1 and ambiguous and not _acts(parse, match, following.text)


def _depicted(parse: Parse, match: Match) -> bool:
    """ "A statue of a horse"."""
    words, i = parse.words, match.start - 1
    if i > 0 and words[i].text in ("a", "an", "the", "two"):
        i -= 1
    return i > 0 and words[i].text == "of" and words[i - 1].text.removesuffix("s") in vocabulary()["depiction_of"]


def _modifies(parse: Parse, match: Match, labels: set[str], parts: frozenset[str]) -> bool:
    """ "Zebra enclosure", "horse statue", but not "bus window"."""
    lexicon, following = vocabulary(), parse.following(match.last)
    if following is None or following.text in parts:
        return False
    if following.text in lexicon["depictions"]:
        return True
    if match.term.plural or labels == {"person"} or following.text in lexicon["verbs"]:
        return False
    after = parse.owner.get(match.last + 1)
    return is_only_noun(following.text) or (after is not None and after.term.noun and bool(after.readings))


def _is_verb(parse: Parse, match: Match) -> bool:
    """ "A man skis", "he bowls", "going to ski"."""
    lexicon, words, i = vocabulary(), parse.words, match.first
    if len(match.term.words) > 1 or i == 0 or words[i].gap != " ":
        return False
    if match.head in lexicon["verbs"]:
        subject = parse.owner.get(i - 1)
        agent = subject is not None and not subject.term.plural and subject.term.noun
        return agent or words[i - 1].text in ("who", "he", "she")
    infinitive = words[i - 1].text == "to" and match.head + "s" in lexicon["verbs"]
    return infinitive and i > 1 and words[i - 2].text not in ("next", "close", "attached", "tied")


def _mention(caption: str, parse: Parse, match: Match) -> list[Mention]:
    begin, end = parse.words[match.start].start, parse.words[match.last].end
    shared = {"phrase": caption[begin:end], "head": caption[parse.words[match.first].start : end]}
    place = {"start": begin, "end": end, "rank": 0}
    return [{**shared, "label": label, **place, "certain": certain} for label, certain in match.readings.items()]


def _unknown_nouns(caption: str, parse: Parse) -> list[Mention]:
    """Nouns that are in no list: each may be anything. Proper names ("New York") and negated nouns are skipped."""
    lexicon, mentions = vocabulary(), []
    for i, word in enumerate(parse.words):
        if i in parse.owner or len(word.text) < 3 or word.gap == "'" or not word.text.isalpha() or _is_known(word.text, lexicon):
            continue
        before, following = parse.words[i - 1].text if i else "", parse.following(i)
        modifies = following is not None and (i + 1 in parse.owner or may_be_nominal(following.text))
        # "The spelunker finds", but not "blue camo pants".
        if (
            modifies
            and following
            and i + 1 not in parse.owner
            and _may_act(following.text)
            and not _is_known(following.text, lexicon)
        ):
            modifies = _determiner(parse, i) not in _SINGULAR | {"the"}
        if modifies or (word.capital and before) or before in NEGATORS:
            continue
        tags = parts_of_speech(word.text)
        if set(tags) == {"NOUN"} or (not tags and (before in lexicon["determiners"] or is_adjective(before))):
            match = Match(i, i, Term((word.text,), ()), {ANY: False})
            match.start = phrase_start(parse, match)
            mentions += _mention(caption, parse, match)
    return mentions


@functools.lru_cache(maxsize=65536)
def _is_known(text: str, lexicon: Vocabulary) -> bool:
    """Whether a word is known to name no class."""
    forms = {text, *parts_of_speech(text).get("NOUN", ())}
    lists = ("scenery", "stop", "determiners", "measures", "colours", "attached", "breaks")
    abstract = text.endswith(("tion", "sion", "ness", "ment", "ship", "ism", "ance", "ence", "ility", "ology")) and len(text) > 7
    return abstract or any(forms & lexicon[name] for name in lists) or text in lexicon.numbers or (text,) in lexicon.pronouns


def _pronouns(caption: str, parse: Parse, mentions: list[Mention]) -> list[Mention]:
    """Pronouns as possible mentions of every compatible label before them; of anything, if no noun precedes them."""
    lexicon, words, pronouns = vocabulary(), parse.words, []
    pending = sorted(mentions, key=lambda m: m["end"], reverse=True)
    before: dict[str, bool] = {}
    noun_seen = False
    i = 0
    while i < len(words):
        pair = tuple(word.text for word in words[i : i + 2])
        size = 2 if len(pair) == 2 and pair in lexicon.pronouns else 1
        kind = lexicon.pronouns.get(pair[:size])
        while pending and pending[-1]["end"] <= words[i].start:
            before[pending.pop()["label"]] = False
        if kind and i not in parse.owner and not (size == 1 and _is_determiner(parse, i)):
            fitting = {label: False for label in before if label != ANY and (label != "person" or kind != "thing")}
            if kind == "person":
                fitting = {
                    label: False for label in ("person", *fitting) if label == "person" or label in lexicon.group("animals")
                }
            readings = fitting or ({} if noun_seen else {ANY: False})
            pronouns += _mention(caption, parse, Match(i, i + size - 1, Term(pair[:size], ()), readings, i))
        noun_seen = noun_seen or (words[i].text not in lexicon["stop"] and "NOUN" in parts_of_speech(words[i].text))
        i += size
    return pronouns


def _is_determiner(parse: Parse, i: int) -> bool:
    """Whether "one" or "another" is a determiner, not a pronoun: "one dog", "another man", "one of"."""
    following = parse.following(i)
    if parse.words[i].text not in ("one", "another", "ones") or following is None:
        return False
    return i + 1 in parse.owner or following.text == "of" or may_be_nominal(following.text)


def _ranked(mentions: list[Mention], parse: Parse) -> list[Mention]:
    """Rank phrases in text order, except that a fronted prepositional phrase ("In a bowl ...") ranks after the next phrase."""
    ordered = sorted(mentions, key=lambda m: (m["start"], m["end"]))
    spans = list(dict.fromkeys((m["start"], m["end"]) for m in ordered))
    fronted = bool(parse.words) and parse.words[0].text in vocabulary()["opening"]
    order = [*spans[1:2], *spans[:1], *spans[2:]] if fronted else spans
    rank = {span: place for place, span in enumerate(order)}
    return [{**m, "rank": rank[m["start"], m["end"]]} for m in ordered]
