"""Shared by the benchmark tests: a few lines of each benchmark's files in their real format, and models that see colours."""

import csv
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from tests.support.originals import SHARED
from training.benchmarks.averages import Score
from training.benchmarks.evaluate import Evaluation, Options, evaluate

RGB = {"red": (255, 0, 0), "green": (0, 255, 0), "blue": (0, 0, 255)}
BENCHMARK_FILES = SHARED / "data" / "benchmarks"
QUICK = Options(draws=100, workers=2, batch_size=2)


class Colours:
    """Stands in for a model: an image is its mean colour, a text the colours that it names."""

    name, version = "colours", "0"

    def prepare(self, rgb: np.ndarray) -> Tensor:
        return torch.from_numpy(rgb.reshape(-1, 3).mean(axis=0) / 255)

    def encode_images(self, pixels: Tensor) -> Tensor:
        return pixels

    def encode_texts(self, texts: Sequence[str]) -> Tensor:
        return torch.tensor([[float(text.lower().replace(",", "").split().count(colour)) for colour in RGB] for text in texts])


class Constant(Colours):
    """Stands in for a model that has collapsed: all images and texts are the same."""

    def encode_images(self, pixels: Tensor) -> Tensor:
        return torch.full((len(pixels), 512), 0.37)

    def encode_texts(self, texts: Sequence[str]) -> Tensor:
        return torch.full((len(texts), 512), 0.37)


def with_images(folder: Path) -> Path:
    """red.png, green.png and blue.png in a folder of images, and nothing else."""
    (folder / "images").mkdir()
    for colour, value in RGB.items():
        Image.new("RGB", (16, 16), value).save(folder / "images" / f"{colour}.png")
    return folder


def put(path: Path, tree: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(tree), encoding="utf-8")


def run(name: str, data: Path, model: Any = None, **options: str) -> Evaluation:
    return evaluate(name, data, data / "images", model or Colours(), QUICK, **options)


def scores(evaluation: Evaluation) -> dict[str, float]:
    """Values by row and metric; the metric is omitted where there is only one."""
    several = len({score.metric for score in evaluation.scores}) > 1
    return {f"{score.name} / {score.metric}" if several else score.name: score.value for score in evaluation.scores}


def row(evaluation: Evaluation, name: str) -> Score:
    return next(score for score in evaluation.scores if score.name == name)


# Each function writes a benchmark that ``Colours`` answers in a known way.


def write_sugarcrepe(data: Path) -> None:
    right = {"filename": "red.png", "caption": "a red ball", "negative_caption": "a green ball"}
    wrong = {"filename": "blue.png", "caption": "a red ball", "negative_caption": "a blue ball"}
    tie = {"filename": "red.png", "caption": "a ball", "negative_caption": "a cube"}
    missing = right | {"filename": "gone.png"}
    put(data / "swap_obj.json", {"0": right, "2": wrong, "3": tie, "9": missing})  # ids may have gaps
    put(data / "add_att.json", {"0": right})


def write_sugarcrepe_pp(data: Path) -> None:
    def item(*texts: str) -> dict[str, Any]:
        return {"id": 0, "filename": "red.png"} | dict(zip(("caption", "caption2", "negative_caption"), texts, strict=True))

    both_win = item("a red ball", "ball , red", "a green ball")
    second_loses = item("a red ball", "a blue ball", "red red blue")
    put(data / "replace_att.json", [both_win, second_loses])


def write_valse(data: Path) -> None:
    def item(image: str, votes: int) -> dict[str, Any]:
        texts = {"caption": "a red ball", "foil": "a green ball", "mturk": {"caption": votes, "foil": 3 - votes, "other": 0}}
        return texts | {"image_file": image, "linguistic_phenomena": "x"}

    put(data / "existence.json", {"a": item("red.png", 3), "b": item("red.png", 1)})  # two of three must agree
    put(data / "counting-hard.json", {"a": item("green.png", 2)})
    put(data / "counting-small-quant.json", {"a": item("red.png", 2), "b": item("green.png", 2)})


def write_vl_checklist(data: Path) -> None:
    def item(image: str, right: list[str], wrong: list[str]) -> list[Any]:
        return [image, {"POS": right, "NEG": wrong}]

    good, bad = item("red.png", ["a red ball"], ["a green ball"]), item("blue.png", ["a red ball"], ["a blue ball"])
    three = item("red.png", ["a red ball", "a green ball", "ball"], ["a green ball", "a red ball", "red red"])
    put(data / "Object" / "Size" / "swig_place_large.json", [])
    put(data / "Object" / "Size" / "swig_agent_small.json", [three])
    put(data / "Object" / "Location" / "vg_obj_mid.json", [good, bad])
    put(data / "Attribute" / "vg" / "color.json", [bad])


