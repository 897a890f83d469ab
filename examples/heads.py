"""A (4, 3, 2) encoder: its last layer has 4 outputs, two means and two softplus scales above 0.

python examples/heads.py
"""

import jax
import jax.numpy as jnp

from latens.models import Conditional, NormalHead
from latens.networks import Dense


def main() -> None:
    head = NormalHead((2,), "softplus")
    network = Dense([4, 3, head.num_outputs], key=jax.random.key(0))
    encoder = Conditional(network, head)
    x = jnp.array([0.5, -1.0, 2.0, 0.1])
    posterior = encoder(x)
    print("outputs of the last layer:", network(x))
    print("means: ", posterior.mean())
    print("scales:", jnp.exp(posterior.log_scale))


if __name__ == "__main__":
    main()
