"""The study: its runs, the data that they get, and the conclusions that their records allow."""

import json
import multiprocessing
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from jobs.scenes.benchmark import MAKERS
from jobs.snapshot.manifest import read_manifest
from tests.support import snapshots
from tests.support.studies import record, study
from training.benchmarks.item import Verdict
from training.data.families import families
from training.methods import make
from training.options import make_options
from training.study import derived
from training.study.arms import ARMS, BY_NAME, METHODS, Unit, units
from training.study.compare import Draws, contrast, drawn_values, estimate, holm
from training.study.endpoints import ENDPOINTS, TOUCHED, EndPoint
from training.study.findings import Findings, Study, against
from training.study.questions import packed, unpacked
from training.study.queue import NotTunedError, next_run, pending, records_of, setting_of, wanted
from training.study.record import RecordError, convert, questions_of, read_all, write
from training.study.regime import FULL, QUICK, Setting, run_options, settled, trial_setting
from training.study.report import conclusion, state, write_report

__all__ = ["study"]  # the fixture


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
    assert [trial_setting(clip, trial, scores).lr for trial in range(3)] == [3e-4, 1e-3, 3e-3]
    assert trial_setting(ce_clip, 4, scores) == Setting(1e-3, 0.4)
    assert trial_setting(clip, 3, scores).lr == pytest.approx(1e-3 / 3**0.5)
    assert settled(ce_clip, scores, 5).options(ce_clip) == {"cmr": 0.4}
    assert settled(clip, scores, 0) == Setting()


def test_a_control_takes_the_setting_of_its_method_and_waits_for_it(tmp_path: Path) -> None:
    with pytest.raises(NotTunedError, match="waits for powerset_tune0"):
        setting_of(BY_NAME["grey_box"], FULL, {})
    done = {f"powerset_tune{trial}": record("powerset", score=0.5 + 0.1 * (trial == 2), trial=trial) for trial in range(5)}
    assert setting_of(BY_NAME["grey_box"], FULL, done).lr == 3e-3
    options = run_options(FULL, Unit("shuffled", 3), Setting(1e-3))
    assert (options["lr"], options["seed"], options["method_options"]) == (1e-3, 3, {"members": 1})


def test_runs_of_one_arm_may_be_asked_for_and_no_two_processes_share_a_run(tmp_path: Path) -> None:
    bench: Any = SimpleNamespace(regime=QUICK, work=tmp_path / "work")
    records = records_of(tmp_path, QUICK)
    with next_run(bench, records, False, ()) as first, next_run(bench, records, False, ()) as second:
        assert (first, second) == ((Unit("start"), Setting()), (Unit("clip"), Setting()))
    with next_run(bench, records, False, ("oracle",)) as claimed:
        assert claimed == (Unit("oracle"), Setting())
        with next_run(bench, records, False, ("oracle",)) as second_claim:
            assert second_claim is None
    bench = SimpleNamespace(regime=FULL, work=tmp_path / "tuned")
    with next_run(bench, records_of(tmp_path, FULL), False, ("oracle",)) as claimed:
        assert claimed == (Unit("powerset", trial=0), Setting(3e-4))  # what it waits for comes first


def test_an_arm_may_start_from_scratch() -> None:
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
    half_ids, quarter_ids = ({family["record_id"] for family in families(manifest)} for manifest in (half, quarter))
    assert quarter_ids < half_ids
    assert 15 < len(half_ids) < 45
    assert half.totals.families == len(half_ids)
    assert read_manifest(half.folder).id == half.id != source.id


def test_a_grey_box_covers_what_was_inpainted_and_nothing_else(tmp_path: Path) -> None:
    row = snapshots.family(1, 2, [3])
    (boxed,) = derived.grey_boxes(row)
    before, after = (derived.decode(family["images"][1]) for family in (row, boxed))
    original = derived.decode(row["images"][0])
    hole = (before != original).any(axis=2)
    assert (after[hole] == derived.GREY).all()
    assert (after[0] == original[0]).all()  # the bars do not reach the upper rows
    assert boxed["images"][0] == row["images"][0]


def test_a_rejected_dual_takes_its_texts_along_and_variants_keep_their_sources() -> None:
    row = snapshots.family(1, 1, [1], variants=True)
    (reduced,) = derived.rejected_at_random({1: 1.0})(row)
    assert (reduced["subsets"], len(reduced["images"])) == ([0], 1)
    assert reduced["text_mentions"] == [1]
    assert set(reduced["variant_of"]) == {0}
    assert {len(reduced[name]) for name in reduced if name.startswith("variant_")} == {len(reduced["variant_of"])}
    assert derived.rejected_at_random({1: 0.0})(row) == [row]


