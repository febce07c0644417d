"""Embedding, averages, intervals, blind baselines, missing images, and the whole command with a real open_clip model."""

import json
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import pytest
import torch
from PIL import Image

from jobs.cli import main
from tests.support import benchmark_examples as examples
from tests.support.benchmark_examples import BENCHMARK_FILES, PAIRED, QUICK, Colours, Constant, put, row, run, with_images
from tests.support.originals import COCO_MINI
from tests.support.tiny_models import clip_files
from training.benchmarks import BENCHMARKS, BenchmarkError, blind, sugarcrepe
from training.benchmarks.averages import Row, mean_of, pooled, summarise, values_of
from training.benchmarks.encode import OpenClip
from training.benchmarks.evaluate import Options, evaluate
from training.benchmarks.item import Folder, Item, Picture, Verdict
from training.evaluate import NAMES


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return with_images(tmp_path)


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, str]:
    return clip_files(tmp_path_factory.mktemp("clip"))


@pytest.mark.parametrize("name", PAIRED)
def test_a_constant_model_gets_exactly_a_half_of_everything(data: Path, name: str) -> None:
    PAIRED[name](data)
    for score in run(name, data, Constant()).scores:
        if score.metric not in ("i2t R@5", "i2t R@10", "t2i R@5", "t2i R@10"):  # five texts, three images: all are found
            assert (score.value, score.low, score.high, score.ties) == (0.5, 0.5, 0.5, score.n), score


@pytest.mark.parametrize("name", PAIRED)
def test_the_same_evaluation_twice_is_the_same_file(data: Path, name: str) -> None:
    PAIRED[name](data)
    first, second = (run(name, data).as_json(with_items=True) for _ in range(2))
    assert first == second
    tree = json.loads(first)
    assert tree["settings"]["draws"] == 100 and len(tree["verdicts"]) >= tree["scored"]


def verdict(group: str, image: str, value: float) -> Verdict:
    return Verdict(f"{group}/{image}", group, image, {"accuracy": value})


def test_averages_by_hand() -> None:
    verdicts = [verdict("a", "1", 1), verdict("a", "2", 0), verdict("a", "3", 0), verdict("b", "1", 1), verdict("c", "4", 0.5)]
    counts = Counter(item.group for item in verdicts)
    a, b, c = (pooled([group]) for group in "abc")
    rows = [
        Row("pooled", "accuracy", pooled("abc")),
        Row("mean", "accuracy", (a, b, c)),
        Row("mean of means", "accuracy", ((a, b), c)),
        *mean_of("parts", {"x": (a, pooled(["gone"])), "y": pooled(["lost"])}, counts, "accuracy"),
    ]
    assert values_of(verdicts, rows) == {
        ("pooled", "accuracy"): 2.5 / 5,
        ("mean", "accuracy"): pytest.approx((1 / 3 + 1 + 0.5) / 3),
        ("mean of means", "accuracy"): pytest.approx(((1 / 3 + 1) / 2 + 0.5) / 2),
        ("mean of 1 of 2 parts", "accuracy"): pytest.approx(1 / 3),
    }


def test_the_bootstrap_draws_images_and_is_seeded() -> None:
    values = [float(number % 2) for number in range(100)]
    single = [verdict("a", str(number), value) for number, value in enumerate(values)]
    # Four questions about each image carry no more information than one.
    repeated = [Verdict(f"{item.key}/{copy}", item.group, item.image, item.values) for item in single for copy in range(4)]
    rows = [Row("all", "accuracy", pooled(["a"]))]
    single_score, repeated_score, same_seed, other_seed = (
        summarise(verdicts, rows, {}, draws=1000, seed=seed)[0]
        for verdicts, seed in ((single, 0), (repeated, 0), (single, 0), (single, 1))
    )
    assert single_score == same_seed and (single_score.low, single_score.high) != (other_seed.low, other_seed.high)
    assert (single_score.low, single_score.high) == (repeated_score.low, repeated_score.high)
    # 0.5 with 100 images: 1.96 * 0.05 on both sides.
    assert single_score.low == pytest.approx(0.402, abs=0.012) and single_score.high == pytest.approx(0.598, abs=0.012)


