"""OpenAI's SDK for Python with strict validation: it refuses every answer that is not of the type it declares."""

import openai
from strict_case import KEY, MODEL, PARAMETERS, PIXEL, URL, attempt, drain, refused


def client_with(key):
    return openai.OpenAI(
        base_url=f"{URL}/v1", api_key=key, max_retries=0, _strict_response_validation=True
    )


client = client_with(KEY)
stranger = client_with("wrong")
SAY = [{"role": "user", "content": "Hello"}]
WEATHER = {"name": "weather", "description": "Knows the weather.", "parameters": PARAMETERS}
CALL = {
    "id": "call_1",
    "type": "function",
    "function": {"name": "weather", "arguments": '{"location":"Oslo"}'},
}
FORMAT = {"type": "json_schema", "json_schema": {"name": "place", "schema": PARAMETERS, "strict": True}}

CHATS = {
    "a text": {},
    "a system text": {"messages": [{"role": "system", "content": "Be brief."}, *SAY]},
    "cut at max_tokens": {
        "messages": [{"role": "user", "content": "Count. sim:events=500"}],
        "max_completion_tokens": 20,
    },
    "filtered": {"messages": [{"role": "user", "content": "Hello sim:filtered"}]},
    "a call": {"tools": [{"type": "function", "function": WEATHER}]},
    "a result": {
        "tools": [{"type": "function", "function": WEATHER}],
        "messages": [
            *SAY,
            {"role": "assistant", "content": None, "tool_calls": [CALL]},
            {"role": "tool", "tool_call_id": "call_1", "content": "sunny"},
        ],
    },
    "a JSON schema": {"response_format": FORMAT},
    "reasoning": {"reasoning_effort": "high"},
    "a picture": {
        "messages": [
            {
                "role": "user",
                "content": [{"type": "image_url", "image_url": {"url": f"data:image/png;base64,{PIXEL}"}}],
            }
        ]
    },
}
RESPONSES = {
    "a text": {},
    "instructions and settings": {
        "instructions": "Be brief.",
        "temperature": 0.5,
        "top_p": 0.9,
        "metadata": {"purpose": "test"},
        "store": False,
    },
    "cut at max_output_tokens": {"input": "Count. sim:events=500", "max_output_tokens": 20},
    "filtered": {"input": "Hello sim:filtered"},
    "a call": {"tools": [{"type": "function", "strict": True, **WEATHER}]},
    "a forced call": {
        "tools": [{"type": "function", "strict": True, **WEATHER}],
        "tool_choice": {"type": "function", "name": "weather"},
    },
    "a result": {
        "tools": [{"type": "function", "strict": True, **WEATHER}],
        "input": [
            {"role": "user", "content": "How is the weather?"},
            {
                "type": "function_call",
                "call_id": "call_1",
                "name": "weather",
                "arguments": '{"location":"Oslo"}',
            },
            {"type": "function_call_output", "call_id": "call_1", "output": "sunny"},
        ],
    },
    "a JSON schema": {
        "text": {"format": {"type": "json_schema", "name": "place", "schema": PARAMETERS, "strict": True}}
    },
    "reasoning": {
        "reasoning": {"effort": "high", "summary": "auto"},
        "include": ["reasoning.encrypted_content"],
    },
    "web search": {
        "input": 'use tool web_search with {"query":"Kiro"}',
        "tools": [{"type": "web_search_preview"}],
    },
}

for name, members in CHATS.items():
    request = {"model": MODEL, "messages": SAY, **members}
    attempt(f"chat: {name}", lambda: client.chat.completions.create(**request))
    attempt(
        f"chat, streamed: {name}",
        lambda: drain(
            client.chat.completions.create(**request, stream=True, stream_options={"include_usage": True})
        ),
    )
for name, members in RESPONSES.items():
    request = {"model": MODEL, "input": "Hello", **members}
    attempt(f"responses: {name}", lambda: client.responses.create(**request))
    attempt(f"responses, streamed: {name}", lambda: drain(client.responses.create(**request, stream=True)))
attempt("models: list", lambda: drain(client.models.list()))
attempt("models: one", lambda: client.models.retrieve(MODEL))
attempt(
    "error: wrong key",
    lambda: refused(
        openai.AuthenticationError,
        lambda: stranger.chat.completions.create(model=MODEL, messages=SAY),
    ),
)
attempt(
    "error: unknown model",
    lambda: refused(
        openai.NotFoundError,
        lambda: client.responses.create(model="no-such-model", input="Hello"),
    ),
)
attempt(
    "error: broken off while streamed",
    lambda: refused(
        openai.APIError,
        lambda: drain(
            client.chat.completions.create(
                model=MODEL, messages=[{"role": "user", "content": "sim:exception-mid"}], stream=True
            )
        ),
    ),
)
