"""Printed lines with their settings, and what can be said of them.

Public ones with a source; the others vary one thing of a line that is known to be right. All but a few name
catalogue models; a classification head makes a configuration of its own.
"""

from dataclasses import dataclass
from typing import Any

LLAMA = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")
ATTENTION = LLAMA[:4]
QV = ("q_proj", "v_proj")
UNKNOWN = "unknown"


@dataclass(frozen=True, kw_only=True)
class Case:
    """One claim of the contract, and the verdict."""

    id: str
    source: str
    model: str
    printed: tuple[int | None, int | None, str | None]
    verdict: str
    r: int | str | None = 8
    targets: tuple[str, ...] | str | None = QV
    failing: tuple[str, ...] = ()
    trainable: str = ""
    """Verdict on the first number, where it is another one."""

    kind: str | None = None
    labels: int = 2
    quantisation: str = "none"
    lora: tuple[tuple[str, Any], ...] = ()
    extra: tuple[tuple[str, Any], ...] = ()
    """More fields of the model."""

    says: str = ""
    """What the explanation must say."""


POSSIBLE = (
    Case(id="llama2-4bit-r64-qv", source="a line of many QLoRA notebooks", model="llama-2-7b", r=64,
         quantisation="4bit", printed=(33_554_432, 3_533_967_360, "0.9494833591219133"), verdict="possible",
         says="two to a byte"),
    Case(id="llama2-4bit-r16-all", source="the same, all linear layers", model="llama-2-7b", r=16,
         targets=LLAMA,
         quantisation="4bit", printed=(39_976_960, 3_540_389_888, "1.1291682911958425"), verdict="possible"),
    Case(id="llama2-4bit-r8-qv", source="public notebook, PEFT below 0.5", model="llama-2-7b",
         quantisation="4bit", printed=(4_194_304, 3_504_607_232, "0.11967971650867153"), verdict="possible"),
    Case(id="llama2-4bit-exact", source="PEFT PR 733 counts packed weights in full", model="llama-2-7b", r=64,
         quantisation="4bit", printed=(33_554_432, 6_771_970_048, "0.4955"), verdict="possible",
         says="in full"),
    Case(id="falcon-7b-4bit-qkv", source="Falcon QLoRA notebook", model="falcon-7b", r=16,
         targets=("query_key_value",), quantisation="4bit",
         printed=(4_718_592, 3_613_463_424, "0.13058363808693696"), verdict="possible"),
    Case(id="falcon-7b-4bit-all", source="Falcon QLoRA notebook, r = 64", model="falcon-7b", r=64,
         targets=("query_key_value", "dense", "dense_h_to_4h", "dense_4h_to_h"), quantisation="4bit",
         printed=(130_547_712, 3_739_292_544, "3.4912409356543783"), verdict="possible"),
    Case(id="bloom-7b1-8bit", source="PEFT int8 example for BLOOM", model="bloom-7b1", r=16,
         targets=("query_key_value",), quantisation="8bit",
         printed=(7_864_320, 7_076_880_384, "0.11112693126452029"), verdict="possible"),
    Case(id="bloomz-560m", source="PEFT causal LM example", model="bloom-560m", targets=None,
         printed=(786_432, 560_001_024, "0.14043402892063284"), verdict="possible"),
    Case(id="flan-t5-xxl-8bit", source="Flan-T5 XXL LoRA blog post", model="flan-t5-xxl", r=16,
         targets=("q", "v"), quantisation="8bit", lora=(("task_type", "SEQ_2_SEQ_LM"),),
         printed=(18_874_368, 11_154_206_720, "0.16921300163961817"), verdict="possible"),
    Case(id="flan-t5-base-r32", source="public course lab on dialogue summaries", model="flan-t5-base", r=32,
         targets=("q", "v"), printed=(3_538_944, 251_116_800, "1.41"), verdict="possible"),
    Case(id="gemma-2b-all", source="Gemma with r = 8 on every matrix", model="gemma-2b", targets=LLAMA,
         printed=(9_805_824, 2_515_978_240, "0.3897"), verdict="possible"),
    Case(id="llama3-8b-all", source="public notebooks, r = 16", model="llama-3-8b", r=16, targets=LLAMA,
         printed=(41_943_040, 8_072_204_288, "0.5196"), verdict="possible"),
    Case(id="llama3-8b-factory", source="LLaMA-Factory's own log", model="llama-3-8b", targets=LLAMA,
         printed=(20_971_520, 8_051_232_768, "0.2605"), verdict="possible"),
    Case(id="llama3.2-1b-q", source="PEFT quicktour", model="llama-3.2-1b", targets=("q_proj",),
         printed=(524_288, 1_236_338_688, "0.0424"), verdict="possible"),
    Case(id="llama3.2-1b-qv", source="public training log", model="llama-3.2-1b",
         printed=(851_968, 1_236_666_368, "0.0689"), verdict="possible"),
    Case(id="llama3.2-3b-r4-all", source="public script, r = 4", model="llama-3.2-3b", r=4, targets=LLAMA,
         quantisation="4bit", printed=(6_078_464, 3_218_828_288, "0.1888"), verdict="possible"),
    Case(id="tinyllama-qv", source="public notebook", model="tinyllama-1.1b",
         printed=(1_126_400, 1_101_174_784, "0.10229075496156657"), verdict="possible"),
    Case(id="zephyr-attention", source="public training log", model="mistral-7b-v0.1", r=16,
         targets=ATTENTION,
         printed=(13_631_488, 7_255_363_584, "0.1879"), verdict="possible"),
    Case(id="qwen2.5-1.5b-all", source="public training log", model="qwen2.5-1.5b", targets=LLAMA,
         printed=(9_232_384, 1_552_946_688, "0.5945"), verdict="possible"),
    Case(id="qwen2.5-1.5b-attention", source="public tutorial", model="qwen2.5-1.5b", targets=ATTENTION,
         printed=(2_179_072, 1_545_893_376, "0.1410"), verdict="possible"),
    Case(id="distilbert-q", source="public LoRA tutorial: r = 4 on q_lin", model="distilbert-base",
         kind="seqcls", r=4, targets=("q_lin",), lora=(("task_type", "SEQ_CLS"),),
         printed=(628_994, 67_584_004, "0.9306847223789819"), verdict="possible"),
    Case(id="distilbert-both-heads", source="`classifier` also ends `pre_classifier`: 590,592 + 1,538",
         model="distilbert-base", kind="seqcls", targets=("q_lin", "v_lin"), lora=(("task_type", "SEQ_CLS"),),
         printed=(739_586, 67_694_596, "1.0925"), verdict="possible"),
    Case(id="roberta-large-cls", source="PEFT sequence classification example", model="roberta-large",
         kind="seqcls", targets=("query", "value"), lora=(("task_type", "SEQ_CLS"),),
         printed=(1_838_082, 357_199_876, "0.5146"), verdict="possible"),
    Case(id="roberta-large-old-total", source="the same before the saved head was counted twice in the total",
         model="roberta-large", kind="seqcls", targets=("query", "value"), lora=(("task_type", "SEQ_CLS"),),
         printed=(1_838_082, 356_148_226, "0.5161"), verdict="possible", says="a second time in the total"),
    Case(id="roberta-large-twice", source="older PEFT: original and copy both trainable",
         model="roberta-large",
         kind="seqcls", targets=("query", "value"), lora=(("task_type", "SEQ_CLS"),),
         printed=(2_889_732, 357_199_876, "0.8090"), verdict="possible", says="twice among the trainable"),
    Case(id="vit-now", source="PEFT image classification guide, today", model="vit-base", kind="seqcls",
         labels=101, r=16, targets=("query", "value"), lora=(("modules_to_save", ["classifier"]),),
         printed=(667_493, 86_543_818, "0.7712775047664294"), verdict="possible"),
    Case(id="vit-older", source="the same guide, first edition", model="vit-base", kind="seqcls", labels=101,
         r=16, targets=("query", "value"), lora=(("modules_to_save", ["classifier"]),),
         printed=(667_493, 86_466_149, "0.77"), verdict="possible", says="a second time in the total"),
    Case(id="vit-given-sizes", source="the same with the sizes stated beside a bare encoder",
         model="vit-base",
         r=16, targets=("query", "value"), lora=(("modules_to_save", ["classifier"]),),
         extra=(("base_total", 85_876_325), ("saved_head_params", 77_669)),
         printed=(667_493, 86_543_818, "0.7713"), verdict="possible"),
    Case(id="mixtral-aqlm", source="PEFT issue 1594", model="mixtral-8x7b", r=16, targets="all-linear",
         quantisation="aqlm", printed=(242_225_152, 6_789_079_040, "3.5678646628335615"), verdict="possible",
         says="not checked"),
    Case(id="mixtral-experts", source="one A and one B an expert, before release 5", model="mixtral-8x7b",
         targets=("w1", "w2", "w3"), extra=(("module_layout", "transformers<5"),),
         printed=(113_246_208, 46_816_038_912, "0.2419"), verdict="possible"),
    Case(id="mixtral-llama-names", source="gate, up and down match nothing on Mixtral", model="mixtral-8x7b",
         r=16, targets=LLAMA, printed=(13_631_488, 46_716_424_192, "0.0292"), verdict="possible"),
    Case(id="phi3-llama-names", source="Llama's names match o_proj and down_proj alone", model="phi-3-mini",
         r=16, targets=LLAMA, printed=(8_912_896, 3_829_992_448, "0.2327"), verdict="possible"),
    Case(id="gptq-llama2", source="GPTQ weights are buffers", model="llama-2-7b", quantisation="gptq",
         printed=(4_194_304, 266_604_544, "1.5732"), verdict="possible", says="buffers"),
    Case(id="gptq-with-biases", source="GPTQ layers keep their biases as buffers too", model="qwen1.5-7b",
         quantisation="gptq", printed=(4_194_304, 1_249_120_256, "0.3358"), verdict="possible"),
    Case(id="partly-4bit", source="some matrices left in 16 bit", model="llama-2-7b",
         quantisation="4bit_partial",
         printed=(4_194_304, 5_000_000_001, "0.0839"), verdict="possible", says="stayed in 16 bit"),
    Case(id="dora", source="magnitudes: 28 x (3072 + 1024)", model="llama-3.2-3b", r=32,
         lora=(("variant", "dora"),), printed=(9_289_728, 3_222_039_552, "0.2883"), verdict="possible"),
    Case(id="vera", source="PEFT method comparison", model="llama-3.2-3b", r=256, lora=(("variant", "vera"),),
         printed=(129_024, 3_212_878_848, "0.0040"), verdict="possible"),
    Case(id="ia3", source="PEFT method comparison", model="llama-3.2-3b", r=None,
         targets=("k_proj", "v_proj", "down_proj"),
         lora=(("variant", "ia3"), ("feedforward_modules", ["down_proj"])),
         printed=(286_720, 3_213_036_544, "0.0089"), verdict="possible"),
    Case(id="conv1d-twice", source="c_proj names two modules a block: 12 x 8 x (1536 + 3840)", model="gpt2",
         targets=("c_proj",), printed=(516_096, 124_955_904, "0.4130"), verdict="possible"),
    Case(id="cut-percent", source="0.06220594 cut, not rounded, after four digits of 0.0622",
         model="llama-7b",
         printed=(4_194_304, 6_742_609_920, "0.06"), verdict="possible"),
    Case(id="no-percent", source="a line without its share", model="llama-7b",
         printed=(4_194_304, 6_742_609_920, None), verdict="possible"),
    Case(id="trainable-only", source="a log that prints the first number alone", model="llama-3-8b", r=16,
         targets=LLAMA, printed=(41_943_040, None, None), verdict="possible"),
)  # fmt: skip

