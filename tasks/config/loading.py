"""From a name or a path to a validated project, with errors a person can act on."""

from __future__ import annotations

import difflib
import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

import yaml
from pydantic import BaseModel, ValidationError

from tasks.config.project import Project
from tasks.config.values import SLUG_PATTERN
from tasks.errors import ConfigError


@dataclass(frozen=True)
class LoadedProject:
    """A validated project and where it lives. `root` is what relative paths are resolved against."""

    spec: Project
    path: Path
    root: Path
    home: Path
    overrides: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """The project's name."""
        return self.spec.name

    @property
    def argument(self) -> str:
        """What a command takes to mean this project: its name where that finds this file, else the file's path."""
        try:
            return self.name if find_project_file(self.name) == self.path else shown(self.path)
        except ConfigError:
            return shown(self.path)

    @property
    def address(self) -> str:
        """As `argument`, whatever folder a command is given in: what is written down."""
        return self.name if self.argument == self.name else str(self.path)

    @property
    def folder(self) -> Path:
        """The project's own folder under the home: predictions, quarantine, reports."""
        return self.home / self.name

    @property
    def resolved(self) -> str:
        """The project as validated, overrides and defaults included, as YAML."""
        return str(yaml.safe_dump(json.loads(self.spec.model_dump_json()), sort_keys=False, allow_unicode=True))

    @property
    def contract_path(self) -> Path | None:
        """The contract's file, or None where the project has none."""
        if self.spec.contract.file:
            return (self.path.parent / self.spec.contract.file).resolve()
        beside = self.path.parent / f"{self.spec.name}.contract.yaml"
        return beside if beside.exists() else None


def load_project(project: str | Path, overrides: Sequence[str] = ()) -> LoadedProject:
    """Read, override and validate a project file.

    `project` is a path to a YAML file, or a name that is looked up as `configs/<name>.yaml` under the current
    folder and then beside the installed code. `overrides` are `key.path=value` with the value in YAML.
    Raises ConfigError naming file, key, what was expected and what was found.
    """
    path = find_project_file(project)
    try:
        raw = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise ConfigError(f"{shown(path)}: not valid YAML: {describe_yaml_error(error)}.") from None
    except OSError as error:
        raise ConfigError(f"{shown(path)}: cannot be read: {error.strerror}") from None
    if not isinstance(raw, dict):
        raise ConfigError(f"{shown(path)}: expected keys such as name, data and train; found {_found(raw)}.")
    for override in overrides:
        _apply_override(raw, override)
    try:
        spec = Project.model_validate(raw)
    except ValidationError as error:
        raise ConfigError(explain(path, error, Project)) from None
    root = project_root(path)
    return LoadedProject(spec=spec, path=path, root=root, home=find_home(root), overrides=tuple(overrides))


def describe_yaml_error(error: Exception) -> str:
    """Where in the file it is, and what the parser says."""
    mark = getattr(error, "problem_mark", None)
    if mark is None:
        return " ".join(str(error).split()).rstrip(".")
    return f"line {mark.line + 1}, column {mark.column + 1}: {getattr(error, 'problem', None) or 'cannot be read'}"


def project_root(path: Path) -> Path:
    """What a project file's relative paths are resolved against: the folder that holds its `configs/`, else its own."""
    return path.parent.parent if path.parent.name == "configs" else path.parent


def find_home(root: Path) -> Path:
    """`TRUEUP_HOME`, or `.trueup` under the project's root."""
    home = os.environ.get("TRUEUP_HOME")
    return Path(home).expanduser().resolve() if home else root / ".trueup"


def find_project_file(project: str | Path) -> Path:
    """The project file that a name or path means; ConfigError with the known names where there is none."""
    text = str(project)
    if not text or "\0" in text:
        raise ConfigError(f"{text!r} is no project name; give a name such as flights, or a path to a YAML file.")
    if text.endswith((".yaml", ".yml")) or os.sep in text:
        path = Path(text).expanduser()
        if path.is_file():
            return path.resolve()
        raise ConfigError(f"{text}: no such project file. Give a path to a YAML file, or the name of one in configs/.")
    folders = [Path.cwd() / "configs", Path(__file__).resolve().parents[2] / "configs"]
    for folder in folders:
        if (folder / f"{text}.yaml").is_file():
            return (folder / f"{text}.yaml").resolve()
    known = sorted(
        {p.stem for f in folders if f.is_dir() for p in f.glob("*.yaml") if not p.name.endswith(".contract.yaml")}
    )
    close = difflib.get_close_matches(text, known, n=1)
    hint = f" Did you mean {close[0]!r}?" if close else ""
    listed = f" Known here: {', '.join(known)}." if known else f" There is no project file in {shown(folders[0])}/."
    raise ConfigError(f"No project {text!r}: {shown(folders[0])}/{text}.yaml is not there.{hint}{listed}")


