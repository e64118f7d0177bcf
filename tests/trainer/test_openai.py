"""A model behind an OpenAI-compatible server: what is asked, what is retried, and what is told when it goes wrong."""

from __future__ import annotations

import httpx
import pytest
from envport_protocol.messages import ToolSpec
from envport_trainer.conversation.chat import MAX_CALLS
from envport_trainer.errors import ContextFullError, ModelServerError, RequestRefusedError
from envport_trainer.evaluation.evaluate import served
from envport_trainer.evaluation.openai import OpenAiModel, Reply, WantedCall
from envport_trainer.url_secrets import Scrubber
from starlette.responses import Response

from .fake_openai import calls, refuses, says

HELLO = [{"role": "user", "content": "hi"}]
TOOL = ToolSpec(name="add", description="Adds.", parameters={"type": "object", "properties": {}})


async def ask(model: OpenAiModel, tools: tuple[ToolSpec, ...] = ()) -> Reply:
    async with model:
        return await model.chat(HELLO, tools, max_new_tokens=9, temperature=0.5, seed=7)


async def failure(model: OpenAiModel) -> ModelServerError:
    with pytest.raises(ModelServerError) as caught:
        await ask(model)
    assert "\n" not in str(caught.value)
    return caught.value


async def test_a_turn_is_asked_for_as_the_api_says(fake_openai):
    fake_openai.in_turn(says("hello", tokens=4))
    reply = await ask(OpenAiModel(fake_openai.url, key="sk-1"), (TOOL,))
    assert reply == Reply("hello", [], truncated=False, tokens=4)
    assert fake_openai.asked == [
        {
            "model": "fake-model",
            "messages": HELLO,
            "temperature": 0.5,
            "seed": 7,
            "max_tokens": 9,
            "tools": [
                {
                    "type": "function",
                    "function": {
                        "name": "add",
                        "description": "Adds.",
                        "parameters": {"type": "object", "properties": {}},
                    },
                }
            ],
        }
    ]
    assert fake_openai.keys == ["Bearer sk-1"]


async def test_tool_calls_and_truncation_are_read(fake_openai):
    fake_openai.in_turn(calls("add", {"a": 1}), says("cut", finish="length"))
    reply = await ask(OpenAiModel(fake_openai.url))
    assert reply == Reply("", [WantedCall("c1", "add", '{"a": 1}')], truncated=False, tokens=5)
    assert reply.as_message() == {
        "role": "assistant",
        "content": "",
        "tool_calls": [{"id": "c1", "type": "function", "function": {"name": "add", "arguments": '{"a": 1}'}}],
    }
    assert (await ask(OpenAiModel(fake_openai.url))).truncated


@pytest.mark.parametrize("suffix", ["", "/", "/v1", "/v1/", "/v1/chat/completions"])
async def test_the_url_may_be_given_in_any_usual_form(fake_openai, suffix):
    assert (await ask(OpenAiModel(fake_openai.url + suffix))).content == "hello"


@pytest.mark.parametrize("url", ["localhost:80", "ftp://x", "http://", "http://[::1", "http://h:99999", "http://h:x"])
def test_what_is_no_url_is_told(url):
    with pytest.raises(ModelServerError, match="is no URL of a model server; expected such as http://"):
        OpenAiModel(url)


@pytest.mark.parametrize("suffix", ["", "/v1", "/v1/chat/completions/"])
async def test_a_password_and_a_query_in_the_url_reach_the_server_and_nobody_else(fake_openai, suffix):
    given = fake_openai.url.replace("://", "://me:s3cret@") + suffix + "?key=s3cret&v=2#s3cret"
    model = OpenAiModel(given)
    assert (await ask(model)).content == "hello"
    assert fake_openai.keys == ["Basic bWU6czNjcmV0"]  # base64 of me:s3cret
    assert fake_openai.queries == ["key=s3cret&v=2"] * 2
    assert model.url == f"{fake_openai.url}/v1"
    assert served(model).name == f"fake-model at {fake_openai.url}/v1"


