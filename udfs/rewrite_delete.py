"""Which nodes of the flat tree go when some are removed."""

from collections.abc import Collection, Sequence

from udfs import rewrite_words as words
from udfs.lexicon import attached_words
from udfs.rewrite_tags import parts_of_speech
from udfs.rewrite_tree import Node


def doomed(nodes: Sequence[Node], gone: Collection[int], spare: bool) -> set[int]:
    """Indices of all nodes that go when ``gone`` go: with each its tails, clothes, parts and whatever cannot stand alone.

    ``spare``: other nouns ("a flag") are kept although what they hung on has gone.
    """
    dead = set(gone) | {n.index for n in nodes if n.phrase is None and n.mute}
    for node in nodes:
        # "this is a bus": what is said to be the bus is the bus.
        same = node.index in dead and node.role == "verb" and node.verb is not None and node.verb.lemma == "be"
        if same and node.parent and node.parent.phrase and node.parent.phrase.tokens[-1].tag in ("P", "D"):
            dead.add(node.parent.index)
    for node in reversed(nodes):
        # "the nose of a plane": the part goes with the whole; "head and neck of a giraffe": with its list.
        wholes = [n for n in nodes if n.index in dead and n.parent is node and n.prep == "of"]
        wholes = [n for n in wholes if all(m.index in dead for m in n.members)]
        if wholes and (_is_part(node) or not _outlasts(node)):
            first = node.head_of_list or node
            dead |= {n.index for n in (first, *first.members) if _is_part(n) or n is node}
    size = -1
    while len(dead) != size:
        size = len(dead)
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
    shared = heir(node, dead)
    if node.phrase is None:
        same = shared is not None and node.verb is not None and agent_fits(node, parent, shared)
        return not same or (shared is not None and not shared.animate and not (node.verb and node.verb.finite))
    # A list hangs as its first member does.
    first = node.head_of_list or node
    prep, host = first.prep, first.parent
    mine = any(n.phrase is not None and n.phrase.tokens[0].tag == "S" for n in (first, node) if n.index not in gone)
    common = node.role in ("prep", "verb_prep") and not node.worn and not mine and node.prep != "of"
    if shared is not None and common and agent_fits(node, parent, shared):
        return False
    if node.labels:
        return False
    if node.head in words.OPEN_AIR:
        return not spare
    has = first.verb is not None and first.verb.lemma in ("have", "contain", "feature", "include") and first.role != "root"
    if has and host is not None and host.index in dead and host.labels and not host.animate and not node.place:
        return True  # "a bowl that has soup in it"
    if node.place and node.phrase.tokens[0].low == "the":
        twice = any(n.head == node.head and n.index < node.index and n.index not in dead for n in nodes)
        if twice:
            return True
    if prep in ("with", "of") and host is not None and host.index in dead and host.labels & words.FOODS:
        return True
    if node.role == "conj" and parent.index in gone and not (node.worn and parent.animate):
        return False
    its = mine and node.phrase.tokens[0].low == "its" and node.role in ("prep", "verb_prep")
    if its and (whose := owner(nodes, node)) is not None and whose.index not in dead:
        return True  # "a barn with a car in its yard": the barn is not in its yard
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
    if node.place and node.head not in words.VIEWS and (node.prep != "of" or _is_part(parent)):
        # "a ferry with passengers on a deck": where the passengers were is not where the ferry is.
        apart = parent.animate and parent.prep == "with" and scene is not None and not (scene.place or scene.animate)
        still = node.verb is None or node.verb.lemma not in words.INANIMATE_ALONE
        return apart and still and scene is not None and scene.index not in dead
    if spare and not node.worn and not node.hanger and prep != "of" and (prep != "with" or host is None or _person(host)):
        return False
    return not _leads_to_kept(nodes, node, dead)


def _orphaned(nodes: Sequence[Node], node: Node, dead: set[int]) -> bool:
    """Whether a node speaks of somebody or something that has gone."""
    # "on his lap", "with its door open"
    if node.phrase and node.phrase.tokens[0].tag == "S" and not node.labels and not node.place:
        whose = owner(nodes, node)
        if whose is not None and whose.index in dead:
            return True
    parent = node.parent
    doer = parent.parent if parent else None
    lost = parent is not None and doer is not None and doer.index in dead and heir(parent, dead) is None
    # "petting the dog on the head"
    if node.worn and node.phrase and node.phrase.tokens[0].low == "the" and parent and parent.role == "verb" and lost:
        return True
    # "throws a ball up to serve"
    if node.hanger and node.role == "prep" and parent and parent.role == "verb" and lost and node.prep in ("to", "up to", "for"):
        return True
    # "on a bench together"
    if (
        node.role == "tail"
        and node.verb is None
        and lost
        and all(c.kind == "R" for c in node.lead)
        and any(t.tag == "A" or is_manner(t.low) for c in node.lead for t in c.tokens)
    ):
        return True
    last = nodes[node.index - 1]
    if _stands_for(node) and node.role == "prep" and last.phrase is not None and last.index in dead:
        return True
    # "using a pan as a hat"
    noun = node.role == "clause" and any(c.low == "as" for c in node.lead) and not any(n.parent is node and n.verb for n in nodes)
    if noun and (last.index in dead or (parent is not None and parent.index in dead)):
        return True
    # "on it", "behind him"
    if _stands_for(node) and not _antecedent(nodes, node, dead):
        return True
    # "holds food up"
    particle = node.role == "tail" and all(piece.low in words.PARTICLES for piece in node.lead)
    if particle and parent and parent.role == "verb" and doer is not None and doer.index in dead:
        return True
    # ", one holding an umbrella"
    below = [n for n in nodes if n.parent is node]
    return node.hanger and node.role == "conj" and bool(below) and all(n.index in dead for n in below)


