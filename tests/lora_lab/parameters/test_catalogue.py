"""The catalogue: published sizes, shapes that follow from its configurations, names it goes by."""

from dataclasses import replace

import pytest

from lora_lab.parameters.catalogue import CatalogueEntry, read_entries
from lora_lab.parameters.counts import count_parameters
from lora_lab.parameters.shapes import find_shape, load_catalogue
from lora_lab.worker.model.read_shape import read_config_shape

ENTRIES = read_entries()


def test_it_reaches_from_14_million_to_405_billion() -> None:
    sizes = [shape.modules.base_parameters for shape in load_catalogue().values()]
    assert len(sizes) >= 25
    assert 14_067_712 in sizes
    assert max(sizes) == 405_853_388_800


@pytest.mark.parametrize("entry", ENTRIES, ids=[entry.name for entry in ENTRIES])
def test_a_kept_shape_is_what_its_configuration_builds(entry: CatalogueEntry) -> None:
    built = read_config_shape(dict(entry.config), name=entry.name, kind=entry.kind, hub_id=entry.hub_id)
    assert find_shape(entry.name) == replace(built, licence=entry.licence)


@pytest.mark.parametrize("entry", [each for each in ENTRIES if each.parameters], ids=lambda entry: entry.name)
def test_a_size_is_the_one_its_owner_publishes(entry: CatalogueEntry) -> None:
    shape = find_shape(entry.name)
    assert shape.modules.base_parameters == shape.total_parameters == entry.parameters


def test_every_name_and_hub_id_means_one_model() -> None:
    ids = [hub_id.lower() for entry in ENTRIES for hub_id in (entry.hub_id, *entry.also) if hub_id]
    assert len(ids) == len(set(ids))
    assert len({entry.name for entry in ENTRIES}) == len(ENTRIES)
    assert find_shape("NousResearch/Llama-2-7b-hf") is find_shape("llama-2-7b")
    assert find_shape("nousresearch/llama-2-7b-HF") is find_shape("llama-2-7b")


def test_every_entry_names_its_licence() -> None:
    assert all(entry.licence for entry in ENTRIES)


def test_a_shape_without_modules_counts_its_linear_layers() -> None:
    shape = find_shape("gpt3-175b")
    assert shape.tree is None
    assert shape.modules.base_parameters == shape.total_parameters
    assert count_parameters(shape, rank=8, targets=["q", "v"]).trainable == 37_748_736
