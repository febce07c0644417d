"""A shallow dependency parse: every noun phrase of a caption is a node, attached to an earlier one by its connector.

"a man in a red shirt riding a horse on a beach" becomes shirt -in-> man, horse -riding-> man, beach -on-> horse. A verb group
without an object ("smiling", "is red") is a node without a noun phrase, a *tail*.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

from udfs.captions import word_lists
from udfs.captions.chunks import Chunk
from udfs.captions.tags import Token
from udfs.errors import DualsetError

ANIMALS = word_lists.word_set("bird cat dog horse sheep cow elephant bear zebra giraffe")
ANIMATE = ANIMALS | {"person"}
_ANIMATE_WORDS = (
    word_lists.word_set("he she they him them who i we you one others another animal animals couple family crowd team")
    | word_lists.COMPANY
)
_STATIC = word_lists.word_set("sit lay lie stand hang park rest be contain feature float hang line lean perch")


@dataclass
class Node:
    """A noun phrase (or a tail, ``phrase`` None) with its connector (``lead``) and the node it is attached to (``parent``)."""

    index: int
    lead: list[Chunk]
    phrase: Chunk | None
    parent: "Node | None" = None
    role: str = "root"  # root, prep, verb (object), verb_prep, conj, clause, tail
    head_of_list: "Node | None" = None  # for a conjunct: first member of its list
    has_finite: bool = False  # it is the subject of a finite verb
    members: list["Node"] = field(default_factory=list)
    softened: list[Token] | None = None  # the phrase's tokens after some were dropped or replaced
    mute: bool = False  # its verb names what is removed ("surfing" without the surfboard)
    partner_of: "Node | None" = None  # its companion: "a man along with a dog"
    partners: list["Node"] = field(default_factory=list)
    inverted: bool = False  # the subject of the verb before it: "on a shelf is a cup"

    @property
    def tokens(self) -> list[Token]:
        """The phrase's tokens as they will be written."""
        if self.softened is not None:
            return self.softened
        return self.phrase.tokens if self.phrase else []

    @property
    def verb(self) -> Chunk | None:
        """The last verb group of the connector."""
        return next((c for c in reversed(self.lead) if c.kind == "V"), None)

    @property
    def prep(self) -> str:
        """The preposition right before the noun phrase, lower case; empty without one."""
        content = [c for c in self.lead if c.kind != "R"]
        return content[-1].low if content and content[-1].kind == "I" else ""

    @property
    def head(self) -> str:
        """The head noun, lower case; empty for a tail."""
        return self.phrase.head if self.phrase else ""

    @property
    def labels(self) -> set[str]:
        """Labels of the phrase's certain mentions."""
        return (
            {m["label"] for m in self.phrase.mentions if m["certain"] and m["label"] not in ("", "*")} if self.phrase else set()
        )

    @property
    def animate(self) -> bool:
        """Whether it can be an agent."""
        return bool(self.labels & ANIMATE) or self.head in _ANIMATE_WORDS

    @property
    def worn(self) -> bool:
        """Whether it is clothing or a body part, and not a component."""
        return not self.labels and (self.head in word_lists.WORN or self.head in word_lists.BODY)

    @property
    def hanger(self) -> bool:
        """Whether it cannot stand alone ("the background", "a trick", a pronoun)."""
        if self.labels or not self.phrase:
            return False
        return self.head in word_lists.HANGERS or self.phrase.tokens[-1].tag in ("P", "D", "Q")

    @property
    def place(self) -> bool:
        """Whether it is a place that can be all that is left of a scene."""
        return not self.labels and self.head in word_lists.PLACES and not self.hanger


class ParseError(DualsetError, ValueError):
    """The caption does not fit the shallow grammar."""


def build_tree(chunks: Sequence[Chunk]) -> list[Node]:
    """Parse the chunks of one sentence into nodes, in text order.

    Raises:
        ParseError: two noun phrases in a row, or a sentence without a noun phrase.
    """
    nodes: list[Node] = []
    lead: list[Chunk] = []
    for piece in chunks:
        if piece.kind == "NP":
            if piece.head == "whom":
                raise ParseError("a relative clause that the shallow grammar does not cover")
            if nodes and not any(c.kind != "R" for c in lead):
                raise ParseError("two noun phrases in a row")
            nodes.append(_attach(nodes, lead, piece))
            lead = []
            continue
        split = piece.kind == "B" or (piece.kind == "V" and lead and lead[-1].kind == "V")
        closing = any(c.kind == "V" for c in lead) and (piece.kind in ("C", "B") or _relative_clause_over(lead, piece))
        if nodes and lead and (closing or (split and any(c.kind in "VR" for c in lead))):
            nodes.append(_attach_tail(nodes, lead))
            lead = []
        lead.append(piece)
    if lead and nodes:
        nodes.append(_attach_tail(nodes, lead))
    elif lead:
        raise ParseError("no noun phrase")
    return nodes


