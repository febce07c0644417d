"""The meaning of a caption as plain facts, and a small parser that reads it from any text about a scene.

The parser shares only the words of the domain's definition file with ``udfs.captions.lexicon``, so it can judge texts that were
written with that lexicon. What it does not understand it reports as ``unparsed``; it skips nothing.

Words become pieces (``caption_pieces``), and pieces become facts: phrases joined by "and" are a group, a relation holds between
all of one group and all of another, "it" is the thing named before.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

from jobs.scenes.caption_pieces import ANY, MANY, Item, Piece, pieces
from jobs.scenes.domain import Domain
from jobs.scenes.vocabulary import words_of

__all__ = ["ANY", "MANY", "Fact", "Item", "Meaning", "meaning", "parse"]

Fact = tuple[Item, str, Item]

# A relation and its converse, which states the same fact with subject and object swapped; symmetric ones are their own.
_CONVERSE = {"right of": "left of", "in front of": "behind", "above": "below", "next to": "next to", "touching": "touching"}


@dataclass(frozen=True)
class Meaning:
    """The meaning of a text: its things, facts about pairs of them, the ground, and whether it denies that there is more."""

    items: tuple[Item, ...] = ()  # sorted; equal items are all kept
    facts: tuple[Fact, ...] = ()  # sorted, each in normal form
    ground: str = ""
    exclusive: bool = False
    unparsed: tuple[str, ...] = ()


def meaning(
    items: Sequence[Item], facts: Sequence[Fact] = (), ground: str = "", exclusive: bool = False, unparsed: Sequence[str] = ()
) -> Meaning:
    """A ``Meaning`` in normal form: texts that say the same have equal meanings."""
    return Meaning(tuple(sorted(items)), tuple(sorted({_normal(*f) for f in facts})), ground, exclusive, tuple(unparsed))


def _normal(subject: Item, name: str, other: Item) -> Fact:
    turned = _CONVERSE.get(name)
    if turned == name:
        return (min(subject, other), name, max(subject, other))
    return (other, turned, subject) if turned else (subject, name, other)


@dataclass
class _Node:
    """A piece, or several phrases joined by "and"."""

    kind: str  # group, relation, place, pronoun, gap
    text: str = ""
    items: list[Item] = field(default_factory=list)


@dataclass
class _Reading:
    """The state of a parse."""

    items: list[Item] = field(default_factory=list)
    facts: list[Fact] = field(default_factory=list)
    unparsed: list[str] = field(default_factory=list)
    ground: str = ""
    exclusive: bool = False
    before: list[Item] = field(default_factory=list)  # what "it" at the start of a sentence refers to


def parse(text: str, domain: Domain) -> Meaning:
    """Read a text about a scene of ``domain``. Never raises: what it does not understand is in ``unparsed``."""
    reading = _Reading()
    sentence: list[Piece] = []
    for piece in [*pieces(text, words_of(domain)), Piece("stop", ".")]:
        if piece.kind != "stop":
            sentence.append(piece)
            continue
        nodes = _nodes(sentence, reading)
        for at, node in enumerate(nodes):
            if node.kind == "relation":
                _relate(nodes, at, reading)
            elif node.kind == "pronoun" and not _bound(nodes, at):
                reading.unparsed.append(node.text)
        groups = [node.items for node in nodes if node.kind == "group"]
        reading.before = groups[0] if groups else reading.before
        sentence = []
    return meaning(reading.items, reading.facts, reading.ground, reading.exclusive, reading.unparsed)


def _nodes(sentence: list[Piece], reading: _Reading) -> list[_Node]:
    """Group what "and" joins, note the ground, and report a conjunction with nothing to join."""
    nodes: list[_Node] = []
    joint = ""
    for piece in sentence:
        if piece.kind == "thing":
            assert piece.item is not None, "a thing has an item"
            reading.items.append(piece.item)
            if joint in ("and", ",", "&") and nodes and nodes[-1].kind == "group":
                nodes[-1].items.append(piece.item)
            else:
                nodes.append(_Node("group", items=[piece.item]))
            joint = ""
        elif piece.kind in ("and", "with"):
            if not nodes or (joint and (joint != "," or piece.text == ",")):
                reading.unparsed.append(piece.text)
            nodes += [_Node("gap")] * (piece.kind == "with")
            joint = piece.text
        elif piece.kind == "only":
            reading.exclusive = True
        elif piece.kind == "unknown":
            reading.unparsed.append(piece.text)
            nodes.append(_Node("gap"))
            joint = ""
        else:
            if piece.kind == "place":
                if reading.ground not in ("", piece.text):
                    reading.unparsed.append(piece.text)
                reading.ground = piece.text
            if joint not in ("", ",", "and"):
                reading.unparsed.append(joint)  # "with on the grass"
            nodes.append(_Node(piece.kind if piece.kind not in ("verb", "view") else "gap", piece.text))
            joint = ""
    reading.unparsed += [joint] if joint else []
    return nodes


def _bound(nodes: list[_Node], at: int) -> bool:
    """Whether a pronoun belongs to a relation: as its object, or as its subject with at most a verb between."""
    after = [node.kind for node in nodes[at + 1 : at + 3]]
    return bool(at and nodes[at - 1].kind == "relation") or after[:1] == ["relation"] or after == ["gap", "relation"]


def _relate(nodes: list[_Node], at: int, reading: _Reading) -> None:
    """Add the facts that a relation states about its neighbouring groups; in "next to a vase is a cup" the subject is last."""
    name = nodes[at].text
    other = nodes[at + 1] if at + 1 < len(nodes) else _Node("gap")
    if other.kind == "place" and name == "on":
        return
    earlier = [node for node in nodes[:at] if node.kind in ("group", "pronoun")]
    later = [node for node in nodes[at + 2 :] if node.kind == "group"]
    subject = earlier[-1].items if earlier else later[0].items if later else []
    if earlier and earlier[-1].kind == "pronoun":
        subject = _meant(earlier[-1].text, reading.before, reading)
    others = other.items
    if other.kind == "pronoun":
        if not earlier:
            others = _meant(other.text, reading.before, reading)
        elif len(earlier) > 1:
            others = _meant(other.text, earlier[-2].items, reading)
        elif len(subject) > 1:
            # "a cat and a ball next to it"
            others, subject = _meant(other.text, subject[:1], reading), subject[1:]
        else:
            others = _meant(other.text, reading.before, reading)
    if not subject or not others:
        reading.unparsed.append(name)
    reading.facts += [(a, name, b) for a in subject for b in others]


def _meant(pronoun: str, items: list[Item], reading: _Reading) -> list[Item]:
    """What a pronoun refers to: ``items``, if it agrees with their number."""
    many = len(items) > 1 or any(item.count not in (0, 1) for item in items)
    if not items or many != (pronoun != "it"):
        reading.unparsed.append(pronoun)
        return []
    return items
