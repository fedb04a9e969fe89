"""An authenticator that lets in the users which its config names."""

import hmac
import re
from typing import Optional

from componentize_py_types import Err
from wit_world import exports
from wit_world.exports import authenticator, lifecycle
from wit_world.imports.types import PluginError_Failed, PluginError_InvalidRequest

# The passwords by user. Read once in `init`: an instance may be thrown away at any time, so nothing that changes belongs here.
users: dict[str, str] = {}


class Lifecycle(exports.Lifecycle):
    def init(self, request: lifecycle.InitRequest) -> None:
        if users:
            raise Err(PluginError_Failed("init was called twice"))
        text = ""
        for key, value in request.config:
            # A key that nobody reads is more likely a typing error than a wish, so it is refused.
            if key != "users":
                refuse(f"unknown config key `{key}`; this plugin reads `users`")
            text = value
        users.update(parse(text))


class Authenticator(exports.Authenticator):
    def authenticate(self, request: authenticator.AuthenticationRequest) -> Optional[authenticator.Identity]:
        if not users:
            raise Err(PluginError_Failed("init was not called"))
        expected = users.get(request.username)
        if expected is None or not hmac.compare_digest(expected.encode(), request.password.encode()):
            return None
        return authenticator.Identity(request.username)


def refuse(why: str) -> None:
    raise Err(PluginError_InvalidRequest(why))


def parse(text: str) -> dict[str, str]:
    """Reads `user:password` pairs between whitespace or commas. The first colon splits, so a password may contain more.

    The error counts entries instead of quoting them: it goes to a log, and an entry may be all password.
    """
    found: dict[str, str] = {}
    for number, entry in enumerate(filter(None, re.split(r"[,\s]+", text)), 1):
        user, _, password = entry.partition(":")
        if not user or not password:
            refuse(f"entry {number} of `users` is not of the form user:password")
        if user in found:
            refuse(f"entry {number} of `users` names the user `{user}` again")
        found[user] = password
    if not found:
        refuse('`users` is missing or empty: write `users: "user:password …"` under the plugin\'s `config`')
    return found
