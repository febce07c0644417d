"""Checks of what a rewritten caption says, by the flat trees of it and of its original: who does what, and whose is what.

They find faults of meaning that leave a text's surface whole: "a pier watching ducks", once the boy on the pier has gone.
"""

from collections import Counter
from collections.abc import Collection, Sequence

from udfs import rewrite_words as words
from udfs.rewrite_delete import is_manner, owner
from udfs.rewrite_tree import Node

_THEIRS = words.word_set("his her hers their its it's he she him they them it himself herself itself themselves")
_SAY_LITTLE = words.word_set("be have do")


def doers(nodes: Sequence[Node]) -> dict[str, list[Node]]:
    """Who does what: the subjects of each verb, by its dictionary form."""
    found: dict[str, list[Node]] = {}
    for node in nodes:
        for piece in node.lead:
            if piece.kind == "V" and node.parent is not None:
                found.setdefault(piece.lemma, []).append(node if node.inverted else node.parent)
    return found


def _verbs(nodes: Sequence[Node]) -> set[str]:
    return {piece.head for node in nodes for piece in node.lead if piece.kind == "V"}


def lost_doer(before: Sequence[Node], after: Sequence[Node]) -> bool:
    """Whether a verb has passed from somebody to something or back, or opens the text as it did not open the original."""
    if not before or not after:
        return False
    opens, opened = (any(c.kind == "V" for c in nodes[0].lead) for nodes in (after, before))
    old = doers(before)
    first = after[0].phrase.tokens[0].low if after[0].phrase else ""
    # "Cooking with pans", whose first word looks like a noun once nobody cooks.
    if (opens and not opened) or (first.endswith("ing") and first in _verbs(before)):
        return True
    for lemma, subjects in doers(after).items():
        known = old.get(lemma, [])
        if lemma in _SAY_LITTLE or not known:
            continue
        heads, kinds = {n.head for n in known}, {_lives(n) for n in known}
        if any(n.head not in heads and _lives(n) not in kinds for n in subjects):
            return True
    return False


def _lives(node: Node) -> bool:
    """Whether a phrase, a member of its list or what it is named along with can act."""
    first = node.head_of_list or node
    return any(n.animate for n in (node, first, *first.members, *first.partners))


def lost_verb(after: Sequence[Node]) -> bool:
    """Whether a text without a verb still says how something is done: "a bench together"."""
    leads = [piece for node in after for piece in node.lead]
    if any(piece.kind in "VL" for piece in leads):
        return False
    return any(is_manner(t.low) for piece in leads if piece.kind == "R" for t in piece.tokens)


def dangling(before: Sequence[Node], after: Sequence[Node], text: Collection[str], removed: Collection[str]) -> bool:
    """Whether a pronoun that stood for something removed is still there. ``text``: its words in lower case."""
    tied = Counter(low for low, whose in _referents(before) if whose is not None and whose.labels & set(removed))
    count = Counter(low for low, _ in _referents(before))
    now = Counter(word for word in text if word in _THEIRS)
    if any(now[low] > count[low] - number for low, number in tied.items()):
        return True
    # A pronoun with no noun before it stands for nothing.
    first = after[0].phrase if after else None
    opening = first.tokens[0].low if first and first.tokens else ""
    was = before[0].phrase.tokens[0].low if before and before[0].phrase else ""
    return opening in _THEIRS and opening != was


def _referents(nodes: Sequence[Node]) -> list[tuple[str, Node | None]]:
    found = []
    for node in nodes:
        if node.phrase is None:
            continue
        found += [(token.low, _whose(nodes, node, token.low)) for token in node.phrase.tokens if token.low in _THEIRS]
    return found


def _whose(nodes: Sequence[Node], node: Node, low: str) -> Node | None:
    """For whom a pronoun stands; "their" is rather of several than of the nearest one."""
    likely = owner(nodes, node, low)
    if low not in ("their", "theirs", "they", "them") or likely is None or likely.phrase is None or likely.phrase.plural:
        return likely
    listed = (likely.head_of_list or likely).members
    many = [n for n in nodes[: node.index] if n.animate and n.phrase is not None and n.phrase.plural]
    return many[-1] if many and not listed else likely


def wrong_of(before: Sequence[Node], after: Sequence[Node]) -> bool:
    """Whether "of" leads to what it did not lead to: "a boy of a ramp". Pictures are of whatever is left."""
    old = {node.head for node in before if (node.head_of_list or node).prep == "of"}
    # "on the side of a ramp" may become "the side of a ramp".
    regions = {(word, node.head) for node in before if node.prep.endswith(" of") for word in node.prep.split()}
    found = [(n.parent.head, n.head) for n in after if n.prep == "of" and n.parent is not None]
    return any(what not in old and whole not in words.VIEWS and (whole, what) not in regions for whole, what in found)


def bare(after: Sequence[Node]) -> bool:
    """Whether a text names nothing: "this"."""
    return bool(after) and all(n.phrase is None or n.phrase.tokens[-1].tag in ("P", "D") for n in after)
