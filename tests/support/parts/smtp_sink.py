"""Takes every mail on 127.0.0.1:PORT and writes each to a JSON file: smtp_sink.py PORT FOLDER"""

import email
import email.policy
import json
import os
import signal
import sys

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import AuthResult

port, folder = int(sys.argv[1]), sys.argv[2]


class Sink:
    count = 0

    async def handle_DATA(self, _server, session, envelope):
        mail = email.message_from_bytes(envelope.content, policy=email.policy.default)
        body = mail.get_body(("plain", "html"))
        self.count += 1
        path = os.path.join(folder, f"{self.count:06}.json")
        with open(path + ".part", "w") as file:
            json.dump(
                {
                    "from": envelope.mail_from,
                    "to": envelope.rcpt_tos,
                    "subject": mail["subject"],
                    "body": body.get_content() if body else "",
                    "user": session.auth_data and session.auth_data.login.decode(),
                    "password": session.auth_data and session.auth_data.password.decode(),
                },
                file,
            )
        os.rename(path + ".part", path)
        return "250 taken"


def take_any(_server, _session, _envelope, _mechanism, login_and_password):
    return AuthResult(success=True, auth_data=login_and_password)


Controller(
    Sink(),
    hostname="127.0.0.1",
    port=port,
    authenticator=take_any,
    # Alertmanager prefers LOGIN, and does not understand how aiosmtpd asks for it.
    auth_exclude_mechanism=["LOGIN"],
    auth_require_tls=False,
).start()
signal.pause()
