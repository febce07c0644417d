"""Surface realisation of the surviving nodes: connectors, lists, articles, possessives and verb agreement."""

import re
from collections.abc import Sequence
from functools import lru_cache

from udfs.captions import word_lists
from udfs.captions.chunks import Chunk, is_plural
from udfs.captions.dictionary import parts_of_speech
from udfs.captions.tree import Node
from udfs.rewrite.delete import antecedent, partners
from udfs.rewrite.reattach import Outcome

_SINGULAR = {"are": "is", "were": "was", "have": "has", "do": "does", "'re": "'s"}
_PLURAL = {singular: plural for plural, singular in _SINGULAR.items()}


_WORN_ON = ("on", "together")  # belongs to the agent or wearer, not to the thing: "with skis on"


@lru_cache(maxsize=10_000)
def article(word: str) -> str:
    """``a`` or ``an``, by the first sound of a word."""
    low = word.lower()
    if re.match(r"(?:hour|honest|honou?r|heir)", low):
        return "an"
    if re.match(r"(?:eu|uni(?!n|m)|us[aeiu](?!ge\b)|use|one\b|one-|once|ut[ei]|ukulele|ewe|uk\b|u\.|ufo)", low):
        return "a"
    if re.fullmatch(r"[a-z]", low):
        return "an" if low in "aefhilmnorsx" else "a"
    if low[:1].isdigit():
        return "an" if re.match(r"8|11\b|18\b", low) else "a"
    return "an" if low[:1] in "aeiou" else "a"


def realise(caption: str, nodes: Sequence[Node], outcome: Outcome, nonfinite: bool) -> str:
    """Write one sentence without its final stop. ``nonfinite``: the subject changed, so finite verbs become participles."""
    parts: list[str] = []
    alive = set(outcome.places)
    joined = _last_joined(outcome)
    lists = _lists(outcome)
    previous_verb: set[int] = set()  # nodes that already carry a verb
    # "as a woman holds a cake" that lost its verb is joined by "and" and is no sentence any more.
    nonfinite = nonfinite or any(bare_clause(node, nodes, outcome) for node in outcome.alive)
    for node in nodes:
        if node.index in outcome.kept_verbs:
            verb = outcome.kept_verbs[node.index]
            subject = node.parent
            parts += _conjunction(node, previous_verb)
            parts += [c.low for c in node.lead if c.kind == "W" and not nonfinite]
            parts += [c.low for c in node.lead[: node.lead.index(verb)] if c.kind == "R" and c.low in word_lists.PARTICLES]
            parts += [_verb(verb, _number_changed(subject, outcome), nonfinite, caption)]
            if _needs_down(node, nodes, outcome):
                parts.append("down")
            if subject:
                previous_verb.add(subject.index)
        if node.index not in alive:
            if node.index and node.index not in outcome.kept_verbs:
                parts += _stranded_particle(node, nodes[node.index - 1], outcome)
            continue
        place = outcome.places[node.index]
        link = place.link
        if place.joined:
            last = joined.get(place.parent.index if place.parent else -1) == node.index
            goes_on = any(m.index in alive and outcome.places[m.index].link is None for m in node.members)
            link = "and" if last and not goes_on else ","
        elif node.index in lists:
            link = lists[node.index]
        if link is None:
            parts += _own_lead(node, nodes, outcome, previous_verb, nonfinite, caption)
        elif link:
            parts.append(_linked(link, node, nodes, outcome, caption))
        if node.phrase:
            parts.append(_phrase(node, nodes, outcome, caption))
        if node.verb and node.parent and link is None:
            previous_verb.add(node.parent.index)
    return _tidy(" ".join(part for part in parts if part))


def _linked(link: str, node: Node, nodes: Sequence[Node], outcome: Outcome, caption: str) -> str:
    """A connector taken from a deleted node; the verb of "behind a barn stands a cow" agrees with its new subject."""
    verb = next((n.verb for n in nodes if n.inverted and n.verb and caption[n.verb.start : n.verb.end] == link), None)
    if verb is not None:
        return _verb(verb, _number_after_verb(node, outcome, False), False, caption)
    return _agree(link, _number_after_verb(node, outcome, True)) if link.split()[-1] in word_lists.BE else link


