"""Columns that look like personal data: each kind in many spellings, and what must not be taken for one."""

from __future__ import annotations

import hashlib
import uuid

import numpy as np
import pandas as pd
import pytest

from tasks.stats.personal import (
    CARD,
    EMAIL,
    IBAN,
    NAME,
    PHONE,
    SSN,
    STATED,
    TEXT_WITH_EMAIL,
    find_personal,
    is_personal,
    recognise,
)
from tests.stats.people import make_people

ROWS = 200
RNG = np.random.default_rng(3)
PEOPLE = make_people(ROWS)
DIGITS = RNG.integers(0, 10, (ROWS, 20))


def digits(count, first=""):
    """Random digits, as text."""
    return [first + "".join(map(str, row[: count - len(first)])) for row in DIGITS]


def spread(*values):
    """The values over and over."""
    return [values[i % len(values)] for i in range(ROWS)]


def blank(values, share=0.7):
    return pd.Series(values).where(RNG.random(len(values)) > share)


POSITIVE = [
    ("contact", PEOPLE["email"], EMAIL),
    ("x1", PEOPLE["email"], EMAIL),
    ("x1", blank(PEOPLE["email"], 0.97), EMAIL),
    ("x1", [f"{n} <{e}>" for n, e in zip(PEOPLE["name"], PEOPLE["email"], strict=True)], EMAIL),
    ("x1", [e.upper() + " " for e in PEOPLE["email"]], EMAIL),
    ("x1", [e if i % 3 else "unknown" for i, e in enumerate(PEOPLE["email"])], EMAIL),
    ("x1", ["jörg@müller.example", "zoë@mail.example"], EMAIL),
    ("x1", ["someone@mail.example"], EMAIL),
    ("note", [f"call back, {e}." if i % 5 == 0 else "ok" for i, e in enumerate(PEOPLE["email"])], TEXT_WITH_EMAIL),
    ("note", [f"Email:{e}; urgent" for e in PEOPLE["email"]], TEXT_WITH_EMAIL),
    ("x2", PEOPLE["card"], CARD),
    ("x2", [int(c) for c in PEOPLE["card"]], CARD),
    ("x2", blank([float(c) for c in PEOPLE["card"]]), CARD),
    ("x2", [f"{c[:4]} {c[4:8]} {c[8:12]} {c[12:]}" for c in PEOPLE["card"]], CARD),
    ("x2", [f"{c[:4]}-{c[4:8]}-{c[8:12]}-{c[12:]}" for c in PEOPLE["card"]], CARD),
    ("x2", ["378282246310005", "371449635398431", "3714 496353 98431", "30569309025904", "6011111111111117"], CARD),
    ("x3", PEOPLE["ssn"], SSN),
    ("x3", blank(PEOPLE["ssn"]), SSN),
    ("customer_ssn", [s.replace("-", "") for s in PEOPLE["ssn"]], SSN),
    ("SSN", [int(s.replace("-", "")) for s in PEOPLE["ssn"]], SSN),
    ("SocialSecurityNumber", blank([float(s.replace("-", "")) for s in PEOPLE["ssn"]]), SSN),
    ("ssn", [s if i % 3 else "refused" for i, s in enumerate(PEOPLE["ssn"])], SSN),
    ("x4", PEOPLE["phone"], PHONE),
    ("x4", [f"+1{p[0:3]}{p[4:7]}{p[8:]}" for p in PEOPLE["phone"]], PHONE),
    ("x4", [f"({p[0:3]}) {p[4:]}" for p in PEOPLE["phone"]], PHONE),
    ("x4", [f"{p.replace('-', '.')} x{i}" for i, p in enumerate(PEOPLE["phone"])], PHONE),
    ("x4", [p if i % 2 else p.replace("-", "") for i, p in enumerate(PEOPLE["phone"])], PHONE),
    ("x4", [f"+49 30 {d}" for d in digits(7, "9")], PHONE),
    ("x4", [f"+44 (0)20 {d[:4]} {d[4:]}" for d in digits(8, "7")], PHONE),
    ("x4", [f"06 {d[:2]} {d[2:4]} {d[4:6]} {d[6:]}" for d in digits(8)], PHONE),
    ("phone", [p.replace("-", "") for p in PEOPLE["phone"]], PHONE),
    ("phone", [int(p.replace("-", "")) for p in PEOPLE["phone"]], PHONE),
    ("phone_number", blank([float(p.replace("-", "")) for p in PEOPLE["phone"]]), PHONE),
    ("PhoneNo2", [p.replace("-", "") for p in PEOPLE["phone"]], PHONE),
    ("phone_home", [p.replace("-", "") for p in PEOPLE["phone"]], PHONE),
    ("mobile_number", [f"0{d[:3]}/{d[3:]}" for d in digits(10, "17")], PHONE),
    ("Téléphone", [p.replace("-", " ") for p in PEOPLE["phone"]], PHONE),
    ("x5", ["GB82 WEST 1234 5698 7654 32", "DE89370400440532013000", "FR1420041010050500013M02606"], IBAN),
    ("first_name", [n.split()[0] for n in PEOPLE["name"]], NAME),
    ("LastName", [n.split()[1].upper() for n in PEOPLE["name"]], NAME),
    ("Nachname", ["Müller", "Schröder", "von der Heide", "O'Brien", "Núñez"], NAME),
    ("name", PEOPLE["name"], NAME),
    ("full_name", PEOPLE["name"], NAME),
    ("passenger_name", [f"{n.split()[1]}, {n.split()[0]}" for n in PEOPLE["name"]], NAME),
    ("Name", [f"{n.split()[1]}, Mr. {n.split()[0]}" for n in PEOPLE["name"]], NAME),
    ("patient_name", ["Wu Ming", "Nguyễn Văn Hùng", "Çağla Öz", "Þórdís Ýr", "Obi Eze"], NAME),
    ("customerName", PEOPLE["name"], NAME),
    ("driver", PEOPLE["name"], NAME),
    ("author", [f"{n.split()[1]}, {n.split()[0]}" for n in PEOPLE["name"]], NAME),
]


