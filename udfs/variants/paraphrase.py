"""Captions with the same meaning in other words, by rules: rewrites as in LaCLIP, and paraphrases as close as negatives.

A paraphrase replaces one word by a synonym, or exchanges the two phrases around an "and". A rewrite changes the form of the
sentence: "a dog sleeping on a couch", "a dog is sleeping on a couch", "there is a dog sleeping on a couch", "here is ...".
"""

from collections.abc import Iterator

from udfs.captions.chunks import Chunk
from udfs.captions.tags import Token
from udfs.variants.phrases import Caption, Variant, edited, is_plural_phrase
from udfs.variants.substitutions import SYNONYMS
from udfs.variants.swap import reorders

# Stative verbs: the progressive means something else, or nothing.
_STATES = frozenset(
    {"be", "have", "contain", "feature", "show", "include", "look", "seem", "appear", "belong", "need", "like", "see"}
)


def paraphrases(caption: Caption) -> Iterator[Variant]:
    """One edit each: the order of two phrases, then a synonym."""
    yield from reorders(caption)
    tokens = caption.tokens()
    for pair in SYNONYMS:
        for old, new in (pair, pair[::-1]):
            for i, token in enumerate(tokens):
                if token.low == old and not new.isdigit() and not _in_compound(tokens, i):
                    yield Variant(edited(caption.text, [(token.start, token.end, new)]))


def _in_compound(tokens: list[Token], i: int) -> bool:
    """Whether a noun is part of a compound: "a street light", "a cable car"."""
    if tokens[i].tag != "N":
        return tokens[i].tag not in ("A", "I", "Q")
    before, after = tokens[i - 1].tag if i else "", tokens[i + 1].tag if i + 1 < len(tokens) else ""
    return before == "N" or after in ("N", "A")


def rewrites(caption: Caption) -> Iterator[Variant]:
    """Other sentence forms of the caption and of its last paraphrase, then the paraphrases themselves."""
    synonyms = [variant.text for variant in paraphrases(caption) if variant.text]
    sources = [caption, *(Caption.of(text) for text in synonyms[-1:])]
    for source in sources:
        yield from _forms(source)
    yield from (Variant(text) for text in synonyms)


def _forms(caption: Caption) -> Iterator[Variant]:
    chunks = caption.chunks
    if not chunks or any(piece.kind == "." for piece in chunks[:-1]):
        return  # two sentences
    if chunks[0].kind == "L":
        rest = caption.text[chunks[0].end :].strip()
        if rest and chunks[1:] and chunks[1].kind == "NP" and chunks[0].low in ("there is", "there are"):
            yield Variant(edited(f"{rest[0].upper()}{rest[1:]}", []))
            yield _framed(caption, f"here {chunks[0].tokens[-1].low}", chunks[1].start)
        return
    if chunks[0].kind != "NP" or not _indefinite(chunks[0]):
        return
    verb = chunks[1] if len(chunks) > 1 and chunks[1].kind == "V" else None
    if any(piece.finite and piece is not verb for piece in chunks):
        return
    be = "are" if is_plural_phrase(chunks[0]) else "is"
    if verb is None:
        yield from (_framed(caption, f"{frame} {be}") for frame in ("there", "here"))
        return
    doing = _doing(verb)
    if doing is None or (len(chunks) > 2 and chunks[2].kind == "V"):
        return
    start, end = verb.start, verb.end
    plain = Caption(edited(caption.text, [(start, end, doing)]), caption.chunks)
    yield from (_framed(plain, f"{frame} {be}") for frame in ("there", "here"))
    for words in (doing, f"{be} {doing}"):
        if words != verb.low:
            yield Variant(edited(caption.text, [(start, end, words)]))


def _doing(verb: Chunk) -> str | None:
    """A verb group as a participle: "sleeps", "is sleeping", "sleeping" -> "sleeping"; None if that changes the meaning."""
    tags = "".join(token.tag for token in verb.tokens)
    if tags in ("G", "E"):
        return verb.tokens[0].low
    if tags in ("XG", "XE") and verb.tokens[0].low in ("is", "are"):
        return verb.tokens[1].low
    if tags == "V" and verb.lemma not in _STATES:
        from lemminflect import getInflection

        return getInflection(verb.lemma, "VBG")[0]
    return None


def _framed(caption: Caption, frame: str, start: int = 0) -> Variant:
    rest = caption.text[start:]
    if start == 0 and not caption.text.isupper():
        rest = rest[0].lower() + rest[1:]
    capital = next((c.isupper() for c in caption.text if c.isalpha()), False)
    text = f"{frame} {rest}"
    return Variant(text.upper() if caption.text.isupper() else text[0].upper() + text[1:] if capital else text)


def _indefinite(phrase: Chunk) -> bool:
    first = phrase.tokens[0]
    if first.tag in ("A", "N"):
        return is_plural_phrase(phrase)  # "people", but not "bathroom"
    return first.tag == "Q" or first.low in ("a", "an", "some", "several", "many", "another")
