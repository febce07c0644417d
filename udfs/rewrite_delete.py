"""Which nodes of the flat tree go when some are removed."""

from collections.abc import Collection, Sequence

from udfs import rewrite_words as words
from udfs.lexicon import attached_words
from udfs.rewrite_tree import Node


def doomed(nodes: Sequence[Node], gone: Collection[int], spare: bool) -> set[int]:
    """Indices of all nodes that go when ``gone`` go: with each its tails, clothes, parts and whatever cannot stand alone.

    ``spare``: other nouns ("a flag") are kept although what they hung on has gone.
    """
    dead = set(gone) | {n.index for n in nodes if n.phrase is None and n.mute}
    for node in reversed(nodes):
        # "the nose of a plane": the part goes with the whole; "head and neck of a giraffe": with its list.
        wholes = [n for n in nodes if n.index in dead and n.parent is node and n.prep == "of"]
        if wholes and _is_part(node):
            first = node.head_of_list or node
            dead |= {n.index for n in (first, *first.members) if _is_part(n)}
    for node in nodes:
        hangs = node.index not in dead and node.parent is not None and node.parent.index in dead
        if hangs and _goes_along(nodes, node, dead, gone, spare):
            dead.add(node.index)
    for node in nodes:
        if gone and node.index not in dead and node.role != "root" and _orphaned(nodes, node, dead):
            dead.add(node.index)
    return dead


def _goes_along(nodes: Sequence[Node], node: Node, dead: set[int], gone: Collection[int], spare: bool) -> bool:
    """Whether a node goes with its dead parent."""
    parent = node.parent
    assert parent is not None, "only what hangs on something goes along"
    if node.role == "clause":
        return False
    shared = sibling(parent, dead)
    if node.phrase is None:
        return shared is None or not node.verb or not agent_fits(node, parent, shared)
    mine = node.phrase.tokens[0].tag == "S"
    common = node.role in ("prep", "verb_prep") and not node.worn and not mine and node.prep != "of"
    if shared is not None and common and agent_fits(node, parent, shared):
        return False
    if node.labels:
        return False
    if node.role == "conj" and parent.index in gone and not (node.worn and parent.animate):
        return False
    if mine and not node.place or any(node.head in attached_words(label) for label in parent.labels):
        return True
    if node.verb and node.verb.lemma in ("wear", "dress"):
        return True
    scene = parent.parent
    if (
        scene is not None
        and scene.place
        and scene.index not in dead
        and node.role == "prep"
        and node.phrase.tokens[0].low == "the"
    ):
        # "a bathroom has a sink on the wall": the wall is nothing to say of a bathroom.
        return True
    if node.place and (node.prep != "of" or _is_part(parent)):
        return False
    if spare and not node.worn and not node.hanger and node.prep != "of":
        return False
    return not _leads_to_kept(nodes, node, dead)


def _orphaned(nodes: Sequence[Node], node: Node, dead: set[int]) -> bool:
    """Whether a node speaks of somebody or something that has gone."""
    # "on his lap"
    owners = [n for n in nodes[: node.index] if n.animate]
    if node.phrase and node.worn and node.phrase.tokens[0].tag == "S" and owners and all(n.index in dead for n in owners):
        return True
    # "on it", "behind him"
    if _stands_for(node) and not _antecedent(nodes, node, dead):
        return True
    # "holds food up"
    doer = node.parent.parent if node.parent and node.parent.role == "verb" else None
    particle = node.role == "tail" and all(piece.low in words.PARTICLES for piece in node.lead)
    if particle and doer is not None and doer.index in dead:
        return True
    # ", one holding an umbrella"
    below = [n for n in nodes if n.parent is node]
    return node.hanger and node.role == "conj" and bool(below) and all(n.index in dead for n in below)


def _is_part(node: Node) -> bool:
    return (
        not node.labels
        and (node.head in words.PARTS or node.head in words.HANGERS or node.head in words.BODY)
        and node.head not in words.VIEWS
    )


def _leads_to_kept(nodes: Sequence[Node], node: Node, dead: set[int]) -> bool:
    """Whether "a tray" of "a tray of donuts" stays for its contents' sake."""
    if node.worn or node.hanger:
        return False
    kin = (node.head_of_list or node).members + [node.head_of_list or node]
    if any(n.labels and n.index not in dead for n in kin):
        return True
    return any(n.parent is node and n.index not in dead and n.labels and n.prep in ("of", "with") for n in nodes)


def _stands_for(node: Node) -> bool:
    """Whether a phrase is a pronoun, or a determiner or number in place of a noun."""
    return (
        node.phrase is not None
        and not node.labels
        and (node.phrase.tokens[-1].tag in ("P", "D", "Q") or node.head in ("others", "another"))
    )


def _antecedent(nodes: Sequence[Node], node: Node, dead: set[int]) -> bool:
    low = node.head
    if low == "what":
        return False
    if low in ("i", "you", "we", "us"):
        return True
    before = [n for n in nodes[: node.index] if n.phrase and not _stands_for(n)]
    if low in ("it", "itself"):
        chain = []
        up = node.parent
        while up is not None:
            chain.append(up)
            up = up.parent
        things = [n for n in chain if not n.animate or n.labels - {"person"}]
        return any(n.index not in dead for n in things[-1:])
    if node.phrase and node.phrase.tokens[-1].tag in ("D", "Q"):
        return not any(n.index in dead for n in before if n.parent is None or n.head == "people")
    people = [n for n in before if n.animate or (low in ("them", "they", "themselves") and n.phrase and n.phrase.plural)]
    return bool(people) and people[-1].index not in dead and people[0].index not in dead


def sibling(node: Node, dead: Collection[int]) -> Node | None:
    """The surviving member of a list that comes before this dead one."""
    first = node.head_of_list
    if first is None:
        return None
    living = [m for m in (first, *first.members) if m.index < node.index and m.index not in dead]
    return living[-1] if living else None


def agent_fits(child: Node, old: Node, new: Node) -> bool:
    """Whether ``new`` may do what a child of ``old`` says: anyone stands, but only people hold phones."""
    verb = child.verb
    if verb is None or verb.lemma in words.ANYONES_VERBS:
        return True
    return bool(old.labels & new.labels) or ("person" in old.labels) == ("person" in new.labels) and old.animate == new.animate
