"""``python -m training.run_file FILE``: a training run whose options are in a JSON file, for programs that start trainings.

The file has the fields of ``training.options.Options``. Under torchrun every process reads the same file.
"""

import json
from pathlib import Path
from typing import Annotated

import typer

from jobs.console import run_command
from training.options import Options, OptionsError, make_options


def write_options(options: Options, file: Path) -> None:
    """Write options as the JSON file that this module runs."""
    file.write_text(options.model_dump_json(indent=1) + "\n", encoding="utf-8")


def read_options(file: Path) -> Options:
    """Read options from a JSON file.

    Raises:
        OptionsError: the file cannot be read, or is not valid options.
    """
    try:
        return make_options(json.loads(file.read_text(encoding="utf-8")))
    except (OSError, ValueError) as problem:  # of the file, of JSON, or of an option
        raise OptionsError(f"{file}: {problem}") from None


def run(file: Annotated[Path, typer.Argument(help="a JSON file with the options of a training")]) -> None:
    """Train with the options of a file."""
    from training.loop import train

    train(read_options(file), lambda line: print(line, flush=True))


if __name__ == "__main__":
    run_command(run)
