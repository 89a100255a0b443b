# What the rules share: an artefact's job follows from the plan.


def inputs_of(kind):
    """Input function of a rule: the folders that the artefact's job reads."""

    def inputs(wildcards):
        paths = PLAN.inputs(f"{kind}/{wildcards.id}")
        # ancient: an artefact that exists is valid, whatever the file times say.
        return [ancient(f"{RESULTS}/{path}") for path in paths]

    return inputs


def spec_of(kind):
    """Parameter function of a rule: the artefact's specification as JSON."""
    return lambda wildcards: PLAN.spec_json(f"{kind}/{wildcards.id}")
