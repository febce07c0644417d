"""Every method against an example worked by hand. And no method may call a true text false.

The features are chosen so that the scaled cosines are small whole numbers. With images e1 = (1, 0, 0) and e2 = (0, 1, 0), texts
(.8, .6, 0) and (.6, .8, 0) and a scale of 5 they are [[4, 3], [3, 4]], and choosing 4 over 3 costs log(1 + 1/e) = 0.313262.
"""

import math
from dataclasses import replace

import open_clip
import pytest
import torch
from torch import Tensor

from tests.support.batch_examples import Image, Text, facts, random_batch
from training.data.batch import Facts, Needs, TextKind
from training.methods import METHODS, NAMES, Loss, Method, make
from training.methods.base import cross_entropy
from training.methods.coca import CoCa, token_likelihood

SCALE = torch.tensor(5.0)
IMAGES = torch.tensor([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]])
TEXTS = torch.tensor([[0.8, 0.6, 0.0], [0.6, 0.8, 0.0]])
CHOICE = math.log(1 + math.exp(-1))  # 4 against 3

APPLE, BANANA = 0b01, 0b10
FRUIT = APPLE | BANANA
DOG = Text(1, 1, 1, "a dog")
CAT = Text(2, 1, 1, "a cat")
TWO = [Image(1, 0, "dog"), Image(2, 0, "cat")]
FAMILY = [Image(1, 0, "apple banana"), Image(1, APPLE, "banana")]
FAMILY_TEXTS = [Text(1, FRUIT, FRUIT, "an apple and a banana"), Text(1, FRUIT, BANANA, "a banana")]


def variant(string: str, owner: int, kind: TextKind = TextKind.NEGATIVE, place: int = 0) -> Text:
    return Text(owner + 1, 1, 1, string, kind=kind, variant=place, owner=owner)


def loss(method: Method, texts: Tensor, batch_facts: Facts) -> Loss:
    return method(IMAGES, texts, SCALE, batch_facts)


@pytest.mark.parametrize("name", ["clip", "simclip", "laclip", "coca"])
def test_clip(name: str):
    """Both rows and both columns choose 4 over 3."""
    result = loss(make(name), TEXTS, facts(TWO, [DOG, CAT]))
    assert result.total.item() == pytest.approx(CHOICE, abs=1e-6)
    assert result.parts == {"contrast": pytest.approx(CHOICE, abs=1e-6)}


def test_clip_matches_open_clip():
    """Without masking the loss equals open_clip's to float tolerance, whichever texts are true."""
    images, texts, batch_facts = random_batch(8, [], seed=1)
    expected = open_clip.ClipLoss()(images, texts, torch.tensor(20.0))
    assert make("clip", masking=False)(images, texts, torch.tensor(20.0), batch_facts).total.item() == pytest.approx(
        expected.item(), rel=1e-5
    )


def test_masking_inside_families_leaves_chance_matches_as_negatives():
    """Image 2 shows a dog too: "a dog" of the other family is masked for it, or a negative with family masking or none."""
    batch_facts = facts(TWO, [DOG, CAT])
    batch_facts = replace(batch_facts, present=torch.ones_like(batch_facts.present))
    counts = {masking: make("clip", masking=masking).targets(batch_facts).counts() for masking in (True, "family", False)}
    assert [counts[masking]["negative"] for masking in (True, "family", False)] == [0, 2, 2]
    assert counts["family"]["unsure_but_negative"] == 2
    with pytest.raises(ValueError, match="masking is true, false or family"):
        make("clip", masking="some")


def test_negclip():
    """A swapped caption (.6, 0, .8) of image 1 scores 3 with it and 0 with image 2; it gets no column.

    Rows: log(1 + 1/e + 1/e) and log(1 + 1/e + 1/e^4); columns: log(1 + 1/e) twice.
    """
    texts = torch.cat([TEXTS, torch.tensor([[0.6, 0.0, 0.8]])])
    batch_facts = facts(TWO, [DOG, CAT, variant("a dog on grass", 0)])
    rows = (math.log(1 + 2 / math.e) + math.log(1 + 1 / math.e + math.exp(-4))) / 2
    assert loss(make("negclip"), texts, batch_facts).total.item() == pytest.approx((rows + CHOICE) / 2, abs=1e-6)


