"""Words that perhaps name what is removed, within phrases that stay: left out, or replaced by one that does not.

"tennis players" without the racket are "players", a "surfer" without the surfboard is a "person", a "zebra enclosure" without
zebras an "enclosure". A verb that needs what is removed ("surfing") is muted: its subject stays, the verb goes.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from udfs.lexicon import attached_words, find_mentions
from udfs.rewrite_chunks import is_plural
from udfs.rewrite_tags import Token
from udfs.rewrite_tree import Misread, Node
from udfs.rewrite_words import BODY, HANGERS

Mention = dict[str, Any]


def soften(node: Node, gone: Sequence[Mention]) -> bool:
    """Mark in ``node`` the words and the verb that name a mention in ``gone``. Return whether the whole phrase has to go.

    Raises:
        Misread: a removed component is neither a phrase's head, nor its owner, nor before a part of it.
    """
    for piece in node.lead:
        if piece.kind == "V" and any(piece.start < m["end"] <= piece.end for m in gone):
            node.mute = True
    phrase = node.phrase
    if phrase is None:
        return False
    mine = [m for m in gone if phrase.start < m["end"] <= phrase.end]
    if not mine:
        return False
    labels = {m["label"] for m in mine}
    head = phrase.tokens[-1]
    if any(m["certain"] and m["end"] > head.start for m in mine):
        return True
    if not node.labels - labels and any(m["certain"] and _owns(m, phrase.tokens) for m in mine):
        return True
    if not node.labels and (node.head in BODY or node.head in HANGERS):
        return True
    if any(m["certain"] for m in mine):
        if any(node.head in attached_words(label) for label in labels):
            return True
        raise Misread("a removed component in the middle of a phrase")
    if all(token.tag == "S" for m in mine for token in phrase.tokens if m["start"] <= token.start < m["end"]):
        # "her dog": the possessive is put right when the text is written.
        return phrase.tokens[-1].tag == "S"
    node.softened = _without_words(list(phrase.tokens), labels) or _general(list(phrase.tokens), node, labels)
    return node.softened is None


def _owns(mention: Mention, tokens: Sequence[Token]) -> bool:
    """Whether a mention is in the genitive or stands before a part: "a man's hand"."""
    owner = next((i for i, t in enumerate(tokens) if t.end == mention["end"]), len(tokens))
    return owner + 1 < len(tokens) and tokens[owner + 1].tag == "'s"


def _without_words(tokens: list[Token], labels: set[str]) -> list[Token] | None:
    """The phrase without the fewest of its modifiers that makes it name none of ``labels``, or None."""
    modifiers = [i for i, t in enumerate(tokens[:-1]) if t.tag not in ("D", "Q", "S", "'s", "I")]
    trials = [{i} for i in modifiers] + [set(modifiers[k:]) for k in range(len(modifiers))]
    for dropped in trials:
        rest = [t for i, t in enumerate(tokens) if i not in dropped and not (t.tag == "'s" and i - 1 in dropped)]
        if dropped and not _names(rest) & labels:
            return rest
    return None


def _general(tokens: list[Token], node: Node, labels: set[str]) -> list[Token] | None:
    """A phrase for people whose sport is gone: "person" for "surfer"."""
    if "person" not in node.labels or "person" in labels:
        return None
    head = replace(tokens[-1], text="people" if is_plural(tokens[-1].low) else "person")
    rest = [*tokens[:-1], head]
    return rest if not _names(rest) & labels else None


def _names(tokens: Sequence[Token]) -> set[str]:
    return {mention["label"] for mention in find_mentions(" ".join(token.text for token in tokens))}
