//! What a verification says: checks, each with its statement, its verdict and what it does not show.

use std::fmt;

use crate::Failure;

/// The sentence on what replay cannot exclude.
pub const BOTH_DIRECTIONS: &str = "It does not exclude an operator who wrote both directions of a \
    conversation himself: peers sign nothing. Only a second observer or the other side's own log does.";

/// The first line of the output where no policy says whom the reader trusts.
pub const NO_POLICY: &str = "Without --policy, the keys found in the bundle prove only that it agrees \
    with itself.";

/// A check as such: which part it is about, what it states, and what it does not show.
#[derive(Debug, Clone, Copy)]
pub struct Subject {
    /// The part of the bundle.
    pub part: &'static str,
    /// What is stated if it holds.
    pub statement: &'static str,
    /// What must not be read into it.
    pub does_not_show: &'static str,
}

/// The archive.
pub const CONTAINER: Subject = Subject {
    part: "container",
    statement: "The archive has the one form that these files have; every byte of it is a file's or \
                compared.",
    does_not_show: "Anything about the files.",
};
/// The digests.
pub const MANIFEST: Subject = Subject {
    part: "MANIFEST",
    statement: "Every file has the digest that MANIFEST says, and README.txt the text of this format.",
    does_not_show: "Who wrote it: anyone can write a manifest.",
};
/// Signature and tree.
pub const SIGNATURE: Subject = Subject {
    part: "ledger",
    statement: "The checkpoint is signed by operator.vkey; tiles and entries are those of its root.",
    does_not_show: "That the ledger is the only one of its operator, or older than the moment at \
                    which you received it: no witness and no time stamp is in this bundle.",
};
/// Whom the reader trusts.
pub const POLICY: Subject = Subject {
    part: "policy",
    statement: "The checkpoint is signed by a log, and cosigned by the witnesses, of your policy.",
    does_not_show: "That the policy names the right keys; that is yours to know.",
};
/// The records' form.
pub const RECORDS: Subject = Subject {
    part: "records",
    statement: "Every record decodes and is in its only encoding.",
    does_not_show: "That a record is true: that is what the replay is for.",
};
/// What is there.
pub const CONTENTS: Subject = Subject {
    part: "contents",
    statement: "Every blob has its digest as its name and a record that names it; every file belongs \
                to the ledger, to a run or to the report.",
    does_not_show: "That a torrent's content is what its name says.",
};
/// Journal and marks.
pub const JOURNAL: Subject = Subject {
    part: "journal",
    statement: "Every frame of the journal is whole and canonical; length and digest of journal and \
                capture are those of every mark in the ledger.",
    does_not_show: "That the observer's clock was right; its own error statement is in the records.",
};
/// The capture.
pub const CAPTURE: Subject = Subject {
    part: "capture",
    statement: "The capture, rendered again from the journal and the bytes, is the same byte for byte.",
    does_not_show: "Real packets: none was seen. The bytes are those that went through sockets; \
                    rebuilt headers show only that no payload of ours is recorded.",
};
/// The replay.
pub const REPLAY: Subject = Subject {
    part: "replay",
    statement: "The journal and the captured bytes, fed through the observer machine again, make every \
                record of the ledger byte for byte and in order, and no other.",
    does_not_show: BOTH_DIRECTIONS,
};
/// What was sent, and what became of it.
pub const SENT: Subject = Subject {
    part: "sent bytes",
    statement: "Every byte that the capture says was sent is one that the machine queued, in order; no \
                piece message is among them; every connect that the machine asked for has its outcome.",
    does_not_show: "Traffic of other programs on the same machine.",
};
/// The independent reading.
pub const BYTES: Subject = Subject {
    part: "retained bytes",
    statement: "Every passage of the capture that a record points at has the digest that the record \
                says; every piece recorded as verified was put together from the capture and hashed \
                again here, against the torrent file.",
    does_not_show: "Who was using an address, or where a peer had the piece from.",
};
/// The reports.
pub const REPORT: Subject = Subject {
    part: "report",
    statement: "The report's files, made again from the records, are the same byte for byte.",
    does_not_show: "More than the records do; the report says so itself.",
};

/// What came of a check.
#[derive(Debug, Clone, PartialEq)]
pub enum Verdict {
    /// It holds; what was looked at.
    Holds(String),
    /// It does not.
    Fails(Failure),
    /// It could not be made, and why.
    NotChecked(String),
}

/// One check.
#[derive(Debug, Clone, PartialEq)]
pub struct Check {
    /// The part of the bundle; with the run's number where a run is concerned.
    pub part: String,
    /// What is stated.
    pub statement: &'static str,
    /// What came of it.
    pub verdict: Verdict,
    /// What it does not show.
    pub does_not_show: &'static str,
    /// What a reader should know besides.
    pub notes: Vec<String>,
}

/// Everything that was checked.
#[derive(Debug, Clone, PartialEq)]
pub struct Outcome {
    /// The checks in order. The last one failed, if one did.
    pub checks: Vec<Check>,
    /// Whether a policy said whom the reader trusts.
    pub policy: bool,
}