def test_negclip_leaves_out_what_may_be_true_of_others():
    """Image 2 shows a dog as well, so nobody knows whether the swapped caption is false of it."""
    texts = torch.cat([TEXTS, torch.tensor([[0.6, 0.0, 0.8]])])
    batch_facts = facts([Image(1, 0, "dog cat"), Image(2, 0, "cat dog")], [DOG, CAT, variant("a dog on grass", 0)])
    # Both own texts are masked too: each image shows a cat and a dog. Row 1 has the swapped caption as a negative, row 2 none.
    row = math.log(1 + 1 / math.e)
    assert loss(make("negclip", masking=True), texts, batch_facts).total.item() == pytest.approx((row + 0) / 2 / 2, abs=1e-6)


def test_ce_clip():
    """A negative of the third kind, (.6, 0, .8): 3 with its image, whose own text has 4; 5 x .48 = 2.4 with that text.

    L_imc = log e^2.4 = 2.4, weighted 0.3. The gap of 1 is 0.5 below the threshold of 1.5, so the ranking costs 0.5, weighted 0.2.
    The contrast is NegCLIP's. Afterwards the threshold equals the gap.
    """
    texts = torch.cat([TEXTS, torch.tensor([[0.6, 0.0, 0.8]])])
    batch_facts = facts(TWO, [DOG, CAT, variant("a red dog", 0, place=2)])
    method = make("ce_clip")
    method.thresholds[2] = 1.5
    result = loss(method, texts, batch_facts)
    contrast = loss(make("negclip"), texts, batch_facts).total.item()
    assert result.parts["contrast"] == pytest.approx(contrast, abs=1e-6)
    assert result.parts["imc"] == pytest.approx(0.3 * 2.4, abs=1e-6)
    assert result.parts["cmr"] == pytest.approx(0.2 * 0.5, abs=1e-6)
    assert method.thresholds.tolist() == pytest.approx([0, 0, 1, 0], abs=1e-6)
    assert "thresholds" in method.state_dict()


def test_thresholds_have_bounds_and_stay_in_evaluation():
    """A gap of 20 gives a threshold of 10, a negative that wins gives 0; in evaluation mode the threshold stays."""
    texts = torch.cat([TEXTS, torch.tensor([[0.0, 0.0, 1.0]])])  # a gap of .8
    batch_facts = facts(TWO, [DOG, CAT, variant("a red dog", 0)])
    method = make("ce_clip")
    method(IMAGES, texts, torch.tensor(25.0), batch_facts)
    assert method.thresholds[0].item() == 10.0
    method.eval()(IMAGES, texts, SCALE, batch_facts)
    assert method.thresholds[0].item() == 10.0
    method.train()(IMAGES, torch.cat([TEXTS, IMAGES[:1]]), SCALE, batch_facts)
    assert method.thresholds[0].item() == 0.0


def test_svlc():
    """A negative (.6, 0, .8) of image 1, and paraphrases (.8, 0, .6) and (0, .8, .6).

    L_neg: image 1 has 4 against 3. L_pos: images have 4 against 0 with the paraphrases, texts 5 x .64 = 3.2 against 2.4; halved.
    Own text and paraphrase both score 4, so the divergence is 0. The contrast is CLIP's, over own texts.
    """
    features = torch.tensor([[0.6, 0.0, 0.8], [0.8, 0.0, 0.6], [0.0, 0.8, 0.6]])
    positive = TextKind.POSITIVE
    variants = [variant("a red dog", 0), variant("one dog", 0, positive, 3), variant("one cat", 1, positive, 3)]
    result = loss(make("svlc"), torch.cat([TEXTS, features]), facts(TWO, [DOG, CAT, *variants]))
    expected = (math.log(1 + math.exp(-4)) + math.log(1 + math.exp(-0.8))) / 2
    assert result.parts == pytest.approx({"contrast": CHOICE, "negative": CHOICE, "positive": expected}, abs=1e-6)


def test_svlc_likeness():
    """A paraphrase that scores 3 where its text has 4: KL(1/2, 1/2 | softmax(4, 3)) = -log 2 + .313262 + .5, weighted 0.1."""
    texts = torch.cat([TEXTS, torch.tensor([[0.6, 0.0, 0.8]])])
    result = loss(make("svlc"), texts, facts(TWO, [DOG, CAT, variant("one dog", 0, TextKind.POSITIVE, 3)]))
    # Only image 1 has a paraphrase, so neither cross entropy has a negative.
    assert result.parts["positive"] == pytest.approx(0.1 * (CHOICE + 0.5 - math.log(2)), abs=1e-6)


