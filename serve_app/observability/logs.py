"""
Structured logs: one JSON object a line, on stderr.

Lines are made from events, which contain no keys. Messages of vendors and libraries may contain them, so
anything that looks like a key is removed from warnings, errors and tracebacks.
"""

import logging
import sys
from datetime import UTC, datetime
from typing import Any

import orjson

from serve_app.control.control_plane import BreakerChanged
from serve_app.errors import FailureKind, redacted
from serve_app.events import (
    AttemptFailed,
    Event,
    HealthChanged,
    RequestAbandoned,
    RequestFailed,
    RequestServed,
    ResponseNotKept,
)
from serve_app.limits.allocator import BudgetAlert
from serve_app.observability.alert import alert_facts
from serve_app.pricing.money import dollars, dollars_text
from serve_app.pricing.usage import Usage
from serve_app.providers.base import HealthStatus
from serve_app.resilience.breaker import BreakerState

LOGGER = "sekha"

# Failures that only an operator can fix: the text of the line, and its event.
_OPERATORS_TROUBLE = {
    FailureKind.AUTH: ("rejects its API key", "provider_key_refused"),
    FailureKind.REFUSED_ADDRESS: ("is not called", "provider_address_refused"),
    FailureKind.OUT_OF_CREDIT: ("reports that the account is out of credit", "provider_out_of_credit"),
}

log = logging.getLogger("sekha.requests")
control_log = logging.getLogger("sekha.control")
health_log = logging.getLogger("sekha.health")


class JsonFormatter(logging.Formatter):
    """
    A formatter of records as JSON: time, level, logger, message, and the contents of `extra={"facts":
    {...}}`.
    """

    def format(self, record: logging.LogRecord) -> str:
        """Return the record as one line of JSON; warnings and errors are redacted."""
        message = record.getMessage()
        line: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname,
            "logger": record.name,
            "message": redacted(message) if record.levelno >= logging.WARNING else message,
        }
        line.update(getattr(record, "facts", {}))
        if record.exc_info:
            line["traceback"] = redacted(self.formatException(record.exc_info))
        return orjson.dumps(line, default=str).decode()


def configure_logs(level: str) -> None:
    """Send the gateway's own logs to stderr as JSON lines; leave other loggers as they are."""
    logger = logging.getLogger(LOGGER)
    if not logger.handlers:
        handler = logging.StreamHandler(sys.stderr)
        handler.setFormatter(JsonFormatter())
        logger.addHandler(handler)
    logger.setLevel(level)
    logger.propagate = False


def log_breaker_change(change: BreakerChanged) -> None:
    """Log one line for every change of a breaker's state, which contains "circuit breaker"."""
    level = logging.INFO if change.after is BreakerState.CLOSED else logging.WARNING
    control_log.log(
        level,
        "circuit breaker of '%s': %s -> %s (failures in a row: %d)",
        change.provider_id,
        change.before,
        change.after,
        change.failures,
        extra={"facts": {"event": "circuit_breaker", "provider": change.provider_id, "state": change.after}},
    )


def log_budget_alert(alert: BudgetAlert) -> None:
    """Log one line when a budget has passed a threshold."""
    facts = alert_facts(alert)
    control_log.log(
        logging.WARNING if alert.threshold < 100 else logging.ERROR, facts["message"], extra={"facts": facts}
    )


def log_event(event: Event) -> None:
    """Log one line for each event that an operator may search for later."""
    match event:
        case RequestServed() if log.isEnabledFor(logging.INFO):
            cost = dollars(event.cost) if event.cost is not None else 0.0
            log.info(
                "Routed to provider=%s, model=%s, cost=$%.4f",
                event.provider_id,
                event.model_id,
                cost,
                extra={"facts": _facts_of(event)},
            )
        case AttemptFailed():
            name = "llm_call_failed" if event.retry_in_s is None else "llm_call_retried"
            log.warning(name, extra={"facts": _facts_of_failure(event, name)})
            if named := _OPERATORS_TROUBLE.get(event.error.failure):
                problem, name = named
                log.error(
                    "provider '%s' %s: %s",
                    event.provider_id,
                    problem,
                    event.error.note or event.error.message,
                    extra={"facts": {"event": name, "provider": event.provider_id}},
                )
        case RequestFailed():
            log.warning(
                "request_failed",
                extra={
                    "facts": {
                        "event": "request_failed",
                        "request_id": event.request_id,
                        "operation": event.operation,
                        "task": event.task,
                        "code": event.code,
                        "status": event.status,
                        "attempts": event.attempts,
                        **({"limit": event.limit.limit_id} if event.limit else {}),
                    }
                },
            )
        case RequestAbandoned() if log.isEnabledFor(logging.INFO):
            facts = {
                "event": "request_abandoned",
                "request_id": event.request_id,
                "operation": event.operation,
                "task": event.task,
                "provider": event.provider_id,
                "model": event.model_id,
                "duration_ms": round(event.duration_s * 1000, 1),
            }
            if event.usage is not None:
                facts.update(_facts_of_spend(event.usage, event.cost))
            log.info("request_abandoned", extra={"facts": facts})
        case ResponseNotKept():
            facts = {"event": "response_not_kept", "request_id": event.request_id, "reason": event.reason}
            log.warning("response_not_kept", extra={"facts": facts})
        case HealthChanged():
            _log_health(event)


def _log_health(change: HealthChanged) -> None:
    """Log one line for every change of health, except the first successful check."""
    if (change.before, change.after) == (HealthStatus.UNKNOWN, HealthStatus.HEALTHY):
        return
    is_ill = change.after is HealthStatus.UNHEALTHY
    health_log.log(
        logging.WARNING if is_ill else logging.INFO,
        "health of '%s': %s -> %s%s",
        change.provider_id,
        change.before,
        change.after,
        f": {change.error}" if change.error else "",
        extra={
            "facts": {
                "event": "provider_health",
                "provider": change.provider_id,
                "status": change.after,
                "error_message": change.error,
            }
        },
    )


def _facts_of_failure(event: AttemptFailed, name: str) -> dict[str, Any]:
    """Return the fields of a failed attempt, with the cost that it wasted."""
    facts: dict[str, Any] = {
        "event": name,
        "request_id": event.request_id,
        "backend": event.provider_id,
        "model": event.model_id,
        "error_type": str(event.error.failure),
        "error_message": event.error.message,
        "retry_count": event.retries,
    }
    if event.retry_in_s is not None:
        facts["retry_in_s"] = round(event.retry_in_s, 3)
    if event.usage is not None:
        facts.update(_facts_of_spend(event.usage, event.cost))
    return facts


def _facts_of_spend(usage: Usage, cost: int | None) -> dict[str, Any]:
    return {
        **({"machine_ms": usage.machine_ms} if usage.machine_ms else {}),
        **({"seconds": usage.seconds} if usage.seconds else {}),
        **({"characters": usage.characters} if usage.characters else {}),
        "input_tokens": usage.input_tokens,
        "output_tokens": usage.output_tokens,
        "usage_estimated": usage.estimated,
        "cost_usd": None if cost is None else dollars_text(cost),
    }


def _facts_of(event: RequestServed) -> dict[str, Any]:
    return {
        "event": "request_served",
        "request_id": event.request_id,
        "operation": event.operation,
        "task": event.task,
        "attempts": event.attempts,
        **_facts_of_spend(event.usage, event.cost),
        "duration_ms": round(event.duration_s * 1000, 1),
        "upstream_ms": round(event.upstream_s * 1000, 1),
    }
