"""How well an extractor reads captions of scenes, whose true mentions are known, run by the engine's own role.

    python -m training.acceptance extraction --count 500 --seed 900 [--llm --count 20]

A component is a label that a caption surely names. Perhaps-mentions ("some fruit", "it") are compared by their place only, as a
word for several classes names more of them than a scene has. Captions are grouped by the kinds of words in them; a caption may be
in several groups. Intervals are 95%, by bootstrap over scenes.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Annotated, Any

import typer

from jobs.scenes import domain as domains
from jobs.scenes import layout
from jobs.scenes.captions import Caption, tell
from jobs.scenes.domain import Domain
from jobs.scenes.scene import Scene, Split
from jobs.scenes.seeds import check
from jobs.scenes.vocabulary import words_of
from jobs.settings import Settings, load_settings
from training.acceptance.scores import Score, score, show
from udfs.captions.vocabulary import using
from udfs.errors import DualsetError
from udfs.role import Failure, Role

STAGE = "extraction"
DOMAINS = {"objects": "", "garments": "garments"}  # by domain, the lexicon that its captions are read with
SPLITS: tuple[Split, ...] = ("train", "test")


class ExtractorFailed(DualsetError):
    """The extractor failed on a scene."""


@dataclass(frozen=True)
class Read:
    """A caption, and what the extractor read in it."""

    scene: int
    domain: str
    split: Split
    caption: Caption
    labels: frozenset[str]  # surely named
    perhaps: tuple[tuple[int, int], ...]  # places
    monotone: bool


def _has(kind: Callable[[Any, Domain], bool]) -> Callable[[Caption, Domain], bool]:
    return lambda caption, domain: any(kind(phrase, domain) for phrase in caption.tale.phrases)


# What makes a caption hard to read, by its underlying tale.
KINDS: dict[str, Callable[[Caption, Domain], bool]] = {
    "attribute": _has(lambda phrase, _: bool(phrase.adjectives)),
    "count": _has(lambda phrase, _: phrase.item.count > 1),
    "plural": _has(lambda phrase, _: phrase.is_plural),
    "synonym": _has(lambda phrase, domain: phrase.certain and phrase.noun != words_of(domain).nouns[phrase.name][0]),
    "hypernym": _has(lambda phrase, _: phrase.name.startswith("@")),
    "relation": lambda caption, _: bool(caption.tale.relation),
    "pronoun": lambda caption, _: bool(caption.tale.second) and any(s in caption.tale.join.pattern for s in ("{it}", "{they}")),
    "held-out form": lambda caption, _: caption.tale.heldout,
}


def extractor(settings: Settings) -> Role:
    """The extractor that the stage would load; call it within ``using(settings.lexicon)``."""
    if settings.extractor.kind == "rules":
        from udfs.extract.rules import RulesExtractor

        return RulesExtractor(settings, "cpu")
    from udfs.extract.llm import LanguageModelExtractor

    return LanguageModelExtractor(settings, "cpu")


def read(domain: Domain, scenes: Iterable[tuple[int, Scene]], role: Role) -> Iterator[Read]:
    """Let an extractor read the captions of numbered scenes.

    Raises:
        ExtractorFailed: the role failed on one of them.
    """
    for number, scene in scenes:
        captions = tell(domain, scene)
        row = {
            "captions": [{"caption_id": str(i), "caption": caption.text, "status": "ok"} for i, caption in enumerate(captions)]
        }
        (answer,) = role([row])
        if isinstance(answer, Failure):
            raise ExtractorFailed(f"scene {scene.key}: {answer.status}: {answer.error}")
        for caption, parsed in zip(captions, answer["captions"], strict=True):
            yield compare(number, scene, caption, parsed)


def compare(number: int, scene: Scene, caption: Caption, parsed: dict[str, Any]) -> Read:
    """An extractor's answer for one caption as a ``Read``."""
    components = parsed["components"]
    labels = frozenset(m["label"] for m in components if m["certain"] and m["label"] not in ("", "*"))
    places = tuple(dict.fromkeys((m["start"], m["end"]) for m in components if not m["certain"]))
    return Read(number, scene.domain, scene.split, caption, labels, places, bool(parsed["monotone"]))


