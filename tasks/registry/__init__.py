"""The one door to MLflow: model files, runs, versions and aliases. Importing it does not import MLflow."""

from tasks.registry.aliases import mirror_aliases, read_head
from tasks.registry.connection import Registry, open_registry
from tasks.registry.files import StoredFiles, digest_folder, load_model_files, save_model_files
from tasks.registry.record import DatasetRecord, TrainingRecord, list_columns, list_metrics, list_params
from tasks.registry.runs import find_training, register, register_training
from tasks.registry.soundness import predict_in_fresh_process
from tasks.registry.versions import find_version, load_artifact, load_version, locate_model, run_link
from tasks.registry.windows import log_window

__all__ = [
    "DatasetRecord",
    "Registry",
    "StoredFiles",
    "TrainingRecord",
    "digest_folder",
    "find_training",
    "find_version",
    "list_columns",
    "list_metrics",
    "list_params",
    "load_artifact",
    "load_model_files",
    "load_version",
    "locate_model",
    "log_window",
    "mirror_aliases",
    "open_registry",
    "predict_in_fresh_process",
    "read_head",
    "register",
    "register_training",
    "run_link",
    "save_model_files",
]
