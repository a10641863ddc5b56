//! The relay (docs/protocol.md 9.8).
