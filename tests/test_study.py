"""The study: which runs there are, what data they get, and what may be said of their records."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import snapshots

from scenes.benchmark import MAKERS
from training.benchmarks.item import Verdict
from training.families import families
from training.methods import make
from training.options import make_options
from training.snapshot import read_manifest
from training.study import derived
from training.study.arms import ARMS, BY_NAME, METHODS, Unit, units
from training.study.compare import Draws, contrast, drawn_values, estimate, holm
from training.study.endpoints import ENDPOINTS, TOUCHED, EndPoint
from training.study.findings import Findings, Study, against
from training.study.questions import Numbers, packed, unpacked
from training.study.queue import NotTunedError, next_run, pending, records_of, setting_of
from training.study.record import Record, RecordError, Weights, read, write
from training.study.regime import FULL, QUICK, Regime, Setting, run_options, settled, trial_setting
from training.study.report import conclusion, write_report


def test_every_arm_is_a_method_with_options_it_takes() -> None:
    for arm in ARMS:
        if arm.method:
            make(arm.method, **arm.options)
        assert not arm.tuned_as or arm.tuned_as in BY_NAME


def test_each_run_comes_once_and_a_method_is_tuned_before_it_is_run() -> None:
    order = [unit.name for unit in units(FULL.trials, FULL.seeds, extended=True)]
    assert len(order) == len(set(order))
    for arm in METHODS:
        assert order.index(Unit(arm.name, trial=FULL.trials - 1).name) < order.index(Unit(arm.name).name)
    assert order.index("powerset_seed4") < order.index("placebo_seed0")  # what decides comes first


def test_tuning_tries_rates_first_and_then_around_the_best() -> None:
    ce_clip, clip = BY_NAME["ce_clip"], BY_NAME["clip"]
    scores = {0: 0.5, 1: 0.7, 2: 0.6, 3: 0.65, 4: 0.71}
    assert [trial_setting(clip, one, scores).lr for one in range(3)] == [3e-4, 1e-3, 3e-3]
    assert trial_setting(ce_clip, 4, scores) == Setting(1e-3, 0.4)
    assert trial_setting(clip, 3, scores).lr == pytest.approx(1e-3 / 3**0.5)
    assert settled(ce_clip, scores, 5).options(ce_clip) == {"cmr": 0.4}
    assert settled(clip, scores, 0) == Setting()


def test_a_control_takes_the_setting_of_its_method_and_waits_for_it(tmp_path: Path) -> None:
    with pytest.raises(NotTunedError, match="waits for powerset_tune0"):
        setting_of(BY_NAME["grey_box"], FULL, {})
    done = {f"powerset_tune{one}": record("powerset", score=0.5 + 0.1 * (one == 2), trial=one) for one in range(5)}
    assert setting_of(BY_NAME["grey_box"], FULL, done).lr == 3e-3
    options = run_options(FULL, Unit("shuffled", 3), Setting(1e-3))
    assert (options["lr"], options["seed"], options["method_options"]) == (1e-3, 3, {"members": 1})


def test_runs_of_one_arm_may_be_asked_for_and_no_two_processes_do_one(tmp_path: Path) -> None:
    bench: Any = SimpleNamespace(regime=QUICK, work=tmp_path / "work")
    records = records_of(tmp_path, QUICK)
    with next_run(bench, records, False, ()) as first, next_run(bench, records, False, ()) as second:
        assert (first, second) == ((Unit("start"), Setting()), (Unit("clip"), Setting()))
    with next_run(bench, records, False, ("oracle",)) as found:
        assert found == (Unit("oracle"), Setting())
        with next_run(bench, records, False, ("oracle",)) as other:
            assert other is None
    bench = SimpleNamespace(regime=FULL, work=tmp_path / "tuned")
    with next_run(bench, records_of(tmp_path, FULL), False, ("oracle",)) as found:
        assert found == (Unit("powerset", trial=0), Setting(3e-4))  # what it waits for comes first


def test_an_arm_may_begin_with_nothing() -> None:
    options = run_options(FULL, Unit("powerset_scratch"), Setting())
    assert (options["checkpoint"], options["model"], options["lr"]) == ("", "embedded:clip_study.json", 1e-3)
    assert run_options(FULL, Unit("coca_scratch"), Setting())["model"] == "embedded:coca_study.json"
    assert run_options(FULL, Unit("image_frozen"), Setting())["freeze"] == "image"
    for arm in ARMS:
        if arm.method:
            make_options(run_options(FULL, Unit(arm.name), Setting()) | {"snapshot": "s", "output": "o"})
    assert against(BY_NAME["coca_scratch"]) == "clip_scratch"
    assert against(BY_NAME["only_four"]) == "powerset"


def test_half_of_a_snapshot_contains_its_quarter(tmp_path: Path) -> None:
    source = snapshots.write(tmp_path / "source", snapshots.drawn(60))
    half = derived.change(source, tmp_path, "half", derived.some_of(0.5))
    quarter = derived.change(source, tmp_path, "quarter", derived.some_of(0.25))
    some, fewer = ({one["record_id"] for one in families(each)} for each in (half, quarter))
    assert fewer < some
    assert 15 < len(some) < 45
    assert half.totals.families == len(some)
    assert read_manifest(half.folder).id == half.id != source.id


def test_a_grey_box_covers_what_was_inpainted_and_nothing_else(tmp_path: Path) -> None:
    row = snapshots.family(1, 2, [3])
    (made,) = derived.grey_boxes(row)
    before, after = (derived.decode(one["images"][1]) for one in (row, made))
    original = derived.decode(row["images"][0])
    hole = (before != original).any(axis=2)
    assert (after[hole] == derived.GREY).all()
    assert (after[0] == original[0]).all()  # the bars leave the upper rows alone
    assert made["images"][0] == row["images"][0]


def test_texts_of_a_rejected_dual_go_with_it_and_variants_find_their_sources() -> None:
    row = snapshots.family(1, 1, [1], variants=True)
    (made,) = derived.rejected_at_random({1: 1.0})(row)
    assert (made["subsets"], len(made["images"])) == ([0], 1)
    assert made["text_mentions"] == [1]
    assert set(made["variant_of"]) == {0}
    assert {len(made[name]) for name in made if name.startswith("variant_")} == {len(made["variant_of"])}
    assert derived.rejected_at_random({1: 0.0})(row) == [row]


def test_with_fewer_components_only_the_first_are_removed() -> None:
    row = snapshots.family(1, 3, [1, 2, 3, 4, 5])
    (made,) = derived.first_components(1)(row)
    assert made["subsets"] == [0, 1]
    assert len(made["images"]) == 2
    for named, said in zip(made["text_named"], made["text_mentions"], strict=True):
        assert named & ~said in (0, 1)
    assert derived.first_components(3)(row) == [row]


def test_groups_of_end_points_and_touched_ones_are_asked() -> None:
    groups = {name.partition("/")[0] for point in ENDPOINTS for name in point.columns}
    assert groups | set(TOUCHED) <= set(MAKERS)
    assert not groups & set(TOUCHED)


def test_verdicts_are_packed_without_loss_in_their_order() -> None:
    values = [1.0, 0.5, 0.0, 1.0]
    verdicts = [Verdict(f"count_{i}", "count: first", f"{i}.png", {"accuracy": value}) for i, value in enumerate(values)]
    assert unpacked(packed(verdicts)["count/accuracy"]).tolist() == values
    with pytest.raises(ValueError, match="a verdict is"):
        packed([Verdict("count_0", "count", "0.png", {"accuracy": 0.3})])


def test_holm_by_hand() -> None:
    # 3 x 0.01, then 2 x 0.03, then 0.04, which may not be below 0.06.
    assert holm({"a": 0.01, "b": 0.04, "c": 0.03}) == pytest.approx({"a": 0.03, "c": 0.06, "b": 0.06})


SCENES = {"count": np.arange(400, dtype=np.int32), "single": np.repeat(np.arange(200), 2).astype(np.int32)}
COUNT = EndPoint("count", "", ("count/accuracy",))


def answers(share: float, seed: int) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    return {name: (rng.random(400) < share).astype(np.float32) for name in ("count/accuracy", "single/accuracy")}


def test_a_real_difference_is_found_and_none_is_made_up() -> None:
    drawn = Draws.of(SCENES, ["count"], 500)
    better, worse, again = ({seed: answers(share, 10 * k + seed) for seed in range(3)} for k, share in enumerate((0.8, 0.6, 0.6)))
    found = contrast(better, worse, [COUNT], drawn)
    assert found is not None
    assert found.low > 0
    assert found.value == pytest.approx(20, abs=5)
    none = contrast(worse, again, [COUNT], drawn)
    assert none is not None
    assert none.low < 0 < none.high
    assert contrast(better, {7: answers(0.5, 0)}, [COUNT], drawn) is None  # no seed in common


def test_the_interval_of_one_run_is_that_of_its_questions() -> None:
    plain, drawn = drawn_values([answers(0.6, 1)], [COUNT], Draws.of(SCENES, ["count"], 2000))
    found = estimate(plain, drawn)
    assert found.value == pytest.approx(100 * answers(0.6, 1)["count/accuracy"].mean())
    half = 1.96 * 100 * (0.6 * 0.4 / 400) ** 0.5
    assert (found.high - found.low) / 2 == pytest.approx(half, rel=0.2)


@pytest.mark.parametrize(("of_seeds", "of_scenes"), [(1.0, 0.0), (1.0, 1.0), (0.1, 1.0)])
def test_five_seeds_find_nothing_where_there_is_nothing(of_seeds: float, of_scenes: float) -> None:
    """One true null in twenty may fall outside of its interval, whatever varies more."""
    rng, wrong, times = np.random.default_rng(5), 0, 600
    for _ in range(times):
        shift = of_scenes * rng.normal()  # what the scenes' draw adds to every run
        plain = of_seeds * 5**0.5 * rng.normal(size=5) + shift
        found = estimate(plain, plain[:, None] + of_scenes * rng.normal(size=200))
        wrong += found.low > 0 or found.high < 0
    assert 0.02 < wrong / times < 0.075


def record(
    arm: str, share: float = 0.5, score: float = 0.5, seed: int = 0, trial: int | None = None, regime: Regime = QUICK
) -> Record:
    """A record as ``run`` makes it; its verdicts are drawn."""
    weights = None
    if trial is None:
        rng = np.random.default_rng(seed + 1)
        names = {name for point in ENDPOINTS for name in point.columns} | {f"{group}/group" for group in TOUCHED}
        verdicts = [
            Verdict(f"{name}_{i}", name.partition("/")[0], "", {name.partition("/")[2]: float(rng.random() < share)})
            for name in sorted(names)
            for i in range(60)
        ]
        weights = Weights(step=40, verdicts=packed(verdicts))
    return Record(
        regime=regime.name, arm=arm, seed=seed, trial=trial, snapshot="s", questions="q",
        start="c", commit="abc", device="a CPU", cpu_seconds=3600, settings={}, setting={"lr": 3e-4, "weight": None},
        budget=dict.fromkeys(("image_passes_a_step", "originals_a_step", "texts_a_step", "epochs", "cpu_seconds"), 1.0),
        pairs={"negative": 10, "true_but_negative": 1}, validation=[{"step": 20, "score": score}, {"step": 40, "score": score}],
        final=weights, best=weights,
    )  # fmt: skip


SHARES = {"clip": 0.5, "powerset": 0.8, "shuffled": 0.8, "grey_box": 0.8, "negclip": 0.6, "powerset+negclip": 0.9}


def write_study(folder: Path, regime: Regime, shares: dict[str, float]) -> None:
    for arm, share in shares.items():
        for seed in range(5):
            write(record(arm, share, seed=seed, regime=regime), records_of(folder, regime) / f"{arm}_seed{seed}.json")
    groups = {name.partition("/")[0] for point in ENDPOINTS for name in point.columns} | set(TOUCHED)
    numbers = Numbers("q", {group: np.arange(60, dtype=np.int32) for group in groups}, {"chance": {}, "shorter": {}, "probe": {}})
    (records_of(folder, regime) / "questions.json").write_text(numbers.as_json(), encoding="utf-8")


@pytest.fixture
def study(tmp_path: Path) -> Path:
    write_study(tmp_path, QUICK, SHARES)
    return tmp_path


def test_the_report_says_first_what_added_nothing_and_names_what_is_missing(study: Path) -> None:
    markdown, page, *pictures = write_report(study, QUICK)
    text = markdown.read_text(encoding="utf-8")
    first = text.split("\n\n")[1]
    assert first.startswith("**Keeping families together in a batch added nothing that these runs show**")
    assert "**Inpainting added nothing over grey boxes that these runs show**" in first
    assert "Claim *the power set beats CLIP* (powerset against clip): supported on edits" in first
    assert "the best combination, powerset+negclip, is over clip" in first
    assert "placebo_seed0" in text
    assert "10.00%" in text  # true pairs among the negatives
    assert page.read_text(encoding="utf-8").count("<svg") == 2
    assert [one.name for one in pictures] == ["arms.svg", "validation.svg"]
    assert all(f"({one.name})" in text for one in pictures)
    before = [one.read_bytes() for one in pictures]
    write_report(study, QUICK)
    assert [one.read_bytes() for one in pictures] == before, "the same runs, the same pictures"


def test_fewer_seeds_than_registered_decide_nothing(study: Path) -> None:
    for file in records_of(study, QUICK).glob("*_seed4.json"):
        file.unlink()
    found = Findings(Study(study, QUICK))
    assert {one.verdict for one in found.primary} == {"open"}
    assert conclusion(found).startswith("**There are contrasts of fewer than 5 seeds")


def test_the_report_says_where_shuffled_duals_do_better(study: Path) -> None:
    for seed in range(5):
        write(record("shuffled", 0.97, seed=seed), records_of(study, QUICK) / f"shuffled_seed{seed}.json")
    assert "over the same duals shuffled, which do better on edits and" in conclusion(Findings(Study(study, QUICK)))


def test_a_baseline_below_clip_is_flagged_and_another_device_is_named(study: Path) -> None:
    for seed in range(5):
        write(record("negclip", 0.1, seed=seed), records_of(study, QUICK) / f"negclip_seed{seed}.json")
    other = record("clip").model_copy(update={"device": "another"})
    write(other, records_of(study, QUICK) / "clip_seed0.json")
    flags = " ".join(Findings(Study(study, QUICK)).flags)
    assert "negclip falls below plain CLIP on edits" in flags
    assert "several devices" in flags


def test_records_of_another_regime_are_other_runs(study: Path) -> None:
    assert "powerset_seed0" not in [unit.name for unit in pending(QUICK, study, extended=False)]
    assert "powerset_seed0" in [unit.name for unit in pending(FULL, study, extended=False)]
    assert records_of(study, FULL) != records_of(study, QUICK)  # a quick study takes nothing from a long one


def test_a_file_that_is_no_record_is_named(tmp_path: Path) -> None:
    (tmp_path / "x.json").write_text("{}")
    with pytest.raises(RecordError, match=r"x\.json is no record"):
        read(tmp_path / "x.json")
