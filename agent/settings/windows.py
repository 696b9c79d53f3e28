"""Whether a release may start now: the windows of the host's settings. Imported only by a host that has
windows.

Rules:
1. A deny window wins. Where there are allow windows, one of them must be open.
2. Windows hold back only the start of a release, never a gate, a rollback, a repair or a return to known
   good.
3. Expressions have the meaning of crontab(5): 0 and 7 are Sunday, and when both days are restricted either is
   enough. (APScheduler, which computes the times, counts from Monday and wants both; that is translated
   here.)
4. A window is given by its beginning. It lasts for its duration in elapsed time, also when summer time begins
   or ends.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from apscheduler.triggers.cron import CronTrigger

from agent.settings.values import Window

_DAYS = ("sun", "mon", "tue", "wed", "thu", "fri", "sat")
_ITEM = re.compile(r"(?:(\*)|(\w+)(?:-(\w+))?)(?:/(\d+))?", re.ASCII)


@dataclass(frozen=True, slots=True)
class Closed:
    """The reason why no release may start, and the seconds after which that may change."""

    reason: str
    again_in: float


def closed(windows: Sequence[Window], now: float) -> Closed | None:
    """None when a release may start at `now` (wall time, seconds). Errors: ValueError (an expression is
    wrong).
    """
    moment = datetime.fromtimestamp(now, UTC)
    denied = [end for window in windows if window.deny and (end := _open_until(window, window.deny, moment))]
    if denied:
        end = max(denied)
        return Closed(f"in a window that denies changes until {_text(end)}", (end - moment).total_seconds())
    allowing = [window for window in windows if window.allow]
    if not allowing or any(_open_until(window, window.allow, moment) for window in allowing):
        return None
    starts = [start for window in allowing if (start := _next(window, window.allow, moment))]
    if not starts:
        return Closed("no window that allows changes will ever open", timedelta(days=1).total_seconds())
    return Closed(
        f"outside of the windows that allow changes; the next one opens at {_text(min(starts))}",
        (min(starts) - moment).total_seconds(),
    )


def check(expression: str) -> None:
    """Checks a cron expression. Errors: ValueError with the problem."""
    _triggers(expression, "UTC")


def _open_until(window: Window, expression: str, moment: datetime) -> datetime | None:
    """The end of the window, after `moment`, when it is open; a later beginning may extend it."""
    begun = _next(window, expression, moment - timedelta(seconds=window.duration))
    return begun + timedelta(seconds=window.duration) if begun and begun <= moment else None


def _next(window: Window, expression: str, after: datetime) -> datetime | None:
    """The first beginning later than `after`."""
    late = after + timedelta(microseconds=1)
    found = [trigger.get_next_fire_time(None, late) for trigger in _triggers(expression, window.tz)]
    return min((time.astimezone(UTC) for time in found if time), default=None)


def _triggers(expression: str, zone: str) -> list[CronTrigger]:
    fields = expression.lower().split()
    if len(fields) != 5:
        raise ValueError(f"{expression!r} has {len(fields)} fields, not five")
    minute, hour, day, month, weekday = fields
    common = {"minute": minute, "hour": hour, "month": month, "timezone": zone or None}
    weekdays = _weekdays(weekday)
    if day.startswith("*") or weekday.startswith("*"):
        return [CronTrigger(day=day, day_of_week=weekdays, **common)]
    return [CronTrigger(day=day, **common), CronTrigger(day_of_week=weekdays, **common)]


def _weekdays(field: str) -> str:
    """The field with its days as names, each written out."""
    found = {day % 7 for item in field.split(",") for day in _days(item)}
    return ",".join(_DAYS[day] for day in sorted(found))


def _days(item: str) -> range:
    """The days of one item, from Sunday; those beyond Saturday count on from 7."""
    match = _ITEM.fullmatch(item)
    if not match:
        raise ValueError(f"{item!r} is not a day of the week")
    star, first, last, step = match.groups()
    begin = 0 if star else _weekday(first)
    end = begin
    if last:
        end = _weekday(last)
    elif star or step:
        end = 6
    if end < begin:
        end += 7  # fri-mon, and 5-0
    if step == "0":
        raise ValueError(f"{item!r} has a step of 0")
    return range(begin, end + 1, int(step or 1))


def _weekday(text: str) -> int:
    if text in _DAYS:
        return _DAYS.index(text)
    if text.isdigit() and int(text) <= 7:
        return int(text)
    raise ValueError(f"{text!r} is not a day of the week: write 0 to 7, or sun to sat")


def _text(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%d %H:%M UTC")
