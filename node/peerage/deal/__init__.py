"""What a node agrees to: its owner's policy, and the decisions that follow from it. Pure; node/spec/wire.md."""
