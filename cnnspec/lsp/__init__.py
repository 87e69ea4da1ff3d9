"""The language server: what an editor shows of a spec, as functions of its text, and the server that hands it on.

Uses view, language, graph and layers; `server` alone knows the protocol's library, pygls.
"""