def test_power_set():
    """Two fruits, and the image without the apple: the entailed pair (both fruits, "a banana") is masked.

    Row 1 and column 2 have no negative, row 2 and column 1 have 4 against 3.
    """
    result = loss(make("powerset"), TEXTS, facts(FAMILY, FAMILY_TEXTS))
    assert result.total.item() == pytest.approx(CHOICE / 2, abs=1e-6)


def test_power_set_soft():
    """Row 1: targets 5/6 and 1/6 of log-likelihoods -.313262 and -1.313262; column 2 likewise."""
    result = loss(make("powerset", entailed="soft", soft=0.2), TEXTS, facts(FAMILY, FAMILY_TEXTS))
    assert result.total.item() == pytest.approx((CHOICE + 1 / 6 + CHOICE) / 2, abs=1e-6)


def test_power_set_rank():
    """The exact text is 1 above the entailed one: that costs nothing at a margin of 5 x .1, and .5 at 5 x .3."""
    batch_facts = facts(FAMILY, FAMILY_TEXTS)
    assert loss(make("powerset", entailed="rank", margin=0.1), TEXTS, batch_facts).parts["rank"] == 0
    result = loss(make("powerset", entailed="rank", margin=0.3), TEXTS, batch_facts)
    assert result.parts == pytest.approx({"contrast": CHOICE / 2, "rank": 0.5}, abs=1e-6)


def test_ranking_is_among_texts_of_one_source():
    """A caption that names only the banana is exact with and without the apple, so it is ranked above no text."""
    banana_only = Text(1, BANANA, BANANA, "one ripe banana", owner=0)
    texts = torch.cat([TEXTS, torch.tensor([[0.0, 0.0, 1.0]])])
    result = loss(make("powerset", entailed="rank", margin=0.3), texts, facts(FAMILY, [*FAMILY_TEXTS, banana_only]))
    # Ranking this text, which scores 0, above the entailed one (3) would cost 4.5 more.
    assert result.parts["rank"] == pytest.approx(0.5, abs=1e-6)


def test_first_form():
    """Dual images without dual texts: the caption is false of the dual, which gets no row.

    Row 1: two copies of its caption, each half of the target: log 2. Columns: 4 against 3.
    """
    texts = TEXTS[[0, 0]]
    result = loss(make("powerset", first_form=True), texts, facts(FAMILY, FAMILY_TEXTS[:1] * 2))
    assert result.total.item() == pytest.approx((math.log(2) + CHOICE) / 2, abs=1e-6)
    assert make("powerset", first_form=True).needs.own == "original"


def test_dual_texts_without_dual_images():
    """The whole scene with "a banana", drawn from its family: a target although it is entailed, like the cat's own text."""
    method = make("powerset", images="originals")
    assert (method.needs.members, method.needs.duals, method.needs.own) == (1, False, "true")
    result = loss(method, TEXTS, facts([FAMILY[0], TWO[1]], [FAMILY_TEXTS[1], CAT]))
    assert result.total.item() == pytest.approx(CHOICE, abs=1e-6), "4 against 3 in both rows and both columns"
    assert result.counts["false_but_positive"] == result.counts["true_but_negative"] == 0


def test_an_entailed_text_drawn_for_another_image_is_masked():
    """The same original twice, at an epoch's end, with its caption and with "a banana": neither text is a negative."""
    result = loss(make("powerset", images="originals"), TEXTS, facts([FAMILY[0]] * 2, FAMILY_TEXTS))
    # Row 1: only its own caption. Row 2: both texts (3 and 4). Column 1: both images (4 and 3). Column 2: only its own image.
    assert result.total.item() == pytest.approx((CHOICE + 0.5) / 2, abs=1e-6)


def test_leave_one_out_asks_for_some_of_the_duals():
    needs = make("powerset+negclip", subsets="leave_one_out", members=2).needs
    assert (needs.subsets, needs.members, needs.duals) == ("leave_one_out", 2, True)


def test_exact_texts_of_other_images():
    """A caption that names only the banana is exact for both images: a second positive, or masked, never a negative."""
    texts = [Text(1, BANANA, BANANA, "a banana"), Text(1, BANANA, BANANA, "a ripe banana")]
    batch_facts = facts(FAMILY, texts)
    # Targets of one half each: -.313262/2 - 1.313262/2, in all rows and columns.
    assert loss(make("powerset"), TEXTS, batch_facts).total.item() == pytest.approx(CHOICE + 0.5, abs=1e-6)
    assert loss(make("powerset", positives="masked"), TEXTS, batch_facts).total.item() == 0
    literal = loss(make("powerset", masking=False), TEXTS, batch_facts)
    assert literal.total.item() == pytest.approx(CHOICE, abs=1e-6)
    assert literal.counts["true_but_negative"] == 2
    assert literal.true_but_negative == 1.0


