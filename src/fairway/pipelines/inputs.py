"""What components make of the configuration and the artifacts that they are given."""

from collections.abc import Mapping
from pathlib import Path

from fairway import artifacts
from fairway.config import sections


def settings(config: str) -> sections.Config:
    """Return the configuration that a pipeline hands to its steps as JSON."""
    return sections.Config.model_validate_json(config)


def validated(
    config: str, *, rows: Path, champion: tuple[Mapping[str, str], Path]
) -> artifacts.Validation:
    """Return what is found in the rows that were brought to a folder; `champion` is the metadata and
    the place of the package in service, which may be none. Each finding is printed."""
    from fairway.data import importing, validate
    from fairway.monitoring import references
    from fairway.packaging import manifest

    section = importing.brought(settings(config).data, folder=rows)
    package = artifacts.folder_of(champion[0], at=champion[1])
    if package is None:
        record = validate.validate(section)
    else:
        made = manifest.load(package)
        reference = references.trained(package, files=made.files, features=made.features)
        record = validate.validate(section, champion=made.schema, reference=reference)
    for level, found in (("error", record.errors), ("warning", record.warnings)):
        for sentence in found:
            print(f"{level}: {sentence}")
    return record
