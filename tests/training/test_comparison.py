"""`dualset compare`: real trainings of a few steps, real evaluations, one report; and the errors it raises."""

import csv
from pathlib import Path

import pytest
from typer.testing import CliRunner

from jobs.cli import app
from tests.support import snapshots
from tests.support.benchmark_examples import with_images
from training.benchmarks.averages import Score
from training.benchmarks.item import Verdict
from training.comparison.plan import START, ComparisonError, Plan, Suite
from training.comparison.report import Result, difference
from training.comparison.run import command, with_typed_values
from training.options import OptionsError
from training.run_file import read_options, write_options

MODEL = ["--model", "embedded:clip_study.json", "--checkpoint", "embedded:clip_study.safetensors"]
SMALL = ["steps=2", "warmup=1", "batch_size=8", "eval_every=0", "device=cpu", "reader=pyarrow", "workers=1"]
OPTIONS = [word for text in [*SMALL, "powerset.members=2"] for word in ("--set", text)]


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("compare")
    with_images(folder)
    rows = [
        (f"{colour}.png", f"a {colour} wall", f"a {wrong_colour} wall")
        for colour, wrong_colour in (("red", "blue"), ("green", "red"))
    ]
    lines = ["image,right,wrong", *(",".join(row) for row in rows)]
    (folder / "custom.csv").write_text("\n".join(lines) + "\n")
    snapshots.write(folder / "snapshot", snapshots.drawn(24))
    return folder


@pytest.fixture(scope="module")
def arguments(data: Path) -> list[str]:
    benchmark = f"custom={data / 'custom.csv'},{data / 'images'}"
    methods = ["--method", "clip", "--method", "powerset", "--seeds", "1", "--benchmark", benchmark]
    return ["compare", "--snapshot", str(data / "snapshot"), "--output", str(data / "out"), *MODEL, *methods, *OPTIONS]


@pytest.fixture(scope="module")
def first_output(arguments: list[str]) -> str:
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 0, result.output
    return result.output


def test_every_method_is_trained_evaluated_and_compared_in_the_report(first_output: str, data: Path) -> None:
    with (data / "out" / "scores.csv").open() as stream:
        rows = list(csv.DictReader(stream))
    assert {(row["method"], row["seed"]) for row in rows} == {("start", "0"), ("clip", "0"), ("powerset", "0")}
    assert all(0 <= float(row["low"]) <= float(row["value"]) <= float(row["high"]) <= 1 for row in rows)
    report = (data / "out" / "report.md").read_text()
    assert "## custom, custom.csv" in report
    header = next(line for line in report.splitlines() if line.startswith("| test"))
    assert header.endswith("| start | clip | powerset |")
    assert "`powerset`: method_options {'members': '2'}" in report
    assert str(data / "out" / "report.md") in first_output.replace("\n", "")


def test_repeating_the_command_repeats_no_work(first_output: str, arguments: list[str], data: Path) -> None:
    files = [file for kind in ("runs", "results") for file in (data / "out" / kind).rglob("*") if file.is_file()]
    before = {file: file.stat().st_mtime_ns for file in files}
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 0
    assert before == {file: file.stat().st_mtime_ns for file in before}
    assert "log in" not in result.output


def test_results_of_other_settings_are_not_reused(tmp_path: Path) -> None:
    def plan(settings: list[str], checkpoint: str = "a", snapshot: str = "s") -> Plan:
        common = {"snapshot": snapshot, "model": "m", "checkpoint": checkpoint}
        return Plan.of(common, ["clip"], settings, seeds=1, suites=[], output=tmp_path)

    first = plan([])
    suite, other_suite = Suite("custom", tmp_path / "a.csv", tmp_path), Suite("custom", tmp_path / "b.csv", tmp_path)
    assert suite.file != other_suite.file
    assert suite.file != Suite("custom", tmp_path / "a.csv", tmp_path / "images").file
    assert suite.file != Suite("custom", tmp_path / "a.csv", tmp_path, {"split": "val"}).file
    for changed in (plan(["lr=1e-3"]), plan([], checkpoint="b"), plan([], snapshot="t")):
        assert changed.trained("clip", 0) != first.trained("clip", 0)
        assert changed.result("clip", 0, suite) != first.result("clip", 0, suite)
    assert plan([], checkpoint="b").result(START, 0, suite) != first.result(START, 0, suite)
    assert plan(["workers=7"]).trained("clip", 0) == first.trained("clip", 0)  # the number of workers changes no weights


def test_a_training_that_fails_is_named_and_the_others_are_reported(arguments: list[str], data: Path, first_output: str) -> None:
    broken = [*arguments, "--set", "powerset.lr=1e30"]
    result = CliRunner().invoke(app, broken)
    message = " ".join(str(result.exception).split())
    assert isinstance(result.exception, ComparisonError)
    assert "1 of 2 trainings failed; the report is of the others: training powerset, seed 0, ended with 1" in message
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


def test_a_method_may_have_its_own_rate(tmp_path: Path) -> None:
    settings = ["lr=2e-5", "powerset.lr=1e-5", "powerset.members=8"]
    plan = Plan.of({"snapshot": "s", "model": "m"}, ["clip", "powerset"], settings, seeds=1, suites=[], output=tmp_path)
    assert (plan.runs["clip"].lr, plan.runs["powerset"].lr) == (2e-5, 1e-5)
    assert plan.runs["powerset"].method_options == {"members": "8"}, "as given: the folder's name depends on it"
    assert with_typed_values(plan.runs["powerset"]).method_options == {"members": 8}


def test_a_training_gets_its_options_as_a_file(tmp_path: Path) -> None:
    settings = ["augment=false", "flip=true", "lr=1.1e-5", "powerset.rank=0.5", "powerset.entailed=rank", "powerset.images=all"]
    plan = Plan.of({"snapshot": "a b", "model": "m"}, ["powerset"], settings, seeds=1, suites=[], output=tmp_path)
    options, file = with_typed_values(plan.options("powerset", 0)), tmp_path / "options.json"
    assert options.method_options == {"rank": 0.5, "entailed": "rank", "images": "all"}
    write_options(options, file)
    assert read_options(file) == options and not options.augment and options.flip
    assert command(file, 1)[1:] == ["-m", "training.run_file", str(file)]
    assert command(file, 8)[1:5] == ["-m", "torch.distributed.run", "--standalone", "--nproc_per_node=8"]
    with pytest.raises(OptionsError, match="none.json"):
        read_options(tmp_path / "none.json")
    for text, problem in (('{"snapshot": "s", "output": "o", "colour": "red"}', "colour"), ("{", "options.json: Expecting")):
        file.write_text(text)
        with pytest.raises(OptionsError, match=problem):
            read_options(file)


def test_a_difference_is_between_the_same_items(tmp_path: Path) -> None:
    suite = Suite("custom", tmp_path, tmp_path)

    def result(*values: float) -> Result:
        rows = [Verdict(str(i), "all", f"{i}.png", {"accuracy": value}) for i, value in enumerate(values)]
        return Result([Score("all", "accuracy", 0, 0, 0, 0, 0, 0, 0, 0, False)], rows, 0, {})

    differences = difference(suite, [result(1, 1, 0, 1), result(1, 1, 1, 1)], [result(0, 1, 0, 1)])
    (score,) = [candidate for (_, metric), candidate in differences.items() if metric == "accuracy" and not candidate.detail][:1]
    assert score.value == pytest.approx((1 + 0 + 0.5 + 0) / 4)
    assert 0 <= score.low < score.value < score.high
    with pytest.raises(ComparisonError, match="different items"):
        difference(suite, [result(1, 1)], [result(1, 1, 0)])
