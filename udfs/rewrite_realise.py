"""Put what survived back into words: connectors, lists, articles, possessives, verb agreement, capital and final stop."""

import re
from collections.abc import Sequence
from functools import lru_cache

from udfs import rewrite_words as words
from udfs.rewrite_chunks import Chunk, is_plural
from udfs.rewrite_delete import owner, partners
from udfs.rewrite_rehang import Outcome
from udfs.rewrite_tags import parts_of_speech
from udfs.rewrite_tree import Node

_SINGULAR = {"are": "is", "were": "was", "have": "has", "do": "does", "'re": "'s"}
_PLURAL = {one: many for many, one in _SINGULAR.items()}


_WORN_ON = ("on", "together")  # said of who wears or does something, not of the thing: "with skis on"


@lru_cache(maxsize=10_000)
def article(word: str) -> str:
    """``a`` or ``an``, by the sound that a word starts with."""
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


def realise(caption: str, nodes: Sequence[Node], outcome: Outcome, fresh: bool) -> str:
    """Write one sentence without its final stop. ``fresh``: its subject changed, so that verbs with a tense lose it."""
    parts: list[str] = []
    alive = set(outcome.places)
    joined = _last_joined(outcome)
    lists = _lists(outcome)
    previous_verb: set[int] = set()  # nodes that already carry a verb
    # "as a woman holds a cake" that lost its verb is joined by "and": no sentence any more.
    fresh = fresh or any(bare_clause(node, nodes, outcome) for node in outcome.alive)
    for node in nodes:
        if node.index in outcome.kept_verbs:
            verb = outcome.kept_verbs[node.index]
            subject = node.parent
            parts += _conjunction(node, previous_verb)
            parts += [c.low for c in node.lead if c.kind == "W" and not fresh]
            parts += [c.low for c in node.lead[: node.lead.index(verb)] if c.kind == "R" and c.low in words.PARTICLES]
            parts += [_verb(verb, _number_changed(subject, outcome), fresh, caption)]
            if _wants_down(node, nodes, outcome):
                parts.append("down")
            if subject:
                previous_verb.add(subject.index)
        if node.index not in alive:
            if node.index and node.index not in outcome.kept_verbs:
                parts += _particle(node, nodes[node.index - 1], outcome)
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
            parts += _own_lead(node, nodes, outcome, previous_verb, fresh, caption)
        elif link:
            parts.append(_linked(link, node, nodes, outcome, caption))
        if node.phrase:
            parts.append(_phrase(node, nodes, outcome, caption))
        if node.verb and node.parent and link is None:
            previous_verb.add(node.parent.index)
    return _tidy(" ".join(part for part in parts if part))


def _linked(link: str, node: Node, nodes: Sequence[Node], outcome: Outcome, caption: str) -> str:
    """A connector taken over from a dead node; the verb of "behind a barn stands a cow" agrees with the new subject."""
    verb = next((n.verb for n in nodes if n.inverted and n.verb and caption[n.verb.start : n.verb.end] == link), None)
    if verb is not None:
        return _verb(verb, _shown(node, outcome, False), False, caption)
    return _agree(link, _shown(node, outcome, True)) if link.split()[-1] in words.BE else link


def _wants_down(node: Node, nodes: Sequence[Node], outcome: Outcome) -> bool:
    """Whether "laying", left without "on a couch", needs a particle to end on."""
    verb = outcome.kept_verbs[node.index]
    if verb.lemma not in ("lie", "lay") or verb.tokens[-1].low in ("down", "around", "outside"):
        return False
    follower = next((n for n in nodes if n.index > node.index and n.index in outcome.places), None)
    return follower is None or outcome.places[follower.index].parent is not node.parent or follower.role == "tail"


def _particle(node: Node, before: Node, outcome: Outcome) -> list[str]:
    """The "out" of "holding his arms out on a board", which goes with the verb before."""
    kept = before.index in outcome.places and before.role == "verb" and node.role == "prep"
    doer = before.parent is not None and before.parent.index in outcome.places
    word, _, more = node.lead[0].low.partition(" ") if node.lead else ("", "", "")
    alone = bool(node.lead) and (node.lead[0].kind == "R" or (bool(more) and more != "of" and not more.startswith("the ")))
    return [word] if kept and doer and alone and word in ("out", "up", "down", "off", "back", "over") else []


def _last_joined(outcome: Outcome) -> dict[int, int]:
    last: dict[int, int] = {}
    for index, place in outcome.places.items():
        if place.joined:
            last[place.parent.index if place.parent else -1] = index
    return last


