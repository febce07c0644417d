"""One Spark session for all tests that need one, the originals that they start from, and which tests may be skipped."""

import os
import random
import sys
from collections.abc import Generator, Iterator

import hypothesis
import pytest

from tests.support.originals import SHARED, Originals, draw_scenes, find_photographs

# The suite's two processes have a core each: more threads of torch's would wait for one another, spinning.
os.environ.setdefault("OMP_NUM_THREADS", "1")
# A failure is seen again by everybody, and none comes from a machine that is slow.
hypothesis.settings.register_profile(
    "repeatable", derandomize=True, deadline=None, suppress_health_check=[hypothesis.HealthCheck.too_slow]
)
hypothesis.settings.load_profile("repeatable")
MAY_SKIP = ("gpu", "shared")  # all tests without one of these marks are core


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    """Before a test's fixtures are made: skip it if shared files are missing, and give it the same random numbers as ever."""
    paths = [SHARED / path for mark in item.iter_markers("shared") for path in mark.args]
    missing = [str(path) for path in paths if not path.exists()]
    if missing:
        pytest.skip(f"needs {', '.join(missing)}, which a clone does not have")
    random.seed(0)
    if numpy := sys.modules.get("numpy"):
        numpy.random.seed(0)
    if torch := sys.modules.get("torch"):
        torch.manual_seed(0)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """With DUALSET_REQUIRE_CORE=1, as in CI, a core test that is skipped has failed."""
    report = yield
    required = os.environ.get("DUALSET_REQUIRE_CORE", "") not in ("", "0")
    if required and report.skipped and not hasattr(report, "wasxfail") and not any(map(item.get_closest_marker, MAY_SKIP)):
        report.outcome = "failed"
        report.longrepr = f"{item.nodeid} is a core test and was skipped: {report.longrepr[2]}"  # type: ignore[index]
    return report


@pytest.fixture(scope="session")
def spark(tmp_path_factory: pytest.TempPathFactory) -> Iterator[object]:
    """A local session as the command line opens it, with a small heap."""
    from jobs.engine.session import open_session
    from jobs.settings import load_settings

    os.chdir(tmp_path_factory.mktemp("spark"))  # Spark leaves files in the folder that it is started in
    session = open_session(load_settings("photos", ["spark.driver_memory=2g"]))
    yield session
    session.stop()


@pytest.fixture(scope="session")
def browser() -> Iterator[object]:
    """Chromium, one for all pages."""
    from tests.support.browser import launched

    with launched() as chromium:
        yield chromium


@pytest.fixture(scope="session")
def scenes(tmp_path_factory: pytest.TempPathFactory) -> Originals:
    """Twelve scenes, with families of 0 to 3 components; classes with several things, and things that touch."""
    return draw_scenes(tmp_path_factory.mktemp("scenes"), 12, split="test", seed=1, size=192)


@pytest.fixture(
    scope="session",
    params=["scenes", pytest.param("photographs", marks=pytest.mark.shared("data/coco-mini", "models/yolov8n-seg_int8.tflite"))],
)
def originals(request: pytest.FixtureRequest) -> Originals:
    """Scenes, which every clone can draw; then photographs, if they are there."""
    return request.getfixturevalue("scenes") if request.param == "scenes" else find_photographs()
