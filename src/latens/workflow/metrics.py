"""Every number that a command measures of a model: its name, words and unit, what makes it and what it needs."""

from typing import NamedTuple


class Metric(NamedTuple):
    """All that is said of a number."""

    name: str  # a "#" stands for a count
    unit: str
    made: str  # "measure", or a name of `groups.GROUPS`
    needs: str  # what a model and its rows must have; of numbers of a group a word of `groups.NEEDS`
    words: str  # what a report calls it
    rank: int = (
        0  # from 1, its place among the numbers that stand first; up to `LAST_HEADLINE` it can stand for a model
    )
    short: str | None = None  # what terminal and explorer call it; None for `words`
    told: str = ""  # "always", or the headline beside which `latens evaluate` has a line for it without `--all`
    over: str = ""  # of a gain: over what
    lacking: str = ""  # why it may not be there although all is there that it needs
    beside: bool = False  # whether it goes with another, so that it is not missed where it is not there

    @property
    def label(self) -> str:
        """What terminal and explorer call it."""
        return self.words if self.short is None else self.short

    @property
    def is_share(self) -> bool:
        """Whether people read it in percent."""
        return self.unit in ("share", "accuracy")


LAST_HEADLINE = 5

_TAIL = "too few draws for a tail"
_DENSITY = "the units of the posterior or the prior have no densities of their own"
_REACHED = "the posterior has no density at the latents of some rows that the model makes"
_FITTED, _SIMULATED = ("latent fit", "latents, posterior"), "latents, posterior, draws like rows"
_FACTORS = ("factors", "latents, posterior, known factors, equal rows")
_PROBES = ("probes", "latents, labels, equal rows")
_SAMPLES, _COPIES = ("samples", "samples of its own data"), ("copies", "samples of its own data, held-out rows")
_CHECKS = ("mean", "standard_deviation", "zeros", "quantile_05", "quantile_50", "quantile_95", "correlation",
           "row_mean_spread")  # fmt: skip

