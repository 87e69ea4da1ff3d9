"""Results of checks in the formats of other tools: a module with a function `render` for each format.

Uses the language and what is below.
"""
