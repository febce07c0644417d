"""Part-of-speech tagging: closed-class lists first, then a dictionary, disambiguated by the neighbouring tokens."""

import re
from collections.abc import Collection
from dataclasses import dataclass

from udfs.captions import word_lists
from udfs.captions.dictionary import parts_of_speech, verb_lemma


@dataclass
class Token:
    """A word, fixed phrase or punctuation mark; ``start`` and ``end`` are character offsets in the caption."""

    text: str
    start: int
    end: int
    tag: str = ""

    @property
    def low(self) -> str:
        """The text in lower case."""
        return self.text.lower()


def tag_tokens(tokens: list[Token], nouns: Collection[tuple[int, int]]) -> None:
    """Tag every token that has no tag yet. ``nouns`` are the spans of known noun phrases (mentions)."""
    nouns = [_trimmed(tokens, span) for span in nouns]
    for i, token in enumerate(tokens):
        if token.tag:
            continue
        inside = [span for span in nouns if span[0] <= token.start and token.end <= span[1]]
        if inside and token.low not in word_lists.PRONOUNS:
            token.tag = "N" if any(token.end == end for _, end in inside) else "A"
        else:
            token.tag = _closed_class_tag(token, tokens[i + 1] if i + 1 < len(tokens) else None)
            before = tokens[i - 1] if i else token
            after_mention = any(before.end == end for _, end in nouns)
            after = tokens[i + 1].low if i + 1 < len(tokens) else ""
            activity = token.low in ("cooking", "shopping", "painting") and before.tag not in ("D", "A", "S") and i > 0
            acts = (
                before.tag in ("B", "X")
                or after_mention
                or (activity and (after in word_lists.PREPOSITIONS or after in word_lists.DETERMINERS))
            )
            if token.tag == "N" and token.low in word_lists.DOINGS and acts and after != "of":
                token.tag = ""  # "while cooking", "a man cooking", "at a party cooking with pans"
    for i, token in enumerate(tokens):
        if not token.tag:
            token.tag = _open_class_tag(tokens, i, any(tokens[i - 1].end == end for _, end in nouns))
    for i, token in enumerate(tokens[1:], 1):
        if token.tag in "NA" and tokens[i - 1].low in ("is", "are", "was", "were") and _is_predicative(tokens, i, nouns):
            token.tag = "A"
    for i, token in enumerate(tokens[1:-1], 1):
        # "a counter top": the head of a compound, although it can be an adjective.
        if token.low in ("top", "front", "back", "side") and tokens[i - 1].tag == "N" and tokens[i + 1].tag not in ("N", "A"):
            token.tag = "N"
        if token.low in ("all", "both", "each") and tokens[i - 1].tag in ("N", "P") and tokens[i + 1].tag in "GEVX":
            token.tag = "R"
        # "a high fence", "his left ear": adverb forms between a determiner and a noun are adjectives.
        if (
            token.tag == "R"
            and tokens[i - 1].tag in ("D", "S", "A")
            and tokens[i + 1].tag in ("N", "A")
            and " " not in token.text
        ):
            token.tag = "A" if "ADJ" in parts_of_speech(token.low) or token.low in word_lists.ADVERBS else "R"


def _is_predicative(tokens: list[Token], i: int, nouns: Collection[tuple[int, int]]) -> bool:
    """Whether a word after "be" is a predicative adjective, although it can be a noun: "a ring that is gold"."""
    token, following = tokens[i], tokens[i + 1] if i + 1 < len(tokens) else None
    if any(start < token.end and token.start < end for start, end in nouns):
        return False
    relative = i > 1 and tokens[i - 2].tag == "W"
    goes_on = tokens[i + 2].tag if i + 2 < len(tokens) else ""
    if relative and following is not None and verb_lemma(following.low) in word_lists.STAND_ALONE and goes_on in ("I", "R"):
        following.tag = "V"  # "a bowl that is tan sits on a mat"
    if following is not None and (following.tag in ("N", "A", "Q", "'s") or following.low == "of"):
        return False
    parts = parts_of_speech(token.low)
    if token.tag == "A" or "ADJ" in parts:
        return True
    return relative and parts.get("NOUN", (token.low,))[0] == token.low


