"""The study's data: scenes run through the whole engine, snapshots derived from the result, and the questions.

    main                 the engine's output: biased scenes, the world's profile and policy
    grey, true           the same families, holes painted grey, or removals really rendered
    unfiltered, random   before the filter, and with as many duals rejected at random
    quarter, half        a part of the families
    one, two             only the first component removed, or the first two: N = 1 and 2 instead of the engine's 3
    four                 the engine's output with up to four components
    large                the engine's output for four times as many originals
    colours, places      with further families, in which two components' colours or places are exchanged (``swapped``)
    more                 seven times as many originals, really rendered, no duals

Nothing is made twice: existing snapshots are found by their id. Everything can be regenerated from the seeds below, which no
model of the project was trained on (``jobs.scenes.seeds``).
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

from jobs.scenes import domain as domains
from jobs.scenes import layout
from jobs.scenes.captions import tell
from jobs.scenes.scene import Scene
from jobs.snapshot.manifest import Manifest, read_manifest
from training.study import StudyError, derived, swapped
from training.study.derived import Row
from training.study.exclusive import exclusive
from training.study.world import MADE, OBJECTS, World, make_start

SIZE, NOTE = 96, "world.txt"
ORIGINALS_SEED, MORE_SEED = 11, 12  # of training scenes
VALIDATION_SEED, TEST_SEED = 140, 960  # of the questions for validation and for the report
SHARES = {"quarter": 0.25, "half": 0.5}
FEWER = {"one": 1, "two": 2}
LARGE = 4
MORE = 7
GROUP = 64  # rows per row group
# All thresholds of the filter open; texts are still checked by rules.
OPEN = (
    *("policy.max_residual=1", "policy.max_intruder=1", "policy.max_seam=null", "policy.min_survivor=null"),
    "policy.max_edited_fraction=1",
)


class DataError(StudyError):
    """The study's data cannot be made or used; the message says why."""


@dataclass(frozen=True)
class Size:
    """How much data there is."""

    originals: int = 1000
    questions: int = 2000  # per group
    validation: int = 300  # questions per group


