"""The memory that each preset is listed with."""

import pytest

from lora_lab.memory import ledger
from lora_lab.pages.train_parts import PRESET_SIZES_GB, find_preset_size_gb
from lora_lab.parameters.shapes import find_shape
from lora_lab.settings.run_form import Preset, read_presets
from study.base.units import GB


@pytest.mark.parametrize("preset", read_presets(), ids=[preset.id for preset in read_presets()])
def test_a_preset_fits_in_the_memory_it_names(preset: Preset) -> None:
    shape = find_shape(preset.spec.model)
    row = ledger.find_upper_bound(preset.spec)
    needed = ledger.predict_ledger(shape, preset.spec, row, "fp32").total_bytes
    size = find_preset_size_gb(preset.spec, shape)
    assert needed <= size * GB
    assert needed > size * GB / 4 or size == min(PRESET_SIZES_GB)
