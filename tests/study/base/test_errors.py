"""Errors for learners pass between processes with both of their sentences."""

import pickle

from study.base.errors import LearnerError, StaleError, StorageError


def test_an_error_that_another_process_raised_says_the_same_here() -> None:
    for error in (LearnerError("What.", do_next="Do."), StaleError("What.", do_next="Do.")):
        again = pickle.loads(pickle.dumps(error))
        assert (type(again), again.what, again.do_next) == (type(error), "What.", "Do.")
    full = pickle.loads(pickle.dumps(StorageError("full")))
    assert (full.kind, str(full)) == ("full", str(StorageError("full")))
