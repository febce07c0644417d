"""Each benchmark on a few lines in its real format, with a stand-in model that sees and reads colours."""

import csv
import json
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from torch import Tensor

from tests.support import benchmark_examples as examples
from tests.support.benchmark_examples import BENCHMARK_FILES, QUICK, Colours, put, row, run, scores, with_images
from training.benchmarks import (
    BENCHMARKS,
    BenchmarkError,
    aro,
    bivlc,
    hard_positives,
    imagenet,
    retrieval,
    sugarcrepe,
    valse,
    winoground,
)
from training.benchmarks.evaluate import evaluate, published
from training.benchmarks.item import Item, read_csv, read_json
from training.benchmarks.shuffles import KINDS, plain, spoilt


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return with_images(tmp_path)


def test_sugarcrepe(data: Path) -> None:
    examples.write_sugarcrepe(data)
    evaluation = run("sugarcrepe", data)
    assert scores(evaluation) == {"swap_obj": 0.5, "add_att": 1, "mean of 2 of 7 sets": 0.75, "all items": 0.625}
    swap = row(evaluation, "swap_obj")
    assert (swap.n, swap.ties, swap.missing, swap.images, swap.strict) == (3, 1, 1, 2, pytest.approx(1 / 3))
    assert (evaluation.items, evaluation.scored, list(evaluation.missing.values())) == (5, 4, ["missing_file"])
    assert evaluation.absent == ["replace_obj.json", "replace_att.json", "replace_rel.json", "swap_att.json", "add_obj.json"]


def test_sugarcrepe_pp(data: Path) -> None:
    examples.write_sugarcrepe_pp(data)
    values = scores(run("sugarcrepe_pp", data))
    # In the second item "red red blue" is nearer than the second caption, both to the first caption and to the image.
    assert {name: value for name, value in values.items() if name.startswith("all")} == {
        "all items / ITT": 0.5,
        "all items / TOT": 0.5,
        "all items / TOT, first caption": 0.5,
    }


def test_valse_keeps_items_that_two_annotators_confirm_and_has_both_averages(data: Path) -> None:
    examples.write_valse(data)
    assert scores(run("valse", data)) == {
        "existence": 1,
        "counting-hard": 0,
        "counting-small-quant": 0.5,
        "mean of 3 of 11 files": 0.5,
        "mean of 2 of 7 phenomena": (1 + (0 + 0.5) / 2) / 2,
        "all items": 0.5,
    }


def test_vl_checklist_takes_the_first_of_several_texts_and_the_mean_of_groups(data: Path) -> None:
    examples.write_vl_checklist(data)
    assert scores(run("vl_checklist", data)) == {
        "Attribute/vg/color": 0,
        "Object/Location/vg_obj_mid": 0.5,
        "Object/Size/swig_agent_small": 1,
        "Object: mean of 2 files": 0.75,
        "Attribute: mean of 1 files": 0,
        "mean of 2 of 3 groups": 0.375,
        "all items": 0.5,
    }


def test_aro_crops_to_the_box_and_averages_as_published(data: Path) -> None:
    examples.write_aro(data)
    evaluation = run("aro", data)
    values = {score.name: score.value for score in evaluation.scores if not score.detail}
    assert values == {
        "VG-Relation: mean over asymmetric relations": 0.75,  # holding 1, eating 0.5; near is symmetric
        "VG-Relation: all items": 0.5,
        "VG-Attribution: mean over pairs with 25 items": 1,  # 24 are too few
        "VG-Attribution: all items": 25 / 49,
        "COCO-Order": 0.5,  # this model sees only which words there are, not their order
    }
    assert row(evaluation, "VG-Relation: eating").value == 0.5
    assert row(evaluation, "COCO-Order").n == 1  # one word has no order


def test_winoground(data: Path) -> None:
    examples.write_winoground(data)
    values = scores(run("winoground", data))
    assert [values[f"Object / {metric}"] for metric in winoground.METRICS] == [1, 1, 1, 1]
    # Both captions say "red": the text score is a tie, the second image is never nearer, and nothing is bound.
    assert [values[f"Relation / {metric}"] for metric in winoground.METRICS] == [0.5, 0, 0, 0.5]