def _needs_down(node: Node, nodes: Sequence[Node], outcome: Outcome) -> bool:
    """Whether "laying", without its "on a couch", needs the particle "down"."""
    verb = outcome.kept_verbs[node.index]
    if verb.lemma not in ("lie", "lay") or verb.tokens[-1].low in ("down", "around", "outside"):
        return False
    follower = next((n for n in nodes if n.index > node.index and n.index in outcome.places), None)
    return follower is None or outcome.places[follower.index].parent is not node.parent or follower.role == "tail"


def _stranded_particle(node: Node, before: Node, outcome: Outcome) -> list[str]:
    """The "out" of "holding his arms out on a board": it belongs to the verb before."""
    kept = before.index in outcome.places and before.role == "verb" and node.role == "prep"
    agent = before.parent is not None and before.parent.index in outcome.places
    word, _, more = node.lead[0].low.partition(" ") if node.lead else ("", "", "")
    is_particle = bool(node.lead) and (node.lead[0].kind == "R" or (bool(more) and more != "of" and not more.startswith("the ")))
    return [word] if kept and agent and is_particle and word in ("out", "up", "down", "off", "back", "over") else []


def _last_joined(outcome: Outcome) -> dict[int, int]:
    last: dict[int, int] = {}
    for index, place in outcome.places.items():
        if place.joined:
            last[place.parent.index if place.parent else -1] = index
    return last


def _lists(outcome: Outcome) -> dict[int, str]:
    """New connectors of lists that lost a member: commas, and the original conjunction before the last member."""
    links: dict[int, str] = {}
    for node in outcome.alive:
        first = node.head_of_list
        if first is None or first.index not in outcome.changed_lists:
            continue
        members = [first, *first.members]
        living = [m for m in members if m.index in outcome.places and not outcome.places[m.index].joined]
        if len(living) < 2 or node is living[0] or outcome.places[node.index].link is not None:
            continue
        word = next((t.low for m in members[1:] for c in m.lead for t in c.tokens if t.tag == "C"), "and")
        oxford = len(living) > 2 and any(c.low.startswith(", ") for c in members[-1].lead)
        links[node.index] = (", " + word if oxford else word) if node is living[-1] else ","
    return links


def _conjunction(node: Node, previous_verb: set[int]) -> list[str]:
    if any(c.kind == "C" for c in node.lead) and node.parent and node.parent.index in previous_verb:
        return [c.low for c in node.lead if c.kind == "C"]
    return []


def _own_lead(
    node: Node, nodes: Sequence[Node], outcome: Outcome, previous_verb: set[int], nonfinite: bool, caption: str
) -> list[str]:
    """The node's own connector, with verbs that agree with their new subject."""
    parts: list[str] = []
    subject = node.parent
    before = [n for n in nodes if n.index < node.index]
    orphan = bool(before) and before[-1].index not in outcome.places
    # The previous node is deleted, and with it the verb that this connector continued.
    stranded = orphan and subject is not None and subject.index not in previous_verb
    relative = any(c.kind == "W" for c in node.lead)
    postverbal = node.inverted or any(c.kind == "L" for c in node.lead)
    number = "" if postverbal else _number_changed(subject, outcome)
    if postverbal and (node.head_of_list or node).index in outcome.changed_lists:
        number = _number_after_verb(node, outcome, not node.inverted)
    if node.role == "tail" and stranded and node.verb and node.verb.tokens[0].tag == "T":
        return []
    for piece in node.lead:
        if piece.kind == "C" and node.role not in ("conj", "clause") and stranded:
            participial = node.verb is None or not node.verb.finite
            parts += [","] if participial and not any(t.tag == "C" for t in piece.tokens) else []
        elif piece.kind == "B" and node.role == "clause":
            main = {m.index for m in (subject, *subject.members)} if subject else set()
            lost = nonfinite or not _has_verb(node, nodes, outcome) or (orphan and not main & previous_verb)
            if lost:
                outcome.reduced.update(n.index for n in (node, *node.members))
            parts.append("and" if lost else caption[piece.start : piece.end])
        elif (piece.kind == "B" and stranded) or (
            piece.low in _WORN_ON and piece.kind == "R" and _agent_deleted(subject, outcome)
        ):
            continue
        elif piece.kind == "L":
            parts.append(_agree(caption[piece.start : piece.end], number))
        elif piece.kind == "V":
            bare = piece.tokens[0].tag == "T" and stranded
            parts.append(
                _verb(
                    piece,
                    number,
                    (nonfinite and not relative) or bare or (subject is not None and subject.index in outcome.reduced),
                    caption,
                )
            )
        else:
            parts.append(caption[piece.start : piece.end])
    return parts


