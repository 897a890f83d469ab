"""The page of peers' models names every one of them and recipes that exist."""

import re

import pytest
from paths import ROOT

from latens.recipes import RECIPES
from latens.trained.prior_refit import PRIORS

PAGE = ROOT / "docs" / "coverage.md"
PEERS = {
    "Pythae 0.1.2": "AE VAE BetaVAE VAE_LinNF VAE_IAF DisentangledBetaVAE FactorVAE BetaTCVAE IWAE MIWAE PIWAE CIWAE "
    "MSSSIM_VAE WAE_MMD INFOVAE_MMD VAMP SVAE PoincareVAE Adversarial_AE VAEGAN VQVAE HRQVAE HVAE RHVAE RAE_L2 RAE_GP "
    "NormalSampler GaussianMixtureSampler TwoStageVAESampler MAFSampler IAFSampler VAMPSampler "
    "HypersphereUniformSampler PoincareDiskSampler RHVAESampler PixelCNNSampler",
    "PyTorch-VAE": "VanillaVAE BetaVAE BetaTCVAE CategoricalVAE ConditionalVAE DFCVAE DIPVAE FactorVAE GammaVAE HVAE "
    "InfoVAE IWAE JointVAE LogCoshVAE LVAE MIWAE MSSIMVAE SWAE TwoStageVAE VampVAE VQVAE WAE_MMD",
    "MultiVae": "CVAE JMVAE MVAE MMVAE MoPoE MVTCAE MMVAEPlus CMVAE CRMVAE DMVAE JNF MHVAE Nexus TELBO",
}
"""What each library has, read from its sources (Pythae's and PyTorch-VAE's README, MultiVae's `models` folder)."""


def rows(section: str) -> dict[str, str]:
    """The models of one section, each with its row of the table, or as one without an equivalent."""
    text = PAGE.read_text(encoding="utf-8").split(f"## {section}\n")[1].split("\n## ")[0]
    found = {m[1]: m[2] for m in re.finditer(r"^\| (\w+) \| (.+) \|$", text, re.M) if m[1] not in ("model", "sampler")}
    missing = " ".join(re.findall(r"^latens has no equivalent of (.+)\.$", text, re.M)).replace(" or ", ", ")
    return found | dict.fromkeys(filter(None, missing.split(", ")), "not covered")


@pytest.mark.parametrize("peer", PEERS)
def test_every_model_of_a_peer_is_on_the_page(peer: str) -> None:
    assert set(rows(peer)) == set(PEERS[peer].split())


def test_every_recipe_and_command_named_exists() -> None:
    names = [name for peer in PEERS for row in rows(peer).values() for name in re.findall(r"`([^`]+)`", row)]
    commands = [name for name in names if name.startswith("latens refit") and "KIND" not in name]
    assert {name.split()[-1] for name in [*commands, *(n for n in names if n.startswith("--prior"))]} <= set(PRIORS)
    plain = {name for name in names if not name.startswith(("latens refit ", "--prior", "latens fit", "python "))}
    assert plain - {"standard-normal"} <= set(RECIPES)


@pytest.mark.parametrize("peer", PEERS)
def test_a_row_names_a_recipe_or_says_that_there_is_none(peer: str) -> None:
    for model, said in rows(peer).items():
        assert "`" in said or said.startswith("not covered"), model