def _relative_clause_over(lead: Sequence[Chunk], piece: Chunk) -> bool:
    """Whether a relative clause ends before ``piece``: "that is red | with a cup", "that is striped | that is on a mat"."""
    kinds = [c.kind for c in lead]
    if "W" not in kinds or "V" not in kinds[kinds.index("W") :]:
        return False
    if piece.kind == "W" or piece.low in word_lists.ALONGSIDE:
        return kinds[-1] in ("V", "R")
    last_word = lead[-1].tokens[-1]
    if kinds[-1] != "R" or last_word.tag != "A":
        return False
    # "that is crowded with cars"
    state = last_word.low.endswith("ed") or last_word.low in word_lists.STATES
    bound = piece.low in word_lists.COMPLEMENTS or (state and piece.low in ("with", "by", "in"))
    return piece.kind == "V" or (piece.kind == "I" and not bound)


def _phrase_before(nodes: Sequence[Node]) -> Node:
    return next(n for n in reversed(nodes) if n.phrase)


def _attach_tail(nodes: Sequence[Node], lead: list[Chunk]) -> Node:
    node = Node(len(nodes), lead, None, role="tail")
    current = _phrase_before(nodes)
    node.parent = _subject(nodes, current, lead) if node.verb else current
    return node


def _attach(nodes: Sequence[Node], lead: list[Chunk], phrase: Chunk) -> Node:
    node = Node(len(nodes), lead, phrase)
    if not nodes:
        return node
    current = _phrase_before(nodes)
    kinds = [c.kind for c in lead if c.kind != "R"]
    if "L" in kinds or ("B" in kinds and "V" not in kinds) or (kinds[-1] in "W" and "V" not in kinds):
        node.role, node.parent = "clause", _root_of(current)
    elif "V" in kinds:
        node.role = "verb_prep" if kinds[-1] == "I" else "verb"
        node.parent = _subject(nodes, current, lead)
        has_main_verb = any(c.kind == "L" or (c.kind == "V" and c.finite) for n in nodes for c in n.lead if not _relative(n))
        verb = lead[-1] if kinds == ["V"] else None
        node.inverted = bool(verb and verb.finite and verb.lemma in _STATIC) and fronted(nodes[0]) and not has_main_verb
    elif kinds[-1] == "I":
        node.role, node.parent = "prep", _host(current, node, conjoined=kinds[0] == "C")
        if _accompanies(node, node.parent):
            node.partner_of = node.parent
            node.parent.partners.append(node)
    elif "W" in kinds or _fronted_adjunct(nodes, lead):
        node.role, node.parent = "clause", _root_of(current)
    else:
        node.role = "conj"
        first = _list_start(current, node)
        node.head_of_list = first
        node.parent = first
        first.members.append(node)
    return node


def _fronted_adjunct(nodes: Sequence[Node], lead: Sequence[Chunk]) -> bool:
    """Whether the subject follows a fronted phrase and a comma: "in a kitchen, a man ..."."""
    opening = [c.kind for c in nodes[0].lead if c.kind != "R"]
    return len(nodes) == 1 and opening == ["I"] and [c.low for c in lead] == [","]


def _relative(node: Node) -> bool:
    return any(c.kind == "W" for c in node.lead)


def fronted(root: Node) -> bool:
    """Whether a sentence opens with a preposition or non-finite verb instead of its subject: "under a table ..."."""
    return bool(root.lead) and root.lead[-1].kind in ("I", "V") and not (root.verb and root.verb.finite)


def _accompanies(node: Node, host: Node) -> bool:
    """Whether a phrase accompanies its host, so that the same predicates hold for both."""
    if node.prep in word_lists.ALONGSIDE:
        return True
    things = node.labels and host.labels and not (node.animate or host.animate or host.labels & word_lists.FOODS)
    return node.prep == "with" and bool(things)


def _root_of(node: Node) -> Node:
    while node.parent is not None:
        node = node.parent
    return node


def _host(current: Node, hung: Node, conjoined: bool) -> Node:
    """Where a prepositional phrase attaches: the nearest phrase, skipping clothing, body parts and pronouns.

    Clothes attach to their wearer, vehicles to their rider.
    """
    node, prep = current, hung.prep
    in_hand = current.prep == "with" and hung.head in ("hand", "hands", "mouth", "mouths")
    held = (
        hung.head not in word_lists.WORN
        and hung.head not in ("expression", "smile")
        and (current.role == "verb" or in_hand or hung.phrase is not None and hung.phrase.tokens[0].tag == "S")
    )
    if hung.worn and prep in ("in", "with") and not current.animate and not held:
        wearer = current
        while wearer.parent is not None and not wearer.animate:
            wearer = wearer.parent
        return wearer if wearer.animate else current
    ridden = hung.labels & word_lists.RIDDEN or (current.place and "cell phone" in hung.labels)
    if prep == "on" and ridden and not current.animate:
        rider = current
        while rider.parent is not None and not rider.animate:
            rider = rider.parent
        return rider if rider.animate else current
    if current.phrase and current.phrase.tokens[-1].tag == "P":
        # "a vase on it near a chair": attach to the antecedent of "it", not to a picture of it.
        while node.parent is not None and node.parent.head not in word_lists.VIEWS:
            node = node.parent
        return node if node is not current else _root_of(current)
    while (
        node.parent is not None
        and prep != "of"
        and (node.worn or (node.hanger and node.role != "root" and node.head not in ("one", "another")) or conjoined)
    ):
        node, conjoined = node.parent, False
    return node


