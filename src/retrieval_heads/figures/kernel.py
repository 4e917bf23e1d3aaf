"""The kernel of a notebook, without the one port that IPython's own opens whatever its connection file says."""

from __future__ import annotations

from ipykernel import kernelapp
from ipykernel.iostream import IOPubThread


class Quiet(IOPubThread):
    """Prints what the kernel prints; of forked processes, which no figure starts, it would take words over TCP."""

    def __init__(self, socket, pipe: bool = False, **settings) -> None:
        super().__init__(socket, pipe=False, **settings)


if __name__ == "__main__":
    kernelapp.IOPubThread = Quiet
    kernelapp.IPKernelApp.launch_instance()