def _lists(outcome: Outcome) -> dict[int, str]:
    """New connectors of lists that lost a member: commas, and the list's own conjunction before the last."""
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
    node: Node, nodes: Sequence[Node], outcome: Outcome, previous_verb: set[int], fresh: bool, caption: str
) -> list[str]:
    """The node's own connector, with verbs that agree with what their subject has become."""
    out: list[str] = []
    subject = node.parent
    before = [n for n in nodes if n.index < node.index]
    orphan = bool(before) and before[-1].index not in outcome.places
    # What came before is gone, and with it the verb that this one went on from.
    lonely = orphan and subject is not None and subject.index not in previous_verb
    relative = any(c.kind == "W" for c in node.lead)
    shown = node.inverted or any(c.kind == "L" for c in node.lead)
    number = "" if shown else _number_changed(subject, outcome)
    if shown and (node.head_of_list or node).index in outcome.changed_lists:
        number = _shown(node, outcome, not node.inverted)
    if node.role == "tail" and lonely and node.verb and node.verb.tokens[0].tag == "T":
        return []
    for piece in node.lead:
        if piece.kind == "C" and node.role not in ("conj", "clause") and lonely:
            participial = node.verb is None or not node.verb.finite
            out += [","] if participial and not any(t.tag == "C" for t in piece.tokens) else []
        elif piece.kind == "B" and node.role == "clause":
            main = {m.index for m in (subject, *subject.members)} if subject else set()
            lost = fresh or not _acts(node, nodes, outcome) or (orphan and not main & previous_verb)
            if lost:
                outcome.reduced.update(n.index for n in (node, *node.members))
            out.append("and" if lost else caption[piece.start : piece.end])
        elif (piece.kind == "B" and lonely) or (piece.low in _WORN_ON and piece.kind == "R" and _doer_gone(subject, outcome)):
            continue
        elif piece.kind == "L":
            out.append(_agree(caption[piece.start : piece.end], number))
        elif piece.kind == "V":
            bare = piece.tokens[0].tag == "T" and lonely
            out.append(
                _verb(
                    piece,
                    number,
                    (fresh and not relative) or bare or (subject is not None and subject.index in outcome.reduced),
                    caption,
                )
            )
        else:
            out.append(caption[piece.start : piece.end])
    return out


def bare_clause(node: Node, nodes: Sequence[Node], outcome: Outcome) -> bool:
    """Whether a clause ("as she holds a cake") has lost its verb."""
    return node.role == "clause" and any(c.kind == "B" for c in node.lead) and not _acts(node, nodes, outcome)


def _doer_gone(node: Node | None, outcome: Outcome) -> bool:
    """Whether the one who did something with ``node`` has gone: "with skis on"."""
    return node is not None and node.parent is not None and node.parent.index not in outcome.places


def _acts(subject: Node, nodes: Sequence[Node], outcome: Outcome) -> bool:
    """Whether a clause's subject still has a verb."""
    kept = any(nodes[i].parent is subject for i in outcome.kept_verbs)
    return kept or any(n.verb and n.parent is subject and n.index in outcome.places for n in nodes)


def _shown(node: Node, outcome: Outcome, there: bool) -> str:
    """The number of a subject after its verb: "there is", by the nearest noun, or "on a shelf is". Empty: either will do."""
    phrase = node.phrase
    assert phrase is not None, "a subject has a phrase"
    first = node.head_of_list or node
    alone = sum(m.index in outcome.places for m in (first, *first.members)) == 1
    lows = [t.low for t in phrase.tokens]
    if "of" in lows and lows[0] in ("a", "an") and not {"pair", "couple"} & set(lows):
        return ""  # "a group of people"
    if _many(phrase) or not (alone or there):
        return "plural"
    return "singular" if alone else ""


def _many(phrase: Chunk) -> bool:
    """Whether a phrase takes a plural verb: "a pair of cats" and "a couple of pies", but not "a pair of jeans"."""
    lows = [t.low for t in phrase.tokens]
    measure = lows[lows.index("of") - 1] if "of" in lows else ""
    if measure == "pair":
        return phrase.head not in words.PAIRS
    return phrase.plural or measure in ("pairs", "couple")


def _number_changed(subject: Node | None, outcome: Outcome) -> str:
    """``singular`` when a list that was the subject has one member left, and that one is singular.

    What was named along with a subject and takes its place may be ``plural`` too.
    """
    if subject is None:
        return ""
    if heirs := partners(subject, outcome.dead):
        many = len(heirs) > 1 or (heirs[0].phrase is not None and _many(heirs[0].phrase))
        return "plural" if many else "singular"
    first = subject.head_of_list or subject
    if first.index not in outcome.changed_lists:
        return "singular" if _left_alone(subject, outcome) else ""
    living = [m for m in (first, *first.members) if m.index in outcome.places]
    if len(living) == 1 and living[0].phrase and not _many(living[0].phrase):
        return "singular"
    return ""


