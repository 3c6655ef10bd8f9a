"""A ground station made of pymavlink, another implementation of MAVLink: it finds the camera, taps on objects of the sample photo and follows
what the camera says of them.

    python tests/mavlink_ground_station.py target/release/cutout
    python tests/mavlink_ground_station.py --connect udpout:127.0.0.1:14550 --object mug    (a camera that is running, and sees the photo)

With a program, `cutout serve` is started on the photo and ended again. Exits 1 at the first thing that is not as the standard says, and if an
object's rectangle is not where the object is.
"""
import argparse
import json
import math
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

os.environ["MAVLINK20"] = "1"
from pymavlink import mavutil  # noqa: E402

ASSETS = Path(__file__).parent.parent / "assets"
SYSTEM, CAMERA = 1, 100
PATIENCE = 120
IOU = 0.5
# Those of which a single tap says enough: on the carton it means the label.
OBJECTS = ("mug", "orange", "tennis ball")

M = mavutil.mavlink
TRACKS = M.CAMERA_CAP_FLAGS_HAS_TRACKING_POINT | M.CAMERA_CAP_FLAGS_HAS_TRACKING_RECTANGLE


class GroundStation:
    def __init__(self, address):
        self.line = mavutil.mavlink_connection(address, source_system=255, source_component=190, dialect="common")
        self.beat = 0

    def receive(self, kind, until, wanted=lambda message: True):
        """The next message of a kind from the camera; heartbeats go out meanwhile."""
        while time.monotonic() < until:
            if time.monotonic() >= self.beat:
                self.beat = time.monotonic() + 1
                self.line.mav.heartbeat_send(M.MAV_TYPE_GCS, M.MAV_AUTOPILOT_INVALID, 0, 0, M.MAV_STATE_ACTIVE)
            message = self.line.recv_match(type=kind, blocking=True, timeout=0.2)
            if message and (message.get_srcSystem(), message.get_srcComponent()) == (SYSTEM, CAMERA) and wanted(message):
                return message
        return None

    def wait(self, kind, what, wanted=lambda message: True):
        message = self.receive(kind, time.monotonic() + PATIENCE, wanted)
        return message or sys.exit(f"{what}: no such {kind} came")

    def command(self, number, *first, whole=False):
        """The result of a command, which is sent again while it is not answered, or while the camera says to wait."""
        p = [*first, *[0] * (7 - len(first))]
        end = time.monotonic() + PATIENCE
        confirmation = 0
        while time.monotonic() < end:
            if whole:
                self.line.mav.command_int_send(SYSTEM, CAMERA, M.MAV_FRAME_MISSION, number, 0, 0, *p[:4], int(p[4]), int(p[5]), p[6])
            else:
                self.line.mav.command_long_send(SYSTEM, CAMERA, number, confirmation, *p)
            ack = self.receive("COMMAND_ACK", time.monotonic() + 2, lambda ack: ack.command == number)
            if ack is None:
                confirmation += 1
                continue
            if (ack.target_system, ack.target_component) != (255, 190):
                sys.exit(f"an acknowledgement is for {ack.target_system}/{ack.target_component}")
            if ack.result != M.MAV_RESULT_TEMPORARILY_REJECTED:
                return ack.result
            time.sleep(0.2)
        sys.exit(f"command {number} is not answered")

    def expect(self, result, number, *parameters, whole=False):
        got = self.command(number, *parameters, whole=whole)
        if got != result:
            names = M.enums["MAV_RESULT"]
            sys.exit(f"command {number} {parameters}: {names[got].name}, not {names[result].name}")


def overlap(a, b):
    wide = min(a[2], b[2]) - max(a[0], b[0])
    high = min(a[3], b[3]) - max(a[1], b[1])
    both = max(wide, 0) * max(high, 0)
    area = lambda r: (r[2] - r[0]) * (r[3] - r[1])
    return both / (area(a) + area(b) - both)


