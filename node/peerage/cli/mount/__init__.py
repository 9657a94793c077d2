"""`peerage mount`: snapshots as a file system.

command      the verb: checks what it needs, mounts, and serves in the foreground
operations   FUSE's callbacks, and nothing else that knows of FUSE
view         names and attributes: which path is which entry of which snapshot
blocks       bytes of files: a bounded cache that reads ahead
daemon       requests to the member's daemon, many at once
"""