def write_aro(data: Path) -> None:
    Image.fromarray(np.concatenate([np.full((16, 16, 3), RGB[c], np.uint8) for c in ("red", "blue")], axis=1)).save(
        data / "images" / "both.png"
    )

    def item(left: int, **details: Any) -> dict[str, Any]:
        box = {"bbox_x": left, "bbox_y": 0, "bbox_w": 16, "bbox_h": 16}
        return {"image_path": "both.png", "true_caption": "a red ball", "false_caption": "a blue ball"} | box | details

    relations = [item(0, relation_name="holding"), item(0, relation_name="eating"), item(16, relation_name="eating")]
    put(data / "visual_genome_relation.json", [*relations, item(16, relation_name="near")])
    attributes = [item(0, attributes=["old", "red"])] * 25 + [item(16, attributes=["new", "red"])] * 24
    put(data / "visual_genome_attribution.json", attributes)
    put(
        data / "coco_karpathy_test.json",
        [{"image": "val2014/red.png", "caption": ["A small red dog sits on a big chair.", "dog"]}],
    )


def write_winoground(data: Path) -> None:
    right = {"image_0": "red", "image_1": "green", "caption_0": "red ball", "caption_1": "green ball", "collapsed_tag": "Object"}
    blind_to_text = right | {"image_1": "blue", "caption_0": "red ball", "caption_1": "red cube", "collapsed_tag": "Relation"}
    lines = [json.dumps({"id": number} | record) for number, record in enumerate([right, blind_to_text])]
    (data / "examples.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")


def write_bivlc(data: Path) -> None:
    right = {"image": "red.png", "caption": "red ball", "negative_image": "green.png", "negative_caption": "green ball"}
    swapped = right | {"image": "green.png", "negative_image": "red.png"}
    kinds = [{"type": "swap", "subtype": "att"}, {"type": "add", "subtype": "obj"}]
    with open(data / "bivlc.csv", "w", encoding="utf-8", newline="") as stream:
        table = csv.DictWriter(stream, [*right, "type", "subtype"])
        table.writeheader()
        table.writerows([right | kinds[0], swapped | kinds[1]])


def write_hard_positives(data: Path) -> None:
    def item(right: str, wrong: str) -> dict[str, str]:
        return {"image_id": "1", "image_path": "data/VG_100K/red.png", "true_caption": right, "false_caption": wrong}

    put(data / "data" / "vl_checklist_attributes.json", [item("red ball", "blue ball"), item("red ball", "red blue ball")])
    put(
        data / "swapped_data" / "vl_checklist_attributes.json", [item("red sphere", "blue ball"), item("sphere", "red blue ball")]
    )


def write_retrieval(data: Path) -> None:
    listed = {"red.png": ["a red ball", "red"], "green.png": ["a green ball", "blue"], "blue.png": ["a ball"]}
    put(data / "coco_karpathy_test.json", [{"image": name, "caption": captions} for name, captions in listed.items()])


def write_imagenet(data: Path) -> None:
    for name in ("tench", "goldfish"):
        (data / "val" / name).mkdir(parents=True)
        Image.new("RGB", (16, 16), RGB["red"]).save(data / "val" / name / "a.JPEG")


def write_scenes(data: Path) -> None:
    def item(group: str, rule: str, images: list[str], *texts: str) -> dict[str, Any]:
        return {"key": f"{group}_0", "group": group, "rule": rule, "images": [f"{image}.png" for image in images], "texts": texts}

    choices = [
        item("swap-att", "first", ["red"], "a red cup", "a blue cup"),
        item("half-truth", "order", ["red"], "a red cup", "a red cup and a blue vase"),
        item("single", "first", ["red"], "a blue cup", "a red cup", "a green cup", "cup"),
    ]
    pairs = [item("level", "pairs", ["red", "green"], "a red cup", "a green cup")]
    ranked = [item("retrieval", "retrieval", [colour], f"a {colour} cup") | {"key": colour} for colour in ("red", "green")]
    put(data / "items.json", [*choices, *pairs, *ranked])


def write_custom(data: Path) -> None:
    lines = [
        "image,right,wrong,group",
        'red.png,"a red, round ball",a blue ball,colour',
        "blue.png,red,blue,colour",
        "red.png,ball,cube,shape",
    ]
    (data / "mine.csv").write_text("\n".join(lines), encoding="utf-8")


PAIRED: dict[str, Callable[[Path], None]] = {
    "sugarcrepe": write_sugarcrepe,
    "sugarcrepe_pp": write_sugarcrepe_pp,
    "valse": write_valse,
    "vl_checklist": write_vl_checklist,
    "aro": write_aro,
    "winoground": write_winoground,
    "bivlc": write_bivlc,
    "hard_positives": write_hard_positives,
    "retrieval": write_retrieval,
    "scenes": write_scenes,
    "custom": write_custom,
}
