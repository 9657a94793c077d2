"""What two nodes say to each other: messages, limits, refusal codes, protocol versions. Pure; node/spec/wire.md."""