def bare_clause(node: Node, nodes: Sequence[Node], outcome: Outcome) -> bool:
    """Whether a clause ("as she holds a cake") has lost its verb."""
    return node.role == "clause" and any(c.kind == "B" for c in node.lead) and not _has_verb(node, nodes, outcome)


def _agent_deleted(node: Node | None, outcome: Outcome) -> bool:
    """Whether the agent or wearer of ``node`` is deleted: "with skis on"."""
    return node is not None and node.parent is not None and node.parent.index not in outcome.places


def _has_verb(subject: Node, nodes: Sequence[Node], outcome: Outcome) -> bool:
    """Whether a clause's subject still has a verb."""
    kept = any(nodes[i].parent is subject for i in outcome.kept_verbs)
    return kept or any(n.verb and n.parent is subject and n.index in outcome.places for n in nodes)


def _number_after_verb(node: Node, outcome: Outcome, existential: bool) -> str:
    """Number of a subject that follows its verb: "there is" (by the nearest noun), "on a shelf is". Empty: either is right."""
    phrase = node.phrase
    assert phrase is not None, "a subject has a phrase"
    first = node.head_of_list or node
    only_member = sum(m.index in outcome.places for m in (first, *first.members)) == 1
    lows = [t.low for t in phrase.tokens]
    if "of" in lows and lows[0] in ("a", "an") and not {"pair", "couple"} & set(lows):
        return ""  # "a group of people"
    if _takes_plural_verb(phrase) or not (only_member or existential):
        return "plural"
    return "singular" if only_member else ""


def _takes_plural_verb(phrase: Chunk) -> bool:
    """Whether a phrase takes a plural verb: "a pair of cats" and "a couple of pies", but not "a pair of jeans"."""
    lows = [t.low for t in phrase.tokens]
    measure = lows[lows.index("of") - 1] if "of" in lows else ""
    if measure == "pair":
        return phrase.head not in word_lists.PAIRS
    return phrase.plural or measure in ("pairs", "couple")


def _number_changed(subject: Node | None, outcome: Outcome) -> str:
    """``singular`` if the subject was a list and has one, singular, member left.

    ``plural`` is possible if companions of a subject take its place. Empty: unchanged.
    """
    if subject is None:
        return ""
    if heirs := partners(subject, outcome.deleted):
        plural = len(heirs) > 1 or (heirs[0].phrase is not None and _takes_plural_verb(heirs[0].phrase))
        return "plural" if plural else "singular"
    first = subject.head_of_list or subject
    if first.index not in outcome.changed_lists:
        return "singular" if _left_alone(subject, outcome) else ""
    living = [m for m in (first, *first.members) if m.index in outcome.places]
    if len(living) == 1 and living[0].phrase and not _takes_plural_verb(living[0].phrase):
        return "singular"
    return ""


def _left_alone(subject: Node, outcome: Outcome) -> bool:
    """Whether a subject ("a man as well as two dogs are ...") has lost all its companions."""
    others = [m for n in subject.partners if n.prep in word_lists.ALONGSIDE for m in (n, *n.members)]
    if not others or subject.members or subject.head_of_list or subject.phrase is None:
        return False
    return (
        subject.phrase.tokens[0].low in ("a", "an", "one")
        and not _takes_plural_verb(subject.phrase)
        and not any(m.index in outcome.places for m in others)
    )


def _agree(text: str, number: str) -> str:
    table = {"singular": _SINGULAR, "plural": _PLURAL}.get(number, {})
    return " ".join(table.get(word.lower(), word) for word in text.split())


