"""How well judges separate right dual texts from wrong ones, and what share of accepted texts a language model wrote.

    python -m training.acceptance judges --count 20 --seed 900 [--llm] [--image-text FOLDER]

Cases are generated from scenes, so that their truth is known without a rewriter: the right dual text of a caption without some of
the classes that it names, and two wrong texts. One still names a removed class; the other omits a class that stayed. The *rules*
are the checks of ``udfs.rewrite.checks`` with the truth relation. ``judge.text`` is a language model, which must first pass its
probes. ``judge.image_text`` sees the true pictures, rendered without the removed classes. Intervals are 95%, by bootstrap over
scenes.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from random import Random
from typing import Annotated, Any

import typer

from jobs.scenes import domain as domains
from jobs.scenes import layout
from jobs.scenes.captions import tell
from jobs.scenes.dual_texts import right
from jobs.scenes.render import render
from jobs.scenes.scene import Scene
from jobs.scenes.seeds import check
from jobs.settings import Settings, load_settings
from training.acceptance.rewriting import judge as rewrites
from training.acceptance.scores import Score, not_scored, score, show
from udfs import images
from udfs.captions.referents import Referents
from udfs.captions.vocabulary import using
from udfs.language.settings import LanguageModel
from udfs.rewrite.checks import check as checks
from udfs.rewrite.rewriter import Rewriter
from udfs.role import Failure, Row
from udfs.truth import Relation, relation

STAGE = "judges"
KINDS = ("right", "still named", "lost")
EVEN = 0.5  # least probability at which an image-text judge says yes


@dataclass(frozen=True)
class Case:
    """A dual text, and whether it is right (``kind``)."""

    number: int  # of the scene
    scene: Scene
    caption: str
    text: str
    removed: tuple[str, ...]
    kept: tuple[str, ...]  # named by the caption, and not removed
    kind: str


def cases(scenes: Iterable[tuple[int, Scene]]) -> Iterator[Case]:
    """At most one case of each kind for each monotone caption that names two or more classes, with a random subset removed."""
    for number, scene in scenes:
        random = Random(f"cases of {scene.key}")
        captions = [
            caption for caption in tell(domains.load(scene.domain), scene) if caption.monotone and len(caption.labels) > 1
        ]
        for caption in captions:
            removed = tuple(sorted(random.sample(caption.labels, random.randint(1, len(caption.labels) - 1))))
            kept = tuple(label for label in caption.labels if label not in removed)
            subsets = (removed, removed[1:], (*removed, random.choice(kept)))
            for kind, gone in zip(KINDS, subsets, strict=True):
                # With nothing left to remove, the caption itself is the text that still names the class.
                text = right(caption, gone) if gone else caption.text
                if text:
                    yield Case(number, scene, caption.text, text, removed, kept, kind)


def by_rules(case: Case) -> bool:
    """Whether the rule checks and the truth relation accept a case."""
    labels = (*case.removed, *case.kept)
    everything, gone = (1 << len(labels)) - 1, (1 << len(case.removed)) - 1
    exact = relation(gone, everything, *Referents.of_labels(labels).masks(case.text)) is Relation.EXACT
    return exact and not checks(case.caption, case.text, case.removed, case.kept)


def verdicts(name: str, sample: Sequence[Case], answers: Sequence[bool | None]) -> Iterator[Score]:
    """The rows of a judge: the share of right verdicts of each kind; cases without a verdict are left out."""
    for kind in KINDS:
        hits = [
            (v is (kind == "right"), c.number) for c, v in zip(sample, answers, strict=True) if c.kind == kind and v is not None
        ]
        what = f"{name}: right texts accepted" if kind == "right" else f"{name}: wrong texts refused"
        yield score(STAGE, what, "all" if kind == "right" else kind, [hit for hit, _ in hits], [number for _, number in hits])


def text_judge(settings: Settings, sample: Sequence[Case]) -> Iterator[Score]:
    """The rows of ``judge.text``."""
    from udfs.judge.text import TextJudge

    judge = TextJudge(settings, "cpu")
    if not judge.able:
        yield not_scored(STAGE, f"text judge {judge.name}", f"{judge.name} fails the probes of its prompt, so it judges nothing")
        return
    answers = _answers(judge, [{"text": c.text, "removed": list(c.removed), "kept": list(c.kept)} for c in sample])
    yield from verdicts(f"text judge {judge.name}", sample, [answer["verdict"] for answer in answers])


def image_text_judge(settings: Settings, sample: Sequence[Case]) -> Iterator[Score]:
    """The rows of ``judge.image_text``, on true pictures."""
    from udfs.judge.image_text import ImageTextJudge

    judge = ImageTextJudge(settings, "cpu")
    pictures = {(c.number, c.removed): images.encode(render(c.scene, frozenset(c.removed)), settings.codec) for c in sample}
    answers = _answers(judge, [{"image": pictures[c.number, c.removed], "text": c.text} for c in sample])
    yield from verdicts(f"image-text judge {judge.name}", sample, [answer["probability"] >= EVEN for answer in answers])


def written(scenes: Iterable[tuple[int, Scene]], rewriter: Rewriter, settings: Settings) -> Iterator[Score]:
    """The rows of the rewriter: the share of accepted texts that the language model wrote, and how many are right."""
    by_writer, of_model, of_rules = list[tuple[bool, int]](), list[tuple[bool, int]](), list[tuple[bool, int]]()
    for number, scene in scenes:
        domain, texts = domains.load(scene.domain), list[Row]()

        def remember(rows: Sequence[Row], texts: list[Row] = texts) -> list[Row | Failure]:
            answers = rewriter(rows)
            texts += [text for answer in answers if isinstance(answer, dict) for text in answer["texts"]]
            return answers

        judged = [j for caption in tell(domain, scene) for j in rewrites(domain, scene, caption, remember, settings.components.n)]  # type: ignore[arg-type]
        for verdict, text in zip(judged, texts, strict=True):
            if text["status"] == "ok":
                by_model = not text["rewriter"].startswith("rules")
                by_writer.append((by_model, number))
                (of_model if by_model else of_rules).append((not verdict.fault, number))
    name = "+".join(part for part in rewriter.name.split("+") if part != "rules")
    lines: tuple[tuple[str, str, list[tuple[bool, int]]], ...] = (
        ("accepted texts", f"written by {name}", by_writer),
        ("right of those accepted", name, of_model),
        ("right of those accepted", "rules", of_rules),
    )
    for title, group, hits in lines:
        yield score(STAGE, title, group, [hit for hit, _ in hits], [number for _, number in hits])


def run(settings: Settings, count: int, seed: int, size: int, domain: str = "objects", slow: int = 0) -> Iterator[Score]:
    """The rows of the table, on ``count`` scenes of the test split: the rules, and the judges and rewriters of the settings.

    Language models see only the first ``slow`` scenes; 0: all.
    """
    scenes = [(i, layout.sample(domain, "test", seed, i, size)) for i in range(count)]
    few = scenes[: slow or count]
    with using(settings.lexicon):
        sample = list(cases(scenes))
        yield from verdicts("rule checks", sample, [by_rules(case) for case in sample])
        if settings.judge.text:
            yield from text_judge(settings, list(cases(few)))
        else:
            yield not_scored(STAGE, "text judge", "no judge.text is set; --llm takes SmolLM2")
        if settings.judge.image_text:
            yield from image_text_judge(settings, sample)
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
