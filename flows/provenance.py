"""What a training's result may hang on beside rows, settings and seed: code, libraries, machine. Recorded, compared."""

from __future__ import annotations

import hashlib
import os
import platform
import subprocess
from collections.abc import Mapping
from pathlib import Path

_ROOT = Path(__file__).resolve().parents[1]
_LOCK = _ROOT / "uv.lock"
_LIBRARIES = ("numpy", "scipy", "scikit-learn", "pandas", "pyarrow", "skops")
_SHOWN = 12  # letters of a commit or a digest


def describe_environment(root: Path) -> dict[str, str]:
    """This process and this machine by name; `root` is the project's folder, whose git commit is told.

    Plain texts, empty where a thing cannot be told. Called once the libraries that compute are loaded: the BLAS
    says which kernels it has chosen for this processor, and results may differ in the last bit between them.
    """
    from importlib.metadata import version

    return {
        "trueup": version("trueup"),
        "code": digest_code(),
        "git_commit": find_commit(root),
        "lock": lock_digest(),
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.machine()}",
        **{name: version(name) for name in _LIBRARIES},
        **_describe_threads(),
    }


def compare_environments(then: Mapping[str, str] | None, now: Mapping[str, str]) -> list[str] | None:
    """What the training ran on that is another now, a clause each; None where it was not recorded."""
    if then is None:
        return None
    names = [name for name in {**then, **now} if then.get(name) != now.get(name)]
    return [f"{n.replace('_', ' ')} {_short(then.get(n))} then, {_short(now.get(n))} now" for n in names]


def find_commit(root: Path) -> str:
    """The git commit of the project's folder, with `+changes` where files differ from it; empty outside git."""

    def ask(*words: str) -> str:
        try:
            done = subprocess.run(
                ["git", "-C", str(root), *words], capture_output=True, text=True, timeout=10, check=False
            )
        except (OSError, subprocess.TimeoutExpired):
            return ""
        return done.stdout.strip() if done.returncode == 0 else ""

    commit = ask("rev-parse", "HEAD")
    return commit + ("+changes" if commit and ask("status", "--porcelain", "--untracked-files=no") else "")


def lock_digest() -> str:
    """Digest of the lock file that pins every library; of the installed versions where there is none."""
    if _LOCK.is_file():
        return hashlib.sha256(_LOCK.read_bytes()).hexdigest()[:16]
    from importlib.metadata import distributions

    names = sorted(f"{d.metadata['Name']}=={d.version}" for d in distributions())
    return hashlib.sha256("\n".join(names).encode()).hexdigest()[:16]


def digest_code() -> str:
    """Digest of trueup's own source files: it tells two states of the code apart that have the same version."""
    whole = hashlib.sha256()
    for path in sorted(p for folder in ("flows", "tasks") for p in (_ROOT / folder).rglob("*.py")):
        whole.update(f"{path.relative_to(_ROOT).as_posix()}\0".encode() + path.read_bytes() + b"\0")
    return whole.hexdigest()[:16]


def _describe_threads() -> dict[str, str]:
    """The BLAS that NumPy computes with, its kernels, and how many threads share a sum."""
    from threadpoolctl import threadpool_info

    found = threadpool_info()
    blas = sorted({_name_blas(pool) for pool in found if pool["user_api"] == "blas"})
    threads = {int(pool["num_threads"]) for pool in found if pool["user_api"] == "openmp"}
    return {
        "blas": ", ".join(blas),
        "openmp threads": str(max(threads)) if threads else os.environ.get("OMP_NUM_THREADS", ""),
    }


def _name_blas(pool: dict[str, object]) -> str:
    words = (pool.get("internal_api"), pool.get("version"), pool.get("architecture"))
    return " ".join(str(word) for word in words if word) + f" on {pool['num_threads']} thread(s)"


def _short(value: str | None) -> str:
    """A commit or digest by its first letters; what was not told as such."""
    if not value:
        return "(not told)"
    head, plus, more = value.partition("+")
    return f"{head[:_SHOWN]}{plus}{more}" if len(head) >= 16 and head.isalnum() else value