def report(reads: Sequence[Read]) -> Iterator[Score]:
    """The rows of the table: for all captions, for each domain and split, and for each kind of caption."""
    groups: dict[str, Callable[[Read], bool]] = {"all": lambda _: True}
    for name in dict.fromkeys(reading.domain for reading in reads):
        for split in SPLITS:
            groups[f"{name}, {split} split"] = lambda reading, wanted=(name, split): (reading.domain, reading.split) == wanted  # type: ignore[misc]
    worlds = {name: domains.load(name) for name in {reading.domain for reading in reads}}
    for kind, belongs in KINDS.items():
        groups[kind] = lambda reading, belongs=belongs: belongs(reading.caption, worlds[reading.domain])  # type: ignore[misc]
    for name, is_member in groups.items():
        members = [reading for reading in reads if is_member(reading)]
        yield _share("components: precision", name, members, lambda r: [label in r.caption.labels for label in r.labels])
        yield _share("components: recall", name, members, lambda r: [label in r.labels for label in r.caption.labels])
    perhaps = {reading: [(m.start, m.end) for m in reading.caption.mentions if not m.certain] for reading in reads}
    yield _share("perhaps: precision", "all", reads, lambda r: [_meets(place, perhaps[r]) for place in r.perhaps])
    yield _share("perhaps: recall", "all", reads, lambda r: [_meets(place, r.perhaps) for place in perhaps[r]])
    yield _share("monotone, taken as such", "all", reads, lambda r: [r.monotone] if r.caption.monotone else [])
    yield _share("not monotone, said so", "all", reads, lambda r: [not r.monotone] if not r.caption.monotone else [])


def _share(what: str, group: str, reads: Sequence[Read], hits: Callable[[Read], list[bool]]) -> Score:
    hit_scenes = [(hit, reading.scene) for reading in reads for hit in hits(reading)]
    return score(STAGE, what, group, [hit for hit, _ in hit_scenes], [scene for _, scene in hit_scenes])


def _meets(place: tuple[int, int], others: Iterable[tuple[int, int]]) -> bool:
    return any(place[0] < end and start < place[1] for start, end in others)


def run(count: int, seed: int, size: int, names: Iterable[str] = tuple(DOMAINS), llm: str = "") -> list[Read]:
    """Read the captions of ``count`` scenes of each split of each domain; ``llm``: a language model that replaces the rules."""
    reads: list[Read] = []
    for number, name in enumerate(names):
        lexicon = DOMAINS.get(name, name)
        sets = [f"lexicon={lexicon}"] if lexicon else []
        sets += ["extractor.kind=transformers", f"extractor.model={llm}"] if llm else []
        settings = load_settings("embedded", sets)
        with using(settings.lexicon):
            role = extractor(settings)
            for half, split in enumerate(SPLITS):
                first = (2 * number + half) * count  # scene numbers are unique, for the bootstrap
                scenes = ((first + i, layout.sample(name, split, seed, i, size)) for i in range(count))
                reads += read(domains.load(name), scenes, role)
    return reads


def main(
    count: Annotated[int, typer.Option(min=1, help="scenes of each split and domain, of five captions each")] = 250,
    seed: Annotated[int, typer.Option(help="of the scenes: 900 to 999; 100 to 199 while something is still being chosen")] = 900,
    domain: Annotated[list[str], typer.Option(help="built-in domains or definition files")] = list(DOMAINS),  # noqa: B006 - typer's
    llm: Annotated[bool, typer.Option(help="the embedded language model, SmolLM2, with the rules behind it: slow")] = False,
    sample: Annotated[int, typer.Option(help="misread captions that are shown")] = 0,
) -> None:
    """Score the extractor on scenes of both splits."""
    check(seed, "choosing" if seed < 900 else "evaluation")
    reads = run(count, seed, 96, domain, "smollm2" if llm else "")
    show(report(reads))
    for reading in [reading for reading in reads if is_wrong(reading)][:sample]:
        labels, truth = sorted(reading.labels), sorted(reading.caption.labels)
        typer.echo(f"{reading.caption.text!r}: {labels}, not {truth}; monotone {reading.monotone}")


def is_wrong(reading: Read) -> bool:
    """Whether a caption's labels or its monotonicity were misread."""
    return reading.labels != set(reading.caption.labels) or reading.monotone != reading.caption.monotone
