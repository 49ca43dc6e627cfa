"""The papers' ways to sample in eager PyTorch, timed as the papers time them: GS-Jacobi (Liu and Qin
2025) and Selective Jacobi Decoding (Zhang et al. 2025) over a loop whose cache grows token by token.

  python pytorch_acceleration.py check test/golden
  python pytorch_acceleration.py choose MODEL --guidance 1 --annealed --out choice.json
  python pytorch_acceleration.py measure MODEL --guidance 1 --annealed --choice choice.json --out measured.json
  python pytorch_acceleration.py draw MODEL --guidance 1 --annealed --choice choice.json --out samples/

MODEL is a TarFlow of ours (results/checkpoints), which has the published names. Settings of GS-Jacobi are
chosen on noise of their own: of those whose 16 samples differ by at most 0.02 (root mean square, pixels in
−1 … 1), the one with the fewest evaluations in turn. A clamp of 3 is published; where no setting with it does,
since tokens are larger, they are tried without.
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
    """Compares the runs of the golden files with what this file makes of them."""
    worst, compared, skipped = 0.0, 0, 0
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
            if run.get("attn_temp", 1.0) != 1.0:
                skipped += 1
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
    if compared == 0:
        sys.exit(f"{folder} has no golden files of GS-Jacobi (*_gsj.json)")
    print(f"{compared} runs agree; the largest difference is {worst:.1e} of its size")
    print(f"{skipped} runs with another attention temperature were left out")


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


@dataclasses.dataclass
class Subject:
    """A flow, how it is guided, and noise and labels for it."""

    model: TarFlow
    weight: float
    annealed: bool

    def noise(self, seed: int, count: int) -> tuple[Tensor, Tensor | None]:
        config = self.model.config
        generator = torch.Generator().manual_seed(seed)
        z = torch.randn(count, config.tokens, config.width, generator=generator)
        return z, torch.arange(count) % config.classes if config.classes > 0 else None

    def draw(self, z: Tensor, labels: Tensor | None, ways: list[Way]) -> tuple[Tensor, list[int]]:
        return drawn(self.model, z, labels, ways, self.weight, self.annealed)


def subject_of(options: argparse.Namespace) -> Subject:
    torch.set_num_threads(options.threads or os.cpu_count() or 1)
    with safetensors.safe_open(options.model, "pt") as opened:
        config = {"kind": "tarflow", **json.loads(opened.metadata()["config"])}
        weights = {name: opened.get_tensor(name).float() for name in opened.keys()}
    return Subject(flow(config, weights), options.guidance, options.annealed)


def write(options: argparse.Namespace, found: dict) -> None:
    about = {
        "model": Path(options.model).stem,
        "guidance": options.guidance,
        "annealed": options.annealed,
        "seed": options.seed,
        "threads": torch.get_num_threads(),
        "version": f"PyTorch {torch.__version__}",
    }
    Path(options.out).write_text(json.dumps({**about, **found}, indent=2) + "\n")


def gs_jacobi(blocks: int, setting: dict) -> list[Way]:
    """One tough block, by index from the data, as the papers' lists have it."""
    clamp = setting["clamp"] or math.inf
    hard = Way(setting["segments"], setting["most"], clamp=clamp)
    easy = Way(1, setting["else"], clamp=clamp)
    return [hard if blocks - 1 - i == setting["tough"] else easy for i in range(blocks)]


def choose(options: argparse.Namespace) -> None:
    subject = subject_of(options)
    blocks, tokens = len(subject.model.blocks), subject.model.config.tokens
    z, labels = subject.noise(options.seed + 1, 16)
    exact, _ = subject.draw(z, labels, [SEQUENTIAL] * blocks)
    named = ("clamp", "tough", "segments", "most", "else")
    space = itertools.product((3.0, None), range(blocks), (7, 8, 14, 16), (8, 16, 32), (6, 10, 20))
    rows, same = [], []
    for setting in (dict(zip(named, values)) for values in space):
        if tokens % setting["segments"] > 0:
            continue
        if setting["clamp"] is None:
            # Where the clamp bites, the block that is tough with it is so without it.
            if same and same[0]["clamp"] is not None:
                break
            if setting["tough"] != min(rows, key=lambda row: row["rms"])["tough"]:
                continue
        images, counts = subject.draw(z, labels, gs_jacobi(blocks, setting))
        rms = (images - exact).square().mean().sqrt().item()
        rows.append({**setting, "evaluations": sum(counts), "rms": rms})
        same = [row for row in rows if row["rms"] <= SAME]
        print(f"{len(rows)}: {rows[-1]}", file=sys.stderr)
    chosen = min(same, key=lambda row: row["evaluations"]) if same else None
    write(options, {"chosen": chosen, "tried": rows})


