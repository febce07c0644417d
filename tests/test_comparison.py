"""`dualset compare`: real trainings of few steps, real evaluations, one report; and what it refuses."""

import csv
from pathlib import Path

import pytest
import snapshots
from benchmark_examples import with_images
from typer.testing import CliRunner

from jobs.cli import app
from training.benchmarks.averages import Score
from training.benchmarks.item import Verdict
from training.comparison.plan import START, ComparisonError, Plan, Suite
from training.comparison.report import Result, difference
from training.comparison.run import command
from training.options import OptionsError, make_options

MODEL = ["--model", "embedded:clip_study.json", "--checkpoint", "embedded:clip_study.safetensors"]
SMALL = ["steps=2", "warmup=1", "batch_size=8", "eval_every=0", "device=cpu", "reader=pyarrow", "workers=1"]
OPTIONS = [word for text in [*SMALL, "powerset.members=2"] for word in ("--set", text)]


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("compare")
    with_images(folder)
    rows = [(f"{one}.png", f"a {one} wall", f"a {other} wall") for one, other in (("red", "blue"), ("green", "red"))]
    lines = ["image,right,wrong", *(",".join(row) for row in rows)]
    (folder / "custom.csv").write_text("\n".join(lines) + "\n")
    snapshots.write(folder / "snapshot", snapshots.drawn(24))
    return folder


@pytest.fixture(scope="module")
def asked(data: Path) -> list[str]:
    where = f"custom={data / 'custom.csv'},{data / 'images'}"
    methods = ["--method", "clip", "--method", "powerset", "--seeds", "1", "--benchmark", where]
    return ["compare", "--snapshot", str(data / "snapshot"), "--output", str(data / "out"), *MODEL, *methods, *OPTIONS]


@pytest.fixture(scope="module")
def first(asked: list[str]) -> str:
    result = CliRunner().invoke(app, asked)
    assert result.exit_code == 0, result.output
    return result.output


def test_every_method_is_trained_and_asked_and_the_report_compares_them(first: str, data: Path) -> None:
    with (data / "out" / "scores.csv").open() as stream:
        rows = list(csv.DictReader(stream))
    assert {(row["method"], row["seed"]) for row in rows} == {("start", "0"), ("clip", "0"), ("powerset", "0")}
    assert all(0 <= float(row["low"]) <= float(row["value"]) <= float(row["high"]) <= 1 for row in rows)
    report = (data / "out" / "report.md").read_text()
    assert "## custom, custom.csv" in report
    header = next(line for line in report.splitlines() if line.startswith("| test"))
    assert header.endswith("| start | clip | powerset |")
    assert "`powerset`: method_options {'members': '2'}" in report
    assert str(data / "out" / "report.md") in first.replace("\n", "")


def test_the_same_command_again_does_nothing_twice(first: str, asked: list[str], data: Path) -> None:
    files = [file for kind in ("runs", "results") for file in (data / "out" / kind).rglob("*") if file.is_file()]
    before = {file: file.stat().st_mtime_ns for file in files}
    result = CliRunner().invoke(app, asked)
    assert result.exit_code == 0
    assert before == {file: file.stat().st_mtime_ns for file in before}
    assert "log in" not in result.output


def test_what_was_made_with_something_else_does_not_pass_for_the_same(tmp_path: Path) -> None:
    def plan(settings: list[str], checkpoint: str = "a", snapshot: str = "s") -> Plan:
        common = {"snapshot": snapshot, "model": "m", "checkpoint": checkpoint}
        return Plan.of(common, ["clip"], settings, seeds=1, suites=[], output=tmp_path)

    first = plan([])
    one, other = Suite("custom", tmp_path / "a.csv", tmp_path), Suite("custom", tmp_path / "b.csv", tmp_path)
    assert one.file != other.file
    assert one.file != Suite("custom", tmp_path / "a.csv", tmp_path / "images").file
    assert one.file != Suite("custom", tmp_path / "a.csv", tmp_path, {"split": "val"}).file
    for changed in (plan(["lr=1e-3"]), plan([], checkpoint="b"), plan([], snapshot="t")):
        assert changed.trained("clip", 0) != first.trained("clip", 0)
        assert changed.result("clip", 0, one) != first.result("clip", 0, one)
    assert plan([], checkpoint="b").result(START, 0, one) != first.result(START, 0, one)
    assert plan(["workers=7"]).trained("clip", 0) == first.trained("clip", 0)  # it changes no weight


