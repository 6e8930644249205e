"""The data as a model sees it: masked, trained and cut tokens, and how many lose something."""

from dataclasses import replace
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from lora_lab.data.batches import Length
from lora_lab.data.lab_folder import LabHome, ReadExample
from lora_lab.spec import RunSpec
from lora_lab.views.token_preview import BINS, TokenPreview, build_seen, count_bins

SPEC = RunSpec(model="tiny-random", seq_len_tokens=16)
DIGEST = "0123456789ab"
LENGTHS = [
    Length(tokens=10, answer_tokens=3),
    Length(tokens=17, answer_tokens=4),
    Length(tokens=30, answer_tokens=5),
]


def read(folder: Path, spec: RunSpec = SPEC) -> TokenPreview | None:
    home = LabHome(folder)
    home.save_lengths(spec.model, DIGEST, LENGTHS)
    pieces = tuple(f"t{number}" for number in range(17))
    home.save_read_examples(spec.model, DIGEST, [ReadExample(pieces=pieces, answer_tokens=4)])
    return build_seen(home, spec, DIGEST)


def test_nothing_is_shown_of_data_that_no_worker_has_read(tmp_path: Path) -> None:
    assert build_seen(LabHome(tmp_path), SPEC, DIGEST) is None


def test_prompt_tokens_are_masked_answers_trained_and_the_rest_cut(tmp_path: Path) -> None:
    found = read(tmp_path)
    assert found is not None
    kinds = [token.kind for token in found.examples[0]]
    assert kinds == ["masked"] * 13 + ["trained"] * 3 + ["cut"]


def test_cut_examples_and_those_that_lose_their_whole_answer_are_counted(tmp_path: Path) -> None:
    found = read(tmp_path)
    assert found is not None
    assert (found.total, found.longest, found.cut, found.dropped) == (3, 30, 2, 1)
    assert round(found.answer_percent, 1) == 21.1
    longer = read(tmp_path, replace(SPEC, seq_len_tokens=30))
    assert longer is not None
    assert (longer.cut, longer.dropped) == (0, 0)


def test_the_histogram_says_its_numbers_and_names_the_limit(tmp_path: Path) -> None:
    found = read(tmp_path)
    assert found is not None
    assert 'aria-label="Token lengths of 3 examples, up to 30; 2 are longer than 16."' in found.histogram
    assert "cut at 16" in found.histogram
    assert "cut at" not in str(read(tmp_path, replace(SPEC, seq_len_tokens=512)))


@given(st.lists(st.integers(1, 1000 * BINS), min_size=1))
def test_every_length_is_in_one_bin(lengths: list[int]) -> None:
    counted = count_bins(lengths)
    assert sum(count for _, count in counted) == len(lengths)
    assert len(counted) <= BINS
    assert counted[-1][0] >= max(lengths)
