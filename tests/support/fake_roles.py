"""Fake models for tests of the factory: they count their loads and calls in the file that ``segmenter.weights`` names."""

import os
import signal
import struct
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from jobs.settings import Settings
from udfs import clock
from udfs.role import Failure, Row


class AcceleratorError(RuntimeError):
    """Named as torch names an error after which a CUDA context is of no use."""


class FakeModel:
    """Measures words; some words make it fail in the ways that models do."""

    name, version = "fake", "1"

    def __init__(self, settings: Settings, device: str) -> None:
        self.log = Path(settings.segmenter.weights)
        self._note("load")

    def __call__(self, rows: Sequence[Row]) -> list[Row | Failure]:
        words = [row["word"] for row in rows]
        self._note(f"call {len(words)}")
        if "explode" in words:
            raise ValueError("boom " * 1000)
        if "broken device" in words:
            raise AcceleratorError("CUDA error: device-side assert triggered")
        if "swallow" in words:
            return []
        if "hang" in words:
            time.sleep(3600)
        if "crash" in words:
            os.kill(os.getpid(), signal.SIGSEGV)
        if "leave" in words:
            os._exit(3)
        if "once" in words and not self.log.with_suffix(".once").exists():
            self.log.with_suffix(".once").touch()
            os.kill(os.getpid(), signal.SIGKILL)
        if "stutter" in words:  # half an answer
            os.write(int(sys.argv[1]), struct.pack("!i", 1000) + b"half")
            os._exit(0)
        if "lambda" in words:
            return [{"length": lambda: 0}] * len(words)
        if "crowd" in words and len(words) > 1:
            os.kill(os.getpid(), signal.SIGKILL)  # as the kernel does with a batch that is too large
        with clock.spend("model"):
            return [Failure("too_rude", word) if word == "rude" else {"length": len(word)} for word in words]

    def _note(self, event: str) -> None:
        with self.log.open("a") as log:
            log.write(event + "\n")


class OtherFakeModel(FakeModel):
    """Another role: it pushes the first one out of a worker."""


class FakeWithoutWeights:
    """A model that cannot be loaded."""

    def __init__(self, settings: Settings, device: str) -> None:
        raise FileNotFoundError("no weights")


class FakeThatCannotStart:
    """A model whose library ends the process while it loads."""

    def __init__(self, settings: Settings, device: str) -> None:
        os._exit(4)
