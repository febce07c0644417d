"""Each benchmark from a few lines in its real format, answered by a stand-in model that sees and reads colours."""

import csv
import json
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import benchmark_examples as examples
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from benchmark_examples import BENCHMARK_FILES, QUICK, Colours, put, row, run, scores, with_images
from torch import Tensor

from training.benchmarks import BENCHMARKS, BenchmarkError, aro, bivlc, hard_positives, imagenet, retrieval, sugarcrepe, valse
from training.benchmarks.shuffles import KINDS, plain, spoilt
from training.evaluate import evaluate, published


@pytest.fixture
def data(tmp_path: Path) -> Path:
    return with_images(tmp_path)


@pytest.fixture(scope="session")
def real() -> Path:
    if not BENCHMARK_FILES.is_dir():
        pytest.skip(f"the public benchmarks of {BENCHMARK_FILES} are not there")
    return BENCHMARK_FILES


def test_sugarcrepe(data: Path) -> None:
    examples.write_sugarcrepe(data)
    found = run("sugarcrepe", data)
    assert scores(found) == {"swap_obj": 0.5, "add_att": 1, "mean of 2 of 7 sets": 0.75, "all items": 0.625}
    swap = row(found, "swap_obj")
    assert (swap.n, swap.ties, swap.missing, swap.images, swap.strict) == (3, 1, 1, 2, pytest.approx(1 / 3))
    assert (found.items, found.scored, list(found.missing.values())) == (5, 4, ["missing_file"])
    assert found.absent == ["replace_obj.json", "replace_att.json", "replace_rel.json", "swap_att.json", "add_obj.json"]


def test_sugarcrepe_pp(data: Path) -> None:
    examples.write_sugarcrepe_pp(data)
    found = scores(run("sugarcrepe_pp", data))
    # Of the second item, "red red blue" is nearer to the first caption than the second is, and to the image than the second.
    assert {name: value for name, value in found.items() if name.startswith("all")} == {
        "all items / ITT": 0.5,
        "all items / TOT": 0.5,
        "all items / TOT, first caption": 0.5,
    }


def test_valse_keeps_what_two_annotators_confirm_and_has_both_averages(data: Path) -> None:
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
    found = run("aro", data)
    shown = {score.name: score.value for score in found.scores if not score.detail}
    assert shown == {
        "VG-Relation: mean over asymmetric relations": 0.75,  # holding 1, eating 0.5; near is symmetric
        "VG-Relation: all items": 0.5,
        "VG-Attribution: mean over pairs with 25 items": 1,  # 24 are too few
        "VG-Attribution: all items": 25 / 49,
        "COCO-Order": 0.5,  # the words are the same in any order, and to this model that is all
    }
    assert row(found, "VG-Relation: eating").value == 0.5
    assert row(found, "COCO-Order").n == 1  # one word has no order


def test_winoground(data: Path) -> None:
    examples.write_winoground(data)
    found = scores(run("winoground", data))
    assert [found[f"Object / {metric}"] for metric in ("text", "image", "group")] == [1, 1, 1]
    # Both captions say "red": a tie for the text, and the second image is never the nearer one.
    assert [found[f"Relation / {metric}"] for metric in ("text", "image", "group")] == [0.5, 0, 0]


def test_bivlc(data: Path) -> None:
    examples.write_bivlc(data)
    found = scores(run("bivlc", data))
    assert [found[f"swap_att / {metric}"] for metric in bivlc.METRICS] == [1, 1, 1]
    assert [found[f"add_obj / {metric}"] for metric in bivlc.METRICS] == [0, 0, 0]
    assert found["all items / group"] == 0.5


def test_bivlc_as_it_is_distributed_is_unpacked_to_files(data: Path) -> None:
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
    again = evaluate("bivlc", data / "unpacked", data / "unpacked", Colours(), QUICK)
    assert scores(again) == scores(run("bivlc", data))


def test_hard_positives(data: Path) -> None:
    examples.write_hard_positives(data)
    assert hard_positives.load(data, data / "images")[0].texts == ("red ball", "red sphere", "blue ball")
    found = run("hard_positives", data)
    # The second: "red" is above "red blue", and that above "sphere", which names no colour.
    assert {score.metric: score.value for score in found.scores if score.name == "all items"} == {
        "original": 1,
        "augmented": 0.5,
        "brittle": 0.5,
    }


