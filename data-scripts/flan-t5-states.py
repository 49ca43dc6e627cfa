"""The states that a T5 encoder (flan-T5 in STARFlow) makes of captions, as a file that
`openTextEncoder('states:FILE')` reads.

    python3 -m venv t5 && t5/bin/pip install torch transformers==4.57.6 safetensors sentencepiece
    t5/bin/python data-scripts/flan-t5-states.py google/flan-t5-xl captions.txt states.safetensors

The model is a name that transformers knows, or a folder with its files. The captions stand one a line;
the empty one is added. A state is that of a token of the last layer, the mark of the end among them;
entries after it are zero. A caption of more tokens than entries is cut before the mark, with a warning.
"""

import argparse
import json
import pathlib
import sys

import torch
from safetensors.torch import save_file
from transformers import AutoTokenizer, T5EncoderModel

precisions = {"F32": torch.float32, "BF16": torch.bfloat16, "F16": torch.float16}


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("model")
    parser.add_argument("captions", type=pathlib.Path)
    parser.add_argument("out", type=pathlib.Path)
    parser.add_argument("--entries", type=int, default=128, help="entries of a caption (default: 128)")
    parser.add_argument("--dtype", choices=list(precisions), default="BF16", help="(default: BF16)")
    parser.add_argument("--batch", type=int, default=16, help="captions at a time (default: 16)")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    return parser.parse_args()


def read_captions(file: pathlib.Path) -> list[str]:
    """The captions, each once, and the empty one before them."""
    lines = [line.strip() for line in file.read_text(encoding="utf-8").splitlines()]
    return list(dict.fromkeys(["", *lines]))


def states_of(model: T5EncoderModel, tokenizer, captions: list[str], entries: int) -> torch.Tensor:
    for caption in captions:
        length = len(tokenizer(caption).input_ids)
        if length > entries:
            print(f"The caption {caption!r} has {length} tokens and is cut to {entries}.", file=sys.stderr)
    tokens = tokenizer(
        captions,
        padding="max_length",
        truncation=True,
        max_length=entries,
        return_tensors="pt",
    ).to(model.device)
    with torch.no_grad():
        states = model(input_ids=tokens.input_ids, attention_mask=tokens.attention_mask).last_hidden_state
    return (states * tokens.attention_mask[..., None]).cpu()


def main() -> None:
    asked = arguments()
    if not asked.captions.is_file():
        sys.exit(f"There is no file {asked.captions}. Give one with a caption a line.")
    captions = read_captions(asked.captions)
    tokenizer = AutoTokenizer.from_pretrained(asked.model)
    # In half precision the states of the larger T5s overflow.
    model = T5EncoderModel.from_pretrained(asked.model, dtype=torch.float32).eval().to(asked.device)
    parts = []
    for first in range(0, len(captions), asked.batch):
        made = states_of(model, tokenizer, captions[first : first + asked.batch], asked.entries)
        parts.append(made.to(precisions[asked.dtype]))
        print(f"\r{min(first + asked.batch, len(captions))} of {len(captions)} captions", end="", file=sys.stderr)
    print(file=sys.stderr)
    states = torch.cat(parts)
    if not torch.isfinite(states).all():
        sys.exit(f"States do not fit {asked.dtype}. Choose --dtype BF16 or F32.")
    metadata = {"captions": json.dumps(captions, ensure_ascii=False), "encoder": asked.model}
    save_file({"states": states.contiguous()}, asked.out, metadata=metadata)
    print(f"{asked.out}: {len(captions)} captions, {states.shape[1]} entries of {states.shape[2]} numbers")


main()