def _verb(verb: Chunk, number: str, nonfinite: bool, caption: str) -> str:
    """A verb group that agrees with its subject, or a participle if ``nonfinite``."""
    from lemminflect import getInflection

    text = caption[verb.start : verb.end]
    if number == "singular" and any(t.low in ("together", "each other", "side by side", "all", "both") for t in verb.tokens):
        verb = Chunk(
            "V",
            [t for t in verb.tokens if t.low not in ("together", "each other", "side by side", "all", "both")],
        )
        text = " ".join(t.text for t in verb.tokens)
    if nonfinite and verb.tokens[0].tag == "T":
        return " ".join(
            (getInflection(verb.lemma, tag="VBG") or (t.text,))[0] if t.tag == "V" else t.text for t in verb.tokens[1:]
        )
    if nonfinite and verb.finite:
        tokens = [
            t for t in verb.tokens if not (t.tag == "X" and t.low in ("is", "are", "was", "were", "has", "have", "had", "been"))
        ]
        if len(tokens) < len(verb.tokens):
            return " ".join(t.text for t in tokens)
        changed = [(getInflection(verb.lemma, tag="VBG") or (t.text,))[0] if t.tag == "V" else t.text for t in verb.tokens]
        return " ".join(changed)
    if number and verb.finite:
        first = next(t for t in verb.tokens if t.tag in "XV")
        if first.tag == "X":
            return _agree(text, number)
        if number == "plural":
            present = first.low in getInflection(verb.lemma, tag="VBZ")
            return " ".join(verb.lemma if t is first and present else t.text for t in verb.tokens)
        if first.low == verb.lemma:
            third_person = (getInflection(verb.lemma, tag="VBZ") or (first.text,))[0]
            return " ".join(third_person if t is first else t.text for t in verb.tokens)
    return text


def _phrase(node: Node, nodes: Sequence[Node], outcome: Outcome, caption: str) -> str:
    """A noun phrase with the determiner that it now needs."""
    phrase = node.phrase
    assert phrase is not None, "tails have no phrase"
    tokens = list(phrase.tokens)
    text = caption[phrase.start : phrase.end]
    if len(node.tokens) < len(tokens) or node.tokens != tokens:
        tokens = node.tokens
        text = " ".join(t.text for t in tokens)
    if any(t.low == "empty" for t in tokens[:-1]):
        # Kept, the word would tell rewritten captions from originals.
        tokens = [t for t in tokens if t.low != "empty"]
        text = re.sub(r"\bempty\s+", "", text, flags=re.IGNORECASE)
    first = node.head_of_list
    if first is not None and first.index not in outcome.places and first.phrase and not _determined(phrase):
        borrowed = first.phrase.tokens[0].low
        measured = any(t.low == "of" for t in first.phrase.tokens)  # "a bunch of apples and cider"
        if not measured and first.phrase.tokens[0].tag == "D" and borrowed in ("a", "an", "the") and countable(phrase):
            return (
                text
                if borrowed != "the" and is_plural(phrase.head)
                else f"{borrowed if borrowed == 'the' else article(text)} {text}"
            )
    possessor = antecedent(nodes, node) if tokens[0].low == "their" else None
    if possessor is not None and "person" not in possessor.labels and _number_changed(possessor, outcome) == "singular":
        return " ".join(["its", *(t.text for t in tokens[1:])])
    if tokens[0].tag == "S" and not _antecedent_stays(node, nodes, outcome):
        rest = " ".join(t.text for t in tokens[1:])
        return rest if not rest or is_plural(phrase.head) or phrase.head in word_lists.MASS else f"{article(rest)} {rest}"
    return text


def _determined(phrase: Chunk) -> bool:
    return any(t.tag in ("D", "S", "Q", "'s") for t in phrase.tokens)


def countable(phrase: Chunk) -> bool:
    """Whether a phrase's head is a singular noun that needs an article."""
    head = phrase.head
    return not is_plural(head) and head not in word_lists.MASS and "NOUN" in parts_of_speech(head)


def _antecedent_stays(node: Node, nodes: Sequence[Node], outcome: Outcome) -> bool:
    possessor = antecedent(nodes, node)
    return possessor is None or possessor.index in outcome.places


def _tidy(text: str) -> str:
    text = re.sub(r"\s+([,;:.])", r"\1", text)
    text = re.sub(r"(?:\s|,)+(?:and|or|,)(?=,? (?:and|or)\b)", "", text)
    text = re.sub(r" ('s|’s)\b", r"\1", text)
    text = re.sub(r'" ([^"]*) "', r'"\1"', text)
    return re.sub(r"^[\s,;:]+|^(?:and|or|but) |[\s,;:]+$", "", text).strip()
