"""What the benchmark's peers have in common: they run workloads for bench.ts, one JSON object a line
in, one out.
"""

import json
import math
import sys
import time

import numpy as np
import safetensors.numpy

SIGMA = 0.1

# Of a training step; the rate is that of cases.ts.
ADAMW = {"lr": 1e-5, "betas": (0.9, 0.95), "eps": 1e-8, "weight_decay": 1e-4}

# Seconds from which one look at a way to run is enough.
LONG = 5


class Config:
    def __init__(self, config: dict):
        image = config["image"]
        self.kind = config["kind"]
        self.image = (image["channels"], image["height"], image["width"])
        self.patch = config["patchSize"]
        self.channels = config["channels"]
        # Of a TarFlow a number, of a STARFlow one for each block.
        self.layers = config["layersPerBlock"]
        self.blocks = config["blocks"] if self.kind == "tarflow" else len(self.layers)
        self.grid_side = config.get("gridSide")
        self.head_width = config["headWidth"]
        self.classes = config["classes"]
        self.tokens = (image["height"] // self.patch) * (image["width"] // self.patch)
        self.width = image["channels"] * self.patch**2


class Case:
    """One workload on one model: `step` is one repetition, its result on the host.

    A peer sets `ways`, where it can run the workload in several, and chooses between them in `take`.
    Where `compiles` is true, the first run in a way says nothing of its time.
    """

    def __init__(self, request: dict):
        self.request = request
        self.config = Config(request["config"])
        self.autocasts = request["precision"] == "bfloat16"
        self.trains = request["workload"] == "training step"
        self.weight = request.get("guidance", 1.0) if "guided" in request["workload"] else 0.0
        self.ways: list[tuple[str, ...]] = [()]
        self.compiles = False
        self.note = ""
        self.step = {
            "training step": self.train,
            "forward": self.forward,
            "sampling": self.sample,
            "guided sampling": self.sample,
            "denoising step": self.denoise,
        }[request["workload"]]

    def train(self) -> float:
        raise NotImplementedError

    def forward(self) -> float:
        raise NotImplementedError

    def sample(self):
        raise NotImplementedError

    def denoise(self):
        raise NotImplementedError

    def state(self) -> dict[str, np.ndarray]:
        """After a training step: `parameters.*`, and AdamW's moments `first.*` and `second.*`."""
        raise NotImplementedError

    def take(self, way: tuple[str, ...]):
        pass

    def end(self):
        pass

    def take_fastest(self) -> float:
        """Keeps the fastest way, by the best of three looks, or by one where that is long, and says how
        many seconds it took."""
        seconds = {}
        for way in self.ways * 3:
            best = seconds.get(way, math.inf)
            if LONG < best < math.inf:
                continue
            self.take(way)
            if self.compiles and best == math.inf:
                self.step()
            begun = time.perf_counter()
            self.step()
            seconds[way] = min(best, time.perf_counter() - begun)
        fastest = min(seconds, key=seconds.get)
        self.take(fastest)
        self.note = ", ".join(filter(None, fastest))
        return seconds[fastest]

    def results(self) -> dict[str, np.ndarray]:
        """What one run gives by each way, and AdamW's state after a training step."""
        found = {}
        for way in self.ways:
            self.take(way)
            result = self.step()
            kind = "loss" if isinstance(result, float) else "images"
            found["/".join([kind, *filter(None, way)])] = np.asarray(result, dtype=np.float32)
        return {**found, **(self.state() if self.trains else {})}


class Server:
    """The commands of bench.ts that are the same for every peer."""

    case_type: type[Case]

    def __init__(self):
        self.cases: dict[str, Case] = {}

    def hello(self, request: dict) -> dict:
        """What the peer is, and what it can."""
        raise NotImplementedError

    def product(self, request: dict):
        """One matrix product of `size`, waited for, as a function to call."""
        raise NotImplementedError

    def prepare(self, request: dict) -> dict:
        case = self.case_type(request)
        if len(case.ways) > 1:
            case.take_fastest()
        self.cases[request["name"]] = case
        return {"note": case.note}

    def look(self, request: dict) -> dict:
        """How long a case takes, from a few runs: `seconds`."""
        case = self.case_type(request)
        seconds = case.take_fastest()
        case.end()
        return {"seconds": seconds}

    def run(self, request: dict) -> dict:
        step = self.cases[request["name"]].step
        begun = time.perf_counter()
        for _ in range(request["times"]):
            step()
        return {"seconds": (time.perf_counter() - begun) / request["times"]}

    def release(self, request: dict) -> dict:
        self.cases.pop(request["name"]).end()
        return {}

    def check(self, request: dict) -> dict:
        """What the first run of a case gives, into a file."""
        case = self.case_type(request)
        found = {name: np.ascontiguousarray(value) for name, value in case.results().items()}
        safetensors.numpy.save_file(found, request["out"])
        case.end()
        return {}

    def peak(self, request: dict) -> dict:
        """Matrix products of `size`: seconds for one, the best of several."""
        product = self.product(request)
        best = math.inf
        for _ in range(request["times"]):
            begun = time.perf_counter()
            product()
            best = min(best, time.perf_counter() - begun)
        return {"seconds": best}


def serve(server: Server):
    # What libraries print must not come between the answers.
    answers = sys.stdout
    sys.stdout = sys.stderr
    for line in sys.stdin:
        request = json.loads(line)
        try:
            answer = getattr(server, request["command"])(request)
        except Exception as error:  # the benchmark says what failed and goes on
            answer = {"error": f"{type(error).__name__}: {error}".split("\n")[0]}
        print(json.dumps(answer), file=answers, flush=True)
