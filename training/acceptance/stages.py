"""All stages scored against the truth of scenes, in one table with intervals.

    python -m training.acceptance --stages filter,rewriting --seed 150

Each number comes from the engine's own roles in this process, without Spark, on scenes of a seed that was not used for training
or choosing. The same options print the same numbers. A stage whose weights are missing says so in its row.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import numpy as np
import typer

from jobs.scenes import domain as domains
from jobs.scenes import layout
from jobs.scenes.captions import Forms
from jobs.scenes.scene import Scene, Split
from jobs.scenes.seeds import check
from jobs.settings import Settings, load_settings
from training.acceptance import (
    extraction as score_extraction,
)
from training.acceptance import (
    filter as score_filter,
)
from training.acceptance import (
    inpainting as score_inpainting,
)
from training.acceptance import (
    judges as score_judges,
)
from training.acceptance import (
    rewriting as score_rewriting,
)
from training.acceptance import (
    segmentation as score_segmenter,
)
from training.acceptance.scores import Score, markdown, not_scored, score, show
from udfs.weights import FOLDER

SPLITS: tuple[Split, ...] = ("train", "test")
NOISE = 2.0  # largest sigma of the camera's noise where inpainters are compared, in grey levels
FORMS: tuple[Forms, ...] = ("train", "heldout")


@dataclass(frozen=True)
class Options:
    """The options of all stages: ``count`` scenes of each split, and the weights."""

    count: int
    seed: int
    size: int  # pixels
    segmenter: Path
    embedder: Path
    diffusers: Path = FOLDER / "inpainter_objects"
    gan: Path = FOLDER / "gan_inpainter_objects.pt"
    sets: tuple[str, ...] = ()
    llm: int = 0  # number of scenes whose captions SmolLM2 judges and rewrites
    image_text: str = ""

    @property
    def settings(self) -> Settings:
        """The embedded profile with the scenes' models, as far as their files exist."""
        return load_settings("embedded", [*score_filter.models(self.segmenter, self.embedder), *self.sets])

    def scenes(self, domain: str = "objects") -> Iterator[tuple[int, Scene]]:
        """Scenes of both splits with consecutive numbers."""
        for half, split in enumerate(SPLITS):
            for i in range(self.count):
                yield half * self.count + i, layout.sample(domain, split, self.seed, i, self.size)


def extraction(options: Options) -> Iterator[Score]:
    """Scores of the extractor, on both domains."""
    yield from score_extraction.report(score_extraction.run(options.count, options.seed, options.size))


def segmentation(options: Options) -> Iterator[Score]:
    """Scores of the segmenter: what it finds, and how well it outlines it."""
    if options.settings.segmenter.kind == "annotations":
        yield not_scored("segmentation", "masks", f"no weights at {options.segmenter}")
        return
    from udfs.segment.segmenter import Segmenter

    things, claims = score_segmenter.look(Segmenter(options.settings, "cpu"), (scene for _, scene in options.scenes()))
    surest, least = score_segmenter.SCORES
    for limit in (surest, least):
        sure = [claim for claim in claims if claim.score >= limit]
        yield score("segmentation", f"precision at score {limit}", "all", [c.right for c in sure], [c.scene for c in sure])
    for name, belongs in score_segmenter.GROUPS.items():
        group = [thing for thing in things if belongs(thing)]
        scenes, found_things = [thing.scene for thing in group], [thing for thing in group if thing.score >= least]
        yield score("segmentation", f"recall at score {surest}", name, [thing.score >= surest for thing in group], scenes)
        ious, found_scenes = [thing.iou for thing in found_things], [thing.scene for thing in found_things]
        yield score("segmentation", "IoU of found masks", name, ious, found_scenes, "")
        yield score("segmentation", "IoU of found masks, median", name, ious, found_scenes, "", np.median)


def rewriting(options: Options) -> Iterator[Score]:
    """Scores of the rules: right dual texts in good grammar, for sentence forms that training sees and for held-out ones."""
    for name, lexicon in score_extraction.DOMAINS.items():
        settings = load_settings("embedded", [f"lexicon={lexicon}"] if lexicon else [])
        world = domains.load(name)
        for forms in FORMS:
            judged = [
                (number, verdict)
                for number, scene in options.scenes(name)
                for verdict in score_rewriting.run(world, [scene], forms, settings)[0]
                if verdict.caption.monotone
            ]
            for column, verdicts in (("right texts, none being wrong", judged), ("right of those written", _written(judged))):
                group = f"{name}, {'held-out' if forms == 'heldout' else 'known'} forms"
                right, scenes = [not verdict.fault for _, verdict in verdicts], [number for number, _ in verdicts]
                yield score("rewriting", column, group, right, scenes)


