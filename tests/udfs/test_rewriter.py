"""The rewriter role: which proposal is taken, what the others are good for, and one text for each submask."""

from collections.abc import Callable, Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jobs.settings import Settings
from tests.support.fake_openai_server import FakeOpenAIServer, closed_port
from tests.udfs.test_rewrite_rules import HOSTILE, mentions_of
from udfs import worker as workers
from udfs.captions.lexicon import find_mentions
from udfs.captions.referents import Referents
from udfs.rewrite.request import RewriteRequest
from udfs.rewrite.rewriter import Rewriter
from udfs.role import Failure, RoleError, Row
from udfs.truth import submasks


class FakeModel:
    """Replies by a function, and counts what it is asked."""

    version = "0"

    def __init__(
        self, reply: Callable[[RewriteRequest], str | Failure], name: str = "fake", parameters: int | None = None
    ) -> None:
        self.name, self._reply, self.asked, self.parameters = name, reply, 0, parameters

    def propose(self, requests: Sequence[RewriteRequest]) -> list[str | Failure]:
        self.asked += len(requests)
        return [self._reply(request) for request in requests]


def row(*captions: str, status: str = "ok", monotone: bool = True) -> Row:
    """A family's row, over the labels of the first caption."""
    labels = mentions_of(captions[0])[1]
    structs = []
    for i, caption in enumerate(captions):
        mentions = find_mentions(caption)
        names, _ = Referents.of_labels(labels).masks(caption)
        struct = {
            "caption_id": str(i),
            "caption": caption,
            "status": status,
            "monotone": monotone,
            "names": names,
            "may_name": names,
        }
        structs.append(struct | {"mentions": mentions})
    return {"components": [{"label": label} for label in labels], "captions": structs}


def texts(rows: Sequence[Row], *models: FakeModel, listed: Sequence[str] = ()) -> list[list[Row]]:
    """``listed``: the kinds of ``rewriter.models``, one of which may be rules."""
    return [result["texts"] for result in rewriter(models, listed)(rows)]


def rewriter(models: Sequence[FakeModel], listed: Sequence[str] = ()) -> Rewriter:
    tree = {"rewriter": {"models": [{"kind": kind} for kind in listed]}}
    return Rewriter(Settings.model_validate(tree), "cpu", models)


def written(text: Row) -> tuple[str | None, str | None, float | None]:
    return text["caption"], text["rewriter"], text["agreement"]


def test_a_caption_that_names_only_what_a_component_carries():
    caption = "A carrot and a dog."
    struct = {"caption_id": "0", "caption": caption, "status": "ok", "monotone": True, "names": 0b11, "may_name": 0}
    components = [{"label": "bowl", "carries": ["carrot"]}, {"label": "dog", "carries": []}]
    family = {"components": components, "captions": [struct | {"mentions": find_mentions(caption)}]}
    (answer,) = rewriter([], [])([family])
    texts = {text["subset"]: (text["caption"], text["mentions"], text["status"]) for text in answer["texts"]}
    assert texts[0b10] == ("A carrot.", 0b01, "ok"), "false once the bowl is gone, too"
    assert texts[0b01] == ("A dog.", 0b10, "ok")
    assert texts[0b11][2] == "nothing_left"


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
        None,
    )


def says(*replies: str) -> Callable[[RewriteRequest], str]:
    """The first of the replies that names none of what is removed."""
    return lambda r: next((t for t in replies if not any(p.split()[-1] in t for p in r.removed_phrases)), "")


def test_rules_stand_where_the_settings_put_them():
    family = [row("A man riding a horse.")]
    model = FakeModel(says("One horse.", "One man."))
    (first,) = texts(family, model, listed=["rules", "openai"])
    assert [written(text) for text in first[:2]] == [("A horse.", "rules", 1.0), ("A man.", "rules", 1.0)]
    (last,) = texts(family, model, listed=["openai", "rules"])
    assert last == texts(family, model)[0]
    assert [written(text) for text in last[:2]] == [("One horse.", "fake", 1.0), ("One man.", "fake", 1.0)]
    deaf, second = FakeModel(lambda _: Failure("model_error", "timeout"), "deaf"), FakeModel(says("One horse.", "One man."))
    (between,) = texts(family, deaf, second, listed=["openai", "rules", "openai"])
    assert [written(text) for text in between[:2]] == [
        ("A horse.", "rules (model_error)", 1.0),
        ("A man.", "rules (model_error)", 1.0),
    ]
    assert rewriter([deaf, second], ["openai", "rules", "openai"]).name == "deaf+rules+fake"
    assert rewriter([deaf, second], ["openai", "rules", "openai"]).version == "0+8+0"


