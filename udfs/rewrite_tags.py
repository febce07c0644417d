"""Parts of speech of a caption's words: closed-class lists first, then a dictionary, decided by the neighbours."""

import re
from collections.abc import Collection
from dataclasses import dataclass
from functools import lru_cache

from udfs import rewrite_words as words


@dataclass
class Token:
    """One word, fixed phrase or punctuation mark; ``start`` and ``end`` are character offsets in the caption."""

    text: str
    start: int
    end: int
    tag: str = ""

    @property
    def low(self) -> str:
        """The text in lower case."""
        return self.text.lower()


@lru_cache(maxsize=50_000)
def parts_of_speech(word: str) -> dict[str, tuple[str, ...]]:
    """Possible parts of speech of a lower-case word with their lemmas, such as ``{"NOUN": ("stand",), "VERB": ("stand",)}``."""
    from lemminflect import getAllLemmas

    return dict(getAllLemmas(word))


def verb_lemma(word: str) -> str | None:
    """The dictionary form of a word read as a verb, or None."""
    found = parts_of_speech(word).get("VERB")
    if not found and word.endswith("ing"):
        # Newer verbs ("texting") that the dictionary lacks.
        return next((stem for stem in (word[:-3], word[:-3] + "e", word[:-4]) if stem in words.CAPTION_VERBS), None)
    if not found:
        return None
    return next((lemma for lemma in found if lemma in words.CAPTION_VERBS), found[0])


def tag_open(tokens: list[Token], nouns: Collection[tuple[int, int]]) -> None:
    """Give every token without a tag one. ``nouns`` are spans of phrases known to be noun phrases."""
    nouns = [_shortened(tokens, span) for span in nouns]
    for i, token in enumerate(tokens):
        if token.tag:
            continue
        inside = [span for span in nouns if span[0] <= token.start and token.end <= span[1]]
        if inside and token.low not in words.PRONOUNS:
            token.tag = "N" if any(token.end == end for _, end in inside) else "A"
        else:
            token.tag = _closed(token, tokens[i + 1] if i + 1 < len(tokens) else None)
            before = tokens[i - 1] if i else token
            named = any(before.end == end for _, end in nouns)
            after = tokens[i + 1].low if i + 1 < len(tokens) else ""
            busy = token.low in ("cooking", "shopping", "painting") and before.tag not in ("D", "A", "S") and i > 0
            acts = before.tag in ("B", "X") or named or (busy and (after in words.PREPOSITIONS or after in words.DETERMINERS))
            if token.tag == "N" and token.low in words.DOINGS and acts and after != "of":
                token.tag = ""  # "while cooking", "a man cooking", "at a party cooking with pans"
    for i, token in enumerate(tokens):
        if not token.tag:
            token.tag = _open(tokens, i, any(tokens[i - 1].end == end for _, end in nouns))
    for i, token in enumerate(tokens[1:], 1):
        if token.tag in "NA" and tokens[i - 1].low in ("is", "are", "was", "were") and _says_how(tokens, i, nouns):
            token.tag = "A"
    for i, token in enumerate(tokens[1:-1], 1):
        # "a counter top": the last word of a compound, although it can be an adjective.
        if token.low in ("top", "front", "back", "side") and tokens[i - 1].tag == "N" and tokens[i + 1].tag not in ("N", "A"):
            token.tag = "N"
        if token.low in ("all", "both", "each") and tokens[i - 1].tag in ("N", "P") and tokens[i + 1].tag in "GEVX":
            token.tag = "R"
        # "a high fence", "his left ear": an adverb's form between a determiner and a noun.
        if (
            token.tag == "R"
            and tokens[i - 1].tag in ("D", "S", "A")
            and tokens[i + 1].tag in ("N", "A")
            and " " not in token.text
        ):
            token.tag = "A" if "ADJ" in parts_of_speech(token.low) or token.low in words.ADVERBS else "R"


