"""Deletion: which nodes of the shallow tree are deleted when some are removed."""

from collections.abc import Collection, Sequence

from udfs.captions import word_lists
from udfs.captions.dictionary import parts_of_speech
from udfs.captions.lexicon import attached_words
from udfs.captions.tree import Node


def deleted_nodes(
    nodes: Sequence[Node], targets: Collection[int], spare: bool, seen: Collection[tuple[int, int]] = ()
) -> set[int]:
    """Indices of all nodes deleted with ``targets``: their tails, clothes, parts and whatever cannot stand alone.

    ``spare``: keep other nouns ("a flag") although the node that they were attached to is deleted. ``seen``: where in the caption
    (start, end) things are named that have a mask of their own.
    """
    deleted = set(targets) | {n.index for n in nodes if n.phrase is None and n.mute}
    deleted |= {n.index for n in nodes if _in_hand(n, targets, seen)}
    for node in nodes:
        # "this is a bus": the subject is the bus.
        copular = node.index in deleted and node.role == "verb" and node.verb is not None and node.verb.lemma == "be"
        if copular and node.parent and node.parent.phrase and node.parent.phrase.tokens[-1].tag in ("P", "D"):
            deleted.add(node.parent.index)
    for node in reversed(nodes):
        # "the nose of a plane": a part is deleted with the whole; "head and neck of a giraffe": with its list.
        wholes = [n for n in nodes if n.index in deleted and n.parent is node and n.prep == "of"]
        wholes = [n for n in wholes if all(m.index in deleted for m in n.members)]
        if wholes and (_is_part(node) or not _outlasts(node)):
            first = node.head_of_list or node
            deleted |= {n.index for n in (first, *first.members) if _is_part(n) or n is node}
    size = -1
    while len(deleted) != size:
        size = len(deleted)
        for node in nodes:
            hangs = node.index not in deleted and node.parent is not None and node.parent.index in deleted
            if hangs and _goes_with_parent(nodes, node, deleted, targets, spare):
                deleted.add(node.index)
        for node in nodes:
            if targets and node.index not in deleted and node.role != "root" and _orphaned(nodes, node, deleted):
                deleted.add(node.index)
    return deleted


def _in_hand(node: Node, targets: Collection[int], seen: Collection[tuple[int, int]]) -> bool:
    """Whether a thing is held, used or ridden by somebody who is removed, and no detector has told it from them.

    Its pixels are mostly theirs. A thing that is a component has a mask of its own, and stays or goes by itself.
    """
    first = node.head_of_list or node
    holder = first.parent
    if node.phrase is None or holder is None or holder.index not in targets or not holder.animate or node.animate or node.place:
        return False
    if node.labels & word_lists.TOO_LARGE:
        return False
    if any((mention["start"], mention["end"]) in seen for mention in node.phrase.mentions):
        return False
    if first.role == "verb":
        return first.verb is not None and first.verb.lemma in word_lists.IN_HAND
    carries = bool(holder.labels & {"person", "dog"})  # a bird with a hydrant does not hold it
    return (first.prep == "with" and carries) or (first.prep == "on" and bool(node.labels & word_lists.RIDDEN))


def _goes_with_parent(nodes: Sequence[Node], node: Node, deleted: set[int], targets: Collection[int], spare: bool) -> bool:
    """Whether a node is deleted along with its deleted parent."""
    parent = node.parent
    assert parent is not None, "a node without a parent cannot be deleted with it"
    if node.role == "clause":
        return False
    shared = heir(node, deleted)
    if node.phrase is None:
        fits = shared is not None and node.verb is not None and agent_fits(node, parent, shared)
        return not fits or (shared is not None and not shared.animate and not (node.verb and node.verb.finite))
    # A list is attached where its first member is.
    first = node.head_of_list or node
    prep, host = first.prep, first.parent
    possessive = any(n.phrase is not None and n.phrase.tokens[0].tag == "S" for n in (first, node) if n.index not in targets)
    shareable = node.role in ("prep", "verb_prep") and not node.worn and not possessive and node.prep != "of"
    if shared is not None and shareable and agent_fits(node, parent, shared):
        return False
    if node.labels:
        return False
    if node.head in word_lists.OPEN_AIR:
        return not spare
    possession = first.verb is not None and first.verb.lemma in ("have", "contain", "feature", "include") and first.role != "root"
    if possession and host is not None and host.index in deleted and host.labels and not host.animate and not node.place:
        return True  # "a bowl that has soup in it"
    if node.place and node.phrase.tokens[0].low == "the":
        repeated = any(n.head == node.head and n.index < node.index and n.index not in deleted for n in nodes)
        if repeated:
            return True
    if prep in ("with", "of") and host is not None and host.index in deleted and host.labels & word_lists.FOODS:
        return True
    if node.role == "conj" and parent.index in targets and not (node.worn and parent.animate):
        return False
    its_place = possessive and node.phrase.tokens[0].low == "its" and node.role in ("prep", "verb_prep")
    if its_place and (possessor := antecedent(nodes, node)) is not None and possessor.index not in deleted:
        return True  # "a barn with a car in its yard": the barn is not in its yard
    if possessive and not node.place or any(node.head in attached_words(label) for label in parent.labels):
        return True
    if node.verb and node.verb.lemma in ("wear", "dress"):
        return True
    scene = parent.parent
    if (
        scene is not None
        and scene.place
        and scene.index not in deleted
        and node.role == "prep"
        and node.phrase.tokens[0].low == "the"
    ):
        # "a bathroom has a sink on the wall": a bathroom is not on the wall.
        return True
    if node.place and node.head not in word_lists.VIEWS and (node.prep != "of" or _is_part(parent)):
        # "a ferry with passengers on a deck": the ferry is not where the passengers were.
        separate = parent.animate and parent.prep == "with" and scene is not None and not (scene.place or scene.animate)
        static = node.verb is None or node.verb.lemma not in word_lists.INANIMATE_ALONE
        return separate and static and scene is not None and scene.index not in deleted
    if spare and not node.worn and not node.hanger and prep != "of" and (prep != "with" or host is None or _names_people(host)):
        return False
    return not _leads_to_kept(nodes, node, deleted)


