"""Checks that every rewritten caption must pass, whichever model wrote it."""

import re
from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from functools import partial

from udfs.captions import word_lists
from udfs.captions.chunks import Chunk, chunk
from udfs.captions.dictionary import parts_of_speech
from udfs.captions.lexicon import attached_words, count_named, find_mentions, normalise
from udfs.captions.referents import Mention, Referents
from udfs.captions.tokens import tokenise
from udfs.captions.traits import worn_colours
from udfs.captions.tree import ANIMATE, Node, ParseError, build_tree
from udfs.rewrite import sense
from udfs.rewrite.realise import article, countable

# In the order of ``check``'s result.
CODES = (
    "empty",
    "repeat",
    "too_long",
    "names_removed",
    "lost_kept",
    "names_new",
    "named_again",
    "new_word",
    "new_sign",
    "leftover_attachment",
    "forbidden_word",
    "bad_list",
    "bad_article",
    "bad_agreement",
    "lost_doer",
    "lost_verb",
    "lost_partner",
    "dangling_pronoun",
    "wrong_of",
    "wrong_preposition",
    "bare_pronoun",
)
_WORD = re.compile(r"[^\W_]+(?:[-'’][^\W_]+)*")
_REPEATED = re.compile(r"\b([^\W\d_]+(?: [^\W\d_]+)?) \1\b")
_ARTICLES = ("a", "an", "the")
_POINTS = frozenset(".,")  # that any text may add
# Words that any text may add: articles, "one", "to be", connectors, and what the rules put for other words ("surfer").
_FREE = frozenset(_ARTICLES) | {"one", "is", "are", "there", "and", "with", "person", "people", "down"}
# Verbs whose past tense is their lemma.
_PAST_TOO = word_lists.word_set(
    "beat bet bid burst cast cost cut fit hit hurt let put quit read rid set shut slit split spread wed wet"
)
# What takes two.
_TOGETHER = re.compile(
    r"\b(?:together|each other|one another|both|side by side|face to face|back to back|(?:hand|arm) in (?:hand|arm)"
    r"|(?:hold|shak)\w* hands|kiss\w*|hug(?:s|ging|ged)?|embrac\w*|convers\w*|chat(?:s|ting)?|fight\w*|fought|wrestl\w*"
    r"|rac(?:e|es|ing)|marri\w*|marry\w*|wedding|matching|fac(?:e|es|ing) off|between|(?:either|opposite) sides?|surround\w*"
    r"|in (?:a|the) (?:circle|line|row))\b"
)
_DANGLING = (
    word_lists.PREPOSITIONS
    - word_lists.PARTICLES
    - {"inside", "outside", "behind", "above", "below", "underneath", "near", "beneath"}
)


@dataclass(frozen=True)
class Apart:
    """What a rewritten caption has to do with components that share their class with others: "a man" and "a woman".

    ``removed`` and ``kept``: those of them that the original surely names, as bit masks. ``labels``: their classes. ``lost``: the
    original's certain mentions of which nothing is left.
    """

    referents: Referents
    removed: int
    kept: int
    labels: frozenset[str]
    lost: Sequence[Mention]


def check(original: str, text: str, removed: Collection[str], kept: Collection[str], apart: Apart | None = None) -> list[str]:
    """Return the codes of the checks that ``text`` fails as ``original`` without ``removed``; empty when it passes all.

    ``removed`` and ``kept`` split the family's labels that the original certainly names; ``apart`` has the components of which
    several have one label, which is then in neither.
    """
    if not _WORD.search(text):
        return ["empty"]
    failed = set()
    before, after = _WORD.findall(original.lower()), _WORD.findall(text.lower())
    if normalise(text) == normalise(original):
        failed.add("repeat")
    elif (growth := len(after) - len(before)) >= 0:
        # Articles do not count: "a man, dog and cat" is not longer than "a dog and a cat".
        growth += sum(word in _ARTICLES for word in before) - sum(word in _ARTICLES for word in after)
        failed |= {"too_long"} if growth > 0 else {"repeat"} if growth == 0 else set()
    known_forms = {form for word in before for form in _forms(word)}
    if any(_forms(word).isdisjoint(known_forms) for word in after if word not in _FREE):
        failed.add("new_word")
    if {sign for sign in text if not (sign.isalnum() or sign.isspace())} - _POINTS - set(original):
        failed.add("new_sign")  # markup, brackets and quotation marks of a reply
    trees = _tree(original), _tree(text)
    gone = partial(_gone, removed=frozenset(removed), apart=apart)
    failed |= _mention_faults(original, text, set(removed), set(kept), trees, gone)
    if apart:
        failed |= _faults_apart(original, text, apart)
    failed |= _grammar_faults(original, text, trees)
    failed |= _meaning_faults(trees, (before, after), gone)
    if sense.lost_relative(original, text):
        failed.add("wrong_preposition")
    if word_lists.FORBIDDEN & set(after):
        failed.add("forbidden_word")
    return [code for code in CODES if code in failed]