def test_blind_baselines() -> None:
    # The wrong text always says "no", which the probe learns. It is the longer text in the first half, the shorter in the second.
    items = [
        Item(str(number), "a" if number < 20 else "b", (Picture(Path(f"{number}.jpg")),), texts)
        for number in range(40)
        for texts in [(f"some thing {number}", f"no such thing {number}" if number < 20 else f"no thing {number}")]
    ]
    rows = sugarcrepe.aggregate({}) + [Row(group, "accuracy", pooled([group])) for group in "ab"]
    rows = [average for average in rows if average.name in "ab"]
    assert values_of(blind.shorter(sugarcrepe, items), rows) == {("a", "accuracy"): 1, ("b", "accuracy"): 0}
    assert values_of(blind.probe(sugarcrepe, items), rows) == {("a", "accuracy"): 1, ("b", "accuracy"): 1}


def test_the_probe_is_not_trained_on_the_image_in_question() -> None:
    # Each image has words of its own, so what is learned from one image does not help on another.
    items = [
        Item(f"{image}/{copy}", "a", (Picture(Path(f"{image}.jpg")),), (f"right{image}", f"wrong{image}"))
        for image in range(10)
        for copy in range(3)
    ]
    assert {item.values["accuracy"] for item in blind.probe(sugarcrepe, items)} == {0.5}
    assert blind.probe(sugarcrepe, items[:3]) == []  # one image: nothing to hold out


def test_blind_baselines_cover_the_items_that_were_scored(data: Path) -> None:
    examples.write_sugarcrepe(data)
    baselines = run("sugarcrepe", data).baselines
    assert baselines["chance"]["all items", "accuracy"] == 0.5
    assert baselines["shorter"]["swap_obj", "accuracy"] == pytest.approx((1 + 1 + 0.5) / 3)
    examples.write_winoground(data)
    assert run("winoground", data).baselines.keys() == {"chance"}  # two images share the texts, so a text alone decides nothing


