"""Live figures by id: each a small module from settings to numbers, and from numbers to a picture.

from lora_lab.figures import FIGURES
FIGURES["lora-to-scale"].fragment({"rank": "16"})
"""

from lora_lab.figures import lora_to_scale
from study.figure import Figures

FIGURES: Figures = {figure.id: figure for figure in (lora_to_scale.FIGURE,)}
