"""Where shapes clash: which layer to change. May import all of `language` but the modules that check and load."""