def follow(station, item, size, whole):
    """Taps on an object, and reads where it is."""
    width, height = size
    x, y, w, h = item["bbox"]
    truth = (x / width, y / height, (x + w) / width, (y + h) / height)
    if whole:
        station.expect(M.MAV_RESULT_ACCEPTED, M.MAV_CMD_CAMERA_TRACK_RECTANGLE, *truth, CAMERA, whole=True)
    else:
        px, py = item["point"]
        station.expect(M.MAV_RESULT_ACCEPTED, M.MAV_CMD_CAMERA_TRACK_POINT, px / width, py / height, 0)
    station.expect(M.MAV_RESULT_ACCEPTED, M.MAV_CMD_SET_MESSAGE_INTERVAL, M.MAVLINK_MSG_ID_CAMERA_TRACKING_IMAGE_STATUS, 200_000)
    active = station.wait(
        "CAMERA_TRACKING_IMAGE_STATUS",
        item["name"],
        lambda status: status.tracking_status == M.CAMERA_TRACKING_STATUS_FLAGS_ACTIVE
        and overlap((status.rec_top_x, status.rec_top_y, status.rec_bottom_x, status.rec_bottom_y), truth) >= IOU,
    )
    found = (active.rec_top_x, active.rec_top_y, active.rec_bottom_x, active.rec_bottom_y)
    if active.tracking_mode != M.CAMERA_TRACKING_MODE_RECTANGLE or active.target_data != M.CAMERA_TRACKING_TARGET_DATA_IN_STATUS:
        sys.exit(f"a rectangle of mode {active.tracking_mode}, data {active.target_data}")
    if not (found[0] <= active.point_x <= found[2] and found[1] <= active.point_y <= found[3] and math.isnan(active.radius)):
        sys.exit(f"the point is not in the rectangle: {active}")
    print(f"{item['name']}: {[round(v, 3) for v in found]}, IoU {overlap(found, truth):.2f} with the object's box", flush=True)
    station.expect(M.MAV_RESULT_ACCEPTED, M.MAV_CMD_CAMERA_STOP_TRACKING)
    idle = station.wait(
        "CAMERA_TRACKING_IMAGE_STATUS", "stop", lambda status: status.tracking_status == M.CAMERA_TRACKING_STATUS_FLAGS_IDLE
    )
    if not math.isnan(idle.rec_top_x) or idle.tracking_mode != M.CAMERA_TRACKING_MODE_NONE:
        sys.exit(f"nothing is tracked, and there is a rectangle: {idle}")
    station.expect(M.MAV_RESULT_ACCEPTED, M.MAV_CMD_SET_MESSAGE_INTERVAL, M.MAVLINK_MSG_ID_CAMERA_TRACKING_IMAGE_STATUS, -1)


def check(address, names):
    scene = json.loads((ASSETS / "scene_masks.json").read_text())
    size = (scene["width"], scene["height"])
    station = GroundStation(address)
    beat = station.wait("HEARTBEAT", "the camera")
    if (beat.type, beat.autopilot) != (M.MAV_TYPE_CAMERA, M.MAV_AUTOPILOT_INVALID):
        sys.exit(f"no camera's heartbeat: {beat}")
    for ask in ((M.MAV_CMD_REQUEST_MESSAGE, M.MAVLINK_MSG_ID_CAMERA_INFORMATION), (M.MAV_CMD_REQUEST_CAMERA_INFORMATION, 1)):
        station.expect(M.MAV_RESULT_ACCEPTED, *ask)
        information = station.wait("CAMERA_INFORMATION", "the camera's description")
        if information.flags & TRACKS != TRACKS:
            sys.exit(f"the camera does not track: flags {information.flags}")
    vendor, model = (bytes(name).split(b"\0")[0].decode() for name in (information.vendor_name, information.model_name))
    print(f"a camera: {vendor} {model}, {information.resolution_h} x {information.resolution_v}", flush=True)
    station.expect(M.MAV_RESULT_DENIED, M.MAV_CMD_CAMERA_TRACK_POINT, 1.5, 0.5)
    station.expect(M.MAV_RESULT_DENIED, M.MAV_CMD_CAMERA_TRACK_RECTANGLE, 0.1, 0.1, math.nan, 0.2)
    station.expect(M.MAV_RESULT_UNSUPPORTED, M.MAV_CMD_SET_CAMERA_ZOOM, 1)
    station.expect(M.MAV_RESULT_UNSUPPORTED, 42_428)
    for item in scene["objects"]:
        if item["name"] in (names or OBJECTS):
            follow(station, item, size, whole=False)
            follow(station, item, size, whole=True)
    print("the ground station is content")


def free_port():
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("program", nargs="?", help="cutout")
    parser.add_argument("--connect", help="a camera that is running, as pymavlink names lines")
    parser.add_argument("--object", action="append", help="this object of the photo instead of the mug, the orange and the tennis ball")
    words = parser.parse_args()
    if words.connect:
        return check(words.connect, words.object)
    if not words.program:
        parser.error("a program or --connect is needed")
    with tempfile.TemporaryDirectory() as folder:
        shutil.copy(ASSETS / "scene.jpg", folder)
        link = f"udp:127.0.0.1:{free_port()}"
        program = subprocess.Popen(
            [words.program, "serve", "--source", f"{folder}@5,loop", "--tcp", "127.0.0.1:0", "--mavlink", link, "--log-level", "warn"]
        )
        try:
            check(link.replace("udp:", "udpout:"), words.object)
        finally:
            program.terminate()
            program.wait(60)


main()
