"""report: one HTML file about a root that a person wants to open. ``dualset report``.

Aggregates are Spark SQL; pixels reach the driver as small pictures of the gallery's families only; the file needs no network.
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from jobs.settings import Settings
    from jobs.tables import Store


def write_report(
    store: "Store", settings: "Settings", output: str, families: int = 24, seed: int = 0, doubtful: float = 0.5
) -> int:
    """Write the page to ``output`` (any path that fsspec opens); returns its size in bytes.

    Args:
        store: a root that the whole chain has run over.
        settings: their policy judges the pairs; with ``embedder.model`` the shift in feature space is measured as well.
        output: the HTML file.
        families: how many the gallery shows.
        seed: another one draws other families for the gallery and other records for the shift.
        doubtful: share of the gallery that is drawn by its distance to the policy's limits, not by a hash.
    """
    import fsspec

    from jobs.chain import CHAIN
    from jobs.policy import describe
    from jobs.report.gallery import gather_gallery
    from jobs.report.gather import gather
    from jobs.report.page import Report, render, shown_settings
    from jobs.report.plots import draw_plots
    from jobs.report.shift import FEWEST, Shift, gather_shift
    from jobs.report.texts import gather_texts

    counts = gather(store, settings)
    texts = gather_texts(store)
    gallery = gather_gallery(store, settings, families, seed, doubtful)
    model, why = "", "no embedder in the settings given to this command (embedder.model): not measured."
    shifts: list[Shift] = []
    if settings.embedder.model:
        model, shifts = gather_shift(store, settings, seed=seed)
        why = "" if shifts else f"fewer than {FEWEST} families with a dual image: too few to measure."
    sections = {stage.name: stage.sections for stage in CHAIN}
    ran = [(row["stage"], sections[row["stage"]], row["settings"]) for row in counts.settings if row["stage"] in sections]
    report = Report(
        root=store.root,
        counts=counts,
        texts=texts,
        families=gallery,
        model=model,
        shifts=shifts,
        no_shift=why,
        policy=describe(settings.policy, embedder=any(one.name == "clip_true" for one in counts.measures)),
        settings=shown_settings(ran),
        seed=seed,
    )
    data = render(report, draw_plots(counts, texts, shifts)).encode("utf-8", "replace")  # a caption may hold a lone surrogate
    with fsspec.open(output, "wb") as file:
        file.write(data)
    return len(data)
