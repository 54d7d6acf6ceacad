"""UCI Adult: one record of the 1994 census a row, 14 columns, of which 8 are categories.

A row is 14 numbers: a category is its place in the list of its column's categories (`CATEGORIES`),
a category that is in no list is -1. The copy here has no test file, so a fifth of its rows, drawn
once, is the test split; their numbers stand in splits/adult-test.txt.
"""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from zoo.data import required
from zoo.sets.samples import DataSet, Samples

COLUMNS = (
    "age", "workclass", "fnlwgt", "education", "education years", "marital status", "occupation",
    "relationship", "race", "sex", "capital gain", "capital loss", "hours per week", "country",
)  # fmt: skip
CATEGORIES: Mapping[str, Sequence[str]] = {
    "workclass": (
        "?", "Federal-gov", "Local-gov", "Never-worked", "Private", "Self-emp-inc",
        "Self-emp-not-inc", "State-gov", "Without-pay",
    ),
    "education": (
        "10th", "11th", "12th", "1st-4th", "5th-6th", "7th-8th", "9th", "Assoc-acdm", "Assoc-voc",
        "Bachelors", "Doctorate", "HS-grad", "Masters", "Preschool", "Prof-school", "Some-college",
    ),
    "marital status": (
        "Divorced", "Married-AF-spouse", "Married-civ-spouse", "Married-spouse-absent",
        "Never-married", "Separated", "Widowed",
    ),
    "occupation": (
        "?", "Adm-clerical", "Armed-Forces", "Craft-repair", "Exec-managerial", "Farming-fishing",
        "Handlers-cleaners", "Machine-op-inspct", "Other-service", "Priv-house-serv",
        "Prof-specialty", "Protective-serv", "Sales", "Tech-support", "Transport-moving",
    ),
    "relationship": (
        "Husband", "Not-in-family", "Other-relative", "Own-child", "Unmarried", "Wife",
    ),
    "race": ("Amer-Indian-Eskimo", "Asian-Pac-Islander", "Black", "Other", "White"),
    "sex": ("Female", "Male"),
    "country": (
        "?", "Cambodia", "Canada", "China", "Columbia", "Cuba", "Dominican-Republic", "Ecuador",
        "El-Salvador", "England", "France", "Germany", "Greece", "Guatemala", "Haiti",
        "Holand-Netherlands", "Honduras", "Hong", "Hungary", "India", "Iran", "Ireland", "Italy",
        "Jamaica", "Japan", "Laos", "Mexico", "Nicaragua", "Outlying-US(Guam-USVI-etc)", "Peru",
        "Philippines", "Poland", "Portugal", "Puerto-Rico", "Scotland", "South", "Taiwan",
        "Thailand", "Trinadad&Tobago", "United-States", "Vietnam", "Yugoslavia",
    ),
}  # fmt: skip
LABELS = ("<=50K", ">50K")
TEST_ROWS = Path(__file__).parents[1] / "splits" / "adult-test.txt"


def encode_record(record: Sequence[str]) -> list[float]:
    """Return the 14 numbers of a record as it stands in the file, the income left out."""
    return [_number(name, value) for name, value in zip(COLUMNS, record, strict=True)]


def _number(column: str, value: str) -> float:
    listed = CATEGORIES.get(column)
    if listed is None:
        return float(value)
    return float(listed.index(value)) if value in listed else -1.0


def load_adult(root: Path, split: str) -> Samples:
    """Read one split: float32 [n, 14], and 1 where the income is over 50,000 dollars."""
    with required(root, "tabular/adult.csv").open(encoding="utf-8", newline="") as file:
        rows = [row for row in csv.reader(file, skipinitialspace=True) if row]
    inputs = np.array([encode_record(row[:-1]) for row in rows], np.float32)
    classes = np.array([LABELS.index(row[-1]) for row in rows], np.int64)
    test = np.array(TEST_ROWS.read_text(encoding="utf-8").split(), np.int64)
    if split == "test":
        return Samples(inputs, classes).take(test)
    return Samples(inputs, classes).take(np.setdiff1d(np.arange(len(rows)), test))


ADULT = DataSet(
    title="Adult",
    labels=LABELS,
    load=load_adult,
    facts=(
        "Adult (UCI), 32,561 records of the 1994 census of the United States: 26,049 for training, "
        "6,512 for the test, drawn once (splits/adult-test.txt); the file that UCI has for the "
        "test is not in this copy.",
    ),
    citation="Becker & Kohavi 1996: Adult, UCI Machine Learning Repository, doi:10.24432/C5XW20.",
    licence="Adult: CC BY 4.0 (UCI)",
)
