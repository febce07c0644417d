"""Another domain's words: chosen by a setting, for as long as a role is at work, and told apart in hashes and versions."""

from pathlib import Path
from typing import Any

import pytest

from jobs.chain import CHAIN
from jobs.scenes import layout
from jobs.scenes.captions import tell
from jobs.scenes.domain import load as load_domain
from jobs.scenes.vocabulary import plural, words_of
from jobs.settings import Settings, SettingsError, load_settings, settings_hash, validate_settings
from udfs.captions import vocabulary
from udfs.captions.lexicon import attached_words, count_named, find_mentions, is_monotone, labels, version
from udfs.captions.vocabulary import LexiconError, using
from udfs.extract.rules import RulesExtractor
from udfs.worker import Worker

GARMENTS = load_domain("garments")
TOYS = """
labels:
  robot: {certain: "robot, android"}
  top: {certain: "spinning top", perhaps: top}
hypernyms: {"robot, top": "toy"}
scenery: "attic"
"""


def named(caption: str) -> set[tuple[str, bool]]:
    return {(m["label"], m["certain"]) for m in find_mentions(caption)}


def test_a_domain_is_a_lexicon_and_only_inside_the_block() -> None:
    caption = "A red shirt next to a cup."
    assert named(caption) == {("cup", True)}
    with using("garments"):
        assert ("shirt", True) in named(caption)
        assert ("cup", True) not in named(caption)
        assert "shirt" in labels()
        assert "sleeve" in attached_words("shirt")
        with using(""):
            assert named(caption) == {("cup", True)}
        assert ("shirt", True) in named(caption)
    assert named(caption) == {("cup", True)}
    assert len(labels()) == 80


def test_the_block_ends_with_an_error_too() -> None:
    with pytest.raises(ZeroDivisionError), using("garments"):
        1 / 0  # noqa: B018
    assert "shirt" not in labels()


def test_generic_words_work_for_any_classes() -> None:
    with using("garments"):
        caption = "Two small shirts and some clothing on the bed sheet"
        shirts = find_mentions(caption)[0]
        assert (shirts["label"], count_named(caption, shirts)) == ("shirt", 2)
        assert {m["label"] for m in find_mentions(caption) if not m["certain"]} >= {"shirt", "coat"}
        assert not is_monotone("only a shirt")
        assert not is_monotone("three garments")
        assert is_monotone("a shirt and a hat on the wardrobe door")
        assert named("a hat stand") == set()
        assert named("a shirt with it") >= {("shirt", True), ("shirt", False)}


def test_every_noun_of_the_domain_is_known_and_no_ground_is_one() -> None:
    words = words_of(GARMENTS)
    with using("garments"):
        for label, nouns in words.nouns.items():
            for noun in nouns:
                assert {(label, True)} == named(f"the {noun}") == named(f"the {plural(noun)}"), noun
        for phrases in words.grounds.values():
            for phrase in phrases:
                assert named(f"a shirt {phrase}") == {("shirt", True)}, phrase
        for table in (words.colours, words.materials, words.sizes):
            for synonyms in table.values():
                for word in synonyms:
                    assert named(f"a {word} shirt") == named(f"a shirt that is {word}") == {("shirt", True)}, word


def test_captions_of_the_domain_are_read_by_its_lexicon() -> None:
    right = total = 0
    with using("garments"):
        for index in range(60):
            for caption in tell(GARMENTS, layout.sample("garments", "test", 0, index, 64), "all"):
                sure = {m["label"] for m in find_mentions(caption.text) if m["certain"]}
                total += 1
                right += sure == set(caption.labels) and is_monotone(caption.text) == caption.monotone
    assert right / total > 0.97


def test_a_plain_file_needs_no_domain(tmp_path: Path) -> None:
    file = tmp_path / "toys.yaml"
    file.write_text(TOYS)
    with using(str(file)):
        assert labels() == ("robot", "top")
        assert named("two androids in the attic") == {("robot", True)}
        assert named("a toy") == {("robot", False), ("top", False)}


def test_a_changed_file_is_another_lexicon(tmp_path: Path) -> None:
    file = tmp_path / "toys.yaml"
    file.write_text(TOYS)
    first = vocabulary.load(str(file))
    assert vocabulary.load(str(file)) is first
    file.write_text(TOYS.replace("android", "automaton"))
    second = vocabulary.load(str(file))
    assert second.digest != first.digest
    with using(second):
        assert named("an automaton") == {("robot", True)}


@pytest.mark.parametrize("text", ["a: [", "- 1\n- 2", "words: {}", "labels: 3", ""])
def test_what_is_no_lexicon_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "bad.yaml").write_text(text)
    with pytest.raises(LexiconError, match="no lexicon"):
        vocabulary.load(str(tmp_path / "bad.yaml"))


def test_a_missing_lexicon_is_an_error_of_the_settings() -> None:
    with pytest.raises(SettingsError, match="no lexicon 'nowhere'"):
        load_settings("annotations", ["lexicon=nowhere"])


def test_a_relative_file_is_made_absolute_and_a_name_is_not(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "toys.yaml").write_text(TOYS)
    monkeypatch.chdir(tmp_path)
    assert validate_settings({"lexicon": "toys.yaml"}).lexicon == str(tmp_path / "toys.yaml")
    assert validate_settings({"lexicon": "garments"}).lexicon == "garments"


def test_the_hash_of_stages_that_read_words_changes_with_the_words(tmp_path: Path) -> None:
    def hashes(**tree: Any) -> dict[str, str]:
        settings = validate_settings(tree)
        return {stage.name: settings_hash(settings, stage.sections) for stage in CHAIN}

    plain, garments = hashes(), hashes(lexicon="garments")
    assert {name for name in plain if plain[name] != garments[name]} == {"extract", "segment", "plan", "rewrite", "recheck"}
    (tmp_path / "a.yaml").write_text(TOYS)
    (tmp_path / "b.yaml").write_text(TOYS)
    (tmp_path / "c.yaml").write_text(TOYS + "plush: teddy\n")
    a, b, c = (hashes(lexicon=str(tmp_path / f"{name}.yaml")) for name in "abc")
    assert a == b
    assert a["rewrite"] != c["rewrite"]


def test_the_default_hash_is_that_of_before_there_was_a_choice() -> None:
    for stage in CHAIN:
        others = tuple(section for section in stage.sections if section != "lexicon")
        assert settings_hash(Settings(), stage.sections) == settings_hash(Settings(), others)


def test_a_worker_reads_with_its_settings_lexicon_and_leaves_no_trace(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("udfs.worker._held", {})
    row = {"captions": [{"caption_id": "0", "caption": "a shirt and a cup", "status": "ok"}]}
    coco = Worker("udfs.extract.rules:RulesExtractor", Settings().model_dump_json())
    garments = Worker("udfs.extract.rules:RulesExtractor", Settings(lexicon="garments").model_dump_json())
    for _ in range(2):  # by turns in one process
        (coco_row,), (garments_row,) = coco([row]), garments([row])
        assert {m["label"] for m in coco_row["captions"][0]["components"]} == {"cup"}
        assert "shirt" in {m["label"] for m in garments_row["captions"][0]["components"]}
        assert coco_row["model_version"] != garments_row["model_version"]
    assert version() == RulesExtractor(Settings(), "cpu").version
