"""What travels: topics, frames, votes, messages, chunks (docs/wire.md)."""
