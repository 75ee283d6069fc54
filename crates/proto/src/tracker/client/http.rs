//! One question over HTTP.

use std::time::Duration;

use skep_wire::{
    Moment,
    http::{Response, ResponseParser, Scheme, Url, put_request},
    tracker::http::{
        AnnounceResponse, ScrapeResponse, announce_target, decode_announce, decode_scrape,
        scrape_target,
    },
};

use super::{ANSWER_WIRE_LEN_MAX, HTTP_TIME_MAX, Outcome, Question, REDIRECTS_MAX, TrackerFailure};

/// One question to an HTTP tracker, over one connection and one more for each redirect.
///
/// The driver connects to [`HttpExchange::url`], sends what [`HttpExchange::poll_transmit`] gives,
/// feeds what comes, and reads [`HttpExchange::poll_outcome`]. After any outcome the connection
/// is to be closed; after [`Outcome::Redirected`] it begins again with the new URL.
#[derive(Debug)]
pub struct HttpExchange {
    question: Question,
    user_agent: String,
    url: Url,
    visited: Vec<Url>,
    parser: ResponseParser,
    received: u64,
    transmit: Option<Vec<u8>>,
    outcome: Option<Outcome>,
    deadline: Option<Moment>,
}

impl HttpExchange {
    /// Starts an exchange. `url` is the announce URL also for a scrape (BEP 48 derives the other).
    ///
    /// # Errors
    ///
    /// [`TrackerFailure::NoScrape`] if a scrape is asked and the URL has no scrape URL.
    pub fn new(
        url: Url,
        question: Question,
        user_agent: &str,
        now: Moment,
    ) -> Result<Self, TrackerFailure> {
        let url = match &question {
            Question::Announce { .. } => url,
            Question::Scrape { .. } => url.scrape().ok_or(TrackerFailure::NoScrape)?,
        };
        let mut exchange = Self {
            question,
            user_agent: user_agent.to_owned(),
            visited: Vec::new(),
            url: url.clone(),
            parser: ResponseParser::new(),
            received: 0,
            transmit: None,
            outcome: None,
            deadline: None,
        };
        exchange.begin(url, now);
        Ok(exchange)
    }

    fn begin(&mut self, url: Url, now: Moment) {
        let target = match &self.question {
            Question::Announce {
                request,
                tracker_id,
            } => announce_target(&url, request, tracker_id.as_deref()),
            Question::Scrape { info_hashes } => scrape_target(&url, info_hashes),
        };
        let mut bytes = Vec::new();
        put_request(&mut bytes, &url, &target, &self.user_agent);
        self.transmit = Some(bytes);
        self.visited.push(url.clone());
        self.url = url;
        self.parser = ResponseParser::new();
        self.received = 0;
        self.deadline = Some(now + HTTP_TIME_MAX);
    }

    /// Where to connect.
    pub fn url(&self) -> &Url {
        &self.url
    }

    /// What to send once connected.
    pub fn poll_transmit(&mut self) -> Option<Vec<u8>> {
        self.transmit.take()
    }

    /// How it ended; once.
    pub fn poll_outcome(&mut self) -> Option<Outcome> {
        self.outcome.take()
    }

    /// When to call [`HttpExchange::handle_timeout`].
    pub fn poll_timeout(&self) -> Option<(Moment, &'static str)> {
        self.deadline.map(|at| (at, "http answer"))
    }

    /// Feeds bytes of the answer.
    pub fn handle_bytes(&mut self, bytes: &[u8], now: Moment) {
        if self.deadline.is_none() {
            return;
        }
        self.received = self.received.saturating_add(bytes.len() as u64);
        match self.parser.push(bytes) {
            Ok(Some(response)) => self.answer(response, now),
            Ok(None) if self.received > ANSWER_WIRE_LEN_MAX => {
                self.fail(TrackerFailure::TooMuch {
                    limit: ANSWER_WIRE_LEN_MAX,
                });
            }
            Ok(None) => {}
            Err(error) => self.fail(error.into()),
        }
    }

    /// The other end closed the stream, or it broke.
    pub fn handle_end(&mut self, now: Moment) {
        if self.deadline.is_none() {
            return;
        }
        match self.parser.end() {
            Ok(Some(response)) => self.answer(response, now),
            Ok(None) => {}
            Err(error) => self.fail(error.into()),
        }
    }

    /// Tells that `now` has come.
    pub fn handle_timeout(&mut self, now: Moment) {
        if self.deadline.is_some_and(|at| at <= now) {
            self.fail(TrackerFailure::TimedOut {
                secs: HTTP_TIME_MAX.as_secs(),
            });
        }
    }

    /// Moves the deadline to `after` from `now`, for a farewell that nobody waits for.
    pub fn hurry(&mut self, after: Duration, now: Moment) {
        self.deadline = self.deadline.map(|at| at.min(now + after));
    }

    fn fail(&mut self, why: TrackerFailure) {
        self.end(Outcome::Failed(why));
    }

    fn end(&mut self, outcome: Outcome) {
        self.deadline = None;
        self.transmit = None;
        self.outcome = Some(outcome);
    }

    fn answer(&mut self, response: Response, now: Moment) {
        match response.status {
            301 | 302 | 303 | 307 | 308 => self.redirect(response.location, now),
            // Trackers have sent refusals with other codes: what is bencode is read.
            status => match self.decode(&response.body) {
                Ok(outcome @ (Outcome::Failed(_) | Outcome::Redirected)) => self.end(outcome),
                Ok(outcome) if status == 200 => self.end(outcome),
                Err(error) if status == 200 => self.fail(error),
                Ok(_) | Err(_) => self.fail(TrackerFailure::Status { status }),
            },
        }
    }

    fn decode(&self, body: &[u8]) -> Result<Outcome, TrackerFailure> {
        Ok(match &self.question {
            Question::Announce { .. } => match decode_announce(body)? {
                AnnounceResponse::Reply(reply) => Outcome::Announced(reply),
                AnnounceResponse::Failure { reason, retry_in } => {
                    Outcome::Failed(TrackerFailure::Refused { reason, retry_in })
                }
            },
            Question::Scrape { .. } => match decode_scrape(body)? {
                ScrapeResponse::Entries(entries) => Outcome::Scraped(entries),
                ScrapeResponse::Failure { reason } => Outcome::Failed(TrackerFailure::Refused {
                    reason,
                    retry_in: None,
                }),
            },
        })
    }

    fn redirect(&mut self, location: Option<Vec<u8>>, now: Moment) {
        let url = location
            .and_then(|bytes| String::from_utf8(bytes).ok())
            .and_then(|text| self.url.join(&text).ok())
            .filter(|url| url.scheme == Scheme::Http);
        let Some(url) = url else {
            return self.fail(TrackerFailure::RedirectUrl);
        };
        if self.visited.contains(&url) {
            return self.fail(TrackerFailure::RedirectCircle {
                url: url.to_string(),
            });
        }
        if self.visited.len() > REDIRECTS_MAX {
            return self.fail(TrackerFailure::TooManyRedirects {
                limit: REDIRECTS_MAX,
            });
        }
        self.begin(url, now);
        self.outcome = Some(Outcome::Redirected);
    }
}
