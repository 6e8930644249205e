"""Run by Alembic: upgrades on the connection that `migrations.py` hands over, or from Alembic's own command.

DATABASE_URL=sqlite:///study.sqlite3 alembic revision --autogenerate -m "what changes"
"""

import os

from alembic import context
from sqlalchemy import create_engine

from study.store.schema import metadata

connection = context.config.attributes.get("connection")
if connection is not None:
    context.configure(connection=connection, target_metadata=metadata)
    context.run_migrations()
else:
    with create_engine(os.environ["DATABASE_URL"]).begin() as opened:
        context.configure(connection=opened, target_metadata=metadata)
        context.run_migrations()
