"""A language model as judge of dual texts: does a text name a removed component, or omit a kept one?"""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from udfs.language import model as language
from udfs.role import Failure, RoleError, Row

if TYPE_CHECKING:
    from udfs.settings import RoleSettings

OPTIONS = ("yes", "no")
LEAST_RIGHT = 5 / 6  # of the probes


class TextJudge:
    """Answers yes, no or nothing for (text, removed, kept).

    A judge is tested first: if it gets too few of its prompt's probes right (a very small model says "no" to everything), it
    is asked about no row and has no verdicts. ``version`` records this.

    A model in the worker is read by its next-token probabilities, a served one by its reply. There is no verdict on a row if
    the model would say neither yes nor no, or if its call failed: a second opinion never costs a text. An unreachable
    endpoint stops the stage.
    """

    def __init__(self, settings: "RoleSettings", device: str) -> None:
        """Load the model of ``judge.text`` with the judge prompt and its examples, and ask the probes.

        Raises:
            ValueError: no judge is set.
            RoleError: the endpoint failed to answer a probe.
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
    """Text, removed and kept labels on three lines, each quoted, and the question."""
    return (
        f"Caption: {language.quote(text)}\n"
        f"Gone: {language.quote(list(removed))}\n"
        f"Still there: {language.quote(list(kept))}\n"
        "Is the caption right?"
    )