def test_a_liking_for_one_image_or_one_text_hides_binding_from_all_but_the_interaction() -> None:
    bound = np.array([[0.2, -0.2], [-0.2, 0.2]])
    for bias, expected in (
        (np.zeros((2, 2)), [1, 1, 1, 1]),
        (np.array([[1.0, 1.0], [0.0, 0.0]]), [1, 0, 0, 1]),  # the first image is nearer to whatever is said
        (np.array([[0.0, 1.0], [0.0, 1.0]]), [0, 1, 0, 1]),  # the second text is
    ):
        item = Item("a", "untagged", (), ())
        values = winoground.judge(item, bound + bias, np.eye(2))
        assert [values[metric] for metric in winoground.METRICS] == expected
        assert winoground.judge(item, bias - bound, np.eye(2))["interaction"] == 0


def test_bivlc(data: Path) -> None:
    examples.write_bivlc(data)
    values = scores(run("bivlc", data))
    assert [values[f"swap_att / {metric}"] for metric in bivlc.METRICS] == [1, 1, 1, 1]
    assert [values[f"add_obj / {metric}"] for metric in bivlc.METRICS] == [0, 0, 0, 0]
    assert values["all items / group"] == 0.5


def test_bivlcs_parquet_files_are_unpacked(data: Path) -> None:
    examples.write_bivlc(data)
    with open(data / "bivlc.csv", encoding="utf-8") as stream:
        records = [
            line
            | {side: {"bytes": (data / "images" / line[side]).read_bytes(), "path": None} for side in ("image", "negative_image")}
            for line in csv.DictReader(stream)
        ]
    (data / "parquet").mkdir()
    pq.write_table(pa.Table.from_pylist(records), data / "parquet" / "test.parquet")
    assert bivlc.unpack(data / "parquet", data / "unpacked") == 2
    evaluation = evaluate("bivlc", data / "unpacked", data / "unpacked", Colours(), QUICK)
    assert scores(evaluation) == scores(run("bivlc", data))


def test_hard_positives(data: Path) -> None:
    examples.write_hard_positives(data)
    assert hard_positives.load(data, data / "images")[0].texts == ("red ball", "red sphere", "blue ball")
    evaluation = run("hard_positives", data)
    # In the second item "red" scores above "red blue", and both above "sphere", which names no colour.
    assert {score.metric: score.value for score in evaluation.scores if score.name == "all items"} == {
        "original": 1,
        "augmented": 0.5,
        "brittle": 0.5,
    }


def test_retrieval_both_ways(data: Path) -> None:
    examples.write_retrieval(data)
    evaluation = run("retrieval", data)
    values = {score.metric: (score.value, score.n, score.ties) for score in evaluation.scores}
    assert values["i2t R@1"] == (2 / 3, 3, 0)  # the only text like the blue image is "blue", which belongs to the green one
    assert values["i2t R@5"] == (1, 3, 0)
    assert values["t2i R@1"] == ((3 + 0.5) / 5, 5, 1)  # "a ball" is equally near to all images
    images, texts = np.eye(3), np.array([[1, 0, 0], [1, 0, 0], [0, 1, 0], [0, 0, 1], [0, 0, 0]])
    assert evaluation.figures["modality gap"] == pytest.approx(np.linalg.norm(images.mean(axis=0) - texts.mean(axis=0)))


def test_retrieval_reads_karpathys_own_file(data: Path) -> None:
    def entry(name: str, split: str) -> dict[str, Any]:
        return {"filename": name, "split": split, "sentences": [{"raw": f"a {name.partition('.')[0]} ball"}]}

    put(
        data / "dataset_flickr30k.json",
        {"dataset": "flickr30k", "images": [entry("red.png", "test"), entry("blue.png", "train")]},
    )
    assert [(item.key, item.texts) for item in retrieval.load(data, data / "images")] == [("red.png", ("a red ball",))]
    assert [item.key for item in retrieval.load(data, data / "images", split="train")] == ["blue.png"]


def test_imagenet_asks_about_all_thousand_classes(data: Path) -> None:
    examples.write_imagenet(data)

    class Tench(Colours):
        def encode_texts(self, texts: Sequence[str]) -> Tensor:
            return torch.tensor([[1.0, 0, 0] if "tench" in text else [0, 1.0, "goldfish" not in text] for text in texts])

    evaluation = evaluate("imagenet", data / "val", data / "val", Tench(), QUICK)
    values = {(score.name, score.metric): score.value for score in evaluation.scores}
    assert values["000 tench", "top-1"] == 1
    # 998 classes are as far from red as goldfish: ties decide whether it is among the five.
    assert (values["001 goldfish", "top-1"], values["001 goldfish", "top-5"]) == (0, 0.5)
    assert values["mean of 2 classes", "top-1"] == values["all images", "top-1"] == 0.5
    assert evaluation.baselines["chance"]["all images", "top-5"] == 0.005


