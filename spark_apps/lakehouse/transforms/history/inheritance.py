"""Values that a change did not send, taken from the nearest earlier change that carried them.

A real NULL is a value. A delete ends a life, and inheritance with it. What stays unknown is None and named in `unresolved`.
"""

from __future__ import annotations

from lakehouse.transforms.history.form import Form
from lakehouse.transforms.history.steps import Step
from lakehouse.transforms.records.changes import TRUNCATE


def meant(steps: list[Step]) -> tuple[list[Step], list[Step]]:
    """A key's changes in order without truncates that met no row of it, which have no effect; and those of them that are stored.

    The stored ones are written out once more, to retract what they closed.
    """
    found: list[Step] = []
    void: list[Step] = []
    met_a_row = False
    for step in steps:
        if step.kind == TRUNCATE and not (met_a_row or step.is_state):
            step.is_void = True
            if step.old is not None:
                void.append(step)
        else:
            found.append(step)
        met_a_row = step.is_row
    return found, void


def resolve(form: Form, step: Step, before: Step | None) -> None:
    """Fill in what a row left unchanged; `before` is the row, resolved, that it comes from, None where none is known."""
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


def along(form: Form, steps: list[Step]) -> None:
    """Resolve the changes of one key, in order, that no key change touched."""
    before: Step | None = None
    for step in steps:
        if step.blank and step.is_row:
            resolve(form, step, before)
        before = step if step.is_row else None
