"""The PyTorch side the tutorial programs share: initial weights, two optimizers of old, the epoch loop, evaluation."""

import argparse
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import common
import numpy as np
import torch
from torch import Tensor, nn

Prepare = Callable[[Tensor], Tensor]


class Noise:
    """Standard normal draws: fresh ones, or those of a file (rows, latent units) from its first row on."""

    given: np.ndarray | None = None
    used: int = 0

    def read(self, path: Path) -> None:
        self.given, self.used = np.load(path, mmap_mode="c"), 0

    def like(self, array: Tensor) -> Tensor:
        if self.given is None:
            return torch.randn_like(array)
        start, self.used = self.used, self.used + len(array)
        return torch.from_numpy(self.given[start : self.used])


NOISE = Noise()


def take_weights(model: nn.Module, path: Path) -> None:
    """Set every dense layer, in the order of definition, from arrays "weight 0" (in, out), "bias 0", "weight 1", ...

    An array with more columns than a layer has outputs serves the next layers too: heads that lie side by side.
    """
    arrays = np.load(path)
    pairs = [(arrays[f"weight {i}"], arrays[f"bias {i}"]) for i in range(len(arrays.files) // 2)]
    with torch.no_grad():
        for layer in (module for module in model.modules() if isinstance(module, nn.Linear)):
            if not pairs:
                raise SystemExit(f"{path} has too few layers")
            weight, bias = pairs.pop(0)
            n = layer.out_features
            layer.weight.copy_(torch.from_numpy(weight[:, :n].T.copy()))
            layer.bias.copy_(torch.from_numpy(bias[:n].copy()))
            if weight.shape[1] > n:
                pairs.insert(0, (weight[:, n:], bias[n:]))
    if pairs:
        raise SystemExit(f"{path}: {len(pairs)} layers are left over")


def grey(pixels: Tensor) -> Tensor:
    """uint8 pixels as grey values in [0, 1]."""
    return pixels.float() / 255


def threshold(pixels: Tensor) -> Tensor:
    """uint8 pixels as 0 or 1: on where the grey value is above 0.5."""
    return (pixels.float() / 255 > 0.5).float()


def normal_layer(fan_in: int, fan_out: int, std: float) -> nn.Linear:
    """A dense layer with weights N(0, std^2) and zero biases."""
    layer = nn.Linear(fan_in, fan_out)
    nn.init.normal_(layer.weight, 0.0, std)
    nn.init.zeros_(layer.bias)
    return layer


def kl_to_standard_normal(mean: Tensor, log_scale: Tensor) -> Tensor:
    """KL(N(mean, scale^2) || N(0, 1)) in nats, summed over the latent units: shape (B,)."""
    return (0.5 * (torch.exp(2 * log_scale) + mean**2 - 1) - log_scale).sum(1)


def bernoulli_cost(logits: Tensor, x: Tensor) -> Tensor:
    """-log p(x) of Bernoulli pixels in nats (a cross-entropy where x is grey), summed over pixels: shape (B,)."""
    return nn.functional.binary_cross_entropy_with_logits(logits, x, reduction="none").sum(1)


class TensorFlowRMSProp(torch.optim.Optimizer):
    """RMSProp as `tf.train.RMSPropOptimizer` had it: p -= rate g / sqrt(s + epsilon), s <- decay s + (1 - decay) g^2.

    It differs from `torch.optim.RMSprop` twice: the mean square s starts at one, so that the first steps are short, and
    epsilon stands inside the root.
    """

    def __init__(self, params: Iterable[Tensor], rate: float = 1e-3, decay: float = 0.9, epsilon: float = 1e-10):
        super().__init__(params, {"rate": rate, "decay": decay, "epsilon": epsilon})

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> None:
        for group in self.param_groups:
            for param in group["params"]:
                state = self.state[param]
                if not state:
                    state["square"] = torch.ones_like(param)
                state["square"].mul_(group["decay"]).addcmul_(param.grad, param.grad, value=1 - group["decay"])
                param.addcdiv_(param.grad, (state["square"] + group["epsilon"]).sqrt(), value=-group["rate"])


@torch.no_grad()
def evaluate(model: nn.Module, rows: Tensor, prepare: Prepare, batch: int = 1000) -> float:
    """The negative ELBO (or the autoencoder's cost) in nats per image over all of `rows`, one draw for each."""
    model.eval()
    total = sum(model(prepare(part)).double().sum().item() for part in rows.split(batch))
    model.train()
    return total / len(rows)


def train(
    arguments: argparse.Namespace,
    name: str,
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    *,
    batch: int,
    prepare: Prepare,
    reduce: str = "mean",
    drop_last: bool = True,
    clip: float | None = None,
    penalty: Callable[[], Tensor] | None = None,
) -> dict[str, Any]:
    """Train `model` (rows -> cost per row in nats) for `arguments.epochs`, telling the test objective after each.

    `reduce` says what is differentiated, the batch's "mean" or "sum"; `clip` bounds every entry of the gradient;
    `penalty` is added to the reduced cost. The time for rows/s is that of training alone. With `arguments.given` the
    initial weights, every epoch's rows and all noise come from that folder, as `compare.py --paired` makes it.
    """
    data = common.load_mnist(arguments.data)
    rows = torch.from_numpy(data["x_train"].copy())[: arguments.rows]
    test = torch.from_numpy(data["x_test"].copy())
    given = None if arguments.given is None else Path(arguments.given)
    if given is not None:
        take_weights(model, given / "weights.npz")
    epochs, steps = [], 0
    for epoch in range(1, arguments.epochs + 1):
        began, seen = time.perf_counter(), 0
        if given is None:
            order = torch.randperm(len(rows))
        else:
            order = torch.from_numpy(np.load(given / f"order {epoch}.npy"))
            NOISE.read(given / f"noise {epoch}.npy")
        for chosen in order.split(batch):
            if drop_last and len(chosen) < batch:
                continue
            costs = model(prepare(rows[chosen]))
            objective = costs.mean() if reduce == "mean" else costs.sum()
            if penalty is not None:
                objective = objective + penalty()
            optimizer.zero_grad()
            objective.backward()
            if clip is not None:
                nn.utils.clip_grad_value_(model.parameters(), clip)
            optimizer.step()
            steps, seen = steps + 1, seen + len(chosen)
        speed = seen / (time.perf_counter() - began)
        if given is not None:
            NOISE.read(given / "test noise.npy")
        value = evaluate(model, test, prepare)
        epochs.append({"epoch": epoch, "steps": steps, "test_objective": value, "rows_per_second": round(speed, 1)})
        common.say(arguments, f"epoch {epoch}: test objective {value:.3f} nats per image, {speed:,.0f} rows/s")
    result = {
        "tutorial": name,
        "seed": arguments.seed,
        "train_rows": len(rows),
        "test_rows": len(test),
        "unit": "nats per image",
        "epochs": epochs,
        "torch": torch.__version__,
    }
    common.finish(arguments, result)
    return result


def start(arguments: argparse.Namespace) -> None:
    """Seed and threads, before anything is drawn."""
    torch.set_num_threads(arguments.threads)
    torch.manual_seed(arguments.seed)
