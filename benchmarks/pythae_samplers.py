"""Samplers of Pythae fitted to codes of latens, in an environment of their own (`pip install pythae`, torch on a CPU).

    python benchmarks/latent_flow.py --export codes.npy
    python benchmarks/pythae_samplers.py codes.npy --out pythae/
    python benchmarks/latent_flow.py --made pythae/

Pythae's model is a VAE whose encoder hands back the codes it is given and whose decoder hands back the latents, so
that its samplers see the codes and give latents. 5,000 of each sampler are written as .npy, with the seconds of the
processor that its fit took.
"""

import argparse
import json
import time
from pathlib import Path

import numpy as np
import torch
from pythae import samplers
from pythae.models import VAE, VAEConfig
from pythae.models.base.base_utils import ModelOutput
from pythae.models.nn import BaseDecoder, BaseEncoder
from pythae.trainers import BaseTrainerConfig


class Codes(BaseEncoder):
    def __init__(self, low: float) -> None:
        super().__init__()
        self.low = low

    def forward(self, x: torch.Tensor) -> ModelOutput:
        return ModelOutput(embedding=x + self.low, log_covariance=torch.full_like(x, -60.0))


class Latents(BaseDecoder):
    def forward(self, z: torch.Tensor) -> ModelOutput:
        return ModelOutput(reconstruction=z)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("codes", type=Path)
    parser.add_argument("--out", type=Path, default=Path("pythae"))
    parser.add_argument("--epochs", type=int, default=20)
    given = parser.parse_args()
    given.out.mkdir(exist_ok=True)
    torch.manual_seed(0)
    z = np.load(given.codes)
    low = float(z.min())
    x = torch.tensor(z - low)  # its samplers refuse numbers below 0
    held = len(x) // 10
    model = VAE(VAEConfig(input_dim=(z.shape[1],), latent_dim=z.shape[1]), encoder=Codes(low), decoder=Latents())
    trainer = BaseTrainerConfig(
        output_dir=str(given.out / "runs"),
        num_epochs=given.epochs,
        learning_rate=1e-3,
        per_device_train_batch_size=256,
        per_device_eval_batch_size=256,
        scheduler_cls="CosineAnnealingLR",
        scheduler_params={"T_max": given.epochs},
    )
    chosen = {
        "pythae-gmm": samplers.GaussianMixtureSampler(model, samplers.GaussianMixtureSamplerConfig(n_components=50)),
        "pythae-maf": samplers.MAFSampler(model, samplers.MAFSamplerConfig(n_made_blocks=4)),
        "pythae-two-stage": samplers.TwoStageVAESampler(model),
    }
    seconds = {}
    for name, sampler in chosen.items():
        start = time.process_time()
        if name == "pythae-gmm":
            sampler.fit(x[held:])
        else:
            sampler.fit(x[held:], x[:held], training_config=trainer)
        seconds[name] = time.process_time() - start
        made = sampler.sample(num_samples=5000, batch_size=1000)
        np.save(given.out / f"{name}.npy", made.cpu().numpy())
        print(name, f"{seconds[name]:.0f} s", flush=True)
        (given.out / "seconds.json").write_text(json.dumps(seconds))


if __name__ == "__main__":
    main()
