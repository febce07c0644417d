"""What a session takes from the environment that it is started in: nothing that is not asked for, and one line if it is wrong."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from jobs.engine.session import EnvironmentProblem, check_environment, check_own_spark

SESSION = """
import pandas as pd
from pyspark.sql.functions import pandas_udf
from jobs.engine.session import open_session
from jobs.settings import load_settings

spark = open_session(load_settings("photos", ["spark.driver_memory=1g"]))

@pandas_udf("string")
def imported(values: pd.Series) -> pd.Series:
    import jobs
    return values.astype(str).map(lambda value: jobs.__file__)

print(spark.range(1).select(imported("id")).first()[0])
"""


def test_no_code_of_the_folder_that_the_command_is_called_in_is_run(tmp_path: Path) -> None:
    """A data set may hold a folder with the name of a package of this project."""
    for name in ("jobs", "udfs", "numpy"):
        (tmp_path / "data" / name).mkdir(parents=True)
        (tmp_path / "data" / name / "__init__.py").write_text(f"open({str(tmp_path / 'run')!r}, 'w')")
    script = tmp_path / "session.py"
    script.write_text(SESSION)
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHONSAFEPATH", "PYSPARK"))}
    done = subprocess.run(
        [sys.executable, str(script)], cwd=tmp_path / "data", env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[-2000:]
    assert not (tmp_path / "run").exists()
    assert str(tmp_path) not in done.stdout.splitlines()[-1]


@pytest.mark.parametrize(
    ("name", "check", "line"),
    [
        ("JAVA_HOME", check_environment, "JAVA_HOME is /nowhere, where there is no bin/java"),
        ("SPARK_HOME", check_own_spark, "SPARK_HOME is /nowhere, another Spark than .*: unset it"),
        ("PYSPARK_PYTHON", check_own_spark, "PYSPARK_PYTHON is /nowhere, which cannot be run"),
    ],
)
def test_a_wrong_path_is_one_line(monkeypatch: pytest.MonkeyPatch, name: str, check: object, line: str) -> None:
    monkeypatch.setenv(name, "/nowhere")
    with pytest.raises(EnvironmentProblem, match=line):
        check()  # type: ignore[operator]
