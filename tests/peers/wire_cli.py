"""The AWS command line, many times in one process: starting it takes a second of the processor each time.
usage: PYTHON wire_cli.py DIRECTORY, with the Python that has awscli. For each line on its standard input it runs the arguments in
DIRECTORY/args (ended by NUL bytes), writes to DIRECTORY/out and DIRECTORY/err, and prints the exit status. DIRECTORY/calls gets a
line "called SERVICE Operation" for each call on the wire that a service answered with success, whatever command made it;
DIRECTORY/known one "known SERVICE Operation" for each that this command line could make."""
import os
import sys

import awscli.clidriver

directory = sys.argv[1]
answers = os.fdopen(os.dup(1), "w", buffering=1)
calls = open(os.path.join(directory, "calls"), "a", encoding="utf-8", buffering=1)


def redirect(fd, name):
    target = os.open(os.path.join(directory, name), os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    os.dup2(target, fd)
    os.close(target)


def note(http_response, model, **_):
    if http_response.status_code < 300:
        print("called", model.service_model.service_name, model.name, file=calls)


def driver():
    made = awscli.clidriver.create_clidriver()
    made.session.register("after-call", note)
    return made


def run(arguments):
    try:
        return driver().main(arguments)
    except SystemExit as e:
        return e.code if isinstance(e.code, int) else 1


def tell_known():
    session = driver().session
    with open(os.path.join(directory, "known"), "w", encoding="utf-8") as file:
        for service in ("dynamodb", "s3", "ses", "sesv2", "sqs", "sts"):
            for operation in session.get_service_model(service).operation_names:
                print("known", service, operation, file=file)


tell_known()
for line in sys.stdin:
    with open(os.path.join(directory, "args"), encoding="utf-8") as file:
        arguments = file.read().split("\0")[:-1]
    redirect(1, "out")
    redirect(2, "err")
    status = run(arguments)
    sys.stdout.flush()
    sys.stderr.flush()
    print(status or 0, file=answers)
