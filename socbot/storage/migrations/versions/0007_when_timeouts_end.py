"""When timeouts end, for those who follow them."""

from alembic import op

revision = "0007"
down_revision = "0006"


def upgrade() -> None:
    op.create_index("rate_limit_violations_until", "rate_limit_violations", ["until"], unique=False)
