"""How original captions, all dual texts and the kept ones differ as language: lengths, repeats, variety of words."""

from dataclasses import dataclass, field

from jobs.engine.tables import Store
from jobs.engine.views import run_query
from jobs.look.report.gather import QUERIES

LONGEST = 40  # words; longer texts are counted with these
SAMPLE = 20_000  # texts a kind that the type-token ratio is counted on
KINDS = ("original captions", "dual texts", "kept dual texts")


@dataclass
class Texts:
    """One kind of text. ``ratio`` is the type-token ratio of a sample of ``tokens`` words, equally many for each kind."""

    kind: str
    texts: int
    distinct: int
    words: float
    tokens: int = 0
    ratio: float | None = None
    lengths: list[int] = field(default_factory=lambda: [0] * (LONGEST + 1))

    @property
    def repeated(self) -> float:
        """Share of the texts that repeat another of the same kind."""
        return 1 - self.distinct / self.texts if self.texts else 0.0


def gather_texts(store: Store) -> list[Texts]:
    """All kinds that have a text. Needs the views of ``jobs.look.report.gather.name_tables``.

    A type-token ratio falls as a text grows, so each kind is cut to the same number of words, drawn by a hash of the text's key.
    """
    run_query(store, QUERIES / "texts.sql").createOrReplaceTempView("report_texts")
    rows = run_query(store, QUERIES / "text_kinds.sql").collect()
    texts = {row[0]: Texts(KINDS[row[0]], *row[1:]) for row in sorted(rows)}
    for kind, length, count in run_query(store, QUERIES / "text_lengths.sql", {"longest": LONGEST}).collect():
        texts[kind].lengths[length] = count
    if texts:
        for kind, tokens, types in run_query(store, QUERIES / "type_token.sql", {"sample": SAMPLE}).collect():
            texts[kind].tokens, texts[kind].ratio = tokens, types / tokens
    return list(texts.values())
