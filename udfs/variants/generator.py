"""The variants role: negatives (swaps, replacements), paraphrases and rewrites of texts, by rules or by a language model.

Every text is parsed once. A negative is dropped if it is a text of the same image or names something that is in the image; a
paraphrase or rewrite, if it names other labels. If no variant is left, the first reason is kept.
"""

from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from random import Random
from typing import Any

from udfs import clock
from udfs.captions.lexicon import find_mentions, normalise
from udfs.captions.referents import Referents
from udfs.captions.vocabulary import ANY
from udfs.role import Failure, Row
from udfs.settings import RoleSettings
from udfs.variants import replace as variant_replace
from udfs.variants.paraphrase import paraphrases, rewrites
from udfs.variants.phrases import Caption, Known, Variant
from udfs.variants.swap import swaps

POSITIVE = frozenset({"paraphrase", "rewrite"})  # same meaning; all other kinds are meant to be false
_MAX_CANDIDATES = 40  # of one kind for one text
_REPLACEMENTS: dict[str, Callable[[Caption, Known, Random], Iterator[Variant]]] = {
    "replace_noun": variant_replace.nouns,
    "replace_adjective": variant_replace.adjectives,
    "replace_relation": variant_replace.relations,
}
_REARRANGEMENTS = {"swap": swaps, "paraphrase": paraphrases, "rewrite": rewrites}


class VariantGenerator:
    """Generate the configured kinds of variants of every text."""

    def __init__(self, settings: RoleSettings, device: str, model: Any = None) -> None:
        """Load the language model, if one is configured. ``model`` replaces it."""
        self._settings = settings.variants
        self._model = model or _configured(settings, device)
        self.name = "rules" if self._model is None else f"{self._model.name}+rules"
        self.version = "2" if self._model is None else f"{self._model.version}+2"  # 2: what a component carries names it

    def __call__(self, rows: Sequence[Row]) -> list[Row | Failure]:
        """Generate the variants of a batch.

        A row has ``record_id``, ``components`` and ``others`` of the family (``NamedRow``, ``OtherRow``; ``others`` may be
        missing), ``seen`` (detected labels), ``used`` (labels and adjectives that the data set uses) and ``texts`` (structs of
        caption_id, subset, caption). The result's ``variants`` has one struct per variant of each text and kind, or a single
        struct without text whose status is the reason.
        """
        with clock.spend("model"):
            replies = {} if self._model is None else self._model([text["caption"] for row in rows for text in row["texts"]])
            return [{"variants": self._vary(row, replies)} for row in rows]

    def _vary(self, row: Row, replies: dict[tuple[str, str], str | Failure]) -> list[Row]:
        known, texts = _known(row), {normalise(text["caption"]) for text in row["texts"]}
        referents = Referents(row["components"], row.get("others"))
        variants = []
        for text in row["texts"]:
            caption = Caption.of(text["caption"])
            for kind in self._settings.kinds:
                random = Random(f"{self._settings.seed} {row['record_id']} {text['caption_id']} {text['subset']} {kind}")
                proposals = _by_model(replies.get((kind, text["caption"]))) + _by_rules(kind, caption, known, random)
                checked = [_checked(kind, caption.text, proposal, texts, known) for proposal in proposals]
                place = {"caption_id": text["caption_id"], "subset": int(text["subset"]), "kind": kind}
                variants += [place | _columns(variant, referents) for variant in _sampled(checked, self._settings.each, random)]
        return variants


def _configured(settings: RoleSettings, device: str) -> Any:
    if settings.variants.model is None or settings.variants.model.kind == "rules":
        return None
    from udfs.variants.llm import LanguageModelVariants

    with clock.spend("load"):
        return LanguageModelVariants(settings.variants.model, device, settings.variants.kinds)


def _known(row: Row) -> Known:
    labels, words = {*row["seen"], *(component["label"] for component in row["components"])}, set[str]()
    for text in row["texts"]:
        labels |= {mention["label"] for mention in find_mentions(text["caption"])}
        words |= set(normalise(text["caption"]).split())
    return Known(frozenset(labels), frozenset(words), frozenset(row["used"]))


def _by_model(reply: str | Failure | None) -> list[Variant]:
    if reply is None:
        return []
    return [Variant(None, reply.status) if isinstance(reply, Failure) else Variant(reply)]


def _by_rules(kind: str, caption: Caption, known: Known, random: Random) -> list[Variant]:
    if kind in _REPLACEMENTS:
        return list(islice(_REPLACEMENTS[kind](caption, known, random), _MAX_CANDIDATES))
    return list(islice(_REARRANGEMENTS[kind](caption), _MAX_CANDIDATES)) if kind in _REARRANGEMENTS else []


def _checked(kind: str, text: str, variant: Variant, texts: set[str], known: Known) -> Variant:
    """The variant, or a reason why it does not fit its kind."""
    if variant.text is None:
        return variant
    same = normalise(variant.text)
    if same == normalise(text):
        return Variant(None, "same_words")
    before, after = _named(text), _named(variant.text)
    if kind in POSITIVE:
        return variant if before == after else Variant(None, "names_other")
    if same in texts:
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


def _sampled(checked: Sequence[Variant], most: int, random: Random) -> list[Variant]:
    """A sample of distinct valid variants; without any, the first reason."""
    valid = list({normalise(variant.text): variant for variant in checked if variant.text}.values())
    return random.sample(valid, min(most, len(valid))) if valid else [next(iter(checked), Variant(None, "no_candidate"))]


def _columns(variant: Variant, referents: Referents) -> Row:
    cells: Row = {"text": variant.text, "names": None, "mentions": None, "may_mention": None, "status": variant.reason}
    if variant.text is None:
        return cells
    sure, perhaps = referents.masks(variant.text)
    names = sorted({mention["label"] for mention in find_mentions(variant.text) if mention["certain"]})
    return cells | {"names": names, "mentions": sure, "may_mention": perhaps}
