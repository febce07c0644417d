"""The measures of a manifold, on points for which they are known."""

from pathlib import Path

import numpy as np
import pytest

from training.study.manifold import Manifold, Sampled, covered, inside, inverse_dimension, radii, residuals, section
from training.study.values import Value

RNG = np.random.default_rng(3)


def flat(count: int, dimension: int, within: int = 16) -> np.ndarray:
    points = np.zeros((count, within), np.float32)
    points[:, :dimension] = RNG.uniform(size=(count, dimension))
    return points


def test_a_ball_reaches_to_the_kth_other_point() -> None:
    line = np.array([[0.0], [1], [3], [7]], np.float32)
    assert radii(line, 1).tolist() == [1, 1, 2, 4]
    assert radii(line, 2).tolist() == [3, 2, 3, 6]
    assert inside(np.array([[-0.9], [-1.1], [9], [12]], np.float32), line, 1).tolist() == [True, False, True, False]


def test_half_of_a_manifold_is_precise_and_recalls_half() -> None:
    whole = flat(1500, 2)
    half = flat(600, 2) * np.array([0.5] + [1] * 15, np.float32)
    assert inside(half, whole).mean() > 0.97
    assert inside(whole, half).mean() == pytest.approx(0.5, abs=0.06)


def test_more_images_never_cover_less() -> None:
    reference, sample = flat(800, 2), flat(200, 2)
    before = covered(reference, sample)
    crowded = np.concatenate([sample, sample + 1e-4])  # near copies of the sample: no new part of the manifold
    assert (covered(reference, crowded) >= before).all()
    assert inside(reference, crowded).mean() < inside(reference, sample).mean()
    assert covered(reference, flat(4000, 2)).mean() > before.mean()


@pytest.mark.parametrize("dimension", [1, 2, 4])
def test_the_dimension_of_a_flat_sheet_is_found(dimension: int) -> None:
    points = flat(2000, dimension)
    assert 1 / inverse_dimension(points, points).mean() == pytest.approx(dimension, rel=0.1)


def test_a_copy_of_a_point_says_nothing_about_its_dimension() -> None:
    points, others = flat(1500, 2), flat(1500, 2)
    near = points + np.float32(1e-4) * RNG.normal(size=points.shape).astype(np.float32) * (points != 0)
    by_itself, by_copies, by_others = (1 / inverse_dimension(points, around).mean() for around in (points, near, others))
    assert by_copies == pytest.approx(2, rel=0.1)
    assert by_itself == pytest.approx(by_others, rel=0.1)


def test_additive_squares_leave_no_residual_and_unrelated_points_a_third() -> None:
    base, first, second = RNG.normal(size=(3, 400, 64)).astype(np.float32)
    additive = np.stack([base, base + first, base + second, base + first + second], axis=1)
    assert residuals(additive).max() < 1e-6
    assert residuals(RNG.normal(size=(400, 4, 64)).astype(np.float32)).mean() == pytest.approx(1 / 3, abs=0.02)


def test_the_report_shows_what_was_measured(tmp_path: Path) -> None:
    value = Value(value=0.5, low=0.4, high=0.6)
    sampled = Sampled(
        size=20,
        precision=value,
        recall=value,
        coverage=value,
        uniform_precision=value,
        uniform_recall=value,
        uniform_coverage=value,
        dimension=value,
        residual=None,
    )
    manifold = Manifold(model="some-model", snapshot="s", originals=10, squares=3, sets={"duals": sampled})
    assert section(tmp_path / "none.json") == []
    (tmp_path / "m.json").write_text(manifold.model_dump_json())
    ((_, (text, (head, rows))),) = section(tmp_path / "m.json")
    assert "some-model: 10 originals" in text
    assert dict(zip(head, rows[0], strict=True)) == {
        "set": "duals", "images": "20", "precision": "50.0 [40.0, 60.0]", "recall": "50.0 [40.0, 60.0]",
        "coverage": "50.0 [40.0, 60.0]", "uniform coverage": "50.0 [40.0, 60.0]",
        "uniform precision": "50.0 [40.0, 60.0]", "uniform recall": "50.0 [40.0, 60.0]",
        "local dimension": "0.5 [0.4, 0.6]", "not additive": "",
    }  # fmt: skip
    with_trained = manifold.model_copy(update={"trained": {"clip": {"duals": value, "true removals": value}}})
    (tmp_path / "m.json").write_text(with_trained.model_dump_json())
    ((_, (*_, table)),) = section(tmp_path / "m.json")
    assert table == (("arm", "duals", "true removals"), [("clip", "50.0 [40.0, 60.0]", "50.0 [40.0, 60.0]")])
