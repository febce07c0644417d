"""Faults of grammar that can be seen in a text about a scene: articles, agreement, doubled words, and loose ends."""

import re

from scenes.domain import Domain
from scenes.grammar import article
from scenes.pieces import MANY, Piece, pieces
from scenes.words import tokens, words_of

_LOOSE = frozenset(
    tokens(
        "a an the and or with of to on in at by near left right front next behind beside above below under over atop that which"
        " is are there while along as well also two three its , :"
    )
)
_START = frozenset(tokens("and or with of , . that which is are along as while also"))
_VERBS = {"is": False, "are": True, "sits": False, "sit": True, "stands": False, "stand": True, "lies": False, "lie": True}


def faults(text: str, domain: Domain) -> list[str]:
    """What is wrong with a text's grammar, in words; empty if nothing is."""
    found = tokens(text)
    if not any(word.isalnum() for word in "".join(found)):
        return ["no words"]
    wrong = [f"article: {one} {two}" for one, two in zip(found, found[1:], strict=False) if _bad_article(one, two)]
    wrong += [f"doubled: {one}" for one, two in zip(found, found[1:], strict=False) if one == two]
    for sentence in re.split(r"[.!?;]+\s*", text.strip()):
        said = tokens(sentence)
        if said:
            wrong += [f"loose end: {said[-1]}"] * (said[-1] in _LOOSE)
            wrong += [f"loose start: {said[0]}"] * (said[0] in _START)
    return wrong + _agreement(text, domain)


def _bad_article(one: str, two: str) -> bool:
    return one in ("a", "an") and (not two[:1].isalnum() or two in ("a", "an", "the", "some") or one != article(two))


def _agreement(text: str, domain: Domain) -> list[str]:
    """Verbs whose number is not that of their subject: what stands before them, or after "there" and a place."""
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
    """Whether what follows a verb is plural; None where both will do: "there is a cup and a vase"."""
    rest = [piece for piece in rest if piece.kind != "only"]
    if not rest or rest[0].kind != "thing":
        return None
    joined = [piece.kind for piece in rest[1:2]] == ["and"] and any(piece.kind == "thing" for piece in rest[2:3])
    if joined and verb.text.startswith(("there", "here")):
        # By the nearest: "there is a cup and two vases"; "there are" is never wrong.
        return None if verb.text.endswith("are") else _many(rest[0])
    return True if joined else _many(rest[0])


def _before(sentence: list[Piece], verb: Piece) -> bool | None:
    """Whether the subject before a verb is plural; None where its words do not say."""
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
