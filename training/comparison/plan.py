"""The plan of a comparison: benchmarks, and training options by method."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Required, TypedDict, Unpack

from training.benchmarks import BenchmarkError, benchmark
from training.methods import make
from training.options import Options, OptionsError, make_options
from udfs.errors import DualsetError

RESERVED = ("snapshot", "model", "checkpoint", "method", "method_options", "seed", "output")  # set by compare itself
START = "start"  # the model before any training
METHODS = ("clip", "negclip", "simclip", "ce_clip", "svlc", "laclip", "powerset", "powerset+negclip")


class ComparisonError(DualsetError):
    """A training failed; the message names its log."""


@dataclass(frozen=True)
class Suite:
    """A benchmark with its files."""

    name: str
    data: Path
    images: Path
    options: dict[str, str] = field(default_factory=dict, hash=False)

    @classmethod
    def of(cls, text: str) -> "Suite":
        """Read "NAME=DATA[,IMAGES][,option=value...]".

        Raises:
            OptionsError: the form is wrong, or there is no such benchmark or folder.
        """
        name, equals, rest = text.partition("=")
        paths = [part for part in rest.split(",") if "=" not in part]
        options = dict(part.split("=", 1) for part in rest.split(",") if "=" in part)
        if reserved := sorted({"name", "data", "images", "encoder", "options"} & options.keys()):
            raise OptionsError(f"--benchmark {name}: {reserved[0]} is no option of a benchmark; write folders without a name")
        if not equals or not 1 <= len(paths) <= 2 or not paths[0]:
            raise OptionsError(f"--benchmark is NAME=DATA[,IMAGES][,option=value], not {text!r}")
        try:
            benchmark(name)
        except BenchmarkError as problem:
            raise OptionsError(str(problem)) from None
        for path in paths:
            if not Path(path).exists():
                raise OptionsError(f"benchmark {name}: there is no {path}")
        return cls(name, Path(paths[0]), Path(paths[-1]), options)

    @property
    def title(self) -> str:
        """The benchmark's name, its data and its options."""
        return ", ".join([self.name, self.data.name, *(f"{key} {value}" for key, value in sorted(self.options.items()))])

    @property
    def file(self) -> str:
        """The name of the results' file, different for other data, images or options."""
        return f"{self.name}_{_digest([str(self.data.resolve()), str(self.images.resolve()), self.options])}.json.gz"


class PlanFields(TypedDict, total=False):
    """The fields of a plan besides its training options."""

    seeds: Required[int]
    suites: Required[list[Suite]]
    output: Required[Path]
    processes: int
    device: str


@dataclass(frozen=True)
class Plan:
    """What is compared: training options by method, seeds and benchmarks. ``processes``: per training, one per GPU."""

    runs: dict[str, Options]
    seeds: int
    suites: list[Suite]
    output: Path
    processes: int = 1
    device: str = ""

    @classmethod
    def of(
        cls, common: Mapping[str, Any], methods: Sequence[str], settings: Sequence[str], **others: Unpack[PlanFields]
    ) -> "Plan":
        """Read settings: "NAME=VALUE" for all methods, "METHOD.NAME=VALUE" for one method or for one of its own options.

        Raises:
            OptionsError: a setting is unknown or has an invalid value.
        """
        values = {method: dict(common) | {"method": method, "output": "-", "method_options": {}} for method in methods}
        for text in settings:
            key, equals, value = text.partition("=")
            method, _, name = key.rpartition(".")
            if not equals or not name or (method and method not in values):
                raise OptionsError(f"--set is NAME=VALUE or METHOD.NAME=VALUE, not {text!r}; methods: {', '.join(methods)}")
            if name in RESERVED:
                raise OptionsError(f"--set {name}: compare has an option of its own for it")
            for target in [method] if method else methods:
                if name in Options.model_fields:
                    values[target][name] = value
                elif method:
                    values[target]["method_options"][name] = value
                else:
                    raise OptionsError(f"no option {name}; for an option of a method write METHOD.{name}=VALUE")
        runs = {method: make_options(tree) for method, tree in values.items()}
        for method, options in runs.items():
            try:
                make(method, **options.method_options)
            except ValueError as problem:
                raise OptionsError(str(problem)) from None
        return cls(runs, **others)

    def options(self, method: str, seed: int) -> Options:
        """The options of a training."""
        return make_options(self.runs[method].model_dump() | {"seed": seed, "output": str(self.trained(method, seed))})

    def trained(self, method: str, seed: int) -> Path:
        """The folder of a training, different for options that change the weights."""
        options = self.runs[method]
        return self.output / "runs" / f"{method}_seed{seed}_{_digest([options.run_hash, options.snapshot])}"

    def result(self, method: str, seed: int, suite: Suite) -> Path:
        """The file with the results of one training, or of the start, on a suite."""
        common = next(iter(self.runs.values()))
        start = f"{START}_{_digest([common.model, common.checkpoint])}"
        return self.output / "results" / (start if method == START else self.trained(method, seed).name) / suite.file

    @property
    def models(self) -> list[tuple[str, int]]:
        """The start, and each method with each seed, as (method, seed)."""
        return [(START, 0), *((method, seed) for seed in range(self.seeds) for method in self.runs)]


def _digest(tree: Any) -> str:
    return hashlib.sha256(json.dumps(tree, sort_keys=True).encode()).hexdigest()[:8]
