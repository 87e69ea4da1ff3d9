"""The language server."""


def serve() -> None:
    """Serve."""
