"""The README's tables are made by commands; what it shows must be what they print."""

from typer.testing import CliRunner

from jobs.cli import app
from tests.conftest import REPOSITORY


def test_the_settings_of_the_readme_are_those_of_the_command() -> None:
    printed = CliRunner().invoke(app, ["settings", "--markdown"]).stdout
    assert printed.strip() in (REPOSITORY / "README.md").read_text(encoding="utf-8")
