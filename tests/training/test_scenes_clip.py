"""The CLIP for scenes: its pairs, its training from scratch, its scores, and the committed weights."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

from jobs.settings import validate_settings
from training.acceptance import clip as score_clip
from training.acceptance import clip_policy as score_clip_policy
from training.acceptance.clip import Eyes, auc, fullest, interval_of_auc, removal, retrieval, zero_shot
from training.embedded import clip_scenes, train_clip
from udfs.embed.clip import ClipModel
from udfs.embed.settings import EmbedderSettings
from udfs.inpaint.inpainter import Inpainter
from udfs.weights import FOLDER

MODELS = FOLDER
CONFIG, WEIGHTS = MODELS / "clip_objects.json", MODELS / "clip_objects.safetensors"


@pytest.fixture(scope="module")
def pairs() -> clip_scenes.Pairs:
    return clip_scenes.make("objects", "train", 1, 24, 64, train_clip.CONTEXT, processes=1)


def test_pairs_are_pictures_and_captions(pairs: clip_scenes.Pairs) -> None:
    from open_clip import SimpleTokenizer

    assert pairs.pictures.shape == (24, 3, 64, 64) and pairs.pictures.dtype == np.uint8
    assert pairs.tokens.shape == (24, clip_scenes.CAPTIONS, train_clip.CONTEXT)
    assert [len(captions) for captions in pairs.texts] == [clip_scenes.CAPTIONS] * 24
    tokenizer = SimpleTokenizer(context_length=train_clip.CONTEXT)
    assert (tokenizer(pairs.texts[3]).numpy() == pairs.tokens[3]).all()


def test_a_scene_looks_alike_in_every_size() -> None:
    """The engine's preprocessing of pictures of other sizes gives what the model is trained on."""
    small, large = (clip_scenes.sample("objects", "train", 1, index) for index in (0, 2))
    assert (small.size, large.size) == (64, 128)
    [scaled] = clip_scenes.resized(iter([clip_scenes.picture(large)]), 64)
    assert scaled.shape == (3, 64, 64)
    # Each block of 2 x 2 pixels became one pixel of about its mean.
    blocks = clip_scenes.picture(large).reshape(64, 2, 64, 2, 3).mean((1, 3))
    assert np.abs(scaled.transpose(1, 2, 0) - blocks).mean() < 5


def test_the_loss_is_clips_and_masks_equal_texts() -> None:
    from open_clip import ClipLoss

    rng = torch.Generator().manual_seed(0)
    images, texts = (torch.nn.functional.normalize(torch.randn((6, 8), generator=rng), dim=1) for _ in "it")
    scale, none = torch.tensor(10.0), torch.zeros((6, 6), dtype=torch.bool)
    torch.testing.assert_close(train_clip.loss(images, texts, scale, none), ClipLoss()(images, texts, scale))
    tokens = torch.tensor([[1, 2], [1, 3], [1, 2], [4, 4], [5, 5], [6, 6]])
    same = train_clip.same_texts(tokens)
    assert same.nonzero().tolist() == [[0, 2], [2, 0]]
    # Two equal pairs that fit perfectly cost nothing: neither is a negative of the other.
    features = torch.eye(2)[[0, 0]]
    equal_texts = torch.tensor([[False, True], [True, False]])
    assert train_clip.loss(features, features, torch.tensor(100.0), equal_texts).item() == 0
    assert train_clip.loss(features, features, torch.tensor(100.0), ~equal_texts & equal_texts).item() == pytest.approx(np.log(2))


def test_each_scene_is_seen_once_an_epoch() -> None:
    batches = [(epoch, scenes.tolist()) for epoch, scenes, captions in train_clip.visits(300, 2, seed=1) if captions.max() < 5]
    assert [epoch for epoch, _ in batches] == [0, 0, 1, 1]
    first, second = ([index for batch_epoch, scenes in batches if batch_epoch == epoch for index in scenes] for epoch in (0, 1))
    assert len(set(first)) == len(first) == 256
    assert first != second


def test_left_stays_left_and_red_stays_red() -> None:
    picture = torch.zeros((8, 3, 32, 32), dtype=torch.uint8)
    picture[:, 0, :, :8] = 200
    changed = train_clip.changed(picture, torch.Generator().manual_seed(0))
    assert changed.shape == picture.shape and changed.min() >= 0 and changed.max() <= 1
    assert (changed[:, 0, :, :4].mean((1, 2)) > 0.5).all()
    assert (changed[:, 0, :, 12:].mean((1, 2)) < 0.1).all()
    assert (changed[:, 0, :, 0] > changed[:, 1, :, 0] + 0.3).all()


@pytest.fixture(scope="module")
def trained(pairs: clip_scenes.Pairs, tmp_path_factory: pytest.TempPathFactory) -> EmbedderSettings:
    """The command, on 24 scenes for three epochs."""
    folder = tmp_path_factory.mktemp("clip")
    arguments = ["--scenes", "24", "--epochs", "3", "--threads", "1", "--output", str(folder)]
    import typer

    app = typer.Typer()
    app.command()(train_clip.main)
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 0, result.output
    assert "epoch 3 of 3" in result.output
    return EmbedderSettings(model=str(folder / "clip_objects.json"), checkpoint=str(folder / "clip_objects.safetensors"))


