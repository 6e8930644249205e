"""The grader's model: the only place under quizzes/ that imports torch."""

import os

# PEFT imports hqq, which decorates methods with torch.compile; nothing here is compiled.
os.environ.setdefault("TORCHDYNAMO_DISABLE", "1")
