"""A second world has its own data, start, runs and report."""

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from typer.testing import CliRunner

from jobs.cli import app
from tests.support.studies import record, study, write_study
from training.benchmarks.encode import OpenClip
from training.study import world
from training.study.arms import Unit
from training.study.data import DataError, Size, StudyData
from training.study.queue import records_of, wanted, work
from training.study.record import write
from training.study.regime import FULL, QUICK, Setting, run_options
from training.study.report import write_report
from training.study.world import GARMENTS, MADE, OBJECTS, WORLDS, World

__all__ = ["study"]  # the fixture


def test_a_second_world_has_its_own_runs_start_and_report(study: Path) -> None:
    regime = replace(QUICK, world=GARMENTS)
    assert FULL.name == "cc915be1", "the committed runs are found by this name"
    assert len({QUICK.name, regime.name, FULL.name}) == 3
    assert replace(regime, world=replace(GARMENTS, says="in other words", arms=())).name == regime.name
    assert write_report(study, regime) == []
    (report, *_), heading = write_report(study, QUICK), "In another world"
    assert heading not in report.read_text(encoding="utf-8")

    write_study(study, regime, {"clip": 0.5, "powerset": 0.5, "shuffled": 0.5, "negclip": 0.5, "powerset+negclip": 0.5})
    assert {unit.arm for unit in wanted(regime, extended=True)} == set(GARMENTS.arms)
    assert [path.name for path in write_report(study, regime)] == [
        *("report_garments.md", "report_garments.html", "arms_garments.svg")
    ]
    text = (study / "report_garments.md").read_text(encoding="utf-8")
    assert "Claim *the power set beats CLIP* (powerset against clip): supported on no end point" in text
    assert text.startswith("## Does the power set make CLIP understand composition in the world garments?")
    assert "(arms_garments.svg)" in text and heading not in text
    write_report(study, QUICK)
    first = report.read_text(encoding="utf-8")
    assert "supported on edits" in first.split("\n\n")[1], "each world's claims are about its own runs"
    assert "Garments" in first.partition(heading)[2]

    options = run_options(regime, Unit("clip"), Setting())
    assert options["model"].startswith(MADE) and options["checkpoint"].startswith(MADE)
    assert run_options(QUICK, Unit("clip"), Setting())["model"] == OBJECTS.model


def test_a_start_is_made_once_and_has_the_same_name_everywhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(world, "RECIPE", {"size": 32, "scenes": 4, "seed": 1})
    data = StudyData(tmp_path / "data", Size(), print, GARMENTS)
    options = data.located(GARMENTS.start | {"lr": 1.0})
    clip = OpenClip.load(options["model"], options["checkpoint"])
    assert options["lr"] == 1.0 and clip.model.visual.image_size in (32, (32, 32))
    written = Path(options["checkpoint"]).stat().st_mtime_ns
    assert data.located(GARMENTS.start) == {name: options[name] for name in GARMENTS.start}
    assert Path(options["checkpoint"]).stat().st_mtime_ns == written
    assert StudyData(tmp_path / "none", Size(), print).located(OBJECTS.start) == OBJECTS.start
    assert not (tmp_path / "none").exists()


def test_what_a_run_depends_on_is_in_the_name_of_its_regime() -> None:
    regime = replace(QUICK, world=GARMENTS)
    for change in ({"domain": "objects"}, {"profile": "embedded"}, {"overrides": ()}, {"epochs": 1}, {"model": "m"}):
        assert replace(regime, world=replace(GARMENTS, **change)).name != regime.name


@pytest.mark.parametrize("each_world", WORLDS.values(), ids=list(WORLDS))
def test_scenes_and_the_engine_are_those_of_the_world(each_world: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[Any] = []

    class Stop(Exception):
        pass

    def stop(*arguments: Any) -> None:
        calls.append(arguments)
        raise Stop

    data = StudyData(tmp_path, Size(originals=3, questions=2, validation=2), print, each_world)
    monkeypatch.setattr("jobs.scenes.benchmark.write", lambda domain, *more: calls.append(domain))
    data.questions("test")
    monkeypatch.setattr("jobs.console.open_run", stop)
    with pytest.raises(Stop):
        data.snapshot("main")
    monkeypatch.setattr("training.study.data.layout.sample", stop)
    (tmp_path / "scenes.json").write_text('{"one": 5}')
    with pytest.raises(Stop):
        data.scene_of("one")
    domain, (root, profile, overrides), (drawn, split, *_) = calls
    assert {domain, drawn} == {each_world.domain}
    assert (split, root, profile, overrides) == ("train", str(tmp_path / "root"), each_world.profile, [*each_world.overrides])

    with pytest.raises(DataError, match="of another domain"):
        replace(data, world=next(candidate for candidate in WORLDS.values() if candidate != each_world)).check()
    with pytest.raises(DataError, match="no data of the study"):
        replace(data, folder=tmp_path / "nothing").check()


def test_the_command_does_the_runs_of_the_world_it_is_given(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    benches: list[Any] = []

    def remember(bench: Any, *_: Any) -> int:
        benches.append(bench)
        return 0

    monkeypatch.setattr("training.study.queue.work", remember)
    command = ["study", "--quick", "--work", str(tmp_path / "work"), "--output", str(tmp_path / "out")]
    for name in (*WORLDS, "nowhere"):
        result = CliRunner().invoke(app, [*command, "--world", name])
        assert (result.exit_code == 0) == (name in WORLDS), result.output
    assert [bench.regime.world for bench in benches] == [bench.data.world for bench in benches] == list(WORLDS.values())
    assert len({bench.data.folder for bench in benches}) == len(WORLDS)
    assert CliRunner().invoke(app, [*command, "--world", "garments", "--arm", "placebo"]).exit_code == 2


def test_runs_from_another_start_are_not_continued(tmp_path: Path) -> None:
    write(record("clip"), records_of(tmp_path, QUICK))
    bench: Any = SimpleNamespace(regime=QUICK, start=SimpleNamespace(version="another"))
    with pytest.raises(DataError, match="began with another CLIP, c, than there is here"):
        work(bench, tmp_path, 1, False, print)
