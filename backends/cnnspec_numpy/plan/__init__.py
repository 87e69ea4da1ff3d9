"""The planner: a graph becomes a list of NumPy calls that are bound to their arrays beforehand.

`lower` merges layers into operations, `choice` picks a method (`methods/`) and a layout (`value`) for each, `plan` lays
all values out in one block of memory (`memory`) and binds the calls, `executor` runs them in chunks and on threads.
docs/performance.md explains each method, why it is exact and when it wins.
"""
