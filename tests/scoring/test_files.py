"""Files are there whole or not at all, also where many are written at once."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tasks.errors import InfrastructureError
from tasks.files import safe_name, whole_file


def write(path: Path, content: bytes = b"whole") -> None:
    with whole_file(path) as file:
        file.write(content)


def test_many_writers_in_one_folder_never_take_each_other_for_dead(tmp_path: Path) -> None:
    with ThreadPoolExecutor(8) as pool:
        for done in [pool.submit(write, tmp_path / f"{i % 40}.txt") for i in range(400)]:
            done.result()
    assert sorted(p.name for p in tmp_path.iterdir()) == sorted(f"{i}.txt" for i in range(40))


def test_an_error_leaves_the_old_file(tmp_path: Path) -> None:
    write(tmp_path / "a.txt", b"old")
    with pytest.raises(RuntimeError), whole_file(tmp_path / "a.txt") as file:
        file.write(b"half")
        raise RuntimeError
    assert [(p.name, p.read_bytes()) for p in tmp_path.iterdir()] == [("a.txt", b"old")]


def test_a_dead_writers_file_is_swept_and_a_living_ones_is_not(tmp_path: Path) -> None:
    (tmp_path / ".a.txt.0123.tmp").write_bytes(b"left")
    with whole_file(tmp_path / "a.txt") as file:
        write(tmp_path / "b.txt")
        file.write(b"alive")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.txt", "b.txt"]


def test_a_folder_that_is_a_file_is_an_infrastructure_error(tmp_path: Path) -> None:
    (tmp_path / "taken").write_bytes(b"")
    with pytest.raises(InfrastructureError, match="cannot be written: File exists"):
        write(tmp_path / "taken" / "a.txt")


def test_names_tell_keys_apart() -> None:
    keys = ["a/b", "a.b", "a-b", "", ".", "..", "a\0b"]
    assert len({safe_name(k) for k in keys}) == len(keys)
    assert safe_name("a", "b") != safe_name("ab") != safe_name("a")
    assert all("/" not in safe_name(k) and not safe_name(k).startswith(".") for k in keys)
