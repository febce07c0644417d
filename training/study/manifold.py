"""Is the sampling around each original richer? Duals, placebos and true removals beside other originals, in a CLIP's image space.

    python -m training.study.manifold --data runs/study/NAME --model MODEL --checkpoint FILE --output study/manifold.json

Each set is the originals and one image more for each: a dual of it, its placebo, the same removal really rendered, or another
original. What is measured:

- precision, of what is added, and recall, by k nearest neighbours (Kynkäänniemi et al. 2019, "Improved Precision and Recall
  Metric for Assessing Generative Models", equations 1 and 2; k = 3): the share of a set's images inside the reference's
  manifold, and the share of the reference inside the set's. The set's balls shrink where its images lie close together, so that
  more of them may recall less.
- coverage (Naeem et al. 2020, "Reliable Fidelity and Diversity Metrics for Generative Models", equation 10; k = 5): the share of
  the reference's own balls that hold an image of the set. More images never cover less. References are scenes of no set: biased
  as those learned from, and uniform as those asked about.
- local intrinsic dimension by maximum likelihood (Levina and Bickel 2004, equation 8), with its inverse averaged as MacKay and
  Ghahramani corrected it, from each original's k = 10 nearest of what is added, without what was made of itself.
- additivity: of a family's four images over two components, the share of the variance of their embeddings that is left when
  each removal moves the embedding by one vector, whatever else was removed. Unrelated points leave a third.
"""

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import numpy as np
import typer
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

from scenes import layout
from training.snapshot import Manifest
from training.study.data import MORE_SEED, SIZE, Made, Size
from training.study.values import RUNS, WEIGHTS, Embed, Points, Value, load, mean, weights_of
from training.study.world import OBJECTS

NEAREST, COVER, AROUND = 3, 5, 10  # neighbours: of a manifold's balls, of a covering, and of a dimension's estimate
REFERENCE = 3000
REFERENCE_SEED = 151  # of uniform scenes, asked about by no question


class Sampled(BaseModel):
    """What one set is like; ``size`` is of images, ``dimension`` and ``residual`` are missing where nothing is measured."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    size: int
    precision: Value
    recall: Value
    coverage: Value
    uniform_precision: Value
    uniform_recall: Value
    uniform_coverage: Value
    dimension: Value
    residual: Value | None


class Manifold(BaseModel):
    """The file that the report reads."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    model: str
    snapshot: str
    originals: int
    squares: int
    sets: dict[str, Sampled]
    trained: dict[str, dict[str, Value]] = {}  # what is not additive to the models of an arm, by set


def radii(points: Points, k: int = NEAREST) -> NDArray[np.float32]:
    """Distance of each point to its k-th nearest other one [N]."""
    return np.sort(distances(points, points), axis=1)[:, k].astype(np.float32)  # the nearest is the point itself


def inside(points: Points, manifold: Points, k: int = NEAREST) -> NDArray[np.bool_]:
    """Which points [N] lie in the ball around any point of a manifold that reaches to its k-th nearest neighbour."""
    return np.asarray((distances(points, manifold) <= radii(manifold, k)[None]).any(axis=1))


def covered(reference: Points, points: Points, k: int = COVER) -> NDArray[np.bool_]:
    """Which points of a reference [N] have one of ``points`` within the distance of their k-th nearest neighbour."""
    return np.asarray(distances(reference, points).min(axis=1) <= radii(reference, k))


def inverse_dimension(points: Points, around: Points, k: int = AROUND) -> NDArray[np.float64]:
    """The inverse of the local dimension at each of N points, from its k nearest of N others.

    The i-th of ``around`` is the i-th point, or was made of it, and is left out there: how near it is says how much was changed,
    and nothing of a dimension. One of a family alone, too, as two that are nearly the same are no two neighbours.
    """
    found = distances(points, around)
    np.fill_diagonal(found, np.inf)
    near = np.sort(found, axis=1)
    inverse = np.empty(len(near))
    for place, row in enumerate(near):
        ball = row[row > 1e-6][:k]  # a scene that is there twice is at no distance
        inverse[place] = np.log(ball[-1] / ball[:-1]).mean()
    return inverse


