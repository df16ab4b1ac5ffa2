"""How near one model's logits are to another's: their KL divergence and how often the next token is
the same. Knows nothing of models or files."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from math import isfinite, sqrt
from typing import Any, TypeAlias

from .facts import AgreementLimits

# Two float32 kernels that add up n products in different orders differ by about sqrt(n) * 2^-24 of
# the largest (Higham and Mary, 2019); n is the hidden size, and 65,536 is wider than any model's.
# Logits that are nearer than that are a tie.
_TIE = sqrt(65_536) * 2.0**-24
# Exports against the same rounding in torch: KL 0.354 and 0.358 (SmolLM2-135M, int4 rtn), 0.0042
# and 0.0048 (int8), 0.0038 and 0.0028 (a random model of two layers, int8); a wrong rope base 2.2
# and more under any precision.
_MARGIN = 1.5
_AT_ONCE = 16  # positions: in float64, a vocabulary of 256,000 takes 2 MB a position
_DRAWS = 16  # of a position's errors among its tokens

Pair: TypeAlias = tuple[Any, Any]


@dataclass(frozen=True, slots=True)
class Agreement:
    """How near another model's logits are to the full model's.

    `kl`: the mean of KL(full || other) over the positions, in nats. `different`: positions where
    the other model's best token is neither the full model's nor level with it. `rounding_kl`: what
    float32 alone may add to the KL. `expected`: how many positions would differ if the same errors,
    half as large again, fell on other tokens; None where that was not worked out."""

    positions: int
    different: int
    kl: float
    rounding_kl: float
    expected: float | None = None

    @property
    def same_next_token(self) -> float:
        """The share of positions whose best token is the same."""
        return 1 - self.different / self.positions

    @property
    def finite(self) -> bool:
        """Whether every logit was a number, and none infinite."""
        return isfinite(self.kl)


def compare(pairs: Iterable[Pair], *, expect: bool = False) -> Agreement:
    """Compare the logits of a full model with those of another one.

    `pairs`: the two models' logits of the same text, float32 [positions, vocabulary] each.
    `expect`: also work out `Agreement.expected`."""
    import numpy as np

    divergences, different, largest, expected = [], 0, 0.0, 0.0
    for full, other in pairs:
        for at in range(0, len(full), _AT_ONCE):
            p, q = (
                full[at : at + _AT_ONCE].astype(np.float64),
                other[at : at + _AT_ONCE].astype(np.float64),
            )
            scale = np.abs(p).max(axis=-1)
            chosen = np.take_along_axis(p, q.argmax(axis=-1, keepdims=True), axis=-1)[:, 0]
            # `not <=`: what is no number agrees with nothing
            near = (p.max(axis=-1) - chosen <= _TIE * scale) & np.isfinite(q).all(axis=-1)
            different += int((~near).sum())
            log_p, log_q = log_softmax(p), log_softmax(q)
            divergences.append((np.exp(log_p) * (log_p - log_q)).sum(axis=-1))
            largest = max(largest, float(scale.max()))
            if expect and np.isfinite(q).all():
                expected += _expected(p, q, _TIE * scale)
    per_position = np.concatenate(divergences)
    kl = float(per_position.mean())
    # An error e in the logits is worth about e^2 / 2 nats.
    rounding_kl = (_TIE * largest) ** 2 / 2
    return Agreement(
        positions=len(per_position),
        different=different,
        kl=0.0 if kl < 0 else kl,
        rounding_kl=rounding_kl,
        expected=expected if expect else None,
    )


def _expected(full: Any, other: Any, tie: Any) -> float:
    """Return how many of these positions would have another best token if `other`'s errors fell on
    other tokens: the mean over draws that turn each row of errors by some part of its length.

    `full`, `other`: float64 [positions, vocabulary]; `tie`: [positions]."""
    import numpy as np

    errors, best, size = _MARGIN * (other - full), full.max(axis=-1), full.shape[-1]
    different = 0
    for draw in range(1, _DRAWS + 1):
        chosen = (full + np.roll(errors, draw * size // (_DRAWS + 1), axis=-1)).argmax(axis=-1)
        different += int(
            (best - np.take_along_axis(full, chosen[:, None], axis=-1)[:, 0] > tie).sum()
        )
    return different / _DRAWS


def log_softmax(logits: Any) -> Any:
    """Return the log-probabilities of logits [..., vocabulary], in nats."""
    import numpy as np

    top = logits.max(axis=-1, keepdims=True)
    return logits - top - np.log(np.exp(logits - top).sum(axis=-1, keepdims=True))


def allowed(rounded: Agreement) -> AgreementLimits:
    """Return the largest KL and the least share of same next tokens that the rounding explains.
    `rounded`: what the same rounding costs in torch, on the same positions, without any exported
    graph.

    Half as much error again is allowed in the logits, because an exported graph rounds in other
    places than torch does: a KL grows with the square of an error, the number of changed tokens in
    proportion to it. Which tokens change is chance: one count of a few says little of the next, so
    the expected number is used where it is the larger, with three standard deviations of a Poisson
    count; where none is expected, three may change (the rule of three)."""
    expected = max(_MARGIN * rounded.different, rounded.expected or 0.0)
    max_different = expected + 3 * sqrt(max(1.0, expected))
    return {
        "max_kl": _MARGIN**2 * rounded.kl + rounded.rounding_kl,
        "min_same_next_token": max(0.0, 1 - max_different / rounded.positions),
    }
