//! The arguments of `cutout prompt`.

use std::path::PathBuf;

use clap::Args;

use super::endpoint::EndpointArgs;
use crate::cli::values::{PointArg, parse_box, parse_point};
use crate::client::{Rect, rect};

// One line per paragraph: clap wraps them to the terminal. Examples fit 80 columns as they are.
const MORE: &str = "\
Examples:
  cutout prompt --point 320,240
      ask the service on this machine about its newest frame
  CUTOUT_TOKEN=$(cat token) cutout prompt --tcp robot.local:7700 --point 320,240
      ask another machine's, which demands a token; or with --token-file token
  cutout prompt --box 40,60,300,410 -o out
      draw the answer on the frame
  cutout prompt --image photo.jpg --point 320,240
      upload a photo and ask about it
  cutout prompt --serial /dev/ttyUSB0:921600 --point 320,240 --budget 240
      what fits 240 bytes on the wire; add --deadline 80 to have it in 80 ms
  cutout prompt --point 320,240 --repeat 100
      how long does it take? p50, p90 and p99 of each stage
  cutout prompt --point 320,240 --track --json
      follow it, an answer a line, until Ctrl-C
  cutout prompt
      a talk: P 320 240, GO, SHOW; HELP lists what can be said
  printf 'P 320 240\\nGO\\nP 90 80 bg\\nGO\\n' | cutout prompt
      the same from a script

Coordinates are pixels of the frame, counted from its top left corner.

--budget counts bytes on the wire, packets and all. What does not fit is left out, the least important first, and named; \
a contour first gets fewer points. A line of 115200 baud carries 11 bytes a millisecond.

--deadline is for the service: it answers in time or says at once what it would take, and which frame it could answer \
about. Without one, --patience is the longest wait.

Lost packets are asked for again; nothing is computed twice for that.

In what --json prints, `mask` is COCO's compressed run-length encoding, as `cutout segment --json` has it, in pixels of \
the frame; `bbox` is left, top, width, height; what the answer lacks is null. Times are milliseconds, to the microsecond.

In a talk, a line that comes while TRACK answers ends it: STOP, or any other command, which is obeyed then. So does the \
end of the input, and Ctrl-C.

Files written to the output folder, STEM being the photo's name, or frame-N:
  STEM.overlay.png   the frame with mask, outline and prompt drawn on it
  STEM.mask.png      the mask, 8 bits a pixel, 255 inside and 0 outside

Exit status:
  0  answered
  1  no service, no connection to it, or a file that cannot be read or written
  2  the command line was not understood
  4  the service answered with an error, which is on standard error; of a talk
     that is not typed at a terminal: some line was answered with ERR";

/// Ask a running service (`cutout serve`) what a prompt points at
///
/// Connects by TCP, Unix socket, UDP, WebSocket or a serial line, asks about a frame of the service's camera or one that is
/// uploaded, and prints what is found. Without a point or a box it reads commands, as a terminal on the serial line would.
#[derive(Debug, Args)]
#[command(after_long_help = MORE)]
pub(crate) struct PromptArgs {
    #[command(flatten)]
    pub(super) endpoint: EndpointArgs,
    /// The token that a service demands which listens beyond its own machine: 16 to 64 bytes. Better in CUTOUT_TOKEN or
    /// --token-file: other users of this machine see its command lines
    #[arg(long, value_name = "TOKEN", conflicts_with = "token_file")]
    pub(super) token: Option<String>,
    /// A file whose first line is the token; goes before CUTOUT_TOKEN
    #[arg(long, value_name = "FILE")]
    pub(super) token_file: Option<PathBuf>,
    /// With --serial: change the line to this speed, on both sides, while asking
    #[arg(long, value_name = "BAUD", value_parser = clap::value_parser!(u32).range(1..))]
    pub(super) baud: Option<u32>,
    /// A point on the object, in pixels of the frame; `bg` after it means: not this. May be repeated
    #[arg(short, long = "point", value_name = "X,Y[,bg]", value_parser = parse_positive, allow_hyphen_values = true)]
    pub(super) points: Vec<PointArg>,
    /// A box around the object: left, top, right, bottom, in pixels of the frame
    #[arg(short, long = "box", value_name = "X0,Y0,X1,Y1", value_parser = parse_rect, allow_hyphen_values = true)]
    pub(super) bbox: Option<Rect>,
    /// The frame that is meant, by its number [default: the newest]
    #[arg(long, value_name = "N", conflicts_with = "image")]
    pub(super) frame: Option<u32>,
    /// Upload this photo and ask about it: JPEG, PNG, WebP, BMP or PNM
    #[arg(long, value_name = "FILE")]
    pub(super) image: Option<PathBuf>,
    /// Most bytes that the answer may take on the wire
    #[arg(long, value_name = "BYTES")]
    pub(super) budget: Option<u32>,
    /// Milliseconds in which the service has to answer
    #[arg(long, value_name = "MS")]
    pub(super) deadline: Option<u32>,
    /// Polygons around the mask, of at most so many points; 0: as many as the service likes
    #[arg(long, value_name = "POINTS")]
    pub(super) contour: Option<u16>,
    /// Look again, closer, where the object is small
    #[arg(long)]
    pub(super) zoom: bool,
    /// Print the answer as JSON, the mask as COCO RLE; with --track one answer a line
    #[arg(long)]
    pub(super) json: bool,
    /// Folder to write the mask and a picture to; made if need be
    #[arg(short, long, value_name = "DIR", conflicts_with_all = ["track", "repeat"])]
    pub(super) output: Option<PathBuf>,
    /// Follow the object from frame to frame, until Ctrl-C
    #[arg(long, conflicts_with = "repeat")]
    pub(super) track: bool,
    /// With --track: milliseconds between answers at least
    #[arg(long, value_name = "MS", default_value_t = 0, requires = "track")]
    pub(super) interval: u32,
    /// Ask so many times, and print how long each stage took
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub(super) repeat: Option<u32>,
    /// Print what the service is and how it is, and ask nothing
    #[arg(long, conflicts_with_all = ["points", "bbox", "image", "track", "repeat"])]
    pub(super) status: bool,
    /// Longest time to wait for a connection, or for an answer without deadline, in seconds
    #[arg(long, value_name = "SECONDS", default_value_t = 10, value_parser = clap::value_parser!(u64).range(1..=3600))]
    pub(super) patience: u64,
}

fn parse_positive(text: &str) -> Result<PointArg, String> {
    let point = parse_point(text)?;
    in_frame([point.x, point.y])?;
    Ok(point)
}

fn parse_rect(text: &str) -> Result<Rect, String> {
    let b = parse_box(text)?;
    in_frame([b.x0, b.y0, b.x1, b.y1])?;
    Ok(rect(b.x0, b.y0, b.x1, b.y1))
}

/// Whether coordinates can be sent: frames have at most 65535 pixels a side.
fn in_frame<const N: usize>(coordinates: [f32; N]) -> Result<(), String> {
    match coordinates.iter().find(|c| !(0.0..=65_535.0).contains(*c)) {
        None => Ok(()),
        Some(c) => Err(format!("{c} is no pixel of a frame: they are counted from 0, and at most 65535")),
    }
}
