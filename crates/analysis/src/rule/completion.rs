//! Completion over time: the claimed shares of an endpoint as a series, connection by connection. It
//! is drawn from [`share::claims`](crate::rule::share::claims) and shows what was said, when.

use skep_wire::Said;

use crate::{
    group::Indexed,
    rule::share::{self, Share},
};

/// A point of the series.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Point {
    /// What was said.
    pub share: Said<Share>,
    /// Whether it is the first on its connection: nothing connects it with the point before.
    pub begins: bool,
}

/// The series, with stretches of equal values cut to their first and last point.
pub fn series(records: &[Indexed<'_>]) -> Vec<Point> {
    let mut points: Vec<Point> = Vec::new();
    for share in share::claims(records) {
        let of = |point: &Point| (point.share.0.when.run, point.share.0.conn);
        let begins = points
            .last()
            .is_none_or(|last| of(last) != (share.0.when.run, share.0.conn));
        if let [.., before, last] = points.as_slice()
            && !begins
            && !last.begins
            && before.share.0.ppm == share.0.ppm
            && last.share.0.ppm == share.0.ppm
        {
            points.pop();
        }
        points.push(Point { share, begins });
    }
    points
}
