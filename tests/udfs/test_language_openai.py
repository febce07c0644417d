"""The client of OpenAI-compatible endpoints, against a real server of that protocol on loopback."""

import base64
import gzip
import json
import logging
import time

import httpx2
import pytest
from openai import APITimeoutError

from tests.support.fake_openai_server import HEAD, FakeOpenAIServer, closed_port, dripping, endless
from udfs.language.http_client import MAX_BYTES
from udfs.language.model import load
from udfs.language.openai import ENOUGH, OpenAIModel
from udfs.language.settings import LanguageModel
from udfs.role import Failure, RoleError

KEY = "sk-secret-1234567890"


def model_at(url: str, **settings: object) -> OpenAIModel:
    tree = {"kind": "openai", "model": "served", "base_url": url, "max_retries": 0} | settings
    model = load(LanguageModel.model_validate(tree), "cpu", "Be brief.", [("one", "1"), ("two", "2")])
    assert isinstance(model, OpenAIModel)
    return model


def test_sends_the_prefix_and_the_message_and_returns_replies_in_order():
    with FakeOpenAIServer(lambda messages: f" {messages[-1]['content']}! ") as server:
        model = model_at(server.url, max_new_tokens=7)
        assert model(["a", "b", "c"]) == ["a!", "b!", "c!"]
    sent = next(body for body in server.requests if body["messages"][-1]["content"] == "b")
    assert [(m["role"], m["content"]) for m in sent["messages"]] == [
        ("system", "Be brief."),
        *[("user", "one"), ("assistant", "1"), ("user", "two"), ("assistant", "2")],
        ("user", "b"),
    ]
    assert (sent["model"], sent["temperature"], sent["seed"], sent["max_tokens"]) == ("served", 0, 0, 7)
    assert (model.name, model.version) == ("served", "served")


@pytest.mark.parametrize("status", [429, 500])
def test_tries_again_after_a_busy_or_broken_answer(status):
    with FakeOpenAIServer(fail_first=2, fail_status=status) as server:
        assert model_at(server.url, max_retries=2)(["hello"]) == ["hello"]
    assert len(server.requests) == 3


def test_one_call_that_fails_for_good_fails_its_own_row_only():
    def reply(messages):
        if messages[-1]["content"] == "bad":
            raise RuntimeError  # the connection is dropped without an answer
        return "fine"

    with FakeOpenAIServer(reply) as server:
        good, bad, other = model_at(server.url)(["good", "bad", "other"])
    assert (good, other) == ("fine", "fine")
    assert bad == Failure("model_error", "the endpoint cannot be reached")


@pytest.mark.parametrize("status", [401, 402, 404])
def test_a_wrong_key_or_model_stops_the_stage_whatever_else_was_answered(status):
    with (
        FakeOpenAIServer(fail_first=1, fail_status=status) as server,
        pytest.raises(RoleError, match=rf"^the endpoint {server.url} \(model served\) .* \(HTTP {status}\)"),
    ):
        model_at(server.url)(["a", "b", "c"])


@pytest.mark.parametrize("prompts", [["a"], ["a", "b", "c"]])
def test_an_endpoint_that_no_call_of_a_batch_reaches_stops_the_stage(prompts):
    url = closed_port()
    with pytest.raises(RoleError, match=rf"^the endpoint {url} \(model served\) cannot be reached; .* run again$"):
        model_at(url)(prompts)


@pytest.mark.parametrize("status", [403, 429, 502, 503, 504])
def test_a_refusal_stops_the_stage_where_it_meets_every_call(status):
    with FakeOpenAIServer(fail_first=1, fail_status=status) as server:
        first, *others = model_at(server.url, concurrency=1)(["a", "b", "c"])
    assert isinstance(first, Failure)
    assert first.error.endswith(f"(HTTP {status})")
    assert others == ["b", "c"]
    with FakeOpenAIServer(fail_first=-1, fail_status=status) as server, pytest.raises(RoleError, match=f"HTTP {status}"):
        model_at(server.url)(["a", "b", "c"])


def test_an_endpoint_that_is_down_is_not_asked_a_whole_batch():
    with FakeOpenAIServer(fail_first=-1, fail_status=503, delay_s=0.01) as server, pytest.raises(RoleError, match="is down"):
        model_at(server.url)([str(i) for i in range(400)])
    assert len(server.requests) < 400


