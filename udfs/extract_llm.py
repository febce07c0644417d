"""A language model as extractor: which things does a caption name, the most important first?

The model and the lexicon share the work by what each can be trusted with. Whether a text is true of an image depends on
every mention of a class, so **the lexicon decides what is named** (and whether certainly or perhaps), and **the model
decides what matters**, the rank:

- a phrase of the model takes the lexicon's mentions that it overlaps, in the order of the reply;
- what the lexicon found and the model left out stays, with larger ranks, certain mentions before perhaps ones;
- a phrase that the lexicon cannot resolve becomes a mention without a class (label ""): no class rests on the model's
  word alone.

A reply must be one JSON list of short phrases. A phrase that is not in the caption is no component and is dropped; where
more than half are dropped the reply fails. A failed reply, such as one to a caption that gives orders, is put aside, and
the rules take over for that caption alone, with the reason in its ``extractor``. An endpoint that is not there stops the stage
(``udfs.language_openai``).
"""

import json
import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from udfs import language, lexicon
from udfs.extract_rules import read_caption
from udfs.role import Failure, Row

if TYPE_CHECKING:
    from jobs.settings import Settings

MAX_WORDS = 6  # a longer "phrase" is a clause
_LEADING = re.compile(r"(?:an?|the|some|his|her|its|their)\s+(?=\S)", re.IGNORECASE)
Span = tuple[int, int]


class LanguageModelExtractor:
    """Components of captions by a language model, checked, with the rules behind it."""

    def __init__(self, settings: "Settings", device: str) -> None:
        """Load the model of ``extractor`` with the extract prompt and its examples."""
        prompt = language.read_prompt("extract")
        examples = [(user_message(e["caption"]), language.quote(e["reply"])) for e in prompt.examples]
        self.model = language.load(settings.extractor, device, prompt.system, examples)
        self.name = self.model.name
        self.version = f"{self.model.version} prompt {prompt.version} lexicon {lexicon.version()}"

    def __call__(self, rows: Sequence[Row]) -> list[Row | Failure]:
        """{"captions": [...]} -> {"captions": [...]}, each caption with its components, as above.

        Captions with another status than ok are passed on without components. One that is not monotone is never rewritten, so
        the rules are enough for it.
        """
        captions = [caption for row in rows for caption in row["captions"] if caption["status"] == "ok"]
        asked = [caption["caption"] for caption in captions if lexicon.is_monotone(caption["caption"])]
        replies = language.ask_once(self.model, [user_message(text) for text in asked])
        by_text = dict(zip(asked, replies, strict=True))
        return [{"captions": [self._components(caption, by_text) for caption in row["captions"]]} for row in rows]

    def _components(self, caption: Row, replies: dict[str, str | Failure]) -> Row:
        ruled = read_caption(caption)
        if ruled["status"] == "not_monotone":
            return ruled | {"extractor": "rules (not_monotone)"}
        if ruled["status"] != "ok":
            return ruled
        text, found = caption["caption"], ruled["components"]
        must_name = any(mention["certain"] and mention["label"] for mention in found)
        spans = read_reply(replies[text], text, must_name)
        if isinstance(spans, Failure):
            return ruled | {"extractor": f"rules ({spans.status})"}
        return ruled | {"extractor": self.name, "components": merge(text, spans, found)}


def user_message(caption: str) -> str:
    """The caption as one JSON string: data, whatever it says."""
    return language.quote(caption)


def read_reply(reply: str | Failure, caption: str, must_name: bool) -> list[Span] | Failure:
    """Where the reply's phrases stand in the caption, in the order of the reply, without repeats.

    Failures: the model's own, ``reply_not_json``, ``reply_not_list``, ``reply_empty`` (where the rules are sure that it
    ``must_name`` something), ``phrase_not_in_caption`` (more than half of them; or too long for a phrase).
    """
    if isinstance(reply, Failure):
        return reply
    try:
        phrases = json.loads(language.unfence(reply))
    except (ValueError, RecursionError):  # also numbers of absurd length
        return Failure("reply_not_json", reply)
    if not isinstance(phrases, list) or not all(isinstance(phrase, str) for phrase in phrases):
        return Failure("reply_not_list", reply)
    distinct = list(dict.fromkeys(" ".join(phrase.split()) for phrase in phrases))
    spans: list[Span] = []
    dropped = []
    for phrase in distinct:
        places = find_phrase(phrase, caption) if len(phrase.split()) <= MAX_WORDS else []
        if places:
            spans.append(next((place for place in places if place not in spans), places[0]))
        else:
            dropped.append(phrase)
    if 2 * len(dropped) > len(distinct):
        return Failure("phrase_not_in_caption", ", ".join(dropped))
    if must_name and not spans:
        return Failure("reply_empty", "the model named nothing")
    return list(dict.fromkeys(spans))


def find_phrase(phrase: str, caption: str) -> list[Span]:
    """All places of a phrase in a caption: whole words, any case, any white space between them."""
    words = r"\s+".join(re.escape(word) for word in phrase.split())
    if not words:
        return []
    return [match.span() for match in re.finditer(rf"(?<!\w){words}(?!\w)", caption, re.IGNORECASE)]


def merge(caption: str, spans: Sequence[Span], found: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """The lexicon's mentions, ranked by the model's spans, plus the spans that resolve to nothing; in order of place.

    Mentions at one place (a group word that may name several classes) share a rank, as they do in the lexicon.
    """
    unresolved = [_nameless(caption, span) for span in spans if not any(_overlap(span, (m["start"], m["end"])) for m in found)]

    def order(mention: dict[str, Any]) -> tuple[int, bool, int, int]:
        place = (mention["start"], mention["end"])
        named = next((i for i, span in enumerate(spans) if _overlap(span, place)), len(spans))
        return named, not mention["certain"] and named == len(spans), mention["rank"], mention["start"]

    merged = sorted([*found, *unresolved], key=lambda mention: (mention["start"], mention["end"]))
    places = dict.fromkeys((mention["start"], mention["end"]) for mention in sorted(merged, key=order))
    ranks = {place: rank for rank, place in enumerate(places)}
    return [mention | {"rank": ranks[mention["start"], mention["end"]]} for mention in merged]


def _nameless(caption: str, span: Span) -> dict[str, Any]:
    start, end = span
    leading = _LEADING.match(caption, start, end)
    start = leading.end() if leading else start
    phrase = caption[start:end]
    head = phrase.split()[-1].lower()
    return {"phrase": phrase, "head": head, "label": "", "start": start, "end": end, "rank": 0, "certain": False}


def _overlap(one: Span, other: Span) -> bool:
    return one[0] < other[1] and other[0] < one[1]