def test_a_training_that_fails_is_named_and_the_others_are_reported(asked: list[str], data: Path, first: str) -> None:
    broken = [*asked, "--set", "powerset.lr=1e30"]
    result = CliRunner().invoke(app, broken)
    said = " ".join(result.output.split())
    assert result.exit_code == 1
    assert "1 of 2 trainings failed; the report is of the others: training powerset, seed 0, ended with 1" in said
    with (data / "out" / "scores.csv").open() as stream:
        assert {row["method"] for row in csv.DictReader(stream)} == {"start", "clip"}


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (["stepz=3"], "no option stepz"),
        (["laclip.lr=1e-5"], "METHOD.NAME=VALUE"),
        (["powerset.membres=2"], "membres"),
        (["lr=fast"], "lr"),
        (["method=negclip"], "an option of its own"),
        (["clip.seed=3"], "an option of its own"),
    ],
)
def test_a_wrong_setting_is_refused_before_anything_is_trained(settings: list[str], message: str, tmp_path: Path) -> None:
    with pytest.raises(OptionsError, match=message):
        Plan.of({"snapshot": "s", "model": "m"}, ["clip", "powerset"], settings, seeds=1, suites=[], output=tmp_path)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("custom", "NAME=DATA"),
        ("custom=/nowhere/x.csv", "there is no /nowhere/x.csv"),
        ("sugercrepe=/tmp", "sugercrepe"),
        ("custom=/tmp,images=/tmp", "images is no option"),
    ],
)
def test_a_wrong_benchmark_is_refused(text: str, message: str) -> None:
    with pytest.raises(OptionsError, match=message):
        Suite.of(text)


def test_one_method_may_have_its_own_rate(tmp_path: Path) -> None:
    settings = ["lr=2e-5", "powerset.lr=1e-5", "powerset.members=8"]
    plan = Plan.of({"snapshot": "s", "model": "m"}, ["clip", "powerset"], settings, seeds=1, suites=[], output=tmp_path)
    assert (plan.runs["clip"].lr, plan.runs["powerset"].lr) == (2e-5, 1e-5)
    words = command(plan.runs["powerset"], 8)
    assert words[1:5] == ["-m", "torch.distributed.run", "--standalone", "--nproc_per_node=8"]
    assert words[words.index("--method-options") + 1] == "members=8"
    flags = command(make_options({"snapshot": "s", "output": "o", "augment": False, "flip": True}), 1)
    assert "--no-augment" in flags
    assert "--flip" in flags


def test_the_difference_is_of_the_same_items(tmp_path: Path) -> None:
    suite = Suite("custom", tmp_path, tmp_path)

    def result(*values: float) -> Result:
        rows = [Verdict(str(i), "all", f"{i}.png", {"accuracy": value}) for i, value in enumerate(values)]
        return Result([Score("all", "accuracy", 0, 0, 0, 0, 0, 0, 0, 0, False)], rows, 0, {})

    found = difference(suite, [result(1, 1, 0, 1), result(1, 1, 1, 1)], [result(0, 1, 0, 1)])
    (score,) = [one for (_, metric), one in found.items() if metric == "accuracy" and not one.detail][:1]
    assert score.value == pytest.approx((1 + 0 + 0.5 + 0) / 4)
    assert 0 <= score.low < score.value < score.high
    with pytest.raises(ComparisonError, match="different items"):
        difference(suite, [result(1, 1)], [result(1, 1, 0)])
