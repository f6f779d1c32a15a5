"""A version's pages in MLflow: among its run's artifacts, and what was decided where MLflow shows the version."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping

from tasks.files import scratch_folder
from tasks.registry.connection import Registry
from tasks.registry.record import write_note
from tasks.registry.versions import TAG
from tasks.results import ModelVersion

_LOGGED = f"{TAG}pages"


def log_pages(registry: Registry, version: ModelVersion, files: Mapping[str, str], description: str) -> bool:
    """Put a version's pages (artifact name -> text) into its run, and say in its description what was decided.

    Done once for the same pages: what is there already is left alone, and then False is returned; so it is for a
    version that was deleted there. A page that was there under the same name is replaced. InfrastructureError where
    MLflow cannot be reached or written.
    """
    digest = hashlib.sha256(repr((sorted(files.items()), description)).encode("utf-8", "backslashreplace"))
    mark = digest.hexdigest()[:32]
    client = registry.client()
    from mlflow.exceptions import MlflowException

    with registry.errors():
        try:
            found = client.get_model_version(version.project, str(version.version))
        except MlflowException as error:
            if error.error_code != "RESOURCE_DOES_NOT_EXIST":
                raise
            return False
        if found.tags.get(_LOGGED) == mark:
            return False
        with scratch_folder(registry.home / "scratch") as folder:
            for name, text in files.items():
                if "/" in name or name.startswith("."):
                    raise ValueError(f"a page's name is a plain file name: {name!r}")
                (folder / name).write_text(text, encoding="utf-8")
            client.log_artifacts(version.run_id, str(folder))
        client.update_model_version(version.project, str(version.version), write_note(description))
        client.set_model_version_tag(version.project, str(version.version), _LOGGED, mark)  # last: all of it is there
    return True


def page_link(link: str, name: str) -> str | None:
    """The address of a page among a run's artifacts, from what `run_link` gave; None where that is no address."""
    return f"{link.partition('?')[0]}/artifacts/{name}" if link.startswith("http") else None