def strategies_of(options: argparse.Namespace, blocks: int) -> dict[str, list[Way]]:
    chosen = json.loads(Path(options.choice).read_text())["chosen"]
    return {
        "sequential": [SEQUENTIAL] * blocks,
        "Jacobi, published rule": [SEJD] * blocks,
        "SeJD, published rule": [SEQUENTIAL] + [SEJD] * (blocks - 1),
        **({"GS-Jacobi, chosen": gs_jacobi(blocks, chosen)} if chosen else {}),
    }


def measure(options: argparse.Namespace) -> None:
    subject = subject_of(options)
    strategies = strategies_of(options, len(subject.model.blocks))
    rows = []
    for batch in options.batch:
        z, labels = subject.noise(options.seed, batch)
        seconds: dict[str, list[float]] = {name: [] for name in strategies}
        results = {}
        for turn in range(options.rounds + 1):
            for name, ways in strategies.items():
                begun = time.perf_counter()
                results[name] = subject.draw(z, labels, ways)
                if turn > 0:  # the first warms up
                    seconds[name].append(time.perf_counter() - begun)
        exact = results["sequential"][0]
        slow = statistics.median(seconds["sequential"])
        for name, (images, counts) in results.items():
            difference = images - exact
            row = {
                "batch": batch,
                "strategy": name,
                "evaluations": counts,
                "seconds": seconds[name],
                "timesAsFast": slow / statistics.median(seconds[name]),
                "rms": difference.square().mean().sqrt().item(),
                "largest": difference.abs().max().item(),
                "notFinite": int((~images.isfinite()).flatten(1).any(1).sum()),
            }
            rows.append(row)
            print(row, file=sys.stderr)
    write(options, {"rounds": options.rounds, "rows": rows})


def draw(options: argparse.Namespace) -> None:
    """Many samples by each strategy, as files in a folder, for `tarflow denoise` and `tarflow distance`."""
    subject = subject_of(options)
    z, labels = subject.noise(options.seed + 2, options.samples)
    folder = Path(options.out)
    folder.mkdir(parents=True, exist_ok=True)
    for name, ways in strategies_of(options, len(subject.model.blocks)).items():
        if name.startswith("Jacobi"):  # in all blocks: a yardstick of evaluations alone
            continue
        file = folder / f"{name.split(',')[0].lower()}.safetensors"
        if file.exists():  # of an earlier call
            continue
        parts = []
        for first in range(0, options.samples, 32):
            some = None if labels is None else labels[first : first + 32]
            parts.append(subject.draw(z[first : first + 32], some, ways)[0])
            print(f"{name}: {first + len(parts[-1])} of {options.samples}", file=sys.stderr)
        safetensors.torch.save_file({"images": torch.cat(parts).contiguous()}, file)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    commands = parser.add_subparsers(required=True, dest="command")
    commands.add_parser("check").add_argument("folder", type=Path)
    for name in ("choose", "measure", "draw"):
        command = commands.add_parser(name)
        command.add_argument("model")
        command.add_argument("--out", required=True)
        command.add_argument("--guidance", type=float, default=0.0)
        command.add_argument("--annealed", action="store_true")
        command.add_argument("--seed", type=int, default=0)
        command.add_argument("--threads", type=int)
        if name != "choose":
            command.add_argument("--choice", required=True, help="what `choose` wrote")
    commands.choices["measure"].add_argument("--batch", type=int, nargs="+", default=[1, 8, 32])
    commands.choices["measure"].add_argument("--rounds", type=int, default=5)
    commands.choices["draw"].add_argument("--samples", type=int, default=2000)
    options = parser.parse_args()
    does = {"choose": choose, "measure": measure, "draw": draw}
    check(options.folder) if options.command == "check" else does[options.command](options)
