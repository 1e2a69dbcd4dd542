"""What may be configured: the one source of the checked configuration, the CRD schema and the
reference page.

Keys are camelCase in files (as in the custom resource) and snake_case in Python. Durations are
written `250ms`, `30s`, `10m`, `6h` or `2d` and are `timedelta` here. Every field has a line that
says why its default is what it is.
"""

from fairway.config.sections.base import (
    CREDENTIALS,
    DURATION,
    NO_CREDENTIALS,
    UNIT_SECONDS,
    Duration,
    Fraction,
    Location,
    Section,
    format_duration,
    parse_duration,
)
from fairway.config.sections.data import SOURCES, Data, Quality, Split
from fairway.config.sections.evaluation import Evaluation, Gate
from fairway.config.sections.guards import GUARDS, NOT_SHADOW, Guard, Rule, guard_rules, needs
from fairway.config.sections.monitoring import SCALES, LeastShift, Monitoring
from fairway.config.sections.pipeline import Notify, Pipeline, Resources, SecretKey
from fairway.config.sections.platform import LineageEvents, Platform, Tracking
from fairway.config.sections.retraining import Retraining
from fairway.config.sections.rollout import Bake, Canary, Hook, HookPoint, Shadow, Step, Strategy
from fairway.config.sections.root import Config
from fairway.config.sections.serving import Events, Serving
from fairway.config.sections.training import FAMILIES, Augmentation, Training, Tune

__all__ = [
    "CREDENTIALS",
    "DURATION",
    "FAMILIES",
    "GUARDS",
    "NOT_SHADOW",
    "NO_CREDENTIALS",
    "SCALES",
    "SOURCES",
    "UNIT_SECONDS",
    "Augmentation",
    "Bake",
    "Canary",
    "Config",
    "Data",
    "Duration",
    "Evaluation",
    "Events",
    "Fraction",
    "Gate",
    "Guard",
    "Hook",
    "HookPoint",
    "LeastShift",
    "LineageEvents",
    "Location",
    "Monitoring",
    "Notify",
    "Pipeline",
    "Platform",
    "Quality",
    "Resources",
    "Retraining",
    "Rule",
    "SecretKey",
    "Section",
    "Serving",
    "Shadow",
    "Split",
    "Step",
    "Strategy",
    "Tracking",
    "Training",
    "Tune",
    "format_duration",
    "guard_rules",
    "needs",
    "parse_duration",
]
