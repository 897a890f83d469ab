"""Columns that are another one times one of a few rates: found exactly, by name and threshold, and kept."""

import json

import numpy as np
import pandas as pd
import pytest

import latens
from latens.config import override
from latens.data import equations, rates
from latens.data.equations import numbers
from latens.data.frames import as_frame
from latens.data.rules import RULES, computed, numbers_of, rules_of, solved
from latens.recipes import get_recipe
from latens.workflow.cells import blame

TARIFF = {("city", "no"): 3.5, ("city", "yes"): 2.975, ("e-bike", "no"): 7.0, ("e-bike", "yes"): 5.95}


def rentals(n: int = 900, *, seed: int = 0, limit: float = 20.0, wrong: int = 0) -> tuple[pd.DataFrame, np.ndarray]:
    """Rentals that cost hours times a rate of the bicycle and membership, a tenth less above a limit; rows doubled."""
    rng = np.random.default_rng(seed)
    bicycle, member = rng.choice(["city", "e-bike"], n), rng.choice(["yes", "no"], n, p=[0.3, 0.7])
    hours = np.maximum(np.round(rng.gamma(2.0, 5.0, n) * 2) / 2, 0.5)
    rate = np.array([TARIFF[one] for one in zip(bicycle, member)]) * np.where(hours > limit, 0.9, 1.0)
    price, rows = np.round(hours * rate, 2), rng.permutation(n)[:wrong]
    price[rows] *= 2
    age = np.round(rng.normal(40, 12, n))
    frame = {"age": age, "bicycle": bicycle, "member": member, "hours": hours, "price": price}
    return pd.DataFrame(frame), rows


def found(frame: pd.DataFrame) -> tuple[rates.Rate, ...]:
    return rates.found_in(latens.load_data(frame, label="none"))


@pytest.mark.parametrize("wrong", [0, 1, 8])
def test_the_rates_the_names_the_limit_and_the_mistakes_are_found_exactly(wrong: int) -> None:
    frame, rows = rentals(wrong=wrong)
    data = latens.load_data(frame, label="none")
    (rule,) = rates.found_in(data)
    assert (rule.target, rule.base, set(rule.by), rule.above) == ("price", "hours", {"bicycle", "member"}, 20.0)
    exact = {round(rate * off, 6) for rate in TARIFF.values() for off in (1.0, 0.9)}
    assert set(rule.rates) == exact
    assert rule.broken == wrong
    broken = rates.broken_in(rule, data.schema, np.asarray(data.x))
    assert set(np.flatnonzero(broken)) == set(rows)
    for names, above, own in rule.allowed:
        kind = dict(zip(rule.by, names))
        rate = TARIFF[kind["bicycle"], kind["member"]] * (0.9 if above else 1.0)
        assert [rule.rates[k] for k in own] == [pytest.approx(rate)]


def test_a_base_in_another_unit_in_few_rows_is_a_mistake_and_no_limit() -> None:
    """Minutes for hours in four of 900 rows: their rate is a sixtieth, above all other hours."""
    frame, _ = rentals(limit=1e9)
    rows = np.flatnonzero((frame.hours > 8).to_numpy())[:4]
    frame.loc[rows, "hours"] *= 60.0
    data = latens.load_data(frame, label="none")
    (rule,) = rates.found_in(data)
    assert (rule.above, rule.broken) == (None, 4)
    assert rule.words.startswith("'hours' times one of 4 rates from 2.975 to 7 that ")
    wrong = rates.broken_in(rule, data.schema, np.asarray(data.x), data.mask, data.outside)
    assert np.flatnonzero(wrong).tolist() == rows.tolist()


def test_without_a_limit_and_without_names_there_is_none() -> None:
    frame, _ = rentals(limit=1e9)
    (rule,) = found(frame)
    assert (rule.above, len(rule.rates)) == (None, 4)
    colour = np.random.default_rng(2).choice(["red", "blue"], len(frame))  # says nothing
    (rule,) = found(frame.drop(columns=["bicycle", "member"]).assign(colour=colour))
    assert (rule.by, rule.above, len(rule.rates)) == ((), None, 4)
    assert "times one of 4 rates from 2.975 to 7" in rule.words


