"""The study's data: scenes through the whole engine, the snapshots made from theirs, and the questions.

    main                 the engine's own: biased scenes, the world's profile, kept by its policy
    grey, true           the same families, holes painted grey, or removals really rendered
    unfiltered, random   before the filter, and with as many duals rejected at random
    quarter, half        a part of the families
    one, two             only the first component removed, or the first two: N = 1 and 2 where the engine has 3
    four                 the engine's own again, with up to four components
    large                the engine's own of four times as many originals
    colours, places      with two components' colours or places exchanged in further families (``swapped``)
    more                 seven times as many originals, really rendered, no duals

Nothing is made twice: what is there is found by its id. All of it can be made again from the seeds below, which no model of the
project learned from (``scenes.seeds``).
"""

import hashlib
import json
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cached_property, partial
from pathlib import Path
from typing import Any

from scenes import domain as domains
from scenes import layout
from scenes.captions import tell
from scenes.scene import Scene
from training.snapshot import Manifest, read_manifest
from training.study import StudyError, derived, swapped
from training.study.alone import alone
from training.study.derived import Row
from training.study.world import MADE, OBJECTS, World, make_start

SIZE, NOTE = 96, "world.txt"
ORIGINALS_SEED, MORE_SEED = 11, 12  # scenes to learn from
VALIDATION_SEED, TEST_SEED = 140, 960  # questions: to choose by, and to report
SHARES = {"quarter": 0.25, "half": 0.5}
FEWER = {"one": 1, "two": 2}
LARGE = 4
MORE = 7
GROUP = 64  # rows in a row group of what is made here
# What the filter may never let through by: every threshold open, texts still checked by rules.
OPEN = (
    *("policy.max_residual=1", "policy.max_intruder=1", "policy.max_seam=null", "policy.min_survivor=null"),
    "policy.max_edited_fraction=1",
)


class DataError(StudyError):
    """The study's data cannot be had; the message says why."""


@dataclass(frozen=True)
class Size:
    """How much of everything."""

    originals: int = 1000
    questions: int = 2000  # a group
    validation: int = 300  # questions a group


