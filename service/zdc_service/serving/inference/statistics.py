"""Statistics of models with the keys of `inference.ModelStatistics`."""

from typing import Any

from zdc_detector.card import ModelCard

from zdc_service.telemetry.statistics import Timing, Totals


def model_statistics(card: ModelCard, totals: Totals) -> dict[str, Any]:
    """The statistics of one version of a model, in counts and nanoseconds."""
    done, timing = totals.succeeded, totals.timing
    return {
        "name": card.name,
        "version": str(card.version),
        "last_inference": int(totals.last * 1000),
        "inference_count": totals.rows,
        "execution_count": totals.executions.total(),
        "inference_stats": {
            "success": _duration(done, totals.seconds),
            "fail": _duration(totals.failed.total(), totals.failed_seconds),
            "queue": _duration(done, timing.queue),
            **_stages(done, timing),
            "cache_hit": _duration(0, 0.0),
            "cache_miss": _duration(0, 0.0),
        },
        "batch_stats": [
            {"batch_size": rows, **_stages(count, totals.execution_timing[rows])}
            for rows, count in sorted(totals.executions.items())
        ],
    }


def _stages(count: int, timing: Timing) -> dict[str, dict[str, int]]:
    return {
        "compute_input": _duration(count, timing.prepare),
        "compute_infer": _duration(count, timing.model),
        "compute_output": _duration(count, timing.finish),
    }


def _duration(count: int, seconds: float) -> dict[str, int]:
    return {"count": count, "ns": round(seconds * 1e9)}
