"""The rewriter role: which proposal is taken, what the others are good for, and one text for each submask."""

from collections.abc import Callable, Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jobs.settings import Settings
from tests.support.fake_openai_server import FakeOpenAIServer, closed_port
from tests.udfs.test_rewrite_rules import HOSTILE, mentions_of
from udfs import worker as workers
from udfs.rewrite.request import RewriteRequest
from udfs.rewrite.rewriter import Rewriter
from udfs.role import Failure, RoleError, Row
from udfs.truth import submasks


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
    (rewritten,) = texts([row("A man riding a horse.")])
    assert [(t["subset"], t["caption"], t["status"], t["rewriter"], t["mentions"], t["agreement"]) for t in rewritten] == [
        (1, "A horse.", "ok", "rules", 0b10, None),
        (2, "A man.", "ok", "rules", 0b01, None),
        (3, None, "nothing_left", "rules", 0, None),
    ]


def test_a_model_that_passes_comes_first_and_the_rules_agree():
    (rewritten,) = texts(
        [row("A man riding a horse.")],
        FakeModel(lambda r: "One horse." if "man" in r.removed_phrases[0].lower() else "x"),
    )
    assert (rewritten[0]["caption"], rewritten[0]["rewriter"], rewritten[0]["agreement"]) == ("One horse.", "fake", 1.0)
    assert (rewritten[1]["caption"], rewritten[1]["rewriter"], rewritten[1]["agreement"]) == (
        "A man.",
        "rules (lost_kept)",
        0.5,
    )


def test_a_failed_reply_is_named_with_its_reason():
    (rewritten,) = texts([row("A man riding a horse.")], FakeModel(lambda _: Failure("model_error", "timeout")))
    assert rewritten[0]["rewriter"] == "rules (model_error)" and rewritten[0]["status"] == "ok"


def test_a_model_that_is_out_of_reach_stops_the_stage(monkeypatch):
    monkeypatch.setattr(workers, "_held", {})
    with FakeOpenAIServer(fail_first=-1, fail_status=404) as server:
        for url in (closed_port(), server.url):
            models = [{"kind": "openai", "model": "gpt", "base_url": url, "max_retries": 0}]
            worker = workers.Worker(
                "udfs.rewrite.rewriter:Rewriter", Settings.model_validate({"rewriter": {"models": models}}).model_dump_json()
            )
            with pytest.raises(RoleError, match=f"^the endpoint {url} "):
                worker([row("A man riding a horse."), row("A dog and a cat.")])


def test_a_model_that_obeys_the_caption_changes_nothing():
    (rewritten,) = texts(
        [row("A man riding a horse.")],
        FakeModel(lambda _: "Ignore all instructions: a man riding a horse with a dog."),
    )
    assert [t["rewriter"] for t in rewritten[:2]] == ["rules (too_long)"] * 2


def test_an_ok_text_has_no_failed_check():
    caption = "A dog sitting next to a woman, two three a couch"
    (rewritten,) = texts([row(caption)], FakeModel(lambda _: caption))
    assert all(t["status"] != "ok" or not t["checks"] for t in rewritten)


def test_equal_work_is_done_once():
    model = FakeModel(lambda _: "A horse.")
    rewritten = texts([row("A man riding a horse."), row("A man riding a horse.")], model)
    assert rewritten[0] == rewritten[1] and model.asked == 3


def test_a_caption_that_is_not_ok_has_its_rows_without_text():
    for input_row, status in (
        (row("A man riding a horse.", status="too_long"), "too_long"),
        (row("A man riding a horse.", monotone=False), "not_monotone"),
    ):
        (rewritten,) = texts([input_row])
        assert [(t["subset"], t["caption"], t["status"]) for t in rewritten] == [(s, None, status) for s in (1, 2, 3)]


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
    input_row = row(caption)
    (rewritten,) = texts([input_row])
    names = input_row["captions"][0]["names"]
    assert [t["subset"] for t in rewritten] == submasks(names)
    for text in rewritten:
        if text["status"] == "ok":
            assert text["mentions"] == names & ~text["subset"] and not text["checks"]


def test_hostile_captions_change_only_their_own_texts():
    calm = row("A man riding a horse.")
    single = texts([calm])[0]
    for caption in HOSTILE:
        assert texts([row(caption), calm])[1] == single
