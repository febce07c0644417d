"""Every method against an example worked by hand, and what no method may do: call a true text false.

The features are chosen so that the scaled cosines are small whole numbers. With images e1 = (1, 0, 0) and e2 = (0, 1, 0), texts
(.8, .6, 0) and (.6, .8, 0) and a scale of 5 they are [[4, 3], [3, 4]], and choosing 4 over 3 costs log(1 + 1/e) = 0.313262.
"""

import math
from dataclasses import replace

import open_clip
import pytest
import torch
from torch import Tensor

from tests.batch_examples import Image, Text, facts, random_batch
from training.batch import Facts, Needs, TextKind
from training.methods import METHODS, NAMES, Loss, Method, make
from training.methods.base import cross_entropy
from training.methods.coca import CoCa, caption_scores

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


def loss(method: Method, texts: Tensor, about: Facts) -> Loss:
    return method(IMAGES, texts, SCALE, about)


@pytest.mark.parametrize("name", ["clip", "simclip", "laclip", "coca"])
def test_clip(name: str):
    """Both rows and both columns choose 4 over 3."""
    found = loss(make(name), TEXTS, facts(TWO, [DOG, CAT]))
    assert found.total.item() == pytest.approx(CHOICE, abs=1e-6)
    assert found.parts == {"contrast": pytest.approx(CHOICE, abs=1e-6)}


def test_clip_is_open_clips():
    """The published form is open_clip's loss to float tolerance, whatever is true."""
    images, texts, about = random_batch(8, [], seed=1)
    wanted = open_clip.ClipLoss()(images, texts, torch.tensor(20.0))
    assert make("clip", masking=False)(images, texts, torch.tensor(20.0), about).total.item() == pytest.approx(
        wanted.item(), rel=1e-5
    )


def test_masking_inside_families_makes_negatives_of_what_is_true_by_chance():
    """Image 2 shows a dog too: the text "a dog" of the other family is masked for it, or a negative as it was published."""
    about = facts(TWO, [DOG, CAT])
    about = replace(about, present=torch.ones_like(about.present))
    counts = {masking: make("clip", masking=masking).targets(about).counts() for masking in (True, "family", False)}
    assert [counts[masking]["negative"] for masking in (True, "family", False)] == [0, 2, 2]
    assert counts["family"]["unsure_but_negative"] == 2
    with pytest.raises(ValueError, match="masking is true, false or family"):
        make("clip", masking="some")


def test_negclip():
    """A swapped caption (.6, 0, .8) of image 1 scores 3 with it and 0 with image 2; it is not asked for an image.

    Rows: log(1 + 1/e + 1/e) and log(1 + 1/e + 1/e^4); columns: log(1 + 1/e) twice.
    """
    texts = torch.cat([TEXTS, torch.tensor([[0.6, 0.0, 0.8]])])
    about = facts(TWO, [DOG, CAT, variant("a dog on grass", 0)])
    rows = (math.log(1 + 2 / math.e) + math.log(1 + 1 / math.e + math.exp(-4))) / 2
    assert loss(make("negclip"), texts, about).total.item() == pytest.approx((rows + CHOICE) / 2, abs=1e-6)


def test_negclip_leaves_out_what_may_be_true_of_others():
    """With a dog in image 2 as well, nobody knows whether the swapped caption is false of it."""
    texts = torch.cat([TEXTS, torch.tensor([[0.6, 0.0, 0.8]])])
    about = facts([Image(1, 0, "dog cat"), Image(2, 0, "cat dog")], [DOG, CAT, variant("a dog on grass", 0)])
    # Both own texts are masked too: each image shows a cat and a dog. Row 1 has the swapped caption against it, row 2 nothing.
    row = math.log(1 + 1 / math.e)
    assert loss(make("negclip", masking=True), texts, about).total.item() == pytest.approx((row + 0) / 2 / 2, abs=1e-6)


