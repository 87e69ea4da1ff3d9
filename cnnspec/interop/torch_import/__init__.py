"""PyTorch modules as networks, through `torch.export`.

Uses language, graph and what is below; PyTorch is imported when used.
"""