def _list_start(current: Node, node: Node) -> Node:
    """The first member of the list that ``node`` continues: preferably a phrase of its own kind among the ancestors."""
    chain = [current]
    while chain[-1].parent is not None:
        chain.append(chain[-1].parent)
    member = current
    whole = current.parent if current.prep == "of" else None
    pictured = whole is not None and whole.head in word_lists.VIEWS and node.head not in word_lists.VIEWS
    if whole and not pictured and current.phrase and _alike(node, whole) and not _alike(node, current):
        # "a box of bananas and a box of apples": a list of boxes.
        member = whole
    elif node.animate and not current.animate:
        member = next((n for n in chain if n.animate), current)
    elif not node.worn and not node.place and (current.worn or current.place or current.hanger):
        member = next((n for n in chain if not (n.worn or n.place or n.hanger)), current)
    return member.head_of_list or member


def _alike(first: Node, second: Node) -> bool:
    """Whether two phrases have the same kind of determiner or the same head."""
    if not first.phrase or not second.phrase:
        return False
    first_tag, second_tag = first.phrase.tokens[0].tag, second.phrase.tokens[0].tag
    return first.head == second.head or (first_tag == second_tag and first_tag in ("D", "S", "Q"))


def _subject(nodes: Sequence[Node], current: Node, lead: Sequence[Chunk]) -> Node:
    """The subject of the connector's verb."""
    verb = next(c for c in reversed(lead) if c.kind == "V")
    chain = [current]
    while chain[-1].parent is not None:
        chain.append(chain[-1].parent)
    nearest = next((n for n in chain if not n.worn and not (n.hanger and n.parent)), chain[-1])
    if any(c.kind == "W" for c in lead):
        return nearest
    if verb.finite:
        conjoined = any(c.kind == "C" for c in lead)
        if nearest.animate and chain[-1].head in word_lists.VIEWS and verb.lemma in word_lists.SENTIENT:
            return nearest  # a picture does not eat
        for node in chain:
            first = node.head_of_list or node
            eligible = node.role in ("root", "clause") or (node.role == "conj" and first.role in ("root", "clause"))
            if not eligible:
                continue
            if node.role == "conj" and not first.has_finite:
                # "a man and a dog are running": the list is the subject, represented by its last member.
                first.has_finite = True
                return node
            if not node.has_finite or conjoined:
                node.has_finite = True
                return node
        return chain[-1]
    if any(c.kind == "B" for c in lead) or any(c.kind == "C" for c in lead):
        # "riding a horse and holding a flag": both verbs share a subject.
        agent = next((n.parent for n in chain if n.verb and n.parent), None)
        return agent or next((n for n in chain if n.animate), chain[-1])
    passive = verb.tokens[-1].tag == "E"
    plausible = (
        nearest.animate
        or nearest.role in ("verb", "verb_prep", "conj")
        or nearest.prep in ("with", "of")
        or nearest.parent is None
    )
    if passive and verb.lemma in word_lists.CUTS and (food := next((n for n in chain if n.labels & word_lists.FOODS), None)):
        return food
    agents = [n for n in chain if n.animate]
    if verb.lemma == "stand" and agents and nearest.role in ("verb", "verb_prep") and not nearest.animate:
        return agents[0]  # "a man talking on a phone standing behind a car": it is the man who stands
    if (verb.lemma in _STATIC or passive) and plausible:
        return nearest
    if agents and (
        agents[0] is not current and verb.lemma in word_lists.HANDLES or verb.lemma in ("use", "talk", "write", "read")
    ):
        # "walking a dog down a path holding a bag"
        return next((n for n in agents if "person" in n.labels), agents[0])
    if agents:
        return agents[0]
    if verb.lemma in word_lists.SENTIENT:
        toy = next((n for n in chain if "teddy bear" in n.labels or n.head in word_lists.TOYS), None)
        return toy or (nearest if chain[-1].head in word_lists.VIEWS else chain[-1])
    if nearest.place and not passive and verb.lemma not in word_lists.PLACES_DO:
        # "a train on a track rolling past": places do not roll.
        return next((n for n in chain if not n.place and not n.hanger), nearest)
    return nearest
