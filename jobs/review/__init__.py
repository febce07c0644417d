"""review: people look at some pairs. ``review export`` makes a page to judge them on, ``review import`` takes in what it saves.

Their words are the table ``reviews``. The policy reads them (``jobs.policy.judged_sql``), and from the part that was drawn at
random the filter's precision and recall are estimated (``jobs.review.summary``).
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from jobs.settings import Settings
    from jobs.tables import Store


def export_page(
    store: "Store",
    settings: "Settings",
    output: str,
    count: int = 200,
    random: float = 0.5,
    rejected: float = 0.25,
    seed: int = 0,
) -> tuple[int, int]:
    """Write the page to ``output`` (any path that fsspec opens); returns the number of pairs on it, and its size in bytes.

    The same tables, settings and arguments give the same page, with the same id, so that work on it can go on.

    Args:
        store: a root that the whole chain has run over.
        settings: their policy says what is kept and what is doubtful.
        output: the HTML file.
        count: pairs to judge; fewer where there are not so many.
        random: share of them that is drawn at random; the rest are the most doubtful.
        rejected: share of the random part that is drawn from the pairs that the policy rejects.
        seed: another one draws others at random.
    """
    import fsspec

    from jobs.policy import describe
    from jobs.review.choose import add_context, choose, gather_pictures
    from jobs.review.page import Page, render

    choice = choose(store, settings, count, random, rejected, seed)
    rows = add_context(store, choice.rows)
    page = Page(rows, gather_pictures(store, rows), describe(settings.policy, embedder=True), seed)
    data = render(page).encode("utf-8", "replace")  # a caption may hold a lone surrogate
    with fsspec.open(output, "wb") as file:
        file.write(data)
    return len(rows), len(data)
