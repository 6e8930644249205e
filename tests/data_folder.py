"""The settings of a data folder of a test's own, as the app has them without variables."""

from pathlib import Path

from study.base.settings import Settings


def settings_in(home: Path) -> Settings:
    """With a SQLite database, and models, inside the folder."""
    return Settings(home=home, database_url=f"sqlite:///{home / 'study.sqlite3'}", models_dir=home / "models")