# Rows of a table are easier to compare side by side than one argument a line.
# fmt: off
_METRICS = (
    Metric("log_marginal", "nats", "measure", "log p(x)", "log p(x)", 1),
    Metric("cross_entropy_bound", "nats", "measure", "grey cells under a Bernoulli", "bound of the cross-entropy", 2,
           "cross-entropy bound"),
    Metric("log_marginal_smoothed", "nats", "measure", "log p(x)", "log marginal smoothed", beside=True),
    Metric("cross_entropy_bound_smoothed", "nats", "measure", "grey cells under a Bernoulli",
           "cross entropy bound smoothed", beside=True),
    Metric("bits_per_dimension", "bits/dimension", "measure", "discrete cells", "bits per dimension", 6, "", "always"),
    Metric("elbo", "nats", "measure", "posterior", "ELBO", 7, told="always"),
    Metric("log_likelihood", "nats", "measure", "latents", "log p(x | z), expected under q(z | x)", 4, "log p(x | z)",
           "always"),
    Metric("kl", "nats", "measure", "posterior", "KL(q(z | x) to p(z))", 8, "KL", "always"),
    Metric("kl_level_#", "nats", "measure", "hierarchy", "kl level #", short="  level #", told="always"),
    Metric("log_likelihood_gain", "nats", "measure", "posterior", "log likelihood gain"),
    Metric("precision", "share", *_SAMPLES, "precision", short="precision of samples", told="two_sample_accuracy"),
    Metric("recall", "share", *_SAMPLES, "recall", short="recall of rows", told="two_sample_accuracy"),
    Metric("accuracy", "accuracy", "measure", "predicted labels", "accuracy", 3, told="always"),
    Metric("clustering_accuracy", "accuracy", "measure", "mixture prior, labels", "clustering accuracy", told="always"),
    Metric("normalised_mutual_information", "NMI", "measure", "mixture prior, labels",
           "normalised mutual information with the classes", short="NMI with the classes", told="always"),
    Metric("active_units", "units", "measure", "posterior", "active latent units", 9, "active units", "always"),
    Metric("target_squared_error", "squared units a cell", "measure", "pairs of pictures", "target squared error",
           short="target from source", told="always"),
    Metric("effective_sample_size", "draws", "weights", "latents, posterior", "effective sample size", lacking=_TAIL),
    Metric("pareto_k", "k", "weights", "latents, posterior", "pareto k", short="effective draws", told="always",
           lacking=_TAIL),
    Metric("gain_over_independent", "nats", "measure", "its own data", "gain over independent cells", 10,
           over="an independent-{cells} model"),
    Metric("gain_over_mixture", "nats", "measure", "its own mixed table", "gain over a mixture of independent columns",
           over="a mixture of independent columns"),
    Metric("gain_over_tree", "nats", "measure", "its own mixed table", "gain over a tree of columns",
           over="a tree of columns, counted in a second"),
    Metric("gain_over_gaussian", "nats", "measure", "its own numbers", "gain over a Gaussian of factors",
           over="a Gaussian of factors (probabilistic PCA)", lacking="rows with gaps, weights or very many cells"),
    Metric("pair_dependence", "share", "measure", "its own mixed table", "dependence of pairs of columns in samples",
           lacking="no pair of columns that depend on one another in held-out rows"),
    Metric("gain_over_mean_target", "squared units a cell", "measure", "pairs of pictures", "gain over mean target",
           over="the mean target"),
    Metric("gain_over_nearest_target", "squared units a cell", "measure", "pairs of pictures",
           "gain over nearest target", over="the nearest source's target"),
    *(Metric(name, "nats", "split", "latents, posterior", name.replace("_", " "), lacking=_DENSITY)
      for name in ("mutual_information", "aggregate_kl", "total_correlation", "dimensionwise_kl")),
    Metric("approximation_gap", "nats", "gaps", "latents, posterior", "approximation gap"),
    Metric("amortisation_gap", "nats", "gaps", "latents, posterior", "amortisation gap"),
    Metric("aggregate_mmd", "MMD^2", *_FITTED, "aggregate mmd"),
    Metric("aggregate_mmd_p_value", "probability", *_FITTED, "aggregate mmd p value", beside=True),
    Metric("aggregate_two_sample", "accuracy", *_FITTED, "aggregate two sample"),
    Metric("aggregate_two_sample_p_value", "probability", *_FITTED, "aggregate two sample p value", beside=True),
    Metric("prior_holes", "share of prior draws", *_FITTED, "prior holes"),
    Metric("posterior_coverage", "share", "calibration", _SIMULATED, "posterior coverage"),
    Metric("calibration_p_value", "probability", "calibration", _SIMULATED, "calibration p value"),
    *(Metric(f"log_marginal_{name}", "nats", "sandwich", _SIMULATED, f"log marginal {name}",
             lacking=_REACHED) for name in ("lower", "upper", "gap")),
    Metric("linear_probe_accuracy", "accuracy", *_PROBES, "linear probe accuracy"),
    Metric("nearest_neighbour_accuracy", "accuracy", *_PROBES, "nearest neighbour accuracy"),
    Metric("kmeans_accuracy", "accuracy", *_PROBES, "kmeans accuracy"),
    Metric("kmeans_nmi", "NMI", *_PROBES, "kmeans nmi"),
    Metric("kmeans_rand_index", "ARI", *_PROBES, "kmeans rand index"),
    *(Metric(name, "score", *_FACTORS, name.replace("_", " "))
      for name in ("mig", "sap", "modularity", "irs", "dci_disentanglement", "dci_completeness")),
    *(Metric(name, "accuracy", *_FACTORS, name.replace("_", " "))
      for name in ("dci_informativeness", "factor_vae_score", "beta_vae_score")),
    Metric("explicitness", "score", *_FACTORS, "explicitness"),
    Metric("trustworthiness", "score", "plane", "latents, codes of two numbers, equal rows", "trustworthiness"),
    *(Metric(f"{name}_reach", "units of z", "reach", "latents, posterior, pictures", f"{name} reach",
             lacking="the rows have no labels of two classes") for name in ("picture", "class")),
    Metric("density", "", *_SAMPLES, "density"),
    Metric("coverage", "share", *_SAMPLES, "coverage"),
    Metric("precision_of_rows", "share", *_SAMPLES, "precision of rows", beside=True),
    Metric("frechet_distance", "squared units", *_SAMPLES, "frechet distance"),
    Metric("kernel_distance", "", *_SAMPLES, "kernel distance"),
    Metric("two_sample_accuracy", "accuracy", *_SAMPLES, "two sample accuracy", 5, "samples told from rows"),
    Metric("two_sample_p_value", "probability", *_SAMPLES, "two sample p value", beside=True),
    Metric("memorisation", "probability", *_COPIES, "memorisation"),
    Metric("memorisation_p_value", "probability", *_COPIES, "memorisation p value", beside=True),
    Metric("copied_share", "share", *_COPIES, "copied share"),
    Metric("copied_share_p_value", "probability", *_COPIES, "copied share p value", beside=True),
    Metric("dropped_share", "share", "modes", "samples of its own data", "dropped share"),
    *(Metric(f"predictive_check_{name}", "probability", "checks", "samples of its own data, draws like rows",
             f"predictive check {name.replace('_', ' ')}") for name in _CHECKS),
    Metric("generalisation_gap", "nats", "generalisation", "log p(x), its own data, held-out rows",
           "generalisation gap"),
)
# fmt: on
METRICS: dict[str, Metric] = {one.name: one for one in _METRICS}
"""Every number by its name. The terminal tells those that have a line in this order."""


def ranked(last: int = 99) -> list[str]:
    """The names of the numbers that stand first, the lowest rank first."""
    return sorted((one.name for one in METRICS.values() if 0 < one.rank <= last), key=lambda name: METRICS[name].rank)


def metric_of(name: str) -> Metric:
    """The row of a number; one that is counted has its count in its words."""
    if name in METRICS:
        return METRICS[name]
    start = name.rstrip("0123456789")
    row, count = METRICS[f"{start}#"], name[len(start) :]
    return row._replace(words=row.words.replace("#", count), short=row.label.replace("#", count))
