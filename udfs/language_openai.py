"""A language model behind an OpenAI-compatible endpoint: a vLLM server beside the executor, Databricks serving, a hosted model.

The protocol's own client does timeouts and retries with backoff (429, 5xx, lost connections; ``Retry-After`` is kept). The
key is read from the environment in the worker and kept in the client alone: no error text, table, log or settings hash
ever holds it.
"""

import ipaddress
import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from udfs import clock
from udfs.role import Failure

if TYPE_CHECKING:
    from openai import APIStatusError

    from jobs.settings import LanguageModel


class OpenAIModel:
    """Replies of a served chat model at temperature 0; see ``udfs.language.Model``."""

    def __init__(self, settings: "LanguageModel", system: str, examples: Sequence[tuple[str, str]]) -> None:
        """Make the client; nothing is sent yet.

        Raises:
            ValueError: no endpoint, no model name, or no key for an endpoint that is not on this machine.
        """
        from openai import OpenAI

        if not settings.base_url or not settings.model:
            raise ValueError("kind openai needs base_url (such as http://localhost:8000/v1) and model (the served name)")
        key = os.environ.get(settings.api_key_env, "")
        if not key and not _is_loopback(settings.base_url):
            raise ValueError(f"the environment variable {settings.api_key_env} holds no key for the endpoint")
        self.name = self.version = settings.model  # what weights stand behind the name, only its server knows
        self._secret = key
        self._client = OpenAI(
            api_key=key or "none",
            base_url=settings.base_url,
            timeout=settings.timeout_s,
            max_retries=settings.max_retries,
        )
        self._concurrency = settings.concurrency
        # Some hosted models refuse one of these; what an endpoint refuses once is not sent again.
        self._options: dict[str, Any] = {"temperature": 0, "seed": 0, "max_tokens": settings.max_new_tokens}
        self._prefix = [{"role": "system", "content": system}]
        for user, reply in examples:
            self._prefix += [{"role": "user", "content": user}, {"role": "assistant", "content": reply}]

    def __call__(self, prompts: Sequence[str]) -> list[str | Failure]:
        """One reply for each user message, in order; a call that fails for good is a failure of its own row."""
        with clock.spend("model"), ThreadPoolExecutor(self._concurrency) as pool:
            return list(pool.map(self._ask, prompts))

    def choose(self, prompts: Sequence[str], options: Sequence[str]) -> list[str | None | Failure]:
        """The option that the reply's first word is, whatever its case; None for any other reply."""
        known = {option.casefold(): option for option in options}

        def read(reply: str | Failure) -> str | None | Failure:
            if isinstance(reply, Failure):
                return reply
            words = reply.split()
            return known.get(words[0].strip(".,;:!\"'*`").casefold()) if words else None

        return [read(reply) for reply in self(prompts)]

    def _ask(self, prompt: str) -> str | Failure:
        from openai import APIConnectionError, APIStatusError, APITimeoutError, OpenAIError

        messages = [*self._prefix, {"role": "user", "content": prompt}]
        try:
            reply = self._complete(messages)
        except APITimeoutError:
            return Failure("model_error", "the endpoint did not answer in time")
        except APIConnectionError:
            return Failure("model_error", "the endpoint cannot be reached")
        except APIStatusError as problem:
            return Failure("model_error", self._explain(problem))
        except (OpenAIError, ValueError) as problem:  # the body was no completion, or no JSON at all
            return Failure("model_error", f"the endpoint's answer cannot be read ({type(problem).__name__})")
        return reply.strip() if reply else Failure("model_error", "the endpoint's answer holds no text")

    def _complete(self, messages: list[dict[str, str]]) -> str | None:
        from openai import BadRequestError

        while True:
            options = dict(self._options)
            try:
                answer = self._client.chat.completions.create(
                    model=self.name,
                    messages=messages,  # type: ignore[arg-type]  # plain dicts are what the protocol sends
                    **options,
                )
            except BadRequestError as problem:
                refused = _refused(problem, options)
                if not refused:
                    raise
                self._drop(refused)
                continue
            choices = getattr(answer, "choices", None)  # a body of another kind comes back as it was, unchecked
            return choices[0].message.content if choices else None

    def _drop(self, refused: str) -> None:
        # A new dict, as other threads read the old one. Newer hosted models know max_tokens by another name.
        left = {key: value for key, value in self._options.items() if key != refused}
        if refused == "max_tokens" and refused in self._options:
            left["max_completion_tokens"] = self._options[refused]
        self._options = left

    def _explain(self, problem: "APIStatusError") -> str:
        # What a server says of a refused key often quotes it, whole or in part.
        if problem.status_code in (401, 403):
            return f"the endpoint refused the key (HTTP {problem.status_code})"
        said = str(problem.message).replace(self._secret or "\0", "***")
        return f"HTTP {problem.status_code}: {said[:200]}"


def _refused(problem: Any, options: dict[str, Any]) -> str | None:
    """The option that an endpoint says it does not take, if that is why it refused the request."""
    named = getattr(problem, "param", None)
    return named if named in options else None


def _is_loopback(url: str) -> bool:
    host = urlsplit(url).hostname or ""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
