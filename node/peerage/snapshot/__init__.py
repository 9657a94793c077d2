"""Trees, snapshots, index segments and heads."""
