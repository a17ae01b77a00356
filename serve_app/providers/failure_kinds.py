"""
The kind of failure of a vendor's refusal, which decides whose fault it is.

The HTTP status comes first, then the vendor's codes and types. The wording of a message is read only where
vendors have no code: a request that is too long, an account without credit, a wrong key, a content filter.
"""

import re

from serve_app.errors import FailureKind
from serve_app.providers.vendor_words import SILENT, VendorWords

_BY_STATUS = {
    401: FailureKind.AUTH,
    402: FailureKind.OUT_OF_CREDIT,
    403: FailureKind.AUTH,
    404: FailureKind.NOT_FOUND,
    408: FailureKind.TIMEOUT,
    424: FailureKind.BROKEN,  # Bedrock: the model failed over the request
    429: FailureKind.RATE_LIMITED,
    503: FailureKind.OVERLOADED,
    504: FailureKind.TIMEOUT,
    529: FailureKind.OVERLOADED,
}

_CREDIT = {
    "insufficient_quota": FailureKind.OUT_OF_CREDIT,  # OpenAI, with a 429
    "insufficient_credits": FailureKind.OUT_OF_CREDIT,
    "insufficient_balance": FailureKind.OUT_OF_CREDIT,
    "billing_error": FailureKind.OUT_OF_CREDIT,  # Anthropic
    "billing_hard_limit_reached": FailureKind.OUT_OF_CREDIT,
    "billing_not_active": FailureKind.OUT_OF_CREDIT,
    "credit_limit": FailureKind.OUT_OF_CREDIT,  # Together
    "exceeded_current_quota_error": FailureKind.OUT_OF_CREDIT,  # Moonshot
    "arrearage": FailureKind.OUT_OF_CREDIT,  # Alibaba
    "1113": FailureKind.OUT_OF_CREDIT,  # Zhipu
}
_FILTER = {
    "content_filter": FailureKind.CONTENT_FILTER,
    "content_filter_error": FailureKind.CONTENT_FILTER,
    "content_policy_violation": FailureKind.CONTENT_FILTER,
    "responsibleaipolicyviolation": FailureKind.CONTENT_FILTER,  # Azure, in its inner error
    "data_inspection_failed": FailureKind.CONTENT_FILTER,  # Alibaba
    "datainspectionfailed": FailureKind.CONTENT_FILTER,
    "moderation_blocked": FailureKind.CONTENT_FILTER,
    "prohibited_content": FailureKind.CONTENT_FILTER,
    "guardrail_violation": FailureKind.CONTENT_FILTER,
    "refusal": FailureKind.CONTENT_FILTER,
    "1301": FailureKind.CONTENT_FILTER,  # Zhipu
}
# Kinds that a 4xx may have besides the one of its status.
_BY_WORD = {
    **_CREDIT,
    **_FILTER,
    "context_length_exceeded": FailureKind.CONTEXT_LENGTH,
    "exceed_context_size_error": FailureKind.CONTEXT_LENGTH,  # llama.cpp
    "model_not_found": FailureKind.NOT_FOUND,
    "rate_limit_exceeded": FailureKind.RATE_LIMITED,
    "throttlingexception": FailureKind.RATE_LIMITED,  # Bedrock
    "modelnotreadyexception": FailureKind.OVERLOADED,
    "serviceunavailableexception": FailureKind.OVERLOADED,
    "accessdeniedexception": FailureKind.AUTH,
    "unrecognizedclientexception": FailureKind.AUTH,
    "expiredtokenexception": FailureKind.AUTH,
    "invalid_api_key": FailureKind.AUTH,
    "api_key_invalid": FailureKind.AUTH,  # Google, with a 400
}
# Kinds of an error within a 200: without a status, its type decides.
_IN_AN_ANSWER = {
    **_BY_WORD,
    "overloaded_error": FailureKind.OVERLOADED,
    "engine_overloaded_error": FailureKind.OVERLOADED,
    "server_overloaded": FailureKind.OVERLOADED,
    "overloaded": FailureKind.OVERLOADED,
    "unavailable": FailureKind.OVERLOADED,  # Google's words for a status
    "service_unavailable": FailureKind.OVERLOADED,
    "service_unavailable_error": FailureKind.OVERLOADED,
    "insufficient_system_resource": FailureKind.OVERLOADED,  # DeepSeek
    "rate_limit_error": FailureKind.RATE_LIMITED,
    "rate_limited": FailureKind.RATE_LIMITED,
    "rate_limit_reached_error": FailureKind.RATE_LIMITED,
    "too_many_requests": FailureKind.RATE_LIMITED,
    "resource_exhausted": FailureKind.RATE_LIMITED,
    "timeout_error": FailureKind.TIMEOUT,
    "timeout": FailureKind.TIMEOUT,
    "deadline_exceeded": FailureKind.TIMEOUT,
    "modeltimeoutexception": FailureKind.TIMEOUT,
    "authentication_error": FailureKind.AUTH,
    "permission_error": FailureKind.AUTH,
    "permission_denied": FailureKind.AUTH,
    "unauthenticated": FailureKind.AUTH,
    "not_found_error": FailureKind.NOT_FOUND,
    "invalid_request_error": FailureKind.REJECTED,
    "invalid_argument": FailureKind.REJECTED,
    "validationexception": FailureKind.REJECTED,
    "request_too_large": FailureKind.REJECTED,
    "minimax:1001": FailureKind.TIMEOUT,
    "minimax:1002": FailureKind.RATE_LIMITED,
    "minimax:1004": FailureKind.AUTH,
    "minimax:1008": FailureKind.OUT_OF_CREDIT,
    "minimax:1026": FailureKind.CONTENT_FILTER,  # what was asked
    "minimax:1027": FailureKind.CONTENT_FILTER,  # what was answered
    "minimax:1039": FailureKind.RATE_LIMITED,  # tokens per minute
    "minimax:1041": FailureKind.RATE_LIMITED,  # connections
    "minimax:2013": FailureKind.REJECTED,
    "minimax:2045": FailureKind.RATE_LIMITED,
    "minimax:2049": FailureKind.AUTH,
    "minimax:2056": FailureKind.RATE_LIMITED,
}

