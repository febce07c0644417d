"""A language model as rewriter: it proposes captions without the removed components. ``udfs.rewrite.checks`` judges them."""

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING

from udfs.language import model as language
from udfs.rewrite.request import RewriteRequest
from udfs.role import Failure

if TYPE_CHECKING:
    from udfs.language.settings import LanguageModel


class LanguageModelRewriter:
    """Proposals of one language model. ``version`` covers the weights and the prompt."""

    def __init__(self, settings: "LanguageModel", device: str) -> None:
        """Load the model with the rewrite prompt and its examples."""
        prompt = language.read_prompt("rewrite")
        examples = [
            (
                user_message(RewriteRequest(e["caption"], tuple(e["remove"]), tuple(e["keep"]))),
                language.quote(e["reply"]),
            )
            for e in prompt.examples
        ]
        self.model = language.load(settings, device, prompt.system, examples)
        self.name = self.model.name
        self.parameters = self.model.parameters
        self.version = f"{self.model.version} prompt {prompt.version}"

    def propose(self, requests: Sequence[RewriteRequest]) -> list[str | Failure]:
        """One new caption per request, in order, or the reason for having none (``reply_empty``, ``reply_not_string``,
        ``reply_not_one_line``, ``model_error``, ...).
        """
        replies = language.ask_once(self.model, [user_message(request) for request in requests])
        return [reply if isinstance(reply, Failure) else read_reply(reply) for reply in replies]


def user_message(request: RewriteRequest) -> str:
    """The request as three lines, each value quoted."""
    return (
        f"Caption: {language.quote(request.caption)}\n"
        f"Remove: {language.quote(request.removed_phrases)}\n"
        f"Keep: {language.quote(request.kept_phrases)}"
    )


def read_reply(reply: str) -> str | Failure:
    """The text of a reply: a JSON string, as in the examples, or the bare sentence.

    Failures: ``reply_not_json``, ``reply_not_string`` (a list or an object, of which no part is guessed to be the caption),
    ``reply_empty``, ``reply_not_one_line``.
    """
    text = language.unfence(reply)
    if text.startswith(('"', "[", "{")):
        try:
            value = json.loads(text)
        except (ValueError, RecursionError):
            return Failure("reply_not_json", text)
        if not isinstance(value, str):
            return Failure("reply_not_string", text)
        text = value
    text = text.strip()
    if not text:
        return Failure("reply_empty", "the model proposed no text")
    if len(text.splitlines()) > 1:
        return Failure("reply_not_one_line", text)
    return text
