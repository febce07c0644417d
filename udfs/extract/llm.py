"""A language model as extractor: which components does a caption name, most important first?

The model and the lexicon each do what they can be trusted with. Whether a text is true of an image depends on every
mention of a class, so **the lexicon decides what is named** (certainly or possibly), and **the model decides the rank**:

- the lexicon's mentions that overlap a phrase of the model are ranked in the order of the reply;
- mentions that the model left out follow, certain ones before possible ones;
- a phrase that the lexicon cannot resolve becomes a mention without a class (label ""): the model alone never assigns a
  class.

A reply must be one JSON list of short phrases. A phrase that is not in the caption is dropped, also if only a longer term of the
lexicon has it ("train" of "train station"); if more than half are dropped, the reply fails. After a failed reply (for example to
a caption that contains instructions) the rules alone process that caption, with the reason in its ``extractor``. An unreachable
endpoint stops the stage (``udfs.language.openai``).
"""

import json
import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from udfs.captions import lexicon
from udfs.captions.mentions import parse_caption
from udfs.extract.rules import read_caption
from udfs.language import model as language
from udfs.role import Failure, Row

if TYPE_CHECKING:
    from udfs.settings import RoleSettings

VERSION = 2  # of reading a reply
MAX_WORDS = 6  # a longer "phrase" is a clause
_LEADING = re.compile(r"(?:an?|the|some|his|her|its|their)\s+(?=\S)", re.IGNORECASE)
Span = tuple[int, int]


class LanguageModelExtractor:
    """Components of captions by a language model, checked by the rules, which also are the fallback."""

    def __init__(self, settings: "RoleSettings", device: str) -> None:
        """Load the model of ``extractor`` with the extract prompt and its examples."""
        prompt = language.read_prompt("extract")
        examples = [(user_message(e["caption"]), language.quote(e["reply"])) for e in prompt.examples]
        self.model = language.load(settings.extractor, device, prompt.system, examples)
        self.name = self.model.name
        self.version = f"{self.model.version} prompt {prompt.version} reply {VERSION} lexicon {lexicon.version()}"

    def __call__(self, rows: Sequence[Row]) -> list[Row | Failure]:
        """{"captions": [...]} -> {"captions": [...]}, each caption with its components, as above.

        Captions whose status is not ok are passed on without components. A caption that is not monotone is never rewritten,
        so the rules are enough for it.
        """
        captions = [caption for row in rows for caption in row["captions"] if caption["status"] == "ok"]
        asked = [caption["caption"] for caption in captions if lexicon.is_monotone(caption["caption"])]
        replies = language.ask_once(self.model, [user_message(text) for text in asked])
        by_text = dict(zip(asked, replies, strict=True))
        return [{"captions": [self._components(caption, by_text) for caption in row["captions"]]} for row in rows]

    def _components(self, caption: Row, replies: dict[str, str | Failure]) -> Row:
        by_rules = read_caption(caption)
        if by_rules["status"] == "not_monotone":
            return by_rules | {"extractor": "rules (not_monotone)"}
        if by_rules["status"] != "ok":
            return by_rules
        text, mentions = caption["caption"], by_rules["components"]
        must_name = any(mention["certain"] and mention["label"] for mention in mentions)
        spans = read_reply(replies[text], text, must_name)
        if isinstance(spans, Failure):
            return by_rules | {"extractor": f"rules ({spans.status})"}
        return by_rules | {"extractor": self.name, "components": merge(text, spans, mentions)}


def user_message(caption: str) -> str:
    """The caption as one JSON string: it is data, whatever it says."""
    return language.quote(caption)


def read_reply(reply: str | Failure, caption: str, must_name: bool) -> list[Span] | Failure:
    """The spans of the reply's phrases in the caption, in the order of the reply, without duplicates.

    Failures: the model's own, ``reply_not_json``, ``reply_not_list``, ``reply_empty`` (although by the rules it ``must_name``
    something), ``phrase_not_in_caption`` (more than half are missing or longer than ``MAX_WORDS``).
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
    """The spans of a phrase in a caption: whole words, case-insensitive, any white space between them.

    Spans that hold the lexicon's terms whole come first, then those that are a term's last words ("dog" of "hot dog"). A span
    that only modifies the rest of a term ("train" of "train station") is another thing, and is left out.
    """
    pattern = r"\s+".join(re.escape(word) for word in phrase.split())
    if not pattern:
        return []
    spans = [match.span() for match in re.finditer(rf"(?<!\w){pattern}(?!\w)", caption, re.IGNORECASE)]
    terms = _terms(caption) if spans else []
    spans = [(start, end) for start, end in spans if not any(first < end < last for first, last in terms)]
    return sorted(spans, key=lambda span: any(first < span[0] < last for first, last in terms))


def _terms(caption: str) -> list[Span]:
    """The spans of the lexicon's terms, also of those that name no class."""
    parse = parse_caption(caption)
    return [(parse.words[match.first].start, parse.words[match.last].end) for match in parse.matches]


def merge(caption: str, spans: Sequence[Span], mentions: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """The lexicon's mentions, ranked by the model's spans, plus the unresolved spans; in text order.

    Mentions with the same span (a hypernym that may name several classes) share a rank, as in the lexicon.
    """
    unresolved = [_nameless(caption, span) for span in spans if not any(_overlap(span, (m["start"], m["end"])) for m in mentions)]

    def order(mention: dict[str, Any]) -> tuple[int, bool, int, int]:
        place = (mention["start"], mention["end"])
        rank = next((i for i, span in enumerate(spans) if _overlap(span, place)), len(spans))
        return rank, not mention["certain"] and rank == len(spans), mention["rank"], mention["start"]

    merged = sorted([*mentions, *unresolved], key=lambda mention: (mention["start"], mention["end"]))
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


def _overlap(first: Span, second: Span) -> bool:
    return first[0] < second[1] and second[0] < first[1]
