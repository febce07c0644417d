"""Flickr30k Entities: phrases with boxes become annotations, in both of its formats; a damaged file is one clear error."""

import json
from pathlib import Path
from typing import Any

import pytest
from pyspark.sql import SparkSession

from jobs.sources import SourceError, records
from jobs.sources.flickr30k_entities import parse, parse_originals
from jobs.sources.notes import Notes
from jobs.sources.record import Origin
from tests.support.marked import sentence
from tests.support.originals import SHARED
from tests.support.source_files import Row, captions_of, collect, error_of, images_folder  # noqa: F401  fixture

ENTITIES = SHARED / "data" / "flickr8k" / "entities.jsonl"
THINGS: dict[str, Row] = {
    "1": {"type": "people", "boxes": [[1, 1, 3, 5]]},
    "2": {"type": "animals", "boxes": [[4, 2, 6.5, 5], [0, 0, 2, 2]]},
    "3": {"type": "clothing", "boxes": [[1, 3, 3, 4]]},
    "4": {"type": "scene", "boxes": [], "nobox": False, "scene": True},
    "5": {"type": "animals", "boxes": [[4, 2, 6.5, 5]]},  # one of the two
    "6": {"type": "people", "boxes": [[0, 0, 8, 6]]},
}
SENTENCES = [
    "[1 A girl] in [3 a pink dress] and [2 two dogs] in [4 a park] .",
    "[1 The kid] watches [5 one dog] .",
    "[6 Some people] wait .",
]


def line(name: str = "a.png", sentences: list[str] = SENTENCES, **changes: Any) -> Row:
    """A line of the JSON lines, from sentences in which each phrase stands in brackets after its id."""
    return {
        "file": name,
        "split": "train",
        "orig_size": [8, 6],
        "entities": THINGS,
        "sentences": [sentence(marked) for marked in sentences],
    } | changes


def jsonl(path: Path, *lines: Row) -> str:
    path.write_text("".join(json.dumps(row) + "\n" for row in lines))
    return str(path)


def boxes_of(row: Row) -> list[tuple[str, tuple[float, ...], bool]]:
    assert all(annotation["mask"] is None for annotation in row["annotations"])
    return [(a["label"], tuple(a["box"].values()), a["crowd"]) for a in row["annotations"]]


EXPECTED = [
    ("person", (1, 1, 2, 4), False),
    ("dog", (4, 2, 2.5, 3), False),  # of two chains, once
    ("dog", (0, 0, 2, 2), False),
    ("clothing: dress", (1, 3, 2, 1), False),
    ("person", (0, 0, 8, 6), True),  # more than one person, in one box
]


def said_of(row: Row) -> list[list[str]]:
    """The phrases that refer to each annotation, cut out of the captions."""
    texts = {caption["caption_id"]: caption["caption"] for caption in row["captions"]}
    return [[texts[p["caption_id"]][p["start"] : p["end"]] for p in a["phrases"]] for a in row["annotations"]]


SAID = [["A girl", "The kid"], ["two dogs", "one dog"], ["two dogs"], ["a pink dress"], ["Some people"]]


def test_json_lines(spark: SparkSession, images: Path, tmp_path: Path) -> None:
    file = jsonl(
        tmp_path / "entities.jsonl",
        line(),
        line("b.png", [], entities={}),
        line("../x.png"),
        line("c [1].png", ["No phrase ."], entities={}),
    )
    notes = Notes(spark)
    table = collect(records(spark, "flickr30k_entities", {"images": str(images), "entities": file}, notes=notes))
    assert {key: row["status"] for key, row in table.items()} == {
        "a.png": "ok",
        "b.png": "no_caption",
        "../x.png": "unsafe_path",
        "c [1].png": "ok",
    }
    a = table["a.png"]
    assert captions_of(a) == [
        ("0", "A girl in a pink dress and two dogs in a park .", "ok"),
        ("1", "The kid watches one dog .", "ok"),
        ("2", "Some people wait .", "ok"),
    ]
    assert boxes_of(a) == EXPECTED
    assert said_of(a) == SAID
    assert a["split"] == "train" and a["locator"]["path"] == str(images / "a.png")
    assert table["c [1].png"]["annotations"] == []
    assert sorted(told.partition(" ")[2] for told in notes.lines()) == [
        "boxes have phrases for which the lexicon has no class; their label is the kind and the head, such as clothing: dress",
        "groups of phrases have no box, and became no annotation, such as scene",
    ]


