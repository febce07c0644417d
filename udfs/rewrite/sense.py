"""Semantic checks of a rewritten caption: agents, pronouns and prepositions in its tree against the original's.

They find errors of meaning in grammatical text, such as "a pier watching ducks" after the boy on the pier was removed.
"""

import re
from collections import Counter
from collections.abc import Callable, Collection, Sequence

from udfs.captions import word_lists
from udfs.captions.dictionary import parts_of_speech
from udfs.captions.tree import Node
from udfs.rewrite.delete import antecedent, is_manner
from udfs.rewrite.reattach import settled, short_preposition

_PRONOUNS = word_lists.word_set("his her hers their its it's he she him they them it himself herself itself themselves")
_LIGHT_VERBS = word_lists.word_set("be have do")

# What only somebody can be, or do.
_OF_SOMEBODY = re.compile(
    r"\b(?:each other|one another|upside down|head ?first|face ?down|barefoot|shirtless"
    r"|on (?:foot|horseback|tiptoes?|stilts|crutches|all fours|(?:roller|inline|ice) ?(?:blades?|skates)|skates))\b"
)
_MODAL = re.compile(r"\b(can|could|may|might|must|shall|should|will|would) (\w+ing)\b")

# Of a phrase of the original the labels of which all that it refers to is removed.
Gone = Callable[[Node], Collection[str]]


def agents(nodes: Sequence[Node]) -> dict[str, list[Node]]:
    """The subjects of each verb, by the verb's lemma."""
    subjects: dict[str, list[Node]] = {}
    for node in nodes:
        for piece in node.lead:
            if piece.kind == "V" and node.parent is not None:
                subjects.setdefault(piece.lemma, []).append(node if node.inverted else node.parent)
    return subjects


def _verbs(nodes: Sequence[Node]) -> set[str]:
    return {piece.head for node in nodes for piece in node.lead if piece.kind == "V"}


def lost_doer(before: Sequence[Node], after: Sequence[Node]) -> bool:
    """Whether a verb moved between an animate and an inanimate subject, or now opens the text and did not before."""
    if not before or not after:
        return False
    opens, opened = (any(c.kind == "V" for c in nodes[0].lead) for nodes in (after, before))
    old = agents(before)
    first = after[0].phrase.tokens[0].low if after[0].phrase else ""
    # "Cooking with pans", whose first word looks like a noun once nobody cooks.
    if (opens and not opened) or (first.endswith("ing") and first in _verbs(before)):
        return True
    for lemma, subjects in agents(after).items():
        known = old.get(lemma, [])
        if lemma in _LIGHT_VERBS or not known:
            continue
        heads, kinds = {n.head for n in known}, {_is_animate(n) for n in known}
        if any(n.head not in heads and _is_animate(n) not in kinds for n in subjects):
            return True
    return False


def _is_animate(node: Node) -> bool:
    """Whether a phrase, a member of its list or a companion can be an agent."""
    first = node.head_of_list or node
    return any(n.animate for n in (node, first, *first.members, *first.partners))


def lost_verb(after: Sequence[Node]) -> bool:
    """Whether a text without a verb still has an adverb of manner: "a bench together"."""
    leads = [piece for node in after for piece in node.lead]
    if any(piece.kind in "VL" for piece in leads):
        return False
    return any(is_manner(t.low) for piece in leads if piece.kind == "R" for t in piece.tokens)


def dangling_pronoun(before: Sequence[Node], after: Sequence[Node], text: Collection[str], gone: Gone) -> bool:
    """Whether a pronoun with a removed antecedent is left. ``text``: the words in lower case."""
    tied = Counter(low for low, noun_phrase in _referents(before) if noun_phrase is not None and gone(noun_phrase))
    count_before = Counter(low for low, _ in _referents(before))
    count_after = Counter(word for word in text if word in _PRONOUNS)
    if any(count_after[low] > count_before[low] - number for low, number in tied.items()):
        return True
    # A pronoun without a noun before it has no antecedent.
    first = after[0].phrase if after else None
    opening = first.tokens[0].low if first and first.tokens else ""
    opening_before = before[0].phrase.tokens[0].low if before and before[0].phrase else ""
    return opening in _PRONOUNS and opening != opening_before


def _referents(nodes: Sequence[Node]) -> list[tuple[str, Node | None]]:
    referents = []
    for node in nodes:
        if node.phrase is None:
            continue
        referents += [(token.low, _antecedent(nodes, node, token.low)) for token in node.phrase.tokens if token.low in _PRONOUNS]
    return referents


def _antecedent(nodes: Sequence[Node], node: Node, low: str) -> Node | None:
    """The antecedent of a pronoun; "their" prefers a plural phrase to the nearest one."""
    likely = antecedent(nodes, node, low)
    if low not in ("their", "theirs", "they", "them") or likely is None or likely.phrase is None or likely.phrase.plural:
        return likely
    listed = (likely.head_of_list or likely).members
    many = [n for n in nodes[: node.index] if n.animate and n.phrase is not None and n.phrase.plural]
    return many[-1] if many and not listed else likely


