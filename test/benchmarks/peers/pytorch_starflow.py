"""STARFlow of classes in PyTorch (Gu et al. 2025, arXiv 2506.06276), written for comparison: a start
token, rotary positions, a bound on the outputs, softplus as scale, a class before the deep block.

Parameters carry the names of the published state dicts.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from pytorch_model import Flow, Layer, Rotary
from server import Config

BOUND = 4.0
SOFTPLUS_OF_ONE = 0.541324854612918
# Numbers of a head that turn by the place in the condition.
CONDITION_NUMBERS = 16


def angles(config: Config, conditioned: bool) -> Tensor:
    """(entries, half a head's width): the condition's entry, if the block has one, then the grid."""
    _, height, width = config.image
    rows, columns = height // config.patch, width // config.patch
    # In a model with a condition every block keeps these numbers for its place.
    kept = CONDITION_NUMBERS if config.classes > 0 else 0
    turned = config.head_width - kept
    frequencies = 10000.0 ** (-torch.arange(0, turned // 4) * 4 / turned)
    scale = config.grid_side / (rows * columns) ** 0.5
    places = torch.meshgrid(torch.arange(rows), torch.arange(columns), indexing="ij")
    grid = torch.cat([place.reshape(-1, 1) * scale * frequencies for place in places], 1)
    grid = F.pad(grid, (0, kept // 2))
    # The single entry of a class is at place 0 of the condition, and so it is not turned.
    return torch.cat([torch.zeros(1, grid.shape[1]), grid]) if conditioned else grid


class RmsNorm(nn.Module):
    def __init__(self, channels: int):
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(channels))

    def forward(self, x: Tensor) -> Tensor:
        x = x.float()
        return x * torch.rsqrt(x.square().mean(-1, keepdim=True) + 1e-6) * (1 + self.weight.float())


class Block(nn.Module):
    def __init__(self, config: Config, index: int):
        super().__init__()
        channels = config.channels
        self.config = config
        self.reversed = index % 2 == 0
        self.deep = index == config.blocks - 1
        self.conditioned = self.deep and config.classes > 0
        self.sos_embed = nn.Parameter(torch.zeros(1, 1, config.width))
        self.proj_in = nn.Linear(config.width, channels)
        if self.conditioned:
            self.proj_txt = nn.Linear(config.classes + 1, channels)
        self.attn_blocks = nn.ModuleList(
            Layer(channels, config.head_width) for _ in range(config.layers[index])
        )
        self.final_norm = RmsNorm(channels)
        self.proj_out = nn.Linear(channels, 2 * config.width)
        turns = angles(config, self.conditioned)
        self.register_buffer("cos", turns.cos(), persistent=False)
        self.register_buffer("sin", turns.sin(), persistent=False)

    def ordered(self, tokens: Tensor) -> Tensor:
        return tokens.flip(1) if self.reversed else tokens

    def rotary(self, start: int, end: int) -> Rotary:
        return self.cos[start:end], self.sin[start:end]

    def embedded(self, tokens: Tensor) -> Tensor:
        return self.proj_in(tokens.to(self.proj_in.weight.dtype))

    def prefix(self, labels: Tensor | None, count: int) -> Tensor:
        """(batch, 1, channels): the class, or the one that stands for none, which −1 asks for."""
        classes = self.config.classes
        if labels is None:
            labels = self.cos.new_full((count,), -1, dtype=torch.long)
        one_hot = F.one_hot(torch.where(labels < 0, classes, labels), classes + 1)
        return self.proj_txt(one_hot.to(self.proj_txt.weight.dtype)).unsqueeze(1)

    def gaussian(self, h: Tensor) -> tuple[Tensor, Tensor]:
        """Means and scales, in float32."""
        out = self.proj_out(self.final_norm(h).to(self.proj_out.weight.dtype)).float()
        a, b = (BOUND * torch.tanh(out / BOUND)).chunk(2, -1)
        return b, F.softplus(a + SOFTPLUS_OF_ONE)

    def forward(self, x: Tensor, labels: Tensor | None) -> tuple[Tensor, Tensor]:
        """z in raster order, and the log-determinant per dimension (batch)."""
        x = self.ordered(x)
        before = torch.cat([self.sos_embed.expand(len(x), 1, -1).to(x.dtype), x[:, :-1]], 1)
        h = self.embedded(before)
        if self.conditioned:
            h = torch.cat([self.prefix(labels, len(x)).to(h.dtype), h], 1)
        rotary = self.rotary(0, h.shape[1])
        for layer in self.attn_blocks:
            h = layer(h, rotary)
        mean, scale = self.gaussian(h[:, 1:] if self.conditioned else h)
        log_det = -scale.log().sum((1, 2)) / (self.config.tokens * self.config.width)
        return self.ordered((x - mean) / scale), log_det

    def inverse(self, z: Tensor, labels: Tensor | None, cache_type: type) -> Tensor:
        z = self.ordered(z)
        lead = 1 if self.conditioned else 0
        caches = [cache_type(self.config.tokens + lead) for _ in self.attn_blocks]

        def through(h: Tensor, t: int) -> Tensor:
            rotary = self.rotary(t, t + 1)
            for layer, cache in zip(self.attn_blocks, caches):
                h = layer.step(h, cache, t, rotary)
            return h

        if self.conditioned:
            through(self.prefix(labels, len(z)), 0)
        token = self.sos_embed.expand(len(z), 1, -1).to(z.dtype)
        tokens = []
        for t in range(self.config.tokens):
            mean, scale = self.gaussian(through(self.embedded(token), t + lead))
            token = z[:, t : t + 1] * scale + mean
            tokens.append(token)
        return self.ordered(torch.cat(tokens, 1))


class StarFlow(Flow):
    def __init__(self, config: Config):
        super().__init__(config, Block)

    def patchify(self, images: Tensor) -> Tensor:
        """Tokens whose numbers go by row, column and, fastest, channel of the patch."""
        _, height, width = self.config.image
        patch = self.config.patch
        parts = images.unflatten(3, (width // patch, patch)).unflatten(2, (height // patch, patch))
        return parts.permute(0, 2, 4, 3, 5, 1).reshape(len(images), self.config.tokens, -1)

    def unpatchify(self, tokens: Tensor) -> Tensor:
        channels, height, width = self.config.image
        patch = self.config.patch
        grid = (height // patch, width // patch, patch, patch, channels)
        return tokens.unflatten(2, grid[2:]).unflatten(1, grid[:2]).permute(
            0, 5, 1, 3, 2, 4
        ).reshape(len(tokens), channels, height, width)

    @torch.inference_mode()
    def sample(
        self, z: Tensor, labels: Tensor | None, weight: float, cache_type: type
    ) -> Tensor:
        """Images from latents (batch, T, D), without guidance."""
        if weight > 0:
            raise NotImplementedError("This peer samples without guidance.")
        for block in reversed(self.blocks):
            z = block.inverse(z, labels, cache_type)
        return self.unpatchify(z)
