"""The chain on photographs that installed packages carry, up to a contact sheet. ``dualset demo --photographs``.

It needs no network and no model file. The outlines were drawn roughly by hand for the project and stand in for a segmenter; the
captions were written for it too. Both are in COCO's format (``instances.json``, ``captions.json``), with file names that are a
package and a path in it.
"""

import importlib.util
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from jobs.chain import run_chain
from jobs.engine.stream import Run
from udfs.files import file_system

FOLDER = Path(__file__).parent
PROFILE = "annotations"


def run_photographs(run: Run, log: Callable[[str], None]) -> str:
    """Ingest, run the chain, show the results; return the path of the contact sheet. On a finished root nothing is done twice.

    Args:
        run: an invocation with the profile ``annotations``.
        log: prints a line.

    Raises:
        jobs.engine.stream.StageError: the root belongs to a run with other settings.
        jobs.sources.SourceError: none of the packages with the demo's photographs is installed.
    """
    from jobs import ingest
    from jobs.demo.scenes import CONTINUED, show_queries, show_tables
    from jobs.look.sheet import draw_sheet
    from jobs.sources import records

    store = run.store
    if store.exists("records"):
        log(CONTINUED.format(root=store.root))
    options, missing = lay_out(f"{store.root}/demo")
    if missing:
        log(f"left out, because no installed package has them: {', '.join(missing)}")
    count = ingest.add(run, records(store.spark, "coco", options, run.settings.ingest))
    log(f"{count} new photographs")
    run_chain(run)
    show_tables(run, log)
    sheet = f"{store.root}/sheet.png"
    families = draw_sheet(store, run.settings, sheet)
    log(f"\n{families} families to look at: {sheet}")
    show_queries(store, PROFILE, log)
    return sheet


def lay_out(folder: str) -> tuple[dict[str, str | None], list[str]]:
    """Copy the photographs that are installed, and the annotations that belong to them, to ``folder`` (any path of fsspec).

    Returns:
        The options of the source ``coco``, and the photographs that no installed package has.
    """
    from jobs.sources import SourceError

    captions, instances = (json.loads((FOLDER / f"{name}.json").read_text("utf-8")) for name in ("captions", "instances"))
    present, missing = set(), []
    for image in captions["images"]:
        path = installed(image["file_name"])
        if path is None:
            missing.append(image["file_name"])
        else:
            present.add(image["id"])
            _write_once(f"{folder}/photographs/{image['file_name']}", path.read_bytes())
    if not present:
        raise SourceError("no package with the demo's photographs is installed: install scikit-image or ultralytics")
    for name, tree in (("captions", captions), ("instances", instances)):
        kept = tree | {
            "images": [image for image in tree["images"] if image["id"] in present],
            "annotations": [annotation for annotation in tree["annotations"] if annotation["image_id"] in present],
        }
        _write_once(f"{folder}/{name}.json", json.dumps(kept).encode())
    options: dict[str, Any] = {name: f"{folder}/{name}.json" for name in ("captions", "instances")}
    return options | {"images": f"{folder}/photographs", "source": "demo"}, missing


def installed(name: str) -> Path | None:
    """The path of the file ``package/path/in/it``, or None. The package is not imported: one of them would import torch."""
    package, _, inside = name.partition("/")
    spec = importlib.util.find_spec(package)
    folders = spec.submodule_search_locations if spec else None
    return next((path for folder in folders or () if (path := Path(folder) / inside).is_file()), None)


def _write_once(path: str, data: bytes) -> None:
    files, name = file_system(path)
    if not files.exists(name):
        files.makedirs(name.rpartition("/")[0], exist_ok=True)
        files.pipe_file(name, data)
