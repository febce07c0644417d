"""The truth relation: one definition for ints, arrays and SQL, and the counts that follow from it."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pyspark.sql import SparkSession

from udfs.truth import Relation, relation, relation_sql, submasks

masks = st.integers(0, 0b111111)


def test_relations_of_example_captions():
    apple, banana = 0b01, 0b10
    both = apple | banana
    assert relation(0, both, both, 0) is Relation.EXACT  # "an apple and a banana" of the original
    assert relation(apple, both, banana, 0) is Relation.EXACT  # "a banana" once the apple is gone
    assert relation(0, both, banana, 0) is Relation.ENTAILED  # "a banana" of both: true, but says less
    assert relation(banana, both, banana, 0) is Relation.CONTRADICTORY  # it names what is gone
    assert relation(apple, banana, banana, both) is Relation.UNKNOWN  # "a banana among fruits"
    assert relation(apple, 0, 0, 0) is Relation.EXACT  # a caption that named nothing stays exact


@given(masks, masks, masks, masks)
def test_the_first_case_that_applies_decides(removed: int, named: int, mentions: int, may: int):
    found = relation(removed, named, mentions, may)
    assert (found is Relation.CONTRADICTORY) == any(mentions >> i & 1 and removed >> i & 1 for i in range(6))
    if found is not Relation.CONTRADICTORY:
        assert (found is Relation.UNKNOWN) == any(may >> i & 1 and removed >> i & 1 for i in range(6))
    if found is Relation.EXACT:
        assert {i for i in range(6) if mentions >> i & 1} == {i for i in range(6) if named >> i & 1 and not removed >> i & 1}


@given(st.lists(st.tuples(masks, masks, masks, masks), min_size=1, max_size=50))
def test_arrays_agree_with_ints(cases: list[tuple[int, int, int, int]]):
    found = relation(*np.array(cases, dtype=np.int64).T)
    assert found.dtype == np.int8
    assert found.tolist() == [relation(*case) for case in cases]


@given(masks, st.lists(masks, min_size=1, max_size=8))
def test_arrays_broadcast(named: int, removed: list[int]):
    images = np.array(removed)[:, None]
    texts = np.array([named & ~mask for mask in removed])[None, :]
    found = relation(images, named, texts, 0)
    assert found.shape == (len(removed), len(removed))
    assert (np.diagonal(found) == Relation.EXACT).all(), "a text made for an image is exact for it"


def test_sql_expression_agrees_with_relation(spark: SparkSession):
    cases = [(r, c, m, u) for r in range(8) for c in range(8) for m in (0, c, c & ~r, c & 3, 5) for u in (0, 2, c)]
    found = spark.createDataFrame(cases, "r INT, c INT, m INT, u INT").selectExpr(
        "r", "c", "m", "u", relation_sql("r", "c", "m", "u")
    )
    for *case, said in found.collect():
        assert said == relation(*case).name.lower(), case


@pytest.mark.parametrize("n", [0, 1, 2, 3, 4, 6])
def test_a_power_set_has_this_many_pairs_of_each_relation(n: int):
    """All subsets of n components against the texts made for them, of a caption that names all."""
    full, subsets = (1 << n) - 1, np.arange(1 << n)
    found = relation(subsets[:, None], full, full & ~subsets[None, :], 0)
    assert (found == Relation.EXACT).sum() == 2**n
    assert (found == Relation.ENTAILED).sum() == 3**n - 2**n  # pairs R within S, R other than S
    assert (found == Relation.CONTRADICTORY).sum() == 4**n - 3**n
    assert not (found == Relation.UNKNOWN).any()


def test_a_third_of_the_other_pairs_is_entailed_at_three():
    subsets = np.arange(8)
    found = relation(subsets[:, None], 7, 7 & ~subsets[None, :], 0)
    elsewhere = ~np.eye(8, dtype=bool)
    assert round(float((found[elsewhere] == Relation.ENTAILED).mean()), 2) == 0.34


@given(st.integers(0, 0b1111111))
def test_submasks_are_all_nonempty_subsets_in_order(mask: int):
    found = submasks(mask)
    assert found == sorted(set(found))
    assert len(found) == 2 ** mask.bit_count() - 1
    assert all(part and part & mask == part for part in found)
