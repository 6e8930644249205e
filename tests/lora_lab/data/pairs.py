"""Pairs of a learner's own data set, as a file."""

import json

PAIRS = [(f"prompt {number}", f"answer {number}") for number in range(24)]


def jsonl(pairs: list[tuple[str, str]]) -> bytes:
    return "".join(json.dumps({"prompt": p, "answer": a}) + "\n" for p, a in pairs).encode()
