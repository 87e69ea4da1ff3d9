"""The page of a report: the data as HTML, by templates.

Uses report's data and what is below.
"""
