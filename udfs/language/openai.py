"""A language model behind an OpenAI-compatible endpoint: a vLLM server beside the executor, Databricks serving, a hosted model.

The official client handles timeouts and retries with backoff (429, 5xx, lost connections; it respects ``Retry-After``). The
key is read from the environment in the worker and kept in the client only: no error text, table, log or settings hash ever
contains it.

A failed call is a failure of its row only, and the rules take over; the row says so (``rules (model_error)``). With an endpoint
that is out of reach or answers nothing usable, the rules would silently make the whole data set, and every row would be ok. So a
wrong key, model or path stops the stage, and so does a batch that the endpoint left unanswered, and any ``ENOUGH`` calls in a row
without a usable reply, whatever came in their place.
"""

import ipaddress
import json
import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, unquote, urlsplit

from udfs import clock
from udfs.redact import without_secrets
from udfs.role import Failure, RoleError

if TYPE_CHECKING:
    from openai import APIStatusError

    from udfs.language.settings import LanguageModel

# HTTP statuses that stop the stage, in our own words: a server's message about a refused key often quotes the key.
_STOPS = {401: "refused the key", 402: "wants to be paid", 404: "knows no such model or path"}
# Calls that the endpoint left unanswered. 403 means a refused key at some endpoints and a refused text at others.
_UNREACHED = Failure("model_error", "the endpoint cannot be reached")
_TOO_SLOW = Failure("model_error", "the endpoint did not answer in time")
_REFUSED = {403: "refused the call", 429: "is busy or its quota spent", 502: "is down", 503: "is down", 504: "is down"}
_LOST_STATUS = {code: Failure("model_error", f"the endpoint {what} (HTTP {code})") for code, what in _REFUSED.items()}
_LOST = (_UNREACHED, _TOO_SLOW, *_LOST_STATUS.values())
ENOUGH = 8  # calls in a row without a usable reply, after which a stage is given up: each of them has used up its retries


