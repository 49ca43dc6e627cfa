"""The papers' ways to sample in eager PyTorch, timed as the papers time them: GS-Jacobi (Liu and Qin
2025) and Selective Jacobi Decoding (Zhang et al. 2025) over a loop whose cache grows token by token.

  python pytorch_acceleration.py check test/golden
  python pytorch_acceleration.py measure MODEL.safetensors --guidance 1 --out measured.json

MODEL is what `tarflow convert --to pth-names` writes. Settings of GS-Jacobi are chosen on noise of their
own: of those whose samples differ by at most 0.02 (root mean square, pixels in −1 … 1), the one with the
fewest evaluations in turn.
"""

import argparse
import dataclasses
import itertools
import json
import math
import os
import statistics
import sys
import time
from pathlib import Path

import safetensors
import safetensors.torch
import torch
from torch import Tensor
from torch.nn import functional as F

from pytorch_model import Attention, Block, GrownCache, TarFlow
from server import Config

# Root mean square of the difference that counts as the same samples.
SAME = 0.02


@dataclasses.dataclass(frozen=True)
class Way:
    """How a block is solved. No segments: token by token."""

    segments: int = 0
    maximum: int = 0
    # Where iterations start: at the latent, at its first token and zeros, or at zeros alone.
    start: str = "latent"
    # The bound on the change: its Frobenius norm over batch and width, or the largest.
    bound: float = 1e-6
    largest: bool = False
    clamp: float = 3.0


SEQUENTIAL = Way()
SEJD = Way(segments=1, maximum=10**6, start="zeros alone", bound=0.5, largest=True, clamp=math.inf)


class Solving:
    """A block, what it is told, and how often it was evaluated."""

    def __init__(self, block: Block, labels: Tensor | None, weight: float, annealed: bool, batch: int):
        self.block = block
        self.branches = 2 if weight > 0 else 1
        self.classes = block.class_term(labels)
        if weight > 0:
            absent = block.class_term(None)
            if block.config.classes > 0:
                absent = absent.expand(batch, 1, -1)
                self.classes = torch.cat([self.classes.expand(batch, 1, -1), absent], 0)
        steps = block.config.tokens - 1
        ramp = torch.arange(1, steps + 1) / steps if annealed else torch.ones(steps)
        self.weights = (weight * ramp)[None, :, None]
        self.positions = block.ordered(block.pos_embed, 0)
        self.evaluations = 0

    def predict(self, x: Tensor, first: int, caches: list | None) -> tuple[Tensor, Tensor]:
        """a and b made from tokens x, whose first stands at `first`; with caches also of earlier ones."""
        self.evaluations += 1
        block, count = self.block, x.shape[1]
        given = x.repeat(self.branches, 1, 1)
        h = block.embedded(given) + self.positions[first : first + count] + self.classes
        for i, layer in enumerate(block.attn_blocks):
            attended = (
                layer.attention(h) if caches is None else caches[i].attend(layer.attention, h)
            )
            h = h + attended
            h = h + layer.mlp(h)
        out = block.proj_out(h).float()
        if self.branches > 1:
            told, untold = out.chunk(2, 0)
            out = told + self.weights[:, first : first + count] * (told - untold)
        a, b = out.chunk(2, -1)
        return a, b


class SegmentCache:
    """Keys and values of the tokens before a segment, and of the last evaluation of the segment."""

    def __init__(self):
        self.before: tuple[Tensor, Tensor] | None = None

    def attend(self, attention: Attention, h: Tensor) -> Tensor:
        q, k, v = attention.heads(h, None)
        count, earlier = q.shape[2], 0
        if self.before is not None:
            earlier = self.before[0].shape[2]
            k, v = (torch.cat([old, new], 2) for old, new in zip(self.before, (k, v)))
        self.now = (k, v)
        mask = torch.ones(count, earlier + count, dtype=torch.bool).tril(earlier)
        attended = F.scaled_dot_product_attention(q, k, v, attn_mask=mask)
        return attention.proj(attended.transpose(1, 2).reshape(h.shape))

    def keep(self):
        self.before = self.now


