"""review: people judge some pairs. ``review export`` writes a page to judge them on, ``review import`` reads what it saves.

Their verdicts are the table ``reviews``. The policy reads them (``jobs.engine.policy.judged_sql``), and the part that was drawn
at random gives estimates of the filter's precision and recall (``jobs.look.review.summary``).
"""

import fsspec

from jobs.engine.policy import describe
from jobs.engine.tables import Store
from jobs.look.review.choose import add_context, gather_pictures
from jobs.look.review.choose import choose as choose_pairs  # `choose` stays the module
from jobs.look.review.page import Page, render
from jobs.settings import Settings


def export_page(
    store: Store,
    settings: Settings,
    output: str,
    count: int = 200,
    random: float = 0.5,
    rejected: float = 0.25,
    seed: int = 0,
) -> tuple[int, int]:
    """Write the page to ``output`` (any path that fsspec opens); returns the number of pairs on it and its size in bytes.

    The same tables, settings and arguments give the same page with the same id, so that a reviewer can continue on it.

    Args:
        store: a root that the whole chain has run over.
        settings: their policy defines what is kept and what is doubtful.
        output: the HTML file.
        count: pairs to judge; all if there are fewer.
        random: share of them that is drawn at random; the rest are the most doubtful.
        rejected: share of the random part that is drawn from the pairs that the policy rejects.
        seed: of the random draw.
    """
    choice = choose_pairs(store, settings, count, random, rejected, seed)
    rows = add_context(store, choice.rows)
    page = Page(rows, gather_pictures(store, rows), describe(settings.policy, embedder=True), seed)
    data = render(page).encode("utf-8", "replace")  # a caption may hold a lone surrogate
    with fsspec.open(output, "wb") as file:
        file.write(data)
    return len(rows), len(data)