def test_ce_clip():
    """A negative of the third kind, (.6, 0, .8): 3 with its image, whose own text has 4; 5 x .48 = 2.4 with its own text.

    L_imc = log e^2.4 = 2.4, weighed 0.3. At a threshold of 1.5 the ranking asks for 1.5 more than the gap of 1 has: 0.5,
    weighed 0.2. The contrast is NegCLIP's. Then the threshold is the gap.
    """
    texts = torch.cat([TEXTS, torch.tensor([[0.6, 0.0, 0.8]])])
    about = facts(TWO, [DOG, CAT, variant("a red dog", 0, place=2)])
    method = make("ce_clip")
    method.thresholds[2] = 1.5
    found = loss(method, texts, about)
    contrast = loss(make("negclip"), texts, about).total.item()
    assert found.parts["contrast"] == pytest.approx(contrast, abs=1e-6)
    assert found.parts["imc"] == pytest.approx(0.3 * 2.4, abs=1e-6)
    assert found.parts["cmr"] == pytest.approx(0.2 * 0.5, abs=1e-6)
    assert method.thresholds.tolist() == pytest.approx([0, 0, 1, 0], abs=1e-6)
    assert "thresholds" in method.state_dict()


def test_thresholds_have_bounds_and_rest_in_evaluation():
    """A gap of 20 gives a threshold of 10, a negative that wins one of 0; a method that is not in training keeps what it has."""
    texts = torch.cat([TEXTS, torch.tensor([[0.0, 0.0, 1.0]])])  # a gap of .8
    about = facts(TWO, [DOG, CAT, variant("a red dog", 0)])
    method = make("ce_clip")
    method(IMAGES, texts, torch.tensor(25.0), about)
    assert method.thresholds[0].item() == 10.0
    method.eval()(IMAGES, texts, SCALE, about)
    assert method.thresholds[0].item() == 10.0
    method.train()(IMAGES, torch.cat([TEXTS, IMAGES[:1]]), SCALE, about)
    assert method.thresholds[0].item() == 0.0


def test_svlc():
    """A negative (.6, 0, .8) of image 1, and paraphrases (.8, 0, .6) and (0, .8, .6).

    L_neg: image 1 has 4 against 3. L_pos: images have 4 against 0 with the paraphrases, texts 5 x .64 = 3.2 against 2.4; halved.
    Own text and paraphrase score 4 alike, so nothing diverges. The contrast is CLIP's, over own texts.
    """
    more = torch.tensor([[0.6, 0.0, 0.8], [0.8, 0.0, 0.6], [0.0, 0.8, 0.6]])
    same = TextKind.POSITIVE
    extra = [variant("a red dog", 0), variant("one dog", 0, same, 3), variant("one cat", 1, same, 3)]
    found = loss(make("svlc"), torch.cat([TEXTS, more]), facts(TWO, [DOG, CAT, *extra]))
    beside = (math.log(1 + math.exp(-4)) + math.log(1 + math.exp(-0.8))) / 2
    assert found.parts == pytest.approx({"contrast": CHOICE, "negative": CHOICE, "positive": beside}, abs=1e-6)


def test_svlc_likeness():
    """A paraphrase that scores 3 where its text has 4: KL(1/2, 1/2 | softmax(4, 3)) = -log 2 + .313262 + .5, weighed 0.1."""
    texts = torch.cat([TEXTS, torch.tensor([[0.6, 0.0, 0.8]])])
    found = loss(make("svlc"), texts, facts(TWO, [DOG, CAT, variant("one dog", 0, TextKind.POSITIVE, 3)]))
    # Image 1 alone has one, so neither cross entropy has anything against it.
    assert found.parts["positive"] == pytest.approx(0.1 * (CHOICE + 0.5 - math.log(2)), abs=1e-6)


def test_power_set():
    """An apple and a banana, without the apple: the entailed pair ("a banana" of both) is masked.

    Row 1 and column 2 have nothing against their positive, row 2 and column 1 have 4 against 3.
    """
    found = loss(make("powerset"), TEXTS, facts(FAMILY, FAMILY_TEXTS))
    assert found.total.item() == pytest.approx(CHOICE / 2, abs=1e-6)


