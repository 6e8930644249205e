"""What the microscope found on a matrix of four by six weights: small enough to follow by hand."""

from typing import Any

from lora_lab.microscope.query import MicroscopeQuestion

TINY = MicroscopeQuestion(model="tiny-random", matrix="self_attn.q_proj")


def _side(error: float, levels: list[float], cells: list[list[float]]) -> dict[str, Any]:
    return {
        "block": 64,
        "levels": levels,
        "histogram": {"low": -1.1, "high": 1.1, "counts": [1, 3, 12, 6, 2]},
        "error": error,
        "largest_miss_stds": 0.5,
        "map": cells,
    }


FOUND: dict[str, Any] = {
    "where": {
        "device": "CPU, 1 of 2 cores",
        "compute_dtype": "fp32",
        "versions": {"torch": "2.13.0", "bitsandbytes": "0.50.2", "hqq": "0.2.8"},
    },
    "matrix": {"name": "model.layers.0.self_attn.q_proj", "d_out": 4, "d_in": 6, "std": 0.5, "largest": 3.0},
    "first": _side(0.1, [-1.0, 0.0, 1.0], [[0.1, 0.2], [0.3, 0.4]]),
    "second": _side(0.2, [-1.0, -0.5, 0.0, 0.5, 1.0], [[0.2, 0.2], [0.2, 0.7]]),
    "outliers": {
        "count": 2,
        "largest": [{"row": 3, "column": 5, "value": 3.0, "stds": 6.0}],
        "columns": [{"column": 5, "count": 2}],
        "with_any": 1,
        "first": {"blocks": 4, "with_outliers": 1, "error_share": 0.5},
        "second": {"blocks": 4, "with_outliers": 1, "error_share": 0.75},
    },
    "double": {
        "block": 64,
        "constants": 4,
        "mean_constant": 1.0,
        "constants_error": 0.005,
        "largest_share_off": 0.02,
        "error_plain": 0.1,
        "error_double": 0.1004,
        "weights_moved": 0.006,
    },
    "sweep": {
        "errors": {"nf4": {"64": 0.1, "128": 0.12}, "fp4": {"64": 0.2}, "hqq4": {"64": 0.09, "128": 0.11}},
        "rows": {"hqq4": 2},
    },
    "output": {"tokens": 7, "examples": 2, "first": 0.04, "second": 0.06},
    "losses": {
        "examples": 3,
        "answers": 40,
        "base": 2.0,
        "only_first": 2.001,
        "only_second": 2.002,
        "all_first": 2.1,
        "all_second": 2.4,
    },
}
