"""TarFlow in JAX (Zhai et al. 2024, arXiv 2412.06329), written for comparison, in the form that XLA
runs fastest on a processor among those tried.

Weights of products are held as (inputs, outputs), rows of all tokens are one matrix, and the gradient
of a bias is a matrix product: together a fifth less time in a training step than with the published
layout and JAX's own derivatives. Layers are unrolled; a scan over them takes as long in a step and
longer in sampling. Keys and values lie as (batch, heads, tokens, width). Loops over fewer cached
tokens at first, and attention by sums of products, took longer.

In bfloat16 all matrix products of linear layers and of full passes take bfloat16 arguments and give
float32, which is the form that XLA has fast code for. Parameters are a flat dictionary under the
published names.
"""

import math
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax

from server import Config

Parameters = dict[str, jax.Array]


@partial(jax.custom_vjp, nondiff_argnums=(0, 1))
def product(spec: str, dtype, a: jax.Array, b: jax.Array) -> jax.Array:
    """An einsum of arguments cast to `dtype`, also in its derivative; its result is of float32."""
    return jnp.einsum(spec, a.astype(dtype), b.astype(dtype), preferred_element_type=jnp.float32)


def product_forward(spec, dtype, a, b):
    a, b = a.astype(dtype), b.astype(dtype)
    return product(spec, dtype, a, b), (a, b)


def product_backward(spec, dtype, saved, g):
    a, b = saved
    terms, result = spec.split("->")
    left, right = terms.split(",")
    return (
        product(f"{result},{right}->{left}", dtype, g, b),
        product(f"{left},{result}->{right}", dtype, a, g),
    )


product.defvjp(product_forward, product_backward)


@jax.custom_vjp
def biased(x: jax.Array, bias: jax.Array) -> jax.Array:
    return x + bias


biased.defvjp(
    lambda x, bias: (x + bias, None),
    lambda _, g: (g, (jnp.ones((1, g.shape[0]), g.dtype) @ g)[0]),
)


def under(parameters: Parameters, prefix: str) -> Parameters:
    start = f"{prefix}."
    return {name[len(start) :]: p for name, p in parameters.items() if name.startswith(start)}


def norm(x: jax.Array, p: Parameters) -> jax.Array:
    centred = x - x.mean(-1, keepdims=True)
    variance = jnp.square(centred).mean(-1, keepdims=True)
    return centred * lax.rsqrt(variance + 1e-5) * p["weight"] + p["bias"]


def gelu(x: jax.Array) -> jax.Array:
    return 0.5 * x * (1 + lax.erf(x * math.sqrt(0.5)))


def reversed_if(turned: bool, x: jax.Array, axis: int) -> jax.Array:
    return jnp.flip(x, axis) if turned else x


