r"""Is the sampling around each original richer? Duals, placebos and true removals against other originals, by CLIP features.

    python -m training.study.manifold --data runs/study/NAME --model MODEL --checkpoint FILE \
        --output training/study/results/manifold.json

Each set is the originals plus one more image for each: one of its duals, its placebo, the same removal really rendered, or
another original. Measured are:

- precision of the added images, and recall, by k nearest neighbours (Kynkäänniemi et al. 2019, "Improved Precision and Recall
  Metric for Assessing Generative Models", equations 1 and 2; k = 3): the share of a set's images inside the reference's
  manifold, and the share of the reference inside the set's. The set's balls shrink where its images lie close together, so more
  images may recall less.
- coverage (Naeem et al. 2020, "Reliable Fidelity and Diversity Metrics for Generative Models", equation 10; k = 5): the share of
  the reference's own balls that contain an image of the set. More images never cover less. References are scenes that are in no
  set: biased like the training scenes, and uniform like the test scenes.
- local intrinsic dimension by maximum likelihood (Levina and Bickel 2004, equation 8), with its inverse averaged, the
  correction by MacKay and Ghahramani, from each original's k = 10 nearest added images, without the one made from itself.
- additivity: for a family's four images over two components, the share of the embeddings' variance that remains unexplained if
  each removal shifts the embedding by a fixed vector, whatever else was removed. Unrelated points leave a third.
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

from jobs.scenes import layout
from jobs.snapshot.manifest import Manifest
from training.study.data import MORE_SEED, SIZE, Size, StudyData
from training.study.values import RUNS, WEIGHTS, Embed, Points, Value, load, mean, weights_of
from training.study.world import OBJECTS

NEAREST, COVER, AROUND = 3, 5, 10  # k nearest neighbours: for precision and recall, coverage, and dimension
REFERENCE = 3000
REFERENCE_SEED = 151  # of uniform scenes that no question uses


class Sampled(BaseModel):
    """The measurements of one set; ``size``: number of images; ``residual`` is None for sets without squares."""

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
    trained: dict[str, dict[str, Value]] = {}  # residuals under the models of each arm, by set


def radii(points: Points, k: int = NEAREST) -> NDArray[np.float32]:
    """Distance of each point to its k-th nearest neighbour [N]."""
    return np.sort(distances(points, points), axis=1)[:, k].astype(np.float32)  # the nearest is the point itself


def inside(points: Points, manifold: Points, k: int = NEAREST) -> NDArray[np.bool_]:
    """Which points [N] lie within the k-th nearest neighbour distance of any point of a manifold."""
    return np.asarray((distances(points, manifold) <= radii(manifold, k)[None]).any(axis=1))


def covered(reference: Points, points: Points, k: int = COVER) -> NDArray[np.bool_]:
    """Which reference points [N] have one of ``points`` within the distance of their k-th nearest neighbour."""
    return np.asarray(distances(reference, points).min(axis=1) <= radii(reference, k))


def inverse_dimension(points: Points, around: Points, k: int = AROUND) -> NDArray[np.float64]:
    """The inverse of the local dimension at each of N points, from its k nearest of N others.

    The i-th of ``around`` is the i-th point or was made from it, and is left out for it: its distance tells how much was changed,
    not the dimension. ``around`` has only one image per family, as two near duplicates would not be two neighbours.
    """
    gaps = distances(points, around)
    np.fill_diagonal(gaps, np.inf)
    near = np.sort(gaps, axis=1)
    inverse = np.empty(len(near))
    for i, row in enumerate(near):
        ball = row[row > 1e-6][:k]  # a duplicate scene is at distance 0
        inverse[i] = np.log(ball[-1] / ball[:-1]).mean()
    return inverse


def residuals(squares: Points) -> NDArray[np.float64]:
    """The share of variance [F] that the sum of two removals does not explain, for F families' embeddings [F, 4, D].

    The four images: nothing removed, the first component, the second, both.
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
    """An original's images in all sets; ``square``: the four images over two components, inpainted and really rendered."""

    original: bytes
    dual: bytes
    placebo: bytes
    true: bytes
    square: tuple[list[bytes], list[bytes]] | None


