"""How exactly a predicted peak must be met: to the byte with one version of torch, else within a share."""

EXACT_WITH = "2.13."
SCALAR_BYTES = 64  # the loss and its weight are 8 bytes each
PROMISED_SHARE = 0.08


def slack_bytes(predicted_bytes: int, torch_version: str) -> float:
    """Other versions of torch free some temporaries a moment earlier or later."""
    return SCALAR_BYTES if torch_version.startswith(EXACT_WITH) else PROMISED_SHARE * predicted_bytes
