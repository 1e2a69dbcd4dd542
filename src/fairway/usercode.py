"""Users' own functions, named `package.module:name` in the configuration."""

import importlib
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

from fairway import errors

GIT_SECONDS = 5.0  # for the commit: it reads every file that may have changed


def call(named: str, *arguments: Any, what: str, **keywords: Any) -> Any:
    """Return what the named function returns; its own mistakes become a DataError with their words.

    `what` is the configuration's key, with which each sentence begins.
    """
    function = load(named, what=what)
    try:
        return function(*arguments, **keywords)
    except errors.FairwayError:
        raise
    except Exception as error:
        raise errors.DataError(f"{what} {named} raised {type(error).__name__}: {error}") from error


def load(named: str, *, what: str) -> Callable[..., Any]:
    """Return the function that `package.module:name` names; modules in the current directory are
    found too."""
    module_name, colon, function_name = named.partition(":")
    if not colon or not module_name or not function_name:
        raise errors.UsageError(f"{what} is {named!r}: wanted package.module:name")
    module = _imported(module_name, where=f"{what} {named}")
    function = getattr(module, function_name, None)
    if not callable(function):
        raise errors.UsageError(
            f"{what} {named}: module {module_name} has no function {function_name!r}"
        )
    loaded: Callable[..., Any] = function
    return loaded


def commit(folder: Path) -> str:
    """Return the commit of the folder's repository, with `-dirty` where files were changed since;
    empty where there is none, no git, or no answer in time."""
    asked = ("git", "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*")
    try:
        done = subprocess.run(
            asked, cwd=folder, capture_output=True, text=True, timeout=GIT_SECONDS, check=True
        )
    except (OSError, subprocess.SubprocessError):
        return ""
    return done.stdout.strip()


def _imported(name: str, *, where: str) -> ModuleType:
    if "" not in sys.path and str(Path.cwd()) not in sys.path:
        sys.path.insert(0, str(Path.cwd()))
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        raise errors.UsageError(
            f"{where}: there is no module {error.name!r} on the path or in {Path.cwd()}"
        ) from error
    except Exception as error:
        raise errors.UsageError(
            f"{where}: importing {name} raised {type(error).__name__}: {error}"
        ) from error