def one_by_one(solving: Solving, z: Tensor) -> Tensor:
    """The authors' loop: one token at a time, keys and values concatenated as they come."""
    block = solving.block
    caches = [GrownCache(block.config.tokens) for _ in block.attn_blocks]
    tokens = [z[:, :1]]
    for t in range(block.config.tokens - 1):
        solving.evaluations += 1
        h = block.embedded(tokens[-1].repeat(solving.branches, 1, 1))
        h = h + solving.positions[t] + solving.classes
        for layer, cache in zip(block.attn_blocks, caches):
            h = layer.step(h, cache, t)
        out = block.proj_out(h).float()
        if solving.branches > 1:
            told, untold = out.chunk(2, 0)
            out = told + solving.weights[:, t : t + 1] * (told - untold)
        a, b = out.chunk(2, -1)
        tokens.append(z[:, t + 1 : t + 2] * torch.exp(a) + b)
    return torch.cat(tokens, 1)


def size_of(change: Tensor, way: Way) -> float:
    if way.largest:
        return change.abs().max().item()
    return (torch.linalg.vector_norm(change) / (change.shape[0] * change.shape[2])).item()


def goes_on(done: int, size: float, way: Way) -> bool:
    return done < way.maximum and (size >= way.bound if way.largest else size > way.bound)


def solved(solving: Solving, z: Tensor, way: Way) -> Tensor:
    tokens = solving.block.config.tokens
    if way.segments in (0, tokens):
        return one_by_one(solving, z)
    x = z if way.start == "latent" else torch.zeros_like(z)
    if way.start == "zeros":
        x[:, 0] = z[:, 0]
    if way.segments == 1:
        done, size = 0, math.inf
        while goes_on(done, size, way):
            a, b = solving.predict(x[:, :-1], 0, None)
            new = torch.cat([z[:, :1], z[:, 1:] * torch.exp(a) + b], 1)
            new = new.clamp(-way.clamp, way.clamp)
            done, size, x = done + 1, size_of(new - x, way), new
        return x
    x = x.clone()
    caches = [SegmentCache() for _ in solving.block.attn_blocks]
    length = tokens // way.segments
    for first in range(0, tokens, length):
        last = min(first + length, tokens - 1)
        done, size = 0, math.inf
        while goes_on(done, size, way):
            a, b = solving.predict(x[:, first:last], first, caches)
            new = z[:, first + 1 : last + 1] * torch.exp(a) + b
            new = new.clamp(-way.clamp, way.clamp)
            size = size_of(new - x[:, first + 1 : last + 1], way)
            x[:, first + 1 : last + 1] = new
            done += 1
        for cache in caches:
            cache.keep()
    return x


@torch.inference_mode()
def drawn(
    model: TarFlow,
    z: Tensor,
    labels: Tensor | None,
    ways: list[Way],
    weight: float = 0.0,
    annealed: bool = False,
) -> tuple[Tensor, list[int]]:
    """Images, and the evaluations in turn of each block; ways and counts in the order of sampling."""
    counts = []
    for block, way in zip(reversed(model.blocks), ways):
        solving = Solving(block, labels, weight, annealed, z.shape[0])
        z = block.ordered(solved(solving, block.ordered(z), way))
        counts.append(solving.evaluations)
    return model.unpatchify(z), counts


def flow(config: dict, weights: dict[str, Tensor]) -> TarFlow:
    model = TarFlow(Config(config))
    masks = {name for name in weights if name.endswith(("attn_mask", "var"))}
    model.load_state_dict({name: value for name, value in weights.items() if name not in masks})
    return model.requires_grad_(False).eval()