def nouns(text: str) -> frozenset[str]:
    """The lemmas of the nouns that head a text's noun phrases, in lower case: what it says there is."""
    heads = [piece.tokens[-1] for piece in _chunks(text) if piece.kind == "NP"]
    # "A glass": the tagger may take a lone noun for an adjective. Pronouns and numerals name nothing new.
    return frozenset(sense.noun_lemma(token.low) for token in heads if token.tag in ("N", "A"))


def _forms(word: str) -> set[str]:
    """A word and its lemmas: "sits" and "sitting" share "sit"."""
    return {word, *(lemma.lower() for lemmas in parts_of_speech(word).values() for lemma in lemmas)}


def _gone(node: Node, removed: frozenset[str], apart: Apart | None) -> set[str]:
    """The labels of a phrase of the original of which all that it refers to is removed."""
    labels = set(node.labels & removed)
    if apart and node.phrase and any(node.phrase.start <= m["start"] < node.phrase.end for m in apart.lost):
        labels |= node.labels & apart.labels
    return labels


def _faults_apart(original: str, text: str, apart: Apart) -> set[str]:
    sure, _ = apart.referents.masks(text)
    faults = {"names_removed": sure & apart.removed, "lost_kept": apart.kept & ~sure}
    # What was said of the one who is gone is not said of the one who stays: "an old man and a young woman".
    words = [word for m in apart.lost for word in (*_WORD.findall(m["phrase"].lower()), *worn_colours(original, m)[1])]
    before, after = (Counter(_WORD.findall(caption.lower())) for caption in (original, text))
    if any(after[word] > max(0, before[word] - count) for word, count in Counter(words).items() if word not in _FREE):
        faults["leftover_attachment"] = 1
    if apart.lost and _TOGETHER.search(text.lower()) and sum(_counted(text, label) for label in apart.labels) < 2:
        faults["lost_partner"] = 1
    if apart.lost and _ownerless(text, set(apart.labels), {m["label"] for m in find_mentions(text) if m["certain"]}):
        faults["leftover_attachment"] = 1
    return {code for code, failed in faults.items() if failed}


def _counted(text: str, label: str) -> int:
    """How many things of a label a text surely names."""
    mentions = [mention for mention in find_mentions(text) if mention["label"] == label and mention["certain"]]
    return sum(count_named(text, mention) for mention in mentions)


def _meaning_faults(trees: tuple[list[Node], list[Node]], words: tuple[list[str], list[str]], gone: sense.Gone) -> set[str]:
    before, after = trees
    faults = {
        "lost_doer": sense.lost_doer(before, after),
        "lost_verb": sense.lost_verb(after) or sense.lost_passive(*words, after),
        "dangling_pronoun": sense.dangling_pronoun(before, after, words[1], gone),
        "wrong_of": sense.wrong_of(before, after),
        "wrong_preposition": sense.wrong_preposition(before, after),
        "bare_pronoun": sense.bare_pronoun(after),
    }
    return {code for code, failed in faults.items() if failed}


def _mention_faults(
    original: str, text: str, removed: set[str], kept: set[str], trees: tuple[list[Node], list[Node]], gone: sense.Gone
) -> set[str]:
    before, after = trees
    failed = set()
    counts = Counter(m["label"] for m in find_mentions(text) if m["certain"] and m["label"] not in ("", "*"))
    known, sure = Counter(m["label"] for m in find_mentions(original)), set(counts)
    if sure & removed:
        failed.add("names_removed")
    if kept - sure:
        failed.add("lost_kept")
    if sure - set(known) - removed:
        failed.add("names_new")
    if any(count > known[label] > 0 for label, count in counts.items()):
        failed.add("named_again")
    nobody = bool(removed & ANIMATE) and not any(node.animate or node.labels & {"teddy bear"} for node in after)
    of_somebody = nobody and (_has_limb(after) or sense.takes_somebody(after, text))
    if of_somebody or _leftovers(original, text, before, gone) or _ownerless(text, removed, sure):
        failed.add("leftover_attachment")
    return failed


def _chunks(text: str) -> list[Chunk]:
    mentions = find_mentions(text)
    return chunk(tokenise(text, [(m["start"], m["end"]) for m in mentions if m["certain"]]), mentions)


def _tree(text: str) -> list[Node]:
    try:
        return build_tree([piece for piece in _chunks(text) if piece.kind != "."])
    except ParseError:
        return []


def _leftovers(original: str, text: str, tree: list[Node], gone: sense.Gone) -> set[str]:
    """Clothes, parts and contents of removed components that the text still names."""
    tied: Counter[str] = Counter()
    for node in tree:
        owner = node.parent
        if owner is None:
            continue
        # "a man in a hat"
        worn = node.role != "conj" and node.prep in ("in", "with", "of", "on", "") and not node.labels
        if worn and any(node.head in attached_words(label) for label in gone(owner)):
            tied[node.head] += 1
        # "the nose of a plane"
        whole = gone(node) if node.prep == "of" and not owner.labels else set()
        if any(owner.head in attached_words(label) for label in whole):
            tied[owner.head] += 1
    before = Counter(_WORD.findall(original.lower()))
    after = Counter(_WORD.findall(text.lower()))
    return {word for word, count in tied.items() if after[word] > before[word] - count}


