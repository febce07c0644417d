"""Reattachment of the surviving nodes: new parents, new connectors, and verbs kept without their object."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field

from udfs.captions import word_lists
from udfs.captions.chunks import Chunk
from udfs.captions.tree import Node, fronted
from udfs.rewrite.delete import agent_fits, heir, sibling


@dataclass
class Place:
    """A surviving node's place in the new text: ``link`` is its connector, None for its own."""

    parent: Node | None
    link: str | None = None
    joined: bool = False  # added to a list by "and"


@dataclass
class Outcome:
    """The surviving nodes in text order, their places, and the verb groups kept without their object."""

    alive: list[Node]
    places: dict[int, Place]
    kept_verbs: dict[int, Chunk]  # by index of the deleted node that they led to
    changed_lists: set[int]  # index of each list's former first member
    deleted: set[int]
    reduced: set[int] = field(default_factory=set)  # subjects of clauses whose verbs become non-finite; filled by ``realise``


def reattach(nodes: Sequence[Node], deleted: set[int], removed: Collection[str]) -> Outcome:
    """Place every surviving node, and keep the verbs that make sense without their object. ``removed``: the removed labels."""
    outcome = Outcome([n for n in nodes if n.index not in deleted], {}, {}, set(), deleted)
    root: Node | None = None
    used: set[int] = set()  # deleted nodes whose connector is taken
    for node in nodes:
        if node.index in deleted:
            first = node.head_of_list or (node if node.members else None)
            if first is not None:
                outcome.changed_lists.add(first.index)
            verb = node.verb
            subject = node.parent
            present = subject is not None and (subject.index not in deleted or heir(node, deleted) is not None)
            if node.phrase and verb and present and _stands_alone(node, verb, removed):
                outcome.kept_verbs[node.index] = verb
            continue
        place = _new_place(nodes, node, deleted, root, used, outcome)
        outcome.places[node.index] = place
        if place.parent is None and root is None:
            root = node
        if place.joined:
            # "sitting and crackers" is not a list.
            for index in [i for i in outcome.kept_verbs if nodes[i].parent is place.parent]:
                del outcome.kept_verbs[index]
    if _subject_lost(nodes, deleted, used):
        # "next to a bus is a cat" without the cat is "a bus".
        outcome.places[0].link = ""
    return outcome


def _subject_lost(nodes: Sequence[Node], deleted: set[int], used: set[int]) -> bool:
    """Whether a sentence with a fronted preposition has lost its subject, and with it its verb."""
    subject = next((n for n in nodes if n.inverted or (n.role == "clause" and n.lead[0].kind in ("L", "C"))), None)
    if subject is None or nodes[0].index in deleted or not fronted(nodes[0]):
        return False
    return subject.index in deleted and subject.index not in used


def _stands_alone(node: Node, verb: Chunk, removed: Collection[str]) -> bool:
    if node.mute or node.role != "verb_prep" or verb.lemma not in word_lists.STAND_ALONE:
        return False
    subject = node.parent
    if subject is not None and not subject.animate and verb.lemma not in word_lists.INANIMATE_ALONE:
        return False
    if any(t.tag == "E" for t in verb.tokens) and verb.lemma != "park":
        return False
    return not any(verb.lemma in word_lists.VERBS_OF_LABEL.get(label, ()) for label in removed)


