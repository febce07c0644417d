"""Possible mentions of removed components inside phrases that stay: dropped, or replaced by a neutral word.

Without the racket "tennis players" become "players"; without the surfboard a "surfer" becomes a "person"; without zebras a "zebra
enclosure" becomes an "enclosure". A verb that needs the removed component ("surfing") is muted: its subject stays.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from udfs.captions.chunks import is_plural
from udfs.captions.lexicon import attached_words, find_mentions
from udfs.captions.tags import Token
from udfs.captions.tree import Node, ParseError
from udfs.captions.word_lists import BODY, HANGERS

Mention = dict[str, Any]


def soften(node: Node, gone: Sequence[Mention]) -> bool:
    """Mark the words and verbs in ``node`` that belong to a mention in ``gone``. Return whether to delete the whole phrase.

    Raises:
        ParseError: a removed component is neither a phrase's head, nor its possessor, nor before a part of it.
    """
    for piece in node.lead:
        if piece.kind == "V" and any(piece.start < m["end"] <= piece.end for m in gone):
            node.mute = True
    phrase = node.phrase
    if phrase is None:
        return False
    targets = [m for m in gone if phrase.start < m["end"] <= phrase.end]
    if not targets:
        return False
    labels = {m["label"] for m in targets}
    head = phrase.tokens[-1]
    if any(m["certain"] and m["end"] > head.start for m in targets):
        return True
    if not node.labels - labels and any(m["certain"] and _is_owner(m, phrase.tokens) for m in targets):
        return True
    if not node.labels and (node.head in BODY or node.head in HANGERS):
        return True
    if any(m["certain"] for m in targets):
        if any(node.head in attached_words(label) for label in labels):
            return True
        raise ParseError("a removed component in the middle of a phrase")
    if all(token.tag == "S" for m in targets for token in phrase.tokens if m["start"] <= token.start < m["end"]):
        # "her dog": ``realise`` corrects the possessive.
        return phrase.tokens[-1].tag == "S"
    node.softened = _without_words(list(phrase.tokens), labels) or _general(list(phrase.tokens), node, labels)
    return node.softened is None


def _is_owner(mention: Mention, tokens: Sequence[Token]) -> bool:
    """Whether a mention is in the genitive: "a man's hand"."""
    owner = next((i for i, t in enumerate(tokens) if t.end == mention["end"]), len(tokens))
    return owner + 1 < len(tokens) and tokens[owner + 1].tag == "'s"


def _without_words(tokens: list[Token], labels: set[str]) -> list[Token] | None:
    """The phrase without the fewest modifiers that have to go for it to name none of ``labels``, or None."""
    modifiers = [i for i, t in enumerate(tokens[:-1]) if t.tag not in ("D", "Q", "S", "'s", "I")]
    trials = [{i} for i in modifiers] + [set(modifiers[k:]) for k in range(len(modifiers))]
    for dropped in trials:
        rest = [t for i, t in enumerate(tokens) if i not in dropped and not (t.tag == "'s" and i - 1 in dropped)]
        if dropped and not _names(rest) & labels:
            return rest
    return None


def _general(tokens: list[Token], node: Node, labels: set[str]) -> list[Token] | None:
    """A phrase with a neutral head, without the sport: "person" for "surfer"."""
    if "person" not in node.labels or "person" in labels:
        return None
    head = replace(tokens[-1], text="people" if is_plural(tokens[-1].low) else "person")
    rest = [*tokens[:-1], head]
    return rest if not _names(rest) & labels else None


def _names(tokens: Sequence[Token]) -> set[str]:
    return {mention["label"] for mention in find_mentions(" ".join(token.text for token in tokens))}
