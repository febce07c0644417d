"""A headless Chromium spoken to over a pipe: DevTools messages are JSON, each ended by a null byte. Needs no package."""

import fcntl
import itertools
import json
import os
import select
import shutil
import subprocess
import time
from pathlib import Path
from types import TracebackType
from typing import Any

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
SWITCHES = (
    "--headless", "--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking", "--disable-sync",
    "--disable-component-update", "--remote-debugging-pipe", "--window-size=1300,1000", "--disable-dev-shm-usage",
)  # fmt: skip
WAIT = 120  # seconds: a stuck browser fails the test, a slow one does not

Message = dict[str, Any]


class Navigated(Exception):
    """The page that was asked is no longer there."""


class Chromium:
    """One page of one browser. ``events`` are all messages that were no answers, such as requests and console lines."""

    def __init__(self, folder: Path) -> None:
        program = next(filter(None, map(shutil.which, NAMES)))
        # The browser reads 3 and writes 4; pipes with higher numbers cannot be overwritten on the way there.
        pipes = [[fcntl.fcntl(end, fcntl.F_DUPFD_CLOEXEC, 20) for end in os.pipe()] for _ in range(2)]
        (commands, self._commands), (self._answers, answers) = pipes

        def connect() -> None:
            os.dup2(commands, 3)
            os.dup2(answers, 4)

        self._process = subprocess.Popen(
            [program, *SWITCHES, f"--user-data-dir={folder}", "about:blank"],
            preexec_fn=connect, close_fds=False, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        os.close(commands)
        os.close(answers)
        self.events: list[Message] = []
        self._buffer, self._ids, self._session = b"", itertools.count(1), ""
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        self._session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        # Else whether the page or the browser's first tab has the focus is chance, and keys and focus events with it.
        self.call("Page.bringToFront")
        self.call("Emulation.setFocusEmulationEnabled", enabled=True)

    def __enter__(self) -> "Chromium":
        return self

    def __exit__(self, kind: type[BaseException] | None, problem: BaseException | None, trace: TracebackType | None) -> None:
        os.close(self._commands)  # the browser ends with its pipe
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        os.close(self._answers)

    def call(self, method: str, **parameters: Any) -> Message:
        """Send a command and wait for its answer."""
        number = next(self._ids)
        message = {"id": number, "method": method, "params": parameters}
        if self._session:
            message["sessionId"] = self._session
        os.write(self._commands, json.dumps(message).encode() + b"\0")
        while (answer := self._read()).get("id") != number:
            self.events.append(answer)
        if "navigated" in answer.get("error", {}).get("message", ""):
            raise Navigated(answer)
        assert "error" not in answer, f"{method}: {answer}"
        return answer["result"]

    def value(self, script: str) -> Any:
        """What a JavaScript expression is worth in the page; promises are awaited."""
        answer = self.call("Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in answer, answer
        return answer["result"].get("value")

    def wait_for(self, script: str) -> None:
        """Until the expression is true, in this page or in the one that it is leaving for."""
        end = time.monotonic() + WAIT
        while not self._true(script):
            assert time.monotonic() < end, f"never true: {script}"
            time.sleep(0.1)

    def _true(self, script: str) -> bool:
        try:
            return bool(self.value(script))
        except Navigated:
            return False

    def _read(self) -> Message:
        while b"\0" not in self._buffer:
            ready, _, _ = select.select([self._answers], [], [], WAIT)
            assert ready, f"the browser has said nothing for {WAIT} s"
            part = os.read(self._answers, 1 << 16)
            assert part, f"the browser has ended: {self._process.poll()}"
            self._buffer += part
        message, _, self._buffer = self._buffer.partition(b"\0")
        return json.loads(message)


def found() -> bool:
    """Whether a browser is installed."""
    return any(map(shutil.which, NAMES))
