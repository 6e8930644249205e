"""What is trained on: the app's cards, or a learner's file, checked line by line and split for good."""

import json
import pickle
import zipfile
from contextlib import suppress
from io import BytesIO
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lora_lab.data.datasets import (
    MAX_FILE_BYTES,
    MAX_PAIRS,
    MAX_TEXT_CHARACTERS,
    MIN_PAIRS,
    Dataset,
    Example,
    build_own_dataset,
    load_saved,
    read_upload,
    save_dataset,
    split_examples,
)
from study.base.errors import LearnerError
from tests.lora_lab.data.pairs import PAIRS, jsonl

examples = st.builds(Example, prompt=st.text(min_size=1), answer=st.text(min_size=1))


def everything(dataset: Dataset) -> set[tuple[str, str]]:
    return {(item.prompt, item.answer) for item in (*dataset.train, *dataset.held_out)}


def refused(name: str, content: bytes) -> LearnerError:
    with pytest.raises(LearnerError) as caught:
        read_upload(name, content)
    return caught.value


# ---- good files


def test_a_jsonl_file_becomes_examples() -> None:
    dataset = read_upload("mine.jsonl", jsonl(PAIRS))
    assert everything(dataset) == set(PAIRS)
    assert dataset.label == "mine.jsonl"


def test_a_csv_file_becomes_examples() -> None:
    lines = ["answer,note,prompt", *(f'"{answer}",x,{prompt}' for prompt, answer in PAIRS)]
    dataset = read_upload("MINE.CSV", "\n".join(lines).encode())
    assert everything(dataset) == set(PAIRS)


def test_csv_answers_may_run_over_lines_and_hold_commas() -> None:
    rows = "".join(f'{prompt},"first, line\nsecond ""line"""\n' for prompt, _ in PAIRS)
    dataset = read_upload("mine.csv", f"prompt,answer\n{rows}".encode())
    assert {answer for _, answer in everything(dataset)} == {'first, line\nsecond "line"'}


@pytest.mark.parametrize(("name", "start"), [("a.csv", "prompt,answer\n"), ("a.jsonl", "")])
def test_a_byte_order_mark_is_read_over(name: str, start: str) -> None:
    body = jsonl(PAIRS).decode() if name == "a.jsonl" else "".join(f"{p},{a}\n" for p, a in PAIRS)
    assert everything(read_upload(name, (start + body).encode("utf-8-sig"))) == set(PAIRS)


@pytest.mark.parametrize("ending", ["\n", "\r\n", "\r"])
def test_line_endings_of_any_system_are_read(ending: str) -> None:
    content = jsonl(PAIRS).replace(b"\n", ending.encode() * 2)
    assert everything(read_upload("mine.jsonl", content)) == set(PAIRS)


@pytest.mark.parametrize("separator", ["\u2028", "\u2029", "\x85", "\x0b", "\x0c", "\x1c"])
def test_characters_that_only_look_like_line_ends_stay_in_their_text(separator: str) -> None:
    pairs = [(f"one{separator}line {number}", "yes") for number in range(8)]
    escaped = {json.dumps({"prompt": p, "answer": a}, ensure_ascii=separator < " ") for p, a in pairs}
    assert everything(read_upload("mine.jsonl", "\n".join(escaped).encode())) == set(pairs)


def test_other_fields_and_space_around_texts_do_not_matter() -> None:
    padded = [json.dumps({"id": 1, "prompt": f"  {p}\n", "answer": f"\t{a} "}) for p, a in PAIRS]
    assert everything(read_upload("mine.jsonl", "\n".join(padded).encode())) == set(PAIRS)


# ---- bad files


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("{prompt: 1}", "line 3: not JSON"),
        ('{"prompt": "a", "answer": "b"', "line 3: not JSON"),
        ('{"prompt": "only"}', "line 3: answer is missing or empty"),
        ('{"prompt": "", "answer": "b"}', "line 3: prompt is missing or empty"),
        ('{"prompt": "a", "answer": "  "}', "line 3: answer is missing or empty"),
        ('{"prompt": 7, "answer": "b"}', "line 3: prompt is missing or empty"),
        ('{"prompt": null, "answer": "b"}', "line 3: prompt is missing or empty"),
        ('["a", "b"]', "line 3: not an object with prompt and answer"),
        ("null", "line 3: not an object with prompt and answer"),
        ('"a text"', "line 3: not an object with prompt and answer"),
        ('{"prompt": "\\ud800", "answer": "b"}', "line 3: prompt holds half a character"),
        ("[" * 100_000, "line 3: not JSON"),
        ("1" * 5_000, "line 3: not JSON"),
    ],
)
def test_a_bad_line_is_named_with_its_number(line: str, said: str) -> None:
    content = jsonl(PAIRS[:2]) + line.encode() + b"\n" + jsonl(PAIRS[2:])
    error = refused("mine.jsonl", content)
    assert error.what.startswith(f"mine.jsonl: {said}")
    assert "prompt" in error.do_next


