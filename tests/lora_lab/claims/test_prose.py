"""Rank and targets in running text: what is read, what is not, and what the verdict says was searched."""

import pytest

from lora_lab.claims.contract import answer_claim
from lora_lab.claims.pasted import record_of_text
from lora_lab.claims.service import ClaimService
from lora_lab.cli import contracts
from lora_lab.engine.shape_reader import ShapeReader
from lora_lab.pages.claims import ClaimsPage
from study.base.errors import LearnerError
from tests.visits import opened, words

LINE = "trainable params: 3,407,872 || all params: 8,033,669,120 || trainable%: 0.0424"
"""What r = 8 on q_proj and v_proj of Llama 3.1 8B prints: 32 x 8 x (2 x 4096 + 4096 + 1024) = 3,407,872."""

BOTH = ["q_proj", "v_proj"]


@pytest.mark.parametrize(
    ("said", "rank", "targets"),
    [
        ("with r=16 on q_proj and v_proj.", 16, BOTH),
        ("with r=16.", 16, "unknown"),
        ("with r = 16. Then we stopped.", 16, "unknown"),
        ("with r=16.5", "unknown", "unknown"),
        ("and **r=16**", 16, "unknown"),
        ("with a rank-16 LoRA on `q_proj`, `k_proj` and `v_proj`", 16, ["q_proj", "k_proj", "v_proj"]),
        ("with a rank-1 update", "unknown", "unknown"),
        ("with rank 16 and LoRA applied to the q_proj/v_proj layers", 16, BOTH),
        ("with rank 16, targets: q_proj, v_proj", 16, BOTH),
        ("with rank 16 on the query and value matrices.", 16, "unknown"),
        ("on query_key_value. r=4", 4, ["query_key_value"]),
        ("(r=8, alpha=16, q_proj and v_proj)", 8, BOTH),
        ("LoRA r=16, q_proj,v_proj:", 16, BOTH),
        ("LoRA rank=64, all-linear.", 64, "all-linear"),
        ("r=16, all linear:", 16, "all-linear"),
        ("r=16. It was not all-linear", 16, "unknown"),
        ("r=16. It did not use all-linear", 16, "unknown"),
        ("r=16. The schedules are all linear.", 16, "unknown"),
        ("r=16 for all linear layers", 16, "all-linear"),
        ("r=16, target: all linear", 16, "all-linear"),
        (
            "lora_r: 16\nlora_target_modules:\n  - q_proj\n  - v_proj\n# all-linear needs more memory\n",
            16,
            BOTH,
        ),
        ("has q_proj and v_proj. We took r=16.", 16, "unknown"),
        ("| lora_target: all | lora_rank: 16 |", 16, "all-linear"),
        ("r=16, q_proj: it has 4096 rows", 16, "unknown"),
        # what may be of other modules, or of another run, stays open
        ("but not on q_proj and v_proj.", "unknown", "unknown"),
        ("on all matrices except q_proj", "unknown", "unknown"),
        ("on q_proj. The k_proj stayed as it was.", "unknown", "unknown"),
        ("on q_proj. Then on k_proj.", "unknown", "unknown"),
        ("on q_proj and v_proj instead of all", "unknown", "unknown"),
        ("with a low_rank update on my_module", "unknown", "unknown"),
        ("(q_proj): Linear(in_features=4096, out_features=4096)", "unknown", "unknown"),
        ("on model.layers.0.self_attn.q_proj", "unknown", "unknown"),
    ],
)
def test_rank_and_targets_of_a_sentence(said: str, rank: object, targets: object) -> None:
    lora = record_of_text(f"We fine-tuned Llama 3.1 8B {said}\n{LINE}")["lora"]
    assert (lora["r"], lora["target_modules"]) == (rank, targets)


@pytest.mark.parametrize("setting", ["LoraConfig(r=4)", "lora_r: 4\ntarget_modules: [k_proj]"])
def test_code_and_options_come_before_a_sentence(setting: str) -> None:
    read = record_of_text(f"llama-3.1-8b\n{setting}\nWe put LoRA on q_proj and v_proj.\n{LINE}")["lora"]
    assert read["target_modules"] in (None, ["k_proj"])


@pytest.mark.parametrize("said", ["LoRA r=16", "rank 16 on the query and value matrices", "r=16."])
def test_a_stated_rank_that_fits_nowhere_says_what_was_searched_and_what_prints_the_line(
    reader: ShapeReader, said: str
) -> None:
    answer = contracts.answer_record({"text": f"Llama 3.1 8B, {said}\n{LINE}"}, answer_claim, reader)
    assert answer["verdict"] == "impossible"
    assert answer["why"] == (
        "At r = 16 no set of this model's linear layers gives 3,407,872 trainable parameters. "
        "r = 8 on q_proj and v_proj prints this line."
    )
    assert answer["explanations"][0] == {"r": 8, "target_modules": BOTH}


def test_stated_targets_without_a_fitting_rank_name_the_targets_that_fit(reader: ShapeReader) -> None:
    text = f"Llama 3.1 8B, target_modules: gate_proj\n{LINE}"
    why = contracts.answer_record({"text": text}, answer_claim, reader)["why"]
    assert why.startswith("No rank up to 512 on gate_proj gives 3,407,872 trainable parameters. ")
    assert why.endswith("r = 8 on q_proj and v_proj prints this line.")


def test_a_number_that_no_setting_gives_names_none(reader: ShapeReader) -> None:
    line = "trainable params: 3,407,873 || all params: 8,033,669,121"
    answer = contracts.answer_record({"text": f"Llama 3.1 8B, r=16\n{line}"}, answer_claim, reader)
    assert answer["why"].endswith("gives 3,407,873 trainable parameters.")
    assert answer["explanations"] == []