def _says_how(tokens: list[Token], i: int, nouns: Collection[tuple[int, int]]) -> bool:
    """Whether a word after a form of "be" describes, although it can be a noun: "a ring that is gold", "the lamp is metallic"."""
    token, following = tokens[i], tokens[i + 1] if i + 1 < len(tokens) else None
    if any(start < token.end and token.start < end for start, end in nouns):
        return False
    relative = i > 1 and tokens[i - 2].tag == "W"
    goes_on = tokens[i + 2].tag if i + 2 < len(tokens) else ""
    if relative and following is not None and verb_lemma(following.low) in words.STAND_ALONE and goes_on in ("I", "R"):
        following.tag = "V"  # "a bowl that is tan sits on a mat"
    if following is not None and (following.tag in ("N", "A", "Q", "'s") or following.low == "of"):
        return False
    parts = parts_of_speech(token.low)
    if token.tag == "A" or "ADJ" in parts:
        return True
    return relative and parts.get("NOUN", (token.low,))[0] == token.low


def _shortened(tokens: list[Token], span: tuple[int, int]) -> tuple[int, int]:
    """A noun phrase's span from after the last verb in it: "shore holding boards", "beach fly red kites", "(that) has peas"."""
    start, end = span
    for i, token in enumerate(tokens[1:-1], 1):
        before = tokens[i - 1]
        lemma = verb_lemma(token.low)
        if token.start == start and before.low in words.RELATIVES and lemma in words.CAPTION_VERBS and token.low != lemma:
            span = (token.end, end)
        if not (start <= before.start and token.end < end) or token.low in words.NOUNS_IN_ING:
            continue
        if token.low.endswith("ing"):
            verb = verb_lemma(token.low) is not None
        else:
            # No compound goes on with an adjective.
            following = parts_of_speech(tokens[i + 1].low)
            verb = verb_lemma(token.low) in words.CAPTION_VERBS and "ADJ" in following and "NOUN" not in following
        parts = parts_of_speech(before.low)
        if verb and "NOUN" in parts and "ADJ" not in parts:
            span = (token.end, end)
    return span


def _closed(token: Token, following: Token | None) -> str:
    low = token.low
    after = following.low if following else ""
    if not low[0].isalnum():
        return "C" if low == "&" else ("." if low in ".!?;" else ",")
    if low == "there" and (after in words.BE or after in ("'s", "seems", "appears")):
        return "L"
    if low == "there's":
        return "L"
    table = (
        (low == "to" and _infinitive(after), "T"),
        (low == "that" and after not in words.AUXILIARIES and verb_lemma(after) is None, "D"),
        (low in words.RELATIVES, "W"),
        (low in words.DETERMINERS, "D"),
        (low == "her" and (not after or after in words.PREPOSITIONS or not after[0].isalnum()), "P"),
        (low in words.POSSESSIVES or (low == "it's" and _is_noun(after)), "S"),
        (low in words.PRONOUNS and low != "others", "P"),
        (low in words.NUMBERS or low.isdigit() or (":" in low and low[0].isdigit()), "Q"),
        (low in words.AUXILIARIES, "X"),
        (low in words.CONJUNCTIONS, "C"),
        (low in words.SUBORDINATORS, "B"),
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
            and _ends(following),
            "R",
        ),
        (low in words.PREPOSITIONS, "I"),
        (low == "home" and after in ("plate", "base", "office"), "A"),
        (low in words.COLOURS, "A"),
        (low in words.ADVERBS, "R"),
        (low in words.ADJECTIVES, "A"),
        (low in words.NOUNS_IN_ING or low in words.NOUNS_NOT_VERBS, "N"),
    )
    return next((tag for holds, tag in table if holds), "")


def _is_noun(word: str) -> bool:
    """Whether a word can only be a noun, so that "it's" before it is a slip for "its"."""
    return bool(word) and (word in words.BODY or set(parts_of_speech(word)) == {"NOUN"}) and not word.endswith("ing")


def _infinitive(word: str) -> bool:
    """Whether "to" before this word starts an infinitive: "to catch", but not "to bed"."""
    if not word or word in words.NOUNS_NOT_VERBS or verb_lemma(word) != word:
        return False
    return word in words.CAPTION_VERBS or word == "be" or "NOUN" not in parts_of_speech(word)


