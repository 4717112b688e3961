"""Run seeds in this process, in which the product is linked with the simulated machine."""

from collections.abc import Callable, Collection

from tests.simulation import linked
from tests.simulation.simulation import Result, Simulation, install

linked.LINKER.check()
install()


def run_seed(seed: int, *, only: Collection[int] | None = None, trace: Callable[[str], None] | None = None) -> Result:
    """Run one seed to its end; arguments as of `Simulation`."""
    return Simulation(seed, only=only, trace=trace).run()
