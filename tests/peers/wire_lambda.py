"""boto3 against `perigee runtime-api`, whose program is tests/e2e/fixtures/bootstrap.py. usage: wire_lambda.py URL; see wire.lua."""
import base64
import concurrent.futures
import json
import os
import socket
import tempfile
import time

import boto3
from botocore.config import Config
from botocore.exceptions import ClientError

from wire import URL, check, run

awslambda = boto3.client("lambda", endpoint_url=URL, region_name="us-east-1", aws_access_key_id="any", aws_secret_access_key="any",
                         config=Config(retries={"total_max_attempts": 1}, max_pool_connections=20))
DIR = tempfile.mkdtemp()


def invoke(event, **params):
    return awslambda.invoke(FunctionName="function", Payload=json.dumps(event), **params)


def stream(event, **params):
    return awslambda.invoke_with_response_stream(FunctionName="function", Payload=json.dumps(event), **params)["EventStream"]


def code(fn):
    try:
        fn()
    except ClientError as e:
        return e.response["Error"]["Code"], e.response["ResponseMetadata"]["HTTPStatusCode"]
    raise AssertionError("it was not refused")


@check("an answer")
def _():
    answer = invoke({"x": [1, "ä"]})
    assert answer["StatusCode"] == 200 and answer["ExecutedVersion"] == "$LATEST" and "FunctionError" not in answer, answer
    assert json.load(answer["Payload"]) == {"x": [1, "ä"]}
    assert json.load(awslambda.invoke(FunctionName="function")["Payload"]) == {}, "no payload is an empty object"


@check("an error of the function")
def _():
    answer = invoke({"do": "error", "message": "oops"})
    assert answer["StatusCode"] == 200 and answer["FunctionError"] == "Unhandled", answer
    assert json.load(answer["Payload"])["errorMessage"] == "oops"


@check("a runtime that ends, and the next")
def _():
    answer = invoke({"do": "exit", "code": 1})
    assert answer["FunctionError"] == "Unhandled"
    error = json.load(answer["Payload"])
    assert error["errorType"] == "Runtime.ExitError" and error["errorMessage"].endswith("Error: Runtime exited with error: exit status 1")
    assert json.load(invoke({"y": 2})["Payload"]) == {"y": 2}


@check("the tail of the log")
def _():
    log = base64.b64decode(invoke({"do": "say", "text": "well"}, LogType="Tail")["LogResult"]).decode()
    assert log.startswith("START RequestId: ") and log.count("well\n") == 2 and "\tMax Memory Used: " in log, log
    assert "LogResult" not in invoke({}, LogType="None")


@check("the client's context and the trace")
def _():
    context = base64.b64encode(b'{"custom":\n{"a":"b"}}').decode()
    headers = json.load(invoke({"do": "about"}, ClientContext=context)["Payload"])["headers"]
    assert json.loads(headers["Lambda-Runtime-Client-Context"]) == {"custom": {"a": "b"}}, headers
    assert headers["Lambda-Runtime-Trace-Id"].startswith("Root=1-"), headers


@check("asynchronous and dry runs")
def _():
    path = os.path.join(DIR, "event")
    assert invoke({"do": "write", "file": path, "text": "done"}, InvocationType="DryRun")["StatusCode"] == 204
    invoke({})
    assert not os.path.exists(path)
    answer = invoke({"do": "write", "file": path, "text": "done"}, InvocationType="Event")
    assert answer["StatusCode"] == 202 and answer["Payload"].read() == b"", answer
    invoke({})  # events are answered in order
    assert open(path).read() == "done"


@check("names of the function")
def _():
    arn = json.load(invoke({"do": "about"})["Payload"])["headers"]["Lambda-Runtime-Invoked-Function-Arn"]
    for name in ["function:$LATEST", arn, arn + ":$LATEST", "000000000000:function:function"]:
        assert json.load(awslambda.invoke(FunctionName=name, Payload="1")["Payload"]) == 1, name
    for name in ["other", arn + "2", arn.replace("us-east-1", "eu-west-1")]:
        assert code(lambda: awslambda.invoke(FunctionName=name)) == ("ResourceNotFoundException", 404), name


