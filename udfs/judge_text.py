"""A language model as judge of dual texts: does this text name what is gone, or miss what stayed?"""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from udfs import language
from udfs.role import Failure, RoleError, Row

if TYPE_CHECKING:
    from jobs.settings import Settings

OPTIONS = ("yes", "no")
LEAST_RIGHT = 5 / 6  # of the probes


class TextJudge:
    """Says yes, no or nothing of (text, removed, kept).

    A judge first shows that it can judge: one that gets too few of the probes of its prompt right (a very small model says
    "no" to everything) is given no row, and has no verdict on any. ``version`` says so.

    A model in the worker is read by its next-token probabilities, a served one by its reply. A model that would say neither
    yes nor no of a row has no verdict on it, and so has one whose call failed: a second opinion never costs a text. An
    endpoint that is not there stops the stage.
    """

    def __init__(self, settings: "Settings", device: str) -> None:
        """Load the model of ``judge.text`` with the judge prompt and its examples, and ask the probes.

        Raises:
            ValueError: no judge is set.
            RoleError: a probe had no answer at all, as the endpoint failed.
        """
        if settings.judge.text is None:
            raise ValueError("judge.text is not set: no text judge to load")
        prompt = language.read_prompt("judge")
        examples = [(user_message(e["text"], e["removed"], e["kept"]), e["reply"]) for e in prompt.examples]
        self.model = language.load(settings.judge.text, device, prompt.system, examples)
        self.name = self.model.name
        probed = self.model.choose([user_message(p["text"], p["removed"], p["kept"]) for p in prompt.probes], OPTIONS)
        if failed := [answer.error for answer in probed if isinstance(answer, Failure)]:
            raise RoleError(f"the text judge {self.name} cannot be asked: {failed[0]}")
        right = sum(answer == probe["reply"] for answer, probe in zip(probed, prompt.probes, strict=True))
        self.able = right >= LEAST_RIGHT * len(prompt.probes)
        self.version = f"{self.model.version} prompt {prompt.version}" + ("" if self.able else " (failed its probes)")

    def __call__(self, rows: Sequence[Row]) -> list[Row | Failure]:
        """{"text": str, "removed": [str], "kept": [str]} -> {"verdict": bool or None}, in order."""
        if not self.able:
            return [{"verdict": None} for _ in rows]
        prompts = [user_message(row["text"], row["removed"], row["kept"]) for row in rows]
        answers = language.ask_once(lambda distinct: self.model.choose(distinct, OPTIONS), prompts)
        return [{"verdict": answer == "yes" if isinstance(answer, str) else None} for answer in answers]


def user_message(text: str, removed: Sequence[str], kept: Sequence[str]) -> str:
    """The case as three lines, each value quoted, and the question."""
    return (
        f"Caption: {language.quote(text)}\n"
        f"Gone: {language.quote(list(removed))}\n"
        f"Still there: {language.quote(list(kept))}\n"
        "Is the caption right?"
    )
