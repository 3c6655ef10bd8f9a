"""The client as a command: `python cutout_client.py tcp:127.0.0.1:7700 --point 320,240`."""

import argparse
import json
import os
import sys

from cutout_client import Client, NoAnswer, ServiceError

# Points that a Prompt has room for.
MAX_POINTS = 16


def read_point(text):
    x, y, *label = text.split(",")
    if label not in ([], ["0"], ["1"]):
        raise ValueError(text)
    return (*read_pixels((x, y)), 0 if label == ["0"] else 1)


def read_box(text):
    x0, y0, x1, y1 = text.split(",")
    return read_pixels((x0, y0, x1, y1))


def read_pixels(words):
    numbers = tuple(map(float, words))
    if not all(0 <= number <= 65535 for number in numbers):
        raise ValueError(words)
    return numbers


def read_address(text):
    kind, _, rest = text.partition(":")
    if kind in ("tcp", "udp", "serial"):
        first, _, number = rest.rpartition(":")
        if not first or not 0 < int(number) < (1 << 16 if kind != "serial" else 1 << 32):
            raise ValueError(text)
    elif kind != "unix" or not rest:
        raise ValueError(text)
    return text


# What argparse says of a value that is none: "invalid X,Y value: ...".
read_point.__name__, read_box.__name__, read_address.__name__ = "X,Y", "X0,Y0,X1,Y1", "address"


def ask(arguments):
    token = arguments.token.encode(errors="surrogateescape")
    with Client.open(arguments.address, token=token) as client:
        frame = 0
        if arguments.image:
            with open(arguments.image, "rb") as file:
                frame = client.upload(file.read())
        if not arguments.point and not arguments.box:
            return client.status()
        return client.prompt(arguments.point, arguments.box, frame=frame)


def main():
    parser = argparse.ArgumentParser(
        description="Asks Cutout's device service for a mask, or without point and box for its status.",
        epilog="Exit status: 0 answered; 1 no connection, no answer or no such file; 2 the command line was not "
        "understood; 4 the service answered with an error.")
    parser.add_argument("address", type=read_address, help="tcp:HOST:PORT, unix:PATH, udp:HOST:PORT or serial:PATH:BAUD")
    parser.add_argument("--point", action="append", default=[], type=read_point, metavar="X,Y[,0]",
                        help=f"a point of the object, or with ,0 one beside it; at most {MAX_POINTS}")
    parser.add_argument("--box", type=read_box, metavar="X0,Y0,X1,Y1", help="left, top, right, bottom")
    parser.add_argument("--token", default=os.environ.get("CUTOUT_TOKEN", ""), metavar="TOKEN",
                        help="16 to 64 bytes; better in the environment, as CUTOUT_TOKEN")
    parser.add_argument("--image", metavar="FILE", help="a JPEG to upload and ask about")
    arguments = parser.parse_args()
    if len(arguments.point) > MAX_POINTS:
        parser.error(f"a prompt has at most {MAX_POINTS} points, not {len(arguments.point)}")
    if len(arguments.token.encode(errors="surrogateescape")) > 64:
        parser.error("a token has at most 64 bytes")
    try:
        answer = ask(arguments)
    except ServiceError as error:
        sys.exit(fail(4, f"the service refuses: {error.name} ({error.fields['text'] or error.fields['detail']})"))
    except (NoAnswer, EOFError, ValueError) as error:
        sys.exit(fail(1, error))
    except OSError as error:
        what = error.strerror or error
        sys.exit(fail(1, f"{error.filename or arguments.address}: {what}"))
    except KeyboardInterrupt:
        sys.exit(130)
    answer.pop("body", None), answer.pop("data", None)
    print(json.dumps(answer, indent=2, default=str))


def fail(status, what):
    print(f"error: {what}", file=sys.stderr)
    return status


if __name__ == "__main__":
    main()