def families(main: Manifest, true: Manifest) -> Iterator[Family]:
    """Families with a dual and a placebo; of several duals the one that removes the fewest components."""
    import pyarrow.parquet as pq

    columns = ["record_id", "n", "subsets", "images"]
    for file, true_file in zip(main.files, true.files, strict=True):
        painted = pq.read_table(main.url(file).removeprefix("file://"), columns=[*columns, "placebo"]).to_pylist()
        rendered = pq.read_table(true.url(true_file).removeprefix("file://"), columns=columns).to_pylist()
        for row, true_row in zip(painted, rendered, strict=True):
            if row["record_id"] != true_row["record_id"]:
                raise ValueError(f"{true.id} is not made of {main.id}: {row['record_id']} stands beside {true_row['record_id']}")
            images, truths = (dict(zip(source["subsets"], source["images"], strict=True)) for source in (row, true_row))
            removed = sorted((subset for subset in images if subset), key=lambda subset: (int(subset).bit_count(), subset))
            if 0 not in images or not removed or row["placebo"] is None:
                continue
            square = None
            if {0b01, 0b10, 0b11} <= set(images):
                square = tuple([pictures[subset] for subset in range(4)] for pictures in (images, truths))
            yield Family(images[0], images[removed[0]], row["placebo"], truths[removed[0]], square)  # type: ignore[arg-type]


def measure(sample: Sequence[Family], snapshot: str, embed: Embed, version: str, log: Callable[[str], None]) -> Manifold:
    """Embed all images of all sets, and measure.

    Args:
        sample: the study's families, from ``families``.
        snapshot: id of their snapshot.
        embed: encoded images to unit vectors [N, D].
        version: version of the embedding model.
        log: called with lines of progress.

    Raises:
        ValueError: there are too few families.
    """
    if len(sample) <= AROUND:
        raise ValueError(f"{len(sample)} families have a dual and a placebo: too few to measure anything")
    log(f"{len(sample)} families with a dual and a placebo")
    originals = embed([family.original for family in sample])
    other_originals = embed(_scenes("train", MORE_SEED, len(sample)))
    biased = embed(_scenes("train", MORE_SEED, REFERENCE, first=len(sample)))
    uniform = embed(_scenes("test", REFERENCE_SEED, REFERENCE))
    added = {
        "originals": originals[:0],
        "duals": embed([family.dual for family in sample]),
        "placebos": embed([family.placebo for family in sample]),
        "true removals": embed([family.true for family in sample]),
        "other originals": other_originals,
    }
    squares = squares_of(sample)
    shares = not_additive(squares, embed)
    sets = {}
    for name, extra in added.items():
        points = np.concatenate([originals, extra])
        sets[name] = Sampled(
            size=len(points),
            precision=mean(inside(extra if len(extra) else originals, biased)),
            recall=mean(inside(biased, points)),
            coverage=mean(covered(biased, points)),
            uniform_precision=mean(inside(extra if len(extra) else originals, uniform)),
            uniform_recall=mean(inside(uniform, points)),
            uniform_coverage=mean(covered(uniform, points)),
            dimension=mean(inverse_dimension(originals, extra if len(extra) else originals), inverse=True),
            residual=mean(shares[name]) if name in shares and len(squares) else None,
        )
        log(f"{name}: {sets[name].model_dump()}")
    return Manifold(model=version, snapshot=snapshot, originals=len(sample), squares=len(squares), sets=sets)


def squares_of(sample: Sequence[Family]) -> list[tuple[list[bytes], list[bytes]]]:
    """The images over two components, inpainted and really rendered, of the families that have all four."""
    return [family.square for family in sample if family.square is not None]


def not_additive(squares: Sequence[tuple[list[bytes], list[bytes]]], embed: Embed) -> dict[str, NDArray[np.float64]]:
    """``residuals`` of each family [F], by set."""
    shares = {}
    for position, name in enumerate(("duals", "true removals")):
        flat = embed([image for square in squares for image in square[position]])
        shares[name] = residuals(flat.reshape(len(squares), 4, -1))
    return shares


