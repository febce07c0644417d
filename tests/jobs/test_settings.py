"""The settings tree: what is refused and how, profiles, ``--set``, and what a hash covers."""

import json
from pathlib import Path

import pytest
from pydantic import ValidationError

from jobs.chain import CHAIN
from jobs.settings import PROFILES, Settings, SettingsError, describe, load_settings, settings_hash, validate_settings


@pytest.mark.parametrize(
    ("wrong", "nearest"),
    [
        ("segmenter.wieghts=x.pt", "segmenter.weights"),
        ("inpaintr.kind=opencv", "inpainter"),
        ("policy.max_residul=0.3", "policy.max_residual"),
        ("judge.text={kind: rules, modell: x}", "judge.text.model"),
        ("rewriter.models=[{kinds: openai}]", "rewriter.models.0.kind"),
    ],
)
def test_unknown_keys_name_the_nearest(wrong: str, nearest: str):
    with pytest.raises(SettingsError) as problem:
        load_settings("photos", [wrong])
    assert str(problem.value).startswith("unknown setting ")
    assert str(problem.value).endswith(f"; the nearest known one is {nearest}")


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ("components.n", "takes a.b=c"),
        ("components.n=9", "components.n"),
        ("components.n=three", "components.n"),
        ("segmenter.kind=yolov9", "'yolo', 'maskrcnn'"),
        ("codec.format.quality=3", "format is a value, not a section"),
        ("policy.max_seam=[", "not YAML"),
    ],
)
def test_bad_values_say_where(wrong: str, message: str):
    with pytest.raises(SettingsError, match=message):
        load_settings("annotations", [wrong, "codec.quality=90"] if "quality" not in wrong else ["codec.format=png", wrong])


def test_set_overrides_the_profile_and_the_last_one_wins():
    settings = load_settings("annotations", ["codec.format=webp", "components.n=2", "components.n=4", "policy.max_residual=null"])
    assert (settings.codec.format, settings.components.n, settings.policy.max_residual) == ("webp", 4, None)
    assert settings.segmenter.kind == "annotations", "settings that are not overridden stay the profile's"
    models = load_settings("photos", ["rewriter.models=[{kind: transformers, model: /m}]"]).rewriter.models
    assert [model.model for model in models] == ["/m"]


@pytest.mark.parametrize("profile", sorted(path.stem for path in PROFILES.glob("*.yaml")))
def test_profiles_load(profile: str):
    assert isinstance(load_settings(profile), Settings)


def test_a_profile_may_be_any_file(tmp_path: Path):
    (tmp_path / "mine.yaml").write_text("components: {n: 2}\n")
    assert load_settings(str(tmp_path / "mine.yaml")).components.n == 2
    (tmp_path / "list.yaml").write_text("- 1\n")
    with pytest.raises(SettingsError, match="mapping"):
        load_settings(str(tmp_path / "list.yaml"))
    (tmp_path / "broken.yaml").write_text("components: {n: 2\n")
    with pytest.raises(SettingsError, match="not YAML"):
        load_settings(str(tmp_path / "broken.yaml"))
    with pytest.raises(SettingsError, match="built in are annotations, embedded, gpu, photos"):
        load_settings("phots")


def test_settings_are_immutable():
    with pytest.raises(ValidationError):
        load_settings().components.n = 2


def test_a_hash_covers_the_sections_of_its_stage_and_nothing_else():
    base = load_settings("photos")
    changes = {
        "policy.max_residual=0.9": set(),
        "spark.partitions=7": set(),
        "ingest.batch_records=5": set(),
        "ingest.max_pixels=1000": {"ingest"},
        "extractor.kind=openai": {"extract"},
        "segmenter.confidence=0.2": {"segment", "recheck"},
        "components.n=2": {"plan"},
        "plan.max_area=0.4": {"plan"},
        "rewriter.models=[{kind: openai}]": {"rewrite"},
        "judge.text={kind: openai}": {"rewrite"},
        "judge.image_text=blip": {"score"},
        "inpainter.radius=3": {"inpaint"},
        "codec.quality=80": {"inpaint"},
        "embedder.model=ViT-B-32": {"score"},
    }
    for change, stages in changes.items():
        changed = load_settings("photos", [change])
        changed_stages = {s.name for s in CHAIN if settings_hash(base, s.sections) != settings_hash(changed, s.sections)}
        assert changed_stages == stages, change


