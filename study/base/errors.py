"""The only error that learners see: what happened, and what to do next."""


class LearnerError(Exception):
    """A problem that the learner can act on; any other exception is a bug.

        raise LearnerError("Rank must be at least 1, got 0.", do_next="Pick 1 to 256; 8 is a good first try.")

    Pages and command lines show it the same way: `str(error)` joins both sentences.
    """

    def __init__(self, what: str, *, do_next: str) -> None:
        super().__init__(f"{what} {do_next}")
        self.what = what
        self.do_next = do_next


class StaleError(LearnerError):
    """Another window has changed what this page shows. Nothing was stored; show the current state."""
