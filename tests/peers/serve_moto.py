"""moto as a server on 127.0.0.1, one DynamoDB call at a time: moto's TransactWriteItems copies the tables, works, and on
failure puts the copies back, which is a transaction only while nobody else writes. GET /peer/mails lists what was mailed.

usage: serve_moto.py PORT [CERTIFICATE KEY]
"""

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
                yield {
                    "from": message.source,
                    "to": message.destinations if isinstance(message.destinations, list) else message.destinations.get("ToAddresses", []),
                    "raw": getattr(message, "raw_data", None),
                    "subject": getattr(message, "subject", None),
                }


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
