"""Moments: dates and times, seconds since 1970 in UTC, missing where they are NaN. A time without a
zone is UTC.

A model sees how long ago a moment is, and where in the day, the week and the year it lies: each of
the latter as a point on a circle, so that December is beside January.
"""

import calendar
import math
import re
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, date, datetime
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fairway import errors
from fairway.model import traits
from fairway.model.kinds import base, number
from fairway.model.kinds.base import Array, Compared, Json, Step
from fairway.model.schema import Feature

DAY_FIRST, MONTH_FIRST = "day-first", "month-first"
# seconds; a year of the Gregorian calendar, on average
DAY, WEEK, YEAR = 86400.0, 7 * 86400.0, 365.2425 * 86400.0
MONDAY = 3 * DAY  # that 1970-01-01, a Thursday, is after the week's beginning
CIRCLES = {"day": (DAY, 0.0), "week": (WEEK, MONDAY), "year": (YEAR, 0.0)}
# of a year that training must span before its place in the year tells more than how long ago it is
SEASONS = 0.75
EARLIEST, LATEST = -62135596800.0, 253402300799.999999  # of the years 1 and 9999
PIVOT = 69  # of years of two digits: 69 is 1969, 68 is 2068, as POSIX has it
WANTED = "a moment such as 2024-05-31T14:30:00Z, or seconds since 1970"
_TIME = r"(?:(?:T|,? +)(\d{1,2}:\d{2}(?::\d{2}(?:\.\d{1,9})?)?) ?([AaPp][Mm])?)?"
_ZONE = r" ?(Z|UTC|GMT|[-+]\d{2}(?::?\d{2})?)?"
ISO = re.compile(rf"(\d{{4}})([-/.])(\d{{1,2}})\2(\d{{1,2}}){_TIME}{_ZONE}", re.ASCII)
# digits of seconds since 1973; fewer are likely another way to write a date, 20240531
SECONDS = re.compile(r"-?[0-9]{9,12}(?:\.[0-9]{0,9})?")
MONTHS = [name.lower() for name in calendar.month_name[1:]]
_DAY = rf"(?:(?:{'|'.join(name[:3] for name in calendar.day_name)})[a-z]*,? )?"
_MONTH = rf"({'|'.join(f'{name[:3]}(?:{name[3:]})?' for name in MONTHS)})"
NAMED = re.compile(  # 7 Nov 2024, 07-Nov-24, Mon, 07 November 2024
    rf"{_DAY}(\d{{1,2}})([ -]){_MONTH}\2(\d{{4}}|\d{{2}}){_TIME}{_ZONE}", re.ASCII | re.IGNORECASE
)
NAME_FIRST = re.compile(  # Nov 7, 2024
    rf"{_DAY}{_MONTH}\.? (\d{{1,2}}),? (\d{{4}}){_TIME}{_ZONE}", re.ASCII | re.IGNORECASE
)
OTHER = re.compile(rf"(\d{{1,2}})([./-])(\d{{1,2}})\2(\d{{4}}|\d{{2}}){_TIME}{_ZONE}", re.ASCII)