def _ends(following: Token | None) -> bool:
    """Whether nothing a preposition could govern follows, so that the word is an adverb."""
    if following is None:
        return True
    low = following.low
    return (
        following.tag in ("I", "R")
        or low in words.PREPOSITIONS
        or low in words.CONJUNCTIONS
        or low in words.SUBORDINATORS
        or not low[0].isalnum()
        or low in words.RELATIVES
    )


def _open(tokens: list[Token], i: int, after_component: bool) -> str:
    low = tokens[i].low
    before = tokens[i - 1].tag if i else "^"
    after = tokens[i + 1].tag if i + 1 < len(tokens) else "$"
    modifies = before in ("D", "S", "Q", "A", "'s")
    parts = parts_of_speech(low)
    lemma = verb_lemma(low)
    alone = i > 0 and tokens[i - 1].low in ("another", "one", "some", "others")
    if alone and lemma in words.CAPTION_VERBS and low != lemma and low.endswith("s") and after in ("I", "R", "A", "D", "$", ""):
        # "as another looks on"
        return "V"
    crowd = i > 0 and tokens[i - 1].low in ("many", "others", "several", "few", "some") and after in ("I", "R", "$")
    if crowd and low in words.CAPTION_VERBS and low not in words.NOUNS_NOT_VERBS:
        # "as many look on"
        return "V"
    if before == "," and after in ("I", "R") and low == lemma and low in words.STAND_ALONE:
        # "several dogs, among them a puppy, gather in a yard"
        return "V"
    if low.endswith("ing") and before == "X" and not parts:
        return "G"
    following = tokens[i + 1].low.removesuffix("s") if i + 1 < len(tokens) else ""
    if following in words.COMPOUNDS.get(low, ()):
        return "A"
    if low == "looking" and before == "A" and _noun_follows(tokens, i):
        return "A"
    if lemma and low.endswith("ing"):
        # "a smiling woman", but "a woman smiling"; "a bat swinging" has no determiner right before it.
        counted = before == "I" and tokens[i - 1].low == "of" and i > 1 and tokens[i - 2].low in words.MEASURES
        return "A" if (modifies or counted) and _noun_follows(tokens, i) else "G"
    if lemma and _participle(low, lemma):
        if modifies and "NOUN" in parts and not low.endswith("ed") and not _noun_follows(tokens, i):
            return "N"
        if modifies or (before in ("I", "^", "C", "X") and after in ("", "N", "A") and before != "X"):
            return "A" if _noun_follows(tokens, i) else "E"
        finite = before in ("N", "P", "W", "R") and after in ("D", "S") and lemma not in ("park", "cover", "fill", "surround")
        return "V" if finite and not low.endswith("ed") else "E"
    if (
        lemma
        and after_component
        and i
        and low not in words.NOUNS_NOT_VERBS
        and (lemma in words.CAPTION_VERBS or "NOUN" not in parts)
    ):
        # A component's sure name ends its phrase: "several people huddle".
        return "V"
    if lemma and lemma in words.CAPTION_VERBS and not modifies and before != "I":
        third = low != lemma
        plural = before == "N" and (
            tokens[i - 1].low.endswith("s") or tokens[i - 1].low in ("people", "men", "women", "children", "sheep")
        )
        coordinated = before == "C" and i > 1 and tokens[i - 2].tag == "V" and low in parts.get("VERB", ())
        if before in ("T", "X", "W") or coordinated:
            return "V"
        if (
            before in ("N", "P", "R", ",", "C")
            and (third or plural or before in ("P",))
            and after != "X"
            and (after != "N" or (third and low not in words.NOUNS_NOT_VERBS))
        ):
            return "V"
        if third and before == "N" and "NOUN" not in parts:
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
            token.tag == "A" and token.low in words.COLOURS and not _noun_follows(tokens, i + 1)
        )
    parts = parts_of_speech(token.low)
    verb = verb_lemma(token.low)
    if verb and (token.low.endswith("ing") or token.low.endswith("ed")):
        return False
    if verb in words.CAPTION_VERBS and token.low != verb:
        return False
    return "NOUN" in parts or "ADJ" in parts or not parts
