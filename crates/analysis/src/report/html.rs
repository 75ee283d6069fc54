//! The page: one file that needs no other, without scripts, for screens light and dark and for
//! paper. The template escapes every value; the drawings escape their own.

use askama::Template;
use skep_evidence::grade::Grade;

use super::{
    ReportError,
    svg::{self, ROWS_MAX},
};
use crate::{
    sheet::{EndpointRow, GradeCount, NOT_HASHED_AGAIN, Sheet, SwarmRow, Time, UNSYNCHRONISED},
    text,
};

/// How many endpoints get a card of particulars on the page. The CSV and the JSON have all.
const CARDS_MAX: usize = 1_000;
/// How many rows a table on the page has. The CSV and the JSON have all.
const TABLE_ROWS_MAX: usize = 5_000;
/// How many gains, portions, connections or violations one card lists.
const CARD_LINES_MAX: usize = 12;

/// Writes the page.
pub(super) fn write(sheet: &Sheet) -> Result<Vec<u8>, ReportError> {
    let us = sheet.span.as_ref().map_or((0, 0), |span| span.us);
    let swarms = sheet.swarms.iter().map(|swarm| SwarmView {
        swarm,
        timeline: svg::timeline(&swarm.endpoints, us),
        completion: svg::completion(&swarm.endpoints, us),
        not_drawn: swarm.endpoints.len().saturating_sub(ROWS_MAX),
        answered: swarm.answered(),
        silent: swarm.silent(),
    });
    let page = Page {
        sheet,
        swarms: swarms.collect(),
        note: NOT_HASHED_AGAIN,
        unsynchronised: UNSYNCHRONISED,
    };
    let mut html = page.render()?;
    html.push('\n');
    Ok(html.into_bytes())
}

#[derive(Template)]
#[template(path = "report.html")]
struct Page<'a> {
    sheet: &'a Sheet,
    swarms: Vec<SwarmView<'a>>,
    note: &'static str,
    unsynchronised: &'static str,
}

struct SwarmView<'a> {
    swarm: &'a SwarmRow,
    timeline: String,
    completion: Option<String>,
    not_drawn: usize,
    answered: Vec<&'a EndpointRow>,
    silent: Vec<&'a EndpointRow>,
}

/// What the template asks of values.
impl Page<'_> {
    fn endpoints(&self) -> usize {
        self.sheet
            .swarms
            .iter()
            .map(|swarm| swarm.endpoints.len())
            .sum()
    }

    fn with_grade(&self, least: Grade) -> usize {
        let all = self.sheet.swarms.iter().flat_map(|swarm| &swarm.endpoints);
        all.filter(|row| row.grade >= least).count()
    }

    /// Whether a dagger stands anywhere on the page.
    fn unsynchronised(&self) -> bool {
        let span = self
            .sheet
            .span
            .iter()
            .flat_map(|span| [&span.from, &span.to]);
        let mut times = span.chain(self.sheet.runs.iter().map(|run| &run.last_record));
        let any = times.any(|time| !time.utc.synchronised);
        any || self.sheet.swarms.iter().any(SwarmRow::unsynchronised)
    }

    /// Whether the clock was set while a run went on.
    fn clock_was_set(&self) -> bool {
        self.sheet.runs.iter().any(|run| run.clock_steps > 0)
    }

    fn reached(&self) -> usize {
        self.with_grade(Grade::Reached)
    }

    fn verified(&self) -> usize {
        self.with_grade(Grade::Verified)
    }

    fn claimed(&self) -> usize {
        self.with_grade(Grade::Claimed)
    }

    fn shows(&self, grade: &Grade) -> &'static str {
        let row = self.sheet.grades.iter().find(|row| row.grade == *grade);
        row.map_or("", |row| row.shows)
    }
}

impl SwarmView<'_> {
    /// Width of a grade's bar in per cent of the most frequent one.
    fn bar(&self, count: &GradeCount) -> u64 {
        let most = self
            .swarm
            .grade_counts
            .iter()
            .map(|count| count.endpoints)
            .max()
            .unwrap_or(0);
        (count.endpoints * 100).checked_div(most).unwrap_or(0)
    }

    fn cards(&self) -> impl Iterator<Item = &&EndpointRow> {
        self.answered.iter().take(CARDS_MAX)
    }

    fn cards_left_out(&self) -> usize {
        self.answered.len().saturating_sub(CARDS_MAX)
    }

    fn answered_rows(&self) -> impl Iterator<Item = &&EndpointRow> {
        self.answered.iter().take(TABLE_ROWS_MAX)
    }

    fn answered_left_out(&self) -> usize {
        self.answered.len().saturating_sub(TABLE_ROWS_MAX)
    }

    fn silent_rows(&self) -> impl Iterator<Item = &&EndpointRow> {
        self.silent.iter().take(TABLE_ROWS_MAX)
    }

    fn silent_left_out(&self) -> usize {
        self.silent.len().saturating_sub(TABLE_ROWS_MAX)
    }
}

/// A time or a dash.
fn time(time: &Option<Time>) -> String {
    time.as_ref().map_or_else(|| "–".into(), Time::text)
}

/// The first [`CARD_LINES_MAX`] of a list.
fn first<T>(list: &[T]) -> &[T] {
    &list[..list.len().min(CARD_LINES_MAX)]
}

/// How many more there are.
fn more<T>(list: &[T]) -> usize {
    list.len().saturating_sub(CARD_LINES_MAX)
}

/// Groups a hexadecimal digest so that people can compare it.
fn digest(hex: &str) -> String {
    let groups: Vec<&str> = (0..hex.len())
        .step_by(8)
        .map(|at| &hex[at..hex.len().min(at + 8)])
        .collect();
    groups.join(" ")
}
