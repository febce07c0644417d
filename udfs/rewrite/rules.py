"""Rewriting a caption by rules: delete the phrases of removed components and make a sentence of the rest.

Tokens (``udfs.captions.tokens``) become chunks (``udfs.captions.chunks``), chunks a shallow dependency tree
(``udfs.captions.tree``). Nodes are deleted (``soften``, ``delete``), the others reattached (``reattach``) and written as text
(``realise``).
"""

import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

from udfs.captions.chunks import Chunk, chunk
from udfs.captions.tokens import tokenise
from udfs.captions.tree import Node, ParseError, build_tree
from udfs.captions.word_lists import PUTS, VIEWS
from udfs.rewrite.delete import deleted_nodes, partners
from udfs.rewrite.realise import article, bare_clause, realise
from udfs.rewrite.reattach import Outcome, reattach
from udfs.rewrite.soften import soften

Mention = dict[str, Any]
MAX_CHARS = 2000


@dataclass(frozen=True)
class Removal:
    """A rewritten caption, or None with the reason as status: ``nothing_left`` or ``not_rewritable``."""

    text: str | None
    status: str = "ok"


def remove(caption: str, mentions: Sequence[Mention], subset: int) -> str | None:
    """Return the caption without the components in ``subset``, or None if the rules find no text.

    ``mentions`` are the caption's mentions, each with its ``bit`` (-1: not in the family); ``subset`` is a bit mask.
    """
    return rewrite(caption, mentions, subset).text


def rewrite(caption: str, mentions: Sequence[Mention], subset: int) -> Removal:
    """Like ``remove``, with the reason when there is no text."""
    seen = [m for m in mentions if m["bit"] >= 0]
    return without(caption, mentions, [m for m in seen if subset >> m["bit"] & 1], seen)


def without(caption: str, mentions: Sequence[Mention], gone: Sequence[Mention], seen: Sequence[Mention]) -> Removal:
    """Rewrite a caption without some of its mentions, ``gone``: all that refer to what is removed.

    ``seen`` refer to components, or to what a detector found beside them: each has a mask of its own, and does not go with its
    holder.
    """
    if len(caption) > MAX_CHARS or not gone:
        return Removal(None, "not_rewritable")
    spans = [(m["start"], m["end"]) for m in mentions if m["certain"]]
    chunks = chunk(tokenise(caption, spans), mentions)
    try:
        sentences = [(build_tree(part), stop) for part, stop in _sentences(chunks)]
        places = {(m["start"], m["end"]) for m in seen if m["certain"]}
        texts = [(_without(caption, nodes, gone, places), stop) for nodes, stop in sentences]
    except ParseError:
        return Removal(None, "not_rewritable")
    kept = [(text, stop) for text, stop in texts if text]
    if not kept:
        return Removal(None, "nothing_left")
    text = "".join(_sentence(part, caption) + (stop + " " if stop else "") for part, stop in kept).strip()
    text = re.sub(r"; (\w)(?!\w*[A-Z])", lambda m: m.group().lower(), text)
    tail = re.search(r"[.!?]*\s*$", caption.rstrip())
    text = re.sub(r"[.!?;\s]+$", "", text) + (tail.group().strip() if tail else "")
    return Removal(text)


def _sentences(chunks: Sequence[Chunk]) -> list[tuple[list[Chunk], str]]:
    sentences: list[tuple[list[Chunk], str]] = []
    part: list[Chunk] = []
    for piece in chunks:
        if piece.kind == ".":
            if part:
                sentences.append((part, piece.low))
            part = []
        else:
            part.append(piece)
    return [*sentences, (part, "")] if part else sentences


