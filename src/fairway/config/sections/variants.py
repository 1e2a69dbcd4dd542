"""Sections of which one field chooses one: the source of `data`, the type of a guard.

Each is the `SECTION` of a module that an entry point names, ours or an installed package's.
"""

from collections.abc import Callable, Mapping
from functools import cached_property
from typing import Any, Generic, TypeVar

from pydantic import GetCoreSchemaHandler
from pydantic.alias_generators import to_camel
from pydantic_core import CoreSchema, core_schema

from fairway import errors, plugins
from fairway.config.sections.base import Section

S = TypeVar("S", bound=Section)
Keep = Callable[[type[S], str, Any, Mapping[str, Any]], bool]


class Variants(Generic[S]):
    """Marks a field (`Annotated[Base, Variants(...)]`) whose section is the one that its `tag`
    names.

    `keep` is asked about each key that other variants alone know: the section, the field, its value
    and all values. A key that is not kept is dropped before the section is checked. It raises
    ValueError for one that would mislead.
    """

    def __init__(
        self,
        group: str,
        *,
        of: type[S],
        noun: str,
        tag: str,
        keep: Keep[S],
        usual: str | None = None,
    ) -> None:
        self._group, self._of, self._noun, self._keep = group, of, noun, keep
        self.tag, self._usual = tag, usual
        self._foreign: dict[type[S], Mapping[str, str]] = {}

    @cached_property
    def sections(self) -> Mapping[str, type[S]]:
        """Each installed variant's section by its name.

        Raises UsageError for a module that has no section.
        """
        return {
            name: self._section(name, plugin.load())
            for name, plugin in plugins.found(self._group).items()
        }

    def _section(self, name: str, module: Any) -> type[S]:
        section = getattr(module, "SECTION", None)
        if isinstance(section, type) and issubclass(section, self._of):
            return section
        wanted = f"a subclass of sections.{self._of.__name__}"
        raise errors.UsageError(
            f"{self._noun} {name} has no SECTION: wanted {wanted} in its module"
        )

    def __get_pydantic_core_schema__(
        self, declared: Any, handler: GetCoreSchemaHandler
    ) -> CoreSchema:
        choices = {
            name: handler.generate_schema(section) for name, section in self.sections.items()
        }
        what = self._noun if self.tag == self._noun else f"{self.tag} of {self._noun}"
        union = core_schema.tagged_union_schema(
            choices,
            discriminator=self._named,
            custom_error_type=self._noun,
            custom_error_message=f"wanted a {what} that is installed: {', '.join(choices)}",
        )
        return core_schema.no_info_before_validator_function(self._own, union)

    def _named(self, values: Any) -> Any:
        if isinstance(values, Mapping):
            return values.get(self.tag, self._usual)
        return getattr(values, self.tag, None)

    def _own(self, values: Any) -> Any:
        section = self.sections.get(str(self._named(values)))
        if not isinstance(values, Mapping) or section is None:
            return values
        foreign = self._others(section)
        return {
            key: value
            for key, value in values.items()
            if key not in foreign or self._keep(section, foreign[key], value, values)
        }

    def _others(self, section: type[S]) -> Mapping[str, str]:
        """Return the fields that other variants alone have, by both ways to write their keys."""
        if section not in self._foreign:
            fields = {name for other in self.sections.values() for name in other.model_fields}
            foreign = fields - section.model_fields.keys()
            self._foreign[section] = {
                key: name for name in foreign for key in (name, to_camel(name))
            }
        return self._foreign[section]