def test_imagenet_folders_are_wordnet_ids_numbers_or_names() -> None:
    ids = [f"n{number:08}" for number in range(1000)]
    assert imagenet._numbers(ids) == list(range(1000))
    assert imagenet._numbers(["1", "007", "999"]) == [1, 7, 999]
    assert imagenet._numbers(["goldfish", "Great_White_Shark"]) == [1, 2]
    with pytest.raises(BenchmarkError, match="'n00000001' is not a class"):
        imagenet._numbers(ids[1:])


def test_scenes_are_judged_by_their_rules(data: Path) -> None:
    examples.write_scenes(data)
    evaluation = run("scenes", data)
    values = {(score.name, score.metric): score.value for score in evaluation.scores}
    assert [values[name, "accuracy"] for name in ("swap-att", "half-truth", "single", "mean of 1 edits")] == [1, 1, 0, 1]
    assert [values["level", metric] for metric in ("text", "image", "group")] == [1, 1, 1]
    assert [values["retrieval", metric] for metric in ("i2t R@1", "t2i R@1")] == [1, 1]
    assert evaluation.baselines["chance"]["single", "accuracy"] == 1 / 4
    assert (
        evaluation.baselines["shorter"]["half-truth", "accuracy"] == 1
        and ("level", "text") not in evaluation.baselines["shorter"]
    )


def test_a_set_of_your_own(data: Path) -> None:
    examples.write_custom(data)
    assert scores(run("custom", data)) == {"colour": 0.5, "shape": 0.5, "mean of 2 groups": 0.5, "all items": 0.5}


def test_shuffles_keep_the_words_and_have_a_seed() -> None:
    caption = "Two small dogs and a red cat are sleeping on the big couch. " + "very " * 40
    shuffled = spoilt(caption, "7")
    assert shuffled == spoilt(caption, "7") != spoilt(caption, "8")
    assert len(shuffled) == len(set(shuffled)) == len(KINDS)
    caption_words = plain(caption).split()
    assert len(caption_words) == 30 and all(text == text.lower() and len(text.split()) == 30 for text in shuffled)
    nouns_moved = shuffled[0].split()
    assert nouns_moved[0] == "two" and Counter(nouns_moved) == Counter(caption_words)
    assert {nouns_moved[2], nouns_moved[6], nouns_moved[12]} == {"dogs", "cat", "couch"}
    assert [shuffled[1].split()[index] for index in (2, 6, 12)] == ["dogs", "cat", "couch"]
    assert spoilt("dog", "7") == []


GOOD = {"filename": "red.png", "caption": "red", "negative_caption": "blue"}


@pytest.mark.parametrize(
    ("name", "file", "text", "message"),
    [
        ("sugarcrepe", "other.json", "{}", "has none of replace_obj.json"),
        ("sugarcrepe", "add_att.json", "{", "add_att.json is not JSON: Expecting"),
        ("sugarcrepe", "add_att.json", "{}", "have no items"),
        ("sugarcrepe", "add_att.json", "3", "a list or an object of items"),
        ("sugarcrepe", "add_att.json", json.dumps({"4": {"filename": "red.png"}}), "item 4: there is no text 'caption'"),
        ("sugarcrepe", "add_att.json", json.dumps({"4": GOOD | {"filename": "../x.jpg"}}), "not the name of an image"),
        ("sugarcrepe", "add_att.json", json.dumps({"4": GOOD | {"filename": "x.jpg"}}), "none of 1 items"),
        ("valse", "plurals.json", json.dumps({"4": {"image_file": "a", "caption": "b", "foil": "c"}}), "mturk.caption"),
        ("vl_checklist", "Object/a.json", json.dumps([["red.png", {"POS": []}]]), "item 0: expected [image,"),
        (
            "aro",
            "visual_genome_relation.json",
            json.dumps([{"image_path": "a", "true_caption": "b", "false_caption": "c"}]),
            "bbox_x",
        ),
        ("custom", "a.csv", "image,right\nred.png,red", "has no column 'wrong'"),
        ("custom", "a.csv", "image,right,wrong\nred.png,red,", "line 2: wrong is empty"),
        ("custom", "a.csv", 'image,right,wrong\nred.png,"red,blue', "a.csv: line 2: unexpected end"),
        ("bivlc", "a.csv", "image,caption\nred.png,red", "has no column 'negative_image'"),
        ("retrieval", "coco_karpathy_test.json", json.dumps([{"image": "red.png", "caption": "red"}]), "a list of texts"),
        ("hard_positives", "data/a.json", "[]", "only one of data and swapped_data has a.json"),
        (
            "scenes",
            "items.json",
            json.dumps([{"key": "k", "group": "g", "rule": "best", "images": ["a"], "texts": ["b"]}]),
            "'best'",
        ),
        ("winoground", "examples.jsonl", '{"image_0": 3}', "there is no text 'image_0'"),
        ("winoground", "examples.jsonl", '{}\n{"image_0"', "examples.jsonl: line 2 is not JSON"),
        ("custom", "a.csv", "image,right,wrong\nred.png,a dog, too,a cat\n", "line 2 has 4 fields where the header has 3"),
        ("custom", "a.csv", "i\0m\0", "a.csv is UTF-16LE"),
        pytest.param("sugarcrepe", "add_att.json", "[" * 100_000, "add_att.json is not JSON", id="deep"),
    ],
)
def test_bad_files_give_one_clear_error(data: Path, name: str, file: str, text: str, message: str) -> None:
    (data / file).parent.mkdir(exist_ok=True)
    (data / file).write_text(text, encoding="utf-8")
    with pytest.raises(BenchmarkError) as caught:
        run(name, data)
    assert message in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.parametrize("mark", ["", "\ufeff"])
