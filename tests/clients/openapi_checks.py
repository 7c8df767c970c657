"""What schemathesis checks of the HTTP API beside its own checks: a request that the document allows is taken.

A schema cannot say everything. The rules below are said in descriptions, and a request that breaks one of them is refused with its
sentence; every other refusal of a request that the document allows is a fault, of the document or of the server.
"""

import schemathesis

RULES = (
    "is longer than 64 bytes",  # a schema counts characters, the server bytes
    "is longer than 128 bytes",
    "is too large",
    "after and before are both given",
    "a user is in both add and remove",
    "this user owns the group",
    "users cannot block themselves",
    "is not the `next` of another page",
    "the cursor is of an earlier run of the server",
    "quiet hours begin and end at the same minute",
    # The parts of a device's token belong together.
    "provider must be fcm, apns or webpush",
    "token must be",
    "p256dh and auth must be base64url of 65 and 16 bytes",
    "only webpush has p256dh and auth",
    "a token of apns is hexadecimal",
)
RULES_OF = {
    "revokeTokens": "invalid parameter",  # a time that is later than now
    "registerDevice": "invalid parameter",  # no token, of a device that has none
    "changeLogLevel": "level: expected",  # neither a level nor a filter
}


@schemathesis.check
def a_described_request_is_taken(ctx, response, case):
    if case.meta is None or not case.meta.generation.mode.is_positive or response.status_code not in (400, 410, 413):
        return
    message = response.json().get("message", "")
    rules = (*RULES, RULES_OF.get(case.operation.definition.raw["operationId"], RULES[0]))
    if not any(rule in message for rule in rules):
        raise AssertionError(f"the document allows it, and the server refuses it: {message}")


@schemathesis.hook
def filter_body(context, body):
    """An id with a percent sign would be put into the paths that follow as it is, where it stands for another id."""
    return not (isinstance(body, dict) and "%" in str(body.get("id", "")))
