"""The one door to MLflow: model files, runs, versions and aliases. Importing it does not import MLflow."""

from tasks.registry.aliases import (
    Finding,
    has_version,
    mark_override,
    mirror_aliases,
    note_head,
    read_aliases,
    read_head,
)
from tasks.registry.connection import Registry, open_registry
from tasks.registry.content import digest_estimator, digest_stored
from tasks.registry.files import StoredFiles, check_digest, digest_folder, load_model_files, save_model_files
from tasks.registry.locations import follow_home, home_database, place_here
from tasks.registry.pages import log_pages, page_link
from tasks.registry.record import DatasetRecord, TrainingRecord, list_columns, list_metrics, list_params
from tasks.registry.removal import Shelf, Stored, list_files, read_shelf, remove_stored
from tasks.registry.runs import find_training, register, register_training
from tasks.registry.soundness import predict_in_fresh_process
from tasks.registry.versions import find_version, load_artifact, load_version, locate_model, read_artifact, run_link
from tasks.registry.windows import log_window

__all__ = [
    "DatasetRecord",
    "Finding",
    "Registry",
    "Shelf",
    "Stored",
    "StoredFiles",
    "TrainingRecord",
    "check_digest",
    "digest_estimator",
    "digest_folder",
    "digest_stored",
    "find_training",
    "find_version",
    "follow_home",
    "has_version",
    "home_database",
    "list_columns",
    "list_files",
    "list_metrics",
    "list_params",
    "load_artifact",
    "load_model_files",
    "load_version",
    "locate_model",
    "log_pages",
    "log_window",
    "mark_override",
    "mirror_aliases",
    "note_head",
    "open_registry",
    "page_link",
    "place_here",
    "predict_in_fresh_process",
    "read_aliases",
    "read_artifact",
    "read_head",
    "read_shelf",
    "register",
    "register_training",
    "remove_stored",
    "run_link",
    "save_model_files",
]
