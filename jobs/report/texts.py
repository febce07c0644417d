"""How original captions, all dual texts and the kept ones differ as language: lengths, repeats, variety of words."""

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from jobs.tables import Store

LONGEST = 40  # words; longer texts are counted with these
SAMPLE = 20_000  # texts a kind that the type-token ratio is counted on
KINDS = ("original captions", "dual texts", "kept dual texts")


@dataclass
class Texts:
    """One kind of text. ``ratio`` is distinct words a word, over ``tokens`` words of a sample, as many for each kind."""

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


def gather_texts(store: "Store") -> list[Texts]:
    """All kinds that have a text. Needs the views of ``jobs.report.gather.name_tables``.

    A type-token ratio falls as a text grows, so each kind is cut to the same number of words, drawn by a hash of the text's key.
    """
    spark = store.spark
    spark.sql(TEXTS).createOrReplaceTempView("report_texts")
    rows = spark.sql("SELECT kind, count(*), count(DISTINCT text), avg(size(words)) FROM report_texts GROUP BY kind").collect()
    found = {row[0]: Texts(KINDS[row[0]], *row[1:]) for row in sorted(rows)}
    lengths = f"SELECT kind, least(size(words), {LONGEST}) AS length, count(*) FROM report_texts GROUP BY kind, length"  # noqa: S608
    for kind, length, count in spark.sql(lengths).collect():
        found[kind].lengths[length] = count
    sampled = " UNION ALL ".join(
        f"(SELECT kind, key, words FROM report_texts WHERE kind = {kind} ORDER BY key, words LIMIT {SAMPLE})"  # noqa: S608
        for kind in found
    )
    if found:
        for kind, tokens, types in spark.sql(RATIO.format(sampled=sampled)).collect():
            found[kind].tokens, found[kind].ratio = tokens, types / tokens
    return list(found.values())


# Only captions that have a dual text are compared, else captions that name nothing would stand against nothing.
TEXTS = r"""
WITH duals AS (SELECT record_id, t.caption_id, t.subset, t.caption FROM report_dual_texts LATERAL VIEW explode(texts) AS t
               WHERE t.status = 'ok'),
     kept AS (SELECT DISTINCT record_id, caption_id, text_subset AS subset, caption FROM report_pairs
              WHERE keep AND text_subset <> 0),
     named AS (SELECT DISTINCT record_id, caption_id FROM duals),
     originals AS (SELECT record_id, c.caption_id, 0 AS subset, c.caption FROM report_images LATERAL VIEW explode(captions) AS c
                   WHERE c.status = 'ok'),
     tagged AS (SELECT 0 AS kind, originals.* FROM originals JOIN named USING (record_id, caption_id)
                UNION ALL SELECT 1, * FROM duals UNION ALL SELECT 2, * FROM kept)
SELECT kind, xxhash64(record_id, caption_id, subset) AS key, lower(caption) AS text,
    regexp_extract_all(lower(caption), "[\\p{L}\\p{N}]+(?:['’-][\\p{L}\\p{N}]+)*", 0) AS words
FROM tagged WHERE caption IS NOT NULL
"""

RATIO = """
WITH counted AS (SELECT kind, key, posexplode(words) AS (position, word) FROM ({sampled})),
     numbered AS (SELECT kind, word, row_number() OVER (PARTITION BY kind ORDER BY key, position) AS place FROM counted),
     shortest AS (SELECT min(tokens) AS tokens FROM (SELECT count(*) AS tokens FROM counted GROUP BY kind))
SELECT kind, count(*) AS tokens, count(DISTINCT word) AS types
FROM numbered CROSS JOIN shortest WHERE place <= tokens GROUP BY kind
"""