def test_power_set_soft():
    """Row 1: targets 5/6 and 1/6 of log-likelihoods -.313262 and -1.313262; column 2 likewise."""
    found = loss(make("powerset", entailed="soft", soft=0.2), TEXTS, facts(FAMILY, FAMILY_TEXTS))
    assert found.total.item() == pytest.approx((CHOICE + 1 / 6 + CHOICE) / 2, abs=1e-6)


def test_power_set_rank():
    """The exact text is 1 above the entailed one: no cost at a margin of 5 x .1, but .5 at one of 5 x .3."""
    about = facts(FAMILY, FAMILY_TEXTS)
    assert loss(make("powerset", entailed="rank", margin=0.1), TEXTS, about).parts["rank"] == 0
    found = loss(make("powerset", entailed="rank", margin=0.3), TEXTS, about)
    assert found.parts == pytest.approx({"contrast": CHOICE / 2, "rank": 0.5}, abs=1e-6)


def test_ranking_is_among_texts_of_one_source():
    """ "a banana" of a caption that named only the banana is exact with and without the apple, and ranks over nothing."""
    other = Text(1, BANANA, BANANA, "one ripe banana", owner=0)
    texts = torch.cat([TEXTS, torch.tensor([[0.0, 0.0, 1.0]])])
    found = loss(make("powerset", entailed="rank", margin=0.3), texts, facts(FAMILY, [*FAMILY_TEXTS, other]))
    # Against the text at 0 the entailed one (3) would cost 4.5 more.
    assert found.parts["rank"] == pytest.approx(0.5, abs=1e-6)


def test_first_form():
    """Dual images without dual texts: the caption is false of the dual, which is never asked for one.

    Row 1: two copies of its caption, each half of the target: log 2. Columns: 4 against 3.
    """
    texts = TEXTS[[0, 0]]
    found = loss(make("powerset", first_form=True), texts, facts(FAMILY, FAMILY_TEXTS[:1] * 2))
    assert found.total.item() == pytest.approx((math.log(2) + CHOICE) / 2, abs=1e-6)
    assert make("powerset", first_form=True).needs.own == "original"


def test_dual_texts_without_dual_images():
    """The whole scene with "a banana", drawn of its family: a target though it is entailed, as the dog's own text is."""
    method = make("powerset", images="originals")
    assert (method.needs.members, method.needs.duals, method.needs.own) == (1, False, "true")
    found = loss(method, TEXTS, facts([FAMILY[0], TWO[1]], [FAMILY_TEXTS[1], CAT]))
    assert found.total.item() == pytest.approx(CHOICE, abs=1e-6), "4 against 3 in both rows and both columns"
    assert found.counts["false_but_positive"] == found.counts["true_but_negative"] == 0


def test_an_entailed_text_drawn_for_another_image_is_masked():
    """Twice the same original at an epoch's end, with its caption and with "a banana": neither is told from the other."""
    found = loss(make("powerset", images="originals"), TEXTS, facts([FAMILY[0]] * 2, FAMILY_TEXTS))
    # Row 1: its own caption alone. Row 2: both texts are targets, of 3 and 4. Column 1: of 4 and 3. Column 2: alone.
    assert found.total.item() == pytest.approx((CHOICE + 0.5) / 2, abs=1e-6)


def test_leave_one_out_asks_for_some_of_the_duals():
    needs = make("powerset+negclip", subsets="leave_one_out", members=2).needs
    assert (needs.subsets, needs.members, needs.duals) == ("leave_one_out", 2, True)


def test_exact_texts_of_other_images():
    """A caption that names only the banana is exact of both images: a second positive, or masked, never a negative."""
    texts = [Text(1, BANANA, BANANA, "a banana"), Text(1, BANANA, BANANA, "a ripe banana")]
    about = facts(FAMILY, texts)
    # Targets of one half each: -.313262/2 - 1.313262/2, in all rows and columns.
    assert loss(make("powerset"), TEXTS, about).total.item() == pytest.approx(CHOICE + 0.5, abs=1e-6)
    assert loss(make("powerset", positives="masked"), TEXTS, about).total.item() == 0
    literal = loss(make("powerset", masking=False), TEXTS, about)
    assert literal.total.item() == pytest.approx(CHOICE, abs=1e-6)
    assert literal.counts["true_but_negative"] == 2
    assert literal.true_but_negative == 1.0