def _ownerless(text: str, removed: set[str], sure: set[str]) -> bool:
    """Whether a personal pronoun is left although persons were removed and no other antecedent is possible."""
    if "person" not in removed or sure & (ANIMATE | {"teddy bear"}):
        return False
    return bool({"his", "her", "he", "she", "hers", "him", "himself", "herself"} & set(_WORD.findall(text.lower())))


def _has_limb(tree: list[Node]) -> bool:
    """Whether a part of a body is named, which somebody must have: "green grass with tongue hanging out"."""
    owned = {node.parent.index for node in tree if node.parent is not None and node.prep == "of"}  # "the hands of a clock"
    return any(node.head in word_lists.LIMBS and node.index not in owned for node in tree)


def _grammar_faults(original: str, text: str, trees: tuple[list[Node], list[Node]]) -> set[str]:
    failed = set()
    low, source = text.lower().strip(), " ".join(original.lower().split())
    repeated = {match.group() for match in _REPEATED.finditer(low)}
    if (_bad_list(low) and not _bad_list(source)) or any(repeat not in source for repeat in repeated):
        failed.add("bad_list")
    for match in re.finditer(r"\b(an?)\s+([^\W_]+)", low):
        wrong = match.group(1) != article(match.group(2)) or match.group(2) in (
            "a",
            "an",
            "the",
            "his",
            "her",
            "its",
            "their",
        )
        if wrong and " ".join(match.group().split()) not in source:
            failed.add("bad_article")
    if re.search(r"\b(?:an?|the)[\s.,]*$", low) or _lost_article(text, source):
        failed.add("bad_article")
    if _disagreements(trees[1]) - _disagreements(trees[0]) or sense.new_modal(original, text):
        failed.add("bad_agreement")
    return failed


def _lost_article(text: str, source: str) -> bool:
    """Whether a single noun has lost the article of the caption: "Area." of "in a fenced in area"."""
    words = _WORD.findall(text.lower())
    if len(words) != 1 or not any(countable(piece) for piece in _chunks(text) if piece.kind == "NP"):
        return False
    # Another preposition begins another phrase: "a tree on gravel".
    phrases = re.findall(rf"\b(?:an?|the) ((?:[^\s,.]+ ){{0,3}}){re.escape(words[0])}\b", source)
    return any(word_lists.PREPOSITIONS.isdisjoint({*phrase.split()} - {"in"}) for phrase in phrases)


def _bad_list(low: str) -> bool:
    """Whether a comma, conjunction or connector is dangling or doubled."""
    plain = low.rstrip(" .!?,;:") if not re.search(r"[,;:]\s*[.!?]*$", low) else low
    last = plain.rsplit(" ", 1)[-1] if plain else ""
    return bool(
        re.match(r"(?:and|or|but|,|;|while|of|to)\b|^[,;]", low)
        or re.search(
            r",\s*,|\b(?:and|or)\s*,|\b(and|or|with|of|the|in|on|at|is|are|by)\s+\1\b|\b(?:and|or)\s+(?:or|of|,)|[,;:]\s*[.!?]*$",
            low,
        )
        or last in word_lists.CONJUNCTIONS | word_lists.SUBORDINATORS | word_lists.RELATIVES | _DANGLING | word_lists.POSSESSIVES
    )


def _disagreements(nodes: list[Node]) -> set[tuple[str, str]]:
    """(subject's head, verb) pairs that do not agree in number."""
    pairs = set()
    for node in nodes:
        for piece in node.lead:
            first = piece.tokens[0].low
            subject = node if piece.kind == "L" or node.inverted else node.parent
            if piece.kind not in ("V", "L") or subject is None or subject.phrase is None:
                continue
            if piece.kind == "L":
                first = next((t.low for t in piece.tokens[1:] if t.tag == "X"), "")
            plural = _plural(subject)
            if first in ("are", "were", "have") and plural is False and piece.kind == "V":
                pairs.add((subject.head, first))
            if first in ("is", "was", "has") and plural is True and piece.kind == "V":
                pairs.add((subject.head, first))
            if plural is False and piece.kind == "V" and len(piece.tokens) == 1 and _is_bare(piece):
                pairs.add((subject.head, first))  # "a girl play"
    return pairs


def _is_bare(verb: Chunk) -> bool:
    """Whether a verb has the form of its lemma, which no past tense has."""
    return verb.low == verb.lemma != "be" and verb.low not in _PAST_TOO


def _plural(subject: Node) -> bool | None:
    """Whether a subject is plural; None if its tokens leave it open."""
    phrase = subject.phrase
    assert phrase is not None, "a subject has a phrase"
    lows = [token.low for token in phrase.tokens]
    if subject.members or subject.head_of_list or "of" in lows:
        return None
    if lows[0] in ("a", "an", "this", "each", "every", "one"):
        return None if subject.head in word_lists.MEASURES or phrase.plural else False
    return True if phrase.plural and lows[0] in word_lists.PLURAL_QUANTIFIERS else None
