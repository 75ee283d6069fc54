//! Completion over time: the claimed shares of an endpoint as a series. It is drawn from
//! [`share::claims`](crate::rule::share::claims) and shows what was said, when.

use skep_wire::Said;

use crate::{
    group::Indexed,
    rule::share::{self, Share},
};

/// The series with runs of equal values cut to their first and last point.
pub fn series(records: &[Indexed<'_>]) -> Vec<Said<Share>> {
    let mut points: Vec<Said<Share>> = Vec::new();
    for point in share::claims(records) {
        if let [.., before, last] = points.as_slice()
            && before.0.ppm == point.0.ppm
            && last.0.ppm == point.0.ppm
        {
            points.pop();
        }
        points.push(point);
    }
    points
}
