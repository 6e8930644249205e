"""The one error a learner sees: what happened, and what to do next."""


class LearnerError(Exception):
    """A problem the learner can act on; everything else that raises is a bug.

        raise LearnerError("Rank must be at least 1, got 0.", do_next="Pick 1 to 256; 8 is a good first try.")

    Shown the same way on a page and on the command line: `str(error)` is both sentences.
    """

    def __init__(self, what: str, *, do_next: str) -> None:
        super().__init__(f"{what} {do_next}")
        self.what = what
        self.do_next = do_next


class StaleError(LearnerError):
    """Another window changed meanwhile what the page shows. Nothing was stored; show what is true now."""
