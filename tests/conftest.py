"""One Spark session for all tests that need one, and where the shared photographs and models are."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

# The suite's two processes have a core each: more threads of torch's would wait for one another, spinning.
os.environ.setdefault("OMP_NUM_THREADS", "1")
REPOSITORY = Path(__file__).resolve().parent.parent
SHARED = REPOSITORY.parent / "shared"
YOLO = SHARED / "models" / "yolov8n-seg_int8.tflite"
COCO_MINI = SHARED / "data" / "coco-mini"


@pytest.fixture(scope="session")
def spark(tmp_path_factory: pytest.TempPathFactory) -> Iterator[object]:
    """A local session as the command line opens it, with a small heap."""
    from jobs.session import open_session
    from jobs.settings import load_settings

    os.chdir(tmp_path_factory.mktemp("spark"))  # Spark leaves files in the folder that it is started in
    session = open_session(load_settings("photos", ["spark.driver_memory=2g"]))
    yield session
    session.stop()


@pytest.fixture(scope="session")
def coco_mini() -> Path:
    if not COCO_MINI.is_dir():
        pytest.skip(f"the photographs of {COCO_MINI} are not there")
    return COCO_MINI


@pytest.fixture(scope="session")
def yolo() -> Path:
    if not YOLO.is_file():
        pytest.skip(f"the segmenter {YOLO} is not there")
    return YOLO
