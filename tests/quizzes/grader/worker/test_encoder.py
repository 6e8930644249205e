"""MiniLM in plain PyTorch: the states and tokens of transformers' classes, and a start without them."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch import nn
from transformers import AutoTokenizer, BertConfig, BertModel

from quizzes.grader.labelled_answers import OWN_BLIND, load_answers, load_own_prompts
from quizzes.grader.minilm import find_minilm_folder
from quizzes.grader.weights import WEIGHTS
from quizzes.grader.worker.encoder import Encoder, EncoderShape, WordPieces, load_encoder
from quizzes.grader.worker.reader import Reader, load_reader
from quizzes.grader.worker.similarity import Similarity

ROOT = Path(__file__).parents[4]
BASE = find_minilm_folder(Path(os.environ["LORA_STUDY_MODELS"]))
STRANGE = [
    "na\u00efve Caf\u00e9",
    "\u65e5\u672c \u00bd \U0001f600",
    "don't  [SEP] W' = W + (alpha/r)\u00b7B\u00b7A\n",
    "",
    "x" * 300,
]


@pytest.mark.parametrize("attention", ["sdpa", "eager"])
@pytest.mark.parametrize("padded", [True, False])
def test_the_states_are_those_of_transformers_bert(attention: str, padded: bool) -> None:
    torch.manual_seed(3)
    sizes = {
        "hidden_size": 24,
        "num_hidden_layers": 3,
        "num_attention_heads": 2,
        "intermediate_size": 32,
        "vocab_size": 40,
    }
    config = BertConfig(
        **sizes, attn_implementation=attention, hidden_dropout_prob=0, attention_probs_dropout_prob=0
    )
    theirs = BertModel(config, add_pooling_layer=False).eval()
    ours = Encoder(EncoderShape(**sizes), fused=attention == "sdpa")
    ours.load_state_dict(theirs.state_dict())
    words, mask = torch.randn(3, 9, 24), torch.ones(3, 9, dtype=torch.long)
    types = torch.tensor([[0] * 4 + [1] * 5] * 3)
    if padded:
        mask[0, 5:] = mask[1, 2:] = 0
    with torch.no_grad():
        expected = theirs(inputs_embeds=words, attention_mask=mask, token_type_ids=types).last_hidden_state
        found = ours(words, mask, types)
    assert torch.equal(found[mask.bool()], expected[mask.bool()])


@pytest.mark.embedded
def test_the_tokens_are_those_of_transformers_tokenizer() -> None:
    theirs, ours = AutoTokenizer.from_pretrained(BASE, local_files_only=True), WordPieces(BASE)
    own = load_own_prompts(OWN_BLIND[0])
    texts = STRANGE + [answer.text for answer in load_answers(own, folder=OWN_BLIND[0])]
    assert [ours.encode(text) for text in texts] == [
        theirs.encode(text, add_special_tokens=False) for text in texts
    ]
    ids, mask = ours.encode_all(texts, longest=128)
    expected = theirs(texts, truncation=True, max_length=128, padding=True, return_tensors="pt")
    assert torch.equal(ids, expected["input_ids"])
    assert torch.equal(mask, expected["attention_mask"])


@pytest.mark.embedded
def test_changed_weights_leave_the_stored_file_as_it_was() -> None:
    changed = _norm_of(load_encoder(BASE)).weight
    before = changed.clone()
    with torch.no_grad():
        changed.add_(1.0)
    assert torch.equal(_norm_of(load_encoder(BASE)).weight, before)


def _norm_of(encoder: Encoder) -> nn.LayerNorm:
    norm = encoder.embeddings["LayerNorm"]
    assert isinstance(norm, nn.LayerNorm)
    return norm


@pytest.mark.embedded
def test_a_start_imports_neither_transformers_nor_the_compiler() -> None:
    """Both cost more processor time than all else but PyTorch itself: 1.9 and 1.5 s."""
    start = f"""
import sys
from pathlib import Path
from quizzes.grader.weights import WEIGHTS
from quizzes.grader.worker import __main__
reader = __main__.load_reader(Path({str(BASE)!r}), WEIGHTS)
reader.warm_up()
print(sorted({{"transformers", "peft", "torch._dynamo", "torch._inductor"}} & set(sys.modules)))
"""
    done = subprocess.run([sys.executable, "-c", start], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.embedded
def test_the_reader_of_own_prompts_waits_for_the_first_own_prompt(monkeypatch: pytest.MonkeyPatch) -> None:
    loaded = []
    real = Similarity.__init__

    def note(self: Similarity, frozen: Encoder, tokenizer: WordPieces) -> None:
        loaded.append(frozen)
        real(self, frozen, tokenizer)

    monkeypatch.setattr(Similarity, "__init__", note)
    reader: Reader = load_reader(BASE, WEIGHTS)
    reader.warm_up()
    assert loaded == []
    assert len(reader.score(["Cats purr", "Dogs bark", "Birds sing", "Fish swim"], ["Cats purr."])) == 1
    assert len(loaded) == 1