def test_unusable_images_are_counted_with_the_reason(data: Path) -> None:
    good = (data / "images" / "red.png").read_bytes()
    (data / "images" / "cut.png").write_bytes(good[: len(good) // 2])
    (data / "images" / "big.png").write_bytes(good + b"\0" * 100_000)
    lines = ["image,right,wrong", *(f"{name}.png,red,blue" for name in ("red", "cut", "big", "none"))]
    (data / "mine.csv").write_text("\n".join(lines), encoding="utf-8")
    evaluation = evaluate("custom", data, data / "images", Colours(), Options(draws=100, max_bytes=50_000))
    assert {Path(path).stem: reason for path, reason in evaluation.missing.items()} == {
        "cut": "undecodable_image",
        "big": "file_too_large",
        "none": "missing_file",
    }
    assert (row(evaluation, "all items").value, row(evaluation, "all items").n, row(evaluation, "all items").missing) == (1, 1, 3)


def test_a_diverged_model_is_an_error_and_gets_no_score(data: Path) -> None:
    class Diverged(Constant):
        def encode_texts(self, texts: Sequence[str]) -> torch.Tensor:
            return super().encode_texts(texts) * float("nan")

    examples.write_sugarcrepe(data)
    with pytest.raises(BenchmarkError, match="not finite"):
        run("sugarcrepe", data, Diverged())


def test_a_limit_applies_to_each_group(data: Path) -> None:
    examples.write_sugarcrepe(data)
    evaluation = evaluate("sugarcrepe", data, data / "images", Colours(), Options(limit=1, draws=100))
    assert (evaluation.items, row(evaluation, "swap_obj").n, row(evaluation, "add_att").n) == (2, 1, 1)


def test_images_are_found_below_subfolders_and_by_cocos_later_names(data: Path) -> None:
    (data / "images" / "val2017").mkdir()
    later = data / "images" / "val2017" / "000000000042.jpg"
    Image.new("RGB", (16, 16)).save(later)
    folder = Folder(data / "images")
    assert folder.find("val2014/COCO_val2014_000000000042.jpg") == folder.find("000000000042.jpg") == later
    assert folder.find("red") == data / "images" / "red.png"
    assert folder.find("gone.jpg") == data / "images" / "gone.jpg"
    (data / "images" / "other").mkdir()
    Image.new("RGB", (16, 16)).save(data / "images" / "other" / later.name)
    with pytest.raises(BenchmarkError, match="twice"):
        folder_again = Folder(data / "images")
        folder_again.find("000000000042.jpg")
    for name in ("../secret.png", "/etc/secret.png", ""):
        with pytest.raises(BenchmarkError, match="not the name of an image"):
            folder.find(name)


def test_wrong_names_give_one_clear_error(data: Path) -> None:
    examples.write_sugarcrepe(data)
    with pytest.raises(BenchmarkError, match="no benchmark 'crepe': choose one of sugarcrepe, "):
        run("crepe", data)
    with pytest.raises(BenchmarkError, match="no option seed; options are: none"):
        run("sugarcrepe", data, seed="1")
    with pytest.raises(BenchmarkError, match="no folder of images"):
        evaluate("sugarcrepe", data, data / "pictures", Colours(), QUICK)
    examples.write_retrieval(data)
    put(data / "dataset_coco.json", {"images": []})
    with pytest.raises(BenchmarkError, match="coco_karpathy_test.json and dataset_coco.json"):
        run("retrieval", data)


@pytest.mark.shared("data/benchmarks")
def test_blind_baselines_on_the_real_files(tmp_path: Path) -> None:
    items = [
        item
        for item in sugarcrepe.load(BENCHMARK_FILES / "sugarcrepe", tmp_path)
        if item.group in ("add_obj", "add_att", "swap_obj")
    ]
    rows = [Row(group, "accuracy", pooled([group])) for group in ("add_obj", "add_att", "swap_obj")]
    shorter = values_of(blind.shorter(sugarcrepe, items), rows)
    assert round(shorter["add_obj", "accuracy"], 3) == 0.990 and round(shorter["add_att", "accuracy"], 3) == 0.996
    swapped = [item for item in items if item.group == "swap_obj"]
    assert 0.6 < values_of(blind.probe(sugarcrepe, swapped), rows[2:])["swap_obj", "accuracy"] < 0.7


def command(*arguments: str | Path) -> None:
    main(["evaluate", *map(str, arguments)])


@pytest.mark.shared("data/benchmarks", "data/coco-mini")
def test_the_whole_command_on_the_available_photographs(
    tiny: tuple[str, str],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("sys.argv", ["dualset"])
    files = ("--data", BENCHMARK_FILES / "sugarcrepe", "--images", COCO_MINI / "val2017")
    common = (*files, "--model", tiny[0], "--checkpoint", tiny[1])
    with pytest.raises(SystemExit) as ended:
        command("--benchmark", "sugarcrepe", *common, "--output", tmp_path / "found" / "scores.json", "--items", "--no-blind")
    assert ended.value.code == 0
    tree = json.loads((tmp_path / "found" / "scores.json").read_text(encoding="utf-8"))
    assert (tree["items"], tree["scored"], len(tree["verdicts"])) == (7511, 74, 74)
    assert set(tree["missing"].values()) == {"missing_file"} and len(tree["files"]) == 7
    assert sum(score["missing"] for score in tree["scores"] if score["name"] == "all items") == 7511 - 74
    printed = capsys.readouterr()
    assert "74 of 7511 items" in printed.out and "CLIP (OpenAI) 90.9" in printed.out
    assert printed.err.count("missing_file") == 10  # the first ten are named, all are in the file
    assert f"{len(tree['missing'])} images are missing" in printed.err


def test_a_model_gives_the_same_scores_in_any_batch_size(data: Path, tiny: tuple[str, str]) -> None:
    examples.write_bivlc(data)
    model = OpenClip.load(*tiny)
    assert (model.name, len(model.version)) == ("tiny-clip", 12)
    scores_by_size = [
        evaluate("bivlc", data, data / "images", model, Options(batch_size=size, draws=100)).scores for size in (1, 64)
    ]
    assert scores_by_size[0] == scores_by_size[1]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"--benchmark": "crepe"}, "there is no benchmark 'crepe'"),
        ({"--data": "/nowhere"}, "there is no /nowhere"),
        ({"--checkpoint": "/nowhere.safetensors"}, "the model cannot be loaded"),
        ({"--option": "seed"}, "--option is NAME=VALUE"),
    ],
)
def test_a_wrong_command_fails_with_one_line(
    data: Path,
    tiny: tuple[str, str],
    change: dict[str, str],
    message: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("sys.argv", ["dualset"])
    examples.write_sugarcrepe(data)
    valid = {
        "--benchmark": "sugarcrepe",
        "--data": str(data),
        "--images": str(data / "images"),
        "--model": tiny[0],
        "--checkpoint": tiny[1],
    }
    with pytest.raises(SystemExit) as ended:
        command(*(word for pair in (valid | change).items() for word in pair))
    assert ended.value.code == 1
    lines = capsys.readouterr().err.strip().splitlines()
    assert len(lines) == 1 and message in lines[0]


def test_the_command_names_all_benchmarks() -> None:
    assert set(NAMES) == set(BENCHMARKS)


def test_the_blind_table_needs_no_model(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    examples.write_sugarcrepe(data)
    blind.main(["--benchmark", "sugarcrepe", "--data", str(data)])
    assert "| swap_obj | accuracy | 4 | 50.0 |" in capsys.readouterr().out