@dataclass(frozen=True)
class StudyData:
    """The study's data in one folder, for one world."""

    folder: Path
    size: Size
    log: Callable[[str], None]
    world: World = OBJECTS

    def snapshot(self, kind: str) -> Manifest:
        """A snapshot by its kind, made if it does not exist.

        Raises:
            DataError: the folder holds another world's data.
        """
        # These two have their own folders and locks: the engine takes long, and other processes must not wait for it.
        if kind == "large":
            size = replace(self.size, originals=LARGE * self.size.originals)
            return replace(self, folder=self.folder / kind, size=size).main
        if kind == "four":
            return replace(self, folder=self.folder / kind)._published("main", ("components.n=4",))
        with self._exclusive():
            return self._snapshot(kind)

    def _snapshot(self, kind: str) -> Manifest:
        if kind == "main":
            return self.main
        if kind == "unfiltered":
            return self.unfiltered
        folder = self.folder / "snapshots" / kind
        if kind == "more":
            return self._more(folder)
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
        manifest = derived.change(source, folder, kind, changes[kind]())
        if why:
            self.log(f"{kind}: " + ", ".join(f"{count} {reason}" for reason, count in sorted(why.items())))
        return manifest

    @cached_property
    def main(self) -> Manifest:
        """The engine's output."""
        return self._published("main", ())

    @cached_property
    def unfiltered(self) -> Manifest:
        """The engine's output with the filter open."""
        return self._published("unfiltered", OPEN)

    @property
    def rejected(self) -> dict[int, float]:
        """The share of duals with k components removed that the policy rejects, among those that pass an open filter, by k."""
        kept, passed = Counter[int](), Counter[int]()
        for counts, manifest in ((kept, self.main), (passed, self.unfiltered)):
            for row in manifest.lattice:
                counts[row.removed] += row.kept
        return {k: 1 - kept[k] / count for k, count in passed.items() if k and count}

    def scene_of(self, record_id: str) -> Scene:
        """The scene of a record in the engine's output."""
        return layout.sample(self.world.domain, "train", ORIGINALS_SEED, self._scenes[record_id], SIZE)

    def questions(self, use: str) -> Path:
        """The folder of the questions for ``use`` "validation" or "test", made if it does not exist."""
        from jobs.scenes.benchmark import MAKERS, write

        seed, count = (VALIDATION_SEED, self.size.validation) if use == "validation" else (TEST_SEED, self.size.questions)
        folder = self.folder / f"{use}_s{seed}_{count}"
        with self._exclusive():
            if not (folder / "items.json").is_file():
                self.log(f"drawing {count} questions a group, seed {seed}")
                write(self.world.domain, seed, SIZE, count, list(MAKERS), folder)
        return folder

    def located(self, options: dict[str, Any]) -> dict[str, Any]:
        """Training options with ``MADE`` names replaced by paths; the files are made if they do not exist."""
        names = [name for name in ("model", "checkpoint") if options.get(name, "").startswith(MADE)]
        if not names:
            return options
        folder = self.folder.parent / f"start_{self.world.name}"  # shared by all regimes
        with exclusive(folder):
            make_start(self.world, folder)
        return options | {name: str(folder / options[name].removeprefix(MADE)) for name in names}

    @contextmanager
    def _exclusive(self) -> Iterator[None]:
        """Lock the folder for this process and world: a changed domain would draw other scenes for the same numbers."""
        with exclusive(self.folder):
            note = self.folder / NOTE
            if not note.is_file():
                note.write_text(self._domain, encoding="utf-8")
            self.check()
            yield

    def check(self) -> None:
        """Check the folder.

        Raises:
            DataError: it has no data, or another world's.
        """
        note = self.folder / NOTE
        if not note.is_file():
            raise DataError(f"{self.folder} has no data of the study")
        if note.read_text(encoding="utf-8") != self._domain:
            raise DataError(f"{self.folder} was made of another domain {self.world.domain!r} than this one: take another --work")

    @property
    def _domain(self) -> str:
        return hashlib.sha256(domains.load(self.world.domain).model_dump_json().encode()).hexdigest()[:16]

    def _published(self, kind: str, overrides: tuple[str, ...]) -> Manifest:
        with self._exclusive():
            note = self.folder / f"{kind}.json"
            if not note.is_file():
                manifest = self._engine(overrides)
                note.write_text(json.dumps({"snapshot": manifest.folder}), encoding="utf-8")
            return read_manifest(json.loads(note.read_text(encoding="utf-8"))["snapshot"])

    def _engine(self, overrides: tuple[str, ...]) -> Manifest:
        """Ingest, run the chain and publish, like a user."""
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
        manifest, _ = publish(run.store, run.settings, self.log)
        keys = run.store.spark.sql(f"SELECT DISTINCT record_id, source_key FROM {run.store.name('images')}")  # noqa: S608
        scenes = {row["record_id"]: int(row["source_key"].rpartition("_")[2].partition(".")[0]) for row in keys.collect()}
        (self.folder / "scenes.json").write_text(json.dumps(scenes), encoding="utf-8")
        return manifest

    @cached_property
    def _scenes(self) -> dict[str, int]:
        return json.loads((self.folder / "scenes.json").read_text(encoding="utf-8"))

    def _more(self, folder: Path) -> Manifest:
        """Originals like those of ``main``, with true labels and texts; rows have no removals."""
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
        return derived.write(folder / f"{self.main.id}_{count}", self.main, made_by, files)


def original(scene: Scene, n: int) -> Row:
    """A snapshot's row with a scene's original only: its captions, and which of up to ``n`` components they name."""
    from jobs.scenes.render import render
    from training.embedded.inpainting_data import components

    captions = [caption for caption in tell(domains.load(scene.domain), scene) if caption.monotone]
    visible = sorted(components(scene))
    labels = [label for label in visible if any(label in caption.labels for caption in captions)][:n]
    named = [sum(1 << i for i, label in enumerate(labels) if label in caption.labels) for caption in captions]
    may_mention = [
        sum(
            1 << i
            for i, label in enumerate(labels)
            if label not in caption.labels and any(label in m.labels for m in caption.mentions)
        )
        for caption in captions
    ]
    no_variants: dict[str, list[Any]] = {
        f"variant_{name}": [] for name in ("text", "of", "kind", "mentions", "may_mention", "names")
    }
    return {
        "record_id": scene.key, "n": len(labels), "labels": labels, "subsets": [0],
        "images": [derived.encode(render(scene), derived.PNG)],
        "caption_id": [f"{scene.key}-{i}" for i in range(len(captions))], "text": [caption.text for caption in captions],
        "text_named": named, "text_mentions": named, "text_may_mention": may_mention,
        "detected": visible, **no_variants,
    }  # fmt: skip
