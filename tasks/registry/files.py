"""A model's files: stored without pickle, named by a digest of their content, and loaded only where it fits."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import pandas as pd
import yaml

from tasks.errors import ConfigError, InfrastructureError

MODEL_FILE = "model.skops"
# MLflow writes it into the model's own folder when someone loads the model by its name, as `models:/flights@champion`.
_WRITTEN_BY_LOADING = "registered_model_meta"


@dataclass(frozen=True)
class StoredFiles:
    """An MLflow model folder. `digest` is of its file names and contents; `size_mb` in 10^6 bytes."""

    path: Path
    digest: str
    size_mb: float
    format: Literal["skops"]


def save_model_files(
    estimator: Any,
    folder: Path,
    *,
    input_example: pd.DataFrame,
    pip_requirements: Sequence[str],
    trusted_types: Sequence[str],
) -> StoredFiles:
    """Store a fitted estimator as an MLflow model, in skops.

    `folder` must not exist yet. `input_example` (a few rows, the model's features) gives the signature: floats as
    doubles, text as strings, flags as booleans. MLflow's type for whole numbers refuses missing ones and its double
    refuses whole ones, so they may be of any type, as may times; the model itself reads both (MLflow then serves JSON
    and frames, and no CSV). Served by MLflow, it answers with `predict_proba` where it has one, as trueup's own
    predictions are. `trusted_types` are the reviewed types that the file may hold beside skops' own; they are
    recorded in it. ConfigError for any other type.
    """
    from tasks.registry.connection import import_mlflow

    import_mlflow()
    import mlflow.sklearn
    from mlflow.exceptions import MlflowException

    example = _as_served(input_example)
    try:
        mlflow.sklearn.save_model(
            estimator,
            str(folder),
            serialization_format="skops",
            skops_trusted_types=sorted(trusted_types),
            signature=_make_signature(input_example, estimator),
            input_example=example,
            pip_requirements=list(pip_requirements),
            pyfunc_predict_fn="predict_proba" if hasattr(estimator, "predict_proba") else "predict",
        )
    except (MlflowException, OSError) as error:
        disk = _find_disk_error(error)  # MLflow takes a full disk for a model that skops cannot store
        if disk is None:
            raise _explain_refusal(estimator, trusted_types, error) from None
        raise InfrastructureError(
            f"The model cannot be written to {folder}: {disk.strerror or disk}. Check the folder and the disk's space."
        ) from None
    return StoredFiles(folder, digest_folder(folder), measure_mb(folder), "skops")


def load_model_files(folder: Path, digest: str) -> Any:
    """The estimator in a model folder, after its content was compared with `digest`. MLflow is not imported.

    InfrastructureError where the files are missing, differ from what was registered, or cannot be loaded.
    """
    check_digest(folder, digest)
    import skops.io

    try:
        described = yaml.safe_load((folder / "MLmodel").read_text(encoding="utf-8"))
        # The list is part of what the digest covers: it is the one that was reviewed when the model was stored.
        trusted = described["flavors"]["sklearn"].get("skops_trusted_types") or []
        return skops.io.load(folder / MODEL_FILE, trusted=trusted)
    except Exception as error:  # noqa: BLE001 - skops raises what the stored classes raise, of any kind
        raise InfrastructureError(
            f"The model in {folder} cannot be loaded: {type(error).__name__}: {_first_line(error)}. Install the "
            "versions in its requirements.txt, or train again."
        ) from None


def check_digest(folder: Path, digest: str) -> None:
    """InfrastructureError where a model folder is missing or its content is not what the digest names."""
    if not (folder / "MLmodel").is_file():
        raise InfrastructureError(
            f"The model with digest {digest[:12]} is not in {folder}: its files are gone. Restore them from a backup, "
            "or roll back to another version."
        )
    found = digest_folder(folder)
    if found != digest:
        raise InfrastructureError(
            f"The model in {folder} is not the one that was registered: expected digest {digest[:12]}, found "
            f"{found[:12]}. It was not loaded. Restore its files from a backup, or roll back to another version."
        )


def digest_folder(folder: Path) -> str:
    """SHA-256 over the names (relative, sorted) and contents of all files in a model's folder, in hex.

    A note that MLflow leaves there when it loads the model counts as nothing: it is not read by any load.
    """
    whole = hashlib.sha256()
    for path in sorted(p for p in folder.rglob("*") if p.is_file() and p != folder / _WRITTEN_BY_LOADING):
        with path.open("rb") as file:
            content = hashlib.file_digest(file, "sha256").hexdigest()
        whole.update(f"{path.relative_to(folder).as_posix()}\0{content}\n".encode())
    return whole.hexdigest()


def measure_mb(folder: Path) -> float:
    """The size of all files in a folder, in 10^6 bytes."""
    return sum(p.stat().st_size for p in folder.rglob("*") if p.is_file()) / 1e6


def _find_disk_error(error: BaseException | None) -> OSError | None:
    while error is not None and not isinstance(error, OSError):
        error = error.__cause__ or error.__context__
    return error


def _explain_refusal(estimator: Any, trusted_types: Sequence[str], error: BaseException) -> ConfigError:
    import skops.io

    try:
        unknown = sorted(set(skops.io.get_untrusted_types(data=skops.io.dumps(estimator))) - set(trusted_types))
    except Exception as refusal:  # noqa: BLE001 - skops raises what the classes raise, of any kind
        unknown, error = [], refusal
    if not unknown:
        return ConfigError(f"The model cannot be stored without pickle: {_first_line(error)}.")
    return ConfigError(
        f"The model holds types that nobody has reviewed, so it cannot be stored without pickle: "
        f"{', '.join(unknown[:5])}{' ...' if len(unknown) > 5 else ''}. Review them and add them to the candidates' "
        "trusted types, or leave the candidate out of train.candidates."
    )


def _as_served(frame: pd.DataFrame) -> pd.DataFrame:
    """Columns as MLflow's serving passes them: numbers in NumPy's types, text as objects."""
    served = {}
    for name in frame.columns:
        column = frame[name]
        if pd.api.types.is_bool_dtype(column) or pd.api.types.is_datetime64_any_dtype(column):
            served[name] = column
        elif pd.api.types.is_numeric_dtype(column):
            whole = pd.api.types.is_integer_dtype(column) and not column.hasnans
            served[name] = column.astype("int64" if whole else "float64")
        else:
            served[name] = column.astype(object).where(column.notna(), None)
    return pd.DataFrame(served, index=frame.index)


def _make_signature(rows: pd.DataFrame, estimator: Any) -> Any:
    import numpy as np
    from mlflow.models import ModelSignature
    from mlflow.types.schema import AnyType, ColSpec, Schema, TensorSpec

    columns = [ColSpec(_served_type(rows[name]) or AnyType(), name) for name in rows.columns]
    classes = getattr(estimator, "classes_", None)
    shape = (-1,) if classes is None or not hasattr(estimator, "predict_proba") else (-1, len(classes))
    return ModelSignature(Schema(columns), Schema([TensorSpec(np.dtype("float64"), shape)]))


def _served_type(column: pd.Series[Any]) -> str | None:
    """MLflow's name for a column's type; None where no type of MLflow takes all that the model does."""
    if column.dtype == bool:
        return "boolean"
    if pd.api.types.is_float_dtype(column):
        return "double"
    found = pd.api.types.infer_dtype(column, skipna=True)
    return "string" if found == "string" else "boolean" if found == "boolean" and column.dtype == object else None


def _first_line(error: BaseException) -> str:
    lines = str(error).strip().splitlines()
    return (lines[0] if lines else "no message")[:300].rstrip(".")
