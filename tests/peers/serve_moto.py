"""moto as a server on 127.0.0.1, one DynamoDB call at a time: moto's TransactWriteItems copies the tables, works, and on
failure puts the copies back, which is a transaction only while nobody else writes. GET /peer/mails lists the (raw) mails sent.

usage: serve_moto.py PORT [CERTIFICATE KEY]
"""

import email.parser
import json
import sys
import threading

from moto.moto_server.werkzeug_app import DomainDispatcherApplication, MotoRequestHandler, create_backend_app
from moto.ses.models import ses_backends
from werkzeug.serving import run_simple


def mails():
    for account in ses_backends.values():
        for backend in account.values():
            for message in backend.sent_messages:
                headers = email.parser.HeaderParser().parsestr(message.raw_data)
                yield {"from": message.source, "to": message.destinations, "subject": headers["Subject"], "event": headers["X-Perigee-Event"]}


class Server:
    def __init__(self):
        self.app = DomainDispatcherApplication(create_backend_app)
        self.lock = threading.Lock()

    def __call__(self, environ, start_response):
        if environ["PATH_INFO"] == "/peer/mails":
            start_response("200 OK", [("Content-Type", "application/json")])
            return [json.dumps(list(mails())).encode()]
        if not environ.get("HTTP_X_AMZ_TARGET", "").startswith("DynamoDB"):
            return self.app(environ, start_response)
        with self.lock:
            return list(self.app(environ, start_response))


port, tls = int(sys.argv[1]), tuple(sys.argv[2:4]) or None
run_simple("127.0.0.1", port, Server(), threaded=True, ssl_context=tls, request_handler=MotoRequestHandler)
