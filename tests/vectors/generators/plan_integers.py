"""Plan integers for settings that people use, at the edge of what a slot holds, and beyond it; and altered twins."""

from dataclasses import asdict

from hushfleet.privacy.plan_integers import derive

_DEMO: dict[str, object] = {"dimension": 650, "clip_norm": 1.0, "noise_multiplier": "4", "k_min": 40, "k_max": 50, "colluding": 2}
_ASKED: tuple[dict[str, object], ...] = (
    {},
    {"noise_multiplier": "0.1"},
    {"noise_multiplier": "1/3", "clip_norm": 0.3},
    {"noise_multiplier": "0", "without_privacy": True},
    {"dimension": 1},
    {"dimension": 100_000, "k_min": 10, "k_max": 12},
    {"dimension": 1_000_000, "noise_multiplier": "20", "k_min": 80, "k_max": 100},
    {"dimension": 5_000_000, "noise_multiplier": "8", "k_min": 10, "k_max": 20},
    {"dimension": 1 << 26, "noise_multiplier": "2", "k_min": 900, "k_max": 1_000},
    {"k_min": 4, "k_max": 2_800, "noise_multiplier": "2"},
    {"keep_one_in": 4},
)
_REFUSED: tuple[tuple[str, dict[str, object]], ...] = (
    ("plan-unreachable", {"noise_multiplier": "20000"}),
    ("plan-keep", {"keep_one_in": 3}),
    ("plan-unreachable", {"dimension": 1 << 26, "noise_multiplier": "20", "k_min": 4, "k_max": 2_800}),
    ("plan-without-privacy", {"noise_multiplier": "0"}),
    ("plan-without-privacy", {"without_privacy": True}),
    ("plan-noise", {"noise_multiplier": "-1"}),
    ("plan-dimension", {"dimension": 0}),
    ("plan-clip-norm", {"clip_norm": -1.0}),
    ("plan-scale", {"clip_norm": 1e-320}),
    ("plan-cohort-order", {"k_min": 51}),
    ("plan-cohort-ceiling", {"k_max": 2_801}),
    ("plan-honest-contributors", {"colluding": 39}),
)
_TAMPERED: tuple[tuple[str, dict[str, object]], ...] = (
    ("plan-sensitivity", {"b2": 0}),
    ("plan-variance", {"variance": 15}),
    ("plan-slots", {"variance": 1_000_000}),
    ("plan-slots", {"slot_bits": 10}),
    ("plan-slots", {"slot_bits": 25}),
    ("plan-keep", {"keep_one_in": 0}),
    ("plan-slots", {"bound": 8_191}),
    ("plan-scale", {"scale": 0.0}),
    ("plan-dimension", {"padded": 650}),
)


def build() -> dict[str, object]:
    return {
        "cases": [{"asked": _DEMO | asked, "plan": _shown(_DEMO | asked)} for asked in _ASKED],
        "refused": [{"asked": _DEMO | asked, "refusal": refusal} for refusal, asked in _REFUSED],
        "tampered": [{"plan": _shown(_DEMO) | change, "refusal": refusal} for refusal, change in _TAMPERED],
    }


def _shown(asked: dict[str, object]) -> dict[str, object]:
    return asdict(derive(**asked))
