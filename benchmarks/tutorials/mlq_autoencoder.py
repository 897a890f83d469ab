"""The plain autoencoder of MLQ.ai's deep-learning guide, which follows the LazyProgrammer course, in PyTorch.

Source: github.com/lazyprogrammer/machine_learning_examples, unsupervised_class3/autoencoder_tf.py. 784-300-784, ReLU,
logits out; a cross-entropy summed over pixels *and* the batch of 64, the last short batch left out; grey pixels there,
`--threshold` turns them to 0 and 1 at 0.5; weights N(0, 2 / fan-out), zero biases; TensorFlow's RMSProp with rate
1e-3; 30 epochs. The test objective is the cross-entropy in nats per image: no KL, no draw, so it is no ELBO.

    python mlq_autoencoder.py --data MNIST --epochs 30
"""

import common
import torch
from torch import Tensor, nn

import training


class Autoencoder(nn.Module):
    """Rows (B, 784) -> cross-entropy (B,) of each row with its reconstruction, in nats."""

    def __init__(self, hidden: int = 300):
        super().__init__()
        self.encoder = training.normal_layer(784, hidden, (2 / hidden) ** 0.5)
        self.decoder = training.normal_layer(hidden, 784, (2 / 784) ** 0.5)

    def forward(self, x: Tensor) -> Tensor:
        return training.bernoulli_cost(self.decoder(torch.relu(self.encoder(x))), x)


def main() -> None:
    parser = common.options(__doc__, epochs=30)
    parser.add_argument("--threshold", action="store_true", help="pixels to 0 and 1 at 0.5")
    arguments = parser.parse_args()
    training.start(arguments)
    model = Autoencoder()
    optimizer = training.TensorFlowRMSProp(model.parameters())
    prepare = training.threshold if arguments.threshold else training.grey
    training.train(arguments, "mlq-autoencoder", model, optimizer, batch=64, prepare=prepare, reduce="sum")


if __name__ == "__main__":
    main()
