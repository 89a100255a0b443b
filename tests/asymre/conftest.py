from tests.policies import *  # noqa: F403