def test_with_fewer_components_only_the_first_are_removed() -> None:
    row = snapshots.family(1, 3, [1, 2, 3, 4, 5])
    (reduced,) = derived.first_components(1)(row)
    assert reduced["subsets"] == [0, 1]
    assert len(reduced["images"]) == 2
    for named, mentions in zip(reduced["text_named"], reduced["text_mentions"], strict=True):
        assert named & ~mentions in (0, 1)
    assert derived.first_components(3)(row) == [row]


def test_groups_of_end_points_and_touched_groups_have_questions() -> None:
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


def test_a_real_difference_is_found_and_none_is_invented() -> None:
    drawn = Draws.of(SCENES, ["count"], 500)
    better, worse, equal = ({seed: answers(share, 10 * k + seed) for seed in range(3)} for k, share in enumerate((0.8, 0.6, 0.6)))
    difference = contrast(better, worse, [COUNT], drawn)
    assert difference is not None
    assert difference.low > 0
    assert difference.value == pytest.approx(20, abs=5)
    no_difference = contrast(worse, equal, [COUNT], drawn)
    assert no_difference is not None
    assert no_difference.low < 0 < no_difference.high
    assert contrast(better, {7: answers(0.5, 0)}, [COUNT], drawn) is None  # no seed in common


def test_the_interval_of_one_run_is_that_of_its_questions() -> None:
    plain, drawn = drawn_values([answers(0.6, 1)], [COUNT], Draws.of(SCENES, ["count"], 2000))
    result = estimate(plain, drawn)
    assert result.value == pytest.approx(100 * answers(0.6, 1)["count/accuracy"].mean())
    half = 1.96 * 100 * (0.6 * 0.4 / 400) ** 0.5
    assert (result.high - result.low) / 2 == pytest.approx(half, rel=0.2)


@pytest.mark.parametrize(("of_seeds", "of_scenes"), [(1.0, 0.0), (1.0, 1.0), (0.1, 1.0)])
def test_five_seeds_find_nothing_where_there_is_nothing(of_seeds: float, of_scenes: float) -> None:
    """One true null in twenty may fall outside its interval, whether seeds or scenes vary more."""
    rng, misses, times = np.random.default_rng(5), 0, 600
    for _ in range(times):
        shift = of_scenes * rng.normal()  # what the draw of scenes adds to every run
        plain = of_seeds * 5**0.5 * rng.normal(size=5) + shift
        result = estimate(plain, plain[:, None] + of_scenes * rng.normal(size=200))
        misses += result.low > 0 or result.high < 0
    assert 0.02 < misses / times < 0.075


def test_the_report_says_first_what_added_nothing_and_names_what_is_missing(study: Path) -> None:
    markdown, page, picture = write_report(study, QUICK)
    text = markdown.read_text(encoding="utf-8")
    first = text.split("\n\n")[1]
    assert first.startswith("**Keeping families together in a batch added nothing that these runs show**")
    assert "**Inpainting added nothing over grey boxes that these runs show**" in first
    assert "Claim *the power set beats CLIP* (powerset against clip): supported on edits" in first
    assert "the best combination, powerset+negclip, is over clip" in first
    assert "placebo_seed0" in text
    assert "10.00%" in text  # true pairs among the negatives
    assert page.read_text(encoding="utf-8").count("<svg") == 2
    assert picture.name == "arms.svg" and "(arms.svg)" in text
    before = picture.read_bytes()
    assert len(before) < 60_000, "a page on a code host loads it"
    write_report(study, QUICK)
    assert picture.read_bytes() == before, "the same runs, the same picture"


def test_the_report_tells_the_cost_of_the_planned_runs_and_of_all(study: Path) -> None:
    planned = wanted(QUICK, extended=False)
    done = len(planned) - len(pending(QUICK, study, extended=False))
    assert state(Findings(Study(study, QUICK))).startswith(
        f"{done} of {len(planned)} runs are done, {done}.00 CPU hours, on a CPU."
        " With those beyond the main regime there are 30 runs, 30.00 CPU hours."
    )


def test_fewer_seeds_than_registered_decide_nothing(study: Path) -> None:
    file = records_of(study, QUICK)
    lines = [line for line in file.read_text(encoding="utf-8").splitlines(keepends=True) if json.loads(line)["seed"] != 4]
    file.write_text("".join(lines), encoding="utf-8")
    findings = Findings(Study(study, QUICK))
    assert {claim.verdict for claim in findings.primary} == {"open"}
    assert conclusion(findings).startswith("**There are contrasts of fewer than 5 seeds")


