"""Import this before anything of the product: it links the product with the simulated system, in this process."""

from tests.simulation.linker import Linker
from tests.simulation.modules import build_modules

LINKER = Linker(build_modules())
LINKER.install()
