"""Rewriting a caption by rules: delete the phrases of removed components, and say the rest well.

Tokens (``rewrite_tokens``) become chunks (``rewrite_chunks``), chunks a flat dependency guess (``rewrite_tree``). In it nodes are
deleted (``rewrite_soften``, ``rewrite_delete``), the rest is hung anew (``rewrite_rehang``) and put into words
(``rewrite_realise``).
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from udfs.rewrite_chunks import Chunk, chunk
from udfs.rewrite_delete import doomed, partners
from udfs.rewrite_realise import article, bare_clause, realise
from udfs.rewrite_rehang import Outcome, rehang
from udfs.rewrite_soften import soften
from udfs.rewrite_tokens import tokenise
from udfs.rewrite_tree import Misread, Node, build
from udfs.rewrite_words import PUTS, VIEWS

Mention = dict[str, Any]
MAX_CHARS = 2000


@dataclass(frozen=True)
class Removal:
    """A rewritten caption, or None with why: ``nothing_left`` or ``not_rewritable``."""

    text: str | None
    status: str = "ok"


def remove(caption: str, mentions: Sequence[Mention], subset: int) -> str | None:
    """Return the caption without the components in ``subset``, or None when the rules cannot.

    ``mentions`` are the caption's noun phrases, each with its ``bit`` (-1: in no family); ``subset`` is a bit mask.
    """
    return rewrite(caption, mentions, subset).text


def rewrite(caption: str, mentions: Sequence[Mention], subset: int) -> Removal:
    """Like ``remove``, with the reason when there is no text."""
    if len(caption) > MAX_CHARS:
        return Removal(None, "not_rewritable")
    gone = [m for m in mentions if m["bit"] >= 0 and subset >> m["bit"] & 1]
    if not gone:
        return Removal(None, "not_rewritable")
    spans = [(m["start"], m["end"]) for m in mentions if m["certain"]]
    chunks = chunk(tokenise(caption, spans), mentions)
    try:
        sentences = [(build(part), stop) for part, stop in _sentences(chunks)]
        texts = [(_without(caption, nodes, gone), stop) for nodes, stop in sentences]
    except Misread:
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
    out: list[tuple[list[Chunk], str]] = []
    part: list[Chunk] = []
    for piece in chunks:
        if piece.kind == ".":
            if part:
                out.append((part, piece.low))
            part = []
        else:
            part.append(piece)
    return [*out, (part, "")] if part else out


def _without(caption: str, nodes: Sequence[Node], gone: Sequence[Mention]) -> str:
    """One sentence without the mentions in ``gone``; an empty string when nothing is left of it."""
    start, end = _extent(nodes)
    marks = [m for m in gone if start <= m["start"] < end]
    reached = [c for n in nodes for c in (*n.lead, *([n.phrase] if n.phrase else []))]
    for mention in marks:
        holder = next(c for c in reached if c.start < mention["end"] <= c.end)
        if mention["certain"] and holder.kind != "NP":
            raise Misread("a removed component is in no noun phrase")
    if not marks:
        return caption[start:end]
    hit = {n.index for n in nodes if soften(n, marks)}
    if hit and any(c.kind == "B" for c in nodes[0].lead):
        raise Misread("a clause before the main one")
    removed = {m["label"] for m in gone if m["certain"]}
    for spare in (False, True):
        dead = doomed(nodes, hit, spare)
        if any(n.index not in dead and _stands(n, nodes, dead) for n in nodes):
            outcome = _hung(nodes, dead, removed)
            first = next((i for i in outcome.places if nodes[i].phrase), None)
            if first is None:
                continue
            same = {n.index for n in (*nodes[0].members, *partners(nodes[0], dead))}
            fresh = nodes[0].index in dead and first not in same and not any(c.kind == "L" for c in nodes[0].lead)
            return realise(caption, nodes, outcome, fresh)
    return ""


def _hung(nodes: Sequence[Node], dead: set[int], removed: set[str]) -> Outcome:
    """The survivors hung anew, without what lost its sense by that.

    Raises:
        Misread: a verb or a pronoun is left that says nothing without what has gone.
    """
    outcome = rehang(nodes, dead, removed)
    lost = {n.index for n in outcome.alive if _pronoun(n) and bare_clause(n, nodes, outcome)}
    if _views_nothing(nodes[0], outcome):
        lost.add(0)
    if lost:
        outcome = rehang(nodes, dead | lost, removed)
    if any(_nowhere(n, nodes, outcome) for n in outcome.alive):
        raise Misread("a verb has lost where to")
    if any(place.joined and _pronoun(nodes[i]) for i, place in outcome.places.items()):
        raise Misread("a pronoun is left without what it stood for")
    return outcome


def _pronoun(node: Node) -> bool:
    return node.phrase is not None and node.phrase.tokens[-1].tag == "P"


def _stands(node: Node, nodes: Sequence[Node], dead: set[int]) -> bool:
    """Whether a surviving node can carry a text: a view ("a picture") only with something in it."""
    if node.phrase is None or node.phrase.tokens[-1].tag in ("P", "D", "Q"):
        return False
    if (node.hanger or node.worn) and node.index:
        return False
    if node.head in VIEWS:
        return any(n.index not in dead and n.parent is node and n.phrase for n in nodes)
    return True


def _nowhere(node: Node, nodes: Sequence[Node], outcome: Outcome) -> bool:
    """Whether "putting a hand on a horse" has lost what the hand is put on."""
    doer = node.parent
    acts = node.role == "verb" and doer is not None and doer.index in outcome.places
    if not acts or node.verb is None or node.verb.lemma not in PUTS:
        return False
    goals = [n for n in nodes if n.parent is node and n.role == "prep" and n.prep in ("on", "in", "into", "onto", "to", "over")]
    return bool(goals) and all(n.index not in outcome.places for n in goals)


def _views_nothing(root: Node, outcome: Outcome) -> bool:
    """Whether "a view" has lost all that it was a view of, and others are only joined to it."""
    if root.head not in VIEWS or root.index not in outcome.places:
        return False
    if root.place:
        return False
    return not any(place.parent is root and not place.joined for place in outcome.places.values())


def _extent(nodes: Sequence[Node]) -> tuple[int, int]:
    chunks = [c for n in nodes for c in (*n.lead, *([n.phrase] if n.phrase else []))]
    return min(c.start for c in chunks), max(c.end for c in chunks)


def _sentence(text: str, caption: str) -> str:
    """Capital as in the caption, a or an by the following word, single blanks."""
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
