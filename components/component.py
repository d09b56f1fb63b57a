"""What every component shares: the image it runs in, which already holds the library."""

import functools

from kfp import dsl

from liverank import __version__

# The local runner takes an image without "python" in its name for one that cannot run a Python step.
IMAGE = f"liverank/liverank-training-python:{__version__}"

component = functools.partial(dsl.component, base_image=IMAGE, install_kfp_package=False)
"""`dsl.component` for this project: nothing is installed when a step starts."""
