"""``dualset lexicon``: the words of another detector's classes, and what captions name that a lexicon lacks."""

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import typer
import yaml

from jobs.console import log
from udfs.errors import DualsetError
from udfs.text_files import json_lines, load_json, open_lines, table_rows

lexicon_app = typer.Typer(no_args_is_help=True, help="Make a lexicon for the classes of a detector, and check one on captions.")


class ClassesError(DualsetError, ValueError):
    """The classes, or the captions, cannot be read from what was given."""


@lexicon_app.command("make")
def make_command(
    classes: Annotated[str, typer.Option(help="a class a line; data.yaml of a YOLO; or JSON with categories as COCO's")] = "",
    weights: Annotated[str, typer.Option(help="weights of a YOLO, whose class names are taken")] = "",
    output: Annotated[str, typer.Option(help="YAML file to write; empty: print it")] = "",
) -> None:
    """Write a lexicon to read through: each class with its words, what COCO's lexicon knows of it, plurals, doubtful words."""
    from udfs.captions.make_lexicon import make

    if bool(classes) == bool(weights):
        raise ClassesError("give either --classes or --weights")
    text = make(names_of_weights(weights) if weights else names_of_file(Path(classes)))
    if not output:
        sys.stdout.write(text)
        return
    Path(output).write_text(text, encoding="utf-8")
    log(f"{output}    next: dualset lexicon check --captions FILE --lexicon {output}")


@lexicon_app.command("check")
def check_command(
    captions: Annotated[str, typer.Option(help="a caption a line; .csv, .tsv, .jsonl with a column caption; COCO's .json")],
    lexicon: Annotated[str, typer.Option(help="a scene domain or a YAML file; empty: COCO's")] = "",
    limit: Annotated[int, typer.Option(min=1, help="nouns to print")] = 50,
) -> None:
    """Print the nouns that name no class, most frequent first: in how many captions, how the lexicon reads it, an example."""
    from udfs.captions.make_lexicon import lacking
    from udfs.captions.vocabulary import using

    with using(lexicon):
        found = lacking(captions_of_file(Path(captions)))
    for item in found[:limit]:
        reading = "names nothing" if item.known else "may be anything"
        log(f"{item.captions:7}  {item.noun:20} {reading:16} {item.example[:100]}")
    if len(found) > limit:
        log(f"and {len(found) - limit} more")


def names_of_file(path: Path) -> list[str]:
    """The class names of a file.

    Raises:
        ClassesError: it cannot be read, or has no names where its format has them.
    """
    try:
        if path.suffix == ".json":
            entries = load_json(path.read_bytes(), str(path))["categories"]
            names: Any = [entry["name"] for entry in sorted(entries, key=lambda entry: entry.get("id", 0))]
        elif path.suffix in (".yaml", ".yml"):
            names = yaml.safe_load(path.read_text(encoding="utf-8"))["names"]
            names = [names[number] for number in sorted(names)] if isinstance(names, dict) else names
        else:
            names = [line.strip() for line in path.read_text(encoding="utf-8-sig").splitlines() if line.strip()]
    except (KeyError, TypeError, AttributeError, UnicodeError, yaml.YAMLError) as problem:
        raise ClassesError(f"{path} has no names of classes: {type(problem).__name__} {problem}") from None
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise ClassesError(f"{path}: the names of classes must be texts")
    return names


def names_of_weights(weights: str) -> list[str]:
    """The class names of a YOLO, which is loaded for it.

    Raises:
        ClassesError: they are no weights of a YOLO.
    """
    from jobs.settings import load_settings
    from udfs.segment.yolo import Yolo

    try:
        return list(Yolo(load_settings(), "cpu", weights, outlines=False).labels)
    except Exception as problem:  # noqa: BLE001  ultralytics raises anything
        raise ClassesError(f"{weights} cannot be loaded: {' '.join(str(problem).split())[:300]}") from None


def captions_of_file(path: Path) -> Iterator[str]:
    """The captions of a file, one at a time (of JSON after reading it whole).

    Raises:
        ClassesError: a JSON file without annotations that have captions, or a line of JSON lines without ``caption``.
        TextFileError: the file is not what its name says.
    """
    file = str(path)
    with path.open("rb") as stream:
        if path.suffix == ".json":
            tree = load_json(stream.read(), file)
            entries = tree.get("annotations") if isinstance(tree, dict) else None
            texts = [entry.get("caption") for entry in entries or () if isinstance(entry, dict)]
            if not texts:
                raise ClassesError(f"{path} has no annotations with captions")
            yield from (text for text in texts if isinstance(text, str))
            return
        lines = open_lines(stream, file, errors="replace")
        if path.suffix in (".csv", ".tsv"):
            yield from (row["caption"] for _, row in table_rows(lines, file, ["caption"], "\t" if path.suffix == ".tsv" else ","))
        elif path.suffix in (".jsonl", ".ndjson"):
            for number, row in json_lines(lines, file):
                found = row.get("caption", row.get("captions")) if isinstance(row, dict) else None
                if found is None:
                    raise ClassesError(f"{path}: line {number} has no 'caption' or 'captions': {json.dumps(row)[:80]}")
                yield from (text for text in (found if isinstance(found, list) else [found]) if isinstance(text, str))
        else:
            yield from (line.strip() for line in lines if line.strip())
