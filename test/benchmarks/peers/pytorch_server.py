"""PyTorch as a peer of the benchmark: eager, or with `mode` "compile" by torch.compile."""

import contextlib
import copy
import itertools
import os
import shutil

import safetensors.torch
import torch

from pytorch_model import GrownCache, TarFlow, WrittenCache
from pytorch_starflow import StarFlow
from server import ADAMW, SIGMA, Case, Server, serve


class PyTorchCase(Case):
    def __init__(self, request: dict):
        super().__init__(request)
        self.device = torch.device(request["device"])
        given = safetensors.torch.load_file(request["file"], device=request["device"])
        self.images = given.pop("images")
        self.latents = given.pop("latents")
        self.labels = given.pop("labels").long() if "labels" in given else None
        kinds = {"tarflow": TarFlow, "starflow": StarFlow}
        self.model = kinds[self.config.kind](self.config).to(self.device)
        self.model.load_state_dict(given)
        self.optimizer = None
        if self.trains:
            self.optimizer = torch.optim.AdamW(self.model.parameters(), **ADAMW, fused=True)
        else:
            self.model.requires_grad_(False)
        self.models = {"": self.model}
        if self.autocasts and not self.trains:
            cast = copy.deepcopy(self.model).bfloat16()
            self.models = {"autocast": self.model, "model cast": cast}
        self.compiles = request["mode"] == "compile"
        compiled = torch.compile if self.compiles else lambda function: function
        self.losses = {name: compiled(model.loss) for name, model in self.models.items()}
        self.caches = {"": WrittenCache}
        if "sampling" in request["workload"]:
            self.caches = {"cache written in place": WrittenCache, "cache grown": GrownCache}
        # The ways to run that there are here: in bfloat16 by autocast or with a model of bfloat16, and
        # with either kind of cache.
        self.ways = list(itertools.product(self.models, self.caches))
        self.take(self.ways[0])

    def take(self, way: tuple[str, str]):
        model, cache = way
        self.model, self.loss = self.models[model], self.losses[model]
        self.autocasts = self.autocasts if self.trains else model == "autocast"
        self.cache_type = self.caches[cache]

    def autocast(self):
        if not self.autocasts:
            return contextlib.nullcontext()
        return torch.autocast(self.device.type, dtype=torch.bfloat16)

    def train(self):
        with self.autocast():
            loss = self.loss(self.images, self.labels)
        loss.backward()
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        return loss.item()

    @torch.inference_mode()
    def forward(self):
        with self.autocast():
            return self.loss(self.images, self.labels).item()

    def sample(self):
        with self.autocast():
            images = self.model.sample(self.latents, self.labels, self.weight, self.cache_type)
        return images.cpu()

    def denoise(self):
        with self.autocast():
            return self.model.denoise(self.images, self.labels, SIGMA, self.loss).cpu()

    def state(self):
        found = {}
        for name, p in self.model.named_parameters():
            moments = self.optimizer.state[p]
            found[f"parameters.{name}"] = p
            found[f"first.{name}"] = moments["exp_avg"]
            found[f"second.{name}"] = moments["exp_avg_sq"]
        return {name: value.detach().cpu().numpy() for name, value in found.items()}

    def end(self):
        if self.compiles:
            # Else the next model counts as the same function compiled again, of which there is a limit.
            torch.compiler.reset()


class PyTorchServer(Server):
    case_type = PyTorchCase

    def hello(self, request: dict) -> dict:
        torch.set_num_threads(request["threads"])
        if torch.cuda.is_available() and os.environ.get("NVIDIA_TF32_OVERRIDE") != "0":
            # As TensorFlow does by itself.
            torch.backends.cuda.matmul.fp32_precision = "tf32"
        return {
            "version": f"PyTorch {torch.__version__}",
            "threads": torch.get_num_threads(),
            "gpu": torch.cuda.get_device_name(0) if torch.cuda.is_available() else None,
            # Without AVX-512 its products of bfloat16 take a hundred times as long as of float32.
            "bfloat16": torch.cuda.is_available()
            or torch.ops.mkldnn._is_mkldnn_bf16_supported(),
            "compiler": any(shutil.which(name) for name in ("c++", "g++", "clang++")),
        }

    def product(self, request: dict):
        size, device = request["size"], request["device"]
        dtype = getattr(torch, request["precision"])
        a, b = (torch.randn(size, size, dtype=dtype, device=device) for _ in range(2))

        def once():
            if torch.matmul(a, b).is_cuda:
                torch.cuda.synchronize()

        return once


serve(PyTorchServer())
