"""Every stage scored against the scene world's truth, in one table with intervals.

    python -m scenes.score_stages                                  all stages, quick: some minutes on two cores
    python -m scenes.score_stages --count 250 --markdown           as the README's table
    python -m scenes.score_stages --stages filter,rewriting --seed 150

Each number comes from the engine's own roles in this process, without Spark, on scenes of a seed that nothing was learned from or
chosen on. The same options print the same numbers. A stage that needs weights which are not there says so in its line.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import numpy as np
import typer

from jobs.settings import Settings, load_settings
from scenes import domain as domains
from scenes import layout, score_extraction, score_filter, score_inpainting, score_judges, score_rewriting, score_segmenter
from scenes.captions import Forms
from scenes.scene import Scene, Split
from scenes.scores import Score, markdown, not_scored, score, show
from scenes.seeds import check

MODELS = Path(__file__).parent / "models"
SPLITS: tuple[Split, ...] = ("train", "test")
NOISE = 2.0  # largest sigma of the camera's noise where inpainters are compared, in grey levels
FORMS: tuple[Forms, ...] = ("train", "heldout")


@dataclass(frozen=True)
class Options:
    """What all stages are scored on: ``count`` scenes of each split, with these weights."""

    count: int
    seed: int
    size: int  # pixels
    segmenter: Path
    embedder: Path
    diffusers: Path = MODELS / "inpainter_objects"
    gan: Path = MODELS / "gan_inpainter_objects.pt"
    sets: tuple[str, ...] = ()
    llm: int = 0  # scenes of which SmolLM2 judges and rewrites the captions
    image_text: str = ""

    @property
    def settings(self) -> Settings:
        """The embedded profile with the scene world's models, as far as they are there."""
        return load_settings("embedded", [*score_filter.models(self.segmenter, self.embedder), *self.sets])

    def scenes(self, domain: str = "objects") -> Iterator[tuple[int, Scene]]:
        """Scenes of both splits, numbered through."""
        for half, split in enumerate(SPLITS):
            for i in range(self.count):
                yield half * self.count + i, layout.sample(domain, split, self.seed, i, self.size)


def extraction(options: Options) -> Iterator[Score]:
    """The extractor, on both domains."""
    yield from score_extraction.report(score_extraction.run(options.count, options.seed, options.size))


def segmentation(options: Options) -> Iterator[Score]:
    """The segmenter: what is found, and how well it is outlined."""
    if options.settings.segmenter.kind == "annotations":
        yield not_scored("segmentation", "masks", f"no weights at {options.segmenter}")
        return
    from udfs.segmenter import Segmenter

    things, claims = score_segmenter.look(Segmenter(options.settings, "cpu"), (scene for _, scene in options.scenes()))
    surest, least = score_segmenter.SCORES
    for limit in (surest, least):
        sure = [claim for claim in claims if claim.score >= limit]
        yield score("segmentation", f"precision at score {limit}", "all", [c.right for c in sure], [c.scene for c in sure])
    for name, belongs in score_segmenter.GROUPS.items():
        group = [thing for thing in things if belongs(thing)]
        where, found = [thing.scene for thing in group], [thing for thing in group if thing.score >= least]
        yield score("segmentation", f"recall at score {surest}", name, [thing.score >= surest for thing in group], where)
        ious, seen = [thing.iou for thing in found], [thing.scene for thing in found]
        yield score("segmentation", "IoU of found masks", name, ious, seen, "")
        yield score("segmentation", "IoU of found masks, median", name, ious, seen, "", np.median)


def rewriting(options: Options) -> Iterator[Score]:
    """The rules: dual texts that say what the right one says, in good grammar, by whether training sees their sentence's form."""
    for name, lexicon in score_extraction.DOMAINS.items():
        settings = load_settings("embedded", [f"lexicon={lexicon}"] if lexicon else [])
        world = domains.load(name)
        for forms in FORMS:
            judged = [
                (number, one)
                for number, scene in options.scenes(name)
                for one in score_rewriting.run(world, [scene], forms, settings)[0]
                if one.caption.monotone
            ]
            for what, chosen in (("right texts, none being wrong", judged), ("right of those written", _written(judged))):
                group = f"{name}, {'held-out' if forms == 'heldout' else 'known'} forms"
                yield score("rewriting", what, group, [not one.fault for _, one in chosen], [number for number, _ in chosen])


def _written(judged: list[tuple[int, score_rewriting.Judged]]) -> list[tuple[int, score_rewriting.Judged]]:
    return [(number, one) for number, one in judged if one.text is not None and one.status == "ok"]


def inpainting(options: Options) -> Iterator[Score]:
    """The inpainters side by side, with the masks of a perfect segmenter, against the true removal."""
    from udfs.embed_clip import load_clip

    methods = score_inpainting.inpainters(options.diffusers, options.gan)
    weights = {name: Path(chosen["weights"]) for name, chosen in methods.items() if "weights" in chosen}
    absent = [name for name, path in weights.items() if not path.exists()]
    for name in absent:
        yield not_scored("inpaint", name, f"no weights at {weights[name]}")
    embedder = options.settings.embedder
    clip = load_clip(embedder, "cpu") if embedder.model else None
    some = score_inpainting.cases("objects", options.seed, options.size, 2 * options.count, NOISE)
    if absent:
        for name in [name for name in methods if name not in absent]:
            yield from score_inpainting.fidelity(name, score_inpainting.run(name, methods[name], some)[0], clip)
        return
    # Probes for what leaks into a fill take half an hour: scenes.score_inpainting --probe.
    yield from score_inpainting.score(some, [], methods, clip)[0]


def judges(options: Options) -> Iterator[Score]:
    """The rule checks on texts told anew; SmolLM2 and an image-text judge where wanted."""
    settings = score_judges.settings_of(bool(options.llm), options.image_text)
    yield from score_judges.run(settings, options.count, options.seed, options.size, slow=options.llm)


def faults(options: Options) -> Iterator[Score]:
    """The filter at the thresholds of the settings."""
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
        for one in (seed, seed + 1):
            check(one, "choosing" if seed < 900 else "evaluation")
    except ValueError as problem:
        raise typer.BadParameter(str(problem)) from None
    options = Options(count, seed, size, segmenter, embedder, diffusers, gan, tuple(set_), llm, image_text)
    scores = [line for name in wanted for line in STAGES[name](options)]
    if as_markdown:
        typer.echo(markdown(scores))
    else:
        show(scores, f"seed {seed}, {count} scenes of each split, {size} px")


if __name__ == "__main__":
    typer.run(main)
