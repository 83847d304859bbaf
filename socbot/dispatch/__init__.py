"""The engine: messages in, outcomes out, through a chain of middleware. Knows anyio and msgspec alone."""
