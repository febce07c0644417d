"""report: one HTML file that shows a person what a root holds. ``dualset report``.

Spark computes all aggregates. Only small pictures of the gallery's families reach the driver. The file needs no network.
"""

import fsspec

from jobs.chain import CHAIN
from jobs.engine.policy import describe
from jobs.engine.tables import Store
from jobs.look.report.gallery import gather_gallery
from jobs.look.report.gather import gather as gather_counts  # `gather` stays the module
from jobs.look.report.page import Report, render, shown_settings
from jobs.look.report.plots import draw_plots
from jobs.look.report.shift import FEWEST, Shift, gather_shift
from jobs.look.report.texts import gather_texts
from jobs.settings import Settings


def write_report(store: Store, settings: Settings, output: str, families: int = 24, seed: int = 0, doubtful: float = 0.5) -> int:
    """Write the page to ``output`` (any path that fsspec opens); returns its size in bytes.

    Args:
        store: a root that the whole chain has run over.
        settings: their policy judges the pairs; with ``embedder.model`` set, the shift in feature space is measured too.
        output: the HTML file.
        families: how many the gallery shows.
        seed: of the hash that draws families for the gallery and records for the shift.
        doubtful: share of the gallery that is chosen by its distance to the policy's limits, not by the hash.
    """
    counts = gather_counts(store, settings)
    texts = gather_texts(store)
    gallery = gather_gallery(store, settings, families, seed, doubtful)
    model, no_shift = "", "no embedder in the settings given to this command (embedder.model): not measured."
    shifts: list[Shift] = []
    if settings.embedder.model:
        model, shifts = gather_shift(store, settings, seed=seed)
        no_shift = "" if shifts else f"fewer than {FEWEST} families with a dual image: too few to measure."
    sections = {stage.name: stage.sections for stage in CHAIN}
    ran = [(row["stage"], sections[row["stage"]], row["settings"]) for row in counts.settings if row["stage"] in sections]
    report = Report(
        root=store.root,
        counts=counts,
        texts=texts,
        families=gallery,
        model=model,
        shifts=shifts,
        no_shift=no_shift,
        policy=describe(settings.policy, embedder=any(measure.name == "clip_true" for measure in counts.measures)),
        settings=shown_settings(ran),
        seed=seed,
    )
    data = render(report, draw_plots(counts, texts, shifts)).encode("utf-8", "replace")  # a caption may hold a lone surrogate
    with fsspec.open(output, "wb") as file:
        file.write(data)
    return len(data)
