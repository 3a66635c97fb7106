"""The AWS command line, many times in one process: starting it takes a second of the processor each time.
usage: PYTHON wire_cli.py DIRECTORY, with the Python that has awscli. For each line on its standard input it runs the arguments in
DIRECTORY/args (ended by NUL bytes), writes to DIRECTORY/out and DIRECTORY/err, and prints the exit status."""
import os
import sys

import awscli.clidriver

directory = sys.argv[1]
answers = os.fdopen(os.dup(1), "w", buffering=1)


def redirect(fd, name):
    target = os.open(os.path.join(directory, name), os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    os.dup2(target, fd)
    os.close(target)


def run(arguments):
    try:
        return awscli.clidriver.create_clidriver().main(arguments)
    except SystemExit as e:
        return e.code if isinstance(e.code, int) else 1


for line in sys.stdin:
    with open(os.path.join(directory, "args"), encoding="utf-8") as file:
        arguments = file.read().split("\0")[:-1]
    redirect(1, "out")
    redirect(2, "err")
    status = run(arguments)
    sys.stdout.flush()
    sys.stderr.flush()
    print(status or 0, file=answers)
