"""What the grader learns from and how it is measured: answers, examples, the split, limits, figures."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from random import Random
from typing import cast

import pytest
import torch

from benchmarks.grader import count_confusion, report_by
from quizzes.grader.calibration import Case, fit_limits, fit_temperature, rescale_scores
from quizzes.grader.grading import Scores, decide_verdict
from quizzes.grader.labelled_answers import (
    BLIND,
    HEADER,
    NOISE,
    OTHER_WRITER,
    OWN_BLIND,
    OWN_TRAINING,
    LabelledAnswer,
    load_answers,
    load_own_prompts,
)
from quizzes.grader.metrics import JudgedAnswer, compute_report
from quizzes.grader.prompts import load_prompts
from quizzes.grader.weights import UNCALIBRATED, Weights
from quizzes.grader.worker.adapters import AdaptedEncoder
from quizzes.grader.worker.encoder import Encoder, EncoderShape
from quizzes.grader.worker.examples import (
    PARTS,
    draw_groups,
    is_held_out,
    merge_verdicts,
    mistype,
    split_epoch,
)
from quizzes.grader.worker.fit_limits import calibrate
from quizzes.grader.worker.network import (
    AnswerReader,
    count_known,
    load_tensors,
    resume_tensors,
    save_tensors,
)
from quizzes.grader.worker.reader import Reader
from quizzes.grader.worker.similarity import FIGURES
from quizzes.grader.worker.train import RowBuilder, compute_contrast_loss, freeze_below, freeze_shared
from study.content.concepts import load_concepts
from study.content.yaml_reader import ContentError
from study.ports.classes import ConceptVerdict

PROMPTS = load_prompts(load_concepts())
OWN = load_own_prompts(OWN_TRAINING)
UNFITTED = Weights(concepts={}, alpha_over_rank=2)


@pytest.fixture(scope="module")
def answers() -> list[LabelledAnswer]:
    return load_answers(PROMPTS)


def answer(
    verdicts: str = "cmmm", *, kind: str = "terse", pair: str = "", text: str = "It is so."
) -> LabelledAnswer:
    letters: dict[str, ConceptVerdict] = {"c": "covered", "p": "partial", "x": "contradicted", "m": "missing"}
    return LabelledAnswer(
        prompt_id="explain-lora",
        kind=kind,
        voice="teacher",
        pair=pair,
        verdicts=tuple(letters[letter] for letter in verdicts),
        text=text,
    )


# ---- the answers


def test_every_concept_has_right_and_false_statements_by_the_dozen(answers: list[LabelledAnswer]) -> None:
    for prompt in PROMPTS.values():
        own = [one for one in answers if one.prompt_id == prompt.id]
        for at in range(4):
            assert sum(one.verdicts[at] == "covered" for one in own) >= 18
            assert sum(one.verdicts[at] == "contradicted" for one in own) >= 8


def test_what_claims_nothing_is_labelled_so(answers: list[LabelledAnswer]) -> None:
    assert [
        one.text for one in answers if one.kind in NOISE - {"injection"} and set(one.verdicts) != {"missing"}
    ] == []


@pytest.mark.parametrize(
    ("folder", "least"),
    list(zip((OTHER_WRITER, *BLIND), (900, 600, 240, 190, 480, 480, 480), strict=True)),
)
def test_no_answer_of_the_other_writers_was_learnt_from(
    answers: list[LabelledAnswer], folder: Path, least: int
) -> None:
    learnt = {one.text.lower() for one in answers}
    other = load_answers([path.stem for path in sorted(folder.glob("*.tsv"))], folder=folder)
    assert len(other) >= least
    said_twice = [one.text for one in other if one.kind not in NOISE and one.text.lower() in learnt]
    # "grads: adapters only" and "params = r(d_in + d_out)" are anybody's
    assert [text for text in said_twice if len(text.split()) > 5] == []


@pytest.mark.parametrize("folder", OWN_BLIND)
def test_the_own_prompts_are_none_of_the_trained_ones_and_have_answers_of_both_kinds(folder: Path) -> None:
    own = load_own_prompts(folder)
    assert not {concept.definition for prompt in own.values() for concept in prompt.concepts} & {
        concept.definition for prompt in PROMPTS.values() for concept in prompt.concepts
    }
    for prompt_id in own:
        said = load_answers([prompt_id], folder=folder)
        assert {"covered", "contradicted"} <= {verdict for one in said for verdict in one.verdicts}


def test_a_bad_line_is_reported_with_file_and_line(tmp_path: Path) -> None:
    lines = [
        "\t".join(HEADER),
        "terse\tteacher\t\tccc\ttoo few letters",
        "terse\tteacher\tcccc",
        "terse\tt\t\tcccc\t ",
    ]
    (tmp_path / "explain-lora.tsv").write_text("\n".join(lines))
    with pytest.raises(ContentError) as caught:
        load_answers(["explain-lora", "explain-rank"], folder=tmp_path)
    places = [str(problem).partition("  ")[0] for problem in caught.value.problems]
    assert places == ["explain-lora.tsv:2", "explain-lora.tsv:3", "explain-lora.tsv:4", "explain-rank.tsv:1"]


# ---- examples


def test_minimal_contrasts_are_never_on_both_sides_of_the_split(answers: list[LabelledAnswer]) -> None:
    for part in range(PARTS):
        kept = {one.group for one in answers if is_held_out(one, part=part)}
        assert not kept & {one.group for one in answers if not is_held_out(one, part=part)}
        assert kept


def test_one_epoch_shows_every_answer_once_and_contrasts_side_by_side(answers: list[LabelledAnswer]) -> None:
    batches = split_epoch(answers, Random(1), rows=32)
    shown = [one for batch in batches for one in batch if one.kind != "joined"]
    assert sorted(one.text for one in shown) == sorted(one.text for one in answers)
    homes: dict[str, set[int]] = {}
    for at, batch in enumerate(batches):
        for one in batch:
            if one.pair:
                homes.setdefault(one.group, set()).add(at)
    assert all(len(places) == 1 for places in homes.values())


def test_one_seed_gives_one_order_of_examples(answers: list[LabelledAnswer]) -> None:
    assert split_epoch(answers[:200], Random(3), rows=8) == split_epoch(answers[:200], Random(3), rows=8)


def test_of_two_statements_the_stronger_wins() -> None:
    said = merge_verdicts([answer("cpxm").verdicts, answer("xcmm").verdicts])
    assert said == ("contradicted", "covered", "contradicted", "missing")


def test_a_slip_of_the_keyboard_leaves_short_words_alone() -> None:
    rng = Random(5)
    for _ in range(200):
        words = mistype("It is not only the base that stays quantized", rng).split()
        assert words[:7] == ["It", "is", "not", "only", "the", "base", "that"]


def test_the_contrast_loss_falls_as_the_right_statement_rises_above_its_twin() -> None:
    batch = [answer("cmmm", pair="p1"), answer("xmmm", pair="p1"), answer("xmmm", pair="p2")]
    labels = torch.tensor([[2, 0, 0, 0], [3, 0, 0, 0], [3, 0, 0, 0]])
    even, apart = torch.zeros(3, 4, 4), torch.zeros(3, 4, 4)
    apart[0, 0, 2] = apart[1, 0, 3] = 4.0
    assert compute_contrast_loss(apart, labels, batch) < compute_contrast_loss(even, labels, batch)
    assert compute_contrast_loss(even, labels, batch[:1] + batch[2:] + batch[2:]) == 0


def test_a_share_of_the_known_prompts_groups_is_drawn_whole_and_new_prompts_are_always_read(
    answers: list[LabelledAnswer],
) -> None:
    drawn = draw_groups(answers, Random(2), share=0.25, new=["explain-merge"])
    new = [one for one in answers if one.prompt_id == "explain-merge"]
    assert [one for one in drawn if one.prompt_id == "explain-merge"] == new
    earlier = {one.group for one in answers} - {one.group for one in new}
    kept = {one.group for one in drawn} & earlier
    assert 0.2 < len(kept) / len(earlier) < 0.3
    assert all(one in drawn for one in answers if one.group in kept)


# ---- rows


def test_a_known_concept_is_read_by_its_label_and_its_number(answers: list[LabelledAnswer]) -> None:
    prompt_id = list(PROMPTS)[1]
    said = next(one for one in answers if one.prompt_id == prompt_id)
    [(row, verdicts)] = RowBuilder(PROMPTS, Random(4)).build_batch([said])
    assert row.concepts == tuple(concept.label for concept in PROMPTS[prompt_id].concepts)
    assert row.numbers == (5, 6, 7, 8)
    assert verdicts == said.verdicts


# ---- limits and figures


def test_the_limits_keep_false_statements_out_where_that_can_be_done() -> None:
    right = [Case(label="covered", scores=Scores(0.02, 0.02, 0.9, 0.06), noise=False)] * 60
    false = [Case(label="contradicted", scores=Scores(0.05, 0.05, 0.58, 0.32), noise=False)] * 40
    limits = fit_limits(right + false, UNCALIBRATED)
    assert decide_verdict(right[0].scores, limits)[0] == "covered"
    assert decide_verdict(false[0].scores, limits)[0] != "covered"


def test_an_overconfident_network_is_cooled_down() -> None:
    sure = Scores(0.01, 0.01, 0.97, 0.01)
    right: ConceptVerdict = "covered"
    wrong: ConceptVerdict = "missing"
    temperature = fit_temperature([(right, sure)] * 6 + [(wrong, sure)] * 4)
    assert temperature > 1.5
    assert rescale_scores(sure, temperature).covered < 0.85


class SureReader:
    """Reads every text alike: surer than it is right, at the temperature that it is set to."""

    temperature = 1.0
    own_temperature = 1.0

    def score(self, concepts: Sequence[str], texts: Sequence[str]) -> list[list[list[float]]]:
        """Return the same likelihoods for each text and concept."""
        logits = torch.tensor([0.0, 0.0, 4.0, 0.0])
        likely = (logits / (self.temperature * self.own_temperature)).softmax(-1).tolist()
        return [[likely] * len(concepts) for _ in texts]


@pytest.mark.parametrize("own", [True, False])
def test_limits_that_are_fitted_again_keep_the_temperature(own: bool) -> None:
    answers = [answer("cccc"), answer("mmcc"), replace(answer("cccc"), prompt_id="explain-rank")]
    read = [one for one in PROMPTS.values() if one.id in ("explain-lora", "explain-rank")]
    prompts = {one.id: one for one in read}
    reader = cast(Reader, SureReader())
    fitted, _ = calibrate(reader, UNFITTED, prompts, answers, own=own)
    refitted, _ = calibrate(reader, fitted, prompts, answers, own=own)
    found, again = (one.own_temperature if own else one.temperature for one in (fitted, refitted))
    assert found > 1.2
    assert again == found
    stored = replace(fitted, temperature=1.1, own_temperature=1.15)
    kept, _ = calibrate(reader, stored, prompts, answers, own=own, keep_temperature=True)
    assert (kept.temperature, kept.own_temperature) == (1.1, 1.15)


def test_the_figures_count_what_their_names_say() -> None:
    judged = [
        JudgedAnswer(answer=answer("cxmm"), verdicts=("covered", "covered", "missing", "unsure")),
        JudgedAnswer(
            answer=answer("cmmm", kind="correct-with-negation"),
            verdicts=("contradicted", "missing", "missing", "missing"),
        ),
        JudgedAnswer(
            answer=answer("mmmm", kind="off-topic"), verdicts=("covered", "missing", "missing", "missing")
        ),
    ]
    found = compute_report(judged)
    assert found.precision.value == pytest.approx(1 / 3)
    assert found.recall.value == 0.5
    assert found.f1.value == pytest.approx(0.4)
    assert found.false_accepted.value == 1
    assert found.noise_accepted.value == 0.25
    assert found.negations_refused.value == 1
    assert found.unsure.value == pytest.approx(1 / 12)
    assert all(figure.low <= figure.value <= figure.high for figure in vars(found).values())
    counts = count_confusion(judged)
    assert sum(count for (_, verdict), count in counts.items() if verdict == "covered") == 3
    assert list(report_by(judged, lambda one: one.kind)) == ["correct-with-negation", "off-topic", "terse"]


# ---- the adapter


def small_network(*, known_concepts: int = 4, figures: int = 0) -> AnswerReader:
    torch.manual_seed(1)
    shape = EncoderShape(
        hidden_size=16, num_hidden_layers=3, num_attention_heads=2, intermediate_size=32, vocab_size=40
    )
    encoder = Encoder(shape).eval()
    return AnswerReader(encoder, 16, known_concepts=known_concepts, figures=figures)


def adapted_network(*, known_concepts: int = 4, figures: int = 0) -> AnswerReader:
    network = small_network(known_concepts=known_concepts, figures=figures)
    network.encoder = AdaptedEncoder(network.encoder, rank=4)
    return network


def disturb(network: AnswerReader) -> None:
    with torch.no_grad():
        for parameter in network.parameters():
            parameter.add_(0.1 * torch.randn_like(parameter))


def test_stored_tensors_give_the_same_network_merged_and_trained_further(tmp_path: Path) -> None:
    trained = adapted_network()
    disturb(trained)
    save_tensors(trained, tmp_path / "a.safetensors")
    resumed, merged = adapted_network(), small_network()
    resume_tensors(resumed, tmp_path / "a.safetensors")
    load_tensors(merged, tmp_path / "a.safetensors", alpha_over_rank=2)
    words = torch.randn(2, 7, 16)
    kept = {"attention_mask": torch.ones(2, 7), "token_type_ids": torch.zeros(2, 7, dtype=torch.long)}
    with torch.no_grad():
        shown = [
            network.encoder(inputs_embeds=words, **kept).float() for network in (trained, resumed, merged)
        ]
    assert torch.allclose(shown[0], shown[1], atol=0.05)
    assert torch.allclose(shown[0], shown[2], atol=0.1)  # bf16 in training, fp32 in use
    assert all(
        torch.equal(a.half(), b.half())
        for a, b in zip(trained.parameters(), resumed.parameters(), strict=True)
    )


def test_with_all_that_is_shared_frozen_a_step_on_new_concepts_changes_no_known_one() -> None:
    network = adapted_network(known_concepts=8)
    disturb(network)
    freeze_shared(network)
    before = {name: parameter.clone() for name, parameter in network.named_parameters()}
    learning = [parameter for parameter in network.parameters() if parameter.requires_grad]
    optimizer = torch.optim.AdamW(learning, lr=0.1, weight_decay=0.0)
    (network.own.weight[5:] * network.own_heads.weight[5:, :1]).sum().backward()
    optimizer.step()
    after = dict(network.named_parameters())
    changed = {name for name in after if not torch.equal(after[name], before[name])}
    assert changed == {"own.weight", "own_heads.weight"}
    assert all(torch.equal(after[name][:5], before[name][:5]) for name in changed)


def test_the_layers_below_the_first_one_learn_nothing() -> None:
    network = adapted_network()
    freeze_below(network, 2)
    learning = {name for name, parameter in network.named_parameters() if parameter.requires_grad}
    assert any("layer/2/" in name for name in learning)
    assert not any("layer/0/" in name or "layer/1/" in name or "embeddings" in name for name in learning)
    assert "own.weight" not in learning
    assert "own_heads.weight" in learning


def test_a_network_that_knows_more_concepts_or_none_goes_on_from_a_stored_one(tmp_path: Path) -> None:
    trained = adapted_network()
    disturb(trained)
    save_tensors(trained, tmp_path / "a.safetensors")
    assert count_known(tmp_path / "a.safetensors") == 4
    more, none = adapted_network(known_concepts=8), adapted_network(known_concepts=0, figures=FIGURES)
    resume_tensors(more, tmp_path / "a.safetensors")
    resume_tensors(none, tmp_path / "a.safetensors")
    known, before = more.state_dict()["own.weight"], trained.state_dict()["own.weight"]
    assert torch.equal(known[1:5].half(), before[1:5].half())
    assert not known[5:].any()
    first, wider = (one.state_dict()["head.0.weight"].half() for one in (trained, none))
    assert torch.equal(wider[:, : first.shape[1]], first)
    assert wider.shape[1] == first.shape[1] + FIGURES