def _orphaned(nodes: Sequence[Node], node: Node, deleted: set[int]) -> bool:
    """Whether a node refers to a deleted node."""
    # "on his lap", "with its door open"
    if node.phrase and node.phrase.tokens[0].tag == "S" and not node.labels and not node.place:
        possessor = antecedent(nodes, node)
        if possessor is not None and possessor.index in deleted:
            return True
    parent = node.parent
    agent = parent.parent if parent else None
    agent_lost = parent is not None and agent is not None and agent.index in deleted and heir(parent, deleted) is None
    # "petting the dog on the head"
    if node.worn and node.phrase and node.phrase.tokens[0].low == "the" and parent and parent.role == "verb" and agent_lost:
        return True
    # "throws a ball up to serve"
    if (
        node.hanger
        and node.role == "prep"
        and parent
        and parent.role == "verb"
        and agent_lost
        and node.prep in ("to", "up to", "for")
    ):
        return True
    # "on a bench together"
    if (
        node.role == "tail"
        and node.verb is None
        and agent_lost
        and all(c.kind == "R" for c in node.lead)
        and any(t.tag == "A" or is_manner(t.low) for c in node.lead for t in c.tokens)
    ):
        return True
    last = nodes[node.index - 1]
    if _is_pronominal(node) and node.role == "prep" and last.phrase is not None and last.index in deleted:
        return True
    # "using a pan as a hat"
    simile = (
        node.role == "clause" and any(c.low == "as" for c in node.lead) and not any(n.parent is node and n.verb for n in nodes)
    )
    if simile and (last.index in deleted or (parent is not None and parent.index in deleted)):
        return True
    # "on it", "behind him"
    if _is_pronominal(node) and not _has_antecedent(nodes, node, deleted):
        return True
    # "holds food up"
    particle = node.role == "tail" and all(piece.low in word_lists.PARTICLES for piece in node.lead)
    if particle and parent and parent.role == "verb" and agent is not None and agent.index in deleted:
        return True
    # ", one holding an umbrella"
    dependents = [n for n in nodes if n.parent is node]
    return node.hanger and node.role == "conj" and bool(dependents) and all(n.index in deleted for n in dependents)


def _names_people(node: Node) -> bool:
    """Whether a phrase names people. What is "with" people they hold; what is "with" a thing is part of it."""
    return "person" in node.labels or (node.animate and not node.labels)


def is_manner(word: str) -> bool:
    """Whether a word is an adverb of manner, which needs an agent."""
    return word in word_lists.MANNER or (word.endswith("ly") and "ADV" in parts_of_speech(word))


def antecedent(nodes: Sequence[Node], node: Node, low: str = "") -> Node | None:
    """The likeliest antecedent of a node's possessive ("his hat") or of its pronoun ``low``: an earlier phrase."""
    low = low or (node.phrase.tokens[0].low if node.phrase else "")
    before = [n for n in nodes[: node.index] if n.phrase and not _is_pronominal(n)]
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


_PERSONAL = word_lists.word_set("his her hers he she him himself herself my your our")
_PLURAL = word_lists.word_set("their they them themselves")


def _outlasts(node: Node) -> bool:
    """Whether a phrase ("a basket") stays when its "of" complement is deleted."""
    return bool(node.labels) or node.place or node.head in word_lists.VIEWS or node.head in word_lists.CONTAINERS


def _is_part(node: Node) -> bool:
    return (
        not node.labels
        and (node.head in word_lists.PARTS or node.head in word_lists.HANGERS or node.head in word_lists.BODY)
        and node.head not in word_lists.VIEWS
    )