@pytest.mark.parametrize(("name", "values", "looks"), POSITIVE, ids=lambda v: v if isinstance(v, str) else "")
def test_what_is_personal_is_named(name, values, looks):
    assert recognise(name, pd.Series(values)) == looks
    assert recognise(name, pd.Series(values, dtype=object)) in (
        looks,
        None if pd.Series(values).dtype != str else looks,
    )


PRODUCTS = spread("Apple Watch", "Golden Delicious", "iPhone 15 Pro", "Calvin Klein Jeans", "John Deere Tractor",
                  "Jack Daniels", "Big Mac", "Surface Laptop", "Levi Strauss 501", "Peanut Butter")  # fmt: skip
COMPANIES = spread("Johnson & Johnson", "Morgan Stanley", "Wells Fargo Bank", "Ford Motor Company", "Acme Inc.",
                   "Müller GmbH", "Charles Schwab", "Goldman Sachs", "Procter and Gamble", "Mary Kay Cosmetics Inc",
                   "Hewlett Packard", "Ernst Young", "Eli Lilly", "Bosch", "Siemens AG")  # fmt: skip
PLACES = spread("Penn Station", "St. Mary Hospital", "John F Kennedy Intl", "George Street", "Grand Rapids",
                "Lake Placid", "San Jose", "Martin Luther King High School", "New York", "Los Angeles")  # fmt: skip

