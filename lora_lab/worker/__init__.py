"""The lab's worker processes, which import torch."""

import gc
import os
import sys

# The hqq library decorates methods with torch.compile, which would load a compiler at every start. Nothing
# here is compiled.
os.environ.setdefault("TORCHDYNAMO_DISABLE", "1")

# What a worker imports stays to its end. Looking for garbage in it takes an eighth of the worker's start;
# main() turns that on again.
if "lora_lab.worker" in sys.orig_argv:
    gc.disable()