def test_every_bad_line_is_named_at_once() -> None:
    lines = jsonl(PAIRS).decode().splitlines()
    lines[1], lines[4], lines[9] = "x", '{"answer": "a"}', '{"prompt": "p"}'
    error = refused("mine.jsonl", "\n".join(lines).encode())
    assert [f"line {n}" for n in (2, 5, 10) if f"line {n}: " in error.what] == ["line 2", "line 5", "line 10"]


def test_of_many_bad_lines_ten_are_named_and_the_rest_counted() -> None:
    error = refused("mine.jsonl", b"x\n" * 25)
    assert "line 10: " in error.what
    assert "line 11: " not in error.what
    assert "and 15 more" in error.what


def test_a_csv_line_with_too_few_fields_is_named() -> None:
    content = "prompt,answer\n" + "".join(f"{p},{a}\n" for p, a in PAIRS[:3]) + "lonely\n"
    assert "line 5: answer is missing or empty" in refused("mine.csv", content.encode()).what


@pytest.mark.parametrize(
    ("header", "missing"),
    [
        ("question,answer", "prompt"),
        ("prompt,reply", "answer"),
        ("a,b", "answer or prompt"),
        ("", "answer or prompt"),
    ],
)
def test_a_missing_column_is_named_with_the_line_it_should_be_in(header: str, missing: str) -> None:
    error = refused("mine.csv", f"{header}\n1,2\n".encode())
    assert f"line 1: no column named {missing}" in error.what
    assert "prompt,answer" in error.do_next


@pytest.mark.parametrize("where", ["header", "row"])
def test_a_csv_field_beyond_all_measure_is_said_not_raised(where: str) -> None:
    endless = '"' + "x" * 200_001
    text = endless if where == "header" else f"prompt,answer\na,{endless}"
    assert "not CSV" in refused("mine.csv", text.encode()).what


def test_text_that_is_not_utf8_says_where_it_stops_being() -> None:
    latin = '{"prompt": "café'.encode("latin-1")
    error = refused("mine.jsonl", latin)
    assert error.what == "mine.jsonl is not UTF-8 text (byte 15)."
    assert error.do_next == "Save it as UTF-8 and try again."


@pytest.mark.parametrize("name", ["mine.pkl", "mine.json", "mine", "mine.txt", ".jsonl.zip"])
def test_another_format_names_the_two_that_are_read(name: str) -> None:
    error = refused(name, jsonl(PAIRS))
    assert f"{name} is neither .jsonl nor .csv" in error.what


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
@pytest.mark.parametrize("name", ["mine.jsonl", "mine.csv"])
def test_a_pickle_under_another_name_is_refused_unopened(name: str, protocol: int) -> None:
    refused(name, pickle.dumps([{"prompt": p, "answer": a} for p, a in PAIRS], protocol=protocol))


@pytest.mark.parametrize("name", ["mine.jsonl", "mine.csv"])
def test_a_zip_file_under_another_name_is_refused(name: str) -> None:
    packed = BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr(name, jsonl(PAIRS))
    refused(name, packed.getvalue())


@pytest.mark.parametrize("name", ["mine.jsonl", "mine.csv"])
@given(content=st.binary(max_size=400))
def test_no_bytes_at_all_are_a_bug(name: str, content: bytes) -> None:
    with suppress(LearnerError):
        read_upload(name, content)


# ---- limits


def test_a_file_over_the_limit_says_its_size_and_the_limit() -> None:
    error = refused("big.jsonl", b" " * (MAX_FILE_BYTES + 1))
    assert "2,000,001 bytes; the limit is 2,000,000" in error.what


