"""The ONNX graphs of a weight file, exported from the modules that train.

A graph holds the topology. Its tensors are the ones of the weight file, as they are stored there:
`storage.restored` is a part of the graph. A graph of a latent model serves all of them. The steps
of the context prior differ in nothing but their tensors and sizes. So they share a few graphs,
which take the tensors as inputs, prepared for a quality (`convert.prepared`).

`codec.networks.onnx_runtime` runs the graphs. All shapes are dynamic but those of channels.
"""

from .catalogue import check_exporter, export_graphs

__all__ = ["check_exporter", "export_graphs"]
