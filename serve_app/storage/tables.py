"""
The tables of the store, as of the newest migration.

Times are seconds since the epoch in double precision; money is whole nano-dollars; structures are JSON in a
text column, read by the gateway only.
"""

from sqlalchemy import BigInteger, Boolean, Column, Double, Index, Integer, LargeBinary, MetaData, Table, Text

METADATA = MetaData()

ENTRIES = Table(
    "entries",
    METADATA,
    Column("journal", Text, primary_key=True),
    Column("number", BigInteger, primary_key=True, autoincrement=False),
    Column("request_id", Text, nullable=False),
    Column("attempt", Integer, nullable=False),
    Column("at", Double, nullable=False),
    Column("tenant", Text, nullable=False),
    Column("caller", Text, nullable=False),
    Column("provider_id", Text, nullable=False),
    Column("model_id", Text, nullable=False),
    Column("task", Text, nullable=False),
    Column("operation", Text, nullable=False),
    Column("outcome", Text, nullable=False),
    Column("input_tokens", BigInteger, nullable=False),
    Column("output_tokens", BigInteger, nullable=False),
    Column("estimated", Boolean, nullable=False),
    Column("usage", Text, nullable=False),
    Column("cost", BigInteger),
    Column("latency_s", Double, nullable=False),
    Column("first_token_s", Double),
    Column("cache_saving", BigInteger, nullable=False, server_default="0"),
    Index("entries_at", "at"),
    Index("entries_tenant_at", "tenant", "at"),
)

SPENDS = Table(
    "spends",
    METADATA,
    Column("day", Double, primary_key=True),
    Column("tenant", Text, primary_key=True),
    Column("caller", Text, primary_key=True),
    Column("provider_id", Text, primary_key=True),
    Column("model_id", Text, primary_key=True),
    Column("attempts", BigInteger, nullable=False),
    Column("failed", BigInteger, nullable=False),
    Column("input_tokens", BigInteger, nullable=False),
    Column("output_tokens", BigInteger, nullable=False),
    Column("cost", BigInteger, nullable=False),
    Column("machine_ms", BigInteger, nullable=False, server_default="0"),
    Column("cache_saving", BigInteger, nullable=False, server_default="0"),
)

# `seen` is the time of its newest entry.
JOURNALS = Table(
    "journals",
    METADATA,
    Column("journal", Text, primary_key=True),
    Column("written", BigInteger, nullable=False),
    Column("seen", Double, nullable=False),
)

RECORDS = Table(
    "records",
    METADATA,
    Column("kind", Text, primary_key=True),
    Column("id", Text, primary_key=True),
    Column("body", Text, nullable=False),
)

# The revision: one row, or none before the first change.
EPOCH = Table(
    "epoch",
    METADATA,
    Column("id", Integer, primary_key=True, autoincrement=False),
    Column("number", BigInteger, nullable=False),
)

# `epoch` is the revision after the change.
CHANGES = Table(
    "changes",
    METADATA,
    Column("epoch", BigInteger, primary_key=True, autoincrement=False),
    Column("at", Double, nullable=False),
    Column("who", Text, nullable=False),
    Column("action", Text, nullable=False),
    Column("subject", Text, nullable=False),
    Column("before", Text),
    Column("after", Text),
    Index("changes_at", "at"),
)

# `size` is the number of bytes in `input` and `response`, which are JSON.
RESPONSES = Table(
    "responses",
    METADATA,
    Column("tenant", Text, primary_key=True),
    Column("id", Text, primary_key=True),
    Column("created_at", Double, nullable=False),
    Column("expires_at", Double, nullable=False),
    Column("previous_id", Text),
    Column("local_only", Boolean, nullable=False),
    Column("size", BigInteger, nullable=False),
    Column("input", LargeBinary, nullable=False),
    Column("response", LargeBinary, nullable=False),
    Index("responses_expires_at", "expires_at"),
)

# The items that a response has said, so that a later request can refer to one by its id.
RESPONSE_ITEMS = Table(
    "response_items",
    METADATA,
    Column("tenant", Text, primary_key=True),
    Column("item_id", Text, primary_key=True),
    Column("response_id", Text, primary_key=True),
    Index("response_items_response", "tenant", "response_id"),
)
