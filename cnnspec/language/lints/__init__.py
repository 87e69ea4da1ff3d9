"""Lints: what is legal in a spec and most likely a mistake (warnings), or worth knowing (notes).

Each is a function that looks at a checked spec and reports through its `Subject`. Uses `language` and what that uses.
"""