@pytest.mark.parametrize(
    "answer",
    [refuses(401, "no"), refuses(404, "no"), refuses(400, "no"), Response("<html>"), {"choices": []}, {"a": 1}],
)
async def test_no_error_shows_the_password_or_the_query_of_the_url(fake_openai, answer):
    fake_openai.answer = lambda _: answer
    given = fake_openai.url.replace("://", "://me:s3cret@") + "/v1?key=s3cret"
    error = await failure(OpenAiModel(given, retry_for_s=0))
    assert f"{fake_openai.url}/v1" in str(error)
    assert "s3cret" not in str(error)


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("http://me:s3cret@127.0.0.1:1/v1?key=s3cret", "cannot reach http://127.0.0.1:1/v1: "),
        ("http://me:s3cret@h:99999/v1?key=s3cret", "'http://h:99999/v1' is no URL"),
        ("http://me:s?3cret@h/v1", "'http://…' is no URL"),
        ("me:s3cret@h/v1?key=s3cret", "'h/v1' is no URL"),
        ("http://h:99999/v1?key=s3cret&next=http://x", "'http://h:99999/v1' is no URL"),
        ("http://me:s3://cret@h:99999", "'h:99999' is no URL"),
    ],
)
async def test_a_url_that_leads_nowhere_is_told_without_its_secrets(url, shown):
    with pytest.raises(ModelServerError) as caught:
        await ask(OpenAiModel(url, retry_for_s=0))
    assert str(caught.value).startswith(shown)
    assert "cret" not in str(caught.value)


async def test_a_server_that_echoes_the_request_has_its_secrets_taken_out(fake_openai):
    fake_openai.echoes = True
    given = fake_openai.url.replace("://", "://me:s3%26cret@") + "/v1?key=q%2Fs3cret&v=2"
    said = str(await failure(OpenAiModel(given, retry_for_s=0)))
    assert f"HTTP 403): {fake_openai.url}/v1/chat/completions?… Basic" in said
    assert "cret" not in said
    bearer = str(await failure(OpenAiModel(fake_openai.url, key="sk-s3cret", retry_for_s=0)))
    assert "Bearer … is not allowed" in bearer


async def test_what_a_server_says_stays_where_it_is_no_secret():
    scrubbed = Scrubber(httpx.URL("http://me:pw@h/v1?key=s3cret&model=m"), ["sk-1"])
    assert scrubbed("the message of me: key s3cret, model m, pw, spwd, sk-1") == (
        "the message of …: key …, model m, …, spwd, …"
    )
    assert Scrubber(httpx.URL("http://h/v1"))("all of it") == "all of it"


async def test_the_log_of_requests_has_no_secrets(fake_openai, caplog):
    caplog.set_level("INFO", logger="httpx")
    await ask(OpenAiModel(fake_openai.url.replace("://", "://me:s3cret@") + "/v1?key=s3cret"))
    assert f'POST {fake_openai.url}/v1/chat/completions "HTTP/1.1 200 OK"' in caplog.text
    assert "s3cret" not in caplog.text


async def test_an_escaped_part_of_the_path_is_sent_escaped(fake_openai):
    model = OpenAiModel(fake_openai.url + "/a%2Fb%3Fc/v1", name="m")
    async with model:
        await model.chat([], [], max_new_tokens=1, temperature=0.0, seed=0)
    assert fake_openai.paths == [b"/a%2Fb%3Fc/v1/chat/completions"]


async def test_of_several_models_one_must_be_named(fake_openai):
    fake_openai.models = ["a", "b"]
    error = await failure(OpenAiModel(fake_openai.url))
    assert str(error) == f"{fake_openai.url}/v1 lists 2 models (a, b); name one with --served-model NAME"
    await ask(OpenAiModel(fake_openai.url, name="b"))
    assert [body["model"] for body in fake_openai.asked] == ["b"]


async def test_a_busy_server_is_asked_again(fake_openai):
    busy = refuses(429, "slow down", **{"retry-after": "0.1"})
    fake_openai.in_turn(busy, Response("<html>", status_code=502), says("hello"))
    assert (await ask(OpenAiModel(fake_openai.url))).content == "hello"
    assert len(fake_openai.asked) == 3


@pytest.mark.parametrize("wanted", ["nan", "inf", "-1e999", "soon"])
async def test_an_odd_time_to_wait_is_passed_over(fake_openai, wanted, monkeypatch):
    monkeypatch.setattr("envport_trainer.evaluation.openai.random.uniform", lambda low, high: 0.01)
    fake_openai.in_turn(refuses(429, "slow down", **{"retry-after": wanted}), says("hello"))
    assert (await ask(OpenAiModel(fake_openai.url))).content == "hello"