@check("what is refused")
def _():
    assert code(lambda: awslambda.invoke(FunctionName="function", Payload="{")) == ("InvalidRequestContentException", 400)
    assert code(lambda: invoke("x" * (6 << 20))) == ("RequestTooLargeException", 413)
    assert code(lambda: invoke("x" * (1 << 20), InvocationType="Event")) == ("RequestTooLargeException", 413)
    assert code(lambda: invoke({}, ClientContext="{")) == ("InvalidRequestContentException", 400)
    assert code(lambda: awslambda.list_functions()) == ("UnknownOperationException", 404)
    answer = invoke({"do": "big", "bytes": 7000000})
    assert json.load(answer["Payload"])["errorType"] == "Function.ResponseSizeTooLarge"


@check("large payloads both ways")
def _():
    text = "0123456789" * 600000
    assert json.load(invoke({"text": text})["Payload"]) == {"text": text}


@check("many at once are answered one by one")
def _():
    with concurrent.futures.ThreadPoolExecutor(16) as pool:
        answers = list(pool.map(lambda i: json.load(invoke({"i": i})["Payload"])["i"], range(100)))
    assert answers == list(range(100))


@check("a stream reaches the client while the handler runs")
def _():
    gate = os.path.join(DIR, "gate")
    events = iter(stream({"do": "stream", "parts": ["first", "second"], "gate": gate}))
    assert next(events)["PayloadChunk"]["Payload"] == b"first"
    open(gate, "w").close()
    assert next(events)["PayloadChunk"]["Payload"] == b"second"
    assert next(events) == {"InvokeComplete": {}}
    assert next(events, None) is None


@check("a long stream to a slow reader")
def _():
    part = "0123456789"
    got = n = 0
    for event in stream({"do": "stream", "parts": [part] * 10, "times": 400000}):
        if "PayloadChunk" not in event:
            assert event == {"InvokeComplete": {}}, event
            continue
        data = event["PayloadChunk"]["Payload"]
        expected = (part * (len(data) // 10 + 2)).encode()
        assert expected[got % 10:][:len(data)] == data, got
        got += len(data)
        n += 1
        if n % 50 == 0:
            time.sleep(0.01)
    assert got == 40000000, got


@check("clients that go away do not end what they began")
def _():
    path, gate = os.path.join(DIR, "gone"), os.path.join(DIR, "gone.gate")
    events = awslambda.invoke_with_response_stream(FunctionName="function", Payload=json.dumps(
        {"do": "stream", "parts": ["first"] + ["x" * 100000] * 20, "gate": gate}))["EventStream"]
    assert next(iter(events))["PayloadChunk"]["Payload"] == b"first"
    events.close()
    open(gate, "w").close()
    asked = socket.create_connection(URL.split("/")[2].split(":"))
    body = json.dumps({"do": "write", "file": path, "text": "done"}).encode()
    asked.sendall(b"POST /2015-03-31/functions/function/invocations HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body))
    while not os.path.exists(path):
        time.sleep(0.01)
    asked.close()
    cut = socket.create_connection(URL.split("/")[2].split(":"))
    cut.sendall(b"POST /2015-03-31/functions/function/invocations HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\nhalf")
    cut.close()
    assert json.load(invoke({"still": True})["Payload"]) == {"still": True}


@check("streams that fail, and answers that were not streamed")
def _():
    events = list(stream({"do": "stream", "parts": ["one"], "fail": "broke"}, LogType="Tail"))
    assert events[0]["PayloadChunk"]["Payload"] == b"one"
    complete = events[1]["InvokeComplete"]
    assert complete["ErrorCode"] == "Unhandled" and json.loads(complete["ErrorDetails"])["errorMessage"] == "broke", complete
    assert b"REPORT RequestId" in base64.b64decode(complete["LogResult"])
    events = list(stream({"do": "stream", "parts": ["one"], "cut": True}))
    error = json.loads(events[-1]["InvokeComplete"]["ErrorDetails"])
    assert events[0]["PayloadChunk"]["Payload"] == b"one" and error["errorType"] == "Runtime.TruncatedResponse", events
    events = list(stream({"z": 3}))
    assert json.loads(events[0]["PayloadChunk"]["Payload"]) == {"z": 3} and events[1:] == [{"InvokeComplete": {}}], events
    events = list(stream({"do": "exit", "code": 4}))
    assert "exit status 4" in events[0]["InvokeComplete"]["ErrorDetails"], events


run()