def test_the_report_says_where_shuffled_duals_do_better(study: Path) -> None:
    for seed in range(5):
        write(record("shuffled", 0.97, seed=seed), records_of(study, QUICK))
    assert "over the same duals shuffled, which do better on edits and" in conclusion(Findings(Study(study, QUICK)))


def test_a_baseline_below_clip_is_flagged_and_another_device_is_named(study: Path) -> None:
    for seed in range(5):
        write(record("negclip", 0.1, seed=seed), records_of(study, QUICK))
    moved = record("clip").model_copy(update={"device": "another"})
    write(moved, records_of(study, QUICK))
    flags = " ".join(Findings(Study(study, QUICK)).flags)
    assert "negclip falls below plain CLIP on edits" in flags
    assert "several devices" in flags


def test_records_of_another_regime_are_other_runs(study: Path) -> None:
    assert "powerset_seed0" not in [unit.name for unit in pending(QUICK, study, extended=False)]
    assert "powerset_seed0" in [unit.name for unit in pending(FULL, study, extended=False)]
    assert records_of(study, FULL) != records_of(study, QUICK)  # a quick study takes nothing from a long one


def test_a_line_that_is_no_record_is_named(tmp_path: Path) -> None:
    (tmp_path / "x.jsonl").write_text("{}")
    with pytest.raises(RecordError, match=r"x\.jsonl, line 1 is no record"):
        read_all(tmp_path / "x.jsonl", "x")
    (tmp_path / "x.jsonl").write_text('{"arm": "clip", "seed": 0, "trial": null}')
    with pytest.raises(RecordError, match=r"x\.jsonl, clip_seed0 is no record.*: Field required"):
        read_all(tmp_path / "x.jsonl", "x")


def test_records_are_lines_sorted_by_name_and_lose_nothing(tmp_path: Path) -> None:
    file, first, second = tmp_path / "x.jsonl", record("clip", seed=1), record("clip", score=0.1 + 0.2, trial=0)
    for entry in (second, first, record("ce_clip"), first):
        write(entry, file)
    assert [json.loads(line)["arm"] for line in file.read_text(encoding="utf-8").splitlines()] == ["ce_clip", "clip", "clip"]
    records = read_all(file, QUICK.name)
    assert list(records) == ["ce_clip_seed0", "clip_seed1", "clip_tune0"]
    assert (records["clip_seed1"], records["clip_tune0"]) == (first, second)
    assert read_all(file, "another regime") == {}


def add_records(file: Path, arm: str, count: int) -> None:
    for seed in range(count):
        write(record(arm, seed=seed), file)


def test_processes_that_write_one_file_at_once_lose_no_record(tmp_path: Path) -> None:
    context, file = multiprocessing.get_context("fork"), tmp_path / "x.jsonl"
    processes = [context.Process(target=add_records, args=(file, arm, 20)) for arm in ("clip", "powerset")]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    assert [process.exitcode for process in processes] == [0, 0]
    assert read_all(file, QUICK.name).keys() == {f"{arm}_seed{seed}" for arm in ("clip", "powerset") for seed in range(20)}


def test_one_file_a_run_is_converted_to_lines(study: Path) -> None:
    file = records_of(study, QUICK)
    known, numbers = read_all(file, QUICK.name), questions_of(file).read_text(encoding="utf-8")
    old = file.with_suffix("")
    old.mkdir()
    for name, entry in known.items():
        (old / f"{name}.json").write_text(json.dumps(entry.model_dump(mode="json"), indent=1) + "\n", encoding="utf-8")
    questions_of(file).rename(old / "questions.json")
    file.unlink()
    with pytest.raises(RecordError, match=r"one file a run.*`dualset study --output \S+` converts"):
        read_all(file, QUICK.name)
    assert convert(file.parent) == {file: len(known)}
    assert (read_all(file, QUICK.name), questions_of(file).read_text(encoding="utf-8")) == (known, numbers)
    assert not old.exists() and convert(file.parent) == {}

    old.mkdir()
    (old / "clip_seed3.json").write_text(known["clip_seed0"].model_dump_json(), encoding="utf-8")
    with pytest.raises(RecordError, match=r"clip_seed3\.json is the record of another run, clip_seed0"):
        convert(file.parent)
