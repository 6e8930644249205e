"""Lesson texts: every problem named at once, numbers computed in place, terms that lead to concepts."""

import re
from html import unescape
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

import pytest

import lora_lab.quantities  # noqa: F401 - lessons show numbers that are computed
from lora_lab.figures import FIGURES
from lora_lab.projects.content import read_projects
from lora_lab.settings.run_form import parse_spec_address
from lora_lab.spec import TINY_MODEL, parse_spec
from lora_lab.views.lesson_link import build_lab_link
from study.content.concepts import ConceptMap
from study.content.yaml_reader import ContentError
from study.learner.path import read_path_ids
from study.lessons.lesson import LESSONS_DIR, Lesson, Lessons, read_lesson
from study.lessons.lesson_text import LessonText, collect_terms
from study.text.computed_text import fill_numbers, find_problems
from study.text.markup import to_html
from tests.study.lesson_files import CONCEPT, lesson, write_lesson
from tests.visits import words

TWO_MINUTES = {"steps": 20, "batch": 2, "seq_len_tokens": 128}  # on two cores: docs/performance.md


@pytest.fixture(scope="module")
def lessons(concepts: ConceptMap) -> Lessons:
    return Lessons(concepts=concepts, check_preset=build_lab_link)


def problem(folder: Path, content: dict[str, Any]) -> str:
    with pytest.raises(ContentError) as raised:
        read_lesson(write_lesson(folder, content), build_lab_link)
    return str(raised.value)


# ---- the app's own lessons


def test_every_concept_has_a_lesson_with_sources_and_every_number_in_it_is_computed(
    lessons: Lessons, concepts: ConceptMap
) -> None:
    found = {concept: lessons.find(concept) for concept in concepts.by_id}
    assert [concept for concept, lesson in found.items() if lesson is None] == []
    written = [lesson for lesson in found.values() if lesson]
    assert [each.concept for each in written if not all(each.sources) or not each.deep.references] == []


def test_every_lesson_names_a_figure_and_a_project_that_are_there(
    lessons: Lessons, concepts: ConceptMap
) -> None:
    written = [lesson for concept in concepts.by_id if (lesson := lessons.find(concept))]
    assert [each.concept for each in written if each.visualize.figure not in FIGURES] == []
    assert [each.concept for each in written if each.project.project not in read_projects()] == []


def test_every_preset_is_short_and_its_address_opens_the_lab_with_it(
    lessons: Lessons, concepts: ConceptMap
) -> None:
    for concept in concepts.by_id:
        found = lessons.find(concept)
        assert found is not None
        spec = parse_spec(found.try_it.preset)
        address = build_lab_link(found.try_it.preset).address
        assert parse_spec_address(dict(parse_qsl(address.partition("?")[2]))) == spec
        if spec.model != TINY_MODEL:
            assert all(getattr(spec, name) <= most for name, most in TWO_MINUTES.items()), concept


# ---- the loader


def test_a_lesson_is_read_whole(tmp_path: Path) -> None:
    read = read_lesson(write_lesson(tmp_path), build_lab_link)
    assert read.sources == ("arXiv:2106.09685 section 4.1", "PEFT docs")
    assert read.learn.minutes == 4
    assert len(read.learn.paragraphs) == 4
    assert read.project.project == "does-rank-matter"


def test_all_problems_of_a_lesson_are_reported_at_once_with_line_and_field(tmp_path: Path) -> None:
    broken = lesson()
    broken["learn"]["paragraphs"] = ["Only [[no_such_quantity x=1]]."]
    broken["learn"]["minutes"] = 0
    broken["why"]["problem"] = "It has [[nf4_level index=99]] of [[them."
    broken["deep"]["references"] = []
    broken["try"]["preset"] = {"rank": 0}
    broken["project"]["project"] = "fly"
    broken["metrics"]["extra"] = "?"
    said = problem(tmp_path, broken)
    assert "lora-rank.yaml:6  learn of lesson: `minutes` must be a whole number from 1 to 60, got 0" in said
    assert "`paragraphs`: No quantity is called 'no_such_quantity'" in said
    assert "`paragraphs` must have 4 to 8 entries, got 1" in said
    assert "`problem`: [[nf4_level index=99]] can't be computed" in said
    assert "`problem`: a `[[` or `]]` has no partner" in said
    assert "`references` must name at least one source" in said
    assert "`preset` isn't a run: rank must be 1 to 256, got 0." in said
    assert "`project` must be one of does-rank-matter" in said
    assert "unknown field `extra`" in said


