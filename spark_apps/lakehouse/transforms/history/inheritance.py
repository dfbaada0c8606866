"""Values that a change did not send, taken from the nearest earlier change that carried them.

NULL is a value. Nothing is inherited across a delete. A value that stays unknown is None and its column is listed in `unresolved`.
"""

from __future__ import annotations

from lakehouse.transforms.history.form import Form
from lakehouse.transforms.history.steps import Step
from lakehouse.transforms.records.changes import TRUNCATE


def effective(steps: list[Step]) -> tuple[list[Step], list[Step]]:
    """A key's ordered changes without truncates that found no row, and those of the removed truncates that are stored.

    The stored ones are written once more to retract their effect.
    """
    found: list[Step] = []
    void: list[Step] = []
    follows_row = False
    for step in steps:
        if step.kind == TRUNCATE and not (follows_row or step.is_state):
            step.is_void = True
            if step.old is not None:
                void.append(step)
        else:
            found.append(step)
        follows_row = step.is_row
    return found, void


def resolve(form: Form, step: Step, before: Step | None) -> None:
    """Fill in the unchanged values of a row from `before`, its resolved predecessor; None if that is not known."""
    blank = step.blank
    filled = list(step.values)
    unresolved = []
    for place, name in form.valued:
        if name not in blank:
            continue
        if before is not None and name not in before.unresolved:
            filled[place] = before.values[place]
        else:
            filled[place] = None
            unresolved.append(name)
    step.values = tuple(filled)
    step.unresolved = tuple(unresolved)


def resolve_unlinked(form: Form, steps: list[Step]) -> None:
    """Resolve the ordered changes of one key that is not linked by a key change."""
    before: Step | None = None
    for step in steps:
        if step.blank and step.is_row:
            resolve(form, step, before)
        before = step if step.is_row else None