IMPOSSIBLE = (
    Case(id="all-is-base", source="public lecture notes", model="llama-3-8b", r=16, targets=LLAMA,
         printed=(41_943_040, 8_030_261_248, "0.5223"), verdict="impossible", failing=("all",),
         trainable="possible", says="without its adapters"),
    Case(id="r16-prints-r8", source="public notes: r = 16 in the code", model="llama-2-7b", r=16,
         printed=(4_194_304, 6_742_609_920, "0.0622"), verdict="impossible", failing=("trainable", "all"),
         says="what r = 8 gives"),
    Case(id="llama3-as-if-no-gqa", source="public notebook", model="llama-3-8b", r=16, targets=ATTENTION,
         printed=(20_971_520, 8_051_232_768, "0.26"), verdict="impossible", failing=("trainable", "all")),
    Case(id="hand-rounded", source="public notes: 1.5 B in round numbers", model="qwen2.5-1.5b", r=16,
         targets=ATTENTION, printed=(4_358_144, 1_548_000_000, "0.2815"), verdict="impossible",
         failing=("all",), trainable="possible", says="rounded by hand"),
    Case(id="half-of-it", source="qlora.py halves the trainable count, issue 260", model="llama-7b", r=64,
         targets=LLAMA, quantisation="4bit", printed=(79_953_920, 3_660_320_768, "2.1843"),
         verdict="impossible", failing=("trainable",), says="exactly half"),
    Case(id="gpt2-names", source="public notebook: r = 16 on c_attn and c_proj", model="gpt2", r=16,
         targets=("c_attn", "c_proj"), printed=(786_432, 124_646_080, "0.63"), verdict="impossible",
         failing=("trainable", "all")),
    Case(id="wrong-family", source="Llama's names on GPT-2", model="gpt2", printed=(294_912, 124_734_720,
         "0.2364"),
         verdict="impossible", failing=("config",), says="It has: c_attn, c_fc, c_proj"),
    Case(id="no-default", source="PEFT has no default for Phi-3", model="phi-3-mini", targets=None,
         printed=(3_145_728, 3_824_225_280, "0.0823"), verdict="impossible", failing=("config",)),
    Case(id="head-left-out", source="SEQ_CLS trains its classifier", model="roberta-large", kind="seqcls",
         targets=("query", "value"), lora=(("task_type", "SEQ_CLS"),), printed=(786_432, 356_148_226,
         "0.2208"),
         verdict="impossible", failing=("trainable",), says="leaves out the head"),
    Case(id="bad-percent", source="share of another run", model="llama-7b",
         printed=(4_194_304, 6_742_609_920, "0.0644"), verdict="impossible", failing=("pct",),
         trainable="possible"),
    Case(id="packed-without-4bit", source="halved total, but nothing is quantized", model="llama-2-7b",
         printed=(4_194_304, 3_504_607_232, "0.1197"), verdict="impossible", failing=("all",),
         trainable="possible", says="no 4-bit base is stated"),
    Case(id="packed-8bit", source="8-bit weights are not packed", model="llama-2-7b", quantisation="8bit",
         printed=(4_194_304, 3_504_607_232, "0.1197"), verdict="impossible", failing=("all",),
         trainable="possible"),
    Case(id="not-partial", source="below what all packed gives", model="llama-2-7b",
         quantisation="4bit_partial", printed=(4_194_304, 3_400_000_001, "0.1234"), verdict="impossible",
         failing=("all",), trainable="possible"),
    Case(id="aqlm-wrong-rank", source="the total is free, the count is not", model="mixtral-8x7b", r=8,
         targets="all-linear", quantisation="aqlm", printed=(242_225_152, 6_789_079_040, "3.5679"),
         verdict="impossible", failing=("trainable",)),
    Case(id="gptq-plain-total", source="GPTQ without its quantized weights left out", model="llama-2-7b",
         quantisation="gptq", printed=(4_194_304, 3_504_607_232, "0.1197"), verdict="impossible",
         failing=("all",), trainable="possible"),
    Case(id="one-more", source="one parameter too many", model="llama-7b",
         printed=(4_194_305, 6_742_609_921, "0.0622"), verdict="impossible", failing=("trainable", "all")),
    Case(id="nothing-prints-it", source="no rank up to 512 gives a prime", model="llama-7b", r=UNKNOWN,
         targets=UNKNOWN, printed=(4_194_301, 6_742_609_917, "0.0622"), verdict="impossible",
         failing=("trainable", "all")),
    Case(id="open-rank-wrong-family", source="Llama's names on GPT-2, no rank", model="gpt2", r=UNKNOWN,
         printed=(294_912, 124_734_720, "0.2364"), verdict="impossible", failing=("config",)),
    Case(id="open-but-total-wrong", source="base size beside a count that exists", model="llama-7b",
         r=UNKNOWN,
         printed=(4_194_304, 6_738_415_616, "0.0622"), verdict="impossible", failing=("all",),
         trainable="underdetermined"),
)  # fmt: skip

