"""What a search of the whole app finds: words with their meanings, labels of settings, names of actions."""

import re
from collections.abc import Iterator
from html import unescape

import pytest
from starlette.testclient import TestClient

from lora_lab.spec import BITS, BITS_LABELS, VARIANT_NAMES, Bits
from study.content.glossary import read_glossary
from tests.data_folder import settings_in
from tests.visits import words
from tests.whole_app import WholeApp, server_for_learners, whole_app


@pytest.fixture(scope="module")
def app(tmp_path_factory: pytest.TempPathFactory) -> Iterator[WholeApp]:
    home = tmp_path_factory.mktemp("home")
    settings = settings_in(home)
    with whole_app(settings) as whole:
        yield whole


@pytest.fixture(scope="module")
def browser(app: WholeApp) -> TestClient:
    return app.client()


def find(browser: TestClient, asked: str) -> str:
    return browser.get("/search", params={"q": asked}).text


def test_a_word_is_explained_in_the_result_and_leads_to_its_place(app: WholeApp, browser: TestClient) -> None:
    html = find(browser, "peft")
    assert "Parameter-efficient fine-tuning" in words(html)
    assert 'href="/reference#word-peft"' in html
    reference = app.open("/reference")
    places = [f'id="{word.anchor}"' for word in read_glossary()]
    assert [place for place in places if reference.count(place) != 1] == []


def test_another_form_of_a_word_finds_it(browser: TestClient) -> None:
    assert 'href="/reference#word-feed-forward"' in find(browser, "MLP")


@pytest.mark.parametrize("bits", BITS)
def test_the_label_of_a_scheme_leads_to_the_lab_and_says_what_it_means(
    browser: TestClient, bits: Bits
) -> None:
    html = find(browser, bits)
    address = "/lab" if bits == "nf4-dq" else f"/lab?bits={bits}"
    assert f'<a href="{address}">{bits} ' in html
    assert BITS_LABELS[bits] in words(html)


def test_a_relative_of_lora_is_found_with_what_it_changes(browser: TestClient) -> None:
    html = find(browser, VARIANT_NAMES["rslora"])
    assert "rsLoRA scale alpha / √r" in words(html)
    titles = re.findall(r'<a href="/tasks[^>]*>(.*?)</a>', html)
    assert len(titles) == len(set(titles)) == 2


@pytest.mark.parametrize("asked", ["bury", "suspend", "undo", "cram", "flag"])
def test_the_name_of_a_button_finds_what_it_does(browser: TestClient, asked: str) -> None:
    assert "Actions" in words(find(browser, asked))


@pytest.mark.parametrize(
    ("asked", "address"),
    [("will it fit", "/memory"), ("does it fit 24 GB", "/memory"), ("grid", "/grid"), ("heat map", "/grid")],
)
def test_a_page_of_the_lab_is_found_by_its_name_and_by_what_it_answers(
    browser: TestClient, asked: str, address: str
) -> None:
    assert f'href="{address}"' in find(browser, asked)


def test_each_label_of_settings_finds_its_setting(app: WholeApp, browser: TestClient) -> None:
    named = r'<(?:legend|label)>([^<]+)|type="checkbox"[^>]*> <span>([^<]+)'
    labels = ["".join(found).strip() for found in re.findall(named, app.open("/settings"))]
    assert len(labels) >= 13
    places = [re.findall(r'href="([^"#]+)', find(browser, unescape(label)))[:5] for label in labels]
    missed = [label for label, found in zip(labels, places, strict=True) if "/settings" not in found]
    assert missed == []


def test_a_question_is_found_at_an_address_that_asks_it(app: WholeApp, browser: TestClient) -> None:
    html = find(browser, "What is LoRA trying to achieve when you fine-tune a large model?")
    assert 'href="/quiz?question=q-lora-goal"' in html
    assert "What is LoRA trying to achieve" in words(app.open("/quiz", question="q-lora-goal"))


@pytest.mark.parametrize(
    ("asked", "address"),
    [
        ("number type", "/lab"),
        ("retention", "/progress#memory"),
        ("mastery", "/progress"),
        ("exam", "/quiz?mode=exam"),
    ],
)
def test_what_is_set_or_shown_elsewhere_is_found(browser: TestClient, asked: str, address: str) -> None:
    assert f'href="{address}"' in find(browser, asked)


def test_another_device_is_found_where_devices_are_added(tmp_path_factory: pytest.TempPathFactory) -> None:
    home = tmp_path_factory.mktemp("shared")
    with server_for_learners(home) as shared:
        for asked in ("qr", "second device", "carry on", "continue"):
            assert 'href="/settings#devices">Continue on another device' in find(shared.client(), asked)


