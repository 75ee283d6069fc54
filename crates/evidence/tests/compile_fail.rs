//! What must not compile: a report that overstates.

#[test]
fn no_report_can_overstate_a_grade() {
    trybuild::TestCases::new().compile_fail("tests/compile_fail/*.rs");
}