def test_retrieval_both_ways(data: Path) -> None:
    examples.write_retrieval(data)
    found = run("retrieval", data)
    values = {score.metric: (score.value, score.n, score.ties) for score in found.scores}
    assert values["i2t R@1"] == (2 / 3, 3, 0)  # nothing but "blue", of the green image, is like the blue one
    assert values["i2t R@5"] == (1, 3, 0)
    assert values["t2i R@1"] == ((3 + 0.5) / 5, 5, 1)  # "a ball" is as near to all
    images, texts = np.eye(3), np.array([[1, 0, 0], [1, 0, 0], [0, 1, 0], [0, 0, 1], [0, 0, 0]])
    assert found.figures["modality gap"] == pytest.approx(np.linalg.norm(images.mean(axis=0) - texts.mean(axis=0)))


def test_retrieval_reads_karpathys_own_file(data: Path) -> None:
    def entry(name: str, split: str) -> dict[str, Any]:
        return {"filename": name, "split": split, "sentences": [{"raw": f"a {name.partition('.')[0]} ball"}]}

    put(
        data / "dataset_flickr30k.json",
        {"dataset": "flickr30k", "images": [entry("red.png", "test"), entry("blue.png", "train")]},
    )
    assert [(item.key, item.texts) for item in retrieval.load(data, data / "images")] == [("red.png", ("a red ball",))]
    assert [item.key for item in retrieval.load(data, data / "images", split="train")] == ["blue.png"]


def test_imagenet_is_a_question_among_all_thousand_classes(data: Path) -> None:
    examples.write_imagenet(data)

    class Tench(Colours):
        def encode_texts(self, texts: Sequence[str]) -> Tensor:
            return torch.tensor([[1.0, 0, 0] if "tench" in text else [0, 1.0, "goldfish" not in text] for text in texts])

    found = evaluate("imagenet", data / "val", data / "val", Tench(), QUICK)
    values = {(score.name, score.metric): score.value for score in found.scores}
    assert values["000 tench", "top-1"] == 1
    # 998 classes are as far from red as goldfish is: whether it is among the five depends on ties.
    assert (values["001 goldfish", "top-1"], values["001 goldfish", "top-5"]) == (0, 0.5)
    assert values["mean of 2 classes", "top-1"] == values["all images", "top-1"] == 0.5
    assert found.baselines["chance"]["all images", "top-5"] == 0.005


def test_imagenet_folders_are_wordnet_ids_numbers_or_names() -> None:
    ids = [f"n{number:08}" for number in range(1000)]
    assert imagenet._numbers(ids) == list(range(1000))
    assert imagenet._numbers(["1", "007", "999"]) == [1, 7, 999]
    assert imagenet._numbers(["goldfish", "Great_White_Shark"]) == [1, 2]
    with pytest.raises(BenchmarkError, match="'n00000001' is no class"):
        imagenet._numbers(ids[1:])


def test_scenes_are_judged_by_their_rules(data: Path) -> None:
    examples.write_scenes(data)
    found = run("scenes", data)
    values = {(score.name, score.metric): score.value for score in found.scores}
    assert [values[name, "accuracy"] for name in ("swap-att", "half-truth", "single", "mean of 1 edits")] == [1, 1, 0, 1]
    assert [values["level", metric] for metric in ("text", "image", "group")] == [1, 1, 1]
    assert [values["retrieval", metric] for metric in ("i2t R@1", "t2i R@1")] == [1, 1]
    assert found.baselines["chance"]["single", "accuracy"] == 1 / 4
    assert found.baselines["shorter"]["half-truth", "accuracy"] == 1 and ("level", "text") not in found.baselines["shorter"]


def test_a_set_of_your_own(data: Path) -> None:
    examples.write_custom(data)
    assert scores(run("custom", data)) == {"colour": 0.5, "shape": 0.5, "mean of 2 groups": 0.5, "all items": 0.5}


def test_shuffles_keep_the_words_and_have_a_seed() -> None:
    caption = "Two small dogs and a red cat are sleeping on the big couch. " + "very " * 40
    found = spoilt(caption, "7")
    assert found == spoilt(caption, "7") != spoilt(caption, "8")
    assert len(found) == len(set(found)) == len(KINDS)
    words = plain(caption).split()
    assert len(words) == 30 and all(text == text.lower() and len(text.split()) == 30 for text in found)
    nouns_moved = found[0].split()
    assert nouns_moved[0] == "two" and Counter(nouns_moved) == Counter(words)
    assert {nouns_moved[2], nouns_moved[6], nouns_moved[12]} == {"dogs", "cat", "couch"}
    assert [found[1].split()[place] for place in (2, 6, 12)] == ["dogs", "cat", "couch"]
    assert spoilt("dog", "7") == []


GOOD = {"filename": "red.png", "caption": "red", "negative_caption": "blue"}


