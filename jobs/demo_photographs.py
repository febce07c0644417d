"""The main job on photographs that installed packages carry, to a contact sheet. ``dualset demo --photographs``.

Needs no network and no model file: the outlines are ours, drawn roughly by hand, and stand in for a segmenter; the captions are
ours too (``demo_captions.json``, ``demo_instances.json``, in COCO's format; a file name is a package and a path in it).
"""

import importlib.util
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from jobs.stream import Run

HERE = Path(__file__).parent
PROFILE = "annotations"


def run_photographs(run: Run, say: Callable[[str], None]) -> str:
    """Ingest, run the chain, show what came out; returns where the contact sheet is. On a finished root nothing is done twice.

    Args:
        run: of the profile ``annotations``.
        say: prints a line.

    Raises:
        jobs.stream.StageError: the root belongs to a run with other settings.
        jobs.sources.SourceError: no package with a photograph of ours is installed.
    """
    from jobs import ingest
    from jobs.chain import run_chain
    from jobs.demo import show_queries, show_tables
    from jobs.sheet import draw_sheet
    from jobs.sources import records

    store = run.store
    if store.exists("records"):
        say(f"{store.root} is there already: going on with it, what is done is not done again")
    options, missing = lay_out(f"{store.root}/demo")
    if missing:
        say(f"left out, as no installed package has them: {', '.join(missing)}")
    count = ingest.add(run, records(store.spark, "coco", options, run.settings.ingest))
    say(f"{count} new photographs")
    run_chain(run)
    show_tables(run, say)
    sheet = f"{store.root}/sheet.png"
    families = draw_sheet(store, run.settings, sheet)
    say(f"\n{families} families to look at: {sheet}")
    show_queries(store, PROFILE, say)
    return sheet


def lay_out(folder: str) -> tuple[dict[str, str | None], list[str]]:
    """Copy the photographs that are installed, and the annotations that belong to them, to ``folder`` (any path of fsspec).

    Returns:
        The options of the source ``coco``, and the photographs that no installed package has.
    """
    from jobs.sources import SourceError

    captions, instances = (json.loads((HERE / f"demo_{name}.json").read_text("utf-8")) for name in ("captions", "instances"))
    found, missing = {}, []
    for image in captions["images"]:
        path = installed(image["file_name"])
        if path is None:
            missing.append(image["file_name"])
        else:
            found[image["id"]] = path
            _write_once(f"{folder}/photographs/{image['file_name']}", path.read_bytes())
    if not found:
        raise SourceError("none of the packages that carry the demo's photographs is installed: scikit-image, ultralytics")
    for name, tree in (("captions", captions), ("instances", instances)):
        kept = tree | {
            "images": [image for image in tree["images"] if image["id"] in found],
            "annotations": [item for item in tree["annotations"] if item["image_id"] in found],
        }
        _write_once(f"{folder}/{name}.json", json.dumps(kept).encode())
    options: dict[str, Any] = {name: f"{folder}/{name}.json" for name in ("captions", "instances")}
    return options | {"images": f"{folder}/photographs", "source": "demo"}, missing


def installed(name: str) -> Path | None:
    """Where ``package/path/in/it`` lies, or None. The package is found and not imported: one of them would import torch."""
    package, _, inside = name.partition("/")
    spec = importlib.util.find_spec(package)
    places = spec.submodule_search_locations if spec else None
    return next((path for place in places or () if (path := Path(place) / inside).is_file()), None)


def _write_once(path: str, data: bytes) -> None:
    import fsspec

    files, name = fsspec.core.url_to_fs(path)
    if not files.exists(name):
        files.makedirs(name.rpartition("/")[0], exist_ok=True)
        files.pipe_file(name, data)