def _left_alone(subject: Node, outcome: Outcome) -> bool:
    """Whether "a man", who was named along with others ("a man as well as two dogs are ..."), is the only one left."""
    others = [m for n in subject.partners if n.prep in words.ALONGSIDE for m in (n, *n.members)]
    if not others or subject.members or subject.head_of_list or subject.phrase is None:
        return False
    return (
        subject.phrase.tokens[0].low in ("a", "an", "one")
        and not _many(subject.phrase)
        and not any(m.index in outcome.places for m in others)
    )


def _agree(text: str, number: str) -> str:
    table = {"singular": _SINGULAR, "plural": _PLURAL}.get(number, {})
    return " ".join(table.get(word.lower(), word) for word in text.split())


def _verb(verb: Chunk, number: str, fresh: bool, caption: str) -> str:
    """A verb group that agrees with its subject; a participle where the text has become a fragment."""
    from lemminflect import getInflection

    text = caption[verb.start : verb.end]
    if number == "singular" and any(t.low in ("together", "each other", "side by side", "all", "both") for t in verb.tokens):
        verb = Chunk(
            "V",
            [t for t in verb.tokens if t.low not in ("together", "each other", "side by side", "all", "both")],
        )
        text = " ".join(t.text for t in verb.tokens)
    if fresh and verb.tokens[0].tag == "T":
        return " ".join(
            (getInflection(verb.lemma, tag="VBG") or (t.text,))[0] if t.tag == "V" else t.text for t in verb.tokens[1:]
        )
    if fresh and verb.finite:
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
            one = (getInflection(verb.lemma, tag="VBZ") or (first.text,))[0]
            return " ".join(one if t is first else t.text for t in verb.tokens)
    return text


def _phrase(node: Node, nodes: Sequence[Node], outcome: Outcome, caption: str) -> str:
    """A noun phrase with the determiner it needs now."""
    phrase = node.phrase
    assert phrase is not None, "tails have no phrase"
    tokens = list(phrase.tokens)
    text = caption[phrase.start : phrase.end]
    if len(node.words) < len(tokens) or node.words != tokens:
        tokens = node.words
        text = " ".join(t.text for t in tokens)
    if any(t.low == "empty" for t in tokens[:-1]):
        # Said of what was removed or not, the word would tell a rewritten caption from an original.
        tokens = [t for t in tokens if t.low != "empty"]
        text = re.sub(r"\bempty\s+", "", text, flags=re.IGNORECASE)
    first = node.head_of_list
    if first is not None and first.index not in outcome.places and first.phrase and not _determined(phrase):
        lent = first.phrase.tokens[0].low
        measured = any(t.low == "of" for t in first.phrase.tokens)  # "a bunch of apples and cider"
        if not measured and first.phrase.tokens[0].tag == "D" and lent in ("a", "an", "the") and countable(phrase):
            return text if lent != "the" and is_plural(phrase.head) else f"{lent if lent == 'the' else article(text)} {text}"
    whose = owner(nodes, node) if tokens[0].low == "their" else None
    if whose is not None and "person" not in whose.labels and _number_changed(whose, outcome) == "singular":
        return " ".join(["its", *(t.text for t in tokens[1:])])
    if tokens[0].tag == "S" and not _owner_stays(node, nodes, outcome):
        rest = " ".join(t.text for t in tokens[1:])
        return rest if not rest or is_plural(phrase.head) or phrase.head in words.MASS else f"{article(rest)} {rest}"
    return text


def _determined(phrase: Chunk) -> bool:
    return any(t.tag in ("D", "S", "Q", "'s") for t in phrase.tokens)


def countable(phrase: Chunk) -> bool:
    """Whether a phrase's head is a singular noun that needs an article."""
    head = phrase.head
    return not is_plural(head) and head not in words.MASS and "NOUN" in parts_of_speech(head)


def _owner_stays(node: Node, nodes: Sequence[Node], outcome: Outcome) -> bool:
    whose = owner(nodes, node)
    return whose is None or whose.index in outcome.places


def _tidy(text: str) -> str:
    text = re.sub(r"\s+([,;:.])", r"\1", text)
    text = re.sub(r"(?:\s|,)+(?:and|or|,)(?=,? (?:and|or)\b)", "", text)
    text = re.sub(r" ('s|’s)\b", r"\1", text)
    text = re.sub(r'" ([^"]*) "', r'"\1"', text)
    return re.sub(r"^[\s,;:]+|^(?:and|or|but) |[\s,;:]+$", "", text).strip()