def write_originals(folder: Path, name: str = "a") -> tuple[str, str]:
    """Both folders of the original, with what ``line`` has."""
    kinds = {own_id: thing["type"] for own_id, thing in THINGS.items()}
    sentences = SENTENCES
    for own_id, kind in kinds.items():
        sentences = [text.replace(f"[{own_id} ", f"[/EN#{own_id}/{kind}{'/other' * (own_id == '3')} ") for text in sentences]
    objects = ["<filename>a.png</filename><size><width>8</width><height>6</height></size>"]
    shared = {(4, 2, 6.5, 5): ["2", "5"]}  # the original lists all chains of a box
    for own_id, thing in THINGS.items():
        for box in thing["boxes"]:
            names = shared.get(tuple(box), [own_id])
            if names[0] == own_id:
                sides = dict(zip(("xmin", "ymin", "xmax", "ymax"), (box[0] + 1, box[1] + 1, box[2], box[3]), strict=True))
                bounds = "".join(f"<{side}>{value}</{side}>" for side, value in sides.items())
                objects.append(f"<object>{''.join(f'<name>{n}</name>' for n in names)}<bndbox>{bounds}</bndbox></object>")
        if not thing["boxes"]:
            objects.append(f"<object><name>{own_id}</name><scene>1</scene><nobox>0</nobox></object>")
    for kind, suffix, text in (
        ("Sentences", "txt", "\n".join(sentences) + "\n"),
        ("Annotations", "xml", f"<annotation>{''.join(objects)}</annotation>"),
    ):
        (folder / kind).mkdir(exist_ok=True)
        (folder / kind / f"{name}.{suffix}").write_text(text)
    return str(folder / "Sentences"), str(folder / "Annotations")


def test_the_original_folders(spark: SparkSession, images: Path, tmp_path: Path) -> None:
    sentences, boxes = write_originals(tmp_path)
    (tmp_path / "Sentences" / "alone.txt").write_text("[/EN#0/notvisual It] rains .\n")
    (tmp_path / "Annotations" / "other.xml").write_text("<annotation/>")
    notes = Notes(spark)
    options = {"images": str(images), "sentences": sentences, "boxes": boxes}
    table = collect(records(spark, "flickr30k_entities", options, notes=notes))
    assert sorted(boxes_of(table["a.png"])) == sorted(EXPECTED)
    assert sorted(said_of(table["a.png"])) == sorted(SAID)
    assert captions_of(table["a.png"])[0] == ("0", "A girl in a pink dress and two dogs in a park .", "ok")
    alone = table["alone.jpg"]
    assert (captions_of(alone), alone["annotations"]) == ([("0", "It rains .", "ok")], None)
    assert [told for told in notes.lines() if "files" in told] == [
        "1 files of boxes have no file of sentences, and were not read, such as other.xml",
        "1 files of sentences have no file of boxes; their records have no annotations, such as alone.txt",
    ]


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({}, "needs either entities, or both sentences and boxes"),
        ({"sentences": "."}, "needs either entities, or both sentences and boxes"),
        ({"entities": "x.jsonl", "sentences": ".", "boxes": "."}, "needs either entities, or both sentences and boxes"),
        ({"entities": "/no/file.jsonl"}, "the entities file /no/file.jsonl does not exist"),
        ({"sentences": "/no/s", "boxes": "/no/b"}, "the folder of the sentences, /no/s does not exist"),
    ],
)
def test_what_is_given_is_one_of_the_formats(spark: SparkSession, images: Path, given: dict[str, str], expected: str) -> None:
    assert expected in error_of(lambda: records(spark, "flickr30k_entities", {"images": str(images), **given}))


