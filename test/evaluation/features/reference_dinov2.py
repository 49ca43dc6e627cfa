"""Writes the features that transformers' Dinov2Model computes in double precision with weights and
images that both sides make by one formula, for dinov2.test.ts.

    python3 -m venv reference && reference/bin/pip install torch torchvision transformers==5.24.0 pillow==11.3.0
    reference/bin/python test/evaluation/features/reference_dinov2.py

Images are made ready as dgm-eval makes them ready for DINOv2, with a Pillow before 13, which changed the
order of its passes. Position embeddings are brought to the
grid of the image as facebookresearch/dinov2 brings them there, which Dinov2Model does otherwise.
"""

import json
import pathlib

import torch
from counted_weights import filled, pixels, rounded
from PIL import Image
from torchvision import transforms
from transformers import Dinov2Config, Dinov2Model

patch, side, trained = 14, 224, 518


def state_dict(width: int, depth: int) -> dict[str, torch.Tensor]:
    """Weights by the names of facebookresearch/dinov2."""
    shapes = {
        "cls_token": (1, 1, width),
        "pos_embed": (1, (trained // patch) ** 2 + 1, width),
        "patch_embed.proj.weight": (width, 3, patch, patch),
        "patch_embed.proj.bias": (width,),
        "norm.weight": (width,),
        "norm.bias": (width,),
    }
    for i in range(depth):
        shapes |= {
            f"blocks.{i}.attn.qkv.weight": (3 * width, width),
            f"blocks.{i}.attn.qkv.bias": (3 * width,),
            f"blocks.{i}.attn.proj.weight": (width, width),
            f"blocks.{i}.attn.proj.bias": (width,),
            f"blocks.{i}.mlp.fc1.weight": (4 * width, width),
            f"blocks.{i}.mlp.fc1.bias": (4 * width,),
            f"blocks.{i}.mlp.fc2.weight": (width, 4 * width),
            f"blocks.{i}.mlp.fc2.bias": (width,),
        }
        for part in ("norm1.weight", "norm1.bias", "ls1.gamma", "norm2.weight", "norm2.bias", "ls2.gamma"):
            shapes[f"blocks.{i}.{part}"] = (width,)
    return {name: filled(name, shape) for name, shape in shapes.items()}


def interpolated(embedding: torch.Tensor) -> torch.Tensor:
    """For the patches of an image of 224 pixels: interpolate_offset is 0.1 in the official models."""
    grid, wanted, width = trained // patch, side // patch, embedding.shape[-1]
    scale = (wanted + 0.1) / grid
    patches = torch.nn.functional.interpolate(
        embedding[:, 1:].reshape(1, grid, grid, width).permute(0, 3, 1, 2),
        scale_factor=(scale, scale),
        mode="bicubic",
    )
    assert patches.shape[-2:] == (wanted, wanted)
    return torch.cat([embedding[:, :1], patches.permute(0, 2, 3, 1).reshape(1, -1, width)], 1)


def model(width: int, depth: int) -> Dinov2Model:
    state = state_dict(width, depth)
    renamed = {
        "embeddings.cls_token": state["cls_token"],
        "embeddings.position_embeddings": interpolated(state["pos_embed"]),
        "embeddings.patch_embeddings.projection.weight": state["patch_embed.proj.weight"],
        "embeddings.patch_embeddings.projection.bias": state["patch_embed.proj.bias"],
        "layernorm.weight": state["norm.weight"],
        "layernorm.bias": state["norm.bias"],
    }
    for i in range(depth):
        ours, theirs = f"blocks.{i}", f"encoder.layer.{i}"
        for kind in ("weight", "bias"):
            parts = state[f"{ours}.attn.qkv.{kind}"].chunk(3)
            for name, part in zip(("q_proj", "k_proj", "v_proj"), parts):
                renamed[f"{theirs}.attention.{name}.{kind}"] = part
            renamed[f"{theirs}.attention.o_proj.{kind}"] = state[f"{ours}.attn.proj.{kind}"]
            for part in ("norm1", "norm2", "mlp.fc1", "mlp.fc2"):
                renamed[f"{theirs}.{part}.{kind}"] = state[f"{ours}.{part}.{kind}"]
        renamed[f"{theirs}.layer_scale1.lambda1"] = state[f"{ours}.ls1.gamma"]
        renamed[f"{theirs}.layer_scale2.lambda1"] = state[f"{ours}.ls2.gamma"]
    config = Dinov2Config(
        hidden_size=width,
        num_hidden_layers=depth,
        num_attention_heads=width // 64,
        image_size=side,
        patch_size=patch,
        use_mask_token=False,
    )
    made = Dinov2Model(config).eval().double()
    made.load_state_dict(renamed)
    return made


ready = transforms.Compose(
    [
        transforms.Resize((side, side), transforms.InterpolationMode.BICUBIC),
        transforms.ToTensor(),
        transforms.Normalize((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
    ]
)
images = {"small": (2, 3, 30, 40), "large": (1, 3, 300, 260), "equal": (1, 3, 224, 224)}
networks = {"small": (128, 2), "B/14": (768, 12), "L/14": (1024, 24)}
features = {}
for network, (width, depth) in networks.items():
    made = model(width, depth)
    features[network] = {}
    for name, shape in images.items():
        seen = [Image.fromarray(image.transpose(1, 2, 0)) for image in pixels(name, shape)]
        batch = torch.stack([ready(image) for image in seen]).double()
        with torch.no_grad():
            tokens = made(batch).last_hidden_state[:, 0]
        features[network][name] = [rounded(row[:: width // 64]) for row in tokens]
        print(network, name, tokens.mean().item(), tokens.std().item())
reference = {
    "made by": "transformers 5.24.0, pillow 11.3.0, test/evaluation/features/reference_dinov2.py",
    "features": features,
}
folder = pathlib.Path(__file__).parent
(folder / "dinov2.json").write_text(json.dumps(reference, indent=2) + "\n")