def _person(node: Node) -> bool:
    """Whether a phrase names people, who hold what is with them; what is with anything else is part of it."""
    return "person" in node.labels or (node.animate and not node.labels)


def is_manner(word: str) -> bool:
    """Whether a word says how somebody does something, and so nothing of a thing."""
    return word in words.MANNER or (word.endswith("ly") and "ADV" in parts_of_speech(word))


def owner(nodes: Sequence[Node], node: Node, low: str = "") -> Node | None:
    """Whose a phrase with a possessive is ("his hat"), or for whom its pronoun ``low`` stands: the likeliest phrase before it."""
    low = low or (node.phrase.tokens[0].low if node.phrase else "")
    before = [n for n in nodes[: node.index] if n.phrase and not _stands_for(n)]
    if low in _PERSONAL or (low in _PLURAL and any("person" in n.labels for n in before)):
        return next((n for n in reversed(before) if "person" in n.labels or n.animate), None)
    if low in _PLURAL:
        return next((n for n in reversed(before) if n.animate), before[0] if before else None)
    up, chain = node.parent, []
    if up is not None and up.parent is not None and up.animate and node.role == "prep" and node.prep == "on":
        up = up.parent  # "a horse with a bird on its back"
    while up is not None:
        chain.append(up)
        up = up.parent
    if node.worn and any(n.animate for n in chain):
        return next(n for n in chain if n.animate)
    things = [n for n in chain if not (n.worn or n.hanger or "person" in n.labels)]
    return next((n for n in things if not n.place), things[0] if things else (before[0] if before else None))


_PERSONAL = words.word_set("his her hers he she him himself herself my your our")
_PLURAL = words.word_set("their they them themselves")


def _outlasts(node: Node) -> bool:
    """Whether "a basket" stays when what it is "of" goes."""
    return bool(node.labels) or node.place or node.head in words.VIEWS or node.head in words.CONTAINERS


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
    if low in ("other", "others"):
        return not any(n.index in dead for n in before)
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


def heir(child: Node, dead: Collection[int]) -> Node | None:
    """Who takes a child over from its dead parent: a member of the parent's list, or what it was named along with."""
    old, verb = child.parent, child.verb
    if old is None or _restricts(child):
        return None
    if (kin := sibling(old, dead)) is not None:
        return kin
    if (
        child.role == "prep"
        and child.place
        and (later := [m for m in old.members if m.index < child.index and m.index not in dead])
    ):
        return later[-1]  # "a cat and a dog beside it on the floor"
    if child.worn or child.prep == "of" or (child.hanger and not child.place):
        return None
    seen = verb is None or verb.lemma in words.ANYONES_VERBS or verb.lemma == "see"
    for other in partners(old, dead):
        loose = "with" in (other.prep, (old.head_of_list or old).prep)
        # "a cup with a spoon on a tray", but not "a car with a box on its roof"
        where = (child.place and child.head not in words.PARTS) or (verb is not None and verb.finite)
        if other.index < child.index and (seen or old.labels & other.labels) and (where or not loose):
            return other
    return None


def partners(old: Node, dead: Collection[int]) -> list[Node]:
    """The living that were named along with ``old`` ("with a man", "as well as a man"), once all of its list are dead."""
    first = old.head_of_list or old
    family = [first, *first.members]
    if any(n.index not in dead for n in family):
        return []
    near = [first.partner_of] if first.partner_of else []
    near += [other for n in family for other in n.partners]
    lists = [n.head_of_list or n for n in near]
    return [n for head in lists for n in (head, *head.members) if n.index not in dead]


def _restricts(child: Node) -> bool:
    """Whether a relative clause is said of its own noun alone: "a dog and a cat that is black"; "that are black": of both."""
    if not any(c.kind == "W" for c in child.lead) or child.parent is None or child.parent.phrase is None or child.verb is None:
        return False
    first = next((t for t in child.verb.tokens if t.tag in "XV"), None)
    return child.parent.phrase.plural or first is None or first.low not in ("are", "were", "have", child.verb.lemma)


def agent_fits(child: Node, old: Node, new: Node) -> bool:
    """Whether ``new`` may do what a child of ``old`` says: anyone stands, but only people hold phones."""
    verb = child.verb
    if verb is None and child.prep in ("in", "with") and not child.place:
        return old.animate == new.animate
    if verb is None or verb.lemma in words.ANYONES_VERBS:
        return True
    if new.place and not old.place and verb.tokens[-1].tag != "E" and verb.lemma not in words.PLACES_DO:
        return False
    return bool(old.labels & new.labels) or ("person" in old.labels) == ("person" in new.labels) and old.animate == new.animate