class TarFlow:
    def __init__(self, config: Config, dtype):
        """@param dtype: of the arguments of matrix products"""
        self.config = config
        self.dtype = dtype

    def linear(self, x: jax.Array, p: Parameters) -> jax.Array:
        """Of a matrix with a row for each token."""
        return biased(product("ri,io->ro", self.dtype, x, p["weight"]), p["bias"])

    def mlp(self, x: jax.Array, p: Parameters) -> jax.Array:
        inner = gelu(self.linear(norm(x, under(p, "norm")), under(p, "main.0")))
        return self.linear(inner, under(p, "main.2"))

    def attention(self, x: jax.Array, p: Parameters, batch: int) -> jax.Array:
        """Causal, of all tokens at once: x is (batch · tokens, channels)."""
        rows, channels = x.shape
        tokens, width = rows // batch, self.config.head_width
        qkv = self.linear(norm(x, under(p, "norm")), under(p, "qkv"))
        q, k, v = (
            part.reshape(batch, tokens, -1, width).swapaxes(1, 2) for part in jnp.split(qkv, 3, -1)
        )
        scores = product("bhtd,bhsd->bhts", self.dtype, q, k) / math.sqrt(width)
        causal = np.tril(np.ones((tokens, tokens), bool))
        shares = jax.nn.softmax(jnp.where(causal, scores, -np.inf), -1)
        attended = product("bhts,bhsd->bhtd", self.dtype, shares, v)
        return self.linear(attended.swapaxes(1, 2).reshape(rows, channels), under(p, "proj"))

    def class_term(self, p: Parameters, labels: jax.Array | None) -> jax.Array | float:
        """(batch or 1, channels); the mean of the table where no label is given."""
        if self.config.classes == 0:
            return 0.0
        table = p["class_embed"][:, 0]
        return table.mean(0, keepdims=True) if labels is None else table[labels]

    def block(self, index: int, p: Parameters, x: jax.Array, labels: jax.Array | None):
        """z in raster order, and the log-determinant per dimension (batch)."""
        config, turned = self.config, index % 2 == 1
        batch, tokens, _ = x.shape
        x = reversed_if(turned, x, 1)
        # The last token predicts nothing, so it need not go through the transformer.
        rows = x[:, :-1].reshape(-1, config.width)
        h = self.linear(rows, under(p, "proj_in")).reshape(batch, tokens - 1, -1)
        h = h + reversed_if(turned, p["pos_embed"], 0)[:-1]
        terms = self.class_term(p, labels)
        h = h if config.classes == 0 else h + terms[:, None]
        h = h.reshape(-1, config.channels)
        for layer in range(config.layers):
            own = under(p, f"attn_blocks.{layer}")
            h = h + self.attention(h, under(own, "attention"), batch)
            h = h + self.mlp(h, under(own, "mlp"))
        out = self.linear(h, under(p, "proj_out")).reshape(batch, tokens - 1, -1)
        a, b = jnp.split(out, 2, -1)
        z = jnp.concatenate([x[:, :1], (x[:, 1:] - b) * jnp.exp(-a)], 1)
        return reversed_if(turned, z, 1), -a.sum((1, 2)) / (config.tokens * config.width)

    def loss(self, parameters: Parameters, images: jax.Array, labels: jax.Array | None):
        z, log_det = self.patchify(images), 0.0
        for index in range(self.config.blocks):
            z, of_block = self.block(index, under(parameters, f"blocks.{index}"), z, labels)
            log_det = log_det + of_block
        return 0.5 * jnp.square(z).mean() - log_det.mean()

    def patchify(self, images: jax.Array) -> jax.Array:
        channels, height, width = self.config.image
        patch = self.config.patch
        parts = images.reshape(-1, channels, height // patch, patch, width // patch, patch)
        return parts.transpose(0, 2, 4, 1, 3, 5).reshape(-1, self.config.tokens, self.config.width)

    def unpatchify(self, tokens: jax.Array) -> jax.Array:
        channels, height, width = self.config.image
        patch = self.config.patch
        parts = tokens.reshape(-1, height // patch, width // patch, channels, patch, patch)
        return parts.transpose(0, 3, 1, 4, 2, 5).reshape(-1, channels, height, width)

    def attention_step(self, x: jax.Array, p: Parameters, cache, t: jax.Array):
        """Of token t: x is (batch, channels), and the cache has keys and values of all tokens, which are
        written in place."""
        batch, channels = x.shape
        width = self.config.head_width
        qkv = self.linear(norm(x, under(p, "norm")), under(p, "qkv"))
        q, k, v = (part.reshape(batch, -1, 1, width) for part in jnp.split(qkv, 3, -1))
        keys, values = (
            lax.dynamic_update_slice(kept, new, (0, 0, t, 0)) for kept, new in zip(cache, (k, v))
        )
        scores = jnp.einsum("bhd,bhtd->bht", q[:, :, 0] / math.sqrt(width), keys)
        scores = jnp.where(np.arange(self.config.tokens) <= t, scores, -np.inf)
        attended = jnp.einsum("bht,bhtd->bhd", jax.nn.softmax(scores, -1), values)
        return self.linear(attended.reshape(batch, channels), under(p, "proj")), (keys, values)

    def inverse(self, index: int, p: Parameters, z: jax.Array, classes, weight: float) -> jax.Array:
        """x from z, token by token. With a guidance weight, `classes` has the class terms of both
        branches, which run as one batch."""
        config, turned = self.config, index % 2 == 1
        branches = 2 if weight > 0 else 1
        z = reversed_if(turned, z, 1).swapaxes(0, 1)
        heads = config.channels // config.head_width
        shape = (branches * z.shape[1], heads, config.tokens, config.head_width)
        caches = [(jnp.zeros(shape), jnp.zeros(shape)) for _ in range(config.layers)]
        layers = [under(p, f"attn_blocks.{layer}") for layer in range(config.layers)]

        def next_token(carry, given):
            token, caches = carry
            t, latent, position = given
            h = self.linear(jnp.tile(token, (branches, 1)), under(p, "proj_in"))
            h = h + position + classes
            written = []
            for own, cache in zip(layers, caches):
                moved, cache = self.attention_step(h, under(own, "attention"), cache, t)
                h = h + moved
                h = h + self.mlp(h, under(own, "mlp"))
                written.append(cache)
            out = self.linear(h, under(p, "proj_out"))
            if branches > 1:
                conditional, other = jnp.split(out, 2)
                out = conditional + weight * (conditional - other)
            a, b = jnp.split(out, 2, -1)
            token = latent * jnp.exp(a) + b
            return (token, written), token

        positions = reversed_if(turned, p["pos_embed"], 0)[:-1]
        given = (jnp.arange(config.tokens - 1), z[1:], positions)
        _, tokens = lax.scan(next_token, (z[0], caches), given)
        x = jnp.concatenate([z[:1], tokens]).swapaxes(0, 1)
        return reversed_if(turned, x, 1)

    def sample(self, parameters: Parameters, z: jax.Array, labels, weight: float) -> jax.Array:
        """Images from latents (batch, T, D); weight 0 is without guidance."""
        for index in reversed(range(self.config.blocks)):
            own = under(parameters, f"blocks.{index}")
            classes = self.class_term(own, labels)
            if weight > 0:
                absent = jnp.broadcast_to(self.class_term(own, None), classes.shape)
                classes = jnp.concatenate([classes, absent])
            z = self.inverse(index, own, z, classes, weight)
        return self.unpatchify(z)

    def denoise(self, parameters: Parameters, images: jax.Array, labels, sigma: float):
        """x + σ²·∇ log p(x)."""
        gradient = jax.grad(self.loss, 1)(parameters, images, labels)
        return images - sigma**2 * images.size * gradient