QUESTIONS = [  # what a learner asks, and the beginnings of titles one of which must be among the first three
    ("how much memory does qlora save", "The QLoRA paper counts", "Name the three memory-saving ideas"),
    (
        "why is B zero at the start",
        "Starting values",
        "What would go wrong if both",
        "B starts at zero and A",
    ),
    (
        "does rank 64 train better",
        "With query and value adapted, the LoRA paper's r = 64",
        "On your task r = 8 and r = 64",
    ),
    (
        "what is the difference between lora and qlora",
        "What is the difference between QLoRA and plain LoRA",
        "QLoRA",
    ),
    ("what does alpha do", "Alpha and scaling", "What does lora_alpha do"),
    ("how do I choose the learning rate for lora", "Learning rate for LoRA"),
    ("can I merge an adapter into a 4-bit model", "Merging on a 4-bit base", "Why should you not merge"),
    ("my loss became nan", "The loss jumps up in the first steps", "NaN"),
    ("which layers should I target", "Target modules", "What do you decide with target_modules"),
    ("does lora make the model slower", "Does a LoRA model answer more slowly", "Merging an adapter"),
    ("how big is the adapter file", "Adapter files", "An adapter has 2,442,240 parameters"),
    ("how many parameters does rank 8 train", "Counting", "RoBERTa-base has 12", "SmolLM2-135M trains"),
    ("how are the nf4 levels chosen", "Where do the 16 levels of NF4", "How are the levels of NF4", "NF4"),
    ("how much does double quantization save", "Double quantization", "Why can double quantization never"),
    ("do frozen weights need gradients", "Frozen base", "Gradients through 4-bit weights"),
    ("when should I use gradient checkpointing", "Gradient checkpointing", "What do you trade when"),
    ("what are paged optimizers good for", "Paged optimizers", "What does a paged optimizer do"),
    ("how do I know if my model is overfitting", "overfitting", "Held-out loss"),
    ("why does the chat template matter", "Chat data", "What is a chat template"),
    ("how do I serve several adapters at once", "Serving many adapters"),
    ("what is the rank of a matrix", "Rank of a matrix", "What does the rank of a matrix count"),
    ("what is the difference between fp16 and bf16", "bf16 and fp16 both have 16 bits"),
    ("will it fit on my gpu", "Will it fit?"),
    ("is dora better than lora", "At a rate of 0.0001 DoRA beats LoRA", "LoRA's relatives"),
    (
        "how many bits does a weight need in nf4",
        "NF4 with blocks of 64 keeps one fp32",
        "How many bits does a weight need in NF4",
    ),
    ("where does the memory go during training", "Name the four big users of GPU memory"),
    ("can I train a 70b model on one gpu", "How does a model of 70 billion", "LoRA on a 70B base"),
    ("how do I evaluate my fine-tuned model", "Evaluating a tuned model"),
]


@pytest.mark.parametrize("asked", QUESTIONS, ids=[asked for asked, *_ in QUESTIONS])
def test_a_whole_question_is_answered_by_one_of_the_first_three(
    browser: TestClient, asked: tuple[str, ...]
) -> None:
    question, *targets = asked
    titles = [unescape(title) for title in re.findall(r"<li><a [^>]*>([^<]*)", find(browser, question))]
    assert any(title.startswith(target) for title in titles[:3] for target in targets), titles[:3]


def test_a_question_whether_a_model_fits_leads_to_will_it_fit_with_that_model_first(
    browser: TestClient,
) -> None:
    html = find(browser, "does Qwen3-8B QLoRA r=16 fit in 24 GB, how many parameters")
    assert re.findall(r'href="([^"]+)"', html)[0] == "/memory?model=qwen3-8b"


def test_a_search_without_a_match_says_for_what(browser: TestClient) -> None:
    assert words(find(browser, "zzzz qqq")).startswith("Nothing found for “zzzz qqq”.")


@pytest.mark.parametrize("asked", ["", "rank"])
def test_a_search_that_is_opened_as_a_page_has_the_frame_of_one_and_a_field(
    browser: TestClient, asked: str
) -> None:
    page = browser.get("/search", params={"q": asked}, headers={"Accept": "text/html,*/*;q=0.8"}).text
    assert page.startswith("<!doctype html>")
    assert "<title>Search</title>" in page
    assert '<a href="/learn"' in page
    assert f'name="q" maxlength="120" value="{asked}"' in page
    assert find(browser, asked).strip() in page
    assert "<title>" not in find(browser, asked)