def bookings(n: int = 900, *, forgotten: int = 0) -> tuple[pd.DataFrame, np.ndarray]:
    """Commissions of three channels, of which one has none."""
    rng = np.random.default_rng(4)
    channel = rng.choice(["agency", "booking", "phone"], n, p=[0.2, 0.5, 0.3])
    total = np.round(rng.gamma(3.0, 200.0, n) * 2) / 2 + 0.5
    commission = np.round(total * np.select([channel == "agency", channel == "booking"], [0.1, 0.15], 0.0), 2)
    rows = rng.permutation(np.flatnonzero(channel == "booking"))[:forgotten]
    commission[rows] = 0.0
    return pd.DataFrame({"channel": channel, "total": total, "commission": commission}), rows


@pytest.mark.parametrize("forgotten", [0, 5])
def test_a_rate_may_be_nothing_and_what_was_forgotten_is_named(forgotten: int) -> None:
    frame, rows = bookings(forgotten=forgotten)
    data = latens.load_data(frame, label="none")
    (rule,) = rates.found_in(data)
    assert (rule.target, rule.base, rule.by, rule.rates) == ("commission", "total", ("channel",), (0.0, 0.1, 0.15))
    own = {names[0]: [rule.rates[k] for k in places] for names, _, places in rule.allowed}
    assert own == {"agency": [0.1], "booking": [0.15], "phone": [0.0]}
    broken = rates.broken_in(rule, data.schema, np.asarray(data.x))
    assert (set(np.flatnonzero(broken)), rule.broken) == (set(rows), forgotten)
    drawn = np.asarray(data.x, np.float64)
    mixed = np.random.default_rng(5).permutation(drawn[:, 2])  # what a model drew of the commission
    made, _ = rates.computed([rule], data.schema, np.column_stack([drawn[:, :2], mixed]))
    right = np.ones(len(made), bool)
    right[rows] = False
    np.testing.assert_allclose(made[right, 2], drawn[right, 2], atol=1.0)  # half a cent may be rounded either way
    np.testing.assert_array_equal(made[right, 2] == 0, drawn[right, 2] == 0)
    assert rates.read([list(rule)]) == (rule,)


def test_one_rate_and_nothing_are_two() -> None:
    frame, _ = bookings()
    frame.loc[frame["channel"] == "agency", "commission"] = 0.0
    (rule,) = found(frame)
    assert rule.rates == (0.0, 0.15)


def test_the_order_of_rows_and_the_unit_of_money_change_nothing() -> None:
    frame, _ = rentals()
    mixed = frame.sample(frac=1.0, random_state=1)
    assert found(mixed) == found(frame)
    cents = frame.assign(price=np.round(frame["price"] * 100))
    (one,), (other,) = found(frame), found(cents)
    np.testing.assert_allclose(np.array(other.rates), 100 * np.array(one.rates))


@pytest.mark.parametrize("kind", ["independent", "small numbers", "noise", "one rate", "few rows"])
def test_what_is_not_such_a_column_is_not_called_one(kind: str) -> None:
    frame, _ = rentals(150 if kind == "few rows" else 900)
    rng = np.random.default_rng(1)
    if kind == "independent":
        frame["price"] = rng.permutation(frame["price"])
    elif kind == "small numbers":
        frame["hours"], frame["price"] = rng.integers(1, 5, len(frame)), rng.integers(1, 9, len(frame))
    elif kind == "noise":
        frame["price"] = np.round(frame["price"] * np.exp(rng.normal(0, 0.02, len(frame))), 2)
    elif kind == "one rate":  # an equation says it
        frame["price"] = np.round(3.5 * frame["hours"], 2)
    assert found(frame) == ()
    assert kind != "one rate" or "rates" not in rules_of(latens.load_data(frame, label="none"))


def test_a_target_that_an_equation_gives_is_left_to_it() -> None:
    frame, _ = rentals(limit=1e9)
    frame["rate"] = [TARIFF[one] for one in zip(frame["bicycle"], frame["member"])]
    assert [one.target for one in found(frame)] == ["price"]
    rules = rules_of(latens.load_data(frame, label="none"))
    assert ("price" in {rule[0] for rule in rules["equations"]}, "rates" in rules) == (True, False)


