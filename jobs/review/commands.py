"""``dualset review``: people judge some pairs of a root."""

import json
import sys
from typing import Annotated

import typer

from jobs.console import Profile, Root, Set, absolute, err, open_run, out

review_app = typer.Typer(
    no_args_is_help=True, help="Let people judge some pairs: their word wins over the filter, and measures it."
)


@review_app.command("export")
def review_export(
    root: Root,
    output: Annotated[str, typer.Option(help="HTML file to write; empty: review.html in the root")] = "",
    count: Annotated[int, typer.Option(min=1, max=1000, help="pairs to judge; above 400 their pictures get small")] = 200,
    random: Annotated[float, typer.Option(min=0, max=1, help="share drawn at random; the rest are the most doubtful")] = 0.5,
    rejected: Annotated[float, typer.Option(min=0, max=1, help="share of the random part from what the policy rejects")] = 0.25,
    seed: Annotated[int, typer.Option(help="another seed draws others at random")] = 0,
    profile: Profile = "photos",
    set_: Set = None,
) -> None:
    """Write one self-contained HTML file on which a person accepts and rejects pairs with keys, and saves a small file."""
    from jobs.review import export_page
    from jobs.status import require_tables

    this = open_run(root, profile, set_)
    require_tables(this.store)
    place = absolute(output) if output else f"{this.store.root}/review.html"
    pairs, size = export_page(this.store, this.settings, place, count, random, rejected, seed)
    out.print(f"{pairs} pairs: {place} ({size / 1e6:.1f} MB)", highlight=False, markup=False)
    out.print(f"then: dualset review import FILE --root {this.store.root}", highlight=False, markup=False)


@review_app.command("import")
def review_import(
    files: Annotated[list[str], typer.Argument(help="what the page saved")],
    root: Root,
    profile: Profile = "photos",
    set_: Set = None,
) -> None:
    """Add what people said to the reviews table; the same file twice adds nothing, a damaged one adds nothing of any."""
    from jobs.review.words import import_words
    from jobs.status import require_tables

    this = open_run(root, profile, set_)
    require_tables(this.store)
    done = import_words(this.store, this.settings, [absolute(file) for file in files])
    out.print(f"{done.written} words added, {done.known} were there already", highlight=False, markup=False)
    for pairs, why in ((done.unknown, "of pairs that are not in scores"), (done.changed, "of pairs that were made anew since")):
        if pairs:
            err.print(f"{len(pairs)} left out, {why}: {', '.join(pairs)}", markup=False, highlight=False)
    out.print(f"look: dualset review summary --root {this.store.root}", highlight=False, markup=False)


@review_app.command("summary")
def review_summary(
    root: Root,
    profile: Profile = "photos",
    set_: Set = None,
    as_json: Annotated[bool, typer.Option("--json", help="one JSON object")] = False,
) -> None:
    """Estimate the filter's precision and recall from what people said of the random part, with 95% intervals."""
    from dataclasses import asdict

    from jobs.review.summary import lines, summarise
    from jobs.status import require_tables

    this = open_run(root, profile, set_)
    require_tables(this.store)
    found = summarise(this.store)
    sys.stdout.write(json.dumps(asdict(found)) + "\n" if as_json else "".join(f"{line}\n" for line in lines(found)))
