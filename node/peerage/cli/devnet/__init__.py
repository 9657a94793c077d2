"""A whole network on one machine: one chain and N nodes, each a process with its own home. To try, test and rehearse.

supervisor.py owns every process; commands.py talks to it through control.py; state.py is what survives `down`.
"""
