"""The small MNIST VAE many notebooks carry, plainly in PyTorch.

Source: the TensorFlow notebook in the manner of github.com/wiseodd/generative-models (there with ReLU). 784-128-100
and back, ELU; weights N(0, 2 / fan-in) under the name Xavier, zero biases; a log-variance head; grey pixels with a
cross-entropy on logits; one draw, analytic KL, mean over the batch of 64; Adam 1e-3; published for 1,000,000 steps
(about 1,067 epochs of 60,000 rows), with 16 prior samples drawn every 1,000.

    python notebook.py --data MNIST --epochs 10
"""

import common
import torch
from torch import Tensor, nn

import training


class Notebook(nn.Module):
    """Rows (B, 784) of grey values -> negative ELBO (B,) in nats, with one draw."""

    def __init__(self, hidden: int = 128, latent: int = 100):
        super().__init__()

        def layer(fan_in: int, fan_out: int) -> nn.Linear:
            return training.normal_layer(fan_in, fan_out, (2 / fan_in) ** 0.5)

        self.encoder = layer(784, hidden)
        self.mean = layer(hidden, latent)
        self.log_variance = layer(hidden, latent)
        self.decoder = layer(latent, hidden)
        self.logits = layer(hidden, 784)

    def forward(self, x: Tensor) -> Tensor:
        hidden = nn.functional.elu(self.encoder(x))
        mean, log_scale = self.mean(hidden), 0.5 * self.log_variance(hidden)
        z = mean + torch.exp(log_scale) * training.NOISE.like(mean)
        logits = self.logits(nn.functional.elu(self.decoder(z)))
        return training.bernoulli_cost(logits, x) + training.kl_to_standard_normal(mean, log_scale)


def main() -> None:
    arguments = common.options(__doc__).parse_args()
    training.start(arguments)
    model = Notebook()
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
    training.train(arguments, "notebook", model, optimizer, batch=64, prepare=training.grey)


if __name__ == "__main__":
    main()
