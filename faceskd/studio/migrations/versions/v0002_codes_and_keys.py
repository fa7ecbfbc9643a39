"""Errors as codes with values, names compared without case, and what a job ran on.

No table is made anew, as Alembic's batches do on SQLite: dropping the old one would delete the
rows that refer to it.
"""

import unicodedata

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    for table in ("photos", "jobs"):
        _errors_as_codes(table)
    _keys_of_names()
    op.add_column("results", sa.Column("processor", sa.String(length=200)))
    op.add_column("results", sa.Column("threads", sa.Integer()))


def _errors_as_codes(name: str) -> None:
    """The texts that were kept so far become the reason of the code "failed"."""
    op.alter_column(name, "error", new_column_name="old_error")
    op.add_column(name, sa.Column("error", sa.JSON(none_as_null=True)))
    table = sa.table(name, sa.column("id"), sa.column("old_error"), sa.column("error", sa.JSON()))
    connection = op.get_bind()
    for key, text in connection.execute(
        sa.select(table.c.id, table.c.old_error).where(table.c.old_error.is_not(None))
    ).all():
        error = {"code": "failed", "values": {"reason": text}}
        connection.execute(table.update().where(table.c.id == key).values(error=error))
    op.drop_column(name, "old_error")


def _keys_of_names() -> None:
    """See `faceskd.studio.accounts.name_key`. Of two names with one key the later cannot log in."""
    op.add_column(
        "users", sa.Column("key", sa.String(length=200), nullable=False, server_default="")
    )
    users = sa.table("users", *map(sa.column, ("id", "name", "created", "key")))
    connection, taken = op.get_bind(), set()
    for user, name in connection.execute(
        sa.select(users.c.id, users.c.name).order_by(users.c.created)
    ).all():
        key = unicodedata.normalize("NFKC", name).casefold()
        key = f"{key[:160]} {user}" if key in taken else key
        taken.add(key)
        connection.execute(users.update().where(users.c.id == user).values(key=key))
    op.create_index("users_key", "users", ["key"], unique=True)


def downgrade() -> None:
    raise NotImplementedError("restore a backup instead")