@pytest.mark.parametrize("name", NAMES)
def test_no_method_calls_a_true_text_false(name: str):
    images, texts, about = batch_for(make(name).needs)
    found = make(name, masking=True)(images, texts, SCALE, about)
    assert found.counts["negative"] > 0
    assert found.counts["true_but_negative"] == found.counts["unsure_but_negative"] == found.counts["false_but_positive"] == 0
    assert found.true_but_negative == 0
    by_default = make(name)(images, texts, SCALE, about).counts
    assert by_default["true_but_negative"] == 0, "inside a family, at least"
    literal = make(name, masking=False)(images, texts, SCALE, about)
    assert literal.counts["true_but_negative"] > 0, "the batch has true pairs that a literal loss punishes"


@pytest.mark.parametrize("name", NAMES)
def test_gradient_goes_downhill_and_not_through_masked_pairs(name: str):
    """A step against the gradient lowers the loss; a text whose every pair is masked feels nothing."""
    images, texts, about = batch_for(make(name).needs)
    images.requires_grad_()
    texts.requires_grad_()
    method = make(name).eval()
    before = method(images, texts, SCALE, about).total
    before.backward()
    with torch.no_grad():
        assert method(images - 0.01 * images.grad, texts - 0.01 * texts.grad, SCALE, about).total < before
    targets = method.targets(about)
    idle = (targets.positive == 0).all(0) & ~targets.negative.any(0)
    if name not in ("svlc", "ce_clip"):  # these ask more of variants than the contrast does
        assert (texts.grad[idle] == 0).all()
        assert (texts.grad[~idle].abs().sum(1) > 0).any()


def test_a_masked_text_has_no_gradient():
    """ "a banana" is entailed by the only image: nothing pulls it, nothing pushes it."""
    texts = torch.cat([TEXTS[:1], TEXTS]).requires_grad_()
    about = facts([FAMILY[0], TWO[0]], [FAMILY_TEXTS[0], Text(1, 1, 1, "a dog"), Text(1, FRUIT, BANANA, "a banana", owner=0)])
    about.text_family[1] = about.image_family[1] = 2
    about.present[1, 1] = True  # a banana lies beside the dog, so across families it is true by chance
    loss(make("powerset", masking=True), texts, about).total.backward()
    assert (texts.grad[2] == 0).all()
    assert (texts.grad[:2] != 0).any(1).all()


def test_negatives_are_pushed_and_positives_pulled():
    texts = torch.cat([TEXTS, torch.tensor([[0.6, 0.0, 0.8]])]).requires_grad_()
    about = facts(TWO, [DOG, CAT, variant("a dog on grass", 0)])
    loss(make("negclip"), texts, about).total.backward()
    pull = -texts.grad @ IMAGES.T  # what a step does to each cosine: [text, image]
    assert pull[0, 0] > 0 and pull[1, 1] > 0
    assert pull[0, 1] < 0 and pull[1, 0] < 0
    assert (pull[2] < 0).all()


def test_rows_without_a_positive_ask_nothing():
    logits = torch.tensor([[4.0, 3.0], [9.0, 9.0]], requires_grad=True)
    found = cross_entropy(logits, torch.tensor([[1.0, 0.0], [0.0, 0.0]]), torch.tensor([[False, True], [True, True]]))
    found.backward()
    assert found.item() == pytest.approx(CHOICE, abs=1e-6)
    assert (logits.grad[1] == 0).all()
    nothing = cross_entropy(logits, torch.zeros(2, 2), torch.ones(2, 2, dtype=torch.bool))
    nothing.backward()
    assert nothing.item() == 0


@pytest.mark.parametrize("name", NAMES)
def test_names(name: str):
    assert make(name).name == name


