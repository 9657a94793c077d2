"""What is kept about files: trees, snapshots, the index, the head. Pure encoders and decoders.

Formats: node/spec/{snapshots,index,heads}.md. Every decoder takes hostile bytes: memory is bounded by the input's
length, and only IntegrityError (UnknownVersion among it) comes out.
"""