def test_a_model_file_gives_it_back_and_a_stranger_s_rule_is_left_out() -> None:
    (rule,) = found(rentals()[0])
    stored = json.loads(json.dumps([list(rule)]))
    assert rates.read(stored) == (rule,)
    bad = {
        0: 1,
        1: "price",
        2: "x",
        3: [-1.0],
        4: ["a"] * 9,
        5: "x",
        6: [[["a"], False, [99]]],
        7: None,
        8: float("nan"),
    }
    for place, value in bad.items():
        own = list(stored[0])
        own[place] = value
        assert rates.read([own]) == (), place
    assert rates.read("no list") == rates.read([stored[0][:-2]]) == rates.read(None) == ()
    assert rates.read([stored[0][:-1]]) == (rule,)  # as files of before have it
    assert rates.read([[*stored[0][:-1], rule.base]]) == rates.read([[*stored[0][:-1], 3]]) == ()


@pytest.mark.parametrize(("wrong", "free", "told"), [(0, 0.0, True), (6, 0.0, True), (0, 0.3, False)])
def test_a_price_of_two_counts_is_found_kept_and_filled(wrong: int, free: float, told: bool) -> None:
    """Breakfast for each night and person of those who have it; with other prices for some it is no rate."""
    rng = np.random.default_rng(4)
    nights, persons = rng.integers(1, 8, 1200), rng.integers(1, 4, 1200)
    eats = rng.choice(["no", "yes"], 1200, p=[0.3, 0.7])
    fee = np.where(eats == "yes", 12.5 * nights * persons, 0.0)
    fee = np.where(rng.random(1200) < free, rng.choice([10.0, 90.0, 33.0], 1200), fee)
    fee[np.flatnonzero(eats == "yes")[:wrong]] += 3.3
    frame = pd.DataFrame({"nights": nights, "persons": persons, "eats": eats, "rooms": rng.integers(1, 4, 1200),
                          "fee": fee.round(2)})  # fmt: skip
    data = latens.load_data(frame, label="none")
    rules = [one for one in rates.found_in(data) if one.target == "fee"]
    assert bool(rules) == told
    if not told:
        return
    (rule,) = rules
    assert (rule.bases, rule.used, rule.by, rule.broken) == (("nights", "persons"), {0.0, 12.5}, ("eats",), wrong)
    assert rule.words == "nights * persons times one of 2 rates from 0 to 12.5 that 'eats' gives"
    assert rates.read(json.loads(json.dumps([list(rule)]))) == (rule,)
    x, names = np.asarray(data.x), list(frame)
    made, beyond = rates.computed([rule], data.schema, np.random.default_rng(0).permuted(x, axis=0))
    cells = numbers(made, data.schema)
    own = np.array((data.schema.types or ())[2].values)[made[:, 2].astype(int)]
    np.testing.assert_allclose(cells[:, 4], np.where(own == "yes", 12.5 * cells[:, 0] * cells[:, 1], 0.0))
    assert not beyond.any()
    right = ~rates.broken_in(rule, data.schema, x)
    for name, rows in (("fee", right), ("nights", right & (eats == "yes"))):
        hidden = np.zeros(x.shape, bool)
        hidden[:, names.index(name)] = True
        full, sure = rates.filled(rule, data.schema, np.where(hidden, 0.0, x), hidden)
        np.testing.assert_array_equal(full[rows], x[rows])
        assert sure[rows, names.index(name)].all()


