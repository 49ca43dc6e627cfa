"""TarFlow in PyTorch (Zhai et al. 2024, arXiv 2412.06329), written for comparison: small, plain, and
with the fastest that PyTorch offers for each part.

Parameters carry the names of the published state dicts, so that all sides of the benchmark read
the same file.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from server import Config


# Cosines and sines (tokens, half a head's width) of the angles by which pairs of numbers turn.
Rotary = tuple[Tensor, Tensor]


def rotated(x: Tensor, rotary: Rotary) -> Tensor:
    """Each pair of neighbours (…, tokens, width), turned."""
    cos, sin = (part.to(x.dtype) for part in rotary)
    even, odd = x.unflatten(-1, (-1, 2)).unbind(-1)
    return torch.stack([even * cos - odd * sin, even * sin + odd * cos], -1).flatten(-2)


class Attention(nn.Module):
    def __init__(self, channels: int, head_width: int):
        super().__init__()
        self.norm = nn.LayerNorm(channels)
        self.qkv = nn.Linear(channels, 3 * channels)
        self.proj = nn.Linear(channels, channels)
        self.head_width = head_width

    def heads(self, x: Tensor, rotary: "Rotary | None") -> tuple[Tensor, Tensor, Tensor]:
        """Queries, keys and values, each (batch, heads, tokens, width)."""
        batch, tokens, channels = x.shape
        qkv = self.qkv(self.norm(x)).view(batch, tokens, 3, -1, self.head_width)
        q, k, v = qkv.permute(2, 0, 3, 1, 4).unbind(0)
        return (rotated(q, rotary), rotated(k, rotary), v) if rotary else (q, k, v)

    def forward(self, x: Tensor, rotary: "Rotary | None" = None) -> Tensor:
        q, k, v = self.heads(x, rotary)
        attended = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        return self.proj(attended.transpose(1, 2).reshape(x.shape))

    def step(
        self, x: Tensor, cache: "LayerCache", t: int, rotary: "Rotary | None" = None
    ) -> Tensor:
        q, k, v = self.heads(x, rotary)
        keys, values = cache.extended(k, v, t)
        attended = F.scaled_dot_product_attention(q, keys, values)
        return self.proj(attended.transpose(1, 2).reshape(x.shape))


class Mlp(nn.Module):
    def __init__(self, channels: int):
        super().__init__()
        self.norm = nn.LayerNorm(channels)
        self.main = nn.Sequential(
            nn.Linear(channels, 4 * channels), nn.GELU(), nn.Linear(4 * channels, channels)
        )

    def forward(self, x: Tensor) -> Tensor:
        return self.main(self.norm(x))


class Layer(nn.Module):
    def __init__(self, channels: int, head_width: int):
        super().__init__()
        self.attention = Attention(channels, head_width)
        self.mlp = Mlp(channels)

    def forward(self, x: Tensor, rotary: "Rotary | None" = None) -> Tensor:
        x = x + self.attention(x, rotary)
        return x + self.mlp(x)

    def step(
        self, x: Tensor, cache: "LayerCache", t: int, rotary: "Rotary | None" = None
    ) -> Tensor:
        x = x + self.attention.step(x, cache, t, rotary)
        return x + self.mlp(x)


class WrittenCache:
    """Keys and values of a layer in memory that is there from the first token."""

    def __init__(self, tokens: int):
        self.tokens = tokens

    def extended(self, k: Tensor, v: Tensor, t: int) -> tuple[Tensor, Tensor]:
        if t == 0:
            batch, heads, _, width = k.shape
            self.keys, self.values = (k.new_empty(batch, heads, self.tokens, width) for _ in "kv")
        self.keys[:, :, t : t + 1] = k
        self.values[:, :, t : t + 1] = v
        return self.keys[:, :, : t + 1], self.values[:, :, : t + 1]


class GrownCache:
    """Keys and values of a layer, concatenated as they come."""

    def __init__(self, _: int):
        self.keys: Tensor | None = None
        self.values: Tensor | None = None

    def extended(self, k: Tensor, v: Tensor, t: int) -> tuple[Tensor, Tensor]:
        self.keys = k if self.keys is None else torch.cat([self.keys, k], 2)
        self.values = v if self.values is None else torch.cat([self.values, v], 2)
        return self.keys, self.values


LayerCache = WrittenCache | GrownCache


class Block(nn.Module):
    def __init__(self, config: Config, index: int):
        super().__init__()
        channels = config.channels
        self.config = config
        self.reversed = index % 2 == 1
        self.pos_embed = nn.Parameter(torch.zeros(config.tokens, channels))
        if config.classes > 0:
            self.class_embed = nn.Parameter(torch.zeros(config.classes, 1, channels))
        self.proj_in = nn.Linear(config.width, channels)
        self.attn_blocks = nn.ModuleList(
            Layer(channels, config.head_width) for _ in range(config.layers)
        )
        self.proj_out = nn.Linear(channels, 2 * config.width)

    def ordered(self, tokens: Tensor, axis: int = 1) -> Tensor:
        return tokens.flip(axis) if self.reversed else tokens

    def embedded(self, tokens: Tensor) -> Tensor:
        """Tokens of float32, in the type of the weights."""
        return self.proj_in(tokens.to(self.proj_in.weight.dtype))

    def class_term(self, labels: Tensor | None) -> Tensor | float:
        """(batch or 1, 1, channels); the mean of the table where no label is given."""
        if self.config.classes == 0:
            return 0.0
        if labels is None:
            return self.class_embed.mean(0, keepdim=True)
        return self.class_embed[labels]

    def forward(self, x: Tensor, labels: Tensor | None) -> tuple[Tensor, Tensor]:
        """z in raster order, and the log-determinant per dimension (batch)."""
        x = self.ordered(x)
        # The last token predicts nothing, so it need not go through the transformer.
        h = self.embedded(x[:, :-1]) + self.ordered(self.pos_embed, 0)[:-1]
        h = h + self.class_term(labels)
        for layer in self.attn_blocks:
            h = layer(h)
        a, b = self.proj_out(h).float().chunk(2, -1)
        moved = (x[:, 1:] - b) * torch.exp(-a)
        z = torch.cat([x[:, :1], moved], 1)
        return self.ordered(z), -a.sum((1, 2)) / (self.config.tokens * self.config.width)

    def inverse(self, z: Tensor, classes: Tensor | float, weight: float, cache_type: type) -> Tensor:
        """x from z, token by token. With a guidance weight, `classes` has the class terms of both
        branches, which run as one batch."""
        config = self.config
        z = self.ordered(z)
        branches = 2 if weight > 0 else 1
        caches = [cache_type(config.tokens) for _ in self.attn_blocks]
        positions = self.ordered(self.pos_embed, 0)
        token = z[:, :1]
        tokens = [token]
        for t in range(config.tokens - 1):
            given = token.repeat(branches, 1, 1) if branches > 1 else token
            h = self.embedded(given) + positions[t] + classes
            for layer, cache in zip(self.attn_blocks, caches):
                h = layer.step(h, cache, t)
            out = self.proj_out(h).float()
            if branches > 1:
                conditional, other = out.chunk(2, 0)
                out = conditional + weight * (conditional - other)
            a, b = out.chunk(2, -1)
            token = z[:, t + 1 : t + 2] * torch.exp(a) + b
            tokens.append(token)
        return self.ordered(torch.cat(tokens, 1))


class Flow(nn.Module):
    """A stack of autoregressive blocks. A kind of flow says how images become tokens, and samples."""

    def __init__(self, config: Config, block_type: type):
        super().__init__()
        self.config = config
        self.blocks = nn.ModuleList(block_type(config, index) for index in range(config.blocks))

    def patchify(self, images: Tensor) -> Tensor:
        raise NotImplementedError

    def loss(self, images: Tensor, labels: Tensor | None) -> Tensor:
        z = self.patchify(images)
        log_det: Tensor | float = 0.0
        for block in self.blocks:
            z, block_log_det = block(z, labels)
            log_det = log_det + block_log_det
        return 0.5 * z.square().mean() - log_det.mean()


class TarFlow(Flow):
    def __init__(self, config: Config):
        super().__init__(config, Block)

    def patchify(self, images: Tensor) -> Tensor:
        return F.unfold(images, self.config.patch, stride=self.config.patch).transpose(1, 2)

    def unpatchify(self, tokens: Tensor) -> Tensor:
        _, height, width = self.config.image
        patch = self.config.patch
        return F.fold(tokens.transpose(1, 2), (height, width), patch, stride=patch)

    @torch.inference_mode()
    def sample(
        self, z: Tensor, labels: Tensor | None, weight: float, cache_type: type
    ) -> Tensor:
        """Images from latents (batch, T, D); weight 0 is without guidance."""
        for block in reversed(self.blocks):
            classes = block.class_term(labels)
            if weight > 0:
                absent = block.class_term(None).expand(z.shape[0], 1, -1)
                classes = torch.cat([classes, absent], 0)
            z = block.inverse(z, classes, weight, cache_type)
        return self.unpatchify(z)

    def denoise(self, images: Tensor, labels: Tensor | None, sigma: float, loss) -> Tensor:
        """x + σ²·∇ log p(x), `loss` being this model's. The parameters take no gradient here."""
        x = images.detach().requires_grad_()
        (gradient,) = torch.autograd.grad(loss(x, labels), x)
        return images - sigma**2 * images.numel() * gradient