class Moment(number.Number):
    """Columns are float64 [n]: seconds since 1970-01-01 in UTC, to the microsecond; NaN where a
    value is missing."""

    name, noun, dtype = "datetime", "a moment", "datetime"
    datatype, datatype_wanted = "BYTES", "BYTES for a moment, or FP64 for its seconds since 1970"
    wanted = WANTED
    notations = ("", DAY_FIRST, MONTH_FIRST)
    digits = False

    def read(
        self, values: Iterable[Any], feature: Feature, *, lost: list[int] | None = None
    ) -> Array:
        if isinstance(values, np.ndarray) and values.dtype.kind == "M":
            values = values.astype("datetime64[us]").tolist()
        return super().read(values, feature, lost=lost)

    def cell(self, value: Any, feature: Feature) -> Any:
        seconds: float | None
        if type(value) is str:
            seconds = parsed(value, feature.notation)
            if seconds is None and SECONDS.fullmatch(value.strip()):
                seconds = float(value)
        elif isinstance(value, date):
            seconds = _seconds(value)
        else:
            seconds = (
                float(value) if isinstance(value, int | float) and type(value) is not bool else None
            )
        if seconds is None or not EARLIEST <= seconds <= LATEST:
            wanted = (
                f"{self.wanted}, written {feature.notation}" if feature.notation else self.wanted
            )
            raise base.Unreadable(value, wanted=wanted)
        return math.nan if seconds in feature.gaps else seconds + 0.0

    def fits(self, numbers: Array) -> bool:
        return bool(((numbers >= EARLIEST) & (numbers <= LATEST) | np.isnan(numbers)).all())

    def unmixed(self, values: Array | list[Any], feature: Feature) -> Array | list[Any]:
        return values

    def single(self, value: Any, feature: Feature) -> Array | None:
        return None

    def notation_of(self, values: Array) -> str | None:
        if values.dtype.kind == "M":
            return ""
        if values.dtype != object or not len(values):
            return None
        plain = values.tolist()
        words = {value for value in plain if type(value) is str}
        if any(type(value) is not str and not isinstance(value, date) for value in plain):
            return None
        fitting = [
            one for one in self.notations if all(parsed(word, one) is not None for word in words)
        ]
        if not fitting:
            return None
        for word in sorted(words):
            if len({parsed(word, one) for one in fitting}) > 1:
                raise base.Ambiguous(word)
        return fitting[0]

    def learn(self, name: str, values: Array, *, nullable: bool) -> Feature:
        low, high = float(values.min()), float(values.max())
        return Feature(
            name=name,
            kind=self.name,
            dtype=self.dtype,
            nullable=nullable,
            minimum=low,
            maximum=high,
        )

    def declare(self, entry: Mapping[str, Any], *, where: str) -> Json:
        ends = entry.get("range")
        if ends is None:
            return {"min": None, "max": None}
        try:
            low, high = self.read(ends, Feature(name="", kind=self.name)).tolist()
        except (TypeError, ValueError) as error:
            raise errors.PackageError(
                f"{where}: range is {ends!r}: wanted [earliest, latest]"
            ) from error
        return {"min": low, "max": high}

    def refuse(self, claimed: Mapping[str, Any]) -> tuple[str, Any, str] | None:
        refused = super().refuse(claimed)
        ends = [claimed.get("min"), claimed.get("max")]
        if refused is None and not all(end is None or EARLIEST <= end <= LATEST for end in ends):
            return "min and max", ends, "seconds since 1970, of the years 1 to 9999"
        return refused

    def describe(self, feature: Feature) -> str:
        low, high = base.range_of(feature) or (0.0, 0.0)
        return f"moments from {iso(low)[:10]} to {iso(high)[:10]}"

    def sweep(self, feature: Feature, steps: Array, *, most: int) -> list[Any]:
        low, high = base.range_of(feature) or (0.0, YEAR)
        return [
            float(min(high, math.floor(low + (high - low) * step / most)))
            for step in steps.tolist()
        ]

    def fit(self, feature: Feature, values: Array) -> list[Step]:
        """Return the circles on which the moments vary, and how to scale the time since their
        middle."""
        known = values[~np.isnan(values)]
        median = float(np.median(known)) if len(known) else 0.0
        filled = np.where(np.isnan(values), median, values)
        low, high, deviation = float(filled.min()), float(filled.max()), float(filled.std())
        varied = {
            "day": len(np.unique(filled % DAY)) > 1,
            "week": high - low >= DAY,
            "year": high - low > SEASONS * YEAR,
        }
        circles = [name for name, varies in varied.items() if varies]
        reach = number.REACH * (high - low) if high > low else DAY
        ends = {"low": low - reach, "high": high + reach}
        scale = {"mean": float(filled.mean()), "std": deviation if deviation > 0 else DAY}
        return [{"op": "expand", "value": median, **ends, **scale, "circles": circles}]

    def usual_steps(self, feature: Feature) -> list[Step]:
        return []

    def expanded_width(self, step: Mapping[str, Any]) -> int:
        return 1 + 2 * len({name: CIRCLES[name] for name in step["circles"]})

    def expanded(self, values: Array, step: Mapping[str, Any]) -> Array:
        filled = np.where(np.isnan(values), float(step["value"]), values)
        since = np.minimum(np.maximum(filled, float(step["low"])), float(step["high"]))
        columns = [(since - float(step["mean"])) / float(step["std"])]
        for name in step["circles"]:
            length, begins = CIRCLES[name]
            turn = 2 * math.pi * (((filled + begins) % length) / length)
            columns += [np.sin(turn), np.cos(turn)]
        return np.stack(columns, axis=1)

    def remark(self, feature: Feature, values: Array) -> str | None:
        return None

    def profile(self, values: Array) -> Json:
        known = values[~np.isnan(values)]
        if not len(known):
            return {"missing": 1.0}
        quantiles = {
            str(q): iso(float(v))
            for q, v in zip(number.QUANTILES, np.quantile(known, number.QUANTILES), strict=True)
        }
        ends = {"min": iso(float(known.min())), "max": iso(float(known.max()))}
        return {"missing": 1 - len(known) / len(values), **ends, "quantiles": quantiles}

    def parts(self, values: Array, feature: Feature) -> list[tuple[str, NDArray[np.bool_]]]:
        absent = np.isnan(values)
        edges = (
            np.unique(np.quantile(values[~absent], np.linspace(0, 1, number.PARTS + 1)))
            if not absent.all()
            else []
        )
        found = [(f"{feature.name} = (missing)", absent)]
        for index, low in enumerate(edges[:-1] if len(edges) > 1 else edges):
            last = index >= len(edges) - 2
            inside = (values >= low) if last else (values >= low) & (values < edges[index + 1])
            found.append((f"{feature.name} from {iso(float(low))}", inside))
        return found

    def compared(self, name: str, reference: Array, window: Array) -> Iterator[Compared]:
        """Return tests of the time of day, of the day of the week and of what is missing: that time
        goes on is no drift."""
        before, after = reference.reshape(-1), window.reshape(-1)
        yield from number.compared(f"{name} (time of day)", before % DAY, after % DAY)
        before, after = before[~np.isnan(before)], after[~np.isnan(after)]
        days = [((values + MONDAY) % WEEK // DAY).astype(np.int64) for values in (before, after)]
        if len(before) and len(after) and len(np.unique(np.concatenate(days))) > 1:
            yield Compared(
                name=f"{name} (day of the week)", kind="category", reference=days[0], window=days[1]
            )

    def between(self, name: str, reference: Array, other: Array) -> Iterator[traits.Trait]:
        yield from traits.numbers(name, reference)
        # that it is missing is told once, and of plain dates the time of day says nothing
        hours = self.traits(name, reference)
        yield from (trait for trait in hours if trait.unit == "sd" and trait.joins)

    def traits(self, name: str, reference: Array) -> Iterator[traits.Trait]:
        """Return traits of the time of day and of what is missing: the days of a window are
        those on which it came."""
        yield from traits.numbers(
            f"{name} (time of day)", reference, read=_time_of_day, ranged=False
        )

    def outside(self, feature: Feature) -> base.Count | None:
        """Return what counts moments before all that training saw; later ones come with time."""
        return base.beyond((EARLIEST if feature.minimum is None else feature.minimum, LATEST))

    def far(self, feature: Feature) -> base.Count | None:
        return base.beyond((EARLIEST, LATEST))

    def plain_list(self, values: Array) -> list[Any]:
        return [None if base.is_missing(value) else iso(value) for value in values.ravel().tolist()]

    def to_json(self, values: Array) -> Any:
        return self.plain_list(values)


def _time_of_day(column: Array) -> NDArray[np.float64]:
    seconds: NDArray[np.float64] = column.reshape(-1) % DAY
    return seconds


def parsed(text: str, notation: str) -> float | None:
    """Return the seconds since 1970 of a moment as it is written, None where it is none in this
    notation.

    Year-month-day and names of months are read in every notation.
    """
    text = text.strip()
    if found := ISO.fullmatch(text):
        year, _, month, day, *rest = found.groups()
    elif found := NAMED.fullmatch(text):
        day, _, named, year, *rest = found.groups()
        month = _place(named)
    elif found := NAME_FIRST.fullmatch(text):
        named, day, year, *rest = found.groups()
        month = _place(named)
    elif notation and (found := OTHER.fullmatch(text)):
        first, _, second, year, *rest = found.groups()
        day, month = (first, second) if notation == DAY_FIRST else (second, first)
    else:
        return None
    if len(year) == 2:
        year = str(int(year) + (1900 if int(year) >= PIVOT else 2000))
    clock, half, zone = rest
    try:
        hour, minute, second_ = _clock(clock, half)
        whole, _, fraction = second_.partition(".")
        at = datetime(
            int(year),
            int(month),
            int(day),
            hour,
            minute,
            int(whole),
            int(f"{fraction:0<6}"[:6]),
            UTC,
        )
    except ValueError:
        return None
    micros = _micros(at) - 1_000_000 * _offset(zone)
    return micros / 1_000_000


def _place(month: str) -> str:
    """Return the number of a month by the letters that its name begins with."""
    return str(1 + [name[:3] for name in MONTHS].index(month[:3].lower()))


def _clock(clock: str | None, half: str | None) -> tuple[int, int, str]:
    """Return hour, minute and second; raises ValueError for 13 pm."""
    hour, minute, *second = (clock or "0:00").split(":")
    number_ = int(hour)
    if half:
        if not 1 <= number_ <= 12:
            raise ValueError(hour)
        number_ = number_ % 12 + (12 if half.lower() == "pm" else 0)
    return number_, int(minute), second[0] if second else "0"


def _offset(zone: str | None) -> int:
    """Return how many seconds a zone is before UTC."""
    if not zone or zone[0] not in "+-":
        return 0
    digits = zone[1:].replace(":", "").ljust(4, "0")
    return (int(digits[:2]) * 3600 + int(digits[2:]) * 60) * (-1 if zone[0] == "-" else 1)


def _seconds(value: date) -> float:
    at = (
        value
        if isinstance(value, datetime)
        else datetime(value.year, value.month, value.day, tzinfo=UTC)
    )
    return _micros(at) / 1_000_000


def _micros(at: datetime) -> int:
    return calendar.timegm(at.utctimetuple()) * 1_000_000 + at.microsecond


def iso(seconds: float) -> str:
    """Return the moment in words that `parsed` reads as the same one, to the last bit."""
    whole = math.floor(seconds)
    micros = min(round((seconds - whole) * 1_000_000), 999_999)
    days, left = divmod(whole, int(DAY))
    on = date.fromordinal(days + date(1970, 1, 1).toordinal())
    clock = f"{left // 3600:02}:{left // 60 % 60:02}:{left % 60:02}"
    return f"{on.isoformat()}T{clock}{f'.{micros:06}' if micros else ''}Z"
