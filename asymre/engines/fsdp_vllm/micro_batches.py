"""Splitting a batch of ragged rows into micro-batches with little padding, equally many for every rank."""

import math
from collections.abc import Sequence


def split(lengths: Sequence[int], budget: int, processes: int) -> list[list[list[int]]]:
    """Return the micro-batches of each rank, each a list of indices into `lengths`.

    lengths: tokens of each row. budget: rows times longest row of a micro-batch; a row that exceeds it is a
    micro-batch by itself. Every row is in exactly one micro-batch. All ranks get equally many, because they
    gather the weights together; some are empty if there are fewer rows than micro-batches.
    """
    order = sorted(range(len(lengths)), key=lambda row: (-lengths[row], row))
    parts: list[list[int]] = []
    for row in order:
        # The first row of a part is its longest.
        if parts and lengths[parts[-1][0]] * (len(parts[-1]) + 1) <= budget:
            parts[-1].append(row)
        else:
            parts.append([row])
    count = math.ceil(len(parts) / processes) * processes

    def cost(part: list[int]) -> int:
        return lengths[part[0]] * len(part)

    while len(parts) < min(count, len(order)):
        largest = max((part for part in parts if len(part) > 1), key=cost)
        half = len(largest) // 2
        parts.remove(largest)
        parts += [largest[:half], largest[half:]]
    # The ranks run consecutive micro-batches at the same time: with similar costs, no rank waits long. The
    # largest come first, so that a lack of memory shows at the start.
    parts.sort(key=lambda part: (-cost(part), part[0]))
    parts += [[]] * (count - len(parts))
    return [parts[process::processes] for process in range(processes)]