def test_a_lesson_must_be_that_of_its_file(tmp_path: Path) -> None:
    assert "`concept` must be the name of the file, lora-rank" in problem(
        tmp_path, lesson() | {"concept": "nf4"}
    )


def test_a_concept_without_a_file_has_no_lesson(tmp_path: Path, concepts: ConceptMap) -> None:
    write_lesson(tmp_path)
    found = Lessons(concepts=concepts, check_preset=build_lab_link, folder=tmp_path)
    assert isinstance(found.find(CONCEPT), Lesson)
    assert found.find("nf4") is None
    assert found.find("../lora-rank") is None


def test_the_first_lesson_of_the_path_explains_what_its_figure_shows_before_it(lessons: Lessons) -> None:
    lesson = lessons.find(read_path_ids()[0])
    assert lesson
    figure = FIGURES[lesson.visualize.figure].render_fragment({})
    first = lesson.learn.paragraphs[0]  # the figure stands below it
    marks = set(re.findall(r"&lt;\|\w+\|&gt;", figure))
    assert marks
    assert [mark for mark in marks if unescape(mark) not in first] == []
    assert "masked" in figure
    assert "Masked text" in first


# ---- numbers


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("[[linear_parameters d_in=4096 d_out=4096]]", "16,777,216"),
        ("[[lora_parameters model=gpt3-175b rank=8 targets=q,v]]", "37,748,736"),
        ("[[trainable_percent model=gpt3-175b rank=8 targets=q,v|percent]]", "0.0216 %"),
        ("[[trainable_percent model=llama-3.1-8b rank=16 targets=all-linear|percent]]", "0.52 %"),
        ("[[full_finetuning_bytes parameters=65000000000|GB]]", "780 GB"),
        ("[[bits_per_param scheme=nf4|2]]", "4.50"),
        ("[[nf4_level index=0|0]]", "−1"),
        ("[[lora_scaling alpha=16 rank=64]]", "0.25"),
    ],
)
def test_a_number_is_computed_where_it_stands(text: str, expected: str) -> None:
    assert list(find_problems(text)) == []
    assert fill_numbers(f"It is {text}.") == f"It is {expected}."


def test_a_placeholder_with_an_unknown_unit_or_argument_is_a_problem() -> None:
    assert "can't be printed as 'miles'" in next(find_problems("[[nf4_level index=1|miles]]"))
    assert "'index' among its arguments" in next(find_problems("[[nf4_level index]]"))
    assert "can't be computed" in next(find_problems("[[nf4_level place=1]]"))


def test_a_number_says_how_it_was_computed_and_can_be_focused(concepts: ConceptMap) -> None:
    html = LessonText(collect_terms(concepts), CONCEPT).render_prose(
        "It has [[linear_parameters d_in=8 d_out=8]] <b>."
    )
    assert '<span class="num" tabindex="0">64<span class="tip" role="note">' in html
    d_in, d_out = to_html("d_in"), to_html("d_out")
    assert f"computed here: {d_in} · {d_out}; with {d_in} 8, {d_out} 8<" in html
    assert "&lt;b&gt;" in html


def test_a_number_and_its_unit_stay_on_one_line(concepts: ConceptMap) -> None:
    html = LessonText(collect_terms(concepts), CONCEPT).render_prose(
        "It is [[trainable_percent model=llama-7b rank=8 targets=q,v|percent]]."
    )
    assert re.search(r'tabindex="0">[\d.]+\u00a0%<', html)


def test_numbers_in_formulas_and_code_are_computed_as_well(concepts: ConceptMap) -> None:
    text = LessonText(collect_terms(concepts), CONCEPT)
    assert "<code>64</code>" in text.render_prose("`[[linear_parameters d_in=8 d_out=8]]`")
    assert "<mn>64</mn>" in text.render_prose("$x = [[linear_parameters d_in=8 d_out=8]]$")
    assert words(text.render_code("a < [[linear_parameters d_in=8 d_out=8]]")).startswith("a < 64")


