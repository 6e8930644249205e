"""What is wrong with one field of a form, so that the page tells it beside that field."""

from study.base.errors import LearnerError


class FieldError(LearnerError):
    def __init__(self, field: str, what: str, *, do_next: str) -> None:
        super().__init__(what, do_next=do_next)
        self.field = field