def test_samples_and_filled_cells_keep_it_and_mistakes_are_named() -> None:
    """Sampled prices are products of a rate that their bicycle and membership have; hidden ones that are sure, too."""
    frame, rows = rentals(wrong=4)
    data = latens.load_data(frame, label="none")
    trained = latens.train(latens.prepare(override(get_recipe("default").config, {"training.steps": 2}), data))[0]
    (rule,) = rates.read(trained.facts["rates"])
    names = [column.name for column in data.schema.columns or ()]
    drawn = np.random.default_rng(0).permuted(np.asarray(data.x), axis=0)
    assert rates.broken_in(rule, data.schema, drawn).mean() > 0.5
    kept, beyond = rates.computed([rule], data.schema, drawn)
    assert not rates.broken_in(rule, data.schema, kept)[~beyond].any()
    changed = np.any(kept != drawn, axis=0)
    assert [name for name, one in zip(names, changed) if one] == ["price"]
    hidden = np.zeros(data.x.shape, bool)
    hidden[:, names.index("price")] = True
    good = np.setdiff1d(np.arange(len(data)), rows)
    guess = np.array(data.x, np.float64)
    guess[:, names.index("price")] = 3.0
    made, sure = rates.filled(rule, data.schema, guess, hidden)
    off = np.abs(made[good] - np.asarray(data.x)[good])  # half a cent is rounded up, or down as in binary
    assert off.max() <= 1
    assert (off > 0).mean() < 0.05
    assert not rates.broken_in(rule, data.schema, made).any()
    assert sure[:, names.index("price")].all()
    hidden[:, names.index("member")] = True  # then two rates are left, and neither is sure
    assert not rates.filled(rule, data.schema, guess, hidden)[1].any()
    blamed = blame(trained, data, rows, others=700, cells=1, num_samples=2)
    assert blamed.column[:, 0].tolist() == [names.index("price")] * len(rows)
    assert np.all(blamed.p_value[:, 0] < 2e-3)
    np.testing.assert_allclose(2 * (blamed.expected[:, 0] * 0.01 + (data.schema.types or ())[4].low),
                               frame["price"][rows], atol=0.011)  # fmt: skip


def test_a_total_of_what_a_rate_gives_is_summed_after_it() -> None:
    """New rows keep both, and so do two hidden cells of a row."""
    frame, _ = rentals(limit=1e9)
    extra = np.round(np.random.default_rng(7).gamma(2.0, 8.0, len(frame)), 2)
    frame = frame.assign(extra=extra, total=np.round(frame["price"] + extra, 2))
    # Where the total comes first, price = total - extra is found: it is turned, as the price has a rate.
    for columns in (list(frame), [*list(frame)[::-1][1:], "total"], ["total", *list(frame)[:-1]]):
        data = latens.load_data(frame[columns], label="none")
        facts, names = rules_of(data), columns
        assert [rule[0] for rule in facts["equations"]] == ["total"]
        (rule,) = rates.read(facts["rates"])
        drawn = np.random.default_rng(0).permuted(np.asarray(data.x), axis=0)
        made, beyond = computed(facts, data.schema, drawn)
        cells = equations.numbers(made, data.schema)[~beyond]
        price, more, total = (cells[:, names.index(name)] for name in ("price", "extra", "total"))
        np.testing.assert_allclose(price + more, total, atol=0.0051)
        assert not rates.broken_in(rule, data.schema, made)[~beyond].any()
        hidden, guess = np.zeros(data.x.shape, bool), np.array(data.x, np.float64)
        for name in ("price", "total"):
            hidden[:, names.index(name)] = True
            guess[:, names.index(name)] = 5.0
        full, sure = solved(facts, data.schema, guess, hidden)
        assert np.abs(full - np.asarray(data.x)).max() <= 1
        assert sure[:, names.index("price")].all()
        kept = computed(facts, data.schema, drawn, lambda name: name == "price")[0]
        np.testing.assert_array_equal(kept[:, names.index("price")], drawn[:, names.index("price")])


def test_the_words_count_no_rate_of_mistakes() -> None:
    frame, _ = rentals(limit=1e9)
    frame.loc[frame.index[frame["bicycle"] == "city"][:5], "price"] *= 100
    (rule,) = found(frame)
    assert max(rule.rates) > 100
    assert "times one of 4 rates from 2.975 to 7 that" in rule.words