def wrong_of(before: Sequence[Node], after: Sequence[Node]) -> bool:
    """Whether "of" has a complement that it did not have: "a boy of a ramp". A picture may be of whatever is left."""
    old = {node.head for node in before if (node.head_of_list or node).prep == "of"}
    # "on the side of a ramp" may become "the side of a ramp".
    regions = {(word, node.head) for node in before if node.prep.endswith(" of") for word in node.prep.split()}
    pairs = [(n.parent.head, n.head) for n in after if n.prep == "of" and n.parent is not None]
    return any(what not in old and whole not in word_lists.VIEWS and (whole, what) not in regions for whole, what in pairs)


def takes_somebody(after: Sequence[Node], text: str) -> bool:
    """Whether a text says what only somebody does or is: "a water fight", "a ledge on rollerblades"."""
    return bool(_OF_SOMEBODY.search(text.lower())) or any(node.head in word_lists.EVENTS for node in after)


def lost_passive(before: Sequence[str], after: Sequence[str], tree: Sequence[Node]) -> bool:
    """Whether somebody stands behind "by" who did what the text does not say any more: "a ball by the players", once pursued.

    Args:
        before: words of the original, in lower case.
        after: those of the text.
        tree: of the text.
    """
    doers = {node.prep for node in tree if node.animate} & {"by"}
    befores, afters = (
        {word for word, following in zip(words, words[1:], strict=False) if following == "by"} for words in (before, after)
    )
    return bool(doers and befores) and all(map(_is_participle, befores)) and not afters <= befores


def _is_participle(word: str) -> bool:
    lemma = parts_of_speech(word).get("VERB")
    return lemma is not None and word not in lemma and not word.endswith(("ing", "s"))


def lost_relative(before: str, after: str) -> bool:
    """Whether "with" stands where the caption had "that" and a verb: "waves with crash" of "waves that crash"."""
    source = before.lower()
    verbs = (word for word in re.findall(r"\bwith (\w+)", after.lower()) if not re.search(rf"\bwith {word}\b", source))
    return any(re.search(rf"\b(?:that|which|who) {word}\b", source) for word in verbs)


def new_modal(before: str, after: str) -> bool:
    """Whether a text has a participle behind a modal verb, which the caption has not: "a dog can jumping"."""
    return bool(_modal_participles(after) - _modal_participles(before))


def _modal_participles(text: str) -> set[tuple[str, str]]:
    """(modal verb, word) where the word ends in -ing and is no base form, as "sing" is."""
    pairs = _MODAL.findall(text.lower())
    return {(modal, word) for modal, word in pairs if word not in parts_of_speech(word).get("VERB", (word,))}


def wrong_preposition(before: Sequence[Node], after: Sequence[Node]) -> bool:
    """Whether a preposition has a complement that it did not have: "a cat eating from a bird", once there is no bowl.

    The members of a list share its preposition. "Of" has a check of its own, and what is "with" something changes freely.
    """
    if not before or not after:
        return False
    return not _complements(after) <= _complements(before) | _implied_complements(before)


def _complements(nodes: Sequence[Node]) -> set[tuple[str, str]]:
    """(preposition, noun lemma) of each phrase behind a preposition, and of each that shares one."""
    pairs = {(_preposition(node), noun_lemma(node.head)) for node in nodes if node.phrase is not None}
    return {(prep, noun) for prep, noun in pairs if prep not in {"", "with", "of"} | word_lists.ALONGSIDE}


def _implied_complements(nodes: Sequence[Node]) -> set[tuple[str, str]]:
    """What else a caption's prepositions may mean.

    Near a bowl of fruit is near fruit, and near a cup on a table is near a table. What went down a road is on the road. "Near a
    bench and a dog" may be near both, whichever list the tree puts the dog in.
    """
    pairs = set()
    for before, node in zip([None, *nodes], nodes, strict=False):
        noun, prep, parent = noun_lemma(node.head), _preposition(node), node.parent
        pairs.add((settled(node), noun))
        if prep.endswith(" of") and prep.count(" ") > 1:
            pairs.add((prep.split()[0], noun_lemma(prep.split()[-2])))  # "in the middle of"
        if node.role == "conj" and before is not None:
            pairs.add((_preposition(before), noun))
        if parent is not None and prep in (("of", "on", "in") if node.labels else ("of", "on")):
            near = _preposition(parent)
            pairs |= {(near, noun)} if near.replace(" ", "_") in word_lists.NEAR else set()
    return pairs


def _preposition(node: Node) -> str:
    """The preposition of a phrase, or of the list that it is in, without a particle before it ("out on")."""
    return short_preposition((node.head_of_list or node).prep).replace("_", " ")


def noun_lemma(word: str) -> str:
    """The singular of a noun in lower case; the word itself if the dictionary knows no such noun."""
    return next((lemma.lower() for lemma in parts_of_speech(word).get("NOUN", ())), word)


def bare_pronoun(after: Sequence[Node]) -> bool:
    """Whether a text names nothing: "this"."""
    return bool(after) and all(n.phrase is None or n.phrase.tokens[-1].tag in ("P", "D") for n in after)
