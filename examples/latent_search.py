"""Look near the latent of one text for texts with more of a property, and say how far that was.

    latens fit molecules.txt --pieces atoms --out runs/molecules
    python examples/latent_search.py runs/molecules 'CCO' --property logp

A cloud of latents around the start is decoded, the best texts choose the next cloud (the cross-entropy method). The
property is computed of decoded texts, never of latents: what is reported is true of the text that is printed.
"""

import argparse

import numpy as np

import latens


def logp(text):
    """Crippen's estimate of log P of a molecule; not a number where the text is none."""
    from rdkit import Chem, RDLogger
    from rdkit.Chem import Crippen

    RDLogger.DisableLog("rdApp.*")
    molecule = Chem.MolFromSmiles(text) if text else None
    return np.nan if molecule is None else Crippen.MolLogP(molecule)


PROPERTIES = {"logp": logp, "length": len, "vowels": lambda text: sum(text.count(letter) for letter in "aeiou")}


def search(model, start, value, rounds=8, cloud=64, kept=8, spread=0.5, seed=0):
    """The best texts of each round, as pairs of a value and a text, best first; the start is round 0.

    Latents stay where the prior has them: a cloud's centre is drawn back to at most the length sqrt(k) of a usual z.
    """
    rng = np.random.default_rng(seed)
    centre = model.encode(model.schema.encode([start]))[0]
    scale = np.full(centre.shape, spread)
    found, story = {start: value(start)}, [(value(start), start)]
    for _ in range(rounds):
        z = centre + scale * rng.standard_normal((cloud, centre.size))
        texts = model.schema.decode(model.decode(z.astype(np.float32)))
        values = np.array([value(text) for text in texts], float)
        best = np.argsort(-np.nan_to_num(values, nan=-np.inf), kind="stable")[:kept]
        found |= {texts[i]: values[i] for i in best if np.isfinite(values[i])}
        story.append(max((each, text) for text, each in found.items()))
        good = z[best[np.isfinite(values[best])]]
        if len(good) > 1:
            centre, scale = good.mean(axis=0), np.maximum(good.std(axis=0), 0.1)
            centre = centre * min(1.0, np.sqrt(centre.size) / np.linalg.norm(centre))
    return story


def main(run, start, name, **options):
    model = latens.load(run)
    story = search(model, start, PROPERTIES[name], **options)
    for number, (value, text) in enumerate(story):
        if number == 0 or story[number] != story[number - 1]:
            print(f"round {number}  {name} {value:.2f}  {text}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run")
    parser.add_argument("start")
    parser.add_argument("--property", choices=PROPERTIES, default="logp")
    parser.add_argument("--rounds", type=int, default=8)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    main(given.run, given.start, given.property, rounds=given.rounds, seed=given.seed)