def residuals(squares: Points) -> NDArray[np.float64]:
    """The share of variance [F] that two removals, added, do not explain, of F families' embeddings [F, 4, D].

    The four are: nothing removed, the first, the second, both.
    """
    centred = squares.astype(np.float64) - squares.mean(axis=1, keepdims=True)
    total = (centred**2).sum(axis=(1, 2))
    interaction = squares[:, 0] - squares[:, 1] - squares[:, 2] + squares[:, 3]
    return np.asarray((interaction.astype(np.float64) ** 2).sum(axis=1) / 4 / np.maximum(total, 1e-12))


def distances(points: Points, others: Points) -> NDArray[np.float64]:
    """Euclidean distances [N, M]."""
    from scipy.spatial.distance import cdist

    return np.asarray(cdist(points, others))


@dataclass(frozen=True)
class Family:
    """An original's images in all sets; ``square`` the four of two components, inpainted and really rendered."""

    original: bytes
    dual: bytes
    placebo: bytes
    true: bytes
    square: tuple[list[bytes], list[bytes]] | None


def families(main: Manifest, true: Manifest) -> Iterator[Family]:
    """Families with a dual and a placebo; of several duals the one that removes least, so that none is larger than it must be."""
    import pyarrow.parquet as pq

    columns = ["record_id", "n", "subsets", "images"]
    for file, same in zip(main.files, true.files, strict=True):
        painted = pq.read_table(main.url(file).removeprefix("file://"), columns=[*columns, "placebo"]).to_pylist()
        rendered = pq.read_table(true.url(same).removeprefix("file://"), columns=columns).to_pylist()
        for row, other in zip(painted, rendered, strict=True):
            if row["record_id"] != other["record_id"]:
                raise ValueError(f"{true.id} is not made of {main.id}: {row['record_id']} stands beside {other['record_id']}")
            images, truths = (dict(zip(one["subsets"], one["images"], strict=True)) for one in (row, other))
            removed = sorted((subset for subset in images if subset), key=lambda subset: (int(subset).bit_count(), subset))
            if 0 not in images or not removed or row["placebo"] is None:
                continue
            square = None
            if {0b01, 0b10, 0b11} <= set(images):
                square = tuple([found[subset] for subset in range(4)] for found in (images, truths))
            yield Family(images[0], images[removed[0]], row["placebo"], truths[removed[0]], square)  # type: ignore[arg-type]


def measure(found: Sequence[Family], snapshot: str, embed: Embed, version: str, say: Callable[[str], None]) -> Manifold:
    """Embed all images of all sets, and measure.

    Args:
        found: the study's families, as ``families`` gives them.
        snapshot: the id of theirs.
        embed: encoded images to unit vectors [N, D].
        version: of the model that embeds.
        say: is given a line of progress.
    """
    if len(found) <= AROUND:
        raise ValueError(f"{len(found)} families have a dual and a placebo: too few to measure anything")
    say(f"{len(found)} families with a dual and a placebo")
    originals = embed([one.original for one in found])
    others = embed(_scenes("train", MORE_SEED, len(found)))
    biased = embed(_scenes("train", MORE_SEED, REFERENCE, first=len(found)))
    uniform = embed(_scenes("test", REFERENCE_SEED, REFERENCE))
    added = {
        "originals": originals[:0],
        "duals": embed([one.dual for one in found]),
        "placebos": embed([one.placebo for one in found]),
        "true removals": embed([one.true for one in found]),
        "other originals": others,
    }
    squares = squares_of(found)
    left = not_additive(squares, embed)
    sets = {}
    for name, more in added.items():
        points = np.concatenate([originals, more])
        sets[name] = Sampled(
            size=len(points),
            precision=mean(inside(more if len(more) else originals, biased)),
            recall=mean(inside(biased, points)),
            coverage=mean(covered(biased, points)),
            uniform_precision=mean(inside(more if len(more) else originals, uniform)),
            uniform_recall=mean(inside(uniform, points)),
            uniform_coverage=mean(covered(uniform, points)),
            dimension=mean(inverse_dimension(originals, more if len(more) else originals), inverse=True),
            residual=mean(left[name]) if name in left and len(squares) else None,
        )
        say(f"{name}: {sets[name].model_dump()}")
    return Manifold(model=version, snapshot=snapshot, originals=len(found), squares=len(squares), sets=sets)


def squares_of(found: Sequence[Family]) -> list[tuple[list[bytes], list[bytes]]]:
    """The families' images over two components, of those that have all four, inpainted and really rendered."""
    return [one.square for one in found if one.square is not None]


