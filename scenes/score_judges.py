"""How well judges tell right dual texts from wrong ones, and how much of what is accepted a language model wrote.

    python -m scenes.score_judges --count 20 --seed 900 [--llm] [--image-text FOLDER]

The cases are told anew of scenes, so that their truth is known without a rewriter: the right dual text of a caption without some
of what it names, and two wrong ones, of which the first still names what is gone and the second misses what stayed. The *rules*
are the checks of ``udfs.rewrite_checks`` with the truth relation; ``judge.text`` is a language model, which first has to pass its
probes; ``judge.image_text`` is asked about the true pictures, rendered without what was removed. Intervals are of 95%, by
bootstrap over scenes.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from random import Random
from typing import Annotated, Any

import typer

from jobs.settings import LanguageModel, Settings, load_settings
from jobs.truth import Relation, relation
from scenes import domain as domains
from scenes import layout
from scenes.captions import tell
from scenes.dual_texts import right
from scenes.render import render
from scenes.scene import Scene
from scenes.score_rewriting import judge as rewrites
from scenes.scores import Score, not_scored, score, show
from scenes.seeds import check
from udfs import images
from udfs.rewrite_checks import check as checks
from udfs.rewrite_checks import masks
from udfs.rewriter import Rewriter
from udfs.role import Failure, Row
from udfs.vocabulary import using

STAGE = "judges"
KINDS = ("right", "still named", "lost")
EVEN = 0.5  # an image-text judge says yes from this probability on


@dataclass(frozen=True)
class Case:
    """A dual text, and whether it is right (``kind``)."""

    number: int  # of the scene
    scene: Scene
    caption: str
    text: str
    removed: tuple[str, ...]
    kept: tuple[str, ...]  # named by the caption, and still there
    kind: str


def cases(scenes: Iterable[tuple[int, Scene]]) -> Iterator[Case]:
    """At most one of each kind for a monotone caption that names two classes or more, of one drawn subset."""
    for number, scene in scenes:
        random = Random(f"cases of {scene.key}")
        told = [one for one in tell(domains.load(scene.domain), scene) if one.monotone and len(one.labels) > 1]
        for caption in told:
            removed = tuple(sorted(random.sample(caption.labels, random.randint(1, len(caption.labels) - 1))))
            kept = tuple(label for label in caption.labels if label not in removed)
            subsets = (removed, removed[1:], (*removed, random.choice(kept)))
            for kind, gone in zip(KINDS, subsets, strict=True):
                # With nothing at all removed the caption itself still names it.
                text = right(caption, gone) if gone else caption.text
                if text:
                    yield Case(number, scene, caption.text, text, removed, kept, kind)


def by_rules(case: Case) -> bool:
    """The rule checks and the truth relation."""
    labels = (*case.removed, *case.kept)
    everything, gone = (1 << len(labels)) - 1, (1 << len(case.removed)) - 1
    exact = relation(gone, everything, *masks(case.text, labels)) is Relation.EXACT
    return exact and not checks(case.caption, case.text, case.removed, case.kept)


def verdicts(name: str, some: Sequence[Case], said: Sequence[bool | None]) -> Iterator[Score]:
    """The lines of a judge: verdicts that are right, of each kind; a case without a verdict is none."""
    for kind in KINDS:
        mine = [(v is (kind == "right"), c.number) for c, v in zip(some, said, strict=True) if c.kind == kind and v is not None]
        what = f"{name}: right texts accepted" if kind == "right" else f"{name}: wrong texts refused"
        yield score(STAGE, what, "all" if kind == "right" else kind, [hit for hit, _ in mine], [number for _, number in mine])


def text_judge(settings: Settings, some: Sequence[Case]) -> Iterator[Score]:
    """The lines of ``judge.text``."""
    from udfs.judge_text import TextJudge

    judge = TextJudge(settings, "cpu")
    if not judge.able:
        yield not_scored(STAGE, f"text judge {judge.name}", f"{judge.name} fails the probes of its prompt, so it judges nothing")
        return
    answers = _answers(judge, [{"text": c.text, "removed": list(c.removed), "kept": list(c.kept)} for c in some])
    yield from verdicts(f"text judge {judge.name}", some, [answer["verdict"] for answer in answers])


def image_text_judge(settings: Settings, some: Sequence[Case]) -> Iterator[Score]:
    """The lines of ``judge.image_text``, on true pictures."""
    from udfs.judge_image_text import ImageTextJudge

    judge = ImageTextJudge(settings, "cpu")
    pictures = {(c.number, c.removed): images.encode(render(c.scene, frozenset(c.removed)), settings.codec) for c in some}
    answers = _answers(judge, [{"image": pictures[c.number, c.removed], "text": c.text} for c in some])
    yield from verdicts(f"image-text judge {judge.name}", some, [answer["probability"] >= EVEN for answer in answers])


def written(scenes: Iterable[tuple[int, Scene]], rewriter: Rewriter, settings: Settings) -> Iterator[Score]:
    """The lines of the rewriter: what share of accepted texts the language model wrote, and how many of them are right."""
    mine, of_model, of_rules = list[tuple[bool, int]](), list[tuple[bool, int]](), list[tuple[bool, int]]()
    for number, scene in scenes:
        domain, made = domains.load(scene.domain), list[Row]()

        def remember(rows: Sequence[Row], made: list[Row] = made) -> list[Row | Failure]:
            answers = rewriter(rows)
            made += [text for answer in answers if isinstance(answer, dict) for text in answer["texts"]]
            return answers

        judged = [j for caption in tell(domain, scene) for j in rewrites(domain, scene, caption, remember, settings.components.n)]  # type: ignore[arg-type]
        for one, text in zip(judged, made, strict=True):
            if text["status"] == "ok":
                by_model = not text["rewriter"].startswith("rules")
                mine.append((by_model, number))
                (of_model if by_model else of_rules).append((not one.fault, number))
    name = rewriter.name.removesuffix("+rules")
    lines: tuple[tuple[str, str, list[tuple[bool, int]]], ...] = (
        ("accepted texts", f"written by {name}", mine),
        ("right of those accepted", name, of_model),
        ("right of those accepted", "rules", of_rules),
    )
    for what, group, hits in lines:
        yield score(STAGE, what, group, [hit for hit, _ in hits], [number for _, number in hits])


def run(settings: Settings, count: int, seed: int, size: int, domain: str = "objects", slow: int = 0) -> Iterator[Score]:
    """The lines of the table, on ``count`` scenes of the test split: the rules, and the judges and rewriters of the settings.

    Language models are asked about the first ``slow`` scenes only; 0: about all.
    """
    scenes = [(i, layout.sample(domain, "test", seed, i, size)) for i in range(count)]
    few = scenes[: slow or count]
    with using(settings.lexicon):
        some = list(cases(scenes))
        yield from verdicts("rule checks", some, [by_rules(case) for case in some])
        if settings.judge.text:
            yield from text_judge(settings, list(cases(few)))
        else:
            yield not_scored(STAGE, "text judge", "no judge.text is set; --llm takes SmolLM2")
        if settings.judge.image_text:
            yield from image_text_judge(settings, some)
        else:
            yield not_scored(STAGE, "image-text judge", "no judge.image_text is set; --image-text takes a folder")
        if settings.rewriter.models:
            yield from written(few, Rewriter(settings, "cpu"), settings)


def _answers(role: Callable[[list[Row]], list[Any]], rows: list[Row]) -> list[Row]:
    answers = role(rows)
    if bad := next((answer for answer in answers if isinstance(answer, Failure)), None):
        raise RuntimeError(f"the judge failed: {bad.status}: {bad.error}")
    return answers


def settings_of(llm: bool, image_text: str = "", domain: str = "objects") -> Settings:
    """The embedded profile, with SmolLM2 as text judge and rewriter if wanted."""
    settings = load_settings("embedded", [f"lexicon={domain}"] if domain != "objects" else [])
    judge = settings.judge.model_copy(update={"image_text": image_text})
    if llm:
        model = LanguageModel(kind="transformers", model="smollm2")
        judge = judge.model_copy(update={"text": model})
        settings = settings.model_copy(update={"rewriter": settings.rewriter.model_copy(update={"models": (model,)})})
    return settings.model_copy(update={"judge": judge})


def main(
    count: Annotated[int, typer.Option(min=1, help="scenes of the test split, of five captions each")] = 250,
    seed: Annotated[int, typer.Option(help="of the scenes: 900 to 999; 100 to 199 while something is still being chosen")] = 900,
    size: Annotated[int, typer.Option(min=64, max=256, help="side of the pictures in pixels")] = 128,
    domain: Annotated[str, typer.Option(help="a built-in domain")] = "objects",
    llm: Annotated[bool, typer.Option(help="SmolLM2 judges and rewrites, too: --count 20 takes minutes")] = False,
    image_text: Annotated[str, typer.Option(help="folder of a BLIP image-text matching model")] = "",
) -> None:
    """Score the judges."""
    check(seed, "choosing" if seed < 900 else "evaluation")
    show(run(settings_of(llm, image_text, domain), count, seed, size, domain))


if __name__ == "__main__":
    typer.run(main)
