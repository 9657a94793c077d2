"""A whole network on one machine: one chain, N nodes, each a process with its own home. For trying, testing, rehearsing.

supervisor.py owns every process; commands.py talks to it through control.py; state.py is what survives `down`.
"""