_TOO_LONG = re.compile(
    r"maximum context length|exceed\w* (\w+ ){0,3}context (length|window|size)"
    r"|(prompt|input) is too long|too many (input )?tokens|input token count .{0,40}exceeds",
    re.IGNORECASE,
)
_EMPTY = re.compile(
    r"credit balance is too low|insufficient[ _](account )?(credits?|balance|funds)|out of credits?"
    r"|(not have|n't have|no) (\w+ ){0,2}credits|used all (\w+ ){0,2}credits|requires more credits"
    r"|exceeded your \w+ included credits|spending limit|specified (\w+ )?api usage limits"
    r"|billing hard limit|payment required|account .{0,40}arrear",
    re.IGNORECASE,
)
_BAD_KEY = re.compile(
    r"(api[ -]?key|credentials?|access token)s? (\w+ ){0,2}(not valid|invalid|expired|incorrect)"
    r"|(incorrect|invalid|expired) (\w+ )?(api[ -]?key|credentials?|access token)",
    re.IGNORECASE,
)
_FLAGGED = re.compile(
    r"content (management|filter\w*|safety) policy|output blocked by content|content exists risk"
    r"|(flagged|blocked|rejected) (\w+ ){0,4}(moderation|safety|content (policy|filter))"
    r"|requires moderation|(violat\w+|against) (\w+ ){0,4}(content|usage|safety) (polic|guideline)"
    r"|safety system|nsfw",
    re.IGNORECASE,
)
_MAY_BE_A_FILTER = (400, 403, 422, 451, 446)
_MAY_BE_CREDIT = (400, 401, 403, 412, 429)


def kind_of(status: int, reported: VendorWords = SILENT) -> FailureKind:
    """Return the kind of a status; for unspecific 4xx, the vendor's codes and message decide."""
    if 400 <= status < 500:
        message = reported.message or ""
        if status in _MAY_BE_A_FILTER and (reported.was_flagged or _FLAGGED.search(message)):
            return FailureKind.CONTENT_FILTER
        if status in _MAY_BE_CREDIT and (_named(_CREDIT, reported) or _EMPTY.search(message)):
            return FailureKind.OUT_OF_CREDIT
        if status not in (401, 402, 408, 429) and (named := _named(_BY_WORD, reported)):
            return named
        if status in (400, 413, 422) and _TOO_LONG.search(message):
            return FailureKind.CONTEXT_LENGTH
        if status == 400 and _BAD_KEY.search(message):
            return FailureKind.AUTH
    return _BY_STATUS.get(status) or (FailureKind.REJECTED if 400 <= status < 500 else FailureKind.BROKEN)


def kind_in_an_answer(reported: VendorWords) -> FailureKind:
    """
    Return the kind of an error inside an answer that had begun with HTTP 200.

    An HTTP status in the error comes first, then its codes and types; otherwise the answer is broken.
    """
    if reported.status is not None:
        return kind_of(reported.status, reported)
    message = reported.message or ""
    named = _named(_IN_AN_ANSWER, reported)
    if reported.was_flagged:
        return FailureKind.CONTENT_FILTER
    if named in (None, FailureKind.REJECTED):
        for wording, kind in (
            (_TOO_LONG, FailureKind.CONTEXT_LENGTH),
            (_EMPTY, FailureKind.OUT_OF_CREDIT),
            (_FLAGGED, FailureKind.CONTENT_FILTER),
        ):
            if wording.search(message):
                return kind
    return named or FailureKind.BROKEN


def _named(kinds: dict[str, FailureKind], reported: VendorWords) -> FailureKind | None:
    return next((kinds[word] for word in reported.words if word in kinds), None)
