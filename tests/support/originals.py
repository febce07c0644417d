"""Original images that the tests of whole runs start from: drawn scenes, and photographs where ../shared has them."""

import json
import subprocess
import sys
from dataclasses import dataclass, replace
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parent.parent.parent
SHARED = REPOSITORY.parent / "shared"
COCO_MINI = SHARED / "data" / "coco-mini"
YOLO_TFLITE = SHARED / "models" / "yolov8n-seg_int8.tflite"


@dataclass(frozen=True)
class Originals:
    """Images with their files in COCO's format, and the settings to read them with."""

    name: str  # scenes or photographs
    images: Path  # a folder
    captions: Path
    instances: Path
    settings: tuple[str, ...]  # NAME=VALUE, for a segmenter that reads the annotations
    segmenter: tuple[str, ...]  # NAME=VALUE, for one that looks at the images

    @property
    def options(self) -> dict[str, str]:
        """The options of ``dualset ingest coco``."""
        return {"images": str(self.images), "captions": str(self.captions), "instances": str(self.instances)}

    def first(self, count: int, folder: Path) -> "Originals":
        """The first ``count`` images by file name; the shorter files go to ``folder``."""
        captions = first_images(self.captions, folder, count)
        return replace(self, captions=captions, instances=first_images(self.instances, folder, count))


def first_images(annotations: Path, folder: Path, count: int) -> Path:
    """A file in COCO's format of the first ``count`` images of another, under the same name in ``folder``."""
    tree = json.loads(annotations.read_text(encoding="utf-8"))
    tree["images"] = sorted(tree["images"], key=lambda image: image["file_name"])[:count]
    ids = {image["id"] for image in tree["images"]}
    tree["annotations"] = [row for row in tree["annotations"] if row["image_id"] in ids]
    (folder / annotations.name).write_text(json.dumps(tree), encoding="utf-8")
    return folder / annotations.name


def draw_scenes(folder: Path, count: int, *, split: str, seed: int, size: int) -> Originals:
    """Scenes as the project's own command writes them."""
    command = [sys.executable, "-m", "jobs.scenes.write", "--output", str(folder), "--processes", "1", "--split", split]
    numbers = {"count": count, "seed": seed, "size": size}
    command += [word for name, value in numbers.items() for word in (f"--{name}", str(value))]
    subprocess.run(command, cwd=REPOSITORY, check=True, capture_output=True)
    segmenter = ("segmenter.weights=embedded:segmenter_objects.pt", "segmenter.image_size=128")
    files = (folder / "images", folder / "captions.json", folder / "instances.json")
    return Originals("scenes", *files, ("lexicon=objects",), ("lexicon=objects", *segmenter))


def find_photographs() -> Originals:
    """COCO's validation photographs that ../shared holds, for tests that are marked ``shared``."""
    files = (COCO_MINI / "annotations" / f"{name}_val2017.json" for name in ("captions", "instances"))
    return Originals("photographs", COCO_MINI / "val2017", *files, (), (f"segmenter.weights={YOLO_TFLITE}",))
