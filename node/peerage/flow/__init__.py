"""The sentences: backup, restore, recover, agree, prove, repair, settle."""