@pytest.mark.parametrize("name", NAMES)
def test_no_method_calls_a_true_text_false(name: str):
    images, texts, batch_facts = batch_for(make(name).needs)
    result = make(name, masking=True)(images, texts, SCALE, batch_facts)
    assert result.counts["negative"] > 0
    assert result.counts["true_but_negative"] == result.counts["unsure_but_negative"] == result.counts["false_but_positive"] == 0
    assert result.true_but_negative == 0
    by_default = make(name)(images, texts, SCALE, batch_facts).counts
    assert by_default["true_but_negative"] == 0, "inside a family, at least"
    literal = make(name, masking=False)(images, texts, SCALE, batch_facts)
    assert literal.counts["true_but_negative"] > 0, "the batch has true pairs that a literal loss punishes"


@pytest.mark.parametrize("name", NAMES)
def test_gradient_goes_downhill_and_not_through_masked_pairs(name: str):
    """A step against the gradient lowers the loss; a text with only masked pairs gets no gradient."""
    images, texts, batch_facts = batch_for(make(name).needs)
    images.requires_grad_()
    texts.requires_grad_()
    method = make(name).eval()
    before = method(images, texts, SCALE, batch_facts).total
    before.backward()
    with torch.no_grad():
        assert method(images - 0.01 * images.grad, texts - 0.01 * texts.grad, SCALE, batch_facts).total < before
    targets = method.targets(batch_facts)
    idle = (targets.positive == 0).all(0) & ~targets.negative.any(0)
    if name not in ("svlc", "ce_clip"):  # their other terms use the variants as well
        assert (texts.grad[idle] == 0).all()
        assert (texts.grad[~idle].abs().sum(1) > 0).any()


def test_a_masked_text_has_no_gradient():
    """ "a banana" is entailed by the only image of its family: nothing pulls or pushes it."""
    texts = torch.cat([TEXTS[:1], TEXTS]).requires_grad_()
    batch_facts = facts(
        [FAMILY[0], TWO[0]], [FAMILY_TEXTS[0], Text(1, 1, 1, "a dog"), Text(1, FRUIT, BANANA, "a banana", owner=0)]
    )
    batch_facts.text_family[1] = batch_facts.image_family[1] = 2
    batch_facts.present[1, 1] = True  # a banana lies beside the dog, so across families it is true by chance
    loss(make("powerset", masking=True), texts, batch_facts).total.backward()
    assert (texts.grad[2] == 0).all()
    assert (texts.grad[:2] != 0).any(1).all()


def test_negatives_are_pushed_and_positives_pulled():
    texts = torch.cat([TEXTS, torch.tensor([[0.6, 0.0, 0.8]])]).requires_grad_()
    batch_facts = facts(TWO, [DOG, CAT, variant("a dog on grass", 0)])
    loss(make("negclip"), texts, batch_facts).total.backward()
    pull = -texts.grad @ IMAGES.T  # what a step does to each cosine: [text, image]
    assert pull[0, 0] > 0 and pull[1, 1] > 0
    assert pull[0, 1] < 0 and pull[1, 0] < 0
    assert (pull[2] < 0).all()


def test_rows_without_a_positive_cost_nothing():
    logits = torch.tensor([[4.0, 3.0], [9.0, 9.0]], requires_grad=True)
    result = cross_entropy(logits, torch.tensor([[1.0, 0.0], [0.0, 0.0]]), torch.tensor([[False, True], [True, True]]))
    result.backward()
    assert result.item() == pytest.approx(CHOICE, abs=1e-6)
    assert (logits.grad[1] == 0).all()
    no_positives = cross_entropy(logits, torch.zeros(2, 2), torch.ones(2, 2, dtype=torch.bool))
    no_positives.backward()
    assert no_positives.item() == 0


@pytest.mark.parametrize("name", NAMES)
def test_names(name: str):
    assert make(name).name == name


