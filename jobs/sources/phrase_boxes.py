"""Pictures whose captions' noun phrases have boxes: from what a format says of a picture to its record.

The boxes become annotations without an outline. Their label is the class that the head of the phrases names by the lexicon; where
it knows none, the kind and the head ("clothing: dress"), which is no class of any caption. Boxes of kind ``people`` are then
``person``, because a person under another name would stay in the picture when people are removed.
"""

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from jobs.sources.paths import locate, unsafe
from jobs.sources.record import Origin, Row, SourceError, clean, file_locator, make_records
from udfs.captions import vocabulary
from udfs.captions.heads import head_of
from udfs.captions.vocabulary import Vocabulary

# Limits of one picture: beyond them a file is damaged, or meant to take a worker's memory.
_MAX_BOXES = 2000
_MAX_PHRASES = 2000
_MAX_PLACES = 20_000  # of phrases at boxes: each box has the places of its phrases
MAX_PHRASE = 1000  # characters
_MAX_COORDINATE = 1e6
_MAX_NAME = 40  # characters of a kind or a head in a label
_NO_BOX = "groups of phrases have no box, and became no annotation"
_NO_CLASS = "boxes have phrases for which the lexicon has no class; their label is the kind and the head"
Box = tuple[float, float, float, float]  # left, top, right, bottom in pixels; right and bottom are just outside


@dataclass
class Chain:
    """What some phrases of a picture's captions stand for: its kind ("people", empty if unknown), its boxes, those phrases.

    ``places`` are the phrases' own: the number of the caption, the first character, and that just behind the last.
    """

    kind: str
    boxes: list[Box]
    phrases: list[str] = field(default_factory=list)
    places: list[tuple[int, int, int]] = field(default_factory=list)

    def add(self, phrase: str, place: tuple[int, int, int]) -> None:
        """Add a phrase and its place."""
        self.phrases.append(phrase)
        self.places.append(place)


@dataclass(frozen=True)
class Picture:
    """What the source says of a picture; ``chains``, by the source's id, is None where there are no boxes for it."""

    name: str
    captions: list[str]
    chains: dict[str, Chain] | None
    split: str | None = None


def check_box(numbers: list[float], where: str) -> Box:
    """A box from its four numbers.

    Raises:
        SourceError: they are not finite, far outside of any picture, or the box has no inside.
    """
    if len(numbers) != 4 or not all(abs(number) <= _MAX_COORDINATE for number in numbers):  # false for NaN, too
        raise SourceError(f"{where}: a box must be four numbers: left, top, right, bottom")
    left, top, right, bottom = map(float, numbers)
    if left >= right or top >= bottom:
        raise SourceError(f"{where}: a box from {left:g}, {top:g} to {right:g}, {bottom:g} has no inside")
    return left, top, right, bottom


def check_limits(chains: dict[str, Chain], where: str) -> None:
    """Refuse what no picture has.

    Raises:
        SourceError: thousands of boxes or phrases, or a phrase of more than 1,000 characters.
    """
    for what, most, number in (
        ("boxes", _MAX_BOXES, sum(len(chain.boxes) for chain in chains.values())),
        ("phrases", _MAX_PHRASES, sum(len(chain.phrases) for chain in chains.values())),
        ("phrases of boxes", _MAX_PLACES, sum(len(chain.phrases) * len(chain.boxes) for chain in chains.values())),
        (
            "characters in a phrase",
            MAX_PHRASE,
            max((len(text) for chain in chains.values() for text in chain.phrases), default=0),
        ),
    ):
        if number > most:
            raise SourceError(f"{where}: {number} {what} are impossible")


def records_of(pictures: Iterable[Picture], file: str, images: str, origin: Origin) -> Iterator[Row]:
    """Yield rows of ``RECORD``; at the end, tell of ``file`` what became no annotation and what has no class."""
    no_box, no_class = Counter[str](), Counter[str]()
    for picture in pictures:
        path = locate(images, picture.name)
        with vocabulary.using(origin.lexicon) as lexicon:
            annotations = None if picture.chains is None else _annotations(picture.chains, lexicon, no_box, no_class)
        yield from make_records(
            origin,
            picture.name,
            [(None, caption) for caption in picture.captions],
            file_locator(path),
            split=picture.split,
            annotations=annotations,
            status="ok" if path else "unsafe_path",
            error=None if path else unsafe(picture.name),
        )
    for what, examples in ((_NO_BOX, no_box), (_NO_CLASS, no_class)):
        origin.tell(file, what, examples.total(), next((text for text, _ in examples.most_common(1)), ""))


def _annotations(chains: dict[str, Chain], lexicon: Vocabulary, no_box: Counter[str], no_class: Counter[str]) -> list[Row]:
    """The boxes with their labels. A box that two chains share under one label ("two men", "one of them") is one annotation."""
    crowds: dict[tuple[str, Box], bool] = {}
    places: dict[tuple[str, Box], set[tuple[int, int, int]]] = {}
    for chain in chains.values():
        if not chain.boxes:
            no_box[_short(chain.kind) or "other"] += 1
            continue
        label, count = _named(chain, lexicon)
        if label not in lexicon.labels:
            no_class[label] += len(chain.boxes)
        for box in chain.boxes:
            # As in COCO: where the phrases state more things than there are boxes, a box holds several.
            crowds[label, box] = crowds.get((label, box), True) and count > len(chain.boxes)
            places.setdefault((label, box), set()).update(chain.places)
    return [
        {
            "label": label,
            "box": {"x": left, "y": top, "width": right - left, "height": bottom - top},
            "mask": None,
            "crowd": crowd,
            # Captions are numbered from 0, as they are by ``label_captions``.
            "phrases": [
                {"caption_id": str(number), "start": start, "end": end} for number, start, end in sorted(places[label, box])
            ],
        }
        for (label, box), crowd in crowds.items()
        for left, top, right, bottom in (box,)
    ]


def _named(chain: Chain, lexicon: Vocabulary) -> tuple[str, int]:
    """The label of a chain, and the highest number of things that its phrases state."""
    heads = [head_of(phrase) for phrase in chain.phrases]
    labels = Counter(head.label for head in heads if head.label)
    if labels:
        label = labels.most_common(1)[0][0]
        return label, max(head.count for head in heads if head.label == label)
    if chain.kind == "people" and "person" in lexicon.labels:
        return "person", 1
    kind, texts = _short(chain.kind) or "other", Counter(head.text for head in heads if head.text)
    return ": ".join([kind, *(_short(text) for text, _ in texts.most_common(1))]), 1


def _short(text: str) -> str:
    return clean(text)[:_MAX_NAME]
