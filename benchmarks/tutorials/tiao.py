"""The VAE of "Implementing Variational Autoencoders in Keras: Beyond the Quickstart Tutorial", plainly in PyTorch.

Source: Louis Tiao, October 2017 (Keras 2.0). 784-256-2 and back, ReLU; Keras's own initial weights, Glorot-uniform,
with zero biases; a log-variance head; grey pixels with a cross-entropy summed over pixels, its probabilities kept 1e-7
from 0 and 1 as Keras does; one fresh draw, analytic KL, mean over the batch of 100; RMSprop with Keras's constants:
rate 1e-3, rho 0.9, no decay, mean square from zero, epsilon 1e-7 outside the root; 50 epochs. The test images are its
validation set after every epoch, so its numbers are not held out.

    python tiao.py --data MNIST --epochs 50
"""

import common
import torch
from torch import Tensor, nn

import training

FLOOR = 1e-7


def glorot_layer(fan_in: int, fan_out: int) -> nn.Linear:
    layer = nn.Linear(fan_in, fan_out)
    nn.init.xavier_uniform_(layer.weight)
    nn.init.zeros_(layer.bias)
    return layer


class Tiao(nn.Module):
    """Rows (B, 784) of grey values -> negative ELBO (B,) in nats, with one draw."""

    def __init__(self, hidden: int = 256, latent: int = 2):
        super().__init__()
        self.encoder = glorot_layer(784, hidden)
        self.mean = glorot_layer(hidden, latent)
        self.log_variance = glorot_layer(hidden, latent)
        self.decoder = glorot_layer(latent, hidden)
        self.pixels = glorot_layer(hidden, 784)

    def forward(self, x: Tensor) -> Tensor:
        hidden = torch.relu(self.encoder(x))
        mean, log_scale = self.mean(hidden), 0.5 * self.log_variance(hidden)
        z = mean + torch.exp(log_scale) * training.NOISE.like(mean)
        p = torch.sigmoid(self.pixels(torch.relu(self.decoder(z)))).clamp(FLOOR, 1 - FLOOR)
        # Keras turns the clipped probability back into a logit before its cross-entropy.
        logits = torch.log(p) - torch.log1p(-p)
        return training.bernoulli_cost(logits, x) + training.kl_to_standard_normal(mean, log_scale)


def main() -> None:
    arguments = common.options(__doc__, epochs=50).parse_args()
    training.start(arguments)
    model = Tiao()
    # torch's RMSprop is Keras's: alpha is rho, the mean square starts at zero, eps is added to the root.
    optimizer = torch.optim.RMSprop(model.parameters(), lr=1e-3, alpha=0.9, eps=1e-7)
    training.train(arguments, "tiao", model, optimizer, batch=100, prepare=training.grey, drop_last=False)


if __name__ == "__main__":
    main()
