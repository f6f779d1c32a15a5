"""People who do not exist: their numbers have the right form, and reach nobody."""

from __future__ import annotations

import numpy as np

GIVEN = [
    "James",
    "Mary",
    "Robert",
    "Patricia",
    "Wei",
    "Fatima",
    "Anna",
    "Sergei",
    "Oluwaseun",
    "Bjorn",
    "Thandiwe",
    "José",
]
FAMILY = ["Smith", "O'Hara", "Garcia", "Lindqvist", "Okafor", "Tanaka", "Novak", "Brown", "Al-Farsi", "Dubois", "Meyer"]


def make_card(rng: np.random.Generator) -> str:
    """A number of 16 digits that begins as cards do and has their check digit."""
    stem = str(rng.choice(["4", "51", "2221", "6011"]))
    stem += "".join(map(str, rng.integers(0, 10, 15 - len(stem))))
    doubled = [int(d) * (2 - i % 2) for i, d in enumerate(stem)]
    return stem + str(-sum(d - 9 if d > 9 else d for d in doubled) % 10)


def make_people(rows: int, seed: int = 0) -> dict[str, list[str]]:
    """name, email, phone, card and ssn of so many people."""
    rng = np.random.default_rng(seed)
    names = [f"{rng.choice(GIVEN)} {rng.choice(FAMILY)}" for _ in range(rows)]
    return {
        "name": names,
        "email": [f"{n.split()[0].lower()}.{i}@mail{i % 7}.example" for i, n in enumerate(names)],
        "phone": [f"{a}-{b}-{c:04d}" for a, b, c in zip(
            rng.integers(201, 990, rows), rng.integers(200, 999, rows), rng.integers(0, 10_000, rows), strict=True)],
        "card": [make_card(rng) for _ in range(rows)],
        "ssn": [f"{a:03d}-{b:02d}-{c:04d}" for a, b, c in zip(
            rng.integers(1, 660, rows), rng.integers(1, 100, rows), rng.integers(1, 10_000, rows), strict=True)],
    }  # fmt: skip
