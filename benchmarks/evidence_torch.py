"""The same log p(x) as `evidence.py` in PyTorch: a plain loop, and Pythae's own `get_nll`, seconds an image.

    PYTHON benchmarks/evidence_torch.py [--rows 100] [--samples 1000] [--pythae] [--json]

Runs under an interpreter that has PyTorch (and Pythae, with `--pythae`); nothing of latens is imported. The loop takes
as many images at once as give 25,000 draws. Pythae goes image by image, 100 draws at a time, and encodes each time.
"""

import argparse
import itertools
import json
import math
import time

import torch
from torch import nn

WIDTHS = (784, 200, 200, 50)


def mlp(*widths: int) -> nn.Sequential:
    """Dense layers with tanh between them."""
    layers: list[nn.Module] = []
    for n_in, n_out in itertools.pairwise(widths):
        layers += [nn.Linear(n_in, n_out), nn.Tanh()]
    return nn.Sequential(*layers[:-1])


@torch.no_grad()
def plain(x: torch.Tensor, num_samples: int) -> torch.Tensor:
    """log p(x) of every row by importance sampling, in nats: shape (n,)."""
    encoder, decoder = mlp(784, 200, 200, 100), mlp(50, 200, 200, 784)
    found = []
    for rows in x.split(max(1, 25_000 // num_samples)):
        mean, log_scale = encoder(rows).chunk(2, dim=1)
        noise = torch.randn(num_samples, len(rows), 50)
        z = mean + log_scale.exp() * noise
        logits = decoder(z)
        likelihood = (rows * logits - nn.functional.softplus(logits)).sum(-1)
        prior_less_posterior = (-0.5 * z.square() + 0.5 * noise.square() + log_scale).sum(-1)
        found.append(torch.logsumexp(likelihood + prior_less_posterior, 0) - math.log(num_samples))
    return torch.cat(found)


def pythae(x: torch.Tensor, num_samples: int) -> None:
    """Pythae's own estimate with networks of the same size."""
    from pythae.models import VAE, VAEConfig
    from pythae.models.base.base_utils import ModelOutput
    from pythae.models.nn import BaseDecoder, BaseEncoder

    class Encoder(BaseEncoder):
        def __init__(self) -> None:
            super().__init__()
            self.net = mlp(784, 200, 200, 100)

        def forward(self, x: torch.Tensor) -> ModelOutput:
            mean, log_variance = self.net(x).chunk(2, dim=1)
            return ModelOutput(embedding=mean, log_covariance=log_variance)

    class Decoder(BaseDecoder):
        def __init__(self) -> None:
            super().__init__()
            self.net = mlp(50, 200, 200, 784)

        def forward(self, z: torch.Tensor) -> ModelOutput:
            return ModelOutput(reconstruction=torch.sigmoid(self.net(z)))

    config = VAEConfig(input_dim=(784,), latent_dim=50, reconstruction_loss="bce")
    model = VAE(config, encoder=Encoder(), decoder=Decoder())
    with torch.no_grad():
        model.get_nll(x, n_samples=num_samples, batch_size=100)


def seconds_an_image(run, x: torch.Tensor, num_samples: int) -> float:
    """After one short run to warm up."""
    run(x[:2], num_samples)
    began = time.perf_counter()
    run(x, num_samples)
    return (time.perf_counter() - began) / len(x)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=100)
    parser.add_argument("--samples", type=int, default=1000)
    parser.add_argument("--pythae", action="store_true")
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    torch.manual_seed(0)
    x = (torch.rand(arguments.rows, 784) < 0.2).float()
    found = {"plain": seconds_an_image(plain, x, arguments.samples)}
    if arguments.pythae:
        found["pythae"] = seconds_an_image(pythae, x, arguments.samples)
    found = {name: round(value, 6) for name, value in found.items()}
    if arguments.json:
        print(
            json.dumps({**found, "num_samples": arguments.samples, "rows": arguments.rows, "torch": torch.__version__})
        )
        return
    for name, value in found.items():
        print(f"{name}: {1e3 * value:.2f} ms an image at K = {arguments.samples}")


if __name__ == "__main__":
    main()
