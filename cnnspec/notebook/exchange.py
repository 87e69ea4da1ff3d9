"""Imported and exported networks in a notebook."""

from __future__ import annotations

from html import escape

from cnnspec.graph.costs import summarize
from cnnspec.interop.exported import Exported
from cnnspec.interop.imported import ImportedNetwork
from cnnspec.notebook import html
from cnnspec.notebook.forms import Forms, forms
from cnnspec.notebook.networks import network_parts
from cnnspec.sizes import size_of
from cnnspec.wording import a_count


def imported(found: ImportedNetwork) -> Forms:
    """Return the forms of an imported network: its spec, and how well it agrees with the model."""
    graph = found.spec.graph
    verified = "not verified" if found.difference is None else f"its outputs differ by {found.difference}"
    about = f"{a_count(found.nodes, 'operation')} of the model are {a_count(len(graph.nodes), 'layer')}; {verified}"
    missing = [f"left out: {operation}" for operation in found.missing]
    text = "\n".join([f"{found.spec.name}: {about}", *missing, "", found.text])
    spec = f'<pre tabindex="0" role="group" aria-label="the spec">{escape(found.text)}</pre>'
    return forms(
        text,
        html.view(
            html.heading(found.spec.name, about),
            *map(html.paragraph, missing),
            html.folded(f"the spec, {a_count(len(found.text.splitlines()), 'line')}", spec, is_open=False),
            *network_parts(graph, summarize(graph)),
        ),
    )


def exported(found: Exported) -> Forms:
    """Return the forms of an exported network: its files, and how it was verified."""
    facts = {"format": found.format}
    facts |= {key.replace("_", " "): str(value) for key, value in found.details.items()}
    facts |= {"files": ", ".join(map(str, found.files)), "size": size_of(found.bytes), "numbers": found.precision}
    if found.difference is None:
        facts["verified"] = "no"
    else:
        facts["verified"] = f"by {found.engine}; in float32, its outputs differ by {found.difference}"
    if found.refined is not None:
        facts[f"verified {found.refined.how}"] = f"its outputs differ by {found.refined.difference}"
    if found.rounding is not None:
        facts["rounding"] = f"in {found.precision}, its outputs differ by {found.rounding}"
    text = "\n".join(f"{name}: {value}" for name, value in {"spec": found.spec, **facts}.items())
    return forms(text, html.view(html.heading(found.spec, "exported"), html.facts(facts, f"export of {found.spec}")))