def test_training_is_reproducible_and_loads_in_the_engine(pairs: clip_scenes.Pairs, trained: EmbedderSettings) -> None:
    from safetensors.torch import load_file

    lines: list[str] = []
    model = train_clip.train(pairs, train_clip.config(64), 3, 1, lines.append)
    stored = load_file(trained.checkpoint)
    state = train_clip.state(model, pairs.tokens)
    assert all(torch.equal(stored[name], value) for name, value in state.items())
    assert {value.dtype for name, value in stored.items() if "num_batches" not in name} == {torch.float16}
    assert len(lines) == 3
    clip = ClipModel(trained, "cpu")
    vectors = np.array(clip.embed_images([clip_scenes.picture(clip_scenes.sample("objects", "train", 1, i)) for i in (0, 1, 2)]))
    np.testing.assert_allclose(np.linalg.norm(vectors, axis=1), 1, atol=1e-5)
    assert clip.model.context_length == train_clip.CONTEXT


def test_vectors_of_unused_tokens_are_zero(pairs: clip_scenes.Pairs, trained: EmbedderSettings) -> None:
    from safetensors.torch import load_file

    vectors = load_file(trained.checkpoint)["token_embedding.weight"]
    used = (vectors != 0).any(dim=1).nonzero().ravel().tolist()
    assert used == np.unique(pairs.tokens).tolist()


def test_the_scores_of_any_model(trained: EmbedderSettings) -> None:
    """A model that has learned almost nothing is near chance; the counts are those of real scenes."""
    eyes = Eyes(ClipModel(trained, "cpu"))
    scenes = [clip_scenes.sample("objects", "test", 150, index) for index in range(20)]
    scores = {
        name: (value, low, high, count)
        for part in (retrieval, zero_shot, removal)
        for name, value, low, high, count in part(eyes, scenes)
    }
    assert len(scores) == 10
    assert all(0 <= low <= value <= high <= 1 for value, low, high, _ in scores.values())
    assert scores["R@1 image to text"][0] < 0.5
    assert scores["R@5 image to text"][3] == scores["class of 31"][3] == 20


def test_the_fullest_caption_names_most() -> None:
    from jobs.scenes import domain
    from jobs.scenes.captions import tell

    scene = clip_scenes.sample("objects", "test", 150, 3)
    most = max(len(caption.labels) for caption in tell(domain.load("objects"), scene))
    assert len(fullest(scene).labels) == most


def test_auc() -> None:
    assert auc(np.array([2.0, 3.0]), np.array([0.0, 1.0])) == 1
    assert auc(np.array([0.0, 1.0]), np.array([0.0, 1.0])) == 0.5
    rng = np.random.default_rng(0)
    middle, low, high = interval_of_auc(rng.normal(1, 1, 200), rng.normal(0, 1, 200), range(200))
    assert low < 0.76 < high and low < middle < high  # the normal distribution's Phi(1 / sqrt(2))


def test_faults_are_put_into_good_pairs_one_at_a_time() -> None:
    inpainter = Inpainter(validate_settings({}), "cpu")
    by_scene = [
        score_clip_policy.pairs(inpainter, clip_scenes.sample("objects", "train", 150, index), index) for index in range(12)
    ]
    kinds = {pair.fault for scene_pairs in by_scene for pair in scene_pairs}
    assert kinds >= {"", "nothing removed", "other removed", "one more removed", "grey hole", "another put in"}
    assert kinds >= {"text of original", "text of other", "other colour", "other class", "word lost"}
    for scene_pairs in by_scene:
        for pair in scene_pairs:
            good = scene_pairs[0]
            assert not good.fault and not np.array_equal(good.dual, good.original)
            assert np.array_equal(pair.original, good.original)
            assert not pair.fault or (pair.text != good.text) != (not np.array_equal(pair.dual, good.dual))


def test_thresholds_are_chosen_on_one_sample_and_reported_on_another() -> None:
    """Good pairs at 0.00 to 0.99, faults at -1: the threshold that loses a tenth is 0.1 and catches every fault."""
    blank = np.zeros((8, 8, 3), np.uint8)
    sample = [score_clip_policy.Pair("", i, "cup", blank, blank, "a cup") for i in range(100)]
    sample += [score_clip_policy.Pair("other class", i, "cup", blank, blank, "a vase") for i in range(10)]
    values = np.concatenate([np.arange(100) / 100, np.full(10, -1.0)])
    columns = dict.fromkeys(score_clip_policy.COLUMNS, values)
    first, _, good, wrong = score_clip_policy.report((sample, columns), (sample, columns), 0.1)
    assert first == "min_clip_true: 0.099; min_clip_drop: 0.099; min_clip_image: 0.099"
    assert good.split()[:4] == ["good", "pairs", "100", "10.0%"]
    assert wrong.split()[:4] == ["other", "class", "10", "100.0%"]


def test_seeds_and_files_are_checked(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="seeds for training"):
        train_clip.main(tmp_path, seed=900)
    with pytest.raises(Exception, match="no file at"):
        score_clip.main(tmp_path / "none.json", tmp_path / "none.safetensors")


def test_the_committed_weights_score_well() -> None:
    """Loaded by the engine's own class, on scenes outside the training data."""
    tree = json.loads(CONFIG.read_text(encoding="utf-8"))
    assert tree == train_clip.config(64)
    assert WEIGHTS.stat().st_size < 8e6
    eyes = Eyes(ClipModel(EmbedderSettings(model=str(CONFIG), checkpoint=str(WEIGHTS)), "cpu"))
    scenes = [clip_scenes.sample("objects", "train", 100, index) for index in range(100)]
    scores = {name: value for part in (retrieval, zero_shot, removal) for name, value, *_ in part(eyes, scenes)}
    assert scores["R@5 image to text"] > 0.4 and scores["R@5 text to image"] > 0.4, scores
    assert scores["class of 31"] > 0.4, scores
    assert scores["AUC of clip_drop, removed against other"] > 0.8, scores
