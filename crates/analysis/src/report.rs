//! Reports: the sheet as CSV, JSON and HTML. The same ledger gives the same bytes.
//!
//! Nothing here reads a clock, so a report does not say when it was printed: it says which ledger it
//! was made from, and that ledger says the rest.

mod csv;
mod html;
mod svg;
mod table;

pub use table::table;

use skep_evidence::record::Record;

use crate::{
    finding::Findings,
    sheet::{Ledger, Sheet},
};

/// Name of the CSV file in an observation's `report` folder.
pub const CSV_NAME: &str = "exhibit.csv";
/// Name of the JSON file.
pub const JSON_NAME: &str = "exhibit.json";
/// Name of the HTML file.
pub const HTML_NAME: &str = "report.html";

/// The three files of a report.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Report {
    /// [`CSV_NAME`]: one line an endpoint.
    pub csv: Vec<u8>,
    /// [`JSON_NAME`]: everything.
    pub json: Vec<u8>,
    /// [`HTML_NAME`]: a page that needs no other file.
    pub html: Vec<u8>,
}

/// Why a report cannot be laid out.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ReportError {
    /// The CSV writer refused a value.
    #[error("exhibit as csv: {0}")]
    Csv(#[from] ::csv::Error),
    /// The JSON writer refused a value.
    #[error("exhibit as json: {0}")]
    Json(#[from] serde_json::Error),
    /// The page's template refused a value.
    #[error("report as html: {0}")]
    Html(#[from] askama::Error),
}

impl Report {
    /// Makes the three files from a ledger's records with their places, in ledger order.
    ///
    /// # Errors
    ///
    /// [`ReportError`] if a writer refuses a value; no record is known that makes one do so.
    pub fn of(records: &[(u64, Record)], ledger: &Ledger) -> Result<Self, ReportError> {
        Self::of_sheet(&Sheet::of(&Findings::of(records), ledger))
    }

    /// Makes the three files from a sheet.
    ///
    /// # Errors
    ///
    /// As [`Report::of`].
    pub fn of_sheet(sheet: &Sheet) -> Result<Self, ReportError> {
        Ok(Self {
            csv: csv::write(sheet)?,
            json: json(sheet)?,
            html: html::write(sheet)?,
        })
    }

    /// The files with their names, in the order of the names.
    pub fn files(&self) -> [(&'static str, &[u8]); 3] {
        [
            (CSV_NAME, &self.csv),
            (JSON_NAME, &self.json),
            (HTML_NAME, &self.html),
        ]
    }
}

/// The layout that the file of [`JSON_NAME`] with these first bytes says it has, `None` if it says none.
pub fn layout_of(json: &[u8]) -> Option<&str> {
    let said = json.strip_prefix(b"{\n  \"format\": \"skep-report ".as_slice())?;
    let digits = said.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let named = (1..=LAYOUT_DIGITS_MAX).contains(&digits) && said.get(digits) == Some(&b'"');
    let begin = json.len() - said.len() - "skep-report ".len();
    let name = named.then(|| json.get(begin..begin + "skep-report ".len() + digits))??;
    std::str::from_utf8(name).ok()
}

/// The longest version of a layout that is read.
const LAYOUT_DIGITS_MAX: usize = 9;

fn json(sheet: &Sheet) -> Result<Vec<u8>, ReportError> {
    let mut bytes = serde_json::to_vec_pretty(sheet)?;
    bytes.push(b'\n');
    Ok(bytes)
}
