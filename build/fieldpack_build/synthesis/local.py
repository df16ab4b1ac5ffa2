"""A local model that writes: transformers' own generation, on the GPU if there is one. Imports
torch: in a stage's process only."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any
from zlib import crc32

from ..errors import SourceError
from ..models import causal_lm


class LocalModel:
    """A model of transformers', loaded at the first prompt. What it writes depends on the prompts of a group and the seed
    alone, so that an interrupted stage ends as one that was left in peace."""

    def __init__(
        self, path: Path, *, temperature: float, seed: int, cuda: bool, tiny: bool
    ) -> None:
        self._path, self._temperature, self._seed = path, temperature, seed
        self._cuda, self._tiny = cuda, tiny
        self._loaded: tuple[Any, Any] | None = None
        self.group = 8 if cuda else 1  # a CPU gains nothing from more at once

    def write(self, prompts: Sequence[str], max_tokens: int) -> list[str]:
        """Return a reply for each prompt. Raises SourceError for a model without a chat template."""
        import torch

        model, tokenizer = self._load()
        if not tokenizer.chat_template:
            raise SourceError(
                "train.synthesize.model: it has no chat template; name a model that is tuned to "
                "instructions"
            )
        texts = [
            tokenizer.apply_chat_template(
                [{"role": "user", "content": prompt}], tokenize=False, add_generation_prompt=True
            )
            for prompt in prompts
        ]
        batch = tokenizer(texts, return_tensors="pt", padding=True, add_special_tokens=False).to(
            model.device
        )
        torch.manual_seed(self._seed ^ crc32("\0".join(prompts).encode()))
        sampling = (
            {"do_sample": True, "temperature": self._temperature}
            if self._temperature
            else {"do_sample": False}
        )
        with torch.inference_mode():
            out = model.generate(
                **batch, max_new_tokens=max_tokens, pad_token_id=tokenizer.pad_token_id, **sampling
            )
        new = out[:, batch["input_ids"].shape[1] :]
        replies: list[str] = tokenizer.batch_decode(new, skip_special_tokens=True)
        return replies

    def _load(self) -> tuple[Any, Any]:
        """Return (the model, its tokenizer), loaded once."""
        import torch

        if self._loaded is None:
            causal_lm.quiet()
            tokenizer = causal_lm.load_tokenizer(self._path)
            tokenizer.padding_side = "left"
            if tokenizer.pad_token_id is None:
                tokenizer.pad_token = tokenizer.eos_token
            if self._tiny:
                model = causal_lm.tiny_random_model(
                    causal_lm.load_config(self._path), dtype=torch.float32
                )
            else:
                model = causal_lm.load_model(
                    self._path, dtype=torch.bfloat16 if self._cuda else torch.float32
                )
            self._loaded = model.to("cuda" if self._cuda else "cpu").eval(), tokenizer
        return self._loaded