def test_a_sentence_with_both_is_judged_as_stated(reader: ShapeReader) -> None:
    text = f"We fine-tuned Llama 3.1 8B with r=16 on q_proj and v_proj.\n{LINE}"
    answer = contracts.answer_record({"text": text}, answer_claim, reader)
    assert answer["verdict"] == "impossible"
    assert "the printed number is what r = 8 gives on the same targets" in answer["why"]
    right = contracts.answer_record({"text": text.replace("r=16", "r=8")}, answer_claim, reader)
    assert right["verdict"] == "possible"


def checked(reader: ShapeReader, said: str) -> str:
    event = {"act": "text", "fields": {"text": [f"Llama 3.1 8B, {said}\n{LINE}"]}}
    return words(ClaimsPage(ClaimService(reader)).act(event, opened("ana"))["parts"]["verdict"])


def test_the_page_says_what_was_not_read(reader: ShapeReader) -> None:
    assert (
        "Not found in the text: target modules by name, such as q_proj and v_proj. "
        "Other words for them, such as “the query matrices”, are not read."
    ) in checked(reader, "rank 16 on the query and value matrices")
    assert "Not found in the text: a rank, such as r=16 or rank 16. " in checked(reader, "on q_proj, v_proj")
    assert "Not found in the text" not in checked(reader, "r=8 on q_proj and v_proj")


def test_a_task_in_a_sentence_trains_the_head(reader: ShapeReader) -> None:
    line = "trainable params: 887,042 || all params: 125,534,212 || trainable%: 0.7066"
    answer = contracts.answer_record(
        {"text": f"roberta-base, rank 8, task_type=SEQ_CLS: {line}"}, answer_claim, reader
    )
    assert answer["verdict"] == "underdetermined", answer["why"]
    assert {"r": 8, "target_modules": ["query", "value"]} in answer["explanations"]


@pytest.mark.parametrize(
    ("said", "verdict"),
    [
        ("LoRA with r=16 on Llama-2-7B (all linear layers) trains about 0.6 % of the weights", "possible"),
        ("LoRA with r=16 on all linear layers of Llama-2-7B trains 0.59% of the parameters.", "possible"),
        ("With r=8 on q_proj and v_proj, LoRA trains only 0.06% of Llama-2-7B's parameters.", "possible"),
        ("With r=8 on q_proj and v_proj, LoRA trains only 0.6% of Llama-2-7B's parameters.", "impossible"),
        ("Llama-2-7B, LoraConfig(r=8): only 0.0622% of the model's parameters are trainable", "possible"),
    ],
)
def test_a_share_in_a_sentence_is_judged(reader: ShapeReader, said: str, verdict: str) -> None:
    answer = contracts.answer_record({"text": said}, answer_claim, reader)
    assert answer.get("verdict") == verdict, answer


FIRST_MISTRAL = "trainable params: 3,407,872 || all params: 7,245,139,968 || trainable%: 0.0470"


@pytest.mark.parametrize(
    ("name", "verdict", "read"),
    [
        ("Mistral 7B", "possible", "mistral-7b-v0.1"),
        ("Mistral-7B-v0.1", "possible", "mistral-7b-v0.1"),
        ("Mistral-7B-v0.3", "impossible", "mistral-7b"),
        ("Mistral-7B-Instruct-v0.3", "impossible", "mistral-7b"),
        ("with peft v0.7 on a V100, Mistral 7B", "possible", "mistral-7b-v0.1"),
    ],
)
def test_a_model_without_its_version_is_any_of_them(
    reader: ShapeReader, name: str, verdict: str, read: str
) -> None:
    text = f"{name} LoraConfig(r=8, target_modules=['q_proj', 'v_proj'])\n{FIRST_MISTRAL}"
    answer = contracts.answer_record({"text": text}, answer_claim, reader)
    assert (answer["verdict"], answer["read"]["model"]["name"]) == (verdict, read)
    assert ClaimService(reader).check_text(text).verdict.answer == verdict


@pytest.mark.parametrize(
    ("said", "variant"),
    [
        ("With DoRA (r=8, q_proj and v_proj)", "dora"),
        ("(IA)^3", "ia3"),
        ("IA3", "ia3"),
        ("QLoRA with r=8", "lora"),
        ("DoRA beats LoRA", "lora"),  # which of them printed the line is open
        ("use_dora: false", "lora"),
        ("my-dora-model", "lora"),
        ("r=8; DoRA: no", "lora"),
        ("r=8, from Vera's post", "lora"),
        ("r=8. IA3 would train less", "lora"),
    ],
)
def test_the_method_of_a_sentence(said: str, variant: str) -> None:
    assert record_of_text(f"Llama 3.1 8B {said}\n{LINE}")["lora"]["variant"] == variant


def test_ia3_in_a_sentence_takes_its_default_modules(reader: ShapeReader) -> None:
    line = "trainable params: 614,400 || all params: 6,739,030,016 || trainable%: 0.0091"
    answer = contracts.answer_record({"text": f"(IA)^3 on Llama-2-7B: {line}"}, answer_claim, reader)
    assert answer["verdict"] == "underdetermined", answer["why"]
    assert ["down_proj", "k_proj", "v_proj"] in [each["target_modules"] for each in answer["explanations"]]


def test_a_text_of_digits_is_read_in_the_time_of_any_other() -> None:
    """From each digit to the end took a minute and a half."""
    with pytest.raises(LearnerError):
        record_of_text("Llama 3.1 8B " + "1" * 60_000)