def _new_place(
    nodes: Sequence[Node], node: Node, deleted: set[int], root: Node | None, used: set[int], outcome: Outcome
) -> Place:
    if node.role == "conj" and node.parent is not None:
        return _new_place_in_list(nodes, node, deleted, root, used, outcome)
    parent = node.parent
    if parent is None:
        return Place(None)
    if parent.index not in deleted:
        # "swinging a bat at a ball", "riding a board down a street" without the agent.
        agent_lost = parent.role in ("verb", "verb_prep") and parent.parent is not None and parent.parent.index in deleted
        moved = node.prep in ("to", "toward", "towards", "into", "onto") or (
            parent.role == "verb" and node.prep in word_lists.AIMS
        )
        if (
            agent_lost
            and node.role == "prep"
            and node.place
            and not parent.place
            and short_preposition(node.prep) in word_lists.GOING
        ):
            return Place(parent, settled(node))
        if agent_lost and node.role == "prep" and moved and parent.place:
            return Place(parent, "and", joined=True)
        if agent_lost and node.role == "prep" and moved:
            return Place(parent, settled(node)) if node.place else Place(parent, "and", joined=True)
        scene_alone = parent.place and not node.place and parent.parent is not None and parent.parent.index in deleted
        if scene_alone and node.role == "prep" and node.prep in ("above", "under", "below", "beneath", "underneath", "over"):
            return Place(parent, "with")
        beside = short_preposition(node.prep) in word_lists.PROXIMITY or node.prep == "in front of"
        if scene_alone and node.role == "prep" and ((beside and parent.head in word_lists.ROOMS) or node.prep == "around"):
            # "in a kitchen near a sink": the sink is in the kitchen too.
            return Place(parent, "with")
        if node.mute:
            if node.role == "verb_prep" or node.place:
                return Place(parent, settled(node))
            return Place(parent, "and", joined=True)
        return Place(parent)
    new_parent = heir(node, deleted)
    if new_parent is not None:
        if agent_fits(node, parent, new_parent) and node.prep != "of" and (node.role != "verb" or node.labels or node.place):
            return Place(new_parent)
        return Place(new_parent, "and", joined=True)
    top = parent
    while top.parent is not None and top.parent.index in deleted:
        top = top.parent
    if top.role == "conj" and (member := sibling(top, deleted)) is not None:
        return Place(member, "and", joined=True)
    above = top.parent
    if above is None or top.role == "clause":
        if root is None:
            return Place(None, "")
        existential = any(c.kind == "L" for c in top.lead) and top.index not in used
        if existential and above is root and not (node.place or node.hanger or node.phrase is None):
            return Place(root, _take_connector(top, used, outcome))  # "on a lawn there is a dog with a ball"
        return _join_to_root(node, root)
    return _inherit(node, top, above, used, outcome)


def _new_place_in_list(
    nodes: Sequence[Node], node: Node, deleted: set[int], root: Node | None, used: set[int], outcome: Outcome
) -> Place:
    first = node.head_of_list
    assert first is not None, "a member of a list has a head"
    if first.index not in deleted or sibling(node, deleted) is not None:
        return Place(first)
    # The first survivor takes the place of the list's first member; without surviving companions, that of its host.
    above = first.parent
    while above is not None and above.index in deleted and first.partner_of is not None and _only_presented(above):
        if first.index not in used and (member := sibling(above, deleted)) is not None:
            return Place(member, _take_connector(first, used, outcome))
        first = above.head_of_list or above
        above = first.parent
    if above is None:
        return Place(None, "") if root is None else Place(root, "and", joined=True)
    between = any(first.index < n.index < node.index and n.index not in deleted and n.phrase for n in nodes)
    # "peas in a bowl and bread"
    within = first.prep == "in" and bool(first.labels & word_lists.VESSELS) and not node.labels & word_lists.VESSELS
    if above.index not in deleted and first.index not in used and not between and not within:
        return Place(above, _take_connector(first, used, outcome))
    if above.index not in deleted:
        return Place(above, "and", joined=True)
    if above.parent is not None and above.parent is root and root.head in word_lists.CONTAINERS and first.index not in used:
        used.add(first.index)
        return Place(root, "with")  # "a plate full of food: peas, beans"
    return Place(None, "") if root is None else _join_to_root(node, root)


def _only_presented(node: Node) -> bool:
    """Whether a text only states that a phrase exists: "a picture of a cat", "there is a cat", "on the mat is a cat"."""
    first = node.head_of_list or node
    of_view = first.parent is not None and first.parent.head in word_lists.VIEWS
    return first.role in ("root", "clause") or first.inverted or of_view


def _join_to_root(node: Node, root: Node) -> Place:
    """Place a node in a text that has lost its subject."""
    prep = short_preposition(node.prep)
    if root.prep == "of" and prep in word_lists.LOCATIVE:
        return Place(root, node.prep)
    if (
        node.role in ("prep", "verb_prep")
        and node.place
        and (prep in word_lists.LOCATIVE or prep in word_lists.DIRECTIONS)
        and not root.place
    ):
        return Place(root, settled(node))
    if node.role in ("prep", "verb_prep") and prep in word_lists.PROXIMITY:
        return Place(root, node.prep)
    if root.place and not node.place:
        return Place(root, "with")
    return Place(root, "and", joined=True)


