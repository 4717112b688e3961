"""From the configuration to what the metadata endpoint of a target is to be."""

from refresher.config.loader import LoadedConfiguration
from refresher.config.targets import ResolvedTarget
from refresher.engine.artifacts import compute_request
from refresher.engine.plan import MintedArtifact
from refresher.metadata.plan import EndpointPlan, Facts
from refresher.metadata.wanted import Wanted
from refresher.publishing.artifacts import ACCESS_TOKEN
from refresher.resources import Impersonation
from refresher.settings.fields import OWN_NAMESPACE


def build_endpoint(
    loaded: LoadedConfiguration, target: ResolvedTarget, way: Impersonation, fingerprint: str
) -> EndpointPlan | None:
    """Return what the metadata endpoint of a target is to be; None if it has none."""
    settings = target.metadata
    if settings is None or way.service_account is None:
        return None
    request = compute_request(MintedArtifact(name=ACCESS_TOKEN), way)
    return EndpointPlan(
        facts=Facts(
            name=target.name,
            email=way.service_account,
            scopes=way.scopes,
            project=loaded.configuration.project,
            universe_domain=loaded.configuration.google.universe_domain,
        ),
        wanted=Wanted("" if settings.netns == OWN_NAMESPACE else settings.netns, settings.port, settings.link_local),
        minted_for=f"{target.identity} {fingerprint} {request}",
    )
