"""What Alembic runs: all migrations in the transaction of `Database.migrate`."""

from alembic import context

from faceskd.studio.tables import Base

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=Base.metadata,
    render_as_batch=True,
)
context.run_migrations()