impl Outcome {
    pub(crate) fn new(policy: bool) -> Self {
        Self {
            checks: Vec::new(),
            policy,
        }
    }

    /// Whether every check that was made holds.
    pub fn verified(&self) -> bool {
        self.failure().is_none()
    }

    /// The check that failed, if one did.
    pub fn failure(&self) -> Option<(&Check, &Failure)> {
        self.checks.iter().find_map(|check| match &check.verdict {
            Verdict::Fails(failure) => Some((check, failure)),
            Verdict::Holds(_) | Verdict::NotChecked(_) => None,
        })
    }

    pub(crate) fn begin(&mut self, subject: &Subject) {
        self.begin_part(subject, subject.part.to_owned());
    }

    pub(crate) fn begin_run(&mut self, subject: &Subject, run: u32) {
        self.begin_part(subject, format!("run {run} {}", subject.part));
    }

    fn begin_part(&mut self, subject: &Subject, part: String) {
        self.checks.push(Check {
            part,
            statement: subject.statement,
            verdict: Verdict::NotChecked("not reached".into()),
            does_not_show: subject.does_not_show,
            notes: Vec::new(),
        });
    }

    pub(crate) fn holds(&mut self, what: String) {
        self.end(Verdict::Holds(what));
    }

    pub(crate) fn not_checked(&mut self, why: String) {
        self.end(Verdict::NotChecked(why));
    }

    pub(crate) fn note(&mut self, note: String) {
        if let Some(check) = self.checks.last_mut() {
            check.notes.push(note);
        }
    }

    /// Adds a note to a check of a run that was made before.
    pub(crate) fn note_on_run(&mut self, subject: &Subject, run: u32, note: String) {
        let part = format!("run {run} {}", subject.part);
        if let Some(check) = self.checks.iter_mut().find(|check| check.part == part) {
            check.notes.push(note);
        }
    }

    pub(crate) fn fail(&mut self, failure: Failure) {
        self.end(Verdict::Fails(failure));
    }

    fn end(&mut self, verdict: Verdict) {
        if let Some(check) = self.checks.last_mut() {
            check.verdict = verdict;
        }
    }
}

impl Outcome {
    /// For programs: the same as JSON.
    pub fn to_json(&self) -> String {
        let checks: Vec<String> = self.checks.iter().map(Check::to_json).collect();
        let note = if self.policy {
            "null".into()
        } else {
            quoted(NO_POLICY)
        };
        format!(
            "{{\n  \"verified\": {},\n  \"policy\": {},\n  \"note\": {note},\n  \"checks\": [\n{}\n  ]\n}}",
            self.verified(),
            self.policy,
            checks.join(",\n")
        )
    }
}

impl Check {
    fn to_json(&self) -> String {
        let (result, what) = match &self.verdict {
            Verdict::Holds(what) => ("holds", what.clone()),
            Verdict::Fails(failure) => ("fails", failure.to_string()),
            Verdict::NotChecked(why) => ("not checked", why.clone()),
        };
        let notes: Vec<String> = self.notes.iter().map(|note| quoted(note)).collect();
        let fields = [
            ("part", quoted(&self.part)),
            ("result", quoted(result)),
            ("what", quoted(&what)),
            ("statement", quoted(self.statement)),
            ("does_not_show", quoted(self.does_not_show)),
            ("notes", format!("[{}]", notes.join(", "))),
        ];
        let lines = fields.map(|(name, value)| format!("      \"{name}\": {value}"));
        format!("    {{\n{}\n    }}", lines.join(",\n"))
    }
}

/// A JSON string (RFC 8259).
fn quoted(text: &str) -> String {
    let mut out = String::from("\"");
    for char in text.chars() {
        match char {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            control if (control as u32) < 0x20 => {
                out.push_str(&format!("\\u{:04x}", control as u32));
            }
            other => out.push(other),
        }
    }
    out.push('"');
    out
}

/// For people: one paragraph a check.
impl fmt::Display for Outcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.policy {
            writeln!(f, "{NO_POLICY}\n")?;
        }
        for check in &self.checks {
            writeln!(f, "{check}")?;
        }
        match self.failure() {
            None => writeln!(f, "VERIFIED: every check that could be made holds."),
            Some((check, failure)) => {
                writeln!(f, "DOES NOT VERIFY: {}: {failure}", check.part)
            }
        }
    }
}

impl fmt::Display for Check {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (mark, what) = match &self.verdict {
            Verdict::Holds(what) => ("ok  ", what.clone()),
            Verdict::Fails(failure) => ("FAIL", failure.to_string()),
            Verdict::NotChecked(why) => ("--  ", format!("not checked: {why}")),
        };
        writeln!(f, "{mark} {}: {what}", self.part)?;
        writeln!(f, "     states: {}", self.statement)?;
        writeln!(f, "     does not show: {}", self.does_not_show)?;
        self.notes
            .iter()
            .try_for_each(|note| writeln!(f, "     note: {note}"))
    }
}
