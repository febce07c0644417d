"""Grammar faults that can be detected in a text about a scene: articles, agreement, doubled words and loose ends."""

import re

from jobs.scenes.caption_pieces import MANY, Piece, pieces
from jobs.scenes.domain import Domain
from jobs.scenes.grammar import article
from jobs.scenes.vocabulary import tokens, words_of

_LOOSE = frozenset(
    tokens(
        "a an the and or with of to on in at by near left right front next behind beside above below under over atop that which"
        " is are there while along as well also two three its , :"
    )
)
_START = frozenset(tokens("and or with of , . that which is are along as while also"))
_VERBS = {"is": False, "are": True, "sits": False, "sit": True, "stands": False, "stand": True, "lies": False, "lie": True}


def faults(text: str, domain: Domain) -> list[str]:
    """Descriptions of a text's grammar faults; empty if there are none."""
    words = tokens(text)
    if not any(word.isalnum() for word in "".join(words)):
        return ["no words"]
    wrong = [
        f"article: {word} {following}" for word, following in zip(words, words[1:], strict=False) if _bad_article(word, following)
    ]
    wrong += [f"doubled: {word}" for word, following in zip(words, words[1:], strict=False) if word == following]
    for sentence in re.split(r"[.!?;]+\s*", text.strip()):
        sentence_words = tokens(sentence)
        if sentence_words:
            wrong += [f"loose end: {sentence_words[-1]}"] * (sentence_words[-1] in _LOOSE)
            wrong += [f"loose start: {sentence_words[0]}"] * (sentence_words[0] in _START)
    return wrong + _agreement(text, domain)


def _bad_article(word: str, following: str) -> bool:
    return word in ("a", "an") and (
        not following[:1].isalnum() or following in ("a", "an", "the", "some") or word != article(following)
    )


def _agreement(text: str, domain: Domain) -> list[str]:
    """Verbs that do not agree with their subject, which stands before them, or after them if the sentence is inverted."""
    wrong, sentence = [], list[Piece]()
    read = list(pieces(text, words_of(domain)))
    for at, piece in enumerate(read):
        verb = piece.text.split()[-1] if piece.kind == "verb" else ""
        if piece.kind == "stop":
            sentence = []
            continue
        if verb in _VERBS:
            subject = _after(read[at + 1 :], piece) if _inverted(sentence, piece) else _before(sentence, piece)
            if subject is not None and subject != _VERBS[verb]:
                wrong.append(f"agreement: {verb}")
        sentence.append(piece)
    return wrong


def _inverted(sentence: list[Piece], verb: Piece) -> bool:
    front = [piece.kind for piece in sentence]
    return (
        verb.text.startswith(("there", "here"))
        or "thing" not in front + ["thing"] * ("pronoun" in front)
        or front[0] == "relation"
    )


def _after(rest: list[Piece], verb: Piece) -> bool | None:
    """Whether the subject after a verb is plural; None if either number is right: "there is a cup and a vase"."""
    rest = [piece for piece in rest if piece.kind != "only"]
    if not rest or rest[0].kind != "thing":
        return None
    joined = [piece.kind for piece in rest[1:2]] == ["and"] and any(piece.kind == "thing" for piece in rest[2:3])
    if joined and verb.text.startswith(("there", "here")):
        # The nearest noun decides: "there is a cup and two vases"; "there are" is never wrong.
        return None if verb.text.endswith("are") else _many(rest[0])
    return True if joined else _many(rest[0])


def _before(sentence: list[Piece], verb: Piece) -> bool | None:
    """Whether the subject before a verb is plural; None if its words leave it open."""
    kinds = [piece.kind for piece in sentence]
    if verb.text.startswith(("that", "which")):
        things = [piece for piece in sentence if piece.kind in ("thing", "pronoun")][-1:]
        return _many(things[0]) if kinds.count("thing") == 1 else None
    end = min((kinds.index(kind) for kind in ("relation", "with") if kind in kinds), default=len(kinds))
    things = [piece for piece in sentence[:end] if piece.kind in ("thing", "pronoun")]
    if len(things) == 1:
        return _many(things[0])
    return True if things else None


def _many(piece: Piece) -> bool | None:
    if piece.item is None:
        return piece.text in ("they", "them")
    if piece.item.label.startswith("@") and piece.item.count == MANY:
        return None  # "some fruit", "some animals"
    return piece.item.count not in (0, 1)
