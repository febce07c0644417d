"""The role that makes variants of texts: negatives (swaps, replacements) and other ways to say the same, by rules or by a model.

Every text is read once. A variant is dropped where it is a text of the same image after all, where it names something that is in
the image, or, of those that shall say the same, where it names other things; where none is left, its first reason is kept.
"""

from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from random import Random
from typing import Any

from jobs.settings import Settings
from udfs import clock, variant_replace
from udfs.lexicon import find_mentions, normalise
from udfs.rewrite_checks import masks
from udfs.role import Failure, Row
from udfs.variant_phrases import Caption, Known, Variant
from udfs.variant_rewrite import paraphrases, rewrites
from udfs.variant_swap import swaps
from udfs.vocabulary import ANY

POSITIVE = frozenset({"paraphrase", "rewrite"})  # made to say the same; all other kinds are made to be false
_TRIED = 40  # candidates of one kind for one text
_REPLACING: dict[str, Callable[[Caption, Known, Random], Iterator[Variant]]] = {
    "replace_noun": variant_replace.nouns,
    "replace_adjective": variant_replace.adjectives,
    "replace_relation": variant_replace.relations,
}
_SAYING = {"swap": swaps, "paraphrase": paraphrases, "rewrite": rewrites}


class Variants:
    """Make the configured kinds of variants of every text."""

    def __init__(self, settings: Settings, device: str, model: Any = None) -> None:
        """Load the language model, if one is configured. ``model``: one to use instead."""
        self._settings = settings.variants
        self._model = model or _configured(settings, device)
        self.name = "rules" if self._model is None else f"{self._model.name}+rules"
        self.version = "1" if self._model is None else f"{self._model.version}+1"

    def __call__(self, rows: Sequence[Row]) -> list[Row | Failure]:
        """Vary a batch.

        A row has ``record_id``, ``labels`` (of the family), ``seen`` (labels that the detector found), ``used`` (labels and
        adjectives of the data at hand) and ``texts`` (structs of caption_id, subset, caption). The result's ``variants`` has for
        each text and kind one struct a variant, or one without a text whose status is the reason.
        """
        with clock.spend("model"):
            said = {} if self._model is None else self._model([one["caption"] for row in rows for one in row["texts"]])
            return [{"variants": self._vary(row, said)} for row in rows]

    def _vary(self, row: Row, said: dict[tuple[str, str], str | Failure]) -> list[Row]:
        known, taken = _known(row), {normalise(text["caption"]) for text in row["texts"]}
        found = []
        for text in row["texts"]:
            caption = Caption.of(text["caption"])
            for kind in self._settings.kinds:
                random = Random(f"{self._settings.seed} {row['record_id']} {text['caption_id']} {text['subset']} {kind}")
                proposals = _by_model(said.get((kind, text["caption"]))) + _by_rules(kind, caption, known, random)
                checked = [_checked(kind, caption.text, one, taken, known) for one in proposals]
                place = {"caption_id": text["caption_id"], "subset": int(text["subset"]), "kind": kind}
                found += [place | _cells(one, row) for one in _chosen(checked, self._settings.each, random)]
        return found


def _configured(settings: Settings, device: str) -> Any:
    if settings.variants.model is None or settings.variants.model.kind == "rules":
        return None
    from udfs.variant_llm import LanguageModelVariants

    with clock.spend("load"):
        return LanguageModelVariants(settings.variants.model, device, settings.variants.kinds)


def _known(row: Row) -> Known:
    labels, words = {*row["seen"], *row["labels"]}, set[str]()
    for text in row["texts"]:
        labels |= {mention["label"] for mention in find_mentions(text["caption"])}
        words |= set(normalise(text["caption"]).split())
    return Known(frozenset(labels), frozenset(words), frozenset(row["used"]))


def _by_model(reply: str | Failure | None) -> list[Variant]:
    if reply is None:
        return []
    return [Variant(None, reply.status) if isinstance(reply, Failure) else Variant(reply)]


def _by_rules(kind: str, caption: Caption, known: Known, random: Random) -> list[Variant]:
    if kind in _REPLACING:
        return list(islice(_REPLACING[kind](caption, known, random), _TRIED))
    return list(islice(_SAYING[kind](caption), _TRIED)) if kind in _SAYING else []


def _checked(kind: str, text: str, variant: Variant, taken: set[str], known: Known) -> Variant:
    """The variant, or why it is not what its kind says it is."""
    if variant.text is None:
        return variant
    same = normalise(variant.text)
    if same == normalise(text):
        return Variant(None, "same_words")
    before, after = _named(text), _named(variant.text)
    if kind in POSITIVE:
        return variant if before == after else Variant(None, "names_other")
    if same in taken:
        return Variant(None, "true_text")
    new = {label for label, _ in after} - {label for label, _ in before}
    if ANY in new:
        return Variant(None, "names_unknown")
    if new & known.labels:
        return Variant(None, "in_image")
    if kind == "llm_replace" and before == after and not _heads(text) <= _heads(variant.text):
        return Variant(None, "same_meaning")  # "a man" became "a person"
    return variant


def _named(text: str) -> set[tuple[str, bool]]:
    return {(mention["label"], mention["certain"]) for mention in find_mentions(text)}


def _heads(text: str) -> set[str]:
    return {mention["head"].lower() for mention in find_mentions(text)}


def _chosen(checked: Sequence[Variant], most: int, random: Random) -> list[Variant]:
    """Some of the good variants, different ones; else the first reason."""
    good = list({normalise(one.text): one for one in checked if one.text}.values())
    return random.sample(good, min(most, len(good))) if good else [next(iter(checked), Variant(None, "no_candidate"))]


def _cells(variant: Variant, row: Row) -> Row:
    cells: Row = {"text": variant.text, "names": None, "mentions": None, "may_mention": None, "status": variant.reason}
    if variant.text is None:
        return cells
    sure, perhaps = masks(variant.text, row["labels"])
    names = sorted({mention["label"] for mention in find_mentions(variant.text) if mention["certain"]})
    return cells | {"names": names, "mentions": sure, "may_mention": perhaps}