def _take_connector(top: Node, used: set[int], outcome: Outcome) -> str:
    """Take a deleted node's connector for its successor; its verb is then no longer kept separately."""
    used.add(top.index)
    outcome.kept_verbs.pop(top.index, None)
    return _connector_text(top)


def _connector_text(node: Node) -> str:
    return " ".join(t.text for c in node.lead for t in c.tokens)


def short_preposition(prep: str) -> str:
    """The last word of "out in", "up on" and the like; other phrases joined by underscores."""
    first, _, rest = prep.partition(" ")
    if first in ("up", "down") and rest.startswith("the "):
        return first  # "down the side of"
    return (
        rest
        if first in ("out", "up", "down", "over", "off", "back") and rest != "of" and " " not in rest and rest
        else prep.replace(" ", "_")
    )


def settled(node: Node) -> str:
    """The node's preposition, made static without its verb of motion: "down a street" becomes "on a street"."""
    prep = short_preposition(node.prep)
    if node.place and prep == "past":
        return "by"
    if node.place and (prep in word_lists.GOING or prep in ("", "of", "over", "from")):
        wet = prep == "across" and node.head in word_lists.WATERS
        return "on" if node.head in word_lists.ON_PLACES and not wet else "in"
    return node.prep


def _inherit(node: Node, top: Node, above: Node, used: set[int], outcome: Outcome) -> Place:
    """Place a child of the removed ``top`` under ``above``, by its own preposition or by the one that led to ``top``."""
    prep = short_preposition(node.prep)
    old = top.prep
    is_be = top.verb is not None and top.verb.lemma == "be"
    if top.inverted and top.index not in used and node.role == "prep" and not node.place:
        if (above.place or node.partner_of is top) and is_be:
            return Place(above, _take_connector(top, used, outcome))
        if prep == "with":
            return Place(above, "and", joined=True)
    scene = above.place or above.head in word_lists.VIEWS or above.head == "room"
    shown = old == "of" and above.head in word_lists.VIEWS
    does = top.role == "verb" and not above.animate and scene and (is_be or not top.inverted)
    if (old in ("with", "featuring") and scene) or shown or does:
        if top.index in used:
            near = [n for n in outcome.alive if n.phrase and n.index < node.index]
            return Place(above, "with") if near and near[-1].place and not node.place else Place(above, "and", joined=True)
        return Place(above, _take_connector(top, used, outcome))
    if above.head in word_lists.VIEWS and old in ("from", "in", "on", "at", "through") and top.index not in used:
        used.add(top.index)
        return Place(above, "of")
    if old == "with" and top.animate and node.labels:
        # "a ferry with passengers under an umbrella"
        return Place(above, "with" if top.index not in used else "and", joined=top.index in used)
    seen = top.verb is not None and top.verb.lemma in ("look", "watch", "see", "view", "stare", "gaze", "show")
    if seen and top.index not in used and node.role != "verb":
        return Place(above, _take_connector(top, used, outcome))
    if (
        top.role == "verb"
        and above.animate
        and node.role == "prep"
        and node.labels & word_lists.FURNITURE
        and prep in ("on", "in", "at")
    ):
        return Place(above, node.prep)
    if node.place and above.place and top.animate and short_preposition(old) in word_lists.PROXIMITY:
        return Place(above, "and", joined=True)
    verb_kept = top.index in outcome.kept_verbs
    if node.role == "prep" and (prep == "with" or (prep == "at" and not node.animate and (node.place or top.role != "verb"))):
        return Place(above, node.prep)
    if node.place and node.role in ("prep", "verb_prep"):
        return Place(above, node.prep if verb_kept else settled(node))
    if node.role in ("prep", "verb_prep") and prep in word_lists.PROXIMITY:
        return Place(above, node.prep)
    close = top.role in ("prep", "verb_prep") and short_preposition(old) in word_lists.NEAR and top.index not in used
    if close and node.role == "prep" and node.labels and prep in ("on", "in"):
        return Place(above, _take_connector(top, used, outcome))  # near a cake on a stove is near the stove
    if node.role == "prep" and top.role in ("prep", "verb_prep") and prep in word_lists.LOCATIVE:
        return Place(above, node.prep)
    if top.role in ("prep", "verb_prep") and old in word_lists.PROXIMITY and top.index not in used:
        used.add(top.index)
        return Place(above, old)
    return Place(above, "and", joined=True)