def test_what_changes_no_row_is_in_no_hash():
    def with_model(model: str, *overrides: str) -> Settings:
        return load_settings("photos", [f"extractor={model}", f"judge.text={model}", f"rewriter.models=[{model}]", *overrides])

    base = with_model("{kind: openai}")
    patience = "timeout_s: 5, max_retries: 0, concurrency: 2, prefix_cache: false, batch_size: 3"
    batches = [f"{section}.batch_size=3" for section in ("segmenter", "inpainter", "embedder")]
    tuned = with_model(f"{{kind: openai, base_url: 'http://h/v1', api_key_env: K, {patience}}}", *batches)
    longer = with_model("{kind: openai, max_new_tokens: 5}")
    for stage in CHAIN:
        assert settings_hash(base, stage.sections) == settings_hash(tuned, stage.sections), stage.name
    changed = {s.name for s in CHAIN if settings_hash(base, s.sections) != settings_hash(longer, s.sections)}
    assert changed == {"extract", "rewrite"}


def test_a_later_setting_is_in_a_hash_only_where_it_is_changed():
    base = load_settings("annotations")
    # As before there was segmenter.box_masks: roots of that time go on.
    assert settings_hash(base, ("segmenter", "lexicon")) == "aa50e94d69c43914"
    same, changed = (load_settings("annotations", [f"segmenter.box_masks={way}"]) for way in ("grabcut", "box"))
    assert settings_hash(same, ("segmenter", "lexicon")) == settings_hash(base, ("segmenter", "lexicon"))
    assert settings_hash(changed, ("segmenter", "lexicon")) != settings_hash(base, ("segmenter", "lexicon"))


def test_settings_are_shown_without_secrets():
    conf = "spark.conf={spark.hadoop.fs.s3a.secret.key: pw, spark.hadoop.javax.jdo.option.ConnectionURL: 'jdbc:mysql://h/?password=pw'}"
    address = "'http://me:pw@host:8000/v1?key=pw'"
    overrides = [
        conf,
        f"extractor.base_url={address}",
        f"rewriter.models=[{{kind: openai, base_url: {address}}}]",
        "policy.max_seam=.inf",
    ]
    settings = load_settings("photos", overrides)
    for text in (settings.shown(), settings.shown(indent=2), settings.shown(exclude_defaults=True)):
        assert "pw" not in text and "me:" not in text
        shown = json.loads(text)
        assert shown["extractor"]["base_url"] == shown["rewriter"]["models"][0]["base_url"] == "http://host:8000/v1"
        assert shown["spark"]["conf"]["spark.hadoop.fs.s3a.secret.key"] == "***"
    plain = load_settings("photos", ["segmenter.weights=s3://bucket/w.pt", "spark.master=spark://host:7077"])
    assert plain.shown() == plain.model_dump_json(), "the same shape, so that it can be read back"


@pytest.mark.parametrize(
    "override",
    [
        "extractor.api_key_env=sk-hunter2",
        "extractor.base_url=http://me:hunter2@host/v1: [",
        "http://me:hunter2@host/v1",
        "judge.text={kind: openai, api_key_env: sk-hunter2}",
    ],
)
def test_a_refused_setting_is_not_quoted_with_its_secret(override: str, tmp_path: Path):
    with pytest.raises(SettingsError) as refused:
        load_settings("photos", [override])
    (tmp_path / "mine.yaml").write_text("extractor: {base_url: http://me:hunter2@host/v1?key=hunter2\n")
    with pytest.raises(SettingsError) as broken:
        load_settings(str(tmp_path / "mine.yaml"))
    assert "hunter2" not in f"{refused.value} {broken.value}"


def test_a_hash_does_not_depend_on_how_the_settings_were_given(tmp_path: Path):
    (tmp_path / "same.yaml").write_text("codec: {quality: 92, max_side: 640, format: jpeg}\nsegmenter: {image_size: 640}\n")
    for stage in CHAIN:
        file_hash = settings_hash(load_settings(str(tmp_path / "same.yaml")), stage.sections)
        assert file_hash == settings_hash(validate_settings({}), stage.sections)


def test_every_setting_is_described():
    rows = describe()
    assert len(rows) > 60
    assert all(text for _, _, text in rows), [name for name, _, text in rows if not text]
