"""Models with weights of 8 bits."""

from __future__ import annotations

import logging
from pathlib import Path

from cnnspec.interop.onnx_export import files
from cnnspec.interop.requirements import require


def quantize(source: Path, target: Path) -> list[Path]:
    """Write a model whose products have weights of 8 bits, and return its files.

    ONNX Runtime's dynamic quantization: each weight as whole numbers with a scale and a zero point, activations
    likewise at every call, by their range. Without zero points, convolutions have no kernel in ONNX Runtime.
    """
    require("onnxruntime", extra="onnx")
    from onnxruntime.quantization import QuantType, quantize_dynamic

    beside = files.data_file(source).exists()
    previous = logging.root.manager.disable
    logging.disable(logging.WARNING)  # it advises to optimize the model beforehand
    try:
        quantize_dynamic(source, target, weight_type=QuantType.QUInt8, use_external_data_format=beside)
    finally:
        logging.disable(previous)
    return [path for path in (target, files.data_file(target)) if path.exists()]
