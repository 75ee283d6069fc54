//! `skep records`: the ledger's records, one JSON object a line, for other programs.

use std::path::PathBuf;

use anyhow::{Context as _, anyhow};
use clap::builder::{PossibleValue, PossibleValuesParser};
use serde_json::{Map, Value as Json};
use skep_evidence::record::{
    Record,
    fields::{FIELDS, KINDS},
};
use skep_net::store::ObservationReader;
use skep_wire::bencode::{self, Node, Value};

use crate::ui::{self, CmdError, Context, Outcome, Reader};

/// A record nests a few levels at most; canonical, as every record is.
const LIMITS: bencode::Limits = bencode::Limits {
    depth_max: 8,
    values_max: 10_000,
    canonical: true,
};

/// As many bytes are printed at a time.
const PRINT_BYTES: usize = 64 << 10;

/// Print every record of an observation, one JSON object a line
///
/// The fields are those of docs/record-fields.md; `index` is the record's place in the ledger. The
/// ledger's own signature and tree are checked first. What is printed is what was recorded: only
/// `skep verify` checks it against the captured bytes.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// The observation's folder.
    dir: PathBuf,
    /// Only records of these kinds, for example `verified` or `listed`; may be repeated.
    #[arg(long, value_name = "KIND", value_parser = kinds())]
    kind: Vec<String>,
}

/// The kinds that this build knows. A record of a kind that it does not know is printed without --kind.
fn kinds() -> PossibleValuesParser {
    PossibleValuesParser::new(
        KINDS
            .iter()
            .map(|kind| PossibleValue::new(kind.name).help(kind.sentence)),
    )
}

pub(crate) fn run(args: Args, _ctx: &Context) -> Result<Outcome, CmdError> {
    let observation = ObservationReader::open(&args.dir).map_err(|error| {
        CmdError::surroundings(error)
            .or_hint("DIR is the folder that `skep observe --out DIR` made")
    })?;
    let mut lines = String::new();
    for record in observation.records() {
        let (index, record) = record.map_err(CmdError::surroundings)?;
        if !args.kind.is_empty() && !args.kind.iter().any(|kind| kind == record.body.kind()) {
            continue;
        }
        let line = line(index, &record).map_err(CmdError::surroundings)?;
        lines += &format!("{line}\n");
        if lines.len() >= PRINT_BYTES {
            match ui::print(std::mem::take(&mut lines))? {
                Reader::There => {}
                Reader::Gone => return Ok(Outcome::Done),
            }
        }
    }
    ui::print(lines)?;
    Ok(Outcome::Done)
}

fn line(index: u64, record: &Record) -> anyhow::Result<Json> {
    let bytes = record.encode();
    let node = bencode::decode(&bytes, LIMITS).context("a record does not decode again")?;
    let Json::Object(mut object) = json("", &node) else {
        return Err(anyhow!("record {index} is not a dictionary"));
    };
    object.insert("index".into(), index.into());
    Ok(Json::Object(object))
}

/// A bencoded value as JSON; `tag` says how its bytes are meant to be read.
fn json(tag: &str, node: &Node<'_>) -> Json {
    match &node.value {
        Value::Int(number) => (*number).into(),
        Value::Bytes(bytes) => bytes_json(tag, bytes),
        Value::List(nodes) => nodes.iter().map(|node| json(tag, node)).collect(),
        Value::Dict(pairs) => pairs
            .iter()
            .map(|(key, node)| {
                let key = String::from_utf8_lossy(key).into_owned();
                let value = json(&key, node);
                (key, value)
            })
            .collect::<Map<_, _>>()
            .into(),
    }
}

fn bytes_json(tag: &str, bytes: &[u8]) -> Json {
    let unit = FIELDS
        .iter()
        .find(|row| row.tag == tag)
        .map_or("", |row| row.unit);
    let is_address = unit.starts_with("address") || unit.starts_with("4 or 16");
    if is_address && let Some(text) = endpoint(bytes) {
        return text.into();
    }
    let is_text = if unit.is_empty() {
        bytes.iter().all(|byte| (b' '..=b'~').contains(byte))
    } else {
        unit.starts_with("text") || !unit.contains("bytes")
    };
    if is_text {
        return String::from_utf8_lossy(bytes).into();
    }
    bytes
        .iter()
        .map(|byte| format!("{byte:02x}"))
        .collect::<String>()
        .into()
}

/// An address of 4 or 16 bytes, or one with a port of 6 or 18.
fn endpoint(bytes: &[u8]) -> Option<String> {
    let ip = |bytes: &[u8]| -> Option<std::net::IpAddr> {
        if let Ok(four) = <[u8; 4]>::try_from(bytes) {
            return Some(four.into());
        }
        <[u8; 16]>::try_from(bytes).ok().map(Into::into)
    };
    if let Some(ip) = ip(bytes) {
        return Some(ip.to_string());
    }
    let (addr, port) = bytes.split_at_checked(bytes.len().checked_sub(2)?)?;
    let port = u16::from_be_bytes(port.try_into().ok()?);
    Some(std::net::SocketAddr::new(ip(addr)?, port).to_string())
}