def _trimmed(tokens: list[Token], span: tuple[int, int]) -> tuple[int, int]:
    """A mention's span, trimmed to start after the last verb in it: "shore holding boards", "beach fly red kites"."""
    start, end = span
    for i, token in enumerate(tokens[1:-1], 1):
        before = tokens[i - 1]
        lemma = verb_lemma(token.low)
        if (
            token.start == start
            and before.low in word_lists.RELATIVES
            and lemma in word_lists.CAPTION_VERBS
            and token.low != lemma
        ):
            span = (token.end, end)
        if not (start <= before.start and token.end < end) or token.low in word_lists.NOUNS_IN_ING:
            continue
        if token.low.endswith("ing"):
            verb = verb_lemma(token.low) is not None
        else:
            # A compound noun does not continue with an adjective.
            following = parts_of_speech(tokens[i + 1].low)
            verb = verb_lemma(token.low) in word_lists.CAPTION_VERBS and "ADJ" in following and "NOUN" not in following
        parts = parts_of_speech(before.low)
        if verb and "NOUN" in parts and "ADJ" not in parts:
            span = (token.end, end)
    return span


def _closed_class_tag(token: Token, following: Token | None) -> str:
    low = token.low
    after = following.low if following else ""
    if not low[0].isalnum():
        return "C" if low == "&" else ("." if low in ".!?;" else ",")
    if low == "there" and (after in word_lists.BE or after in ("'s", "seems", "appears")):
        return "L"
    if low == "there's":
        return "L"
    table = (
        (low == "to" and _infinitive(after), "T"),
        (low == "that" and after not in word_lists.AUXILIARIES and verb_lemma(after) is None, "D"),
        (low in word_lists.RELATIVES, "W"),
        (low in word_lists.DETERMINERS, "D"),
        (low == "her" and (not after or after in word_lists.PREPOSITIONS or not after[0].isalnum()), "P"),
        (low in word_lists.POSSESSIVES or (low == "it's" and _is_noun(after)), "S"),
        (low in word_lists.PRONOUNS and low != "others", "P"),
        (low in word_lists.NUMBERS or low.isdigit() or (":" in low and low[0].isdigit()), "Q"),
        (low in word_lists.AUXILIARIES, "X"),
        (low in word_lists.CONJUNCTIONS, "C"),
        (low in word_lists.SUBORDINATORS, "B"),
        (
            low
            in (
                "inside",
                "outside",
                "behind",
                "underneath",
                "off",
                "down",
                "up",
                "around",
                "by",
                "over",
                "in",
                "on",
                "out",
                "along",
                "across",
                "past",
                "about",
                "through",
                "near",
                "below",
                "above",
                "beside",
                "alongside",
                "aboard",
                "opposite",
            )
            and _lacks_object(following),
            "R",
        ),
        (low in word_lists.PREPOSITIONS, "I"),
        (low == "home" and after in ("plate", "base", "office"), "A"),
        (low in word_lists.COLOURS, "A"),
        (low in word_lists.ADVERBS, "R"),
        (low in word_lists.ADJECTIVES, "A"),
        (low in word_lists.NOUNS_IN_ING or low in word_lists.NOUNS_NOT_VERBS, "N"),
    )
    return next((tag for holds, tag in table if holds), "")


def _is_noun(word: str) -> bool:
    """Whether a word can only be a noun, so that "it's" before it must mean "its"."""
    return bool(word) and (word in word_lists.BODY or set(parts_of_speech(word)) == {"NOUN"}) and not word.endswith("ing")


def _infinitive(word: str) -> bool:
    """Whether "to" before this word starts an infinitive: "to catch", but not "to bed"."""
    if not word or word in word_lists.NOUNS_NOT_VERBS or verb_lemma(word) != word:
        return False
    return word in word_lists.CAPTION_VERBS or word == "be" or "NOUN" not in parts_of_speech(word)


def _lacks_object(following: Token | None) -> bool:
    """Whether no object follows, so that the preposition is an adverb."""
    if following is None:
        return True
    low = following.low
    return (
        following.tag in ("I", "R")
        or low in word_lists.PREPOSITIONS
        or low in word_lists.CONJUNCTIONS
        or low in word_lists.SUBORDINATORS
        or not low[0].isalnum()
        or low in word_lists.RELATIVES
    )


