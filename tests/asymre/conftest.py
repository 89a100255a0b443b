from tests.bandit_tables import *  # noqa: F403
from tests.policies import *  # noqa: F403
