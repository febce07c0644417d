"""``dualset review``: people judge some pairs of a root."""

import json
import sys
from typing import Annotated

import typer

from jobs.console import Profile, Root, Set, absolute, err, log, open_filled, output_file

review_app = typer.Typer(
    no_args_is_help=True, help="Let people judge some pairs: their verdicts overrule the filter and measure it."
)


@review_app.command("export")
def review_export(
    root: Root,
    output: Annotated[str, typer.Option(help="HTML file to write; empty: review.html in the root")] = "",
    count: Annotated[int, typer.Option(min=1, max=1000, help="pairs to judge; above 400 the pictures get small")] = 200,
    random: Annotated[float, typer.Option(min=0, max=1, help="share drawn at random; the rest are the most doubtful")] = 0.5,
    rejected: Annotated[float, typer.Option(min=0, max=1, help="share of the random part from rejected pairs")] = 0.25,
    seed: Annotated[int, typer.Option(help="another seed draws others at random")] = 0,
    profile: Profile = "photos",
    set_: Set = None,
) -> None:
    """Write one self-contained HTML page on which a person accepts or rejects pairs with keys and saves a small file."""
    from jobs.look.review import export_page
    from jobs.look.status import require_tables

    path = output_file(output) if output else ""
    this = open_filled(root, profile, set_)
    require_tables(this.store)
    path = path or f"{this.store.root}/review.html"
    pairs, size = export_page(this.store, this.settings, path, count, random, rejected, seed)
    log(f"{pairs} pairs: {path} ({size / 1e6:.1f} MB)")
    log(f"next: dualset review import FILE --root {this.store.root}")


@review_app.command("import")
def review_import(
    files: Annotated[list[str], typer.Argument(help="files that the page saved")],
    root: Root,
    profile: Profile = "photos",
    set_: Set = None,
) -> None:
    """Add saved verdicts to the reviews table. A file imported twice adds nothing; if one file is damaged, none is imported."""
    from jobs.look.review.verdicts import import_verdicts
    from jobs.look.status import require_tables

    this = open_filled(root, profile, set_)
    require_tables(this.store)
    result = import_verdicts(this.store, this.settings, [absolute(file) for file in files])
    log(f"{result.written} verdicts added, {result.known} were known already")
    for pairs, why in ((result.unknown, "not in scores"), (result.changed, "image or text has changed since the export")):
        if pairs:
            err.print(f"{len(pairs)} left out ({why}): {', '.join(pairs)}", markup=False, highlight=False)
    log(f"next: dualset review summary --root {this.store.root}")


@review_app.command("summary")
def review_summary(
    root: Root,
    profile: Profile = "photos",
    set_: Set = None,
    as_json: Annotated[bool, typer.Option("--json", help="one JSON object")] = False,
) -> None:
    """Estimate the filter's precision and recall from the verdicts on the random part, with 95% intervals."""
    from dataclasses import asdict

    from jobs.look.review.summary import lines, summarise
    from jobs.look.status import require_tables

    this = open_filled(root, profile, set_)
    require_tables(this.store)
    summary = summarise(this.store)
    sys.stdout.write(json.dumps(asdict(summary)) + "\n" if as_json else "".join(f"{line}\n" for line in lines(summary)))
