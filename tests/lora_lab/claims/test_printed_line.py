"""Printed lines: formats of many tools and of people, and what is none."""

import pytest

from lora_lab.claims.claim import Printed
from lora_lab.claims.pasted import record_of_text
from lora_lab.claims.printed_line import find_printed_line
from study.base.errors import LearnerError

LINE = "trainable params: 4,194,304 || all params: 6,742,609,920 || trainable%: 0.0622"


@pytest.mark.parametrize(
    ("text", "trainable", "total", "percent"),
    [
        ("trainable params: 8388608 || all params: 6666862592 || trainable%: 0.12582542214183376",
         8_388_608, 6_666_862_592, "0.12582542214183376"),
        (LINE, 4_194_304, 6_742_609_920, "0.0622"),
        ("trainable params: 79953920.0 || all params: 3660320768 || trainable: 2.184341894267557",
         79_953_920, 3_660_320_768, "2.184341894267557"),
        ("trainable params: 4.194.304 || all params: 6.742.609.920 || trainable%: 0,0622",
         4_194_304, 6_742_609_920, "0.0622"),
        ("trainable params: 4 194 304 || all params: 6 742 609 920 || trainable%: 0.0622",
         4_194_304, 6_742_609_920, "0.0622"),
        ("trainable params: 4_194_304 | all params: 6_742_609_920 | trainable%: 0.0622%",
         4_194_304, 6_742_609_920, "0.0622"),
        ("Trainable params: 4,194,304, Total params: 6,742,609,920, Trainable%: 0.06",
         4_194_304, 6_742_609_920, "0.06"),
        ("trainable model parameters: 3538944\nall model parameters: 251116800\n"
         "percentage of trainable model parameters: 1.41%", 3_538_944, 251_116_800, "1.41"),
        ("# trainable params: 41,943,040 || all params: 8,030,261,248\n#         || trainable%: 0.5223%",
         41_943_040, 8_030_261_248, "0.5223"),
        ("trainable params: 13,631,488 || all params: 8,044,093,440 (0.17%)",
         13_631_488, 8_044_093_440, "0.17"),
        ("trainable params: ~20M || all params: ~6.7B || trainable%: ~0.3", 20_000_000, 6_700_000_000, "0.3"),
        ("trainable params: 1,234K || all params: 1,234,567K", 1_234, 1_234_567_000, None),
        ("Trainable parameters = 41,943,040 of 8,072,204,288 (0.52% trained)",
         41_943_040, 8_072_204_288, "0.52"),
        ("Trainable parameters = 41,943,040/8,072,204,288 (0.52% trained)",
         41_943_040, 8_072_204_288, "0.52"),
        ("Number of trainable parameters = 41,943,040", 41_943_040, None, None),
        ("| **trainable params** | x\ntrainable params: **4,194,304**", 4_194_304, None, None),
        ("{'trainable params': 4194304, 'all params': 6742609920, 'trainable%': 0.0622}",
         4_194_304, 6_742_609_920, "0.0622"),
        ("all params: 6,742,609,920", None, 6_742_609_920, None),
        # a percentage is no count, whichever of its digits could be one
        ("Trainable params: 0.5196% (41,943,040 / 8,072,204,288)", 41_943_040, 8_072_204_288, "0.5196"),
        ("# trainable params: 0.1% of total", None, None, "0.1"),
        # the total comes first, as torchinfo and Keras print it
        ("Total params: 6,742,609,920, Trainable params: 4,194,304 (0.06%)",
         4_194_304, 6_742_609_920, "0.06"),
        ("all params: 6,742,609,920 || trainable params: 4,194,304 || trainable%: 0.0622",
         4_194_304, 6_742_609_920, "0.0622"),
        ("Total parameters: 6,742,609,920\nTrainable parameters: 4,194,304\nNext\n2\nAll params: 7,000,000",
         4_194_304, 6_742_609_920, None),
        ("Total params: 6,738,415,616\n\nafter LoRA:\ntrainable params: 4,194,304\nall params: 6,742,609,920",
         4_194_304, 6_742_609_920, None),
        ("Total params: 6,738,415,616\n1\n2\n3\n4\nTrainable params: 4,194,304", 4_194_304, None, None),
        ("Trainable: 4,194,304 / Total: 6,742,609,920 (0.0622%)", 4_194_304, 6_742_609_920, "0.0622"),
        ("trainable: 4,194,304 || all: 6,742,609,920 || 0.0622%", 4_194_304, 6_742_609_920, "0.0622"),
        ("Trainable parameters: 4,194,304 (0.06%)", 4_194_304, None, "0.06"),
        ("Trainable parameters: 4,194,304 (0.0622% of 6,742,609,920)", 4_194_304, 6_742_609_920, "0.0622"),
        ("Number of trainable parameters = 41,943,040\n  0%|          | 0/60", 41_943_040, None, None),
        ("Total Parameters: 6,742,609,920 | Trainable Parameters: 4,194,304 | Percentage: 0.0622%",
         4_194_304, 6_742_609_920, "0.0622"),
        ("Non-trainable params: 6,738,415,616\nTrainable params: 4,194,304\nTotal params: 6,742,609,920",
         4_194_304, 6_742_609_920, None),
        ("Number of non trainable parameters: 6,738,415,616\nNumber of trainable parameters: 4,194,304",
         4_194_304, None, None),
        ("4,194,304 trainable parameters out of 6,742,609,920 (0.0622%)", 4_194_304, 6_742_609_920, "0.0622"),
        ("only 4,194,304 of 6,742,609,920 parameters are trainable (0,06%)",
         4_194_304, 6_742_609_920, "0.06"),
        ("| trainable params | 4,194,304 |\n| all params | 6,742,609,920 |\n| trainable% | 0.0622 |",
         4_194_304, 6_742_609_920, "0.0622"),
        ("trainable params: ~5.5e7 || all params: 3.1e10 || trainable%: ~0.18%",
         55_000_000, 31_000_000_000, "0.18"),
        ("Trainable parameters: 4.194304E+06", 4_194_304, None, None),
        ('"trainable_params": 4194304, "all_params": 6742609920, "trainable_pct": 0.0622',
         4_194_304, 6_742_609_920, "0.0622"),
    ],
)  # fmt: skip
def test_printed_lines_of_several_versions_and_tools_are_read(
    text: str, trainable: int | None, total: int | None, percent: str | None
) -> None:
    line = find_printed_line(f"Some words before.\n{text}\nAnd after: 12 steps.")
    assert line is not None
    assert line.printed == Printed(trainable=trainable, total=total, percent=percent)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "no numbers here",
        "rank 8, 4,194,304 weights",
        "trainable params: many",
        "Non-trainable params: 6,738,415,616",
        "| model | trainable params | 4bit | 8 |",
        "Trainable parameters: 0.085% (1.319M/1543.714M)",  # mlx-lm: rounded, and of its own layers
    ],
)
def test_a_text_without_a_printed_line_says_what_one_looks_like(text: str) -> None:
    assert find_printed_line(text) is None
    with pytest.raises(LearnerError, match=r"no printed line in this text\. Paste a line such as `trainable"):
        record_of_text(text)


