"""Tokenisation: words, fixed phrases and punctuation, each with a part-of-speech tag (``udfs.captions.tags``).

Tags: D determiner, S possessive, Q number, A adjective, N noun, P pronoun, V finite verb, G verb in -ing, E past participle,
X auxiliary, I preposition, T infinitive "to", C conjunction, W relative pronoun, B subordinator, R adverb, L existential
"there", ``'s`` the genitive, ``,`` punctuation inside a sentence, ``.`` the end of a sentence.
"""

import re
from collections.abc import Collection

from udfs.captions.tags import Token, tag_tokens

# Words may hold hyphens and apostrophes; the genitive is a token of its own, and so is any other non-space character.
_TOKEN = re.compile(r"(?:[A-Za-z]\.){2,}|[^\W_]+(?:[-'’./][^\W_]+|(?<=\d):(?=\d)\d+)*|'s\b|\S")
_REGION = (
    r"(?:top|back|front|sides?|middle|cent(?:er|re)|edge|ends?|bottom|corner|rear|midst|hood|inside|outside|bank|base|shores?"
    r"|left|right|part|area|section|backs|tops|edges|hands?)"
)
_PREPOSITION = re.compile(
    r"(?:on|in|at|to|from|by|near|along|around|onto|into|off) (?:(?:the|a|an|its|his|her|their) )?"
    r"(?:(?:left|right|other|far|very|back|front|top|same|opposite|either|one|bottom|upper|lower) )?"
    + _REGION
    + r" of|front of|next to|close to|adjacent to|because of|out of|up to|down to|along with|together with"
    r"|as well as|in addition to|left of|right of"
    r"|close by|on to|off of|inside of|outside of|up against|in between|up on|up to|over to|out on"
    r"|out in|out to|down on|up in|full of|across from|away from|ahead of|instead of|such as|onto|in to|back to"
    r"|in with|on board|made of|made from|out from|down in|up at|out at|away at|up from|around in|in and out of"
    r"|by the side of|on top|off to|over by|down into|up onto|up into"
    r"|down the side of|up the side of|down the middle of|in conjunction with|due to",
    re.IGNORECASE,
)
_ADVERBIAL = re.compile(
    r"side by side|each other|one another|up close|in front|in back|at night|at once|on end|face to face|close up"
    r"|close together|back to back|at a time|in the air|in mid-?air|mid-?air|in the background|in the foreground"
    r"|in the distance|in motion|in action|in a row|in a line|in line|in the middle|at the same time|on the side"
    r"|in the back|in the front|for a picture|for a photo|for the camera|at the camera|into the camera|at the ready"
    r"|all over|by itself|on top|upside down|right side up",
    re.IGNORECASE,
)
_ADJECTIVE = re.compile(r"(?:(?<=a )|(?<=the )|(?<=of ))(?:cut|chopped|sliced|rolled|dressed) up(?= [a-z])", re.IGNORECASE)
_NUMBER = re.compile(r"(?:more|less|fewer) than (?:one|two|three|a dozen)|at least (?:one|two|three)", re.IGNORECASE)


def tokenise(caption: str, nouns: Collection[tuple[int, int]]) -> list[Token]:
    """Split a caption into tagged tokens. ``nouns`` are the spans of known noun phrases (mentions)."""
    tokens = []
    position = 0
    while position < len(caption):
        fixed = _fixed_at(caption, position, nouns)
        if fixed:
            tokens.append(fixed)
            position = fixed.end
            continue
        match = _TOKEN.match(caption, position)
        if not match:
            position += 1
            continue
        text = match.group()
        if (
            len(text) > 2
            and text[-2:].lower() in ("'s", "’s")
            and text.lower() not in ("it's", "there's", "that's", "he's", "she's")
        ):
            tokens.append(Token(text[:-2], match.start(), match.end() - 2))
            tokens.append(Token(text[-2:], match.end() - 2, match.end(), "'s"))
        else:
            tokens.append(Token(text, match.start(), match.end()))
        position = match.end()
    tag_tokens(tokens, nouns)
    return tokens


def _fixed_at(caption: str, position: int, nouns: Collection[tuple[int, int]]) -> Token | None:
    if position and not caption[position - 1].isspace():
        return None
    for pattern, tag in ((_ADJECTIVE, "A"), (_ADVERBIAL, "R"), (_PREPOSITION, "I"), (_NUMBER, "Q")):
        match = pattern.match(caption, position)
        # A fixed phrase ends at a word boundary and overlaps no mention.
        if not match or (match.end() < len(caption) and caption[match.end()].isalnum()):
            continue
        if any(start < match.end() and match.start() < end for start, end in nouns):
            continue
        following = caption[match.end() :].lstrip().lower()
        if tag == "R" and following.startswith("of "):
            continue
        if match.group().lower() in ("on top", "close by"):
            tag = "R"
        return Token(match.group(), match.start(), match.end(), tag)
    return None
