"""Where this machine stores what a learner typed, trained and downloaded."""

import difflib
import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import platformdirs

from study.base.errors import LearnerError

APP_NAME = "LoRA study"
ROOT = Path(__file__).parents[2]
"""The folder of the packages and docs."""
IMPORTS_FOLDER = "imports"
EXCHANGED_FOLDERS = ("decks", "questions")
"""What a learner's backup and imports hold besides the logs."""
OWN_FOLDERS = (*EXCHANGED_FOLDERS, "plans")
"""Files that people write themselves."""


PREFIX = "LORA_STUDY_"
VARIABLES = tuple(f"{PREFIX}{name}" for name in ("HOME", "MODELS", "DEVICE", "BUSY_SECONDS"))
"""The variables of the environment that a person sets, besides DATABASE_URL."""

PASSED_ON = (f"{PREFIX}CHOSEN_DEVICE",)
"""What the app sets for its own workers."""

MISTAKEN_NAMES = {
    f"{PREFIX}{name}": f"{PREFIX}HOME" for name in ("DATA", "DATA_DIR", "DATA_FOLDER", "FOLDER", "DIR")
}
"""Names that people guess for the data folder's variable and that are not close to it in spelling."""


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Folders and addresses, set once at start-up and passed down."""

    home: Path
    """Data folder: database, runs, models."""

    database_url: str
    """A SQLAlchemy URL of SQLite or PostgreSQL; a SQLite file in the data folder by default."""

    models_dir: Path
    """Model files; separate, so that several data folders can share them."""

    public_names: tuple[str, ...] = ()
    """Names of a proxy in front of the app: a browser that asks for one isn't on this machine."""

    @property
    def runs_dir(self) -> Path:
        return self.home / "runs"

    @property
    def sweeps_dir(self) -> Path:
        """One folder per sweep; its runs are in `runs_dir` like all others."""
        return self.home / "sweeps"

    @property
    def imports_dir(self) -> Path:
        """Uploaded files that are not imported yet."""
        return self.home / IMPORTS_FOLDER

    @property
    def decks_dir(self) -> Path:
        """The learner's own decks, in addition to the app's."""
        return self.home / "decks"

    @property
    def questions_dir(self) -> Path:
        """The learner's own questions, in addition to the app's."""
        return self.home / "questions"

    @property
    def plans_dir(self) -> Path:
        """The teacher's own lesson plans, in addition to the app's."""
        return self.home / "plans"


def load_settings(*, home: Path | None = None, public_names: Iterable[str] = ()) -> Settings:
    """Read the settings from the argument, then `LORA_STUDY_HOME`, then the platform's user data folder.

    `DATABASE_URL` and `LORA_STUDY_MODELS` override the two parts that are often shared. Raises LearnerError
    when the data folder can't be created.
    """
    chosen = home or os.environ.get("LORA_STUDY_HOME") or platformdirs.user_data_dir("lora-study", False)
    folder = Path(chosen).expanduser().resolve()
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise LearnerError(
            f"The data folder {folder} can't be made: {error.strerror}.",
            do_next="Choose another one with --data-folder.",
        ) from error
    return Settings(
        home=folder,
        database_url=os.environ.get("DATABASE_URL") or f"sqlite:///{folder / 'study.sqlite3'}",
        models_dir=Path(os.environ.get("LORA_STUDY_MODELS") or folder / "models").expanduser().resolve(),
        public_names=tuple(public_names),
    )


def find_unknown_variables(names: Iterable[str]) -> list[str]:
    """Return a sentence about each variable that is named like the app's own and is none of them."""
    known = {*VARIABLES, *PASSED_ON}
    unknown = sorted(name for name in names if name.startswith(PREFIX) and name not in known)
    return [f"{name} is not a variable of this app; did you mean {_suggest_name(name)}?" for name in unknown]


def _suggest_name(name: str) -> str:
    nearest = difflib.get_close_matches(name, VARIABLES, n=1, cutoff=0)
    return MISTAKEN_NAMES.get(name, nearest[0])
