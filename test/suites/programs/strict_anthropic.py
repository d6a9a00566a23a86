"""Anthropic's SDK for Python with strict validation: it refuses every answer that is not of the type it declares."""

import anthropic
from strict_case import KEY, MODEL, PARAMETERS, PIXEL, URL, attempt, drain, refused


def client_with(key):
    return anthropic.Anthropic(
        base_url=URL, api_key=key, max_retries=0, _strict_response_validation=True
    )


client = client_with(KEY)
stranger = client_with("wrong")
SAY = [{"role": "user", "content": "Hello"}]
WEATHER = {"name": "weather", "description": "Knows the weather.", "input_schema": PARAMETERS}

MESSAGES = {
    "a text": {},
    "a system text": {"system": "Be brief."},
    "cut at max_tokens": {
        "messages": [{"role": "user", "content": "Count. sim:events=500"}],
        "max_tokens": 20,
    },
    "ended by a stop text": {
        "messages": [{"role": "user", "content": 'sim:say="one two three"'}],
        "stop_sequences": ["two"],
    },
    "refused by a filter": {"messages": [{"role": "user", "content": "Hello sim:filtered"}]},
    "a call": {"tools": [WEATHER]},
    "a forced call": {"tools": [WEATHER], "tool_choice": {"type": "tool", "name": "weather"}},
    "a result": {
        "tools": [WEATHER],
        "messages": [
            *SAY,
            {
                "role": "assistant",
                "content": [
                    {"type": "tool_use", "id": "call_1", "name": "weather", "input": {"location": "Oslo"}}
                ],
            },
            {
                "role": "user",
                "content": [{"type": "tool_result", "tool_use_id": "call_1", "content": "sunny"}],
            },
        ],
    },
    "thinking": {"thinking": {"type": "adaptive"}},
    "web search": {
        "messages": [{"role": "user", "content": 'use tool web_search with {"query":"Kiro"}'}],
        "tools": [{"type": "web_search_20250305", "name": "web_search"}],
    },
    "a picture": {
        "messages": [
            {
                "role": "user",
                "content": [
                    {
                        "type": "image",
                        "source": {"type": "base64", "media_type": "image/png", "data": PIXEL},
                    }
                ],
            }
        ]
    },
}

for name, members in MESSAGES.items():
    request = {"model": MODEL, "max_tokens": 4096, "messages": SAY, **members}
    attempt(name, lambda: client.messages.create(**request))
    attempt(f"streamed: {name}", lambda: drain(client.messages.create(**request, stream=True)))
attempt("count of tokens", lambda: client.messages.count_tokens(model=MODEL, messages=SAY))
attempt("models: list", lambda: drain(client.models.list()))
attempt("models: one", lambda: client.models.retrieve(MODEL))
attempt(
    "error: wrong key",
    lambda: refused(
        anthropic.AuthenticationError,
        lambda: stranger.messages.create(model=MODEL, max_tokens=100, messages=SAY),
    ),
)
attempt(
    "error: unknown model",
    lambda: refused(
        anthropic.NotFoundError,
        lambda: client.messages.create(model="no-such-model", max_tokens=100, messages=SAY),
    ),
)
attempt(
    "error: broken off while streamed",
    lambda: refused(
        anthropic.APIError,
        lambda: drain(
            client.messages.create(
                model=MODEL,
                max_tokens=100,
                messages=[{"role": "user", "content": "sim:exception-mid"}],
                stream=True,
            )
        ),
    ),
)
