"""Times in a histogram: bounded, however many are added."""

from __future__ import annotations

from typing import Final

PERCENTILES: Final = (50, 90, 99)
_STEPS: Final = 64
"""Buckets to each power of two: a percentile is off by 1.6 % at most."""
_POWERS: Final = 40
"""Powers of two of a microsecond: up to 12 days."""


class Latencies:
    """Counts of times; percentiles are their bucket's upper end, max is exact."""

    def __init__(self) -> None:
        self._counts = [0] * (_STEPS * _POWERS)
        self.count = 0
        self.max = 0.0

    def add(self, seconds: float) -> None:
        """Count one time."""
        self.count += 1
        self.max = max(self.max, seconds)
        micro = int(seconds * 1e6)
        power = max(0, micro.bit_length() - 7)
        bucket = min(power * _STEPS + (micro >> power), len(self._counts) - 1)
        self._counts[max(0, bucket)] += 1

    def percentile(self, share: int) -> float:
        """Seconds that `share` of a hundred did not exceed; 0 without any."""
        left = -(-self.count * share // 100)
        for bucket, count in enumerate(self._counts):
            left -= count
            if count and left <= 0:
                return min(_upper(bucket), self.max)
        return self.max

    def summary(self) -> dict[str, float]:
        """Percentiles and the maximum in milliseconds."""
        named = {f"p{share}": self.percentile(share) for share in PERCENTILES}
        return {name: round(s * 1000, 3) for name, s in {**named, "max": self.max}.items()}


def _upper(bucket: int) -> float:
    """The seconds below which all of a bucket's times are."""
    power = max(0, bucket // _STEPS - 1)
    return float(((bucket - power * _STEPS) + 1) << power) / 1e6
