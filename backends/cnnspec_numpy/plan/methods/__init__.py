"""The methods by kind of layer: each file has those of a family, in both layouts."""
