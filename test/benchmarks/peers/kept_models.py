"""Trains a kept implementation of a kind of model as ours is trained, for ../kept-checks.ts:

    python kept_models.py TASK.json

The task names the kind, a learning rate, the operations in all, a batch, and files with grey levels and labels in
the order in which they are read. Images are read once each. The last line of output is a JSON object.
"""

import importlib.metadata
import json
import math
import sys
import time
import types

import numpy as np

with open(sys.argv[1]) as file:
    task = json.load(file)
levels = np.fromfile(task["images"], np.uint8).reshape(-1, *task["shape"])
labels = np.fromfile(task["labels"], np.uint8).astype(np.int64)
batch = task["batchSize"]
random = np.random.default_rng(1)
# So many images have been drawn as samples, and so many steps tell the loss.
drawn, told = 2000, 40


def rate_at(step: int, steps: int) -> float:
    """The share of the learning rate: linear for 30 steps, then a cosine, as ours."""
    warm = min(30, steps // 2)
    if step < warm:
        return (step + 1) / warm
    return 0.5 * (1 + math.cos(math.pi * (step - warm) / max(1, steps - warm)))


def batches(steps: int):
    """Grey levels and labels, each image once before any comes again."""
    for step in range(steps):
        rows = np.arange(step * batch, (step + 1) * batch) % len(levels)
        yield step, levels[rows], labels[rows]


def with_torch():
    import torch

    torch.manual_seed(1)
    from torch.utils.flop_counter import FlopCounterMode

    def counted(one) -> float:
        with FlopCounterMode(display=False) as counter:
            one()
        return counter.get_total_flops()

    def optimizer(model, rate, betas=(0.9, 0.95), decay=1e-4):
        return torch.optim.AdamW(model.parameters(), lr=rate, betas=betas, weight_decay=decay)

    return torch, counted, optimizer


def trained(network, loss_of, library):
    """Trains by AdamW as ours: a warm-up, a cosine, gradients of at most norm 1."""
    torch, counted, optimizer = with_torch()
    first = next(batches(1))[1:]

    def once():
        loss_of(*first).backward()

    once()
    network.zero_grad()
    operations = counted(once)
    network.zero_grad()
    steps = round(task["operations"] / operations)
    optimize = optimizer(network, task["learningRate"])
    losses = []
    for step, x, y in batches(steps):
        for group in optimize.param_groups:
            group["lr"] = task["learningRate"] * rate_at(step, steps)
        loss = loss_of(x, y)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(network.parameters(), 1.0)
        optimize.step()
        optimize.zero_grad()
        losses.append(loss.item())
    parameters = sum(one.numel() for one in network.parameters())
    return {"library": library, "parameters": parameters, "steps": steps, "losses": losses[-told:]}


def diffusion():
    torch, _, _ = with_torch()
    import diffusers

    channels, side = task["shape"][0], task["shape"][1]
    network = diffusers.DiTTransformer2DModel(
        num_attention_heads=2, attention_head_dim=64, num_layers=16, in_channels=channels, out_channels=channels,
        sample_size=side, patch_size=4, num_embeds_ada_norm=10, norm_type="ada_norm_zero", norm_elementwise_affine=False,
    )  # fmt: skip
    # As the authors of DiT begin: each layer is the identity.
    for name, weight in network.named_parameters():
        if "norm1.linear" in name or "proj_out" in name:
            torch.nn.init.zeros_(weight)
    kind = task["kind"]

    def loss_of(x, y):
        level = torch.from_numpy(x.astype(np.float32) + random.random(x.shape, np.float32))
        images = level / 128 - 1
        noise = torch.randn_like(images)
        t = torch.rand(len(x), 1, 1, 1)
        angle = 1e-3 + t * (math.pi / 2 - 9e-3)
        signal, deviation = (1 - t, t) if kind == "rectified-flow" else (torch.cos(angle), torch.sin(angle))
        noisy = images * signal + noise * deviation
        target = {
            "epsilon": noise,
            "v": noise * signal - images * deviation,
            "rectified-flow": noise - images,
        }[kind]
        found = network(noisy, timestep=1000 * t.flatten(), class_labels=torch.from_numpy(y)).sample
        return torch.mean((found - target) ** 2)

    return trained(network, loss_of, f"DiTTransformer2DModel of diffusers {diffusers.__version__}")


def vae():
    torch, _, _ = with_torch()
    import diffusers

    channels = task["shape"][0]
    levels_of = (32, 64, 64)
    network = diffusers.AutoencoderKL(
        in_channels=channels, out_channels=2 * channels, block_out_channels=levels_of, layers_per_block=1,
        down_block_types=("DownEncoderBlock2D",) * 3, up_block_types=("UpDecoderBlock2D",) * 3,
        latent_channels=4, norm_num_groups=8, mid_block_add_attention=False,
    )  # fmt: skip
    size = math.prod(task["shape"])

    def log_prob(x, mean, log_scale):
        """Of grey levels under logistics that are cut into them."""
        scale = torch.exp(-log_scale)
        above, below = (x - mean + 1 / 255) * scale, (x - mean - 1 / 255) * scale
        mass = torch.clamp(torch.sigmoid(above) - torch.sigmoid(below), min=1e-12)
        inside = torch.where(x < -0.999, torch.nn.functional.logsigmoid(above), torch.log(mass))
        return torch.where(x > 0.999, torch.nn.functional.logsigmoid(-below), inside)

    def loss_of(x, _):
        images = torch.from_numpy(x.astype(np.float32)) / 127.5 - 1
        posterior = network.encode(images).latent_dist
        mean, raw = network.decode(posterior.sample()).sample.chunk(2, 1)
        error = -log_prob(images, mean, raw.clamp(-7, 3)).sum((1, 2, 3))
        return torch.mean(error + posterior.kl()) / size

    return trained(network, loss_of, f"AutoencoderKL of diffusers {diffusers.__version__}")


def pixelcnn():
    import os

    os.environ["TF_USE_LEGACY_KERAS"] = "1"
    import tensorflow as tf
    import tensorflow_probability as tfp

    tf.random.set_seed(1)
    channels, height, width = task["shape"]
    # Halved as often as sides allow.
    hierarchies = 1 + min(2, *((side & -side).bit_length() - 1 for side in (height, width)))
    sizes = {"num_resnet": 1, "num_hierarchies": hierarchies, "num_filters": 32, "num_logistic_mix": 5}

    def made(normal: bool):
        return tfp.distributions.PixelCNN(
            image_shape=(height, width, channels), conditional_shape=(), **sizes, dropout_p=0.0,
            high=255, low=0, use_weight_norm=normal, use_data_init=False,
        )  # fmt: skip

    def loss_of(x, y, network):
        return -tf.reduce_mean(network.log_prob(x, conditional_input=y, training=True)) / math.prod(task["shape"])

    given = [tf.TensorSpec((batch, height, width, channels)), tf.TensorSpec((batch,))]
    x, y = next(batches(1))[1:]
    first = tf.constant(x.transpose(0, 2, 3, 1), tf.float32), tf.constant(y, tf.float32)
    network, plain = made(True), made(False)
    for one in (network, plain):
        loss_of(*first, one)
    # Operations are those of its products and convolutions; a graph with weight norm cannot be counted.
    once = tf.function(lambda x, y: loss_of(x, y, plain), input_signature=given).get_concrete_function()
    from tensorflow.python.framework.convert_to_constants import convert_variables_to_constants_v2

    graph = convert_variables_to_constants_v2(once).graph
    with graph.as_default():
        options = tf.compat.v1.profiler.ProfileOptionBuilder.float_operation()
        options["output"] = "none"
        forward = tf.compat.v1.profiler.profile(graph, options=options).total_float_ops
    steps = round(task["operations"] / (3 * forward))
    rate = tf.Variable(0.0)
    optimize = tf.keras.optimizers.legacy.Adam(rate, beta_1=0.9, beta_2=0.95)
    weights = network.trainable_variables

    @tf.function(input_signature=given)
    def step_of(x, y):
        with tf.GradientTape() as tape:
            loss = loss_of(x, y, network)
        slopes, _ = tf.clip_by_global_norm(tape.gradient(loss, weights), 1.0)
        optimize.apply_gradients(zip(slopes, weights))
        return loss

    losses = []
    for step, x, y in batches(steps):
        rate.assign(task["learningRate"] * rate_at(step, steps))
        losses.append(float(step_of(x.transpose(0, 2, 3, 1).astype(np.float32), y.astype(np.float32))))
    parameters = int(sum(np.prod(one.shape) for one in weights))
    library = f"PixelCNN of TensorFlow Probability {tfp.__version__}"
    return {"library": library, "parameters": parameters, "steps": steps, "losses": losses[-told:]}


def gan():
    torch, counted, _ = with_torch()
    # What its data sets, which are not used, import of an older PyTorch.
    sys.modules["torch._six"] = types.SimpleNamespace(PY3=True)
    from torch_mimicry.nets.cgan_pd import cgan_pd_32
    from torch_mimicry.training.metric_log import MetricLog

    channels, height, width = task["shape"]
    judged = task["discriminatorSteps"]
    sizes = {"num_classes": 10, "ngf": 64, "nz": 64}
    make = cgan_pd_32.CGANPDGenerator32(**sizes)
    judge = cgan_pd_32.CGANPDDiscriminator32(num_classes=10, ndf=64)
    optimizers = [torch.optim.Adam(one.parameters(), lr=task["learningRate"], betas=(0.0, 0.9)) for one in (judge, make)]
    log = MetricLog()
    # Its networks are of RGB and 32×32: grey levels three times, and black around.
    around = [(32 - width) // 2, (33 - width) // 2, (32 - height) // 2, (33 - height) // 2]

    def images_of(x):
        grey = torch.from_numpy(x.astype(np.float32)) / 127.5 - 1
        return torch.nn.functional.pad(grey.expand(-1, 3, -1, -1), around, value=-1.0)

    def step_of(x, y, all_of_it):
        real = (images_of(x), torch.from_numpy(y))
        judge.train_step(real, make, optimizers[0], log, device="cpu")
        if all_of_it:
            make.train_step(real, judge, optimizers[1], log, device="cpu")

    first = next(batches(1))[1:]
    alone = counted(lambda: step_of(*first, False))
    both = counted(lambda: step_of(*first, True))
    steps = round(task["operations"] / (((judged - 1) * alone + both) / judged))
    for step, x, y in batches(steps):
        step_of(x, y, step % judged == judged - 1)
    with torch.no_grad():
        parts = [
            make(torch.randn(len(rows), 64), torch.from_numpy(np.sort(labels)[rows]))
            for rows in (np.arange(drawn) * len(labels) // drawn).reshape(-1, 100)
        ]
    samples = torch.cat(parts)[:, :, around[2] : 32 - around[3], around[0] : 32 - around[1]]
    kept = samples.mean(1, keepdim=True) if channels == 1 else samples
    kept.numpy().astype(np.float32).tofile(task["samples"])
    parameters = sum(one.numel() for net in (make, judge) for one in net.parameters())
    library = f"cGAN-PD of torch-mimicry {importlib.metadata.version('torch-mimicry')}"
    return {"library": library, "parameters": parameters, "steps": steps, "losses": []}


kinds = {"pixelcnn": pixelcnn, "vae": vae, "gan": gan}
begun = time.perf_counter()
answer = kinds.get(task["kind"], diffusion)()
print(json.dumps({**answer, "seconds": time.perf_counter() - begun}))