def test_a_text_of_spaces_is_read_at_once() -> None:
    assert find_printed_line("trainable params:" + 60_000 * " ") is None  # took longer than anyone waits


@pytest.mark.parametrize(
    "before",
    [
        "trainable params: 6738415616 || all params: 6738415616 || trainable%: 100.0",
        "trainable params: 0 || all params: 6738415616 || trainable%: 0.0",
        "trainable model parameters: 6738415616\nall model parameters: 6738415616\n"
        "percentage of trainable model parameters: 100.00%",
    ],
)
def test_a_line_of_the_base_alone_is_not_that_of_the_adapters(before: str) -> None:
    line = find_printed_line(f"{before}\nmodel = get_peft_model(model, config)\n{LINE}")
    assert line is not None
    assert line.printed == Printed(trainable=4_194_304, total=6_742_609_920, percent="0.0622")
    alone = find_printed_line(f"{before}\nand no other")
    assert alone is not None
    assert alone.printed.total == 6_738_415_616


@pytest.mark.parametrize(
    "written",
    [
        LINE.replace(":", "：").replace("%", "％").replace(",", "，"),
        "trainable params: <b>4,194,304</b> || all params: <b>6,742,609,920</b> || trainable%: <b>0.0622</b>",
        LINE.replace(" ||", "&nbsp;||"),
    ],
)
def test_signs_and_markup_of_a_web_page_are_read(written: str) -> None:
    printed = record_of_text(f"llama-7b\n{written}")["printed"]
    assert printed == {"trainable": 4_194_304, "all": 6_742_609_920, "pct": "0.0622"}