def test_joined():
    """Power-set families with the other method's variants, as many of each kind as that method takes."""
    method = make("powerset+ce_clip", members=8)
    assert method.needs.members == 8 and method.needs.duals and method.needs.own == "dual"
    assert method.needs.variants == METHODS["ce_clip"].needs.variants
    assert make("powerset+simclip").needs.neighbours
    images, texts, batch_facts = batch_for(method.needs)
    method.second.thresholds.fill_(-1)
    result = method(images, texts, SCALE, batch_facts)
    assert set(result.parts) == {"contrast", "imc", "cmr"}
    assert (method.second.thresholds >= 0).all(), "the thresholds of all four kinds were updated"


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("clap", {}, "no method 'clap'"),
        ("clip", {"entailed": "soft"}, "method clip"),
        ("clip", {"positives": "all"}, "masked or multi"),
        ("powerset", {"entailed": "some"}, "mask, soft or rank"),
        ("powerset", {"entailed": "soft", "masking": False}, "without masking"),
        ("powerset", {"subsets": "pairs"}, "all or leave_one_out"),
        ("powerset", {"images": "duals"}, "all or originals"),
        ("powerset", {"images": "originals", "members": 4}, "with originals only it must be 1"),
        ("powerset", {"images": "originals", "first_form": True}, "one image and one text"),
        ("powerset", {"images": "originals", "entailed": "rank"}, "one image and one text"),
        ("svlc", {"source": "guesses"}, "rules, model or both"),
        ("negclip+powerset", {}, "no method"),
    ],
)
def test_bad_options_are_one_clear_error(name: str, options: dict[str, object], message: str):
    with pytest.raises(ValueError, match=message):
        make(name, **options)


@pytest.fixture(scope="module")
def captioner() -> torch.nn.Module:
    torch.manual_seed(0)
    text = {"context_length": 8, "vocab_size": 32, "width": 16, "heads": 2, "layers": 1, "embed_cls": True, "output_tokens": True}
    decoder = {"context_length": 8, "vocab_size": 32, "width": 16, "heads": 2, "layers": 1}
    vision = {
        "image_size": 16,
        "patch_size": 8,
        "width": 16,
        "layers": 1,
        "head_width": 8,
        "attentional_pool": True,
        "output_tokens": True,
    }
    model = open_clip.CoCa(16, decoder, text, vision)
    torch.nn.init.normal_(model.text_decoder.text_projection, std=0.1)  # open_clip leaves it uninitialised
    return model.eval()


def test_coca(captioner: torch.nn.Module):
    """The caption loss is open_clip's own, with its weight."""
    pixels = torch.randn(2, 3, 16, 16, generator=torch.Generator().manual_seed(1))
    tokens = torch.tensor([[1, 5, 9, 2, 0, 0, 0], [1, 7, 7, 8, 4, 2, 0]])
    output = captioner(pixels, tokens)
    _, expected = open_clip.CoCaLoss(caption_loss_weight=2.0, clip_loss_weight=0)(
        output["image_features"], output["text_features"], output["logits"], output["labels"], output["logit_scale"]
    )
    method = make("coca")
    assert isinstance(method, CoCa)
    assert method.extra(output, tokens).item() == pytest.approx(expected.item(), rel=1e-5)
    with pytest.raises(ValueError, match="do not fit"):
        method.extra(output, tokens[:1])


def test_captions_rank_by_likelihood(captioner: torch.nn.Module):
    """A caption's score is the sum of its tokens' log likelihoods; trained on one caption, the captioner prefers it."""
    model = captioner.train()
    pixels = torch.randn(1, 3, 16, 16, generator=torch.Generator().manual_seed(1))
    right, wrong = torch.tensor([[1, 5, 9, 2, 0, 0, 0]]), torch.tensor([[1, 9, 5, 2, 0, 0, 0]])
    method, optimiser = make("coca"), torch.optim.Adam(model.parameters(), lr=0.01)
    for _ in range(30):
        optimiser.zero_grad()
        method.extra(model(pixels, right), right).backward()
        optimiser.step()
    totals = []
    for text in (right, wrong):
        with torch.no_grad():
            logits = model.eval()(pixels, text)["logits"]
        likelihood, is_token = token_likelihood(logits, text)
        totals.append((likelihood * is_token).sum().item())
        following = [token for token in text[0, 1:].tolist() if token]
        expected = logits.log_softmax(-1)[0, range(len(following)), following]
        assert totals[-1] == pytest.approx(expected.sum().item(), rel=1e-4)
    assert totals[0] > totals[1]


def batch_for(needs: Needs) -> tuple[Tensor, Tensor, Facts]:
    """Eight images with one variant of each kind that a method asks for."""
    true = ("paraphrase", "rewrite")
    kinds = [TextKind.POSITIVE if kind in true else TextKind.NEGATIVE for kind, _ in needs.variants]
    return random_batch(8, kinds, seed=3)
