"""What a ModelDeployment's schema cannot say, as CEL rules, so that `kubectl apply` answers with the
sentence.

Messages are static: joining values in a `messageExpression` exceeds the API server's cost budget a
hundredfold.
"""

from collections.abc import Mapping

from fairway.config import sections

# by path: what must hold, and the sentence where it does not
RULES: Mapping[str, tuple[tuple[str, str], ...]] = {
    "": (
        (
            "size(self.metadata.name) <= 50",
            "metadata.name is longer than 50 characters: objects are named after it and the revision, in 63",
        ),
        (
            "self.metadata.name.matches('^[a-z]([-a-z0-9]*[a-z0-9])?$')",
            (
                "metadata.name names Services: wanted lower-case letters, digits and hyphens, a letter first and no "
                "hyphen last"
            ),
        ),
    ),
    "spec": (
        (
            "self.routing != 'gateway' || has(self.gateway)",
            "routing gateway needs gateway.parentRefs: the Gateway that requests come in by",
        ),
        (
            "self.routing != 'seldon' || self.runtime == 'seldon'",
            "routing seldon needs runtime seldon: only a SeldonDeployment splits traffic by itself",
        ),
        (
            "self.routing != 'seldon' || has(self.counts)",
            (
                "routing seldon needs counts: the name of queries of a revision's requests and errors, for no gateway "
                "gives them"
            ),
        ),
        (
            "self.routing != 'seldon' || !self.strategy.shadow.enabled",
            (
                "routing seldon has no shadow stage, for its copies cannot be told from requests: set "
                "strategy.shadow.enabled to false, or use routing gateway"
            ),
        ),
    ),
    "spec.monitoring": (
        (
            "!has(self.scales) || self.scales.all(one, one % self.scales.min() == 0)",
            "monitoring.scales has one that is no multiple of the smallest: wanted multiples of it",
        ),
    ),
    "spec.runtime": (
        (
            "self == oldSelf",
            "runtime cannot be changed: create a new ModelDeployment, and move traffic to it",
        ),
    ),
    "spec.model.uri": (
        (
            "!self.matches('^[a-z0-9]+://[^/?#]*@')",
            (
                "model.uri has credentials in it, for everybody to read: wanted them in a Secret, which podTemplate "
                "gives "
                "to the init container"
            ),
        ),
    ),
    "spec.routing": (
        (
            "self == oldSelf",
            "routing cannot be changed: create a new ModelDeployment, and move traffic to it",
        ),
    ),
    # Where a section may be absent its default, {}, is judged before its fields have theirs.
    "spec.scaling": (
        (
            "!has(self.maxReplicas) || self.maxReplicas >= self.minReplicas",
            "scaling.maxReplicas is below scaling.minReplicas",
        ),
    ),
    "spec.strategy": (
        (
            (
                "!has(self.guards) || self.mode == 'fused' || self.guards.all(guard, !has(guard.gates) || guard.gates "
                "!= "
                "'watch' || !has(guard.maxRate))"
            ),
            "a guard that only watches certifies nothing: drop its maxRate, or let it gate canary or bake",
        ),
    ),
    "spec.strategy.canary.steps": (
        ("size(self) > 0", "canary.steps is empty: wanted at least one step"),
        (
            (
                "self.map(step, step.weight).isSorted() && self.all(step, self.exists_one(other, other.weight == "
                "step.weight))"
            ),
            "canary.steps weights do not rise: wanted each step above the one before",
        ),
    ),
    "spec.strategy.bake.weight": (
        (
            "self <= 50",
            "bake.weight is above 50: the old revision would keep more than it gives up",
        ),
    ),
    "spec.strategy.guards": (
        (
            "self.all(guard, self.exists_one(other, other.name == guard.name))",
            "two guards have the same name: wanted different names",
        ),
        (
            "self.all(one, self.all(other, !has(one.sliceBy) || !has(other.sliceBy) || one.sliceBy == other.sliceBy))",
            "guards slice by several features: wanted one",
        ),
    ),
    "spec.strategy.hooks": (
        (
            "self.all(hook, self.exists_one(other, other.name == hook.name))",
            "two hooks have the same name: wanted different names",
        ),
    ),
    "spec.strategy.hooks[]": (
        (
            "self.at.all(at, self.at.exists_one(other, other == at))",
            "a hook names a point of the rollout twice: wanted each once",
        ),
        (
            (
                "!self.timeout.endsWith('d') && duration(self.timeout) > duration('0s') && duration(self.timeout) <= "
                "duration('1m')"
            ),
            (
                "a hook's timeout is not above 0 and 1m at most: what takes longer should answer 503 at once and be "
                "asked "
                "again"
            ),
        ),
        (
            "self.onRefusal != 'rollback' || self.at.exists(at, at.startsWith('pre'))",
            "a hook that is only told has onRefusal rollback: wanted it at preRollout, preStep or prePromotion",
        ),
    ),
    "spec.strategy.guards[]": tuple(
        dict.fromkeys((rule.cel, rule.message) for rule in sections.guard_rules())
    ),
}