# ---- terms


def test_a_term_leads_to_its_concept_where_it_comes_first_and_never_to_its_own(concepts: ConceptMap) -> None:
    text = LessonText(collect_terms(concepts), "lora-rank")
    first = text.render_prose("QLoRA holds `NF4`. The rank r is not nf4, and QLoRA is no LoRA-like thing.")
    assert first.count('href="/concept?id=qlora"') == 1
    assert first.count('href="/concept?id=nf4"') == 1
    assert "id=lora-rank" not in first
    assert "id=lora-update" not in first
    assert "href" not in text.render_prose("NF4 again.")


def test_a_term_shows_its_meaning_and_a_word_of_the_glossary_is_a_button(concepts: ConceptMap) -> None:
    html = LessonText(collect_terms(concepts), "lora-rank").render_prose(
        "NF4 is <b>no</b> optimizer, and Optimizers differ."
    )
    assert 'href="/concept?id=nf4" data-means="' in html
    assert html.count('<button type="button" class="term" data-means="The rule that turns gradients') == 1
    assert ">optimizer</button>" in html
    assert "Optimizers differ." in html
    assert "&lt;b&gt;no&lt;/b&gt;" in html


def test_a_word_shows_its_own_meaning_and_leads_to_the_concept_that_explains_it(concepts: ConceptMap) -> None:
    said = "Tokens become logits. DoRA and PiSSA have dropout and weight decay."
    html = LessonText(collect_terms(concepts), "lora-relatives").render_prose(said)
    meanings = re.findall(r'data-means="([^"]+)"', html)
    assert meanings[0].startswith("A piece of text, such as a word or a part of one")
    assert len(set(meanings)) == 6
    assert not set(meanings) & {concept.summary for concept in concepts.by_id.values()}
    assert '<a class="term" href="/concept?id=transformer-block" data-means="A piece' in html
    assert 'href="/concept?id=lora-relatives"' not in html  # it is this page


def test_the_comma_after_a_button_stays_on_its_line(concepts: ConceptMap) -> None:
    html = LessonText(collect_terms(concepts), "", linked=False).render_prose(
        "NF4, then an optimizer (Adam)."
    )
    assert re.findall(r'<span class="unbroken"><button[^>]*>([^<]+)</button>([^<]+)</span>', html) == [
        ("NF4", ","),
        ("Adam", ")."),
    ]
    assert html.striptags() == "NF4, then an optimizer (Adam)."


def test_a_term_in_the_introduction_only_shows_its_meaning(concepts: ConceptMap) -> None:
    html = LessonText(collect_terms(concepts), "", linked=False).render_prose("NF4 is no optimizer.")
    assert html.count('<button type="button" class="term" data-means="') == 2
    assert "href" not in html


def test_a_term_with_capitals_among_small_letters_is_matched_as_it_is_written(concepts: ConceptMap) -> None:
    html = LessonText(collect_terms(concepts), "").render_prose(
        "B starts at zero. Zero is no rope. BF16, ZeRO, truncated SVD."
    )
    assert re.findall(r'class="term"[^>]*>([^<]+)<', html) == ["BF16", "ZeRO", "truncated SVD"]


def test_no_text_calls_the_number_zero_a_way_to_split_states(concepts: ConceptMap) -> None:
    terms = collect_terms(concepts)
    folders = (LESSONS_DIR, LESSONS_DIR.parent / "content")
    texts = {path: path.read_text("utf-8") for folder in folders for path in folder.glob("*.yaml")}
    found = {match[0] for text in texts.values() for match in terms.pattern.finditer(text)}
    assert "ZeRO" in found
    assert sorted(each for each in found if each.lower() == "zero") == ["ZeRO"]


def test_no_two_concepts_are_called_the_same(concepts: ConceptMap) -> None:
    names = [t.lower() for c in concepts.by_id.values() for t in {c.name.lower(), *c.terms}]
    assert sorted(name for name in set(names) if names.count(name) > 1) == []