def test_a_text_over_the_limit_names_its_line() -> None:
    pairs = [*PAIRS, ("p", "x" * (MAX_TEXT_CHARACTERS + 1))]
    what = refused("mine.jsonl", jsonl(pairs)).what
    assert "line 25: answer has 8,001 characters; the limit is 8,000" in what


def test_too_many_and_too_few_examples_say_how_many_are_allowed() -> None:
    many = [(f"p{number}", "a") for number in range(MAX_PAIRS + 1)]
    assert "2,001 examples; the limit is 2,000" in refused("mine.jsonl", jsonl(many)).what
    few = refused("mine.jsonl", jsonl(PAIRS[: MIN_PAIRS - 1])).what
    assert "4 usable examples; at least 5 are needed" in few
    assert "1 usable example; at least 5 are needed" in refused("mine.csv", b"prompt,answer\na,b\n").what
    assert "0 usable examples" in refused("mine.jsonl", b"").what


def test_the_limits_themselves_are_allowed() -> None:
    assert len(everything(read_upload("mine.jsonl", jsonl(PAIRS[:MIN_PAIRS])))) == MIN_PAIRS
    many = [(f"p{number}", "a") for number in range(MAX_PAIRS)]
    assert len(everything(read_upload("mine.jsonl", jsonl(many)))) == MAX_PAIRS


# ---- the split


@given(st.lists(examples, min_size=2, unique_by=lambda item: item.prompt))
def test_every_example_is_on_one_side_and_neither_side_is_empty(items: list[Example]) -> None:
    dataset = split_examples(items, label="any")
    assert sorted(map(repr, (*dataset.train, *dataset.held_out))) == sorted(map(repr, items))
    assert dataset.train
    assert dataset.held_out


@given(st.randoms(use_true_random=False))
def test_the_split_does_not_depend_on_the_order_of_the_file(rng: object) -> None:
    items = [Example(prompt=p, answer=a) for p, a in PAIRS]
    shuffled = sorted(items, key=lambda _: rng.random())  # type: ignore[attr-defined]
    assert split_examples(shuffled, label="x").held_out == split_examples(items, label="x").held_out


@given(st.lists(examples, max_size=20))
def test_growing_a_data_set_moves_no_example_across(more: list[Example]) -> None:
    own = build_own_dataset()
    known = {item.prompt for item in (*own.train, *own.held_out)}
    fresh = [item for item in more if item.prompt not in known]
    grown = split_examples([*own.train, *own.held_out, *fresh], label="grown")
    assert set(own.held_out) <= set(grown.held_out)
    assert set(own.train) <= set(grown.train)


@given(st.lists(st.text(min_size=1), min_size=40, max_size=40, unique=True))
def test_examples_of_one_prompt_are_on_one_side(prompts: list[str]) -> None:
    twice = [Example(prompt=prompt, answer=answer) for prompt in prompts for answer in ("a", "b")]
    own = build_own_dataset()
    dataset = split_examples([*own.train, *own.held_out, *twice], label="twice")
    assert not {item.prompt for item in dataset.train} & {item.prompt for item in dataset.held_out}


def test_about_one_example_in_eight_is_held_out() -> None:
    items = [Example(prompt=f"number {number}", answer="a") for number in range(2000)]
    assert 200 <= len(split_examples(items, label="many").held_out) <= 300


def test_a_data_sets_name_changes_with_its_text_and_not_with_its_label() -> None:
    items = [Example(prompt=p, answer=a) for p, a in PAIRS]
    one, again = split_examples(items, label="one"), split_examples(items, label="other")
    assert one.digest == again.digest
    assert (
        split_examples([*items[1:], Example(prompt=PAIRS[0][0], answer="else")], label="one").digest
        != one.digest
    )


def test_the_apps_own_cards_are_a_data_set() -> None:
    own = build_own_dataset()
    assert len(own.train) > 60
    assert len(own.held_out) >= 8


# ---- kept beside a run


@given(st.lists(examples, min_size=1, max_size=5), st.lists(examples, min_size=1, max_size=3))
def test_what_a_run_keeps_is_read_back_to_the_letter(
    tmp_path_factory: pytest.TempPathFactory, train: list[Example], held_out: list[Example]
) -> None:
    folder: Path = tmp_path_factory.mktemp("run")
    kept = Dataset(label="any", digest="0" * 12, train=tuple(train), held_out=tuple(held_out))
    save_dataset(kept, folder)
    assert load_saved(folder) == kept