def visits(n: int, seed: int) -> pd.DataFrame:
    """Fees of minutes by vet, totals with medicine, of which an insurance covers 80 %, and what is due."""
    rng = np.random.default_rng(seed)
    vet, insured = rng.choice(["a", "b"], n), rng.choice(["yes", "no"], n, p=[0.3, 0.7])
    minutes = 5.0 * rng.integers(1, 13, n)
    fee, medicine = minutes * np.where(vet == "a", 2.4, 2.1), np.round(rng.gamma(2.0, 13.0, n), 2)
    total = np.round(fee + medicine, 2)
    covered = np.where(insured == "yes", np.round(0.8 * total, 2), 0.0)
    money = {"fee": fee, "medicine": medicine, "total": total, "covered": covered, "due": total - covered}
    named = {"vet": vet, "insured": insured, "minutes": minutes}
    return pd.DataFrame(named | {name: np.round(one, 2) for name, one in money.items()})


@pytest.mark.parametrize("wrong", [0, 5])
def test_a_part_of_a_total_that_only_some_rows_have_is_a_rate(wrong: int) -> None:
    frame = visits(900, 0)
    rows = np.flatnonzero(frame.insured == "yes")[:wrong]
    frame.loc[rows, "insured"] = "no"
    data = latens.load_data(frame, label="none")
    rule = next(one for one in rates.found_in(data) if one.target == "covered")
    assert (rule.base, rule.by, rule.rates, rule.broken) == ("total", ("insured",), (0.0, 0.8), wrong)
    facts = rules_of(data)
    rng = np.random.default_rng(1)
    drawn = np.stack([rng.permutation(column) for column in np.asarray(data.x).T], axis=1)
    made, beyond = computed(facts, data.schema, drawn)
    made = as_frame(made[~beyond], data.schema)
    for target, of in (("total", made.fee + made.medicine), ("due", made.total - made.covered)):
        np.testing.assert_allclose(made[target], of, atol=0.011)
    np.testing.assert_allclose(made.fee, made.minutes * np.where(made.vet == "a", 2.4, 2.1), atol=0.011)
    part = np.where(made.insured == "yes", 0.8, 0.0)
    np.testing.assert_allclose(made.covered, part * made.total, atol=0.011)
    assert len(made) > 800


def test_a_number_that_is_mostly_something_is_no_part_of_a_total() -> None:
    """Breakfast is a share of the bill in rows that repeat, but of many shares."""
    rng = np.random.default_rng(2)
    nights, guests = rng.integers(1, 8, 900), rng.integers(0, 5, 900)
    room, breakfast = 61.5 * nights, 9.25 * guests * nights
    frame = pd.DataFrame({"nights": nights, "room": room, "breakfast": breakfast, "total": room + breakfast})
    frame["city"] = rng.choice(["x", "y"], 900)
    assert not [one for one in found(frame) if one.target == "breakfast" and one.base == "total"]


def test_of_two_bases_with_as_many_rates_the_plainer_one_is_taken() -> None:
    """A fee of 7.5 or 14 a day, where kilometres of 150 a day would give it too."""
    rng = np.random.default_rng(0)
    days, cover = rng.integers(1, 30, 800), rng.choice(["none", "basic", "full"], 800)
    fee = days * pd.Series(cover).map({"none": 0.0, "basic": 7.5, "full": 14.0}).to_numpy()
    for names in (["days", "km", "fee", "cover"], ["km", "days", "cover", "fee"]):
        frame = pd.DataFrame({"days": days, "km": 150 * days, "fee": fee, "cover": cover})[names]
        [rule] = [one for one in found(frame) if one.target == "fee"]
        assert (rule.base, rule.rates, rule.by) == ("days", (0.0, 7.5, 14.0), ("cover",))


@pytest.mark.parametrize(("free", "wrong"), [(0, 0), (3, 3), (9, 9), (10, 0), (16, 0)])
def test_so_many_rows_that_pay_nothing_are_no_mistakes(free: int, wrong: int) -> None:
    """A tenth of the fee as copay, of children none: less than one row in fifty of those who pay."""
    rng = np.random.default_rng(0)
    kind = rng.choice(["statutory", "private"], 1500, p=[0.7, 0.3])
    fee = np.round(rng.gamma(9.0, 8.0, 1500), 2)
    copay = np.where(kind == "statutory", np.round(0.1 * fee, 2), 0.0)
    copay[np.flatnonzero(kind == "statutory")[:free]] = 0.0
    data = latens.load_data(pd.DataFrame({"kind": kind, "fee": fee, "copay": copay}), label="none")
    [rule] = [one for one in rates.found_in(data) if one.target == "copay"]
    assert (rule.rates, rule.by, rule.broken) == ((0.0, 0.1), ("kind",), wrong)


