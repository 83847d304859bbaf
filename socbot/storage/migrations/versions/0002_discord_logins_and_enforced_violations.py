"""discord logins and enforced violations."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    op.create_table(
        "command_syncs",
        sa.Column("scope", sa.Text(), nullable=False),
        sa.Column("digest", sa.Text(), nullable=False),
        sa.Column("at", sa.Double(), nullable=False),
        sa.Column("puts", sa.BigInteger(), server_default="0", nullable=False),
        sa.Column("puts_since", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("scope"),
    )
    op.create_table(
        "gateway_logins",
        sa.Column("id", sa.BigInteger().with_variant(sa.Integer(), "sqlite"), autoincrement=True, nullable=False),
        sa.Column("shard", sa.Integer(), nullable=False),
        sa.Column("shards", sa.Integer(), nullable=False),
        sa.Column("at", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("id"),
    )
    op.create_index("gateway_logins_at", "gateway_logins", ["at"], unique=False)
    op.add_column("rate_limit_violations", sa.Column("enforced", sa.Text(), server_default="", nullable=False))
    op.add_column("rate_limit_violations", sa.Column("guild", sa.Text(), server_default="", nullable=False))
