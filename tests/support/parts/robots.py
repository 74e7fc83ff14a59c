"""The services that channels deliver to, as far as a robot's webhook goes: each checks what the
real one checks, by its own documentation and with Python's own hmac, and answers as it does.

    DingTalk   https://open.dingtalk.com/document/orgapp/customize-robot-security-settings
    WeCom      https://developer.work.weixin.qq.com/document/path/91770
    Feishu     https://open.feishu.cn/document/client-docs/bot-v3/add-custom-bot
    Telegram   https://core.telegram.org/bots/api#sendmessage

Usage: robots.py PORT FOLDER, secrets in the environment. Each request becomes a file of FOLDER:
what was asked, what was answered, and whether it was taken.
"""

import base64
import hashlib
import hmac
import http.server
import itertools
import json
import os
import sys
import threading
import time
import urllib.parse

SECRETS = {name: os.environ.get(name, "") for name in (
    "DINGTALK_TOKEN", "DINGTALK_SIGN", "WECOM_KEY", "FEISHU_TOKEN", "FEISHU_SIGN", "TELEGRAM_TOKEN",
    "HOOK_TOKEN")}


def signature(key: str, message: str) -> str:
    return base64.b64encode(hmac.new(key.encode(), message.encode(), hashlib.sha256).digest()).decode()


def dingtalk(path, query, headers, body):
    if query.get("access_token") != SECRETS["DINGTALK_TOKEN"]:
        return {"errcode": 300001, "errmsg": "token is not exist"}
    timestamp = query.get("timestamp", "")
    if not timestamp.isdigit() or abs(time.time() * 1000 - int(timestamp)) > 3600_000:
        return {"errcode": 310000, "errmsg": "invalid timestamp"}
    secret = SECRETS["DINGTALK_SIGN"]
    if query.get("sign") != signature(secret, f"{timestamp}\n{secret}"):
        return {"errcode": 310000, "errmsg": "sign not match"}
    message = json.loads(body)
    if message.get("msgtype") != "markdown" or len(body) > 20000:
        return {"errcode": 400402, "errmsg": "invalid message"}
    if not message["markdown"]["title"] or not message["markdown"]["text"]:
        return {"errcode": 400402, "errmsg": "empty message"}
    return {"errcode": 0, "errmsg": "ok"}


def wecom(path, query, headers, body):
    if query.get("key") != SECRETS["WECOM_KEY"]:
        return {"errcode": 93000, "errmsg": "invalid webhook url"}
    message = json.loads(body)
    kind = message.get("msgtype")
    if kind not in ("markdown", "text") or len(message[kind]["content"].encode()) > 4096:
        return {"errcode": 40058, "errmsg": "markdown.content exceed max length 4096"}
    return {"errcode": 0, "errmsg": "ok"}


def feishu(path, query, headers, body):
    if path.rsplit("/", 1)[-1] != SECRETS["FEISHU_TOKEN"]:
        return {"code": 19001, "msg": "param invalid: incoming webhook access token invalid"}
    message = json.loads(body)
    timestamp = str(message.get("timestamp", ""))
    if message.get("sign") != signature(f"{timestamp}\n{SECRETS['FEISHU_SIGN']}", ""):
        return {"code": 19021, "msg": "sign match fail or timestamp is not within one hour from current time"}
    if len(body) > 20 * 1024 or message.get("msg_type") not in ("interactive", "post", "text"):
        return {"code": 9499, "msg": "Bad Request"}
    return {"code": 0, "msg": "success", "data": {}}


def telegram(path, query, headers, body):
    if path != f"/bot{SECRETS['TELEGRAM_TOKEN']}/sendMessage":
        return {"ok": False, "error_code": 401, "description": "Unauthorized"}
    message = json.loads(body)
    if len(message["text"]) > 4096 or not message.get("chat_id"):
        return {"ok": False, "error_code": 400, "description": "Bad Request: message is too long"}
    return {"ok": True, "result": {"message_id": 1}}


def hook(path, query, headers, body):
    if headers.get("Authorization") != f"Bearer {SECRETS['HOOK_TOKEN']}":
        return {"status": 401}
    return {"status": 204}


SERVICES = {"/robot/send": dingtalk, "/cgi-bin/webhook/send": wecom, "/open-apis/bot/v2/hook/": feishu,
            "/bot": telegram, "/hook": hook}
LOCK = threading.Lock()
COUNT = itertools.count()


def keep(request):
    with LOCK:
        name = os.path.join(sys.argv[2], f"{next(COUNT):06}")
    with open(name + ".new", "w") as file:
        json.dump(request, file)
    os.rename(name + ".new", name + ".json")


class Robots(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self):
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        path, _, query = self.path.partition("?")
        query = {name: values[0] for name, values in urllib.parse.parse_qs(query).items()}
        service = next((call for start, call in SERVICES.items() if path.startswith(start)), None)
        try:
            answer = service(path, query, self.headers, body) if service else {"status": 404}
        except (ValueError, KeyError, TypeError) as error:
            answer = {"status": 400, "error": str(error)}
        taken = answer.get("errcode", answer.get("code")) == 0 or answer.get("ok") is True \
            or answer.get("status") in (200, 204)
        keep({"service": service.__name__ if service else path, "taken": taken, "answer": answer,
              "body": body.decode(errors="replace")})
        # DingTalk, WeCom and Feishu answer errors with 200.
        status = answer.get("status") or answer.get("error_code") or 200
        self.send_response(status)
        content = b"" if status == 204 else json.dumps(answer).encode()
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_):
        pass


http.server.ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Robots).serve_forever()
