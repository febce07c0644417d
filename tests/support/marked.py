"""Captions whose phrases stand in brackets after what they refer to: ``[1 A girl] in [3 a pink dress] .``"""

import re

_PHRASE = re.compile(r"\[(\w+) ([^\]]*)\]")


def unmarked(marked: str) -> tuple[str, list[tuple[str, int, int]]]:
    """The caption itself, and of each phrase what it refers to, its start and its end in characters."""
    text, rest, phrases = "", 0, []
    for match in _PHRASE.finditer(marked):
        text += marked[rest : match.start()]
        phrases.append((match[1], len(text), len(text) + len(match[2])))
        text, rest = text + match[2], match.end()
    return text + marked[rest:], phrases


def sentence(marked: str) -> dict[str, object]:
    """A sentence of the JSON lines that the source ``flickr30k_entities`` reads."""
    text, phrases = unmarked(marked)
    return {"text": text, "phrases": [{"start": start, "end": end, "id": own_id} for own_id, start, end in phrases]}