def check(folder: Path) -> None:
    """Compares every run of the golden files with what this file makes of it."""
    worst, compared = 0.0, 0
    for file in sorted(folder.glob("*_gsj.json")):
        about = json.loads(file.read_text())
        base = json.loads((folder / f"{about['base']}.json").read_text())
        found = safetensors.torch.load_file(file.with_suffix(".safetensors"))
        given = safetensors.torch.load_file(folder / about["weights_from"])
        made = base["model"] if "model" in base else base["config"]
        weights = {key[3:]: value for key, value in given.items() if key.startswith("sd.")}
        model = flow(golden_config(made, weights), weights)
        labels = given["y"].long() if model.config.classes > 0 else None

        def compare(name: str, ways: list[Way], weight: float, annealed: bool):
            nonlocal worst, compared
            images, _ = drawn(model, found["noise"], labels, ways, weight, annealed)
            expected = found[name]
            error = (images - expected).abs().max() / (1 + expected.abs().max())
            if not error <= 1e-3:
                sys.exit(f"{file.stem}: {name} differs by {error:.2e} of its size, more than 1e-3")
            worst, compared = max(worst, error.item()), compared + 1

        blocks = len(model.blocks)
        for run in about["runs"]:
            if run.get("attn_temp", 1.0) != 1.0 or run["name"] not in found:
                continue
            lists = [
                run[several] if several in run else [run[one]] * blocks
                for one, several in (
                    ("num_GS", "num_GS_list"),
                    ("max_jacobi", "max_jacobi_list"),
                    ("zero_guess", "guess_list"),
                )
            ]
            clamp = 3.0 if run["clamp"] else math.inf
            ways = [
                Way(segments, maximum, "zeros" if zeros else "latent", run["ebound"], False, clamp)
                for segments, maximum, zeros in zip(*lists)
            ]
            compare(run["name"], ways, run["guidance"], run["annealed"])
        for tau in about.get("sejd", {}):
            ways = [SEQUENTIAL] + [dataclasses.replace(SEJD, bound=float(tau))] * (blocks - 1)
            compare(f"sejd.tau{tau}", ways, 0.0, False)
    print(f"{compared} runs agree; the largest difference is {worst:.1e} of its size")


