"""What stands beside the counts of an AnnData file: said in words, and proposed as label, condition and layer."""

import numpy as np

from latens.kinds.counts.anndata import beside

TYPES = np.array(["T", "B", "T", "NK"])
RUNS = np.array(["r1", "r2", "r1", "r2"])
TOTALS = np.array([3.0, 10.5, np.nan, 7.0])


def test_columns_are_said_in_words_and_proposed_by_their_names() -> None:
    columns = [("n_counts", TOTALS), ("donor", RUNS), ("batch", RUNS), ("cell_type", TYPES), ("barcode", TYPES)]
    found = beside(columns, ["spliced", "counts"], whole=True)
    assert dict(found.columns) == {
        "n_counts": "3 to 10.5",
        "donor": "2 names",
        "batch": "2 names",
        "cell_type": "3 names",
        "barcode": "3 names",
    }
    assert found.flags == "--label cell_type --condition batch"
    assert beside(columns[:2], [], whole=True).flags == "--condition donor"
    assert beside(columns, ["spliced", "counts"], whole=False).flags.endswith("--condition batch --layer counts")
    assert beside([], ["spliced"], whole=False).flags == "--layer spliced"


def test_a_column_of_one_name_or_of_very_many_is_proposed_for_nothing() -> None:
    many = np.array([f"type{i}" for i in range(101)])
    assert beside([("cell_type", many), ("batch", np.full(101, "one"))], [], whole=True).flags == ""
    assert beside([("cell_type", many[:100]), ("batch", many[:100])], [], whole=True).label == "cell_type"
    assert beside([("empty", np.full(3, np.nan))], [], whole=True).columns == [("empty", "empty")]
