"""A second world: its data, its start, its runs and its report are its own."""

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from test_study import record, study, write_study
from typer.testing import CliRunner

from jobs.cli import app
from training.benchmarks.encode import OpenClip
from training.study import world
from training.study.arms import Unit
from training.study.data import DataError, Made, Size
from training.study.queue import records_of, wanted, work
from training.study.record import write
from training.study.regime import FULL, QUICK, Setting, run_options
from training.study.report import write_report
from training.study.world import GARMENTS, MADE, OBJECTS, WORLDS, World

__all__ = ["study"]  # the fixture of the other file


def test_a_second_world_has_its_own_runs_start_and_report(study: Path) -> None:
    other = replace(QUICK, world=GARMENTS)
    assert FULL.name == "cc915be1", "the runs that are committed are found by it"
    assert len({QUICK.name, other.name, FULL.name}) == 3
    assert replace(other, world=replace(GARMENTS, says="in other words", arms=())).name == other.name
    assert write_report(study, other) == []
    (report, *_), before = write_report(study, QUICK), "In another world"
    assert before not in report.read_text(encoding="utf-8")

    write_study(study, other, {"clip": 0.5, "powerset": 0.5, "shuffled": 0.5, "negclip": 0.5, "powerset+negclip": 0.5})
    assert {unit.arm for unit in wanted(other, extended=True)} == set(GARMENTS.arms)
    assert [one.name for one in write_report(study, other)] == [
        *("report_garments.md", "report_garments.html", "arms_garments.svg", "validation_garments.svg")
    ]
    text = (study / "report_garments.md").read_text(encoding="utf-8")
    assert "Claim *the power set beats CLIP* (powerset against clip): supported on no end point" in text
    assert text.startswith("## Does the power set make CLIP understand composition in the world garments?")
    assert "(arms_garments.svg)" in text and before not in text
    write_report(study, QUICK)
    first = report.read_text(encoding="utf-8")
    assert "supported on edits" in first.split("\n\n")[1], "each world's claims are of its own runs"
    assert "Garments" in first.partition(before)[2]

    options = run_options(other, Unit("clip"), Setting())
    assert options["model"].startswith(MADE) and options["checkpoint"].startswith(MADE)
    assert run_options(QUICK, Unit("clip"), Setting())["model"] == OBJECTS.model


def test_a_start_that_is_made_is_made_once_and_named_alike_everywhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(world, "RECIPE", {"size": 32, "scenes": 4, "seed": 1})
    made = Made(tmp_path / "data", Size(), print, GARMENTS)
    options = made.located(GARMENTS.start | {"lr": 1.0})
    clip = OpenClip.load(options["model"], options["checkpoint"])
    assert options["lr"] == 1.0 and clip.model.visual.image_size in (32, (32, 32))
    written = Path(options["checkpoint"]).stat().st_mtime_ns
    assert made.located(GARMENTS.start) == {name: options[name] for name in GARMENTS.start}
    assert Path(options["checkpoint"]).stat().st_mtime_ns == written
    assert Made(tmp_path / "none", Size(), print).located(OBJECTS.start) == OBJECTS.start
    assert not (tmp_path / "none").exists()


def test_what_a_run_depends_on_is_in_the_name_of_its_regime() -> None:
    other = replace(QUICK, world=GARMENTS)
    for change in ({"domain": "objects"}, {"profile": "embedded"}, {"overrides": ()}, {"epochs": 1}, {"model": "m"}):
        assert replace(other, world=replace(GARMENTS, **change)).name != other.name


@pytest.mark.parametrize("where", WORLDS.values(), ids=list(WORLDS))
def test_scenes_and_the_engine_are_those_of_the_world(where: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Any] = []

    class Stop(Exception):
        pass

    def stop(*told: Any) -> None:
        asked.append(told)
        raise Stop

    made = Made(tmp_path, Size(originals=3, questions=2, validation=2), print, where)
    monkeypatch.setattr("scenes.benchmark.write", lambda domain, *more: asked.append(domain))
    made.questions("test")
    monkeypatch.setattr("jobs.console.open_run", stop)
    with pytest.raises(Stop):
        made.snapshot("main")
    monkeypatch.setattr("training.study.data.layout.sample", stop)
    (tmp_path / "scenes.json").write_text('{"one": 5}')
    with pytest.raises(Stop):
        made.scene_of("one")
    domain, (root, profile, overrides), (drawn, split, *_) = asked
    assert {domain, drawn} == {where.domain}
    assert (split, root, profile, overrides) == ("train", str(tmp_path / "root"), where.profile, [*where.overrides])

    with pytest.raises(DataError, match="of another domain"):
        replace(made, world=next(one for one in WORLDS.values() if one != where)).check()
    with pytest.raises(DataError, match="no data of the study"):
        replace(made, folder=tmp_path / "nothing").check()


def test_the_command_does_the_runs_of_the_world_it_is_given(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    benches: list[Any] = []

    def remember(bench: Any, *_: Any) -> int:
        benches.append(bench)
        return 0

    monkeypatch.setattr("training.study.queue.work", remember)
    command = ["study", "--quick", "--work", str(tmp_path / "work"), "--output", str(tmp_path / "out")]
    for name in (*WORLDS, "nowhere"):
        ended = CliRunner().invoke(app, [*command, "--world", name])
        assert (ended.exit_code == 0) == (name in WORLDS), ended.output
    assert [bench.regime.world for bench in benches] == [bench.made.world for bench in benches] == list(WORLDS.values())
    assert len({bench.made.folder for bench in benches}) == len(WORLDS)
    assert CliRunner().invoke(app, [*command, "--world", "garments", "--arm", "placebo"]).exit_code == 2


def test_runs_of_another_start_are_not_gone_on_with(tmp_path: Path) -> None:
    write(record("clip"), records_of(tmp_path, QUICK) / "clip_seed0.json")
    bench: Any = SimpleNamespace(regime=QUICK, start=SimpleNamespace(version="another"))
    with pytest.raises(DataError, match="began with another CLIP, c, than there is here"):
        work(bench, tmp_path, 1, False, print)
