"""A trained model with all that belongs to it: what is saved, loaded, evaluated and shared as one file."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from numbers import Real
from pathlib import Path
from typing import Any

import equinox as eqx
import jax
import numpy as np
from msgspec import structs
from numpy.typing import ArrayLike

from latens import config as configuration
from latens.config import Config, VAEConfig
from latens.data import Dataset, Preparation, Schema
from latens.data.conditions import cells_of, one_vector, usual_inputs
from latens.data.dataset import Batch
from latens.errors import ConfigError, LatensError, ModelFileError, UsageError, refuse_other
from latens.evidence import importance
from latens.evidence.batched import ModelRows
from latens.evidence.estimate import finite
from latens.kinds import kind_of
from latens.latents.codes import decode, encode, encode_with_noise, new_rows, reconstruct
from latens.models import DeterministicHead, FlowMatching
from latens.models.conditional import Conditional, with_usual
from latens.predictive.conditional_samples import conditions_of, sample_given
from latens.predictive.missing_cells import DRAWS
from latens.recipes import recipe_of
from latens.recipes.custom_parts import adopted_if_it_fits, config_of_file
from latens.recipes.parts import ConfiguredParts, bind, with_parts
from latens.runs.folder import RunFolder
from latens.runtime.atomic import as_path, write_atomic
from latens.runtime.compilation import check_count, check_process
from latens.runtime.safetensors import arrays_to_tree, pack, read, tree_to_arrays, unpack
from latens.trainable import count_parameters
from latens.trained.inputs import (
    batch_of,
    code_of,
    conditions_of_rows,
    latents_of,
    model_file,
    one_hot,
    refuse_classifier,
    seed_key,
)
from latens.trained.methods import Methods
from latens.typing import Key, PyTree, checked_later

FORMAT = 2
HALF_MOST = 65_504.0
"""The largest number in half precision."""

_FIX = "The file was changed or damaged, or another version of latens wrote it: use an intact copy."


@dataclass(frozen=True, repr=False)
class TrainedModel(Methods):
    """A trained model with its configuration, its schema and facts about its training.

    Args:
        model: The model, a pytree of arrays.
        schema: The schema of the training data.
        preparation: The transformation of a row before the model.
        config: The configuration. None for a model of your own objects, whose file contains only arrays: load it with
            `into=`.
        facts: Facts about the training by name, as JSON values.
    """

    model: Any
    schema: Schema
    preparation: Preparation
    config: Config | None = None
    facts: dict[str, Any] = field(default_factory=dict)

    def __repr__(self) -> str:
        """What the model is, in a line; its arrays are those of `model`."""
        config, rows = self.config, "x".join(map(str, self.schema.shape))
        parts = [f"{self.schema.kind} rows of {rows}"]
        if isinstance(config, VAEConfig):
            named = {"prior": config.prior.kind, "posterior": config.posterior.kind}
            named["likelihood"] = config.likelihood.family
            parts += [f"{part} {kind}" for part, kind in named.items()]
        return f"{type(self).__name__}({', '.join([*parts, f'model {type(self.model).__name__}'])})"

    # --- rows in ---

    @checked_later
    def batch(
        self, data: Dataset | np.ndarray, positions: np.ndarray | None = None, *, label: ArrayLike | None = None
    ) -> Batch:
        """Make a batch of rows for the model.

        Args:
            data: A data set, or an array of rows of shape (n, *x), also flattened.
            positions: The positions of the rows. None: all rows.
            label: Labels of an array, if the model reads them: names or codes, shape (n,), or one for all rows.

        Returns:
            A batch before the preparation.

        Raises:
            DataError: The rows have another shape than the model's, contain masked, NaN or infinite values, or lack a
                label that the model reads.
            UsageError: This process was forked from one that computed.
        """
        check_process()
        return batch_of(data, positions, label, self.schema, self.preparation)

    @checked_later
    def rows(
        self,
        data: Dataset | np.ndarray | Batch,
        positions: np.ndarray | None = None,
        *,
        label: ArrayLike | None = None,
        seed: int = 0,
        key: Key | None = None,
    ) -> ModelRows:
        """Combine rows with this model for the functions of `latens.evidence` and `latens.latents`.

        Args:
            data: A data set, an array of rows of shape (n, *x), also flattened, or a batch.
            positions: The positions of the rows, shape (m,). None: all rows.
            label: As for `batch`.
            seed: Seed of all draws.
            key: A random key instead of the seed, or None.

        Returns:
            The model, the rows, the preparation and the key.

        Raises:
            DataError: As for `batch`.
            UsageError: As for `batch`, or the seed is not valid.
        """
        batch = data if isinstance(data, Batch) else self.batch(data, positions, label=label)
        return ModelRows(self.model, batch, seed_key(seed) if key is None else key, self.preparation)

    @property
    def is_point(self) -> bool:
        """Whether codes have no density, as those of an autoencoder."""
        if isinstance(self.config, VAEConfig):
            return self.parts.posterior.is_point
        # A model that was made by hand has no configuration to say so.
        return isinstance(getattr(getattr(self.model, "encoder", None), "head", None), DeterministicHead)

    @cached_property
    def parts(self) -> ConfiguredParts:
        """The prior, posterior, likelihood and objective of the configuration of a variational autoencoder."""
        assert self.config is not None
        return bind(self.config)

    # --- classes ---

    @property
    def classes(self) -> tuple[str, ...]:
        """The names of the classes of a conditional model, or of one that predicts labels."""
        known = self.preparation.classes or callable(getattr(self.model, "label_logits", None))
        return self.schema.classes or () if known else ()

    @checked_later
    def code_of(self, name: str) -> int:
        """Return the code of a class.

        Args:
            name: The name of the class.

        Returns:
            Its position in `classes`.

        Raises:
            UsageError: The class is unknown. The message names the nearest one.
        """
        return code_of(name, self.classes)

    def condition(self, codes: np.ndarray | None) -> dict[str, np.ndarray] | None:
        """Return the conditions of rows of the given classes.

        Args:
            codes: The codes of the classes, shape (n,), or None.

        Returns:
            One-hot vectors (n, C) under the name "label", or None.

        Raises:
            UsageError: A code is not that of a class.
        """
        return None if codes is None else {"label": one_hot(codes, self.classes)}

    def in_turn(self, n: int, *, most: int | None = None) -> np.ndarray | None:
        """Return the class codes of n rows, which repeat the classes of a conditional model in turn.

        Args:
            n: The number of rows.
            most: Use only this number of classes, the first ones. None: all classes.

        Returns:
            Codes of shape (n,), or None for models that are not conditional.
        """
        classes = self.preparation.classes
        return np.arange(n) % (classes if most is None else min(classes, most)) if classes else None

    @property
    def one_condition(self) -> dict[str, np.ndarray] | None:
        """The condition of one row of the first class, if the model is conditional."""
        cond = self.condition(self.in_turn(1))
        return ({} if cond is None else {"label": cond["label"][0]}) | usual_inputs(self.schema) or None

    @property
    def latent_shape(self) -> tuple[int, ...]:
        """The shape of one latent, as in `latens.latents`."""
        refuse_classifier(self.config, "decode", "the model")
        from latens.latents.codes import latent_shape

        return latent_shape(self.model, cond=self.one_condition)

    def given(self, values: Mapping[str, Any]) -> "TrainedModel":
        """Return the model with default conditions for rows without conditions.

        Args:
            values: A category or a number for each condition. Other conditions get the most frequent category or the
                median.

        Returns:
            A trained model that uses these conditions for samples, decoded rows and figures.

        Raises:
            DataError: A category is not in the training rows, or a value is not a number.
            UsageError: The model has no such condition. The message names the nearest one.
        """
        refuse_other(values, Mapping, "given", "Give a name or a number for each condition: {'dose': 2.0}.")
        vector = one_vector(self.schema.conditions or (), values, "given")
        return replace(self, model=with_usual(self.model, vector))

    def guided(self, guidance: float) -> "TrainedModel":
        """Return the model with another guidance of its flow matching prior.

        Args:
            guidance: The guidance, at least 0. 1: samples as trained. Above 1: samples more typical of their class.

        Returns:
            A trained model with this guidance.

        Raises:
            ConfigError: The prior is not a flow matching prior that reads labels.
            UsageError: The guidance is negative or not finite.
        """
        if not isinstance(guidance, Real) or not 0.0 <= guidance < math.inf:
            raise UsageError(
                f"{guidance!r:.100} is not a number of 0 or more.", where="guidance", fix="Give for example 2."
            )
        prior = getattr(self.model, "prior_part", None)
        if not isinstance(prior, FlowMatching) or not prior.classes:
            what = "guidance is of a prior by flow matching that reads labels."
            raise ConfigError(what, where="guidance", fix="Fit with --set label=condition --then flow-matching.")
        model = eqx.tree_at(lambda m: m.prior_part, self.model, replace(prior, guidance=float(guidance)))
        assert isinstance(self.config, VAEConfig)
        options = {**self.config.prior.options, "guidance": float(guidance)}
        config = structs.replace(self.config, prior=structs.replace(self.config.prior, options=options))
        return replace(self, model=model, config=config)

    @property
    def told(self) -> str:
        """The default conditions as text, or an empty text."""
        parts = jax.tree.leaves(self.model, is_leaf=lambda part: isinstance(part, Conditional))
        usual = next((part.usual for part in parts if getattr(part, "usual", None) is not None), None)
        if usual is None:
            return ""
        known = cells_of(self.schema.conditions or (), np.asarray(usual.value)[None])
        texts = {name: str(c[0]) if c.dtype.kind == "U" else f"{c[0]:g}" for name, c in known.items()}
        return ", ".join(f"{name}={text}" for name, text in texts.items())

    # --- events out ---

    def data_units(self, values: np.ndarray, *, mean: bool) -> np.ndarray:
        """Convert events or means of the likelihood to the units of the stored rows.

        This undoes the preparation. For values y, the result is y * divide. If whole numbers were dequantised, a sample
        is floor(y * divide) and a mean is y * divide - 1/2. For counts with y = log(1 + x), it is exp(y) - 1. Binarised
        pixels become 0 and `divide`, and their probabilities values between. Values are not clipped, so a Normal can
        leave the range of the data.

        Args:
            values: Events or means, shape (n, *x).
            mean: Whether `values` are means. Otherwise they are samples.

        Returns:
            The values in the units of the stored rows, in the same shape.
        """
        scaled = np.asarray(values)
        if self.preparation.log1p:
            return np.expm1(scaled)
        if self.preparation.divide != 1.0:
            scaled = scaled * np.float32(self.preparation.divide)
        if not self.preparation.dequantize:
            return scaled
        return scaled - np.float32(0.5) if mean else np.floor(scaled)

    # --- what a model is for ---

    @checked_later
    def encode(
        self,
        data: Dataset | np.ndarray | Batch,
        *,
        label: ArrayLike | None = None,
        noise: np.ndarray | None = None,
        seed: int = 0,
    ) -> np.ndarray:
        """Encode rows as the means of q(z | x), or as samples for the given noise.

        Args:
            data: A data set, an array of rows of shape (n, *x), or a batch.
            label: Labels of an array, if the model reads them: names or codes, shape (n,), or one for all rows.
            noise: Noise of the posterior, shape (n, latent_dim). For a Normal posterior, the code is mean + scale *
                noise. Relaxed discrete codes need uniform noise between 0 and 1. None: the means.
            seed: The seed of the preparation, which may draw noise.

        Returns:
            Codes of shape (n, latent_dim), float32.

        Raises:
            DataError: The rows do not match the model, a label is missing, or the noise does not fit the posterior.
        """
        refuse_classifier(self.config, "encode", "the model")
        rows = self.rows(data, label=label, seed=seed)
        found = encode(rows)["mean"] if noise is None else encode_with_noise(rows, noise)
        codes = finite(found, "posterior means" if noise is None else "codes")
        return codes.reshape(len(codes), -1).astype(np.float32)

    @checked_later
    def decode(self, z: np.ndarray, *, label: ArrayLike | None = None) -> np.ndarray:
        """Decode latents as the means of p(x | z).

        Args:
            z: Latents, shape (n, latent_dim).
            label: Labels, if the model reads them: names or codes of classes, shape (n,), or one for all rows.

        Returns:
            Rows of shape (n, *x), float32, in the units of the stored rows.

        Raises:
            DataError: The latents are not finite, or have another shape than the model's.
            UsageError: A label is not the name or code of a class.
        """
        z = latents_of(z, self.latent_shape)
        cond = conditions_of_rows(label, self.preparation.classes, self.classes, len(z))
        found = decode(self.model, z, mean=True, cond=cond)
        return self._rows(found, mean=True)

    @checked_later
    def sample(
        self,
        n: int,
        *,
        seed: int = 0,
        label: ArrayLike | None = None,
        given: Mapping[str, Any] | None = None,
        temperature: float = 1.0,
    ) -> np.ndarray:
        """Sample rows: z from the prior, and x from p(x | z).

        Args:
            n: The number of rows.
            seed: The seed.
            label: Labels, if the model reads them: names or codes of classes, shape (n,), or one for all rows. None:
                all classes in turn.
            given: A value for each condition, as in the method `given`. For a table with kinds of columns, also a value
                or a pair (smallest, largest) for a column, which the sampled rows have.
            temperature: Scale of the noise of z, at least 0. Below 1, samples are closer to the centre of the prior.
                Not with `given`.

        Returns:
            Rows of shape (n, *x), float32, in the units of the stored rows.

        Raises:
            ConfigError: `temperature` is not 1, and the prior does not support it.
            DataError: `given` names an unknown column, or no row can have the values.
            ResourceError: The rows do not fit into memory.
            UsageError: The number of rows is below 1, the temperature is negative or not finite or passed with `given`,
                or this process was forked from one that computed.
        """
        check_process()
        refuse_classifier(self.config, "sample from", "the model")
        n = check_count(n, "n", cells=int(np.prod(self.schema.shape)))
        own, given = _split(self.schema, given)
        if own:
            return self.given(own).sample(n, seed=seed, label=label, given=given, temperature=temperature)
        if given is not None:
            if temperature != 1.0:
                what = f"{temperature:g} cannot be combined with conditions, whose latents come from the posterior."
                raise UsageError(what, where="temperature", fix="Leave one of them out.")
            return sample_given(self.model, conditions_of(given, self.schema), n, key=seed_key(seed)).x
        codes = self.in_turn(n) if label is None else label
        cond = conditions_of_rows(codes, self.preparation.classes, self.classes, n)
        values, _ = new_rows(self.model, n, mean=False, key=seed_key(seed), cond=cond, temperature=temperature)
        return self._rows(values, mean=False)

    @checked_later
    def reconstruct(
        self, data: Dataset | np.ndarray | Batch, *, label: ArrayLike | None = None, noise: np.ndarray | None = None
    ) -> np.ndarray:
        """Reconstruct rows as the means of p(x | z) at their posterior means, or at samples for the given noise.

        Args:
            data: A data set, or an array of rows of shape (n, *x).
            label: Labels of an array, if the model reads them: names or codes, shape (n,), or one for all rows.
            noise: As for `encode`.

        Returns:
            Rows of shape (n, *x), float32, in the units of the stored rows.

        Raises:
            DataError: The rows do not match the model, or a label is missing.
        """
        refuse_classifier(self.config, "reconstruct from", "the model")
        rows = self.rows(data, label=label)
        if noise is None:
            found = reconstruct(rows)
        else:
            z = encode_with_noise(rows, noise)
            codes = None if not self.preparation.classes else np.asarray(rows.batch.label)
            found = decode(self.model, z, key=rows.key, mean=True, cond=self.condition(codes))
        return self._rows(found, mean=True)

    @checked_later
    def log_marginal(
        self,
        data: Dataset | np.ndarray | Batch,
        *,
        num_samples: int = 1000,
        seed: int = 0,
        label: ArrayLike | None = None,
    ) -> np.ndarray:
        """Estimate log p(x) of every row by importance sampling; `VAE.score_samples` describes its units.

        Args:
            data: A data set, or an array of rows of shape (n, *x).
            num_samples: Draws of q(z | x) for each row, at least 1.
            seed: The seed.
            label: Labels of an array, if the model reads them: names or codes, shape (n,), or one for all rows.

        Returns:
            One estimate per row in nats, shape (n,).

        Raises:
            DataError: The rows do not match the model, or a label is missing.
        """
        refuse_classifier(self.config, "draw", "the model")
        num_samples = check_count(num_samples, "num_samples")
        found = importance.log_marginal(self.rows(data, label=label, seed=seed), num_samples=num_samples)
        # A density of real numbers is never 0: minus infinity there is a row beyond float32.
        return finite(found, "log p(x)", minus_infinity=not self.schema.cells.real)

    @checked_later
    def impute(
        self, data: Dataset | Batch, *, num_samples: int = DRAWS, num_draws: int = 0, seed: int = 0
    ) -> np.ndarray:
        r"""Impute missing cells by their posterior mean, $E[x_{mis} \mid x_{obs}]$, or by draws.

        Args:
            data: A data set with missing cells, such as `latens.read(rows, missing="nan", schema=trained.schema)`, or a
                batch with a `mask` of observed cells.
            num_samples: Draws of z for each row, at least 1.
            num_draws: Number M of random completions of each row. 0: the mean.
            seed: The seed.

        Returns:
            The completed rows, shape (n, *x), or (M, n, *x), float32, in the units of the stored rows. Observed cells
            do not change.

        Raises:
            DataError: The rows do not match the model, or a label is missing.
        """
        from latens.trained.cell_scores import imputed

        refuse_classifier(self.config, "impute from", "the model")
        kind_of(self.schema).refuse("gaps", "impute")
        num_samples = check_count(num_samples, "num_samples")
        num_draws = 0 if num_draws == 0 else check_count(num_draws, "num_draws", cells=int(np.prod(self.schema.shape)))
        batch = data if isinstance(data, Batch) else self.batch(data)
        found = imputed(self, batch, key=seed_key(seed), num_samples=num_samples, num_draws=num_draws)
        return np.asarray(np.moveaxis(found.draws, 1, 0) if num_draws else found.x, np.float32)

    def _rows(self, values: np.ndarray, *, mean: bool) -> np.ndarray:
        return np.asarray(finite(self.data_units(values, mean=mean), "rows of the model"), np.float32)

    # --- files ---

    def metadata(self) -> dict[str, Any]:
        """Return the metadata of a model file.

        Returns:
            A JSON object with format, configuration, schema, preparation and facts.
        """
        config = None if self.config is None else configuration.to_json(self.config)
        rows = {"schema": self.schema.to_json(), "preparation": self.preparation.to_json()}
        return {"format": FORMAT, "config": config, **rows, "facts": self.facts}

    @checked_later
    def save(self, path: str | Path, *, half: bool = False) -> Path:
        """Write a `.safetensors` file of arrays and JSON, without code.

        Args:
            path: The file.
            half: Whether to store numbers in half precision, which halves the size and has about three decimal digits.
                They are float32 again after loading.

        Returns:
            The path of the file.

        Raises:
            ModelFileError: An array of the model is not finite, or has a value above 65,504 and `half` is True.
            ResourceError: The file cannot be written.
        """
        write_atomic(path := as_path(path), self._packed(str(path), half=half))
        return path

    def to_bytes(self) -> bytes:
        """Return the bytes that `save` would write.

        Returns:
            The bytes of a file.

        Raises:
            ModelFileError: An array of the model is not finite.
        """
        return self._packed("the model")

    def _packed(self, where: str, *, half: bool = False) -> bytes:
        arrays = tree_to_arrays(self.model)
        for name, array in arrays.items():
            if array.dtype.kind == "f" and not np.all(np.isfinite(array)):
                raise ModelFileError(f"{name} is not finite; such a model is not saved", where=where)
            if half and array.dtype == np.float32:
                if np.any(np.abs(array) > HALF_MOST):
                    fix = "Save it without half=True."
                    raise ModelFileError(f"{name} has numbers above {HALF_MOST:,.0f}.", where=where, fix=fix)
                arrays[name] = array.astype(np.float16)
        return pack(arrays, self.metadata())

    @classmethod
    @checked_later
    def load(cls, path: str | Path, *, into: object = None, **parts: Any) -> "TrainedModel":
        """Load a model file. latens checks the whole file and executes nothing in it.

        Args:
            path: The file.
            into: A model of the same structure, if the file was saved from your own objects.
            **parts: Objects that you passed to the estimator (`likelihood=`, `encoder=`, ...) and did not register.

        Returns:
            The model.

        Raises:
            ModelFileError: The file is damaged or unsafe. The message names the part.
            ResourceError: The file cannot be read.
            UsageError: This process was forked from one that computed.
        """
        return cls._from(*read(as_path(path)), into, str(path), parts)

    @classmethod
    @checked_later
    def from_bytes(cls, raw: bytes, *, into: object = None, where: str = "the bytes", **parts: Any) -> "TrainedModel":
        """Load a model from the bytes of a file.

        Args:
            raw: The bytes.
            into: A model of the same structure, if the file was saved from your own objects.
            **parts: Objects that you passed to the estimator (`likelihood=`, `encoder=`, ...) and did not register.
            where: The name of the bytes in error messages.

        Returns:
            The model.

        Raises:
            ModelFileError: The bytes are damaged or unsafe. The message names the part.
            UsageError: This process was forked from one that computed.
        """
        return cls._from(*unpack(raw, where=where), into, where, parts)

    @classmethod
    def _from(
        cls, arrays: dict[str, np.ndarray], metadata: dict[str, Any], into: PyTree, where: str, parts: dict[str, Any]
    ) -> "TrainedModel":
        check_process()
        found = metadata.get("format")
        if type(found) is not int or found != FORMAT:
            what = f"the file has format {str(found)[:50]!r}; this version reads {FORMAT}."
            known = type(found) is int
            older = known and 0 < found < FORMAT
            fix = "latens 0.1 wrote it: train the model again." if older else _FIX
            fix = "A newer latens wrote it: install that version." if known and found > FORMAT else fix
            raise ModelFileError(what, where=where, fix=fix)
        missing = {"config", "schema", "preparation", "facts"} - set(metadata)
        if missing:
            raise ModelFileError(f"the file lacks {', '.join(sorted(missing))}.", where=where, fix=_FIX)
        try:
            schema = Schema.from_json(metadata["schema"])
            preparation = Preparation.from_json(metadata["preparation"])
        except ModelFileError as error:
            raise ModelFileError(error.message, where=f"{where}, {error.where}", fix=error.fix) from None
        facts = metadata["facts"] if isinstance(metadata["facts"], dict) else {}
        if into is not None:
            return cls(
                arrays_to_tree(arrays, into, half=True, finite=True, where=where), schema, preparation, None, facts
            )
        with adopted_if_it_fits():
            written = config_of_file(metadata["config"], parts, where)
            try:
                config = configuration.from_json(written)
                recipe = recipe_of(config)
                parts = recipe.bind(config)
                if recipe.preparation(schema, parts) != preparation:
                    what = "the preparation is not the one that this configuration gives"
                    raise ConfigError(f"{what}, or the class registered for one of its parts changed.")
                skeleton = eqx.filter_eval_shape(lambda key: recipe.model(schema, parts, key=key), seed_key(0))
            except ModelFileError:
                raise
            except LatensError as error:
                what = f"the configuration in the file does not fit: {str(error)[:500]}"
                raise ModelFileError(what, where=where, fix=_FIX) from None
            model = arrays_to_tree(arrays, skeleton, half=True, finite=True, where=where)
        return with_parts(cls(model, schema, preparation, config, facts), parts)

    def with_facts(self, **facts: object) -> "TrainedModel":
        """Return the model with further facts.

        Args:
            **facts: JSON values by name, which replace those of the same name.

        Returns:
            A model that shares its arrays with this model.
        """
        return with_parts(replace(self, facts={**self.facts, **facts}), vars(self).get("parts"))

    @property
    def num_parameters(self) -> int:
        """The number of trained parameters."""
        return count_parameters(self.model)

    def table(self) -> Sequence[tuple[str, tuple[int, ...], str]]:
        """List the arrays of the model.

        Returns:
            The name, shape and dtype of each array.
        """
        return [(name, array.shape, str(array.dtype)) for name, array in tree_to_arrays(self.model).items()]


def _split(schema: Schema, given: Mapping[str, Any] | None) -> tuple[dict[str, Any], Mapping[str, Any] | None]:
    """What is given of conditions, and the rest, which is about columns."""
    names = [one.name for one in schema.conditions or ()]
    own = {name: value for name, value in (given or {}).items() if name in names}
    return own, {name: value for name, value in given.items() if name not in own} or None if own and given else given


@checked_later
def load(path: str | Path, *, into: object = None, **parts: Any) -> TrainedModel:
    """Load a model from a file, a run folder or the models included in latens.

    Args:
        path: A `.safetensors` file, a run folder, or `pretrained:NAME`.
        into: A model of the same structure, if the file was saved from your own objects.
        **parts: Objects that you passed to the estimator (`likelihood=`, `encoder=`, ...) and did not register.

    Returns:
        The model.

    Raises:
        ModelFileError: The file is damaged or unsafe. The message names the part.
        RunFolderError: The run has no model yet.
        ResourceError: The file cannot be read.
        UsageError: The included model does not exist, or this process was forked from one that computed.

    Examples:
        >>> load("pretrained:digits-2d").sample(3).shape
        (3, 8, 8)
    """
    trained = TrainedModel.load(model_file(path), into=into, **parts)
    if (folder := as_path(path)).is_dir():  # its own rows are then read as the command reads them
        vars(trained)["source"] = RunFolder.open(folder, lock=False).info["data"]
    return trained
