"""The options of the lab's forms."""

from lora_lab.spec import BITS
from lora_lab.views.options import BITS_ORDER


def test_every_bit_width_has_its_place_in_the_list() -> None:
    assert sorted(BITS_ORDER) == sorted(BITS), "Give a new bit width its place in BITS_ORDER."
