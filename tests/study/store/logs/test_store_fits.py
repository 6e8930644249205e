"""The log of fits: the newest kept one counts, at a moment or now, and it goes with its profile."""

from datetime import datetime, timedelta

from study.store import Store
from study.store.logs.fits import ParameterFit


def fit(at: datetime, *, kept: bool) -> ParameterFit:
    measured = {"log_loss": 0.3, "rmse_bins": 0.05, "auc": None}
    return ParameterFit(
        fitted_at=at,
        reviews=600,
        held_out=120,
        parameters=tuple(float(n) for n in range(21)),
        before=measured,
        after=measured,
        kept=kept,
    )


def test_the_newest_kept_fit_counts_until_then(store: Store, ana: str, now: datetime) -> None:
    assert store.fits.newest(ana) is None
    fits = [fit(now + timedelta(days=day), kept=day < 2) for day in range(3)]
    for each in fits:
        store.fits.append(ana, each)
    assert store.fits.newest(ana) == fits[2]
    assert store.fits.newest(ana, kept=True) == fits[1]
    assert store.fits.newest(ana, kept=True, until=now) == fits[0]
    assert store.fits.newest("someone else") is None


def test_fits_go_with_their_profile(store: Store, ana: str, now: datetime) -> None:
    store.fits.append(ana, fit(now, kept=True))
    store.profiles.erase(ana)
    assert store.fits.newest(ana) is None