def with_phrase(**changes: Any) -> Row:
    return {"sentences": [{"text": "A dog .", "phrases": [{"start": 0, "end": 5, "id": "1"} | changes]}]}


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"file": None}, "'file' must be str, not NoneType"),
        ({"entities": []}, "'entities' must be dict, not list"),
        ({"entities": {"1": {}}}, "entity '1' has no 'boxes'"),
        ({"entities": {"1": {"boxes": [[0, 0, 1]]}}}, "a box must be four numbers"),
        ({"entities": {"1": {"boxes": [[0, 0, 1, "1"]]}}}, "a box must be four numbers"),
        ({"entities": {"1": {"boxes": [[0, 0, 1, float("nan")]]}}}, "a box must be four numbers"),
        ({"entities": {"1": {"boxes": [[0, 0, 10**400, 1]]}}}, "a box must be four numbers"),
        ({"entities": {"1": {"boxes": [[3, 0, 3, 1]]}}}, "a box from 3, 0 to 3, 1 has no inside"),
        ({"entities": {"1": {"boxes": [[0, 0, 1, 1]] * 2001}}}, "2001 boxes are impossible"),
        (
            {
                "entities": {"1": {"boxes": [[0, 0, 1, 1]] * 200}},
                "sentences": [{"text": "x" * 101, "phrases": [{"start": i, "end": i + 1, "id": "1"} for i in range(101)]}],
            },
            "20200 phrases of boxes are impossible",
        ),
        (
            {"sentences": [{"text": "x" * 2000, "phrases": [{"start": 0, "end": 1500, "id": 1}]}]},
            "characters in a phrase are impossible",
        ),
        (with_phrase(end=8), "a phrase from 0 to 8 is not inside its 7 characters"),
        (with_phrase(start=-1), "a phrase from -1 to 5 is not inside"),
        (with_phrase(start=True), "'start' must be int"),
        (with_phrase(id=None), "'id' must be str or int"),
    ],
)
def test_a_damaged_line_is_one_clear_error(tmp_path: Path, change: Row, expected: str) -> None:
    file = jsonl(tmp_path / "entities.jsonl", line(), line("b.png") | change)
    with pytest.raises(SourceError) as caught:
        list(parse(file, "/images", Origin("s")))
    assert str(caught.value).startswith(f"{file}: line 2") and expected in str(caught.value)


def test_a_line_without_end_is_refused_before_all_of_it_is_read(tmp_path: Path) -> None:
    (tmp_path / "long.jsonl").write_text('{"file": "' + "a" * 4_100_000)
    with pytest.raises(SourceError, match="line 1 is longer than 4,000,000 characters"):
        list(parse(str(tmp_path / "long.jsonl"), "/images", Origin("s")))


@pytest.mark.parametrize(
    ("name", "text", "expected"),
    [
        ("Sentences/a.txt", "[/EN#1/people A man waits .\n", "line 1 has a bracket that is no"),
        ("Sentences/a.txt", "fine .\n[/EN# A man] waits .\n", "line 2 has a bracket that is no"),
        ("Annotations/a.xml", "<annotation><object>", "is not XML"),
        ("Annotations/a.xml", "", "is not XML"),
        ("Annotations/a.xml", '<!DOCTYPE a [<!ENTITY b "c">]><annotation/>', "declares a document type"),
        ("Annotations/a.xml", "<annotation><object><nobox>1</nobox></object></annotation>", "object 0 has no 'name'"),
        (
            "Annotations/a.xml",
            "<annotation><object><name>1</name><bndbox><xmin>1</xmin></bndbox></object></annotation>",
            "'bndbox' must have four numbers",
        ),
    ],
)
def test_a_damaged_original_is_one_clear_error(tmp_path: Path, name: str, text: str, expected: str) -> None:
    sentences, boxes = write_originals(tmp_path)
    (tmp_path / name).write_text(text)
    with pytest.raises(SourceError) as caught:
        list(parse_originals([("a", True)], sentences, boxes, "/images", Origin("s")))
    assert str(caught.value).startswith(str(tmp_path / name)) and expected in str(caught.value)


def test_the_lexicon_of_the_root_names_the_labels(tmp_path: Path) -> None:
    file = jsonl(tmp_path / "entities.jsonl", line())
    [row] = parse(file, "/images", Origin("s", lexicon="garments"))
    # No person is a class of garments, so people keep their kind.
    assert {label for label, _, _ in boxes_of(row)} == {
        "people: girl",
        "animals: dogs",
        "animals: dog",
        "dress",
        "people: people",
    }


@pytest.mark.shared("data/flickr8k")
def test_real_lines_are_read(tmp_path: Path) -> None:
    file = tmp_path / "entities.jsonl"
    with ENTITIES.open(encoding="utf-8") as lines:
        file.write_text("".join(text for _, text in zip(range(100), lines, strict=False)))
    rows = list(parse(str(file), str(SHARED / "data" / "flickr8k"), Origin("s")))
    labels = [annotation["label"] for row in rows for annotation in row["annotations"]]
    assert len(rows) == 100 and all(len(row["captions"]) == 5 for row in rows)
    trees = [json.loads(text) for text in file.read_text().splitlines()]
    boxes = sum(len({tuple(box) for thing in tree["entities"].values() for box in thing["boxes"]}) for tree in trees)
    assert len(labels) >= boxes, "no box is lost"
    assert {"person", "dog"} <= set(labels)
