"""A language model behind an OpenAI-compatible endpoint: a vLLM server beside the executor, Databricks serving, a hosted model.

The protocol's own client does timeouts and retries with backoff (429, 5xx, lost connections; ``Retry-After`` is kept). The
key is read from the environment in the worker and kept in the client alone: no error text, table, log or settings hash
ever holds it.

A call that fails is a failure of its own row, and the rules take its place. An endpoint that is not there is another matter:
rules would make the whole data set, and every row would be ok. So a wrong key, model or path stops the stage, and so does a
batch without any answer.
"""

import ipaddress
import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from jobs.settings import without_secrets
from udfs import clock
from udfs.role import Failure, RoleError

if TYPE_CHECKING:
    from openai import APIStatusError

    from jobs.settings import LanguageModel

# What no call can get past, by HTTP status, in our own words: what a server says of a refused key often quotes it.
_STOPS = {401: "refused the key", 402: "wants to be paid", 404: "knows no such model or path"}
# Calls without an answer, for reasons that lie with the endpoint. 403 is a refused key at some and a refused text at others.
_UNREACHED = Failure("model_error", "the endpoint cannot be reached")
_TOO_SLOW = Failure("model_error", "the endpoint did not answer in time")
_REFUSED = {403: "refused the call", 429: "is busy or its quota spent", 502: "is down", 503: "is down", 504: "is down"}
_LOST_STATUS = {code: Failure("model_error", f"the endpoint {what} (HTTP {code})") for code, what in _REFUSED.items()}
_LOST = (_UNREACHED, _TOO_SLOW, *_LOST_STATUS.values())
_ENOUGH = 16  # so many calls of a batch without an answer speak for all of it: each has waited for its retries


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
        self._endpoint = without_secrets(settings.base_url)
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
        """One reply for each user message, in order; a call that fails for good is a failure of its own row.

        Raises:
            RoleError: the key, the model or the path is wrong, or no call of the batch was answered. One call alone that was
                not answered in time is its own row's failure: it may be the longest of the data set.
        """
        replies: list[str | Failure] = []
        with clock.spend("model"), ThreadPoolExecutor(self._concurrency) as pool:
            try:
                for reply in pool.map(self._ask, prompts):
                    replies.append(reply)
                    if len(replies) == min(_ENOUGH, len(prompts)):
                        self._stop_if_lost(replies)
            finally:
                pool.shutdown(wait=False, cancel_futures=True)  # only after an error is anything left to cancel
        return replies

    def _stop_if_lost(self, replies: Sequence[str | Failure]) -> None:
        last = replies[-1]
        if isinstance(last, Failure) and all(reply in _LOST for reply in replies) and list(replies) != [_TOO_SLOW]:
            raise self._gone(last.error.removeprefix("the endpoint "))

    def _gone(self, why: str) -> RoleError:
        return RoleError(f"the endpoint {self._endpoint} (model {self.name}) {why}; the stage goes on from here when run again")

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
        except APITimeoutError as problem:
            return _UNREACHED if type(problem.__cause__).__name__ == "ConnectTimeout" else _TOO_SLOW
        except APIConnectionError:
            return _UNREACHED
        except APIStatusError as problem:
            if what := _STOPS.get(problem.status_code):
                raise self._gone(f"{what} (HTTP {problem.status_code})") from None
            return _LOST_STATUS.get(problem.status_code) or Failure("model_error", self._explain(problem))
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
