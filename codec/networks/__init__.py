"""The weight file, and the networks in it: found, loaded, run."""

import os

# From 1.29 on ONNX Runtime reports each session to its makers, keeps a number of this machine, and
# has a thread for it. It looks for this when it is imported. Whoever set it has decided.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