NEGATIVE = [
    *[(name, PRODUCTS) for name in ("name", "product_name", "item", "title", "brand_name", "customer")],
    *[(name, COMPANIES) for name in ("name", "company_name", "customer_name", "client", "supplier", "seller", "owner")],
    *[(name, PLACES) for name in ("name", "station_name", "city", "school_name", "airport", "contact")],
    ("name", spread("Katrina", "Andrew", "Camille", "Ivan", "Wilma", "Sandy", "Harvey")),  # storms
    ("name", spread("chevrolet malibu", "ford torino", "amc rebel sst", "plymouth satellite")),
    ("user_name", [f"user_{i}" for i in range(ROWS)]),
    ("first_name", digits(8)),
    ("first_name", spread("A", "B", "C", "D", "E", "F")),
    ("last_name", spread("yes", "no")),
    ("file_name", [f"report_{i}.pdf" for i in range(ROWS)]),
    ("person", [f"train-{i:05d}" for i in range(ROWS)]),
    ("relationship", spread("Husband", "Wife", "Not-in-family", "Own-child", "Unmarried")),
    ("occupation", spread("Exec-managerial", "Sales", "Craft-repair", "Tech-support", "Armed-Forces")),
    ("candidate_name", spread("logistic", "hist gradient boosting", "random forest", "ridge", "lasso", "dummy")),
    ("carrier", spread("UA", "AA", "B6", "DL")),
    ("id", list(range(ROWS))),
    ("id", list(range(4_000_000_000_000_000, 4_000_000_000_000_000 + ROWS))),
    ("id", [f"{i:010d}" for i in range(ROWS)]),
    ("order", digits(16)),
    ("order", digits(16, "4")),
    ("order", [int(d) for d in digits(16, "4")]),
    ("order", [int(d) for d in digits(10, "2")]),
    ("account", digits(9)),
    ("account", [int(d) for d in digits(9, "1")]),
    ("tin", [f"{d[:2]}-{d[2:]}" for d in digits(9)]),
    ("code", [f"{d[:3]}-{d[3:6]}-{d[6:]}" for d in digits(10)]),
    ("code", [f"{d[:3]}-{d[3:5]}-{d[5:]}" for d in digits(9)]),
    ("imei", [int(d) for d in digits(15, "35")]),
    ("isbn", [f"978-{d[0]}-{d[1:5]}-{d[5:9]}-{d[9]}" for d in digits(10)]),
    ("ean", digits(13, "400")),
    ("uuid", [str(uuid.UUID(int=i * 2**90 + i)) for i in range(ROWS)]),
    ("hash", [hashlib.sha256(str(i).encode()).hexdigest() for i in range(ROWS)]),
    ("hash", [str(int(hashlib.md5(str(i).encode()).hexdigest(), 16))[:19] for i in range(ROWS)]),
    ("at", [1_700_000_000 + 3_600 * i for i in range(ROWS)]),
    ("at", [1_700_000_000_000 + 3_600_000 * i for i in range(ROWS)]),
    ("at", [1_700_000_000_000_000_000 + i for i in range(ROWS)]),
    ("phone_at", [1_700_000_000 + 3_600 * i for i in range(ROWS)]),
    ("phone_calls", [10_000_000 + i for i in range(ROWS)]),
    ("phone_id", [10_000_000 + i for i in range(ROWS)]),
    ("phone", spread("iPhone 15", "Pixel 9", "Galaxy S24")),
    ("phone", spread(699.0, 899.0, 1_099.0)),
    ("phone", spread("2024-01-02", "2024-11-30", "2023-05-06")),
    ("contact", spread("cellular", "telephone", "unknown")),
    ("cell_count", [10_000_000 + i for i in range(ROWS)]),
    ("date", [f"2024-{1 + i % 12:02d}-{1 + i % 28:02d}" for i in range(ROWS)]),
    ("date", [f"{1 + i % 28:02d}.{1 + i % 12:02d}.2024" for i in range(ROWS)]),
    ("date", [int(f"2024{1 + i % 12:02d}{1 + i % 28:02d}") for i in range(ROWS)]),
    ("time", [f"{i % 24:02d}:{i % 60:02d}:00" for i in range(ROWS)]),
    ("moment", pd.date_range("2024-01-01", periods=ROWS)),
    ("zip", digits(5)),
    ("zip", [f"{d[:5]}-{d[5:]}" for d in digits(9)]),
    ("postcode", spread("SW1A 1AA", "M1 1AE", "EC1A 1BB")),
    ("price", RNG.normal(100, 20, ROWS).round(2)),
    ("price", [f"1,{d[:3]}.{d[3:]}" for d in digits(5)]),
    ("gain", [f"+{d[:2]}.{d[2:]}" for d in digits(8, "1")]),
    ("lat", RNG.normal(40.7, 0.1, ROWS)),
    ("position", [f"40.{d[:6]}, -74.{d[6:12]}" for d in digits(12)]),
    ("position", [f"+40.{d[:4]}-074.{d[4:8]}" for d in digits(8)]),
    ("ip", [f"192.168.{i % 256}.{i % 200}" for i in range(ROWS)]),
    ("ip", [f"203.{100 + i % 100}.113.{i % 200}" for i in range(ROWS)]),
    ("version", spread("1.2.3", "10.20.30", "2024.1.0")),
    ("handle", [f"@user{i}" for i in range(ROWS)]),
    ("package", spread("left-pad@1.3.0", "react@18.2.0", "@types/node@20.1.0")),
    ("repository", [f"git@github.com:someone/project-{i}.git" for i in range(ROWS)]),
    ("url", [f"https://host-{i}.example/path?x={i}" for i in range(ROWS)]),
    ("footer", [f"ticket {i}: write to support@shop.example" for i in range(ROWS)]),  # one address is nobody's
    ("note", [PEOPLE["email"][i] if i < 2 else f"note {i}" for i in range(ROWS)]),
    ("flag", spread(True, False)),
    ("empty", [None] * 3),
    ("empty", [np.nan] * 3),
    ("blank", ["", " ", None]),
    ("ssn", spread(0, 1)),
    ("ssn_verified", spread("yes", "no")),
    ("card", spread("gold", "silver", "4111")),
    ("zeros", ["0000000000000000", "4444444444444444", "0000-0000-0000-0000"]),
]  # fmt: skip