def test_files_are_read_with_a_byte_order_mark_and_with_line_separators_in_texts(data: Path, mark: str) -> None:
    """As ``dualset ingest`` reads them: U+2028 and its like are part of a text, and end no line."""
    text = "A red\u2028square.\x85"
    record = json.dumps({"text": text}, ensure_ascii=False)
    for name, content in (("a.jsonl", record + "\n\n" + record), ("a.json", f"[{record},\n{record}]")):
        (data / name).write_text(mark + content, encoding="utf-8")
        assert read_json(data / name) == [("0", {"text": text}), ("1", {"text": text})]
    (data / "a.csv").write_text(f"{mark}image,right,wrong\nred.png,{text},A blue one.\n", encoding="utf-8")
    assert read_csv(data / "a.csv", ["image", "right"]) == [("2", {"image": "red.png", "right": text, "wrong": "A blue one."})]


def test_aro_leaves_out_as_many_relations_as_published() -> None:
    assert len(aro.SYMMETRIC) == 157
    assert {"lying on top of", "on the side of", "sitting in front of", "near"} < aro.SYMMETRIC
    assert not {"holding", "riding", "to the left of", "on"} & aro.SYMMETRIC


def counts_of(name: str, images: Path) -> Counter[str]:
    return Counter(item.group for item in BENCHMARKS[name].load(BENCHMARK_FILES / name, images))


@pytest.mark.shared("data/benchmarks")
def test_the_real_files_have_as_many_items_as_published(tmp_path: Path) -> None:
    crepe = counts_of("sugarcrepe", tmp_path)
    assert [crepe[name] for name in sugarcrepe.SETS] == [1652, 788, 1406, 245, 666, 2062, 692]
    assert sum(crepe.values()) == 7511
    phenomena = counts_of("valse", tmp_path)
    assert [phenomena[name] for name in valse.PIECES] == [505, 851, 868, 900, 691, 535, 648, 949, 708, 104, 943]
    assert sum(counts_of("sugarcrepe_pp", tmp_path).values()) == 4757
    checklist = counts_of("vl_checklist", tmp_path)
    assert checklist["Attribute/vg/size"] == 2695 and not any("swig_place" in group for group in checklist)
    assert len({item.images for item in sugarcrepe.load(BENCHMARK_FILES / "sugarcrepe", tmp_path)}) == 1560
    karpathy = retrieval.load(BENCHMARK_FILES / "aro", tmp_path)
    assert len(karpathy) == 5000 and sum(len(item.texts) for item in karpathy) > 24_900


@pytest.mark.parametrize("name", ["sugarcrepe", "sugarcrepe_pp", "valse", "aro", "winoground", "bivlc", "imagenet"])
def test_published_numbers_belong_to_existing_rows(name: str) -> None:
    known = published(name)
    groups = {
        "valse": valse.PIECES,
        "aro": ("VG-Relation: holding", "VG-Attribution: a_b", "COCO-Order", "Flickr-Order"),
    }.get(name, getattr(BENCHMARKS[name], "SETS", ("a",)))
    rows = BENCHMARKS[name].aggregate(dict.fromkeys(groups, 25))
    assert set(known["columns"]) <= {average.name for average in rows} | {
        f"{average.name} / {average.metric}" for average in rows
    }
    assert all(len(values) == len(known["columns"]) for values in known["models"].values())
    assert known["source"]
