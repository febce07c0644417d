"""The pages are up to date: their settings are the command's, their links resolve, their commands and paths exist."""

import importlib.util
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

from jobs.cli import app
from tests.support.originals import REPOSITORY

README, SETTINGS, CHANGELOG = REPOSITORY / "README.md", REPOSITORY / "jobs" / "settings.md", REPOSITORY / "CHANGELOG.md"
FOLDERS = ("jobs", "udfs", "training")
PAGES = [
    *sorted(REPOSITORY.glob("*.md")),
    SETTINGS,
    *(page for folder in FOLDERS for page in sorted((REPOSITORY / folder).rglob("README.md"))),
    *sorted((REPOSITORY / "udfs" / "embedded").glob("*.md")),
]
PRESENT = [page for page in PAGES if page != CHANGELOG]  # the changelog also names what no longer exists
PATH = re.compile(r"(?:jobs|udfs|training|tests|notebooks)/[\w./-]*\w")


def name(page: Path) -> str:
    return str(page.relative_to(REPOSITORY))


def code(page: Path) -> Iterator[str]:
    """The page's code: lines of indented blocks, joined with their continuation lines, and inline code. Not fenced Python."""
    text = re.sub(r"(?s)^```.*?^```", "", page.read_text(encoding="utf-8"), flags=re.M)
    blocks = re.sub(r"\\\n\s*", "", text)
    yield from (re.sub(r"\s#\s.*| {3,}\S.*", "", line[4:]) for line in blocks.splitlines() if line.startswith("    "))
    yield from (snippet.replace("\n", " ") for snippet in re.findall(r"(?<!`)`([^`]+)`(?!`)", text))


def commands(page: Path, *prefix: str) -> Iterator[list[str]]:
    """The arguments after ``prefix`` in the page's code, without brackets."""
    for snippet in code(page):
        for part in re.split(r"&&|;", snippet):
            tokens = part.replace("[", "").replace("]", "").split()
            for start in range(len(tokens)):
                if tokens[start : start + len(prefix)] == list(prefix):
                    yield tokens[start + len(prefix) :]
                    break


def flags(arguments: list[str]) -> list[str]:
    return [argument.partition("=")[0] for argument in arguments if argument.startswith("--")]


def slugs(page: Path) -> set[str]:
    """The anchors that GitHub derives from a page's headings."""
    headings = re.findall(r"(?m)^#+ (.+)$", page.read_text(encoding="utf-8"))
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_the_settings_page_is_what_the_command_prints() -> None:
    printed = CliRunner().invoke(app, ["settings", "--markdown"]).stdout
    assert printed.strip() in SETTINGS.read_text(encoding="utf-8")


def test_the_readme_is_short_and_narrow() -> None:
    lines = README.read_text(encoding="utf-8").splitlines()
    assert len(lines) <= 150
    assert [line for line in lines if len(line) > 100] == []


def test_the_readme_picture_is_light() -> None:
    assert (REPOSITORY / "jobs" / "look" / "lattice.png").stat().st_size < 200_000


@pytest.mark.parametrize("page", PAGES, ids=name)
def test_links_lead_somewhere(page: Path) -> None:
    links = re.findall(r"\]\(([^)\s]+)\)", page.read_text(encoding="utf-8"))
    for link in (link for link in links if "://" not in link):
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        assert target.exists(), link
        assert not anchor or anchor in slugs(target), link


@pytest.mark.parametrize("page", PRESENT, ids=name)
def test_dualset_commands_and_their_options_exist(page: Path) -> None:
    for arguments in commands(page, "dualset"):
        targets: list[Any] = [typer.main.get_command(app)]
        for argument in arguments:
            if not hasattr(targets[0], "commands") or not re.fullmatch(r"[a-z_0-9|]+", argument):
                break
            assert set(argument.split("|")) <= set(targets[0].commands), f"dualset {' '.join(arguments)}"
            targets = [targets[0].commands[choice] for choice in argument.split("|")]
        for command in targets:
            known = {
                "--help",
                *(option for parameter in command.params for option in (*parameter.opts, *parameter.secondary_opts)),
            }
            assert set(flags(arguments)) <= known, f"dualset {' '.join(arguments)}"


@pytest.mark.parametrize("page", PRESENT, ids=name)
def test_modules_and_scripts_and_their_options_exist(page: Path) -> None:
    for arguments in [*commands(page, "python", "-m"), *commands(page, "torchrun"), *commands(page, "python")]:
        arguments = arguments[arguments.index("-m") + 1 :] if "-m" in arguments else arguments
        if arguments[0] == "pytest":
            continue
        if arguments[0].endswith(".py"):
            source = REPOSITORY / arguments[0]
        else:
            spec = importlib.util.find_spec(arguments[0])
            assert spec is not None and spec.origin is not None, arguments[0]
            source = Path(spec.origin)
        text = source.read_text(encoding="utf-8")
        for flag in flags(arguments) if source.name not in ("__init__.py", "loop.py") else []:
            option = flag.removeprefix("--").replace("-", "_")
            assert flag == "--help" or f'"{flag}"' in text or f"{option}: Annotated" in text, f"{arguments[0]} {flag}"


@pytest.mark.parametrize("page", PRESENT, ids=name)
def test_files_that_are_named_exist(page: Path) -> None:
    for snippet in code(page):
        for path in snippet.split():
            if PATH.fullmatch(path):
                assert (REPOSITORY / path).exists(), path
