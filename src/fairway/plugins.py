"""Find what installed packages add to fairway: sources, guards and whatever else has a group of its
own.

A package declares an entry point, as fairway itself does for its own, and nothing else knows its
name:

    [project.entry-points."fairway.sources"]
    sql = "my_package.sql"

What is found is a name and the distribution that it comes from; the module behind it is imported
when something of its group is asked for: a package that cannot be imported is named then, and has
to go or be mended.
"""

import functools
import importlib.metadata
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from fairway import errors

T = TypeVar("T")

OURS = "fairway"  # our own distribution
GROUPS = (
    "comparisons",
    "detectors",
    "families",
    "guards",
    "kinds",
    "metrics",
    "networks",
    "sources",
    "tasks",
)


@dataclass(frozen=True)
class Plugin:
    """One thing that a package adds."""

    group: str
    name: str
    distribution: str
    version: str
    entry: importlib.metadata.EntryPoint

    def load(self) -> Any:
        """Return the module or object; raises UsageError where it cannot be imported."""
        try:
            return self.entry.load()
        except Exception as error:
            raise errors.UsageError(
                f"{self.group} {self.name} of {self.distribution} {self.version} cannot be imported "
                f"({type(error).__name__}: {error}): mend or uninstall {self.distribution}"
            ) from error


@functools.cache
def found(group: str) -> Mapping[str, Plugin]:
    """Return the plug-ins of a group such as `sources`, by name; raises UsageError where two
    packages claim one name."""
    plugins: dict[str, Plugin] = {}
    for entry in sorted(_declared().select(group=f"fairway.{group}"), key=lambda entry: entry.name):
        distribution, version = _told(entry.dist)
        plugin = Plugin(group, entry.name, distribution, version, entry)
        other = plugins.setdefault(entry.name, plugin)
        if other.entry.value != entry.value:
            raise errors.UsageError(
                f"{other.distribution} and {distribution} both add {group} {entry.name!r}: uninstall one of them"
            )
    return plugins


@functools.cache
def _declared() -> Any:  # EntryPoints, and in Python 3.11 what selects among them
    """Return the entry points of all groups: each look reads a file of every installed package."""
    return importlib.metadata.entry_points()


@functools.cache
def _told(distribution: importlib.metadata.Distribution | None) -> tuple[str, str]:
    """Return a distribution's name and version, which it parses its metadata for each time."""
    if distribution is None:
        return "an unknown package", ""
    metadata = distribution.metadata
    return metadata["Name"], metadata["Version"]


def load(group: str, name: str) -> Any:
    """Return the plug-in's module or object; raises UsageError with the names that there are."""
    plugins = found(group)
    if name not in plugins:
        raise errors.UsageError(f"there is no {group} {name!r}: wanted one of {', '.join(plugins)}")
    return plugins[name].load()


def beside(group: str, ours: Mapping[str, T], *, kind: type[Any]) -> Mapping[str, T]:
    """Return ours, which need no installed package, and one of each class that others' plug-ins
    name.

    Raises UsageError for a plug-in that is no subclass of `kind`.
    """
    return {
        **ours,
        **{name: _made(plugin, kind) for name, plugin in found(group).items() if name not in ours},
    }


def _made(plugin: Plugin, kind: type[Any]) -> Any:
    named = plugin.load()
    if not (isinstance(named, type) and issubclass(named, kind)):
        raise errors.UsageError(
            f"{plugin.group} {plugin.name} of {plugin.distribution} {plugin.version} names {named!r}: "
            f"wanted a subclass of {kind.__module__}.{kind.__name__}"
        )
    made = named()
    if made.name != plugin.name:
        raise errors.UsageError(
            f"{plugin.group} {plugin.name} of {plugin.distribution} {plugin.version} calls itself {made.name!r}: "
            "wanted one name in both places"
        )
    return made