def _leads_to_kept(nodes: Sequence[Node], node: Node, deleted: set[int]) -> bool:
    """Whether a phrase ("a tray" of "a tray of donuts") has to stay for its contents."""
    if node.worn or node.hanger:
        return False
    members = (node.head_of_list or node).members + [node.head_of_list or node]
    if any(n.labels and n.index not in deleted for n in members):
        return True
    return any(n.parent is node and n.index not in deleted and n.labels and n.prep in ("of", "with") for n in nodes)


def _is_pronominal(node: Node) -> bool:
    """Whether a phrase is a pronoun, or a determiner or numeral used as a noun."""
    return (
        node.phrase is not None
        and not node.labels
        and (node.phrase.tokens[-1].tag in ("P", "D", "Q") or node.head in ("others", "another"))
    )


def _has_antecedent(nodes: Sequence[Node], node: Node, deleted: set[int]) -> bool:
    low = node.head
    if low == "what":
        return False
    if low in ("i", "you", "we", "us"):
        return True
    before = [n for n in nodes[: node.index] if n.phrase and not _is_pronominal(n)]
    if low in ("it", "itself"):
        chain = []
        up = node.parent
        while up is not None:
            chain.append(up)
            up = up.parent
        things = [n for n in chain if not n.animate or n.labels - {"person"}]
        return any(n.index not in deleted for n in things[-1:])
    if low in ("other", "others"):
        return not any(n.index in deleted for n in before)
    if node.phrase and node.phrase.tokens[-1].tag in ("D", "Q"):
        return not any(n.index in deleted for n in before if n.parent is None or n.head == "people")
    people = [n for n in before if n.animate or (low in ("them", "they", "themselves") and n.phrase and n.phrase.plural)]
    return bool(people) and people[-1].index not in deleted and people[0].index not in deleted


def sibling(node: Node, deleted: Collection[int]) -> Node | None:
    """The last surviving list member before this deleted one."""
    first = node.head_of_list
    if first is None:
        return None
    living = [m for m in (first, *first.members) if m.index < node.index and m.index not in deleted]
    return living[-1] if living else None


def heir(child: Node, deleted: Collection[int]) -> Node | None:
    """Which node takes over a child of a deleted parent: a member of the parent's list, or one of its companions."""
    old, verb = child.parent, child.verb
    if old is None or _restricts(child):
        return None
    if (member := sibling(old, deleted)) is not None:
        return member
    if (
        child.role == "prep"
        and child.place
        and (later := [m for m in old.members if m.index < child.index and m.index not in deleted])
    ):
        return later[-1]  # "a cat and a dog beside it on the floor"
    if child.worn or child.prep == "of" or (child.hanger and not child.place):
        return None
    loose_verb = verb is None or verb.lemma in word_lists.ANYONES_VERBS or verb.lemma == "see"
    for other in partners(old, deleted):
        loose = "with" in (other.prep, (old.head_of_list or old).prep)
        # "a cup with a spoon on a tray", but not "a car with a box on its roof"
        transferable = (child.place and child.head not in word_lists.PARTS) or (verb is not None and verb.finite)
        if other.index < child.index and (loose_verb or old.labels & other.labels) and (transferable or not loose):
            return other
    return None


def partners(old: Node, deleted: Collection[int]) -> list[Node]:
    """The surviving companions of ``old`` ("with a man", "as well as a man"), once all members of its list are deleted."""
    first = old.head_of_list or old
    family = [first, *first.members]
    if any(n.index not in deleted for n in family):
        return []
    near = [first.partner_of] if first.partner_of else []
    near += [other for n in family for other in n.partners]
    lists = [n.head_of_list or n for n in near]
    return [n for head in lists for n in (head, *head.members) if n.index not in deleted]


def _restricts(child: Node) -> bool:
    """Whether a relative clause restricts its own noun only: "a dog and a cat that is black", but not "that are black"."""
    if not any(c.kind == "W" for c in child.lead) or child.parent is None or child.parent.phrase is None or child.verb is None:
        return False
    first = next((t for t in child.verb.tokens if t.tag in "XV"), None)
    return child.parent.phrase.plural or first is None or first.low not in ("are", "were", "have", child.verb.lemma)


def agent_fits(child: Node, old: Node, new: Node) -> bool:
    """Whether ``new`` can be the agent of ``child``'s verb instead of ``old``: anything stands, but only people hold phones."""
    verb = child.verb
    if verb is None and child.prep in ("in", "with") and not child.place:
        return old.animate == new.animate
    if verb is None or verb.lemma in word_lists.ANYONES_VERBS:
        return True
    if new.place and not old.place and verb.tokens[-1].tag != "E" and verb.lemma not in word_lists.PLACES_DO:
        return False
    return bool(old.labels & new.labels) or ("person" in old.labels) == ("person" in new.labels) and old.animate == new.animate
