"""The VAE of MLQ.ai's deep-learning guide, which follows the LazyProgrammer course, plainly in PyTorch.

Source: github.com/lazyprogrammer/machine_learning_examples, unsupervised_class3/vae_tf.py. 784-200-100 and back, ReLU;
mean and scale as the two halves of one layer, scale = softplus + 1e-6; pixels thresholded at 0.5, Bernoulli logits;
one draw, analytic KL; the cost *summed* over the batch of 64, the last short batch left out; TensorFlow's RMSProp with
rate 1e-3; 30 epochs. Weights there are N(0, 4 / fan-in): `2 / sqrt(fan-in)` stands in the code, where its Theano twin
has `sqrt(2 / fan-in)`; `--gain he` starts from the latter.

    python mlq_vae.py --data MNIST --epochs 30
"""

import common
import torch
from torch import Tensor, nn

import training

STD = {"source": lambda fan_in: 2 / fan_in**0.5, "he": lambda fan_in: (2 / fan_in) ** 0.5}


class MLQ(nn.Module):
    """Rows (B, 784) of zeros and ones -> negative ELBO (B,) in nats, with one draw."""

    def __init__(self, gain: str, hidden: int = 200, latent: int = 100):
        super().__init__()

        def layer(fan_in: int, fan_out: int) -> nn.Linear:
            return training.normal_layer(fan_in, fan_out, STD[gain](fan_in))

        self.encoder = layer(784, hidden)
        self.heads = layer(hidden, 2 * latent)
        self.decoder = layer(latent, hidden)
        self.logits = layer(hidden, 784)

    def forward(self, x: Tensor) -> Tensor:
        mean, raw = self.heads(torch.relu(self.encoder(x))).chunk(2, dim=1)
        scale = nn.functional.softplus(raw) + 1e-6
        z = mean + scale * training.NOISE.like(mean)
        logits = self.logits(torch.relu(self.decoder(z)))
        return training.bernoulli_cost(logits, x) + training.kl_to_standard_normal(mean, torch.log(scale))


def main() -> None:
    parser = common.options(__doc__, epochs=30)
    parser.add_argument("--gain", choices=sorted(STD), default="source", help="law of the initial weights")
    arguments = parser.parse_args()
    training.start(arguments)
    model = MLQ(arguments.gain)
    optimizer = training.TensorFlowRMSProp(model.parameters())
    training.train(arguments, "mlq-vae", model, optimizer, batch=64, prepare=training.threshold, reduce="sum")


if __name__ == "__main__":
    main()
