"""JAX as a peer of the benchmark: every workload is one compiled function."""

import jax
import jax.numpy as jnp
import numpy as np
import safetensors.numpy

from jax_model import Parameters, TarFlow
from server import ADAMW, SIGMA, Case, Server, serve


def with_matrices(parameters, change):
    """Parameters with the weights of linear layers changed."""
    return {
        name: change(value) if name.endswith("weight") and value.ndim == 2 else value
        for name, value in parameters.items()
    }


def transposed(parameters):
    """Weights of linear layers from (outputs, inputs) to (inputs, outputs), or back."""
    return with_matrices(parameters, lambda weight: weight.T)


def adamw(p, g, first, second, count):
    """One update of a tensor (Loshchilov and Hutter 2019), the number `count` from 1."""
    (beta1, beta2), rate = ADAMW["betas"], ADAMW["lr"]
    first = beta1 * first + (1 - beta1) * g
    second = beta2 * second + (1 - beta2) * jnp.square(g)
    corrected = first / (1 - beta1**count), second / (1 - beta2**count)
    move = corrected[0] / (jnp.sqrt(corrected[1]) + ADAMW["eps"])
    return p - rate * (ADAMW["weight_decay"] * p + move), first, second


class JaxCase(Case):
    def __init__(self, request: dict):
        super().__init__(request)
        self.compiles = True
        given = safetensors.numpy.load_file(request["file"])
        self.images = jnp.asarray(given.pop("images"))
        self.latents = jnp.asarray(given.pop("latents"))
        self.labels = jnp.asarray(given.pop("labels")) if "labels" in given else None
        dtype = jnp.bfloat16 if self.autocasts else jnp.float32
        self.model = TarFlow(self.config, dtype)
        parameters = {name: jnp.asarray(value) for name, value in transposed(given).items()}
        if self.trains:
            zeros = [{name: jnp.zeros_like(p) for name, p in parameters.items()} for _ in range(2)]
            self.optimised = (parameters, *zeros, jnp.float32(0))
            self.compiled = jax.jit(self.update, donate_argnums=0)
            return
        self.parameters = with_matrices(parameters, lambda weight: weight.astype(dtype))
        compute = {
            "forward": self.model.loss,
            "denoising step": lambda *given: self.model.denoise(*given, SIGMA),
        }.get(request["workload"], lambda *given: self.model.sample(*given, self.weight))
        self.compiled = jax.jit(compute)

    def update(self, optimised, images, labels):
        parameters, first, second, count = optimised
        count = count + 1
        loss, gradient = jax.value_and_grad(self.model.loss)(parameters, images, labels)
        updated = {
            name: adamw(p, gradient[name], first[name], second[name], count)
            for name, p in parameters.items()
        }
        parts: list[Parameters] = [
            {name: values[part] for name, values in updated.items()} for part in range(3)
        ]
        return (*parts, count), loss

    def train(self):
        self.optimised, loss = self.compiled(self.optimised, self.images, self.labels)
        return float(loss)

    def forward(self):
        return float(self.compiled(self.parameters, self.images, self.labels))

    def sample(self):
        return np.asarray(self.compiled(self.parameters, self.latents, self.labels))

    def denoise(self):
        return np.asarray(self.compiled(self.parameters, self.images, self.labels))

    def state(self):
        kinds = ("parameters", "first", "second")
        return {
            f"{kind}.{name}": np.asarray(value)
            for kind, tensors in zip(kinds, self.optimised)
            for name, value in transposed(tensors).items()
        }


class JaxServer(Server):
    case_type = JaxCase

    def hello(self, request: dict) -> dict:
        # Threads are limited by NPROC, which the process starts with.
        first = jax.devices()[0]
        gpu = first.device_kind if first.platform == "gpu" else None
        return {"version": f"JAX {jax.__version__}", "gpu": gpu}

    def product(self, request: dict):
        size = request["size"]
        random = np.random.default_rng(1)
        a, b = (
            jnp.asarray(random.standard_normal((size, size), np.float32), request["precision"])
            for _ in range(2)
        )
        multiply = jax.jit(lambda a, b: jnp.matmul(a, b, preferred_element_type=jnp.float32))
        multiply(a, b).block_until_ready()
        return lambda: multiply(a, b).block_until_ready()


serve(JaxServer())
