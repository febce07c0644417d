"""The interface of language models, and everything that does not depend on where a model runs.

A model is built with a system text and in-context examples, the shared prefix of all its prompts, and then called with user
messages. Text from a data set reaches it only through ``quote``: as a JSON string, which can neither end its own quotation
nor contain a model's control tokens.
"""

import hashlib
import json
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

import yaml

from udfs.role import Failure

if TYPE_CHECKING:
    from udfs.language.settings import LanguageModel

PROMPTS = Path(__file__).parent / "prompts"
Answer = TypeVar("Answer")


class Model(Protocol):
    """A loaded language model; replies are deterministic (greedy, or temperature 0 with a fixed seed)."""

    name: str
    version: str
    parameters: int | None  # how many it has; None for a served model, which does not say

    def __call__(self, prompts: Sequence[str]) -> list[str | Failure]:
        """One reply per user message, in order, without surrounding white space.

        Raises:
            RoleError: the model cannot be reached at all.
        """
        ...

    def choose(self, prompts: Sequence[str], options: Sequence[str]) -> list[str | None | Failure]:
        """The option (a single word) that the model would reply to each prompt; None if it would reply none of them."""
        ...


@dataclass(frozen=True)
class Prompt:
    """The shared prefix of a task: what ``udfs/language/prompts/<task>.yaml`` holds."""

    system: str
    examples: tuple[dict[str, Any], ...]  # the task's fields, plus "reply"
    probes: tuple[dict[str, Any], ...]  # like examples, not shown: cases that a usable model gets right
    version: str  # eight hex digits of the file's digest; part of the model's version


def load(settings: "LanguageModel", device: str, system: str, examples: Sequence[tuple[str, str]]) -> Model:
    """The model of ``settings`` with its prefix: a system text and (user message, reply) pairs.

    Args:
        settings: ``kind`` is transformers or openai; rules are not a language model.
        device: a torch device such as cpu or cuda:0; ignored by openai.
        system: the system text.
        examples: in-context examples, as turns of the same conversation.

    Raises:
        ValueError: the kind is rules, or a required setting is missing.
    """
    if settings.kind == "transformers":
        from udfs.language.transformers import TransformersModel

        return TransformersModel(settings, device, system, examples)
    if settings.kind == "openai":
        from udfs.language.openai import OpenAIModel

        return OpenAIModel(settings, system, examples)
    raise ValueError("kind rules is not a language model; set kind to transformers or openai")


def read_prompt(task: str) -> Prompt:
    """The system text and examples of a task (extract, rewrite or judge)."""
    text = (PROMPTS / f"{task}.yaml").read_text(encoding="utf-8")
    tree = yaml.safe_load(text)
    version = hashlib.sha256(text.encode()).hexdigest()[:8]
    return Prompt(" ".join(tree["system"].split()), tuple(tree["examples"]), tuple(tree.get("probes", ())), version)


def ask_once(ask: Callable[[list[str]], Sequence[Answer]], prompts: Sequence[str]) -> list[Answer]:
    """``ask(prompts)``, with equal prompts asked only once: a data set repeats captions."""
    distinct = list(dict.fromkeys(prompts))
    answers = dict(zip(distinct, ask(distinct), strict=True)) if distinct else {}
    return [answers[prompt] for prompt in prompts]


def quote(value: str | Sequence[str]) -> str:
    """A text, or a list of texts, as one line of JSON without control tokens of any chat format.

    Characters are kept unescaped (small models copy them better), except ``<`` and ``[`` inside strings, which begin such
    tokens, and lone surrogates, which no tokenizer accepts.
    """
    if not isinstance(value, str):
        return "[" + ", ".join(quote(item) for item in value) + "]"
    text = json.dumps(value, ensure_ascii=False).replace("<", "\\u003c").replace("[", "\\u005b")
    return text.encode("utf-8", "backslashreplace").decode("utf-8")


def unfence(reply: str) -> str:
    """The reply without the code fence that chat models like to put around JSON."""
    fenced = re.fullmatch(r"```(?:json|text)?\s*\n(.*?)\n?```", reply.strip(), re.DOTALL)
    return fenced.group(1).strip() if fenced else reply.strip()