def _written(judged: list[tuple[int, score_rewriting.Judged]]) -> list[tuple[int, score_rewriting.Judged]]:
    return [(number, verdict) for number, verdict in judged if verdict.text is not None and verdict.status == "ok"]


def inpainting(options: Options) -> Iterator[Score]:
    """Scores of the inpainters against the true removal, with the masks of a perfect segmenter."""
    from udfs.embed.clip import load_clip

    methods = score_inpainting.inpainters(options.diffusers, options.gan)
    weights = {name: Path(inpainter["weights"]) for name, inpainter in methods.items() if "weights" in inpainter}
    absent = [name for name, path in weights.items() if not path.exists()]
    for name in absent:
        yield not_scored("inpaint", name, f"no weights at {weights[name]}")
    embedder = options.settings.embedder
    clip = load_clip(embedder, "cpu") if embedder.model else None
    cases = score_inpainting.cases("objects", options.seed, options.size, 2 * options.count, NOISE)
    if absent:
        for name in [name for name in methods if name not in absent]:
            yield from score_inpainting.fidelity(name, score_inpainting.run(name, methods[name], cases)[0], clip)
        return
    # Probes for leaks take half an hour: `python -m training.acceptance inpainting --probe`.
    yield from score_inpainting.score(cases, [], methods, clip)[0]


def judges(options: Options) -> Iterator[Score]:
    """Scores of the rule checks on newly generated texts; of SmolLM2 and an image-text judge if wanted."""
    settings = score_judges.settings_of(bool(options.llm), options.image_text)
    yield from score_judges.run(settings, options.count, options.seed, options.size, slow=options.llm)


def faults(options: Options) -> Iterator[Score]:
    """Scores of the filter at the thresholds of the settings."""
    settings = options.settings
    yield from score_filter.missing(settings, options.segmenter, options.embedder)
    measured = score_filter.measure(score_filter.Engine(settings), options.scenes())
    yield from score_filter.report(list(measured), settings.policy)


STAGES: dict[str, Callable[[Options], Iterable[Score]]] = {
    "extraction": extraction,
    "segmentation": segmentation,
    "inpainting": inpainting,
    "rewriting": rewriting,
    "judges": judges,
    "filter": faults,
}


def main(
    count: Annotated[int, typer.Option(min=1, help="scenes of each split")] = 100,
    seed: Annotated[int, typer.Option(help="of the scenes: 900 to 998; 100 to 198 while something is still being chosen")] = 900,
    size: Annotated[int, typer.Option(min=64, max=256, help="side of the pictures in pixels")] = 128,
    stages: Annotated[str, typer.Option(help="which stages, with commas between")] = ",".join(STAGES),
    segmenter: Annotated[Path, typer.Option(help="YOLO-seg weights")] = score_filter.SEGMENTER,
    embedder: Annotated[
        Path, typer.Option(help="an open_clip config, its weights beside it as .safetensors")
    ] = score_filter.EMBEDDER,
    diffusers: Annotated[Path, typer.Option(help="folder of an inpainting pipeline")] = Options.diffusers,
    gan: Annotated[Path, typer.Option(help="TorchScript file of an inpainter")] = Options.gan,
    set_: Annotated[list[str], typer.Option("--set", help="a setting of the filter's run, a.b=c")] = [],  # noqa: B006 - typer's
    llm: Annotated[
        int, typer.Option(help="scenes of which SmolLM2 judges and rewrites the captions: slow, half a minute each")
    ] = 0,
    image_text: Annotated[str, typer.Option(help="folder of a BLIP image-text matching model, to be judged too")] = "",
    as_markdown: Annotated[bool, typer.Option("--markdown", help="print the table in Markdown")] = False,
) -> None:
    """Score the stages and print the table."""
    wanted = [name.strip() for name in stages.split(",")]
    if unknown := [name for name in wanted if name not in STAGES]:
        raise typer.BadParameter(f"no stage {', '.join(unknown)}: there are {', '.join(STAGES)}")
    try:
        for scenes_seed in (seed, seed + 1):
            check(scenes_seed, "choosing" if seed < 900 else "evaluation")
    except ValueError as problem:
        raise typer.BadParameter(str(problem)) from None
    options = Options(count, seed, size, segmenter, embedder, diffusers, gan, tuple(set_), llm, image_text)
    scores = [line for name in wanted for line in STAGES[name](options)]
    if as_markdown:
        typer.echo(markdown(scores))
    else:
        show(scores, f"seed {seed}, {count} scenes of each split, {size} px")
