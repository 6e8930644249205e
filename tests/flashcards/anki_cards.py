"""Cards of four kinds, as Anki takes them."""

from flashcards.interchange.entry import CardEntry

CARDS = (
    CardEntry(
        id="rank-what",
        deck="LoRA basics",
        front="What is $r < d$ for? `A & B`",
        back="It costs \\(2dr\\) numbers.\nLine two <b>not bold</b>.",
        why="Less to train.",
        concepts=("rank",),
        level="advanced",
        tags=("basics",),
        source="arXiv:2106.09685",
    ),
    CardEntry(
        id="both", deck="QLoRA", kind="reversed", front="NF4", back="4-bit NormalFloat", level="beginner"
    ),
    CardEntry(
        id="gap",
        deck="QLoRA",
        kind="cloze",
        text="{{c1::NF4}} has {{c2::16::how many}} levels.",
        level="beginner",
    ),
    CardEntry(
        id="type",
        deck="QLoRA",
        kind="typed",
        front="Short for?",
        back="LoRA",
        accept=("lora", "Lora"),
        level="beginner",
    ),
)
