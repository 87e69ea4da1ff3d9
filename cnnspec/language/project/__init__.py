"""The specs of a project: found in directories, checked in several processes, and remembered while nothing changes.

Uses the rest of the language.
"""