OPEN = (
    Case(id="open-rank", source="r = 8", model="llama-7b", r=UNKNOWN,
         printed=(4_194_304, 6_742_609_920, "0.0622"), verdict="underdetermined"),
    Case(id="open-targets", source="two of q, k, v, o at r = 8", model="llama-7b", targets=UNKNOWN,
         printed=(4_194_304, 6_742_609_920, "0.0622"), verdict="underdetermined"),
    Case(id="open-both", source="ipex-llm README", model="llama-2-7b", r=UNKNOWN, targets=UNKNOWN,
         printed=(4_194_304, 6_742_609_920, "0.06220594176090199"), verdict="underdetermined"),
    Case(id="open-rank-default-targets", source="Qwen2.5's default", model="qwen2.5-3b", r=UNKNOWN,
         targets=None,
         printed=(3_686_400, 3_089_625_088, "0.1193"), verdict="underdetermined"),
    Case(id="open-rank-all-linear", source="r = 64", model="llama-7b", r=UNKNOWN, targets="all-linear",
         printed=(159_907_840, 6_898_323_456, "2.3181"), verdict="underdetermined"),
    Case(id="open-with-head", source="r = 8 and the classifier", model="roberta-large", kind="seqcls",
         r=UNKNOWN,
         targets=UNKNOWN, lora=(("task_type", "SEQ_CLS"),), printed=(1_838_082, 357_199_876, "0.5146"),
         verdict="underdetermined"),
    Case(id="open-4bit", source="gpt-neox-20b, r = 8", model="gpt-neox-20b", r=UNKNOWN, targets=UNKNOWN,
         quantisation="4bit", printed=(8_650_752, 10_597_552_128, "0.08162971878329976"),
         verdict="underdetermined"),
    Case(id="open-total-only", source="the count follows from the total", model="llama-7b", r=UNKNOWN,
         printed=(None, 6_742_609_920, None), verdict="underdetermined"),
    Case(id="open-ia3", source="targets of IA3", model="llama-3.2-3b", r=None, targets=UNKNOWN,
         lora=(("variant", "ia3"),), printed=(286_720, 3_213_036_544, "0.0089"), verdict="underdetermined"),
    Case(id="open-dora", source="r = 32 with magnitudes", model="llama-3.2-3b", r=UNKNOWN,
         lora=(("variant", "dora"),), printed=(9_289_728, 3_222_039_552, "0.2883"),
         verdict="underdetermined"),
)  # fmt: skip

CASES = (*POSSIBLE, *IMPOSSIBLE, *OPEN)
