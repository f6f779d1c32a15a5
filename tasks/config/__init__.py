"""The project file: its types, how it is read, and the errors a person gets."""

from tasks.config.loading import (
    LoadedProject,
    find_home,
    find_project_file,
    json_schema,
    load_project,
    project_root,
    readable,
    shown,
)
from tasks.config.project import Project, TaskType

__all__ = [
    "LoadedProject",
    "Project",
    "TaskType",
    "find_home",
    "find_project_file",
    "json_schema",
    "load_project",
    "project_root",
    "readable",
    "shown",
]
