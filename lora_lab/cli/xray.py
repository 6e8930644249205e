"""`python -m lora_lab xray`: the page's findings as lines, from the same inspections."""

import argparse
import json
from collections.abc import Iterator
from contextlib import closing

from lora_lab.cli.progress import Write
from lora_lab.cli.runs import open_run_at
from lora_lab.engine.local import LocalEngine
from lora_lab.lab import Lab
from lora_lab.xray.captions import describe_amplification, describe_overlap, note_variant
from lora_lab.xray.charts import name_place
from lora_lab.xray.result import KIND, Module, Xray, build_xray_order, read_xray
from lora_lab.xray.service import XrayStatus
from study.base.errors import LearnerError
from study.base.settings import load_settings


def format_xray(options: argparse.Namespace, say: Write) -> str:
    """Run the inspections and format their findings. Raises LearnerError when one fails."""
    settings = load_settings(home=options.data_folder)
    run, beside = open_run_at(options.run), open_run_at(options.beside) if options.beside else None
    orders = [build_xray_order(run), *([build_xray_order(run, beside)] if beside else [])]
    with closing(Lab(settings, LocalEngine(settings, warm=False))) as lab:
        looks = [lab.inspections.wait(KIND, order, say) for order in orders]
    if options.json:
        return json.dumps({name: look.found for name, look in zip(("xray", "overlap"), looks, strict=False)})
    chosen = _choose_module(read_xray(looks[0].found), layer=options.layer, matrix=options.matrix)
    status = XrayStatus(
        run=run,
        beside=beside,
        look=looks[0],
        beside_look=None,
        pair_look=looks[1] if beside else None,
        layer=chosen.layer,
        kind=chosen.kind,
        side="A",
    )
    return "\n".join(_list_lines(status))


def _choose_module(xray: Xray, *, layer: str, matrix: str) -> Module:
    """Return the first matrix that fits. Raises LearnerError when the run adapts none at that place."""
    for module in xray.modules:
        if layer in ("", module.layer) and matrix in ("", module.kind):
            return module
    place = " ".join(filter(None, (matrix or "matrix", f"in layer {layer}" if layer else "")))
    raise LearnerError(
        f"This run adapts no {place}.",
        do_next=f"It has the layers {', '.join(xray.layers)} and the matrices {', '.join(xray.kinds)}.",
    )


def _list_lines(status: XrayStatus) -> Iterator[str]:
    module = status.module
    if status.xray is None or module is None:
        return
    for plot in status.draw_plots():
        yield plot.title
    if status.overlap:
        yield describe_overlap(status.overlap)
    yield describe_amplification(module, name_place(module))
    note = note_variant(status.xray, module, status.run.spec.variant)
    if note:
        yield note
