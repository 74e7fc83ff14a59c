"""Tries what no plugin gets, and says what came of it."""

import os
import random
import socket
import time

from wit_world import exports
from wit_world.exports.meta import Info
from wit_world.exports.policy import Finding, Level


def attempt(what, work):
    try:
        return f"{what}: {work()}"
    except Exception as error:
        return f"{what}: {type(error).__name__} {error}"


def connect():
    socket.socket(socket.AF_INET, socket.SOCK_STREAM).connect(("127.0.0.1", 9))


class Meta(exports.Meta):
    def describe(self):
        return Info("denied", "0.1.0", "", "")


class Policy(exports.Policy):
    def check(self, settings, alerts, stack):
        tried = [
            attempt("clock", time.time),
            attempt("timer", time.monotonic),
            attempt("chance", lambda: os.urandom(4).hex()),
            attempt("random", random.random),
            attempt("file", lambda: open("/etc/passwd").read()),
            attempt("write", lambda: open("/tmp/written", "w").write("x")),
            attempt("environment", lambda: dict(os.environ)),
            attempt("socket", connect),
        ]
        return [Finding("tried", Level.ADVICE, "", message, None) for message in tried]