def test_numbers_as_few_as_their_rates_are_none() -> None:
    """A price and a deposit by the kind of car: the ratios of both say less than the prices."""
    rng = np.random.default_rng(0)
    kind = rng.integers(0, 5, 800)
    price, deposit = np.array([38.0, 52.0, 79.0, 96.0, 128.0])[kind], np.array([300, 400, 600, 800, 1000])[kind]
    frame = pd.DataFrame({"kind": np.array(list("abcde"))[kind], "price": price, "deposit": deposit})
    assert not found(frame)
    base = rng.integers(1, 60, 800) / 2
    assert found(frame.assign(price=np.round(base * rng.choice([1.5, 2.0, 3.0], 800), 2), deposit=base))


def insurances(n: int = 2000, *, wrong: int = 0, noise: float = 0.0, free: float = 0.0) -> pd.DataFrame:
    """Premiums of 2 % of sums that four of five parcels do not have."""
    rng = np.random.default_rng(0)
    insured = np.where(rng.random(n) < 0.2, np.round(np.exp(rng.normal(4.6, 0.8, n)) / 5) * 5, 0.0)
    premium = np.round(0.02 * insured * np.exp(noise * rng.normal(size=n)), 2)
    premium = np.where((insured == 0) & (rng.random(n) < free), np.round(rng.gamma(2.0, 1.0, n), 2), premium)
    premium[np.flatnonzero(insured > 0)[:wrong]] *= 10
    return pd.DataFrame({"insured_for": insured, "premium": premium, "kind": rng.choice(["a", "b"], n)})


@pytest.mark.parametrize("wrong", [0, 3])
def test_a_part_of_a_number_that_is_mostly_nothing_is_found_and_kept(wrong: int) -> None:
    frame = insurances(wrong=wrong)
    data = latens.load_data(frame, label="none")
    [rule] = rates.found_in(data)
    assert (rule.target, rule.words, rule.broken) == ("premium", "0.02 * insured_for", wrong)
    broken = rates.broken_in(rule, data.schema, data.x, data.mask, data.outside)
    np.testing.assert_array_equal(np.flatnonzero(broken), np.flatnonzero(frame["insured_for"] > 0)[:wrong])
    drawn = np.array(data.x)
    drawn[:, 1] = drawn[::-1, 1]  # premiums of other rows
    made, _ = rates.computed([rule], data.schema, drawn)
    cells = equations.numbers(made, data.schema, None, None)
    np.testing.assert_allclose(cells[:, 1], np.round(0.02 * cells[:, 0], 2), atol=0.051)  # nothing of nothing, too


@pytest.mark.parametrize("law", [{"noise": 0.3}, {"free": 0.1}])
def test_a_number_that_only_resembles_a_part_is_none(law: dict[str, float]) -> None:
    found = rates.found_in(latens.load_data(insurances(**law), label="none"))
    assert "premium" not in {one.target for one in found}


@pytest.mark.parametrize("limit", [1e9, 20.0])
def test_a_hidden_base_is_what_its_target_says(limit: float) -> None:
    """Hours by the price, where bicycle and membership say one rate: to half a cent, and not beside a limit."""
    frame, _ = rentals(limit=limit)
    data = latens.load_data(frame, label="none")
    (rule,) = rates.found_in(data)
    x = np.asarray(data.x, np.float64)
    hidden = np.zeros(x.shape, bool)
    hidden[:, 3] = True
    made, sure = rates.filled(rule, data.schema, np.where(hidden, 1.0, x), hidden)
    fits = frame.price.to_numpy() >= 0.5  # of less the rounding is more than a hundredth
    assert sure[:, 3].tolist() == (fits & (limit > 100)).tolist()
    np.testing.assert_array_equal(made[sure[:, 3]], x[sure[:, 3]])
    coarse = rates.base_of(rule._replace(within=0.1), data.schema, x)[1]
    assert coarse.tolist() == (frame.price >= 10.0).tolist()
    hidden[:, 2] = True
    assert not rates.filled(rule, data.schema, np.where(hidden, 1.0, x), hidden)[1].any()