def _open_class_tag(tokens: list[Token], i: int, after_mention: bool) -> str:
    low = tokens[i].low
    before = tokens[i - 1].tag if i else "^"
    after = tokens[i + 1].tag if i + 1 < len(tokens) else "$"
    modifies = before in ("D", "S", "Q", "A", "'s")
    parts = parts_of_speech(low)
    lemma = verb_lemma(low)
    after_pronoun = i > 0 and tokens[i - 1].low in ("another", "one", "some", "others")
    if (
        after_pronoun
        and lemma in word_lists.CAPTION_VERBS
        and low != lemma
        and low.endswith("s")
        and after in ("I", "R", "A", "D", "$", "")
    ):
        # "as another looks on"
        return "V"
    after_quantifier = i > 0 and tokens[i - 1].low in ("many", "others", "several", "few", "some") and after in ("I", "R", "$")
    if after_quantifier and low in word_lists.CAPTION_VERBS and low not in word_lists.NOUNS_NOT_VERBS:
        # "as many look on"
        return "V"
    if before == "," and after in ("I", "R") and low == lemma and low in word_lists.STAND_ALONE:
        # "several dogs, among them a puppy, gather in a yard"
        return "V"
    if low.endswith("ing") and before == "X" and not parts:
        return "G"
    following = tokens[i + 1].low.removesuffix("s") if i + 1 < len(tokens) else ""
    if following in word_lists.COMPOUNDS.get(low, ()):
        return "A"
    if low == "looking" and before == "A" and _noun_follows(tokens, i):
        return "A"
    if lemma and low.endswith("ing"):
        # "a smiling woman", but "a woman smiling"; "a bat swinging" has no determiner right before it.
        after_measure = before == "I" and tokens[i - 1].low == "of" and i > 1 and tokens[i - 2].low in word_lists.MEASURES
        return "A" if (modifies or after_measure) and _noun_follows(tokens, i) else "G"
    if lemma and _participle(low, lemma):
        if modifies and "NOUN" in parts and not low.endswith("ed") and not _noun_follows(tokens, i):
            return "N"
        if modifies or (before in ("I", "^", "C", "X") and after in ("", "N", "A") and before != "X"):
            return "A" if _noun_follows(tokens, i) else "E"
        finite = before in ("N", "P", "W", "R") and after in ("D", "S") and lemma not in ("park", "cover", "fill", "surround")
        return "V" if finite and not low.endswith("ed") else "E"
    if (
        lemma
        and after_mention
        and i
        and low not in word_lists.NOUNS_NOT_VERBS
        and (lemma in word_lists.CAPTION_VERBS or "NOUN" not in parts)
    ):
        # A certain mention ends its noun phrase: "several people huddle".
        return "V"
    if lemma and lemma in word_lists.CAPTION_VERBS and not modifies and before != "I":
        third_person = low != lemma
        plural = before == "N" and (
            tokens[i - 1].low.endswith("s") or tokens[i - 1].low in ("people", "men", "women", "children", "sheep")
        )
        coordinated = before == "C" and i > 1 and tokens[i - 2].tag == "V" and low in parts.get("VERB", ())
        if before in ("T", "X", "W") or coordinated:
            return "V"
        if (
            before in ("N", "P", "R", ",", "C")
            and (third_person or plural or before in ("P",))
            and after != "X"
            and (after != "N" or (third_person and low not in word_lists.NOUNS_NOT_VERBS))
        ):
            return "V"
        if third_person and before == "N" and "NOUN" not in parts:
            return "V"
    if "ADJ" in parts and ("NOUN" not in parts or _noun_follows(tokens, i)) and not ("VERB" in parts and before == "N"):
        return "A"
    if "NOUN" in parts or low[0].isdigit():
        return "N"
    if "ADV" in parts or low.endswith("ly"):
        return "R"
    if "ADJ" in parts or re.fullmatch(r"[a-z]+-[a-z]+(ed|ing|y)", low):
        return "A"
    if lemma:
        return "V" if before in ("N", "P", "W", "T", "X") else "N"
    return "N"


def _participle(low: str, lemma: str) -> bool:
    if low.endswith("ed"):
        return True
    from lemminflect import getInflection

    return low != lemma and low in getInflection(lemma, tag="VBN")


def _noun_follows(tokens: list[Token], i: int) -> bool:
    if i + 1 >= len(tokens):
        return False
    token = tokens[i + 1]
    if token.tag:
        return token.tag in ("N", "A") and not (
            token.tag == "A" and token.low in word_lists.COLOURS and not _noun_follows(tokens, i + 1)
        )
    parts = parts_of_speech(token.low)
    verb = verb_lemma(token.low)
    if verb and (token.low.endswith("ing") or token.low.endswith("ed")):
        return False
    if verb in word_lists.CAPTION_VERBS and token.low != verb:
        return False
    return "NOUN" in parts or "ADJ" in parts or not parts