def shown(path: Path) -> str:
    """A path as a person wants to read it: relative to the current folder where it lies below."""
    try:
        return readable(str(path.relative_to(Path.cwd())))
    except ValueError:
        return readable(str(path))


def readable(text: str, keep: str = "") -> str:
    """A stranger's text with what cannot be printed as an escape, such as `\\x1b`, but for the characters to `keep`:
    nothing in it steers a terminal, breaks a line or turns the direction of what follows."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() or c in keep else c.encode("unicode_escape").decode() for c in text)


def json_schema() -> dict[str, Any]:
    """The JSON Schema of a project file, for editors."""
    schema = Project.model_json_schema()
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": "trueup project", **schema}


def _apply_override(raw: dict[str, Any], override: str) -> None:
    key, equals, value = override.partition("=")
    parts = key.strip().split(".")
    if not equals or not all(parts):
        raise ConfigError(f"--set {override}: expected key.path=value, such as train.search.trials=5.")
    try:
        parsed = yaml.safe_load(value)
    except yaml.YAMLError:
        raise ConfigError(f"--set {override}: {value!r} is not a YAML value.") from None
    node = raw
    for part in parts[:-1]:
        if node.get(part) is None:
            node[part] = {}
        node = node[part]
        if not isinstance(node, dict):
            raise ConfigError(f"--set {override}: {part!r} holds a value, not further keys.")
    node[parts[-1]] = parsed


def explain(path: Path, error: ValidationError, model: type[BaseModel]) -> str:
    """What pydantic found wrong with a file, a line for each fault: file, key, what was expected, what was found."""
    lines = []
    for item in error.errors():
        location = [p for p in item["loc"] if not (isinstance(p, str) and p.startswith(("function-", "constrained-")))]
        key = ".".join(str(p) for p in location)
        where = f"{shown(path)}: {key or '(the whole file)'}"
        if item["type"] == "extra_forbidden":
            known = _known_keys(location[:-1], model)
            close = difflib.get_close_matches(str(location[-1]), known, n=1)
            hint = f" Did you mean {close[0]!r}?" if close else f" Known here: {', '.join(known)}."
            lines.append(f"{where}: unknown key.{hint}")
        elif item["type"] == "missing":
            lines.append(f"{where}: this key is required and is not there.")
        elif item["type"] == "string_pattern_mismatch" and item["ctx"]["pattern"] == SLUG_PATTERN:
            expected = "lower-case letters, digits, - and _, at most 63 of them and no - or _ at the start"
            lines.append(f"{where}: expected {expected}; found {_found(item['input'])}.")
        elif item["type"] in ("model_type", "model_attributes_type"):
            keys = ", ".join(_known_keys(location, model)[:4])
            found = _found(item["input"])
            hint = " Indent its keys by two spaces below it." if item["input"] is None else ""
            lines.append(f"{where}: expected keys below it, such as {keys}; found {found}.{hint}")
        elif item["type"] == "value_error":
            lines.append(f"{where}: {item['ctx']['error'] if 'ctx' in item else item['msg']}.")
        else:
            expected = item["msg"].removeprefix("Input should be ").rstrip(".").replace("a valid tuple", "a list")
            lines.append(f"{where}: expected {expected}; found {_found(item['input'])}.")
    return "\n".join(dict.fromkeys(lines))


def _known_keys(location: Sequence[Any], model: type[BaseModel]) -> list[str]:
    for part in location:
        field = model.model_fields.get(str(part))
        if field is None:
            break
        for option in (field.annotation, *get_args(field.annotation)):
            if isinstance(option, type) and issubclass(option, BaseModel):
                model = option
    return list(model.model_fields)


def _found(value: Any) -> str:
    names = {dict: "a mapping", list: "a list", tuple: "a list", type(None): "nothing"}
    named = names.get(type(value))
    if named:
        return named
    text = repr(value)
    return f"{text if len(text) <= 60 else text[:57] + '...'} ({type(value).__name__})"
