"""The embedded model's tokenizer, without torch.

The worker's own tokenization (worker/training/packing.py) goes through transformers; a test compares both.
"""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from jinja2 import Template
from jinja2.sandbox import ImmutableSandboxedEnvironment
from tokenizers import Tokenizer

from lora_lab.data import embedded_model
from lora_lab.data.lab_folder import ReadExample, read_json
from study.base.model_files import MANIFEST


@dataclass(frozen=True)
class EmbeddedTokenizer:
    """The tokenizer that comes with the embedded model, once that model is unpacked."""

    models_dir: Path

    @property
    def is_ready(self) -> bool:
        return (self._folder / "tokenizer.json").is_file() and (self._folder / MANIFEST).is_file()

    def read(self, prompt: str, answer: str) -> ReadExample:
        """Tokenize the prompt in the chat template, then the answer and the end-of-turn token."""
        asked = self._template.render(
            messages=[{"role": "user", "content": prompt}], add_generation_prompt=True
        )
        before = self._tokenizer.encode(asked, add_special_tokens=False).ids
        after = self._tokenizer.encode(answer, add_special_tokens=False).ids
        end = self._tokenizer.token_to_id(read_json(self._folder / "tokenizer_config.json")["eos_token"])
        assert end is not None, "the end of turn is a token of its own"
        pieces = [
            self._tokenizer.decode([token], skip_special_tokens=False) for token in (*before, *after, end)
        ]
        return ReadExample(pieces=tuple(pieces), answer_tokens=len(after) + 1)

    @cached_property
    def _tokenizer(self) -> Tokenizer:
        return Tokenizer.from_file(str(self._folder / "tokenizer.json"))

    @cached_property
    def _template(self) -> Template:
        # The same options with which transformers renders chat templates.
        environment = ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True)
        return environment.from_string((self._folder / "chat_template.jinja").read_text("utf-8"))

    @property
    def _folder(self) -> Path:
        return embedded_model.find_model_folder(self.models_dir)