def golden_config(made: dict, weights: dict[str, Tensor]) -> dict:
    blocks = 1 + max(int(n.split(".")[1]) for n in weights if n.startswith("blocks."))
    layers = 1 + max(int(n.split(".")[3]) for n in weights if n.startswith("blocks.0.attn_blocks."))
    channels = weights["blocks.0.proj_in.weight"].shape[0]
    classes = weights["blocks.0.class_embed"].shape[0] if "blocks.0.class_embed" in weights else 0
    tokens = weights["blocks.0.pos_embed"].shape[0]
    patch = made.get("patch_size", made.get("patchSize"))
    width = weights["blocks.0.proj_in.weight"].shape[1]
    side = math.isqrt(tokens) * patch
    return {
        "kind": "tarflow",
        "image": {"channels": width // patch**2, "height": side, "width": side},
        "patchSize": patch,
        "channels": channels,
        "blocks": blocks,
        "layersPerBlock": layers,
        "headWidth": made.get("head_dim", made.get("headWidth", 64)),
        "classes": classes,
    }


def candidates(blocks: int, tokens: int):
    """GS-Jacobi with one tough block: which, and as the papers' lists have it, how it is cut and bounded."""
    for tough, segments, most, others in itertools.product(
        range(blocks), (8, 16), (8, 16, 32), (6, 10, 20)
    ):
        if tokens % segments == 0:
            easy, hard = Way(1, others), Way(segments, most)
            yield {"tough": blocks - 1 - tough, "segments": segments, "most": most, "else": others}, [
                hard if i == tough else easy for i in range(blocks)
            ]


def measure(options: argparse.Namespace) -> None:
    torch.set_num_threads(options.threads or os.cpu_count() or 1)
    with safetensors.safe_open(options.model, "pt") as opened:
        config = json.loads(opened.metadata()["config"])
        weights = {name: opened.get_tensor(name).float() for name in opened.keys()}
    model = flow(config, weights)
    blocks, shape = len(model.blocks), (model.config.tokens, model.config.width)
    labels_of = lambda count: (
        torch.arange(count) % model.config.classes if model.config.classes > 0 else None
    )
    told = {"weight": options.guidance, "annealed": options.annealed}

    def noise(seed: int, count: int) -> Tensor:
        return torch.randn(count, *shape, generator=torch.Generator().manual_seed(seed))

    # The choice, on 16 samples of a seed of its own.
    z, labels = noise(options.seed + 1, 16), labels_of(16)
    exact, _ = drawn(model, z, labels, [SEQUENTIAL] * blocks, **told)
    chosen, fewest = None, math.inf
    tried = list(candidates(blocks, model.config.tokens))
    for number, (setting, ways) in enumerate(tried):
        images, counts = drawn(model, z, labels, ways, **told)
        rms = (images - exact).square().mean().sqrt().item()
        if rms <= SAME and sum(counts) < fewest:
            chosen, fewest = (setting, ways), sum(counts)
        print(f"choice {number + 1} of {len(tried)}: {setting} {rms:.4f}", file=sys.stderr)
    strategies = {
        "sequential": [SEQUENTIAL] * blocks,
        "Jacobi in all blocks, published rule": [SEJD] * blocks,
        "SeJD, published rule": [SEQUENTIAL] + [SEJD] * (blocks - 1),
        **({"GS-Jacobi, chosen for the model": chosen[1]} if chosen else {}),
    }
    rows = []
    for batch in options.batch:
        z, labels = noise(options.seed, batch), labels_of(batch)
        seconds: dict[str, list[float]] = {name: [] for name in strategies}
        results = {}
        for round in range(options.rounds + 1):
            for name, ways in strategies.items():
                begun = time.perf_counter()
                results[name] = drawn(model, z, labels, ways, **told)
                if round > 0:  # the first warms up
                    seconds[name].append(time.perf_counter() - begun)
        exact = results["sequential"][0]
        for name, (images, counts) in results.items():
            difference = images - exact
            rows.append(
                {
                    "batch": batch,
                    "strategy": name,
                    "evaluations": counts,
                    "seconds": seconds[name],
                    "timesAsFast": statistics.median(seconds["sequential"])
                    / statistics.median(seconds[name]),
                    "rms": difference.square().mean().sqrt().item(),
                    "largest": difference.abs().max().item(),
                    "notFinite": int((~images.isfinite()).flatten(1).any(1).sum()),
                }
            )
            print(json.dumps({**rows[-1], "seconds": None}), file=sys.stderr)
    if options.samples:
        write_samples(model, strategies, options, told)
    Path(options.out).write_text(
        json.dumps(
            {
                "model": Path(options.model).name,
                "guidance": options.guidance,
                "annealed": options.annealed,
                "seed": options.seed,
                "rounds": options.rounds,
                "threads": torch.get_num_threads(),
                "version": f"PyTorch {torch.__version__}",
                "chosen": chosen[0] if chosen else None,
                "tried": len(tried),
                "rows": rows,
            },
            indent=2,
        )
        + "\n"
    )


def write_samples(
    model: TarFlow, strategies: dict[str, list[Way]], options: argparse.Namespace, told: dict
) -> None:
    """Many samples by each strategy beside the measurements, for `tarflow distance`."""
    count, batch, classes = options.samples, 32, model.config.classes
    generator = torch.Generator().manual_seed(options.seed + 2)
    z = torch.randn(count, model.config.tokens, model.config.width, generator=generator)
    labels = torch.arange(count) % classes if classes > 0 else None
    for name, ways in strategies.items():
        parts = []
        for first in range(0, count, batch):
            some = None if labels is None else labels[first : first + batch]
            parts.append(drawn(model, z[first : first + batch], some, ways, **told)[0])
            print(f"{name}: {first + len(parts[-1])} of {count} samples", file=sys.stderr)
        slug = name.split(",")[0].lower().replace(" ", "-")
        file = f"{options.out.removesuffix('.json')}-{slug}.safetensors"
        safetensors.torch.save_file({"images": torch.cat(parts).contiguous()}, file)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    commands = parser.add_subparsers(required=True, dest="command")
    checking = commands.add_parser("check")
    checking.add_argument("folder", type=Path)
    measuring = commands.add_parser("measure")
    measuring.add_argument("model")
    measuring.add_argument("--out", required=True)
    measuring.add_argument("--guidance", type=float, default=0.0)
    measuring.add_argument("--annealed", action="store_true")
    measuring.add_argument("--batch", type=int, nargs="+", default=[1, 8, 32])
    measuring.add_argument("--rounds", type=int, default=5)
    measuring.add_argument("--seed", type=int, default=0)
    measuring.add_argument("--samples", type=int, default=0, help="so many are written beside OUT")
    measuring.add_argument("--threads", type=int)
    options = parser.parse_args()
    check(options.folder) if options.command == "check" else measure(options)