@pytest.mark.parametrize(("share", "found"), [(0.5, True), (0.1, False)])
def test_a_discount_of_few_rows_is_found_with_its_threshold(share: float, found: bool) -> None:
    """5 % of the energy for one tariff above 400: one rate in few rows, nothing in all others."""
    rng = np.random.default_rng(0)
    n = 1200
    tariff = rng.choice(["green", "other"], n, p=[share, 1 - share])
    energy = np.round(rng.gamma(3.0, 80.0, n), 2)
    far = (tariff == "green") & (energy > 400)
    frame = pd.DataFrame({"tariff": tariff, "energy": energy, "discount": np.where(far, 0.05 * energy, 0).round(2)})
    assert (far.sum() >= rates.LEAST_OF_ONE) == found
    made = {one.target: one for one in rates.found_in(latens.load_data(frame, label="none", typed=True))}
    assert ("discount" in made) == found
    if found:
        rule = made["discount"]
        assert (rule.base, rule.rates, rule.by, rule.broken) == ("energy", (0.0, 0.05), ("tariff",), 0)
        assert energy[(tariff == "green") & ~far].max() <= (rule.above or 0) + 5
        assert energy[far].min() > (rule.above or 0) - 5
    frame["discount"] = np.where(far, np.where(rng.random(n) < 0.5, 0.05, 0.08) * energy, 0).round(2)
    many = {one.target for one in rates.found_in(latens.load_data(frame, label="none", typed=True))}
    assert far.sum() < rates.LEAST_ROWS
    assert "discount" not in many  # several rates need more rows


@pytest.mark.parametrize(
    ("prices", "wrong", "named", "found"),
    [((1.0, 0.92, 1.17), 0, True, True), ((1.1, 0.92, 1.17), 6, True, True), ((1.0, 0.92, 1.17), 60, True, False),
     ((1.0, 0.92, 1.17), 0, False, False)],
)  # fmt: skip
def test_an_amount_in_euros_by_its_currency(prices: tuple[float, ...], wrong: int, named: bool, found: bool) -> None:
    """Both are to the cent; the names of the currency give the rate, and not names of chance."""
    rng = np.random.default_rng(0)
    currency = rng.choice(["EUR", "USD", "GBP"], 1000)
    cost = rng.uniform(10, 2000, 1000).round(2)
    euros = (cost * np.select([currency == "EUR", currency == "USD"], prices[:2], prices[2])).round(2)
    euros[:wrong] *= 1.5
    names = currency if named else rng.permutation(currency)
    data = latens.load_data(pd.DataFrame({"currency": names, "cost": cost, "euros": euros}), label="none")
    rules = rates.found_in(data)
    assert bool(rules) is found
    if found:
        (one,) = rules
        assert (one.target, one.base, one.by) == ("euros", "cost", ("currency",))
        np.testing.assert_allclose(sorted(one.used), sorted(prices))


@pytest.mark.parametrize(("factor", "kept"), [(10.0, False), (0.0, True)])
def test_a_ratio_that_a_product_of_both_says_has_no_rates(
    factor: float, kept: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A length is so many times its growth as there were days; of a sum a part of the total may have rates."""
    terms = (("height", "x", 1, 0.05), ("days", "x", -1 if factor else 1, 0.0))
    found = equations.Equation("growth", terms, factor, 0.05, 380, 0)
    rate = rates.Rate("height", "growth", 0.05, (1.4, 2.1, 2.8), (), None, (), 370, 0)
    other = rate._replace(base="leaves")
    monkeypatch.setitem(RULES, "equations", lambda data: (found,))
    monkeypatch.setitem(RULES, "rates", lambda data: (rate, other))
    data = latens.load_data(pd.DataFrame({"sort": ["bean", "pea"]}), label="none")
    assert (rate in numbers_of(data)[1]) == kept
    assert other in numbers_of(data)[1]
