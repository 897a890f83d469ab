"""The VAE of "Introducing Variational Autoencoders (in Prose and Code)", plainly in PyTorch.

Source: Fast Forward Labs, August 2016, parts I and II, with github.com/fastforwardlabs/vae-tf. A 784-500-500-50
encoder, mirrored decoder, ELU; weights N(0, 2 / fan-in), zero biases; a log-sigma head; grey pixels with a
cross-entropy whose probabilities are kept 1e-7 from 0 and 1; one draw, analytic KL, mean over the batch of 128; every
entry of the gradient clipped to +-5; Adam 1e-3. Optional, as in the source: weights dropped out (one mask for the whole
batch, kept ones divided by the keep probability, biases never dropped) and an L2 penalty of
l2 * sum over weight matrices of |w|^2 / 2, added to the mean cost before clipping.

    python fast_forward.py --data MNIST --epochs 10 [--latent 2] [--keep 0.9] [--l2 1e-5]
"""

import itertools

import common
import torch
from torch import Tensor, nn

import training

FLOOR = 1e-7


class FastForward(nn.Module):
    """Rows (B, 784) of grey values -> negative ELBO (B,) in nats, with one draw."""

    def __init__(self, widths: list[int], keep: float):
        super().__init__()
        *hidden, latent = widths
        back = [latent, *reversed(hidden)]
        he = [training.normal_layer(i, o, (2 / i) ** 0.5) for i, o in itertools.pairwise(hidden)]
        self.encoder = nn.ModuleList(he)
        self.mean = training.normal_layer(hidden[-1], latent, (2 / hidden[-1]) ** 0.5)
        self.log_scale = training.normal_layer(hidden[-1], latent, (2 / hidden[-1]) ** 0.5)
        self.decoder = nn.ModuleList(training.normal_layer(i, o, (2 / i) ** 0.5) for i, o in itertools.pairwise(back))
        self.drop = 1 - keep

    def dense(self, layer: nn.Linear, x: Tensor) -> Tensor:
        weight = nn.functional.dropout(layer.weight, self.drop, self.training) if self.drop else layer.weight
        return nn.functional.linear(x, weight, layer.bias)

    def forward(self, x: Tensor) -> Tensor:
        hidden = x
        for layer in self.encoder:
            hidden = nn.functional.elu(self.dense(layer, hidden))
        mean, log_scale = self.dense(self.mean, hidden), self.dense(self.log_scale, hidden)
        hidden = mean + torch.exp(log_scale) * training.NOISE.like(mean)
        for layer in self.decoder[:-1]:
            hidden = nn.functional.elu(self.dense(layer, hidden))
        p = torch.sigmoid(self.dense(self.decoder[-1], hidden)).clamp(FLOOR, 1 - FLOOR)
        cost = -(x * torch.log(p) + (1 - x) * torch.log(1 - p)).sum(1)
        return cost + training.kl_to_standard_normal(mean, log_scale)

    def squared_weights(self) -> Tensor:
        layers = (module for module in self.modules() if isinstance(module, nn.Linear))
        return torch.stack([layer.weight.square().sum() for layer in layers]).sum()


def main() -> None:
    parser = common.options(__doc__)
    parser.add_argument("--latent", type=int, default=50)
    parser.add_argument("--keep", type=float, default=1.0, help="probability of keeping a weight")
    parser.add_argument("--l2", type=float, default=0.0, help="coefficient of sum |w|^2 / 2")
    arguments = parser.parse_args()
    training.start(arguments)
    model = FastForward([784, 500, 500, arguments.latent], arguments.keep)
    training.train(
        arguments,
        "fast-forward" if arguments.latent != 2 else "fast-forward-2d",
        model,
        torch.optim.Adam(model.parameters(), lr=1e-3),
        batch=128,
        prepare=training.grey,
        clip=5.0,
        penalty=(lambda: arguments.l2 * model.squared_weights() / 2) if arguments.l2 else None,
    )


if __name__ == "__main__":
    main()