async def test_half_of_a_character_is_replaced_and_a_whole_one_stays(fake_openai):
    fake_openai.in_turn(Response('{"choices": [{"message": {"content": "a\\ud800b \\ud83d\\ude00"}}]}'))
    assert (await ask(OpenAiModel(fake_openai.url))).content == "a\ufffdb \U0001f600"


async def test_a_flood_of_calls_is_cut(fake_openai):
    many = calls("add", {})
    many["choices"][0]["message"]["tool_calls"] *= MAX_CALLS + 1
    fake_openai.in_turn(many)
    assert len((await ask(OpenAiModel(fake_openai.url))).calls) == MAX_CALLS


async def test_a_server_that_stays_busy_is_told(fake_openai):
    fake_openai.answer = lambda _: refuses(503, "loading the model")
    error = await failure(OpenAiModel(fake_openai.url, retry_for_s=0.3))
    assert str(error) == f"{fake_openai.url}/v1/chat/completions: HTTP 503: loading the model"


async def test_a_server_that_is_not_there_is_told():
    error = await failure(OpenAiModel("http://127.0.0.1:1", retry_for_s=0))
    assert str(error).startswith("cannot reach http://127.0.0.1:1/v1: ")
    assert str(error).endswith("check the URL and that the server runs")


async def test_a_server_that_does_not_answer_is_told():
    async def hang(_: httpx.Request) -> httpx.Response:
        import asyncio

        await asyncio.sleep(30)
        raise AssertionError

    http = httpx.AsyncClient(transport=httpx.MockTransport(hang))
    error = await failure(OpenAiModel("http://h/v1", timeout_s=0.05, retry_for_s=0, http=http))
    assert str(error) == "http://h/v1/models gave no answer within 0.05 s"


async def test_a_refused_key_is_told_and_never_shown(fake_openai):
    fake_openai.answer = lambda _: refuses(401, "bad key")
    error = await failure(OpenAiModel(fake_openai.url, key="sk-secret"))
    assert str(error) == f"{fake_openai.url}/v1 refused the key (HTTP 401): bad key; set OPENAI_API_KEY"
    assert len(fake_openai.asked) == 1


async def test_a_conversation_that_is_too_long_is_told_apart(fake_openai):
    fake_openai.answer = lambda _: refuses(400, "This model's maximum context length is 64 tokens")
    assert type(await failure(OpenAiModel(fake_openai.url))) is ContextFullError
    fake_openai.answer = lambda _: refuses(400, "temperature is odd")
    error = await failure(OpenAiModel(fake_openai.url))
    assert type(error) is RequestRefusedError
    assert str(error) == f"{fake_openai.url}/v1/chat/completions: HTTP 400: temperature is odd"


async def test_the_newer_name_of_the_token_limit_is_used_where_it_is_asked_for(fake_openai):
    def answer(body):
        return says("hello") if "max_tokens" not in body else refuses(400, "Use 'max_completion_tokens' instead")

    fake_openai.answer = answer
    async with OpenAiModel(fake_openai.url) as model:
        for _ in range(2):
            await model.chat(HELLO, (), max_new_tokens=9, temperature=0, seed=0)
    assert ["max_tokens" in body for body in fake_openai.asked] == [True, False, False]
    assert fake_openai.asked[-1]["max_completion_tokens"] == 9


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (Response("<html>hi"), "answered no JSON but '<html>hi'; is it an OpenAI API?"),
        ({"choices": []}, "answered a chat completion without choices"),
        ({"id": 1}, "answered no chat completion: choices: Field required"),
        (Response("[" * 100_000), "answered no JSON but '[[["),
        (Response("[" * 100_000, status_code=400), "HTTP 400: [[["),
        (Response("hi", headers={"content-encoding": "gzip"}), "its answer cannot be decompressed: "),
        (refuses(404, "no model b"), "HTTP 404: no model b; check the URL and the model's name"),
    ],
)
async def test_nonsense_is_told(fake_openai, answer, said):
    fake_openai.in_turn(answer)
    assert said in str(await failure(OpenAiModel(fake_openai.url)))


async def test_an_endless_answer_is_cut_off(fake_openai, monkeypatch):
    monkeypatch.setattr("envport_trainer.evaluation.openai._MAX_ANSWER_BYTES", 1000)
    fake_openai.in_turn(says("x" * 2000))
    assert "answered more than 1000 bytes" in str(await failure(OpenAiModel(fake_openai.url)))