@pytest.mark.parametrize(
    ("parameters", "name"),
    [
        ([None], "0+rules"),  # a served model does not say how large it is
        ([7_000_000_000], "0+rules"),
        ([1_500_000_000], "rules+0"),
        ([7_000_000_000, 500_000_000, None], "0+rules+1+2"),
    ],
)
def test_rules_stand_before_small_models_unless_the_settings_say_where(parameters, name):
    models = [FakeModel(says(), str(i), size) for i, size in enumerate(parameters)]
    assert rewriter(models).name == name
    assert rewriter(models, ["openai"] * len(models) + ["rules"]).name == "+".join([*map(str, range(len(models))), "rules"])


def test_rules_are_there_once():
    tree = {"rewriter": {"models": [{"kind": "rules"}, {"kind": "rules"}]}}
    with pytest.raises(ValueError, match="kind rules may be there once"):
        Settings.model_validate(tree)
    assert Rewriter(Settings.model_validate({"rewriter": {"models": [{"kind": "rules"}]}}), "cpu").name == "rules"


def without_the_bowl(*models: FakeModel, listed: Sequence[str] = ()) -> Row:
    """Of "a glass and a bowl of food on a table" the rules keep the glass alone."""
    ((text,),) = texts([row("A glass and a bowl of food on a table.")], *models, listed=listed)
    return text


def test_a_text_that_says_more_wins_over_the_first_that_passes():
    short, long = FakeModel(lambda _: "The glass.", "short"), FakeModel(lambda _: "A glass on a table.", "long")
    assert written(without_the_bowl()) == ("A glass.", "rules", None)
    assert written(without_the_bowl(long, listed=["rules", "openai"])) == ("A glass on a table.", "long", 0.5)
    for models in ((short, long), (long, short)):
        assert written(without_the_bowl(*models)) == ("A glass on a table.", "long", 0.5)
    assert written(without_the_bowl(short)) == ("The glass.", "short", 1.0), "the rules' text says no more"


def test_a_model_may_not_leave_out_what_the_rules_keep():
    family = [row("A dog and a bench near a boat at a dock.")]
    (rewritten,) = texts(family, FakeModel(lambda _: "A bench near a boat."))
    assert written(rewritten[0]) == ("A bench near a boat at a dock.", "rules (says_less)", 2 / 3)
    (rewritten,) = texts(family, FakeModel(lambda _: "One bench near a boat at a dock."))
    assert written(rewritten[0]) == ("One bench near a boat at a dock.", "fake", 1.0)


@pytest.mark.parametrize(
    ("reply", "agreement"),
    [
        ("One horse.", 1.0),
        ("A man riding a horse.", None),  # what fails a check says nothing of another text
        (Failure("model_error", "timeout"), None),
    ],
)
def test_the_writer_of_a_text_has_no_vote_on_it(reply, agreement):
    (rewritten,) = texts([row("A man riding a horse.")], FakeModel(lambda _: reply), listed=["rules", "openai"])
    assert written(rewritten[0]) == ("A horse.", "rules", agreement)


def test_texts_agree_as_far_as_they_share_their_nouns():
    family = [row("A boat next to a tall ship at a dock with a dog.")]
    for reply, agreement in {
        "A ship at a dock.": 2 / 3,
        "A ship.": 1 / 3,
        "One boat next to a tall ship at a dock.": 1.0,
    }.items():
        (rewritten,) = texts(family, FakeModel(lambda _, reply=reply: reply), listed=["rules", "openai"])
        text = next(
            text for text in rewritten if text["subset"] == 1 << [part["label"] for part in family[0]["components"]].index("dog")
        )
        assert written(text) == ("A boat next to a tall ship at a dock.", "rules", agreement)


def test_where_nobody_has_a_text_rules_that_stand_first_say_why_the_model_has_none():
    (rewritten,) = texts([row("A man riding a horse.")], FakeModel(lambda _: "A zebra."), listed=["rules", "openai"])
    assert [written(text) for text in rewritten] == [
        ("A horse.", "rules", None),
        ("A man.", "rules", None),
        (None, "rules (names_new)", None),
    ]
    assert rewritten[2]["status"] == "nothing_left"


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
