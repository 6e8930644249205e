"""The lab's worker processes, which import torch."""

import os

# The hqq library decorates methods with torch.compile, which would load a compiler at every start. Nothing
# here is compiled.
os.environ.setdefault("TORCHDYNAMO_DISABLE", "1")
