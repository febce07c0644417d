"""How the surviving nodes of the flat tree hang together: new parents, new connectors, verbs that live on alone."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field

from udfs import rewrite_words as words
from udfs.rewrite_chunks import Chunk
from udfs.rewrite_delete import agent_fits, sibling
from udfs.rewrite_tree import Node


@dataclass
class Place:
    """Where a surviving node stands in the new text: ``link`` is what leads to it, None for its own words."""

    parent: Node | None
    link: str | None = None
    joined: bool = False  # made a member of a list by "and"


@dataclass
class Outcome:
    """The surviving nodes in text order, their places, and the verb groups that live on without their object."""

    alive: list[Node]
    places: dict[int, Place]
    kept_verbs: dict[int, Chunk]  # by the index of the deleted node that held it
    changed_lists: set[int]  # index of the list's old head
    reduced: set[int] = field(default_factory=set)  # clauses' subjects whose verbs lose their tense, filled in on writing


def rehang(nodes: Sequence[Node], dead: set[int], removed: Collection[str]) -> Outcome:
    """Give every surviving node a place, and keep the verbs that make sense alone. ``removed``: the labels removed."""
    outcome = Outcome([n for n in nodes if n.index not in dead], {}, {}, set())
    root: Node | None = None
    used: set[int] = set()  # dead nodes whose connector has been inherited
    for node in nodes:
        if node.index in dead:
            first = node.head_of_list or (node if node.members else None)
            if first is not None:
                outcome.changed_lists.add(first.index)
            verb = node.verb
            subject = node.parent
            present = subject is not None and (subject.index not in dead or sibling(subject, dead) is not None)
            if node.phrase and verb and present and _stands_alone(node, verb, removed):
                outcome.kept_verbs[node.index] = verb
            continue
        place = _find(nodes, node, dead, root, used, outcome)
        outcome.places[node.index] = place
        if place.parent is None and root is None:
            root = node
        if place.joined:
            # "sitting and crackers" is no list.
            for index in [i for i in outcome.kept_verbs if nodes[i].parent is place.parent]:
                del outcome.kept_verbs[index]
    return outcome


def _stands_alone(node: Node, verb: Chunk, removed: Collection[str]) -> bool:
    if node.mute or node.role != "verb_prep" or verb.lemma not in words.STAND_ALONE:
        return False
    subject = node.parent
    if subject is not None and not subject.animate and verb.lemma not in words.INANIMATE_ALONE:
        return False
    if any(t.tag == "E" for t in verb.tokens) and verb.lemma != "park":
        return False
    return not any(verb.lemma in words.VERBS_OF_LABEL.get(label, ()) for label in removed)


def _find(nodes: Sequence[Node], node: Node, dead: set[int], root: Node | None, used: set[int], outcome: Outcome) -> Place:
    if node.role == "conj" and node.parent is not None:
        return _find_in_list(node, dead, root, used)
    parent = node.parent
    if parent is None:
        return Place(None)
    if parent.index not in dead:
        # "swinging a bat at a ball" without who swings it.
        lost = parent.role in ("verb", "verb_prep") and parent.parent is not None and parent.parent.index in dead
        moved = node.prep in ("to", "toward", "towards", "into", "onto") or (parent.role == "verb" and node.prep in words.AIMS)
        if lost and node.role == "prep" and moved:
            return Place(parent, settled(node)) if node.place else Place(parent, "and", joined=True)
        scene_alone = parent.place and parent.parent is not None and parent.parent.index in dead
        if scene_alone and node.role == "prep" and node.prep in ("above", "under", "below", "beneath", "underneath", "over"):
            return Place(parent, "with")
        if node.mute:
            if node.role == "verb_prep" or node.place:
                return Place(parent, settled(node))
            return Place(parent, "and", joined=True)
        return Place(parent)
    kin = sibling(parent, dead)
    if kin is not None:
        if agent_fits(node, parent, kin) and (node.role != "verb" or node.labels or node.place):
            return Place(kin)
        return Place(kin, "and", joined=True)
    top = parent
    while top.parent is not None and top.parent.index in dead:
        top = top.parent
    if top.role == "conj" and (near := sibling(top, dead)) is not None:
        return Place(near, "and", joined=True)
    above = top.parent
    if above is None or top.role == "clause":
        if root is None:
            return Place(None, "")
        return _beside(node, root)
    return _inherit(node, top, above, used, outcome)


def _find_in_list(node: Node, dead: set[int], root: Node | None, used: set[int]) -> Place:
    first = node.head_of_list
    assert first is not None, "a member of a list has a head"
    if first.index not in dead or sibling(node, dead) is not None:
        return Place(first)
    # The first to survive takes the head's place.
    above = first.parent
    if above is None:
        return Place(None, "") if root is None else Place(root, "and", joined=True)
    if above.index not in dead and first.index not in used:
        used.add(first.index)
        return Place(above, _text(first))
    if above.index not in dead:
        return Place(above, "and", joined=True)
    return Place(None, "") if root is None else _beside(node, root)


def _beside(node: Node, root: Node) -> Place:
    """Join a node to a text whose subject has gone."""
    prep = _short(node.prep)
    if root.prep == "of" and prep in words.LOCATIVE:
        return Place(root, node.prep)
    if (
        node.role in ("prep", "verb_prep")
        and node.place
        and (prep in words.LOCATIVE or prep in words.DIRECTIONS)
        and not root.place
    ):
        return Place(root, settled(node))
    if node.role in ("prep", "verb_prep") and prep in words.PROXIMITY:
        return Place(root, node.prep)
    if root.place and not node.place:
        return Place(root, "with")
    return Place(root, "and", joined=True)


def _text(node: Node) -> str:
    return " ".join(t.text for c in node.lead for t in c.tokens)


def _short(prep: str) -> str:
    """The last word of "out in", "up on" and their like; other phrases in one word."""
    first, _, rest = prep.partition(" ")
    return (
        rest
        if first in ("out", "up", "down", "over", "off", "back") and rest != "of" and " " not in rest and rest
        else prep.replace(" ", "_")
    )


def settled(node: Node) -> str:
    """The node's preposition; a resting one where a verb of movement has gone: "down a street" becomes "on a street"."""
    prep = _short(node.prep)
    if node.place and (prep in words.DIRECTIONS or not prep):
        return "on" if node.head in words.ON_PLACES else "in"
    return node.prep


