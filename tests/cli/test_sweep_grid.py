"""What is typed after `latens sweep`: combinations, draws, budgets, and what is refused."""

import math

import numpy as np
import pytest

from latens.cli.arguments import parse
from latens.cli.grid import plan_of, words_of
from latens.errors import LatensError
from latens.recipes import get_recipe
from latens.runs.sweep import Plan


def planned(*words: str) -> Plan:
    args = parse(["sweep", "digits", *words])
    return plan_of(args, words_of(args), get_recipe(args.recipe).config)


def test_every_combination_of_the_values_is_a_setting_whatever_their_order() -> None:
    one = planned("--set", "optimizer.learning_rate=3e-3,1e-3", "--set", "network.hidden=[64,64],[32]", "--seeds", "2")
    assert one.chosen == [
        {"network.hidden": hidden, "optimizer.learning_rate": rate}
        for hidden in ("[32]", "[64,64]")
        for rate in ("1e-3", "3e-3")
    ]
    assert one.seeds == [0, 1]
    other = planned(
        "--seeds", "2", "--set", "network.hidden=[32],[64,64]", "--set", "optimizer.learning_rate=1e-3,3e-3"
    )
    assert one == other


def test_what_all_runs_share_is_what_fit_is_given() -> None:
    words = ("--label", "none", "--no-counts", "--typed", "--steps", "5", "--num-samples", "3", "--seed", "7")
    found = planned(*words, "--set", "objective=iwae", "--set", "objective.beta=1,4", "--seeds", "3")
    assert found.seeds == [7, 8, 9]
    assert found.chosen == [{"objective.beta": "1"}, {"objective.beta": "4"}]
    assert found.fit[0] == "digits"
    again = vars(parse(["fit", *found.fit]))
    wanted = {"label": "none", "counts": False, "typed": True, "steps": 5, "num_samples": 3, "set": ["objective=iwae"]}
    assert {name: again[name] for name in wanted} == wanted
    assert {n: v for n, v in again.items() if n not in wanted} == {
        n: v for n, v in vars(parse(["fit", "digits"])).items() if n not in wanted
    }


def test_draws_are_log_uniform_within_their_range_and_those_of_their_seed() -> None:
    words = ("--random", "100", "--set", "optimizer.learning_rate=1e-4:1e-2", "--set", "posterior.latent_dim=2:64")
    one, other = planned(*words), planned("--set", words[5], "--set", words[3], *words[:2])
    assert one == other
    rates = np.log([float(each["optimizer.learning_rate"]) for each in one.chosen])
    low, high = math.log(1e-4), math.log(1e-2)
    assert rates.min() >= low
    assert rates.max() <= high
    # Uniform: mean (low + high) / 2 and variance (high - low)^2 / 12; four standard errors.
    assert abs(rates.mean() - (low + high) / 2) < 4 * (high - low) / math.sqrt(12 * 100)
    assert rates.std() == pytest.approx((high - low) / math.sqrt(12), rel=0.1)
    sizes = [each["posterior.latent_dim"] for each in one.chosen]
    assert all(size.isdigit() and 2 <= int(size) <= 64 for size in sizes)
    first = planned("--random", "5", *words[2:])
    assert first.chosen == one.chosen[:5]
    assert planned("--seed", "1", *words).chosen[:5] != first.chosen
    assert planned("--random", "2", "--set", "objective.beta=1,4").chosen in (
        [{"objective.beta": "1"}, {"objective.beta": "4"}], [{"objective.beta": "4"}, {"objective.beta": "1"}],
    )  # fmt: skip


def test_budgets_double_until_one_setting_is_left() -> None:
    rates = "optimizer.learning_rate=1e-4,3e-4,1e-3,3e-3,1e-2"
    found = planned("--halving", "--steps", "1000", "--set", rates)
    assert (found.budget, found.budgets) == ("steps", [125.0, 250.0, 500.0, 1000.0])
    assert "--steps" not in found.fit
    assert planned("--halving", "--epochs", "3", "--set", "objective.beta=1,4").budgets == [1.5, 3.0]


REFUSED = {
    "nothing differs": ((), "--set", "one setting with one seed is one run"),
    "no value": (("--set", "objective.beta"), "--set", "'objective.beta' is not PART.OPTION=VALUE"),
    "twice": (("--set", "objective.beta=1", "--set", "objective.beta=4"), "--set objective.beta=4", "is given twice"),
    "equal values": (("--set", "optimizer.learning_rate=1e-3,0.001"), "--set optimizer.learning_rate=1e-3,0.001",
                     "the value 1e-3 is given twice"),
    "a list": (("--set", "network.hidden=512,256"), "--set network.hidden=512,256",
               "network.hidden=[512,256] is one value, network.hidden=[512],[256] are 2"),
    "the seed": (("--set", "training.seed=1,2"), "--set training.seed=1,2", "--seeds N"),
    "an unknown option": (("--set", "training.step=1,2"), "training.step", "'steps'"),
    "a wrong value": (("--set", "optimizer.learning_rate=1,-2"), "optimizer.learning_rate", "not '-2'"),
    "a range": (("--set", "optimizer.learning_rate=1e-3:1e-2"), "--set optimizer.learning_rate=1e-3:1e-2",
                "Add --random N"),
    "nothing to draw": (("--random", "3"), "--random", "there is nothing to draw"),
    "an empty range": (("--random", "3", "--set", "optimizer.learning_rate=1e-2:1e-3"),
                       "--set optimizer.learning_rate=1e-2:1e-3", "0.01 to 0.001 is not a range"),
    "words for ends": (("--random", "3", "--set", "optimizer.learning_rate=a:b"),
                       "--set optimizer.learning_rate=a:b", "the ends of a range are numbers"),
    "two ranges": (("--random", "3", "--set", "optimizer.learning_rate=1:2,3:4"),
                   "--set optimizer.learning_rate=1:2,3:4", "a range stands alone"),
    "an end out of bounds": (("--random", "3", "--set", "network.drop_probability=0.5:2"), "network.drop_probability",
                             "not '2'"),
    "too few": (("--random", "3", "--set", "objective.beta=1,4"), "--random", "3 different settings are asked for"),
    "too many": (("--seeds", "10000", "--random", "100"), "--set", "100 settings with 10000 seeds"),
    "halving without a budget": (("--halving", "--set", "objective.beta=1,4"), "--halving", "Add --steps N"),
    "halving of minutes": (("--halving", "--minutes", "3", "--set", "objective.beta=1,4"), "--halving", "--steps N"),
    "halving of one": (("--halving", "--steps", "9", "--seeds", "3"), "--halving", "nothing to drop"),
    "halving of too few steps": (("--halving", "--steps", "1", "--set", "objective.beta=1,4"), "--halving",
                                 "1 steps cannot be halved 1 times. Give --steps 2 or more"),
    "halving a cosine": (("--halving", "--steps", "9", "--set", "optimizer.schedule=cosine", "--set",
                          "objective.beta=1,4"), "optimizer.schedule", "a cosine ends with its budget"),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_be_is_refused_with_its_remedy(case: str) -> None:
    words, where, said = REFUSED[case]
    with pytest.raises(LatensError) as error:
        planned(*words)
    assert error.value.where == where
    assert said in f"{error.value.message} {error.value.fix}"
    assert error.value.fix