def test_joined():
    """Families of the power set with the other method's variants, counted as that method counts them."""
    method = make("powerset+ce_clip", members=8)
    assert method.needs.members == 8 and method.needs.duals and method.needs.own == "dual"
    assert method.needs.variants == METHODS["ce_clip"].needs.variants
    assert make("powerset+simclip").needs.neighbours
    images, texts, about = batch_for(method.needs)
    method.second.thresholds.fill_(-1)
    found = method(images, texts, SCALE, about)
    assert set(found.parts) == {"contrast", "imc", "cmr"}
    assert (method.second.thresholds >= 0).all(), "those of all four kinds were moved"


@pytest.mark.parametrize(
    ("name", "options", "said"),
    [
        ("clap", {}, "no method 'clap'"),
        ("clip", {"entailed": "soft"}, "method clip"),
        ("clip", {"positives": "all"}, "masked or multi"),
        ("powerset", {"entailed": "some"}, "mask, soft or rank"),
        ("powerset", {"entailed": "soft", "masking": False}, "without masking"),
        ("powerset", {"subsets": "pairs"}, "all or leave_one_out"),
        ("powerset", {"images": "duals"}, "all or originals"),
        ("powerset", {"images": "originals", "members": 4}, "copies of it"),
        ("powerset", {"images": "originals", "first_form": True}, "one image and one text"),
        ("powerset", {"images": "originals", "entailed": "rank"}, "one image and one text"),
        ("svlc", {"source": "guesses"}, "rules, model or both"),
        ("negclip+powerset", {}, "no method"),
    ],
)
def test_bad_options_are_one_clear_error(name: str, options: dict[str, object], said: str):
    with pytest.raises(ValueError, match=said):
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
    torch.nn.init.normal_(model.text_decoder.text_projection, std=0.1)  # open_clip leaves it as memory happens to be
    return model.eval()


def test_coca(captioner: torch.nn.Module):
    """The captioner's part is open_clip's own, at its weight."""
    pixels, tokens = torch.randn(2, 3, 16, 16), torch.tensor([[1, 5, 9, 2, 0, 0, 0], [1, 7, 7, 8, 4, 2, 0]])
    output = captioner(pixels, tokens)
    _, wanted = open_clip.CoCaLoss(caption_loss_weight=2.0, clip_loss_weight=0)(
        output["image_features"], output["text_features"], output["logits"], output["labels"], output["logit_scale"]
    )
    method = make("coca")
    assert isinstance(method, CoCa)
    assert method.extra(output, tokens).item() == pytest.approx(wanted.item(), rel=1e-5)
    with pytest.raises(ValueError, match="do not fit"):
        method.extra(output, tokens[:1])


def test_captions_rank_by_likelihood(captioner: torch.nn.Module):
    """A score is the sum of its tokens' log likelihoods; trained on one caption, the captioner prefers it."""
    model = captioner.train()
    pixels = torch.randn(1, 3, 16, 16)
    right, wrong = torch.tensor([[1, 5, 9, 2, 0, 0, 0]]), torch.tensor([[1, 9, 5, 2, 0, 0, 0]])
    method, optimiser = make("coca"), torch.optim.Adam(model.parameters(), lr=0.01)
    for _ in range(30):
        optimiser.zero_grad()
        method.extra(model(pixels, right), right).backward()
        optimiser.step()
    both = torch.stack([right, wrong], 1)
    scores = caption_scores(model.eval(), pixels, both, mean=False)
    assert scores[0, 0] > scores[0, 1]
    with torch.no_grad():
        likelihood = model(pixels, right)["logits"].log_softmax(-1)[0, range(3), [5, 9, 2]]
    assert scores[0, 0].item() == pytest.approx(likelihood.sum().item(), rel=1e-4)
    assert caption_scores(model, pixels, both)[0, 0].item() == pytest.approx(likelihood.mean().item(), rel=1e-4)


def batch_for(needs: Needs) -> tuple[Tensor, Tensor, Facts]:
    """Eight images with one variant of each kind that a method asks for."""
    true = ("paraphrase", "rewrite")
    kinds = [TextKind.POSITIVE if kind in true else TextKind.NEGATIVE for kind, _ in needs.variants]
    return random_batch(8, kinds, seed=3)