def _without(caption: str, nodes: Sequence[Node], gone: Sequence[Mention], seen: Collection[tuple[int, int]]) -> str:
    """One sentence without the mentions in ``gone``; an empty string if nothing is left."""
    start, end = _extent(nodes)
    targets = [m for m in gone if start <= m["start"] < end]
    chunks = [c for n in nodes for c in (*n.lead, *([n.phrase] if n.phrase else []))]
    for mention in targets:
        holder = next(c for c in chunks if c.start < mention["end"] <= c.end)
        if mention["certain"] and holder.kind != "NP":
            raise ParseError("a removed mention is not in a noun phrase")
    if not targets:
        return caption[start:end]
    marked = {n.index for n in nodes if soften(n, targets)}
    if marked and any(c.kind == "B" for c in nodes[0].lead):
        raise ParseError("a clause before the main clause")
    removed = {m["label"] for m in gone if m["certain"]}
    for spare in (False, True):
        deleted = deleted_nodes(nodes, marked, spare, seen)
        if any(n.index not in deleted and _carries_text(n, nodes, deleted) for n in nodes):
            outcome = _reattached(nodes, deleted, removed)
            first = next((i for i in outcome.places if nodes[i].phrase), None)
            if first is None:
                continue
            successors = {n.index for n in (*nodes[0].members, *partners(nodes[0], deleted))}
            nonfinite = nodes[0].index in deleted and first not in successors and not any(c.kind == "L" for c in nodes[0].lead)
            return realise(caption, nodes, outcome, nonfinite)
    return ""


def _reattached(nodes: Sequence[Node], deleted: set[int], removed: set[str]) -> Outcome:
    """Reattach the surviving nodes and drop those that lost their meaning.

    Raises:
        ParseError: a verb has lost its goal or a pronoun its antecedent.
    """
    outcome = reattach(nodes, deleted, removed)
    lost = {n.index for n in outcome.alive if _is_pronoun(n) and bare_clause(n, nodes, outcome)}
    if _views_nothing(nodes[0], outcome):
        lost.add(0)
    if lost:
        outcome = reattach(nodes, deleted | lost, removed)
    if any(_lost_goal(n, nodes, outcome) for n in outcome.alive):
        raise ParseError("a verb has lost its goal")
    if any(place.joined and _is_pronoun(nodes[i]) for i, place in outcome.places.items()):
        raise ParseError("a pronoun has lost its antecedent")
    return outcome


def _is_pronoun(node: Node) -> bool:
    return node.phrase is not None and node.phrase.tokens[-1].tag == "P"


def _carries_text(node: Node, nodes: Sequence[Node], deleted: set[int]) -> bool:
    """Whether a surviving node can be a text's subject; a view ("a picture") only with content."""
    if node.phrase is None or node.phrase.tokens[-1].tag in ("P", "D", "Q"):
        return False
    if (node.hanger or node.worn) and node.index:
        return False
    if node.head in VIEWS:
        return any(n.index not in deleted and n.parent is node and n.phrase for n in nodes)
    return True


def _lost_goal(node: Node, nodes: Sequence[Node], outcome: Outcome) -> bool:
    """Whether "putting a hand on a horse" has lost what the hand is put on."""
    agent = node.parent
    acts = node.role == "verb" and agent is not None and agent.index in outcome.places
    if not acts or node.verb is None or node.verb.lemma not in PUTS:
        return False
    goals = [n for n in nodes if n.parent is node and n.role == "prep" and n.prep in ("on", "in", "into", "onto", "to", "over")]
    return bool(goals) and all(n.index not in outcome.places for n in goals)


def _views_nothing(root: Node, outcome: Outcome) -> bool:
    """Whether a view ("a picture") has lost all its content, and other nodes are only joined to it."""
    if root.head not in VIEWS or root.index not in outcome.places:
        return False
    if root.place:
        return False
    return not any(place.parent is root and not place.joined for place in outcome.places.values())


def _extent(nodes: Sequence[Node]) -> tuple[int, int]:
    chunks = [c for n in nodes for c in (*n.lead, *([n.phrase] if n.phrase else []))]
    return min(c.start for c in chunks), max(c.end for c in chunks)


def _sentence(text: str, caption: str) -> str:
    """Capitalise as in the caption, choose "a" or "an" by the next word, collapse spaces."""
    text = re.sub(r"\b(an?) an? ", r"\1 ", text, flags=re.IGNORECASE)
    text = re.sub(
        r"\b([Aa])n? (?=(\w+))",
        lambda m: (article(m.group(2)) if m.group(1) == "a" else article(m.group(2)).capitalize()) + " ",
        text,
    )
    text = re.sub(r"\s+", " ", text).strip()
    if caption.isupper():
        return text.upper()
    first = next((c for c in caption if c.isalpha()), "")
    if text and first.isupper():
        return text[0].upper() + text[1:]
    return text
