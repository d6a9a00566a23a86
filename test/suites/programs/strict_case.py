"""Prints how each test ended, one JSON object a line, as runCases() reads it."""

import json
import os

URL = os.environ["GATEWAY_URL"]
KEY = os.environ["GATEWAY_KEY"]
MODEL = os.environ["GATEWAY_MODEL"]

PIXEL = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAQAAAC1HAwCAAAAC0lEQVR42mNkYAAAAAYAAjCB0C8AAAAASUVORK5CYII="
PARAMETERS = {
    "type": "object",
    "properties": {"location": {"type": "string"}},
    "required": ["location"],
    "additionalProperties": False,
}


def attempt(name, action):
    problem = None
    try:
        action()
    except Exception as error:  # whatever goes wrong is the result of the test
        problem = f"{type(error).__name__}: {error}"
    print(json.dumps({"name": name, "problem": problem}), flush=True)


def drain(stream):
    count = sum(1 for _ in stream)
    if count == 0:
        raise RuntimeError("no events")


def refused(kind, action):
    try:
        action()
    except kind:
        return
    raise RuntimeError(f"no {kind.__name__}")