def test_a_few_server_errors_are_row_failures():
    with FakeOpenAIServer(fail_first=-1, fail_status=500) as server:
        results = model_at(server.url)(["a", "b"])
    assert [result.status for result in results if isinstance(result, Failure)] == ["model_error"] * 2


def test_a_slow_endpoint_is_a_failure_after_the_timeout():
    with FakeOpenAIServer(delay_s=1.0) as server:
        model = model_at(server.url, timeout_s=0.1)
        assert model(["x"]) == [Failure("model_error", "the endpoint did not answer in time")]
        with pytest.raises(RoleError, match="did not answer in time"):  # but not one of a batch: it hangs
            model(["x", "y"])


def test_an_endpoint_that_takes_no_connection_is_not_reached(monkeypatch):
    model = model_at("http://127.0.0.1:9/v1")

    def complete(messages):
        request = httpx2.Request("POST", "http://127.0.0.1:9/v1")
        raise APITimeoutError(request) from httpx2.ConnectTimeout("silence", request=request)

    monkeypatch.setattr(model, "_complete", complete)
    with pytest.raises(RoleError, match="cannot be reached"):
        model(["x"])


GARBAGE = [
    *("", " ", "<html>hi</html>", "{}", "[]", "null", "7", '"text"', "{", "[" * 100_000, "9" * 10_000, "NaN"),
    *('{"choices": ' + choices + "}" for choices in ("[]", "null", "[null]", "7", '"text"', '{"0": 1}', "[[]]", "[7]", "[{}]")),
    *('{"choices": [{"message": ' + message + "}]}" for message in ("null", "7", "[]", '"text"', "{}", '{"text": "hi"}')),
    *('{"choices": [{"message": {"content": ' + content + "}}]}" for content in ("null", "7", '["hi"]', '{"a": 1}', '""')),
    r'{"choices": [{"message": {"content": "a \ud800"}}]}',
]


@pytest.mark.parametrize("garbage", GARBAGE, ids=lambda garbage: garbage[:50])
def test_an_answer_of_another_kind_is_a_failure(garbage):
    with FakeOpenAIServer(garbage=garbage) as server:
        (result,) = model_at(server.url)(["x"])
    assert isinstance(result, Failure), result
    assert result.status == "model_error"
    assert result.error.startswith("the endpoint's answer")


@pytest.mark.parametrize("fault", [{"garbage": "<html>busy</html>"}, {"garbage": ""}, {"fail_first": -1, "fail_status": 500}])
def test_an_endpoint_that_answers_nothing_usable_stops_the_stage(fault):
    line = rf"^the endpoint \S+ \(model served\) gave no usable reply to {ENOUGH} calls in a row \(.+\); .* run again$"
    with FakeOpenAIServer(**fault) as server:
        model = model_at(server.url, concurrency=1)
        assert all(isinstance(reply, Failure) for reply in model(["x"] * (ENOUGH - 1)))
        with pytest.raises(RoleError, match=line) as stopped:  # in a row, over batches
            model(["y", "z"])
        assert len(str(stopped.value).splitlines()) == 1
        assert isinstance(model(["z"])[0], Failure), "a worker that is used again starts to count anew"


def test_single_bad_replies_never_stop_the_stage():
    def reply(messages):
        return "" if int(messages[-1]["content"]) % ENOUGH else "fine"

    with FakeOpenAIServer(reply) as server:
        replies = model_at(server.url)([str(number) for number in range(5 * ENOUGH)])
    assert [reply == "fine" for reply in replies] == [True, *[False] * (ENOUGH - 1)] * 5


@pytest.mark.parametrize("head", [True, False])
def test_a_dripping_answer_is_too_slow(head):
    with FakeOpenAIServer(raw=lambda: dripping(0.1, head)) as server:
        started = time.monotonic()
        assert model_at(server.url, timeout_s=0.5)(["x"]) == [Failure("model_error", "the endpoint did not answer in time")]
        assert time.monotonic() - started < 2


def test_an_endless_answer_is_not_read_to_its_end():
    with FakeOpenAIServer(raw=endless) as server:
        (result,) = model_at(server.url)(["x"])
    assert result == Failure("model_error", "the endpoint's answer cannot be read (UnboundedAnswer)")
    assert server.sent < 20 * MAX_BYTES, "of which most lies in the buffers of the kernel"