@pytest.mark.parametrize(
    ("name", "file", "text", "said"),
    [
        ("sugarcrepe", "other.json", "{}", "has none of replace_obj.json"),
        ("sugarcrepe", "add_att.json", "{", "add_att.json: Expecting"),
        ("sugarcrepe", "add_att.json", "{}", "have no item"),
        ("sugarcrepe", "add_att.json", "3", "a list or an object of items"),
        ("sugarcrepe", "add_att.json", json.dumps({"4": {"filename": "red.png"}}), "item 4: there is no text 'caption'"),
        ("sugarcrepe", "add_att.json", json.dumps({"4": GOOD | {"filename": "../x.jpg"}}), "no name of an image"),
        ("sugarcrepe", "add_att.json", json.dumps({"4": GOOD | {"filename": "x.jpg"}}), "not one of 1 items"),
        ("valse", "plurals.json", json.dumps({"4": {"image_file": "a", "caption": "b", "foil": "c"}}), "mturk.caption"),
        ("vl_checklist", "Object/a.json", json.dumps([["red.png", {"POS": []}]]), "item 0: [image,"),
        (
            "aro",
            "visual_genome_relation.json",
            json.dumps([{"image_path": "a", "true_caption": "b", "false_caption": "c"}]),
            "bbox_x",
        ),
        ("custom", "a.csv", "image,right\nred.png,red", "has no column wrong"),
        ("custom", "a.csv", "image,right,wrong\nred.png,red,", "line 2: wrong is empty"),
        ("custom", "a.csv", 'image,right,wrong\nred.png,"red,blue', "a.csv: unexpected end"),
        ("bivlc", "a.csv", "image,caption\nred.png,red", "has no column negative_image"),
        ("retrieval", "coco_karpathy_test.json", json.dumps([{"image": "red.png", "caption": "red"}]), "a list of texts"),
        ("hard_positives", "data/a.json", "[]", "only one of data and swapped_data has a.json"),
        (
            "scenes",
            "items.json",
            json.dumps([{"key": "k", "group": "g", "rule": "best", "images": ["a"], "texts": ["b"]}]),
            "'best'",
        ),
        ("winoground", "examples.jsonl", '{"image_0": 3}', "there is no text 'image_0'"),
    ],
)
def test_bad_files_give_one_clear_error(data: Path, name: str, file: str, text: str, said: str) -> None:
    (data / file).parent.mkdir(exist_ok=True)
    (data / file).write_text(text, encoding="utf-8")
    with pytest.raises(BenchmarkError) as caught:
        run(name, data)
    assert said in str(caught.value) and "\n" not in str(caught.value)


def test_aro_leaves_out_as_many_relations_as_published() -> None:
    assert len(aro.SYMMETRIC) == 157
    assert {"lying on top of", "on the side of", "sitting in front of", "near"} < aro.SYMMETRIC
    assert not {"holding", "riding", "to the left of", "on"} & aro.SYMMETRIC


def counts_of(name: str, real: Path, images: Path) -> Counter[str]:
    return Counter(item.group for item in BENCHMARKS[name].load(real / name, images))


def test_the_real_files_have_as_many_items_as_published(real: Path, tmp_path: Path) -> None:
    crepe = counts_of("sugarcrepe", real, tmp_path)
    assert [crepe[name] for name in sugarcrepe.SETS] == [1652, 788, 1406, 245, 666, 2062, 692]
    assert sum(crepe.values()) == 7511
    phenomena = counts_of("valse", real, tmp_path)
    assert [phenomena[name] for name in valse.PIECES] == [505, 851, 868, 900, 691, 535, 648, 949, 708, 104, 943]
    assert sum(counts_of("sugarcrepe_pp", real, tmp_path).values()) == 4757
    checklist = counts_of("vl_checklist", real, tmp_path)
    assert checklist["Attribute/vg/size"] == 2695 and not any("swig_place" in group for group in checklist)
    assert len({item.images for item in sugarcrepe.load(real / "sugarcrepe", tmp_path)}) == 1560
    karpathy = retrieval.load(real / "aro", tmp_path)
    assert len(karpathy) == 5000 and sum(len(item.texts) for item in karpathy) > 24_900


@pytest.mark.parametrize("name", ["sugarcrepe", "sugarcrepe_pp", "valse", "aro", "winoground", "bivlc", "imagenet"])
def test_published_numbers_are_of_rows_that_there_are(name: str) -> None:
    known = published(name)
    groups = {
        "valse": valse.PIECES,
        "aro": ("VG-Relation: holding", "VG-Attribution: a_b", "COCO-Order", "Flickr-Order"),
    }.get(name, getattr(BENCHMARKS[name], "SETS", ("a",)))
    rows = BENCHMARKS[name].aggregate(dict.fromkeys(groups, 25))
    assert set(known["columns"]) <= {one.name for one in rows} | {f"{one.name} / {one.metric}" for one in rows}
    assert all(len(values) == len(known["columns"]) for values in known["models"].values())
    assert known["source"]