def not_additive(squares: Sequence[tuple[list[bytes], list[bytes]]], embed: Embed) -> dict[str, NDArray[np.float64]]:
    """``residuals`` of each family [F], by set."""
    left = {}
    for place, name in enumerate(("duals", "true removals")):
        flat = embed([image for one in squares for image in one[place]])
        left[name] = residuals(flat.reshape(len(squares), 4, -1))
    return left


def of_arm(weights: Sequence[Path], squares: Sequence[tuple[list[bytes], list[bytes]]]) -> dict[str, Value]:
    """What is not additive to an arm's models, by set; a family's value is averaged over them."""
    every = [not_additive(squares, load(str(one), "")[1]) for one in weights]
    return {name: mean(np.mean([one[name] for one in every], axis=0)) for name in every[0]}


def _scenes(split: Any, seed: int, count: int, first: int = 0) -> list[bytes]:
    from scenes.render import render
    from training.study.derived import PNG, encode

    return [encode(render(layout.sample(OBJECTS.domain, split, seed, first + i, SIZE)), PNG) for i in range(count)]


def section(file: Path) -> list[tuple[str, list[Any]]]:
    """What the report shows of a file, if it is there."""
    if not file.is_file():
        return []
    made = Manifold.model_validate_json(file.read_text(encoding="utf-8"))

    rows = []
    for name, one in made.sets.items():
        shares = (one.precision, one.recall, one.coverage, one.uniform_precision, one.uniform_recall, one.uniform_coverage)
        rows.append(
            (
                name,
                str(one.size),
                *(share.cell() for share in shares),
                one.dimension.cell(1.0),
                one.residual.cell() if one.residual else "",
            )
        )
    kinds = ("precision", "recall", "coverage")
    head = ("set", "images", *kinds, *(f"uniform {kind}" for kind in kinds), "local dimension", "not additive")
    said = (
        f"In the image space of {made.model}: {made.originals} originals, and one more image for each. Precision, recall and"
        " coverage (percent) by nearest neighbours against other scenes, drawn as those learned from, and uniformly; local"
        " dimension among what is added around each original; and the share of variance (percent) over two components of"
        f" {made.squares} families that two added removals do not explain; unrelated images would leave 33.3. Precision is of"
        " what is added, recall and coverage of all; the first set has half the images of the others and covers less for"
        " that alone. Intervals over families or reference scenes, the manifolds being fixed."
    )
    blocks: list[Any] = [said, (head, rows)]
    if made.trained:
        names = tuple(next(iter(made.trained.values())))
        blocks += ["The same share of variance after fine-tuning, means over the runs of an arm:"]
        blocks += [(("arm", *names), [(arm, *(one[name].cell() for name in names)) for arm, one in made.trained.items()])]
    return [("Is the sampling around each original richer?", blocks)]


def main(
    data: Annotated[Path, typer.Option(help="the study's data: the folder of a regime under dualset study's --work")],
    model: Annotated[str, typer.Option(help="an open_clip model")] = OBJECTS.model,
    checkpoint: Annotated[str, typer.Option(help="its weights")] = OBJECTS.checkpoint,
    originals: Annotated[int, typer.Option(min=20, help="of the study's data")] = Size().originals,
    arms: Annotated[str, typer.Option(help="additivity after training, too, of these arms, divided by commas")] = "",
    output: Annotated[Path, typer.Option(help="the file that the report reads")] = Path("study/manifold.json"),
) -> None:
    """Measure, and write what the report shows."""
    clip, embed = load(model, checkpoint)
    made = Made(data.resolve(), Size(originals=originals), typer.echo)
    some = list(families(made.main, made.snapshot("true")))
    found = measure(some, made.main.id, embed, clip.version, typer.echo)
    if arms:
        squares = squares_of(some)
        trained = {arm: of_arm(list(weights_of(data / RUNS / WEIGHTS, arm).values()), squares) for arm in arms.split(",")}
        found = found.model_copy(update={"trained": trained})
    output.parent.mkdir(parents=True, exist_ok=True)
    output.write_text(json.dumps(found.model_dump(), indent=1) + "\n", encoding="utf-8")
    typer.echo(f"written: {output}")


if __name__ == "__main__":
    typer.run(main)