def _inherit(node: Node, top: Node, above: Node, used: set[int], outcome: Outcome) -> Place:
    """Place a child of the removed ``top`` under ``above``, by its own preposition or by the one that led to ``top``."""
    prep = _short(node.prep)
    old = top.prep
    scene = above.place or above.head in words.VIEWS or above.head == "room"
    if (
        old in ("with", "of", "featuring")
        and scene
        or (old == "of" and node.role != "prep")
        or (top.role == "verb" and not above.animate and scene)
    ):
        if top.index in used:
            near = [n for n in outcome.alive if n.phrase and n.index < node.index]
            return Place(above, "with") if near and near[-1].place and not node.place else Place(above, "and", joined=True)
        used.add(top.index)
        return Place(above, _text(top))
    if top.verb and top.verb.lemma in ("look", "watch", "see", "view", "stare", "gaze", "show") and top.index not in used:
        used.add(top.index)
        return Place(above, _text(top))
    verb_kept = top.index in outcome.kept_verbs
    if node.role == "prep" and (prep == "with" or (prep == "at" and not node.animate)):
        return Place(above, node.prep)
    if node.place and node.role in ("prep", "verb_prep"):
        return Place(above, node.prep if verb_kept else settled(node))
    if node.role in ("prep", "verb_prep") and prep in words.PROXIMITY:
        return Place(above, node.prep)
    if node.role == "prep" and top.role in ("prep", "verb_prep") and prep in words.LOCATIVE:
        return Place(above, node.prep)
    if top.role in ("prep", "verb_prep") and old in words.PROXIMITY and top.index not in used:
        used.add(top.index)
        return Place(above, old if not verb_kept else old)
    return Place(above, "and", joined=True)