class OpenAIModel:
    """Replies of a served chat model at temperature 0; see ``udfs.language.model.Model``."""

    def __init__(self, settings: "LanguageModel", system: str, examples: Sequence[tuple[str, str]]) -> None:
        """Create the client; nothing is sent yet.

        Raises:
            ValueError: no endpoint, no model name, or no key for an endpoint on another machine.
        """
        from openai import OpenAI

        from udfs.language.http_client import BoundedClient

        if not settings.base_url or not settings.model:
            raise ValueError("kind openai needs base_url (such as http://localhost:8000/v1) and model (the served name)")
        key = os.environ.get(settings.api_key_env, "")
        if not key and not _is_loopback(settings.base_url):
            raise ValueError(f"the environment variable {settings.api_key_env} holds no key for the endpoint")
        self.name = self.version = settings.model  # only the server knows which weights the name stands for
        self.parameters: int | None = None
        self._secret = key
        self._endpoint = without_secrets(settings.base_url)
        address = urlsplit(settings.base_url)
        login = (unquote(address.username or ""), unquote(address.password or ""))
        self._client = OpenAI(
            api_key=key or "none",
            base_url=self._endpoint,
            default_query=dict(parse_qsl(address.query)),
            timeout=settings.timeout_s,
            max_retries=settings.max_retries,
            http_client=BoundedClient(settings.timeout_s, login if any(login) else None),
        )
        self._failed_in_a_row = 0  # also over batches
        self._concurrency = settings.concurrency
        # Some hosted models refuse one of these options; a refused option is not sent again.
        self._options: dict[str, Any] = {"temperature": 0, "seed": 0, "max_tokens": settings.max_new_tokens}
        self._prefix = [{"role": "system", "content": system}]
        for user, reply in examples:
            self._prefix += [{"role": "user", "content": user}, {"role": "assistant", "content": reply}]

    def __call__(self, prompts: Sequence[str]) -> list[str | Failure]:
        """One reply per user message, in order. A call that fails after its retries is a failure of its row.

        Raises:
            RoleError: the key, model or path is wrong; no call of the batch was answered; or ``ENOUGH`` calls in a row, of this
                batch and those before it, gave nothing usable. A single call that timed out is only a failure of its row: it may
                be the longest of the data set.
        """
        replies: list[str | Failure] = []
        with clock.spend("model"), ThreadPoolExecutor(self._concurrency) as pool:
            try:
                for reply in pool.map(self._ask, prompts):
                    replies.append(reply)
                    if len(replies) == len(prompts):
                        self._stop_if_lost(replies)
                    self._stop_if_useless(reply)
            finally:
                pool.shutdown(wait=False, cancel_futures=True)  # something is left to cancel only after an error
        return replies

    def _stop_if_lost(self, replies: Sequence[str | Failure]) -> None:
        last = replies[-1]
        if isinstance(last, Failure) and all(reply in _LOST for reply in replies) and list(replies) != [_TOO_SLOW]:
            raise self._endpoint_error(last.error.removeprefix("the endpoint "))

    def _stop_if_useless(self, reply: str | Failure) -> None:
        if not isinstance(reply, Failure):
            self._failed_in_a_row = 0
            return
        self._failed_in_a_row += 1
        if self._failed_in_a_row >= ENOUGH:
            self._failed_in_a_row = 0  # a worker is used again when the stage is
            last = reply.error.removeprefix("the endpoint ")
            raise self._endpoint_error(last if reply in _LOST else f"gave no usable reply to {ENOUGH} calls in a row ({last})")

    def _endpoint_error(self, why: str) -> RoleError:
        return RoleError(f"the endpoint {self._endpoint} (model {self.name}) {why}; the stage goes on from here when run again")

    def choose(self, prompts: Sequence[str], options: Sequence[str]) -> list[str | None | Failure]:
        """The option equal to the reply's first word, case-insensitive; None for any other reply."""
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
            if reason := _STOPS.get(problem.status_code):
                raise self._endpoint_error(f"{reason} (HTTP {problem.status_code})") from None
            return _LOST_STATUS.get(problem.status_code) or Failure("model_error", self._explain(problem))
        except (OpenAIError, ValueError, RecursionError) as problem:  # the body is too long, or not JSON
            return Failure("model_error", f"the endpoint's answer cannot be read ({type(problem).__name__})")
        return reply.strip() or Failure("model_error", "the endpoint's answer holds no text")

    def _complete(self, messages: list[dict[str, str]]) -> str:
        """The text of the answer; empty where it has none."""
        from openai import BadRequestError

        while True:
            options = dict(self._options)
            try:
                answer = self._client.chat.completions.with_raw_response.create(
                    model=self.name,
                    messages=messages,  # plain dicts are what the protocol sends
                    **options,
                )
            except BadRequestError as problem:
                refused = _refused(problem, options)
                if not refused:
                    raise
                self._drop(refused)
                continue
            return _text(json.loads(answer.content))

    def _drop(self, refused: str) -> None:
        # A new dict, as other threads read the old one. Newer hosted models call max_tokens max_completion_tokens.
        left = {key: value for key, value in self._options.items() if key != refused}
        if refused == "max_tokens" and refused in self._options:
            left["max_completion_tokens"] = self._options[refused]
        self._options = left

    def _explain(self, problem: "APIStatusError") -> str:
        message = str(problem.message).replace(self._secret or "\0", "***")
        return f"HTTP {problem.status_code}: {message[:200]}"


def _text(answer: Any) -> str:
    """``choices[0].message.content`` of a completion, of which nothing is taken on trust."""
    choices = answer.get("choices") if isinstance(answer, dict) else None
    choice = choices[0] if isinstance(choices, list) and choices else None
    message = choice.get("message") if isinstance(choice, dict) else None
    content = message.get("content") if isinstance(message, dict) else None
    # Lone surrogates are no text that a table could hold.
    return content if isinstance(content, str) and content == content.encode("utf-8", "ignore").decode() else ""


def _refused(problem: Any, options: dict[str, Any]) -> str | None:
    """The option that the endpoint does not accept, if that is why it refused the request."""
    parameter = getattr(problem, "param", None)
    return parameter if isinstance(parameter, str) and parameter in options else None


def _is_loopback(url: str) -> bool:
    host = urlsplit(url).hostname or ""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
