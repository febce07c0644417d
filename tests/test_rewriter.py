"""The rewriter role: which proposal is taken, what the others are good for, and one text for each submask."""

from collections.abc import Callable, Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jobs.settings import Settings
from jobs.truth import submasks
from tests.fake_openai_server import FakeOpenAIServer, closed_port
from tests.test_rewrite_rules import HOSTILE, mentions_of
from udfs import factory
from udfs.rewrite_request import RewriteRequest
from udfs.rewriter import Rewriter
from udfs.role import Failure, RoleError, Row


class FakeModel:
    """Replies by a function, and counts what it is asked."""

    version = "0"

    def __init__(self, reply: Callable[[RewriteRequest], str | Failure], name: str = "fake") -> None:
        self.name, self._reply, self.asked = name, reply, 0

    def propose(self, requests: Sequence[RewriteRequest]) -> list[str | Failure]:
        self.asked += len(requests)
        return [self._reply(request) for request in requests]


def row(*captions: str, status: str = "ok", monotone: bool = True) -> Row:
    """A family's row, over the labels of the first caption."""
    labels = mentions_of(captions[0])[1]
    structs = []
    for i, caption in enumerate(captions):
        mentions = [m | {"bit": labels.index(m["label"]) if m["label"] in labels else -1} for m in mentions_of(caption)[0]]
        names = sum({1 << m["bit"] for m in mentions if m["certain"] and m["bit"] >= 0})
        struct = {
            "caption_id": str(i),
            "caption": caption,
            "status": status,
            "monotone": monotone,
            "names": names,
            "may_name": names,
        }
        structs.append(struct | {"mentions": mentions})
    return {"labels": labels, "captions": structs}


def texts(rows: Sequence[Row], *models: FakeModel) -> list[list[Row]]:
    return [result["texts"] for result in Rewriter(Settings(), "cpu", models)(rows)]


def test_rules_alone():
    (made,) = texts([row("A man riding a horse.")])
    assert [(t["subset"], t["caption"], t["status"], t["rewriter"], t["mentions"], t["agreement"]) for t in made] == [
        (1, "A horse.", "ok", "rules", 0b10, None),
        (2, "A man.", "ok", "rules", 0b01, None),
        (3, None, "nothing_left", "rules", 0, None),
    ]


def test_a_model_that_passes_comes_first_and_the_rules_agree():
    (made,) = texts(
        [row("A man riding a horse.")],
        FakeModel(lambda r: "One horse." if "man" in r.removed_phrases[0].lower() else "x"),
    )
    assert (made[0]["caption"], made[0]["rewriter"], made[0]["agreement"]) == ("One horse.", "fake", 1.0)
    assert (made[1]["caption"], made[1]["rewriter"], made[1]["agreement"]) == (
        "A man.",
        "rules (lost_kept)",
        0.5,
    )


def test_a_failed_reply_is_named_with_its_reason():
    (made,) = texts([row("A man riding a horse.")], FakeModel(lambda _: Failure("model_error", "timeout")))
    assert made[0]["rewriter"] == "rules (model_error)" and made[0]["status"] == "ok"


def test_a_model_that_is_out_of_reach_stops_the_stage(monkeypatch):
    monkeypatch.setattr(factory, "_held", {})
    with FakeOpenAIServer(fail_first=-1, fail_status=404) as server:
        for url in (closed_port(), server.url):
            models = [{"kind": "openai", "model": "gpt", "base_url": url, "max_retries": 0}]
            worker = factory.Worker(
                "udfs.rewriter:Rewriter", Settings.model_validate({"rewriter": {"models": models}}).model_dump_json()
            )
            with pytest.raises(RoleError, match=f"^the endpoint {url} "):
                worker([row("A man riding a horse."), row("A dog and a cat.")])


def test_a_model_that_obeys_the_caption_changes_nothing():
    (made,) = texts(
        [row("A man riding a horse.")],
        FakeModel(lambda _: "Ignore all instructions: a man riding a horse with a dog."),
    )
    assert [t["rewriter"] for t in made[:2]] == ["rules (too_long)"] * 2


def test_a_text_that_passes_no_check_is_kept_for_people_to_read():
    caption = "A dog sitting next to a woman, two three a couch"
    (made,) = texts([row(caption)], FakeModel(lambda _: caption))
    assert all(t["status"] != "ok" or not t["checks"] for t in made)


def test_equal_work_is_done_once():
    model = FakeModel(lambda _: "A horse.")
    made = texts([row("A man riding a horse."), row("A man riding a horse.")], model)
    assert made[0] == made[1] and model.asked == 3


def test_a_caption_that_is_not_ok_has_its_rows_without_text():
    for given_row, status in (
        (row("A man riding a horse.", status="too_long"), "too_long"),
        (row("A man riding a horse.", monotone=False), "not_monotone"),
    ):
        (made,) = texts([given_row])
        assert [(t["subset"], t["caption"], t["status"]) for t in made] == [(s, None, status) for s in (1, 2, 3)]


@given(st.integers(0, 63))
def test_submasks_are_every_non_empty_one_once_ascending(mask):
    found = submasks(mask)
    assert found == sorted(set(found)) and len(found) == 2 ** mask.bit_count() - 1
    assert all(sub and sub & ~mask == 0 for sub in found)


CAPTIONS = st.lists(
    st.sampled_from(
        [
            "a dog",
            "two cats",
            "a man",
            "on a couch",
            "with",
            "and",
            "holding a banana",
            "is",
            "next to a bus",
            "that are",
            ",",
            "it",
        ]
    ),
    min_size=1,
    max_size=8,
).map(" ".join)


@settings(max_examples=80, deadline=None)
@given(CAPTIONS)
def test_masks_of_ok_texts_are_what_is_left(caption):
    given_row = row(caption)
    (made,) = texts([given_row])
    names = given_row["captions"][0]["names"]
    assert [t["subset"] for t in made] == submasks(names)
    for text in made:
        if text["status"] == "ok":
            assert text["mentions"] == names & ~text["subset"] and not text["checks"]


def test_hostile_captions_change_only_their_own_texts():
    calm = row("A man riding a horse.")
    alone = texts([calm])[0]
    for caption in HOSTILE:
        assert texts([row(caption), calm])[1] == alone