@pytest.mark.parametrize(("name", "values"), NEGATIVE, ids=lambda v: v if isinstance(v, str) else "")
def test_what_is_not_personal_is_left_in_peace(name, values):
    assert recognise(name, pd.Series(values)) is None


def test_codes_at_random_are_never_taken_for_personal_data():
    """Many tables of random codes of every length and form, under names that say nothing."""
    rng = np.random.default_rng(0)
    forms = ["#" * n for n in range(5, 20)]
    forms += [
        "###-##-####",
        "###-###-####",
        "##-##-##-##",
        "####-####-####-####",
        "+##.######",
        "AA##########",
        "0## ### ####",
    ]
    for form in forms:
        for _ in range(5):
            drawn = rng.integers(0, 10, (60, len(form)))
            texts = ["".join(str(d) if c == "#" else c for d, c in zip(row, form, strict=True)) for row in drawn]
            assert recognise("code", pd.Series(texts)) is None, texts[:3]
            if form.isprintable() and set(form) == {"#"} and len(form) < 19:
                assert recognise("code", pd.Series([int(t) for t in texts])) is None, texts[:3]


def test_the_project_file_adds_columns_and_takes_them_away():
    frame = pd.DataFrame({"mail": PEOPLE["email"], "city": PLACES, "target_": PEOPLE["ssn"], "n": range(ROWS)})
    assert find_personal(frame) == {"mail": EMAIL, "target_": SSN}
    assert find_personal(frame, stated=("city", "n", "gone"), cleared=("mail",)) == {
        "city": STATED, "target_": SSN, "n": STATED,
    }  # fmt: skip
    assert find_personal(frame, names={"target_": "y"}, cleared=("y",)) == {"mail": EMAIL}
    assert find_personal(frame[["n"]], frame[["mail"]]) == {"mail": EMAIL}
    assert find_personal(frame.head(0)) == {}


def test_a_value_by_itself():
    personal = [
        "a.b@mail.example",
        "write to a.b@mail.example",
        "4111 1111 1111 1111",
        "378282246310005",
        "219-09-9999",
    ]
    assert all(map(is_personal, personal))
    assert not any(map(is_personal, ["EWR", "2024-01-02", "1234567890123456", "000-12-3456", "@home", "", "a@b"]))


def test_long_texts_of_strangers_cost_little():
    import time

    hostile = [
        "a" * 5_000 + "@" * 5_000,
        "a@" * 5_000,
        ("a." * 60 + "@") * 90,
        "x@" + "a-" * 4_000,
        "1-" * 5_000,
        "+1 " * 4_000,
    ]
    began = time.process_time()
    recognise("phone", pd.Series([h + str(i) for i in range(100) for h in hostile]))
    assert time.process_time() - began < 5
