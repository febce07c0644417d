"""Training runs: the same by one process and by several, the same when killed and resumed, and what they leave behind."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from tests.support import train_processes
from tests.support.snapshots import drawn, write
from tests.support.train_processes import start, trained
from training.benchmarks.encode import OpenClip
from training.loop import train
from training.model import WEIGHTS
from training.options import OptionsError, make_options
from training.track import read_metrics
from training.tune import search

TINY = {
    "embed_dim": 16,
    "vision_cfg": {"image_size": 32, "layers": 2, "width": 32, "head_width": 16, "patch_size": 16},
    "text_cfg": {"context_length": 16, "width": 32, "heads": 2, "layers": 2},
}


@pytest.fixture(scope="module", autouse=True)
def one_thread() -> Iterator[None]:
    """One thread sums in a fixed order."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture(scope="module")
def options(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    folder = tmp_path_factory.mktemp("training")
    write(folder / "snapshot", drawn(40, variants=True))
    (folder / "tiny.json").write_text(json.dumps(TINY))
    files = {"snapshot": str(folder / "snapshot"), "model": str(folder / "tiny.json"), "output": str(folder / "never")}
    sizes = {"batch_size": 8, "steps": 6, "warmup": 2, "lr": 1e-3, "held_out": 0.3, "eval_every": 0}
    return files | sizes | {"device": "cpu", "reader": "pyarrow"}


@pytest.fixture(scope="module")
def two_processes(options: dict[str, Any], tmp_path_factory: pytest.TempPathFactory) -> list[tuple[dict[str, Any], Any]]:
    """The result of each job with two gloo processes, all from one launch."""
    folder = tmp_path_factory.mktemp("two")
    ways = [{"zero": 0}, {"zero": 1}, {"zero": 2}, {"zero": 3}, {"zero": 1, "accumulation": 2}]
    jobs: list[dict[str, Any]] = [{"options": options | {"method": "negclip"} | way} for way in ways]
    jobs += [{"options": options | {"method": "ce_clip"}}, {"options": options | {"method": "powerset", "zero": 2}}]
    for zero in range(4):
        run = {"zero": zero, "output": str(folder / f"zero{zero}"), "method": "ce_clip", "save_every": 3, "eval_every": 3}
        jobs.append({"resume": True, "options": options | run | {"reader": "petastorm"}})
    (folder / "jobs.json").write_text(json.dumps(jobs))
    start(2, train_processes.__file__, str(folder / "jobs.json"), str(folder / "results.pt"))
    return list(zip(jobs, torch.load(folder / "results.pt", weights_only=True), strict=True))


def test_zero_and_processes_change_nothing(options: dict[str, Any], two_processes: list[tuple[dict[str, Any], Any]]) -> None:
    single = {name: trained({"options": options | {"method": name}}) for name in ("negclip", "ce_clip", "powerset")}
    for job, (losses, state) in (entry for entry in two_processes if "resume" not in entry[0]):
        expected, weights = single[job["options"]["method"]]
        torch.testing.assert_close(losses, expected, atol=1e-4, rtol=1e-4)
        for key, value in weights.items():
            torch.testing.assert_close(state[key], value, atol=2e-4, rtol=1e-3, msg=lambda text, key=key: f"{key}: {text}")
    # Both began with the same weights.
    differences = [
        (single["negclip"][1][key] - value).abs().max()
        for key, value in single["powerset"][1].items()
        if value.is_floating_point()
    ]
    assert max(differences) > 1e-3, "nothing was trained"


def test_two_processes_resume_exactly_at_any_zero_stage(two_processes: list[tuple[dict[str, Any], Any]]) -> None:
    runs = [(job["options"]["zero"], result) for job, result in two_processes if "resume" in job]
    assert [zero for zero, _ in runs] == [0, 1, 2, 3]
    for zero, (unbroken, resumed) in runs:
        assert all(torch.equal(unbroken[key], value) for key, value in resumed.items()), f"ZeRO {zero}"


def test_accumulation_gives_the_gradient_of_the_whole_batch(options: dict[str, Any]) -> None:
    losses, state = trained({"options": options | {"method": "negclip"}})
    accumulated_losses, accumulated_state = trained({"options": options | {"method": "negclip", "accumulation": 4}})
    torch.testing.assert_close(accumulated_losses, losses, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(accumulated_state["logit_scale"], state["logit_scale"], atol=1e-6, rtol=1e-6)


def test_a_killed_run_resumes_to_the_same_weights(options: dict[str, Any], tmp_path: Path) -> None:
    run = options | {"method": "powerset", "steps": 20, "save_every": 4, "eval_every": 10}
    unbroken, broken = tmp_path / "unbroken", tmp_path / "broken"
    train(make_options(run | {"output": str(unbroken)}))
    command = [sys.executable, "-m", "training.loop"]
    for name, value in (run | {"output": str(broken)}).items():
        command += [f"--{name.replace('_', '-')}", str(value)]
    process = subprocess.Popen(
        command, env={**os.environ, "OMP_NUM_THREADS": "1"}, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )
    kill_at = 10  # the last checkpoint is of step 8
    while len(read_metrics(broken)) < kill_at and process.poll() is None:
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    printed = process.communicate()[0].decode()
    assert process.returncode == -signal.SIGKILL, printed[-4000:]
    lines: list[str] = []
    train(make_options(run | {"output": str(broken)}), lines.append)
    assert any("from step" in line for line in lines)
    rows, resumed = read_metrics(unbroken), read_metrics(broken)
    assert [row["ids"] for row in resumed] == [row["ids"] for row in rows], f"killed at {kill_at}"
    assert [row["loss"] for row in resumed] == [row["loss"] for row in rows], f"killed at {kill_at}"
    for name in ("final", "best"):
        weights, resumed_weights = load_file(unbroken / name / WEIGHTS), load_file(broken / name / WEIGHTS)
        assert all(torch.equal(weights[key], resumed_weights[key]) for key in weights), f"killed at {kill_at}"
    assert json.loads((broken / "run.json").read_text())["budget"]["images_a_step"] == 8


def test_a_finished_run_is_left_as_it_is(options: dict[str, Any], tmp_path: Path) -> None:
    run = make_options(options | {"output": str(tmp_path / "run"), "eval_every": 3, "save_every": 2, "keep": 2})
    record = train(run)
    assert [path.name for path in sorted((tmp_path / "run" / "checkpoints").iterdir())] == ["step-00000004", "step-00000006"]
    assert [row["step"] for row in read_metrics(tmp_path / "run") if "validation" in row] == [2, 5]
    assert record["budget"]["images_a_step"] == record["budget"]["originals_a_step"] == 8
    weights = (tmp_path / "run" / "final" / WEIGHTS).read_bytes()
    assert train(run)["best"] == record["best"]
    assert (tmp_path / "run" / "final" / WEIGHTS).read_bytes() == weights
    assert "plotly" in (tmp_path / "run" / "run.html").read_text()
    with pytest.raises(OptionsError, match="other options"):
        train(make_options(run.model_dump() | {"lr": 0.5}))


def test_the_logit_scale_stays_below_its_limit(options: dict[str, Any], tmp_path: Path) -> None:
    train(make_options(options | {"output": str(tmp_path), "lr": 0.1, "max_logit_scale": 14.5, "save_every": 0}))
    scales = [row["scale"] for row in read_metrics(tmp_path)]
    assert max(scales) <= 14.5 + 1e-3 and len(set(scales)) > 1


def test_bf16_computes_in_bf16_and_keeps_float32_weights(options: dict[str, Any]) -> None:
    losses, _ = trained({"options": options})
    rounded, state = trained({"options": options | {"precision": "bf16"}})
    assert rounded != losses and state["visual.proj"].dtype is torch.float32
    torch.testing.assert_close(rounded, losses, atol=0.1, rtol=0.1)


def test_lora_and_wise_ft_end_between_start_and_trained_weights(options: dict[str, Any], tmp_path: Path) -> None:
    train(make_options(options | {"output": str(tmp_path / "start")}))
    start_from = {"model": str(tmp_path / "start" / "final"), "lora_rank": 2, "wise_ft": 0.5}
    train(make_options(options | start_from | {"output": str(tmp_path / "tuned")}))
    first, last = (load_file(tmp_path / name / "final" / WEIGHTS) for name in ("start", "tuned"))
    moved = {key for key in first if not torch.equal(first[key], last[key])}
    assert moved == {"logit_scale", *(key for key in first if key.endswith(("c_fc.weight", "c_proj.weight")))}


def test_a_captioner_is_trained_by_its_captions_too(options: dict[str, Any], tmp_path: Path) -> None:
    captioner = {"method": "coca", "model": "embedded:coca_study.json"}  # as the study has it
    train(make_options(options | captioner | {"output": str(tmp_path / "run")}))
    extra = [row["parts"]["extra"] for row in read_metrics(tmp_path / "run")]
    assert extra[-1] < extra[0]
    clip = OpenClip.load(str(tmp_path / "run" / "final"), "")
    image, text = clip.model.encode_image(torch.zeros(2, 3, 64, 64)), clip.model.encode_text(clip.tokenize(["a cup", "a hat"]))
    assert image.shape == text.shape == (2, 64)


def test_mlflow_follows_a_run_if_asked(options: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    train(make_options(options | {"output": str(tmp_path / "run"), "steps": 3, "mlflow": (tmp_path / "tracked").as_uri()}))
    (losses,) = (tmp_path / "tracked").glob("*/*/metrics/loss")
    assert len(losses.read_text().splitlines()) == 3


def test_impossible_options_are_refused_in_one_line(options: dict[str, Any]) -> None:
    for change, message in (
        ({"batch_size": 9, "accumulation": 2}, "not a multiple"),
        ({"method": "nothing"}, "no method"),
        ({"method": "coca", "accumulation": 2}, "needs more of the model"),
        ({"warmup": 6}, "leaves nothing"),
        ({"lora_rank": 4}, "there is none"),
        ({"colour": "red"}, "colour"),
    ):
        with pytest.raises(OptionsError, match=message):
            train(make_options(options | change))


def test_settings_are_searched_by_validation(options: dict[str, Any], tmp_path: Path) -> None:
    run = make_options(options | {"output": str(tmp_path), "steps": 3, "eval_every": 3, "method": "negclip"})
    search(run, 1)
    best = search(run, 2)
    assert len(list(tmp_path.glob("trial-*/final"))) == 2
    assert set(best["values"]) == {"lr", "weight_decay"} and 1e-4 <= best["values"]["lr"] <= 1e-2
    assert best["score"] == max(
        json.loads((trial / "run.json").read_text())["best"]["score"] for trial in tmp_path.glob("trial-*")
    )