def of_arm(weights: Sequence[Path], squares: Sequence[tuple[list[bytes], list[bytes]]]) -> dict[str, Value]:
    """The residuals under an arm's models, by set; a family's value is averaged over the models."""
    per_model = [not_additive(squares, load(str(folder), "")[1]) for folder in weights]
    return {name: mean(np.mean([shares[name] for shares in per_model], axis=0)) for name in per_model[0]}


def _scenes(split: Any, seed: int, count: int, first: int = 0) -> list[bytes]:
    from jobs.scenes.render import render
    from training.study.derived import PNG, encode

    return [encode(render(layout.sample(OBJECTS.domain, split, seed, first + i, SIZE)), PNG) for i in range(count)]


def section(file: Path) -> list[tuple[str, list[Any]]]:
    """The report's section on a file that ``main`` wrote; empty if there is none."""
    if not file.is_file():
        return []
    result = Manifold.model_validate_json(file.read_text(encoding="utf-8"))

    rows = []
    for name, sampled in result.sets.items():
        shares = (
            sampled.precision,
            sampled.recall,
            sampled.coverage,
            sampled.uniform_precision,
            sampled.uniform_recall,
            sampled.uniform_coverage,
        )
        rows.append(
            (
                name,
                str(sampled.size),
                *(share.cell() for share in shares),
                sampled.dimension.cell(1.0),
                sampled.residual.cell() if sampled.residual else "",
            )
        )
    kinds = ("precision", "recall", "coverage")
    head = ("set", "images", *kinds, *(f"uniform {kind}" for kind in kinds), "local dimension", "not additive")
    note = (
        f"In the image space of {result.model}: {result.originals} originals, and one more image for each. Precision, recall and"
        " coverage (percent) by nearest neighbours against other scenes, drawn as those learned from, and uniformly; local"
        " dimension among what is added around each original; and the share of variance (percent) over two components of"
        f" {result.squares} families that two added removals do not explain; unrelated images would leave 33.3. Precision is of"
        " what is added, recall and coverage of all; the first set has half the images of the others and covers less for"
        " that alone. Intervals over families or reference scenes, the manifolds being fixed."
    )
    blocks: list[Any] = [note, (head, rows)]
    if result.trained:
        names = tuple(next(iter(result.trained.values())))
        blocks += ["The same share of variance after fine-tuning, means over the runs of an arm:"]
        blocks += [(("arm", *names), [(arm, *(values[name].cell() for name in names)) for arm, values in result.trained.items()])]
    return [("Is the sampling around each original richer?", blocks)]


def main(
    data: Annotated[Path, typer.Option(help="the study's data: the folder of a regime under dualset study's --work")],
    model: Annotated[str, typer.Option(help="an open_clip model")] = OBJECTS.model,
    checkpoint: Annotated[str, typer.Option(help="its weights")] = OBJECTS.checkpoint,
    originals: Annotated[int, typer.Option(min=20, help="of the study's data")] = Size().originals,
    arms: Annotated[str, typer.Option(help="additivity after training, too, of these arms, divided by commas")] = "",
    output: Annotated[Path, typer.Option(help="the file that the report reads")] = Path("training/study/results/manifold.json"),
) -> None:
    """Measure the sets, and write the file that the report reads."""
    clip, embed = load(model, checkpoint)
    study_data = StudyData(data.resolve(), Size(originals=originals), typer.echo)
    sample = list(families(study_data.main, study_data.snapshot("true")))
    result = measure(sample, study_data.main.id, embed, clip.version, typer.echo)
    if arms:
        squares = squares_of(sample)
        trained = {arm: of_arm(list(weights_of(data / RUNS / WEIGHTS, arm).values()), squares) for arm in arms.split(",")}
        result = result.model_copy(update={"trained": trained})
    output.parent.mkdir(parents=True, exist_ok=True)
    output.write_text(json.dumps(result.model_dump(), indent=1) + "\n", encoding="utf-8")
    typer.echo(f"written: {output}")


if __name__ == "__main__":
    typer.run(main)