def test_a_compressed_answer_is_not_unpacked():
    body = gzip.compress(b" " * (100 * MAX_BYTES // 4))
    head = HEAD + b"Content-Encoding: gzip\r\nContent-Length: %d\r\n\r\n" % len(body)
    with FakeOpenAIServer(raw=lambda: [head, body]) as server:
        (result,) = model_at(server.url)(["x"])
    assert result == Failure("model_error", "the endpoint's answer cannot be read (UnboundedAnswer)")


def test_a_refusal_of_wrong_types_is_a_failure():
    error = json.dumps({"error": {"message": [1], "param": ["seed"], "code": {}}}).encode()
    head = b"HTTP/1.1 400 Bad Request\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n" % len(error)
    with FakeOpenAIServer(raw=lambda: [head, error]) as server:
        (result,) = model_at(server.url)(["x"])
    assert isinstance(result, Failure) and result.error.startswith("HTTP 400")


def test_user_and_query_of_the_address_are_sent_and_never_logged(caplog):
    caplog.set_level(logging.DEBUG)
    with FakeOpenAIServer() as server:
        assert model_at(server.url.replace("//", f"//me:{KEY}@") + f"?api-key={KEY}&v=1")(["x"]) == ["x"]
    assert server.paths == [f"/v1/chat/completions?api-key={KEY}&v=1"]
    assert server.authorizations == ["Basic " + base64.b64encode(f"me:{KEY}".encode()).decode()]
    assert "chat/completions" in caplog.text
    assert KEY not in caplog.text


def test_calls_in_flight_are_bounded():
    with FakeOpenAIServer(delay_s=0.05) as server:
        assert model_at(server.url, concurrency=3)([str(i) for i in range(12)]) == [str(i) for i in range(12)]
    assert server.most_at_once == 3


def test_an_option_that_the_endpoint_refuses_is_left_out_from_then_on():
    with FakeOpenAIServer(refuse_option="max_tokens") as server:
        model = model_at(server.url, concurrency=1)
        assert model(["a", "b"]) == ["a", "b"]
    assert ["max_tokens" in body for body in server.requests] == [True, False, False]
    assert server.requests[-1]["max_completion_tokens"] == 64


def test_the_key_comes_from_the_environment_and_goes_nowhere_else(monkeypatch, caplog):
    monkeypatch.setenv("MY_KEY", KEY)
    caplog.set_level(logging.DEBUG)
    with FakeOpenAIServer(key=KEY) as server:
        assert model_at(server.url, api_key_env="MY_KEY")(["x"]) == ["x"]
    assert server.authorizations == [f"Bearer {KEY}"]
    with FakeOpenAIServer(fail_first=-1, fail_status=500) as server:  # the error quotes the whole header
        (broken,) = model_at(server.url, api_key_env="MY_KEY")(["x"])
    monkeypatch.setenv("MY_KEY", KEY[:-1])
    with FakeOpenAIServer(key=KEY) as server, pytest.raises(RoleError, match="refused the key") as refused:
        model_at(server.url, api_key_env="MY_KEY")(["x"])
    with pytest.raises(RoleError, match="cannot be reached") as lost:
        model_at(closed_port().replace("//", f"//me:{KEY}@") + f"?key={KEY}", api_key_env="MY_KEY")(["x"])
    assert "***" in broken.error
    assert KEY[:-1] not in f"{broken.error} {refused.value} {lost.value} {caplog.text}"


def test_without_a_key_only_an_endpoint_on_this_machine_is_called(monkeypatch):
    monkeypatch.delenv("NO_SUCH_KEY", raising=False)
    with FakeOpenAIServer() as server:
        assert model_at(server.url, api_key_env="NO_SUCH_KEY")(["x"]) == ["x"]
    with pytest.raises(ValueError, match="NO_SUCH_KEY holds no key"):
        model_at("https://models.example.com/v1", api_key_env="NO_SUCH_KEY")
    with pytest.raises(ValueError, match="base_url"):
        model_at("")


def test_a_choice_is_the_first_word_of_the_reply():
    with FakeOpenAIServer() as server:
        chosen = model_at(server.url).choose(["Yes.", "no, it is not", "maybe", '"yes"', "nothing"], ("yes", "no"))
    assert chosen == ["yes", "no", None, "yes", None]
