"""How well an extractor reads captions of scenes, through the engine's own role, where it is known what they name.

    python -m scenes.score_extraction --count 500 --seed 900 [--llm --count 20]

A component is a label that a caption surely names. What is named perhaps ("some fruit", "it") is compared by its place, as a word
of several classes names more of them than a scene has. Captions are grouped by the kinds of words in them, one caption in several
groups. Intervals are of 95%, by bootstrap over scenes.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Annotated, Any

import typer

from jobs.settings import Settings, load_settings
from scenes import domain as domains
from scenes import layout
from scenes.captions import Caption, tell
from scenes.domain import Domain
from scenes.scene import Scene, Split
from scenes.scores import Score, score, show
from scenes.seeds import check
from scenes.words import words_of
from udfs.role import Failure, Role
from udfs.vocabulary import using

STAGE = "extraction"
DOMAINS = {"objects": "", "garments": "garments"}  # and the lexicon that their captions are read by
SPLITS: tuple[Split, ...] = ("train", "test")


class ExtractorFailed(RuntimeError):
    """It gave no answer for a scene."""


@dataclass(frozen=True)
class Read:
    """A caption, and what was read in it."""

    scene: int
    domain: str
    split: Split
    caption: Caption
    labels: frozenset[str]  # surely named
    perhaps: tuple[tuple[int, int], ...]  # places
    monotone: bool


def _has(kind: Callable[[Any, Domain], bool]) -> Callable[[Caption, Domain], bool]:
    return lambda caption, domain: any(kind(phrase, domain) for phrase in caption.tale.phrases)


# What makes a caption hard to read, by the tale that it tells.
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
        from udfs.extract_rules import RulesExtractor

        return RulesExtractor(settings, "cpu")
    from udfs.extract_llm import LanguageModelExtractor

    return LanguageModelExtractor(settings, "cpu")


def read(domain: Domain, scenes: Iterable[tuple[int, Scene]], role: Role) -> Iterator[Read]:
    """Let an extractor read the captions of numbered scenes.

    Raises:
        ExtractorFailed: on one of them.
    """
    for number, scene in scenes:
        told = tell(domain, scene)
        row = {"captions": [{"caption_id": str(i), "caption": one.text, "status": "ok"} for i, one in enumerate(told)]}
        (answer,) = role([row])
        if isinstance(answer, Failure):
            raise ExtractorFailed(f"scene {scene.key}: {answer.status}: {answer.error}")
        for caption, parsed in zip(told, answer["captions"], strict=True):
            yield compare(number, scene, caption, parsed)


def compare(number: int, scene: Scene, caption: Caption, parsed: dict[str, Any]) -> Read:
    """What an extractor's answer for one caption says."""
    found = parsed["components"]
    labels = frozenset(m["label"] for m in found if m["certain"] and m["label"] not in ("", "*"))
    places = tuple(dict.fromkeys((m["start"], m["end"]) for m in found if not m["certain"]))
    return Read(number, scene.domain, scene.split, caption, labels, places, bool(parsed["monotone"]))


def report(reads: Sequence[Read]) -> Iterator[Score]:
    """The lines of the table: of everything, of each domain and split, and of each kind of caption."""
    groups: dict[str, Callable[[Read], bool]] = {"all": lambda _: True}
    for name in dict.fromkeys(one.domain for one in reads):
        for split in SPLITS:
            groups[f"{name}, {split} split"] = lambda one, at=(name, split): (one.domain, one.split) == at  # type: ignore[misc]
    worlds = {name: domains.load(name) for name in {one.domain for one in reads}}
    for kind, belongs in KINDS.items():
        groups[kind] = lambda one, belongs=belongs: belongs(one.caption, worlds[one.domain])  # type: ignore[misc]
    for name, chosen in groups.items():
        some = [one for one in reads if chosen(one)]
        yield _share("components: precision", name, some, lambda r: [label in r.caption.labels for label in r.labels])
        yield _share("components: recall", name, some, lambda r: [label in r.labels for label in r.caption.labels])
    perhaps = {one: [(m.start, m.end) for m in one.caption.mentions if not m.certain] for one in reads}
    yield _share("perhaps: precision", "all", reads, lambda r: [_meets(place, perhaps[r]) for place in r.perhaps])
    yield _share("perhaps: recall", "all", reads, lambda r: [_meets(place, r.perhaps) for place in perhaps[r]])
    yield _share("monotone, taken as such", "all", reads, lambda r: [r.monotone] if r.caption.monotone else [])
    yield _share("not monotone, said so", "all", reads, lambda r: [not r.monotone] if not r.caption.monotone else [])


def _share(what: str, group: str, reads: Sequence[Read], hits: Callable[[Read], list[bool]]) -> Score:
    found = [(hit, one.scene) for one in reads for hit in hits(one)]
    return score(STAGE, what, group, [hit for hit, _ in found], [scene for _, scene in found])


def _meets(place: tuple[int, int], others: Iterable[tuple[int, int]]) -> bool:
    return any(place[0] < end and start < place[1] for start, end in others)


def run(count: int, seed: int, size: int, names: Iterable[str] = tuple(DOMAINS), llm: str = "") -> list[Read]:
    """Read the captions of ``count`` scenes of each split of each domain; ``llm``: a language model for the rules' work."""
    reads: list[Read] = []
    for number, name in enumerate(names):
        lexicon = DOMAINS.get(name, name)
        sets = [f"lexicon={lexicon}"] if lexicon else []
        sets += ["extractor.kind=transformers", f"extractor.model={llm}"] if llm else []
        settings = load_settings("embedded", sets)
        with using(settings.lexicon):
            role = extractor(settings)
            for half, split in enumerate(SPLITS):
                first = (2 * number + half) * count  # scenes are numbered through, for the bootstrap
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
    wrong = [one for one in reads if one.labels != set(one.caption.labels) or one.monotone != one.caption.monotone]
    for one in wrong[:sample]:
        typer.echo(f"{one.caption.text!r}: {sorted(one.labels)}, not {sorted(one.caption.labels)}; monotone {one.monotone}")


if __name__ == "__main__":
    typer.run(main)