@dataclass(frozen=True)
class Made:
    """The data under one folder."""

    folder: Path
    size: Size
    say: Callable[[str], None]
    world: World = OBJECTS

    def snapshot(self, kind: str) -> Manifest:
        """A snapshot by its kind; made if it is not there.

        Raises:
            DataError: the folder's data are of another world.
        """
        # These two have folders and locks of their own: the engine takes long, and nobody else waits for it.
        if kind == "large":
            size = replace(self.size, originals=LARGE * self.size.originals)
            return replace(self, folder=self.folder / kind, size=size).main
        if kind == "four":
            return replace(self, folder=self.folder / kind)._published("main", ("components.n=4",))
        with self._alone():
            return self._snapshot(kind)

    def _snapshot(self, kind: str) -> Manifest:
        if kind == "main":
            return self.main
        if kind == "unfiltered":
            return self.unfiltered
        at = self.folder / "snapshots" / kind
        if kind == "more":
            return self._more(at)
        why = Counter[str]()
        changes: dict[str, Callable[[], derived.Change]] = {
            "grey": lambda: derived.grey_boxes,
            "true": lambda: derived.truly_rendered(self.scene_of),
            "random": lambda: derived.rejected_at_random(self.rejected),
            "colours": lambda: partial(swapped.with_colours, why=why),
            "places": lambda: partial(swapped.with_places, why=why),
            **{name: partial(derived.some_of, share) for name, share in SHARES.items()},
            **{name: partial(derived.first_components, n) for name, n in FEWER.items()},
        }
        source = self.unfiltered if kind == "random" else self.main
        made = derived.change(source, at, kind, changes[kind]())
        if why:
            self.say(f"{kind}: " + ", ".join(f"{count} {reason}" for reason, count in sorted(why.items())))
        return made

    @cached_property
    def main(self) -> Manifest:
        """The engine's own."""
        return self._published("main", ())

    @cached_property
    def unfiltered(self) -> Manifest:
        """Published with the filter open."""
        return self._published("unfiltered", OPEN)

    @property
    def rejected(self) -> dict[int, float]:
        """The share of duals with k components removed that the filter rejects, of those that pass without it."""
        kept, passed = Counter[int](), Counter[int]()
        for counts, manifest in ((kept, self.main), (passed, self.unfiltered)):
            for row in manifest.lattice:
                counts[row.removed] += row.kept
        return {k: 1 - kept[k] / count for k, count in passed.items() if k and count}

    def scene_of(self, record_id: str) -> Scene:
        """The scene that a record of the engine's was drawn from."""
        return layout.sample(self.world.domain, "train", ORIGINALS_SEED, self._scenes[record_id], SIZE)

    def questions(self, use: str) -> Path:
        """The folder of the questions to choose by ("validation") or to report ("test"); made if they are not there."""
        from scenes.benchmark import MAKERS, write

        seed, count = (VALIDATION_SEED, self.size.validation) if use == "validation" else (TEST_SEED, self.size.questions)
        folder = self.folder / f"{use}_s{seed}_{count}"
        with self._alone():
            if not (folder / "items.json").is_file():
                self.say(f"drawing {count} questions a group, seed {seed}")
                write(self.world.domain, seed, SIZE, count, list(MAKERS), folder)
        return folder

    def located(self, options: dict[str, Any]) -> dict[str, Any]:
        """Options of training, with the place of what is made here (``MADE``) in place of its name; made if it is not there."""
        names = [name for name in ("model", "checkpoint") if options.get(name, "").startswith(MADE)]
        if not names:
            return options
        folder = self.folder.parent / f"start_{self.world.name}"  # of all regimes
        with alone(folder):
            make_start(self.world, folder)
        return options | {name: str(folder / options[name].removeprefix(MADE)) for name in names}

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """By one process at a time, and of one world: a domain that has changed draws other scenes for the same numbers."""
        with alone(self.folder):
            note = self.folder / NOTE
            if not note.is_file():
                note.write_text(self._domain, encoding="utf-8")
            self.check()
            yield

    def check(self) -> None:
        """Raise DataError where the folder has no data, or those of another world."""
        note = self.folder / NOTE
        if not note.is_file():
            raise DataError(f"{self.folder} has no data of the study")
        if note.read_text(encoding="utf-8") != self._domain:
            raise DataError(f"{self.folder} was made of another domain {self.world.domain!r} than this one: take another --work")

    @property
    def _domain(self) -> str:
        return hashlib.sha256(domains.load(self.world.domain).model_dump_json().encode()).hexdigest()[:16]

    def _published(self, kind: str, overrides: tuple[str, ...]) -> Manifest:
        with self._alone():
            note = self.folder / f"{kind}.json"
            if not note.is_file():
                manifest = self._engine(overrides)
                note.write_text(json.dumps({"snapshot": manifest.folder}), encoding="utf-8")
            return read_manifest(json.loads(note.read_text(encoding="utf-8"))["snapshot"])

    def _engine(self, overrides: tuple[str, ...]) -> Manifest:
        """Ingest, run the chain and publish, as a user would."""
        from jobs import ingest
        from jobs.chain import NAMES, run_chain
        from jobs.console import open_run
        from jobs.publish import publish
        from jobs.sources import complete, records

        self.folder.mkdir(parents=True, exist_ok=True)
        run = open_run(str(self.folder / "root"), self.world.profile, [*self.world.overrides, *overrides])
        options = {"count": str(self.size.originals), "seed": str(ORIGINALS_SEED), "size": str(SIZE), "domain": self.world.domain}
        ingest.add(run, records(run.store.spark, "scenes", complete("scenes", options, run.store.root), run.settings.ingest))
        run_chain(run, (*NAMES, "variants", "placebos"))
        manifest, _ = publish(run.store, run.settings, self.say)
        keys = run.store.spark.sql(f"SELECT DISTINCT record_id, source_key FROM {run.store.name('images')}")  # noqa: S608
        scenes = {row["record_id"]: int(row["source_key"].rpartition("_")[2].partition(".")[0]) for row in keys.collect()}
        (self.folder / "scenes.json").write_text(json.dumps(scenes), encoding="utf-8")
        return manifest

    @cached_property
    def _scenes(self) -> dict[str, int]:
        return json.loads((self.folder / "scenes.json").read_text(encoding="utf-8"))

    def _more(self, at: Path) -> Manifest:
        """Originals as ``main`` has them, with what is true of each; its rows know no removal."""
        count, shards = MORE * self.size.originals, self.main.shards
        made_by = f"{count} scenes of seed {MORE_SEED}, really rendered"

        def rows(shard: int) -> Iterator[list[Row]]:
            group: list[Row] = []
            for index in range(shard, count, shards):
                group.append(
                    original(
                        layout.sample(self.world.domain, "train", MORE_SEED, index, SIZE), self.main.settings["components"]["n"]
                    )
                )
                if len(group) == 64:
                    yield group
                    group = []
            yield group

        files = ((f"data/part={shard}/rows.parquet", shard, rows(shard)) for shard in range(shards))
        return derived.write(at / f"{self.main.id}_{count}", self.main, made_by, files)


def original(scene: Scene, n: int) -> Row:
    """A snapshot's row of a scene's original alone: its captions with what they name of up to ``n`` components."""
    from scenes.inpainting_data import components
    from scenes.render import render

    told = [one for one in tell(domains.load(scene.domain), scene) if one.monotone]
    seen = sorted(components(scene))
    labels = [label for label in seen if any(label in one.labels for one in told)][:n]
    named = [sum(1 << i for i, label in enumerate(labels) if label in one.labels) for one in told]
    perhaps = [
        sum(1 << i for i, label in enumerate(labels) if label not in one.labels and any(label in m.labels for m in one.mentions))
        for one in told
    ]
    nothing: dict[str, list[Any]] = {f"variant_{name}": [] for name in ("text", "of", "kind", "mentions", "may_mention", "names")}
    return {
        "record_id": scene.key, "n": len(labels), "labels": labels, "subsets": [0],
        "images": [derived.encode(render(scene), derived.PNG)],
        "caption_id": [f"{scene.key}-{i}" for i in range(len(told))], "text": [one.text for one in told],
        "text_named": named, "text_mentions": named, "text_may_mention": perhaps,
        "detected": seen, **nothing,
    }  # fmt: skip
